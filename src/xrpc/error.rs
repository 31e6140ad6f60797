//! Every error's way out: the flat body `{"error": Name, "message": text}`.
//!
//! `error` is a name from the method's lexicon or one of the general names clients key on; `message` is for people
//! and says what to do next where that is known. Internal detail goes to the log and never into a body.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::actor::Status;
use crate::app::lexicons::LexiconError;
use crate::host::{HostError, NoRoom};
use crate::identity::IdentityError;
use crate::lexicon::NamedError;
use crate::rate_limit::Allowance;
use crate::store::SqlError;
use crate::{account, app, auth, blobs, directory, memory, moving, oauth, preferences, repo};

/// When to ask a busy server again.
const RETRY_AFTER_SECONDS: &str = "2";

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XrpcError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error's name.
    pub name: Cow<'static, str>,
    /// What happened and what to do, for a person.
    pub message: Cow<'static, str>,
    /// How the caller stands with a limit that it is over.
    pub allowance: Option<Allowance>,
}

impl XrpcError {
    /// An error with a name of its method's lexicon, status 400.
    pub fn named(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            name: Cow::Borrowed(name),
            message: message.into(),
            allowance: None,
        }
    }

    /// `InvalidRequest`, 400.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::named("InvalidRequest", message)
    }

    /// A 401 with its name; the answer carries `WWW-Authenticate`.
    pub fn unauthorized(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::named(name, message).with_status(StatusCode::UNAUTHORIZED)
    }

    /// `Forbidden`, 403: known, but not allowed.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::named("Forbidden", message).with_status(StatusCode::FORBIDDEN)
    }

    /// `UpstreamFailure`, 502.
    pub fn upstream(message: impl Into<Cow<'static, str>>) -> Self {
        Self::named("UpstreamFailure", message).with_status(StatusCode::BAD_GATEWAY)
    }

    /// An internal error, 500: `detail` goes to the log, the client learns that it is not its fault.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "internal error");
        Self::named("InternalServerError", "Internal server error")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// `StorageFull`, 507: nothing was changed, and the operator has to make room.
    pub fn storage_full() -> Self {
        tracing::error!("the disk is full");
        let message = "the server's storage is full and nothing was changed: its operator has to make room";
        Self::named("StorageFull", message).with_status(StatusCode::INSUFFICIENT_STORAGE)
    }

    /// `VaultLocked`, 400: keys that should open do not.
    pub fn vault_locked(detail: &str) -> Self {
        tracing::error!(%detail, "a vault does not open");
        Self::named("VaultLocked", "the vault does not open: ask the operator to check the master key")
    }

    /// `RateLimitExceeded`, 429, with when to come again.
    pub fn too_often(allowance: Allowance, message: impl Into<Cow<'static, str>>) -> Self {
        let error = Self::named("RateLimitExceeded", message).with_status(StatusCode::TOO_MANY_REQUESTS);
        Self { allowance: Some(allowance), ..error }
    }

    /// The same error with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl std::fmt::Display for XrpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// So that a request's body can fail with what its sender is to be told.
impl std::error::Error for XrpcError {}

/// Why a handler of a method that has a lexicon refuses: by a name of that lexicon, or by one that every method has.
///
/// A handler names an error with [`Because::because`], so it names none that its lexicon does not have. What becomes an
/// [`XrpcError`] passes through `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal<E> {
    /// An error that the method's lexicon names; status 400.
    Named {
        /// Its name.
        name: E,
        /// What happened and what to do, for a person.
        message: Cow<'static, str>,
    },
    /// An error of what the method is made with.
    General(XrpcError),
}

impl<E, T> From<T> for Refusal<E>
where
    XrpcError: From<T>,
{
    fn from(error: T) -> Self {
        Self::General(error.into())
    }
}

impl<E: NamedError> Refusal<E> {
    /// The error as a client sees it.
    pub fn into_error(self) -> XrpcError {
        match self {
            Self::Named { name, message } => XrpcError::named(name.as_str(), message),
            Self::General(error) => error,
        }
    }
}

/// Refuses by a name of the method's lexicon: `ErrorName::MemoryNotFound.because("it was forgotten")`.
pub trait Because: NamedError {
    /// The refusal with its reason, for a person.
    fn because(self, message: impl Into<Cow<'static, str>>) -> Refusal<Self> {
        Refusal::Named { name: self, message: message.into() }
    }
}

