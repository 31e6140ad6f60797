//! Why a command failed, the exit code that says so, and what to do next.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::firehose::FirehoseError;
use super::verify::VerifyError;
use zap::config::ConfigError;
use zap::host::HostError;
use zap::native::telemetry::TelemetryError;

/// Exit codes, as `zap --help` lists them.
pub(crate) mod code {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const NOT_FOUND: u8 = 3;
    pub(crate) const NOT_AUTHORIZED: u8 = 4;
    pub(crate) const UNREACHABLE: u8 = 5;
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// The configuration can't be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs or metrics can't start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The host can't start, or stopped wrongly.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What was asked for can't be, and why.
    #[error("{0}")]
    Usage(String),
    /// It can't be undone, and nobody said that it is meant.
    #[error("deleting {0} destroys its keys and memories for good")]
    Unconfirmed(String),
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
    /// The agent has no such memory, any more.
    #[error("{agent} has none of these memories")]
    NoMemory {
        /// The agent, as it was named.
        agent: String,
    },
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
    /// The token that was given, or is kept under the name, is somebody else's.
    #[error("the token is of {owner}, not of {agent}")]
    OtherToken {
        /// The agent, as it was named.
        agent: String,
        /// Whose it is.
        owner: String,
    },
    /// The repo is not what it should be.
    #[error("the repo does not verify: {0}")]
    Verify(#[from] VerifyError),
    /// An archive does not open, or can't be made.
    #[error(transparent)]
    Manifest(#[from] zap::archive::Error),
    /// An archive is not whole, or can't be made.
    #[error("{0}")]
    Archive(String),
    /// An event stream can't be followed, or broke rules.
    #[error(transparent)]
    Firehose(#[from] FirehoseError),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The address is taken.
    #[error("{address} is in use by another process")]
    PortInUse {
        /// What was to be served on.
        address: String,
        /// The setting that says so.
        flag: &'static str,
    },
    /// The address can't be served on.
    #[error("{address} can't be listened on: {source}")]
    Listen {
        /// What was to be served on.
        address: String,
        /// The setting that says so.
        flag: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Standard output can't be written.
    #[error("writing the output: {0}")]
    Output(#[source] std::io::Error),
    /// The output has no JSON form.
    #[error("writing JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The process can't do what it needs of the system.
    #[error("{0}")]
    System(String),
}

impl CliError {
    /// Prints it and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        use std::io::Write;
        if let Self::Output(error) = self
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        let hint = self.hint();
        let text = if json {
            json!({"error": self.name(), "message": self.to_string(), "hint": hint}).to_string()
        } else {
            let message = super::out::clean(&self.to_string());
            hint.map_or_else(
                || format!("error: {message}"),
                |hint| format!("error: {message}\n  next: {hint}"),
            )
        };
        // Nobody is left to tell if this fails too.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
        ExitCode::from(self.code())
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Config(ConfigError::Folder { .. }) => code::FAILED,
            Self::Usage(_)
            | Self::Unconfirmed(_)
            | Self::Config(_)
            | Self::Firehose(FirehoseError::Address(_)) => code::USAGE,
            Self::Firehose(FirehoseError::Connect { .. }) => code::UNREACHABLE,
            Self::NoAgent(_) | Self::NoMemory { .. } | Self::NoDocument { missing: true, .. } => {
                code::NOT_FOUND
            }
            Self::NoDocument { .. } => code::UNREACHABLE,
            Self::NoToken { .. } | Self::OtherToken { .. } => code::NOT_AUTHORIZED,
            Self::Unreachable { .. } => code::UNREACHABLE,
            Self::Refused { status, name, .. } if is_about_tokens(*status, name) => code::NOT_AUTHORIZED,
            Self::Refused { status, name, .. } if *status == 404 || name.ends_with("NotFound") => {
                code::NOT_FOUND
            }
            _ => code::FAILED,
        }
    }

    /// A stable name for programs; the server's own where it gave one.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Refused { name, .. } => name,
            _ => match self.code() {
                code::USAGE => "Usage",
                code::NOT_FOUND => "NotFound",
                code::NOT_AUTHORIZED => "NotAuthorized",
                code::UNREACHABLE => "Unreachable",
                _ => "Failed",
            },
        }
    }

    /// The next step.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => {
                "start it with `zap dev`, or say where it is with --url or ZAP_URL".to_owned()
            }
            Self::Firehose(FirehoseError::Connect { .. }) => {
                "start a server with `zap dev`, or name a host that runs, as bsky.network or http://localhost:2583"
                    .to_owned()
            }
            Self::NoToken { who, .. } if who == "the administrator" => {
                "say where the server's data folder is with --data, or give --token or ZAP_TOKEN; \
                 `zap dev` starts a server with all of it"
                    .to_owned()
            }
            Self::NoToken { .. } => {
                "give --token or ZAP_TOKEN, or the folder it was created in with --data; \
                 `zap agent create` keeps the token of a new agent there"
                    .to_owned()
            }
            Self::OtherToken { agent, owner } => {
                format!(
                    "name {owner}; or give a token of {agent} with --token or ZAP_TOKEN (name it by its DID to use the one \
                     kept of it)"
                )
            }
            Self::Listen { flag, .. } => {
                format!("choose an address of this machine, and a port that you may use, with {flag}")
            }
            Self::PortInUse { flag, .. } => format!("stop that one, or choose another port with {flag}"),
            Self::Config(ConfigError::Folder { .. }) => return None,
            Self::Config(_) => "`zap config` shows every setting and where it came from".to_owned(),
            Self::Refused { status, name, .. } if is_about_tokens(*status, name) => {
                "the token does not open this; the one of --token or ZAP_TOKEN is used, else that kept in --data"
                    .to_owned()
            }
            Self::Refused { name, .. } if name == "HandleNotAvailable" => {
                "choose another name; `zap agent list` shows those there are".to_owned()
            }
            Self::Refused { name, .. } if name == "InvalidName" => {
                "a name has letters, digits and hyphens, as in alice or build-bot-2".to_owned()
            }
            Self::Refused { name, .. } if name == "AccountExists" => {
                "an agent that is at work here is not replaced; `zap agent show` says more".to_owned()
            }
            Self::Refused { name, .. } if name == "NotMovable" => {
                "`zap export --move` on the server where the agent lives makes an archive that moves it".to_owned()
            }
            Self::Refused { status: 501, .. } => {
                "the server does not have this method; is it a zap server?".to_owned()
            }
            Self::Refused { status: 500.., .. } => "the server's log says more".to_owned(),
            Self::NotXrpc { .. } => "say where the server is with --url or ZAP_URL".to_owned(),
            Self::Unconfirmed(_) => "repeat it with --yes if that is meant".to_owned(),
            Self::NoMemory { agent } => format!("`zap memories {agent}` shows those there are"),
            Self::NoDocument { .. } => {
                "say which PLC directory knows the DID with --plc-url or ZAP_PLC_URL".to_owned()
            }
            _ if self.code() == code::NOT_FOUND => "`zap agent list` shows the agents there are".to_owned(),
            Self::Usage(_) => "`zap --help` has examples".to_owned(),
            _ => return None,
        })
    }
}

/// Whether the server refused the token. A malformed one is a 400, as at the reference server.
fn is_about_tokens(status: u16, name: &str) -> bool {
    matches!(status, 401 | 403)
        || matches!(name, "InvalidToken" | "ExpiredToken" | "AuthMissing" | "VaultLocked")
}
