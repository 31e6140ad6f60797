//! Every error's way out: the flat body `{"error": Name, "message": text}`.
//!
//! `error` is a name from the method's lexicon or one of the general names clients key on; `message` is for people
//! and says what to do next where that is known. Internal detail goes to the log and never into a body.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::actor::Status;
use crate::host::HostError;
use crate::identity::IdentityError;
use crate::lexicon::NamedError;
use crate::store::SqlError;
use crate::{account, app, auth, blobs, directory, memory, moving, repo};

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
}

impl XrpcError {
    /// An error with a name of its method's lexicon, status 400.
    pub fn named(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, name: Cow::Borrowed(name), message: message.into() }
    }

    /// `InvalidRequest`, 400.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::named("InvalidRequest", message)
    }

    /// A 401 with its name; the answer carries `WWW-Authenticate`.
    pub fn unauthorized(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, name: Cow::Borrowed(name), message: message.into() }
    }

    /// `Forbidden`, 403: known, but not allowed.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::FORBIDDEN, name: Cow::Borrowed("Forbidden"), message: message.into() }
    }

    /// `UpstreamFailure`, 502.
    pub fn upstream(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            name: Cow::Borrowed("UpstreamFailure"),
            message: message.into(),
        }
    }

    /// An internal error, 500: `detail` goes to the log, the client learns that it is not its fault.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "internal error");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            name: Cow::Borrowed("InternalServerError"),
            message: Cow::Borrowed("Internal server error"),
        }
    }

    /// `VaultLocked`, 400: keys that should open do not.
    pub fn vault_locked(detail: &str) -> Self {
        tracing::error!(%detail, "a vault does not open");
        Self::named("VaultLocked", "the vault does not open: ask the operator to check the master key")
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
            Error::HandleNotAvailable => Self::named("HandleNotAvailable", message),
            Error::UnsupportedDomain => Self::named("UnsupportedDomain", message),
            Error::InvalidInviteCode => Self::named("InvalidInviteCode", message),
            Error::TokenRevoked => Self::named("ExpiredToken", message),
            Error::InvalidMailCode => Self::named("InvalidToken", message),
            Error::AccountTakedown => Self::unauthorized("AccountTakedown", message),
            Error::AccountNotFound => Self::named("AccountNotFound", message),
            Error::InvalidEmail
            | Error::EmailNotAvailable
            | Error::DidNotAvailable
            | Error::DuplicateAppPassword
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
            | Error::HandleNotInDocument
            | Error::HostedElsewhere
            | Error::SignedElsewhere
            | Error::OnTheMove => Self::invalid(text),
            Error::UnsupportedDomain => Self::named("UnsupportedDomain", text),
            Error::InvalidPassword(_) => Self::named("InvalidPassword", text),
            Error::InvalidRecoveryKey(_) => Self::named("InvalidRecoveryKey", text),
            Error::AgentNotFound => Self::named("AgentNotFound", text),
            Error::NotMovable(_) => Self::named("NotMovable", text),
            Error::InvalidArchive(_) => Self::named("InvalidArchive", text),
            Error::InvalidPassphrase(_) => Self::named("InvalidPassphrase", text),
            Error::AccountExists => Self::named("AccountExists", text),
            Error::Unreachable(_) | Error::Storage(_) | Error::Internal(_) => Self::internal(text),
        }
    }
}

impl From<SqlError> for XrpcError {
    fn from(error: SqlError) -> Self {
        let is_full = error == SqlError::Full;
        let internal = Self::internal(error);
        if is_full { internal.with_status(StatusCode::INSUFFICIENT_STORAGE) } else { internal }
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
            Error::Size => Self::invalid(text),
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
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
