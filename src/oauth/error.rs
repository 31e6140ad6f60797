//! Refusals in OAuth's words: RFC 6749, 9126, 9449 and the draft on client documents.

use std::borrow::Cow;

/// Why a request was refused: what a client is told, as `error` and `error_description`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct Error {
    /// Which of the known reasons.
    pub code: Code,
    /// For the client's developer.
    pub description: Cow<'static, str>,
}

/// The reasons that clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// A parameter is missing, malformed or there twice.
    InvalidRequest,
    /// The client is not known, or did not show that it is the one.
    InvalidClient,
    /// The client's document can't be had, or breaks a rule.
    InvalidClientMetadata,
    /// A code or refresh token that is wrong, used, too old, or another client's.
    InvalidGrant,
    /// A scope that is not understood, or not the client's.
    InvalidScope,
    /// The client may not do this.
    UnauthorizedClient,
    /// A way to tokens that there is none of here.
    UnsupportedGrantType,
    /// `response_type` is another than `code`.
    UnsupportedResponseType,
    /// The owner said no.
    AccessDenied,
    /// Nobody is signed in, and no page may be shown.
    LoginRequired,
    /// The proof of possession is missing or wrong.
    InvalidProof,
    /// The proof has to have a nonce of this server, which comes with the answer.
    UseNonce,
    /// The access token is wrong, has ended, or is bound to another key.
    InvalidToken,
    /// The server is busy.
    TemporarilyUnavailable,
    /// The server failed.
    ServerError,
}

impl Code {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::InvalidProof => "invalid_dpop_proof",
            Self::UseNonce => "use_dpop_nonce",
            Self::InvalidToken => "invalid_token",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The refusal with its reason.
    pub fn because(self, description: impl Into<Cow<'static, str>>) -> Error {
        Error { code: self, description: description.into() }
    }
}
