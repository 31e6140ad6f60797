//! Why an account, or what is in it, is left as it is.

use super::super::error::CliError;
use super::super::explain::{Code, Explain};
use super::super::session::SessionError;

/// Why an account is left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AccountError {
    /// Deleting can't be undone, and nobody said that it is meant.
    #[error("deleting {0} destroys its repo, its blobs and its keys for good")]
    DeletionUnconfirmed(String),
    /// Credentials that are gone are made anew by their owner only.
    #[error("this ends all sessions, app passwords and the password of {0}")]
    RevocationUnconfirmed(String),
    /// There is no such account.
    #[error("there is no {0} on this server")]
    NoAccount(String),
    /// There is no such record or blob.
    #[error("there is no {0} on this server")]
    NoSubject(String),
    /// There are no such invite codes.
    #[error("there is no invite code {0}")]
    NoCode(String),
    /// The account has no address that something could be mailed to.
    #[error("{handle} has no e-mail address")]
    NoAddress {
        /// The account.
        handle: String,
        /// Whether it is an agent's.
        is_agent: bool,
    },
    /// Who set it would read the account's memories.
    #[error("{message}")]
    OpensMemories {
        /// The account.
        handle: String,
        /// Whether it is an agent's.
        is_agent: bool,
        /// The server's words.
        message: String,
    },
    /// The server sends no mail.
    #[error("{0}")]
    NoMail(String),
}

impl AccountError {
    /// What the server's refusal to set a password or an address means.
    pub(in crate::cli) fn of_closed(error: SessionError, handle: &str, is_agent: bool) -> CliError {
        match error {
            SessionError::Refused { status: 403, message, .. } => {
                Self::OpensMemories { handle: handle.to_owned(), is_agent, message }.into()
            }
            error => error.into(),
        }
    }

    /// What the server's refusal to send a mail means.
    pub(in crate::cli) fn of_mail(error: SessionError) -> CliError {
        match error {
            SessionError::Refused { status: 501, message, .. } => Self::NoMail(message).into(),
            error => error.into(),
        }
    }

    /// What the server's not finding something means.
    pub(in crate::cli) fn of_missing(error: SessionError, subject: &str) -> CliError {
        match error {
            SessionError::Refused { ref name, .. } if name.ends_with("NotFound") => {
                Self::NoSubject(subject.to_owned()).into()
            }
            error => error.into(),
        }
    }
}

impl Explain for AccountError {
    fn code(&self) -> Code {
        match self {
            Self::DeletionUnconfirmed(_) | Self::RevocationUnconfirmed(_) => Code::Usage,
            Self::NoAccount(_) | Self::NoSubject(_) | Self::NoCode(_) => Code::NotFound,
            Self::OpensMemories { .. } => Code::NotAuthorized,
            Self::NoAddress { .. } | Self::NoMail(_) => Code::Failed,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::OpensMemories { .. } => "Forbidden",
            Self::NoMail(_) => "MethodNotImplemented",
            _ => self.code().name(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DeletionUnconfirmed(_) | Self::RevocationUnconfirmed(_) => {
                "repeat it with --yes if that is meant".to_owned()
            }
            Self::NoAccount(_) => "`zap account list` shows the accounts there are".to_owned(),
            Self::NoSubject(_) => {
                "name a record by its at:// URI; a blob by its account and --blob CID".to_owned()
            }
            Self::NoCode(_) => "`zap invite list` shows the codes there are".to_owned(),
            Self::OpensMemories { handle, is_agent: true, .. }
            | Self::NoAddress { handle, is_agent: true } => {
                format!(
                    "an agent signs in by its token: `zap agent token {handle} --rotate`, as the agent, makes another"
                )
            }
            Self::OpensMemories { handle, is_agent: false, .. } => {
                format!(
                    "`zap account password-reset {handle} --mail` sends its owner a code to set another password with"
                )
            }
            Self::NoAddress { handle, is_agent: false } => {
                format!("`zap account email {handle} ADDRESS` sets one, unless it has memories")
            }
            Self::NoMail(_) => {
                "start the server with --smtp-url or --mail-url, and --mail-from; README has the settings"
                    .to_owned()
            }
        })
    }
}