impl<E: NamedError> Because for E {}

impl From<auth::Error> for XrpcError {
    fn from(error: auth::Error) -> Self {
        let message = error.to_string();
        match error {
            auth::Error::Missing => Self::unauthorized("AuthMissing", message),
            auth::Error::Required(_) => Self::unauthorized("AuthenticationRequired", message),
            // Not 401: clients refresh their session on exactly this status and name.
            auth::Error::Expired => Self::named("ExpiredToken", message),
            auth::Error::Invalid(_) => Self::named("InvalidToken", message),
            auth::Error::Forbidden(_) => Self::forbidden(message),
            // The reference server's name, in its status.
            auth::Error::ScopeMissing(_) => {
                Self::named("ScopeMissingError", message).with_status(StatusCode::FORBIDDEN)
            }
            auth::Error::Mint(_) => Self::internal(message),
        }
    }
}

impl From<directory::Error> for XrpcError {
    fn from(error: directory::Error) -> Self {
        use directory::Error;
        let message = error.to_string();
        match error {
            Error::InvalidHandle(_) => Self::named("InvalidHandle", message),
            Error::HandleNotAvailable | Error::HandleReserved(_) => {
                Self::named("HandleNotAvailable", message)
            }
            Error::UnsupportedDomain => Self::named("UnsupportedDomain", message),
            Error::InvalidInviteCode => Self::named("InvalidInviteCode", message),
            Error::TokenRevoked => Self::named("ExpiredToken", message),
            // As the reference has it where a code was mailed: its apps ask for one then.
            Error::FactorRequired { .. } => Self::unauthorized("AuthFactorTokenRequired", message),
            Error::InvalidMailCode | Error::InvalidFactor => Self::named("InvalidToken", message),
            Error::MailCodeExpired => Self::named("ExpiredToken", message),
            Error::MailCodeRequired => Self::named("TokenRequired", message),
            Error::EmailNotConfirmed => {
                Self::named("EmailNotConfirmed", message).with_status(StatusCode::FORBIDDEN)
            }
            Error::WrongEmail => Self::named("InvalidEmail", message),
            Error::NoMail => {
                Self::named("MethodNotImplemented", message).with_status(StatusCode::NOT_IMPLEMENTED)
            }
            Error::TooManyMails => {
                Self::named("RateLimitExceeded", message).with_status(StatusCode::TOO_MANY_REQUESTS)
            }
            Error::MailQueueFull => {
                Self::named("NotEnoughResources", message).with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Error::AccountTakedown => Self::unauthorized("AccountTakedown", message),
            Error::AccountNotFound => Self::named("AccountNotFound", message),
            Error::TooOften(allowance) => Self::too_often(allowance, message),
            Error::NotImporting => Self::named("InvalidArchive", message),
            Error::InvalidEmail
            | Error::InvalidSubject
            | Error::NoEmail
            | Error::EmailNotAvailable
            | Error::DidNotAvailable
            | Error::DuplicateAppPassword
            | Error::RequestUsed
            | Error::TotpSetup
            | Error::InvalidPasskey(_)
            | Error::InvalidCursor
            | Error::DeletionUnderWay
            | Error::Superseded
            | Error::OverLimit(_) => Self::invalid(message),
            Error::Sql(error) => error.into(),
            Error::ReservationNotFound | Error::PlcOperation(_) | Error::Wrap(_) | Error::Unwrap(_) => {
                Self::internal(message)
            }
        }
    }
}

impl From<IdentityError> for XrpcError {
    fn from(error: IdentityError) -> Self {
        app::Error::from(error).into()
    }
}

impl From<HostError> for XrpcError {
    fn from(error: HostError) -> Self {
        app::Error::from(error).into()
    }
}

impl From<NoRoom> for XrpcError {
    fn from(error: NoRoom) -> Self {
        let (name, message, status) = match error {
            NoRoom::Yours => (
                "RateLimitExceeded",
                "there are too many requests of your address at once: finish some of them first",
                StatusCode::TOO_MANY_REQUESTS,
            ),
            NoRoom::All => (
                "NotEnoughResources",
                "there are too many requests at once: try again in a moment",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
        };
        Self::named(name, message).with_status(status)
    }
}

impl From<app::Error> for XrpcError {
    fn from(error: app::Error) -> Self {
        use app::Error;
        let text = error.to_string();
        match error {
            Error::Account(error) => error.into(),
            Error::Directory(error) => error.into(),
            Error::Busy => {
                Self::named("NotEnoughResources", text).with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Error::Stopping => {
                Self::named("ServiceUnavailable", text).with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Error::Upstream(_) | Error::Refused(_) | Error::Unsettled(_) => Self::upstream(text),
            Error::Identity(_)
            | Error::HandleElsewhere
            | Error::NoSuchService
            | Error::HandleNotInDocument
            | Error::HostedElsewhere
            | Error::SignedElsewhere
            | Error::AnotherSigningKey
            | Error::OnTheMove => Self::invalid(text),
            Error::UnsupportedDomain => Self::named("UnsupportedDomain", text),
            Error::InvalidPassword(_) => Self::named("InvalidPassword", text),
            Error::InvalidRecoveryKey(_) => Self::named("InvalidRecoveryKey", text),
            Error::HandleNotFound => Self::named("HandleNotFound", text),
            Error::DidNotFound => Self::named("DidNotFound", text),
            Error::OpensMemories => Self::forbidden(text),
            Error::AgentNotFound => Self::named("AgentNotFound", text),
            Error::NotMovable(_) => Self::named("NotMovable", text),
            Error::InvalidArchive(_) => Self::named("InvalidArchive", text),
            Error::InvalidPassphrase(_) => Self::named("InvalidPassphrase", text),
            Error::AccountExists => Self::named("AccountExists", text),
            Error::Full => Self::storage_full(),
            Error::Unreachable(_) => {
                tracing::error!(detail = %text, "a part of the server does not answer");
                let message = "A part of the server does not answer: try again in a moment";
                Self::named("ServiceUnavailable", message).with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Error::Storage(_) | Error::Internal(_) => Self::internal(text),
        }
    }
}

impl From<SqlError> for XrpcError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Full => Self::storage_full(),
            SqlError::Busy => app::Error::Busy.into(),
            SqlError::Newer { .. } => Self {
                name: Cow::Borrowed("NewerSchema"),
                message: Cow::Borrowed(
                    "this account was written by a newer program: its operator has to run that one",
                ),
                ..Self::internal(error)
            },
            error => Self::internal(error),
        }
    }
}

impl From<account::Error> for XrpcError {
    fn from(error: account::Error) -> Self {
        use account::Error;
        match error {
            Error::NoRepo => Self::named("RepoNotFound", error.to_string()),
            Error::RepoExists => Self::invalid(error.to_string()),
            Error::Repo(error) => error.into(),
            Error::Memory(error) => error.into(),
            Error::Blobs(error) => error.into(),
            Error::Moving(error) => error.into(),
            Error::Preferences(error) => error.into(),
            Error::Sql(error) => error.into(),
            Error::Vault(detail) => Self::vault_locked(&detail),
            Error::Internal(detail) => Self::internal(detail),
        }
    }
}

impl From<repo::Error> for XrpcError {
    fn from(error: repo::Error) -> Self {
        use repo::Error;
        let text = error.to_string();
        match error {
            Error::NoRepo => Self::named("RepoNotFound", text),
            Error::Inactive(status) => match status {
                Status::Takendown => Self::named("AccountTakedown", "Account has been taken down"),
                Status::Deactivated => Self::named("AccountDeactivated", "Account is deactivated"),
                Status::Pending | Status::Active | Status::Suspended | Status::Deleted => {
                    Self::invalid(format!("Account is {}", status.as_str()))
                }
            },
            Error::RecordExists(_)
            | Error::RecordNotFound(_)
            | Error::InvalidWrites(_)
            | Error::TooMuch(_) => Self::invalid(text),
            Error::InvalidSwap { .. } => Self::named("InvalidSwap", text),
            Error::DayIsFull => {
                Self::named("RateLimitExceeded", text).with_status(StatusCode::TOO_MANY_REQUESTS)
            }
            Error::TooOften(allowance) => Self::too_often(allowance, text),
            Error::BlockNotFound(_) => Self::named("BlockNotFound", text),
            Error::Blob(error) => error.into(),
            Error::Sql(error) => error.into(),
            Error::Tree(_) | Error::Unproven(_) | Error::Damaged(_) => Self::internal(text),
            Error::Keys(detail) => Self::vault_locked(&detail),
        }
    }
}

impl From<blobs::Error> for XrpcError {
    fn from(error: blobs::Error) -> Self {
        use blobs::Error;
        let text = error.to_string();
        match error {
            Error::NoRepo => Self::named("RepoNotFound", text),
            Error::NotFound(_) => Self::named("BlobNotFound", text),
            Error::Invalid { what, .. } if what == "Size" => Self::named("InvalidSize", text),
            Error::Invalid { .. } => Self::named("InvalidMimeType", text),
            Error::Size | Error::TakenDown => Self::invalid(text),
            Error::Sql(error) => error.into(),
        }
    }
}

impl From<memory::Error> for XrpcError {
    fn from(error: memory::Error) -> Self {
        use memory::Error;
        let text = error.to_string();
        match error {
            Error::NotFound => Self::named("MemoryNotFound", text),
            Error::Invalid(_) => Self::named("InvalidMemory", text),
            Error::TooLarge { .. } => Self::named("MemoryTooLarge", text),
            Error::Cursor => Self::named("InvalidCursor", text),
            Error::EmptyFilter => Self::named("InvalidFilter", text),
            Error::SealBroken { .. } => Self::named("SealBroken", text),
            Error::Vault(detail) => Self::vault_locked(&detail),
            Error::Repo(error) => error.into(),
            Error::Sql(error) => error.into(),
            Error::Internal(detail) => Self::internal(detail),
        }
    }
}

impl From<moving::Error> for XrpcError {
    fn from(error: moving::Error) -> Self {
        use moving::Error;
        let text = error.to_string();
        match error {
            Error::NoRepo => Self::named("RepoNotFound", text),
            Error::RepoExists | Error::Active | Error::NotMoving | Error::TooMany(_) => Self::invalid(text),
            Error::Invalid(_) => Self::named("InvalidArchive", text),
            Error::TooLarge(_) => Self::named("ArchiveTooLarge", text),
            Error::WrongPassphrase => Self::named("WrongPassphrase", text),
            Error::Repo(error) => error.into(),
            Error::Vault(detail) => Self::vault_locked(&detail),
            Error::Sql(error) => error.into(),
            Error::Internal(detail) => Self::internal(detail),
        }
    }
}

impl From<preferences::Error> for XrpcError {
    fn from(error: preferences::Error) -> Self {
        use preferences::Error;
        let text = error.to_string();
        match error {
            Error::NoType | Error::Foreign | Error::Forbidden(_) | Error::TooLarge => Self::invalid(text),
            Error::Vault(detail) => Self::vault_locked(&detail),
            Error::Sql(error) => error.into(),
        }
    }
}

impl XrpcError {
    /// The answer to a request whose token is bound to a key (RFC 9449, 7): a 401 says what is wrong in OAuth's words.
    pub(super) fn into_bound_response(self) -> Response {
        let says = match (self.status, &*self.name) {
            (StatusCode::UNAUTHORIZED, "use_dpop_nonce" | "invalid_dpop_proof") => Some(self.name.clone()),
            (StatusCode::UNAUTHORIZED, _) => Some(Cow::Borrowed("invalid_token")),
            _ => None,
        };
        let mut response = self.into_response();
        if let Some(says) = says
            && let Ok(value) = HeaderValue::from_str(&format!("DPoP algs=\"ES256\", error=\"{says}\""))
        {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<LexiconError> for XrpcError {
    fn from(error: LexiconError) -> Self {
        match error {
            LexiconError::Busy => app::Error::Busy.into(),
            error => Self::named("LexiconNotFound", error.to_string()),
        }
    }
}

impl From<oauth::Error> for XrpcError {
    fn from(error: oauth::Error) -> Self {
        let message = error.description;
        match error.code {
            oauth::Code::TemporarilyUnavailable => {
                Self::named("NotEnoughResources", message).with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            code => Self::unauthorized(code.as_str(), message),
        }
    }
}

impl IntoResponse for XrpcError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.name, "message": self.message }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if let Some(allowance) = self.allowance {
            super::limits::tell(&allowance, headers);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
