//! Why a call did not come to its answer: no token for it, no server, or one that refuses.

use std::path::PathBuf;

use super::super::error::LocalError;
use super::super::explain::{Code, Explain};
use zap::host::HostError;

/// Whose token it is that is no agent's.
pub(super) const ADMINISTRATOR: &str = "the administrator";

const SHOW_AGENTS: &str = "`zap agent list` shows the agents there are";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SessionError {
    /// Something is wrong on this side.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// No HTTP client can be made.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The server can't be reached.
    #[error("the server at {url} can't be reached: {reason}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error's name.
        name: String,
        /// Its message.
        message: String,
    },
    /// What answered is no server of XRPC methods.
    #[error("what runs at {url} answered {status}, and not as an XRPC server does")]
    NotXrpc {
        /// Where.
        url: String,
        /// The HTTP status.
        status: String,
    },
    /// The server answered something else than the method promises.
    #[error("the server's answer to {nsid} can't be read: {reason}")]
    Answer {
        /// The method.
        nsid: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such agent.
    #[error("there is no {0} on this server")]
    NoAgent(String),
    /// The document that says which key signs can't be had.
    #[error("the DID document at {url} can't be had: {reason}")]
    NoDocument {
        /// Where it was looked for.
        url: String,
        /// Why not.
        reason: String,
        /// Whether that place says that there is none.
        missing: bool,
    },
    /// There is no token to do that with.
    #[error("there is no token of {who} in {}", path.display())]
    NoToken {
        /// Whose.
        who: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The token that is kept here is for another server.
    #[error("the token of {who} in {} is for {origin} and is not sent to {url}", path.display())]
    ForAnotherServer {
        /// Whose.
        who: String,
        /// Where it is kept.
        path: PathBuf,
        /// The server it is for.
        origin: String,
        /// The server that was named.
        url: String,
    },
    /// A token or password would pass others on the way in the clear.
    #[error("no secrets are sent to {0}: everyone on the way could read them")]
    PlainHttp(String),
    /// The token that was given, or is kept under the name, is somebody else's.
    #[error("the token is of {owner}, not of {agent}")]
    OtherToken {
        /// The agent, as it was named.
        agent: String,
        /// Whose it is.
        owner: String,
    },
}

impl Explain for SessionError {
    fn code(&self) -> Code {
        match self {
            Self::Local(error) => error.code(),
            Self::Host(error) => error.code(),
            Self::Unreachable { .. } | Self::NoDocument { missing: false, .. } => Code::Unreachable,
            Self::Refused { status, name, .. } if is_about_tokens(*status, name) => Code::NotAuthorized,
            Self::Refused { status, name, .. } if is_not_found(*status, name) => Code::NotFound,
            Self::Refused { .. } | Self::NotXrpc { .. } | Self::Answer { .. } => Code::Failed,
            Self::NoAgent(_) | Self::NoDocument { missing: true, .. } => Code::NotFound,
            Self::NoToken { .. }
            | Self::ForAnotherServer { .. }
            | Self::PlainHttp(_)
            | Self::OtherToken { .. } => Code::NotAuthorized,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Refused { name, .. } => name,
            _ => self.code().name(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Local(error) => return error.hint(),
            Self::Host(error) => return error.hint(),
            Self::Unreachable { .. } => "start it with `zap dev`, or say where it is with --url or ZAP_URL",
            Self::Refused { status, name, .. } => refused_hint(*status, name)?,
            Self::NotXrpc { .. } => "say where the server is with --url or ZAP_URL",
            Self::Answer { .. } => return None,
            Self::NoAgent(_) => SHOW_AGENTS,
            Self::NoDocument { .. } => "say which PLC directory knows the DID with --plc-url or ZAP_PLC_URL",
            Self::NoToken { who, .. } if who == ADMINISTRATOR => {
                "say where the server's data folder is with --data, or give --token or ZAP_TOKEN; \
                 `zap dev` starts a server with all of it"
            }
            Self::NoToken { .. } => {
                "give --token or ZAP_TOKEN, or the folder it was created in with --data; \
                 `zap agent create` keeps the token of a new agent there"
            }
            Self::ForAnotherServer { who, .. } if who == ADMINISTRATOR => {
                "give that server's with --token, ZAP_TOKEN or ZAP_ADMIN_TOKEN"
            }
            Self::ForAnotherServer { .. } => "give that server's with --token or ZAP_TOKEN",
            Self::PlainHttp(_) => "use https, or --plain-http where you trust everyone on the way",
            Self::OtherToken { agent, owner } => {
                return Some(format!(
                    "name {owner}; or give a token of {agent} with --token or ZAP_TOKEN (name it by its DID to use the one \
                     kept of it)"
                ));
            }
        };
        Some(hint.to_owned())
    }
}

/// The next step after a server's own error.
fn refused_hint(status: u16, name: &str) -> Option<&'static str> {
    Some(match name {
        _ if is_about_tokens(status, name) => {
            "the token does not open this; the one of --token or ZAP_TOKEN is used, else that kept in --data"
        }
        "HandleNotAvailable" => {
            "choose another name; `zap agent list` and `zap account list` show those there are"
        }
        "InvalidName" => "a name has letters, digits and hyphens, as in alice or build-bot-2",
        "AccountExists" => "an agent that is at work here is not replaced; `zap agent show` says more",
        "NotMovable" => {
            "`zap export --move` on the server where the agent lives makes an archive that moves it"
        }
        "StorageFull" => "the server's disk is full: its operator has to make room",
        _ if status == 501 => "the server does not have this method; is it a zap server?",
        _ if status >= 500 => "the server's log says more",
        _ if is_not_found(status, name) => SHOW_AGENTS,
        _ => return None,
    })
}

/// Whether the server refused the token. A malformed one is a 400, as at the reference server.
fn is_about_tokens(status: u16, name: &str) -> bool {
    matches!(status, 401 | 403)
        || matches!(name, "InvalidToken" | "ExpiredToken" | "AuthMissing" | "VaultLocked")
}

fn is_not_found(status: u16, name: &str) -> bool {
    status == 404 || name.ends_with("NotFound")
}
