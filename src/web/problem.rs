//! What went wrong with a form, for the person who sent it: at which field, and in plain words.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::account::paths;
use super::page;
use crate::rate_limit::Allowance;
use crate::{app, directory};

/// Why a form was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Which field's name it is about; none's where it is about all of it.
    pub(super) field: &'static str,
    /// A sentence.
    pub(super) text: String,
    /// The page's status.
    pub(super) status: StatusCode,
    /// When to try again, if that helps.
    pub(super) retry_seconds: Option<u64>,
}

impl Problem {
    /// At a field.
    pub(super) fn at(field: &'static str, text: impl Into<String>) -> Self {
        Self { field, text: text.into(), status: StatusCode::BAD_REQUEST, retry_seconds: None }
    }

    fn too_often(allowance: &Allowance) -> Self {
        let seconds = allowance.retry_seconds();
        let text = format!("There were too many tries. Try again in {}.", duration(seconds));
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, retry_seconds: Some(seconds), ..Self::at("password", text) }
    }

    /// What a person can do something about.
    ///
    /// # Errors
    /// [`Stop`] for what they can't.
    pub(super) fn of(error: app::Error) -> Result<Self, Stop> {
        use app::Error;
        match error {
            Error::Directory(error) => Self::of_directory(error),
            Error::InvalidPassword(why) => Ok(Self::at("new", why)),
            Error::InvalidRecoveryKey(why) => Ok(Self::at("key", super::sentence(&why))),
            Error::UnsupportedDomain => Ok(Self::at("handle", UNSUPPORTED)),
            Error::HandleElsewhere | Error::HandleNotFound => {
                Ok(Self::at("handle", "This domain does not name your account yet."))
            }
            Error::HandleNotInDocument => {
                Ok(Self::at("handle", "The document of your DID does not have this handle."))
            }
            error @ (Error::Identity(_)
            | Error::DidNotFound
            | Error::HostedElsewhere
            | Error::SignedElsewhere
            | Error::Upstream(_)
            | Error::Refused(_)
            | Error::Unsettled(_)
            | Error::OnTheMove) => Ok(Self::at("", super::sentence(&error.to_string()))),
            error => Err(error.into()),
        }
    }

    fn of_directory(error: directory::Error) -> Result<Self, Stop> {
        use directory::Error;
        let text = super::sentence(&error.to_string());
        Ok(match error {
            Error::InvalidHandle(_) | Error::HandleNotAvailable | Error::HandleReserved(_) => {
                Self::at("handle", text)
            }
            Error::UnsupportedDomain => Self::at("handle", UNSUPPORTED),
            Error::InvalidEmail => Self::at("email", "Mail can’t be sent to this address."),
            Error::EmailNotAvailable => Self::at("email", "Another account has this address."),
            Error::WrongEmail | Error::NoEmail | Error::EmailNotConfirmed => Self::at("email", text),
            Error::InvalidInviteCode => Self::at("invite", "This code is unknown, or was used up."),
            Error::InvalidMailCode => {
                Self::at("code", "This code is wrong, was used, or a newer one took its place.")
            }
            Error::MailCodeExpired => Self::at("code", "This code is too old. Ask for another one."),
            Error::MailCodeRequired => Self::at("code", "The code from the mail is needed."),
            Error::InvalidFactor => Self::at("code", "This code is wrong, too old, or was used already."),
            Error::InvalidPasskey(_) => Self::at("credential", text),
            Error::DuplicateAppPassword | Error::OverLimit(_) => Self::at("name", text),
            Error::TooOften(allowance) => Self::too_often(&allowance),
            Error::AccountTakedown => Self::at("", "This account has been taken down by the moderators."),
            Error::TooManyMails => Self { status: StatusCode::TOO_MANY_REQUESTS, ..Self::at("", text) },
            Error::MailQueueFull => Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::at("", text) },
            Error::NoMail | Error::DeletionUnderWay | Error::Superseded | Error::TotpSetup => {
                Self::at("", text)
            }
            // What it was asked with has ended meanwhile.
            Error::TokenRevoked | Error::AccountNotFound => return Err(Stop::to(paths::SIGN_IN)),
            error => return Err(app::Error::from(error).into()),
        })
    }
}

const UNSUPPORTED: &str = "This server gives no handles under this domain.";

/// What is answered instead of going on.
pub(super) struct Stop(Box<Response>);

impl Stop {
    /// Sends the browser to another page of ours.
    pub(super) fn to(path: &'static str) -> Self {
        Self(Box::new(page::redirect(path)))
    }

    /// A page that says why.
    pub(super) fn because(status: StatusCode, title: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(page::error(status, title, message)))
    }

    /// The form is no form of ours in this browser.
    pub(super) fn too_old() -> Self {
        Self::because(StatusCode::BAD_REQUEST, "This form is too old", super::EXPIRED)
    }

    /// An address or an account is over a limit.
    pub(super) fn too_often(allowance: &Allowance) -> Self {
        let Problem { text, status, .. } = Problem::too_often(allowance);
        let mut stop = Self::because(status, "Not so fast", text);
        stop.0.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(allowance.retry_seconds()));
        stop
    }
}

impl From<app::Error> for Stop {
    fn from(error: app::Error) -> Self {
        Self(Box::new(super::failed(error)))
    }
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// How long that is, as people say it.
fn duration(seconds: u64) -> String {
    match seconds {
        1 => "a second".to_owned(),
        2..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3_600)),
    }
}
