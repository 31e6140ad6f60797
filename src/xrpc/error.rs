//! Every error's way out: the flat body `{"error": Name, "message": text}`.
//!
//! `error` is a name from the method's lexicon or one of the general names clients key on; `message` is for people
//! and says what to do next where that is known. Internal detail goes to the log and never into a body.

use std::borrow::Cow;

use crate::lexicon::NamedError;
use crate::store::SqlError;
use crate::{account, archive};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::host::HostError;
use crate::identity::IdentityError;
use crate::{auth, directory};

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
            | Error::OverLimit(_) => Self::invalid(message),
            Error::Sql(_)
            | Error::ReservationNotFound
            | Error::PlcOperation(_)
            | Error::Wrap(_)
            | Error::Unwrap(_)
            | Error::Mismatch => Self::internal(message),
        }
    }
}

impl From<IdentityError> for XrpcError {
    fn from(error: IdentityError) -> Self {
        let message = error.to_string();
        match error {
            IdentityError::Unreachable(_) => Self::upstream(message),
            IdentityError::Encode(_) => Self::internal(message),
            _ => Self::invalid(message),
        }
    }
}

impl From<HostError> for XrpcError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Upstream(message) => Self::upstream(message),
            HostError::Stopping => Self::named("InternalServerError", "the server is stopping")
                .with_status(StatusCode::SERVICE_UNAVAILABLE),
            HostError::Storage(_) => Self::internal(error),
        }
    }
}

impl From<account::Error> for XrpcError {
    fn from(error: account::Error) -> Self {
        use account::Error as E;
        let text = error.to_string();
        match error {
            E::NoRepo => Self::named("RepoNotFound", text),
            E::RepoExists | E::RecordNotFound(_) | E::InvalidWrites(_) => Self::invalid(text),
            E::BlockNotFound(_) => Self::named("BlockNotFound", text),
            E::BlobNotFound(_) => Self::named("BlobNotFound", text),
            E::InvalidBlob { what, .. } if what == "Size" => Self::named("InvalidSize", text),
            E::InvalidBlob { .. } => Self::named("InvalidMimeType", text),
            E::Inactive(status) => match status.as_str() {
                "takendown" => Self::named("AccountTakedown", "Account has been taken down"),
                "deactivated" => Self::named("AccountDeactivated", "Account is deactivated"),
                _ => Self::invalid(format!("Account is {status}")),
            },
            E::InvalidSwap(_) => Self::named("InvalidSwap", text),
            E::MemoryNotFound => Self::named("MemoryNotFound", text),
            E::InvalidMemory(_) => Self::named("InvalidMemory", text),
            E::MemoryTooLarge(_) => Self::named("MemoryTooLarge", text),
            E::InvalidCursor => Self::named("InvalidCursor", text),
            E::InvalidFilter(_) => Self::named("InvalidFilter", text),
            E::InvalidArchive(_) => Self::named("InvalidArchive", text),
            E::ArchiveTooLarge(_) => Self::named("ArchiveTooLarge", text),
            E::WrongPassphrase => Self::named("WrongPassphrase", text),
            E::SealBroken(_) => Self::named("SealBroken", text),
            E::Vault(detail) => {
                tracing::error!(%detail, "a vault does not open");
                Self::named(
                    "VaultLocked",
                    "the vault does not open: ask the operator to check the master key",
                )
            }
            E::Sql(SqlError::Full) => Self::internal(text).with_status(StatusCode::INSUFFICIENT_STORAGE),
            E::Stopped => {
                Self::named("ServiceUnavailable", text).with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => Self::internal(text),
        }
    }
}

impl From<archive::Error> for XrpcError {
    fn from(error: archive::Error) -> Self {
        match error {
            archive::Error::Passphrase => Self::named("InvalidPassphrase", error.to_string()),
            other => account::Error::from(other).into(),
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
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
