//! Why following a stream ended badly.

use super::super::explain::{Code, Explain};
use super::super::out::counted;

/// Why following a stream ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FirehoseError {
    /// The address is no host's.
    #[error("`{0}` is not the address of a host")]
    Address(String),
    /// The host can't be reached, or does not answer as a stream does.
    #[error("the stream at {url} can't be followed: {reason}")]
    Connect {
        /// Where.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The host ended the stream, and would again.
    #[error("the host ended the stream with {name}: {message}")]
    Ended {
        /// The error's name.
        name: String,
        /// Its message.
        message: String,
    },
    /// The stream broke rules.
    #[error("{} of the protocol", counted(*.0, "violation"))]
    Violations(u64),
}

impl Explain for FirehoseError {
    fn code(&self) -> Code {
        match self {
            Self::Address(_) => Code::Usage,
            Self::Connect { .. } => Code::Unreachable,
            Self::Ended { .. } | Self::Violations(_) => Code::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Connect { .. } => {
                "start a server with `zap dev`, or name a host that runs, as bsky.network or http://localhost:2583"
            }
            Self::Address(_) | Self::Ended { .. } | Self::Violations(_) => return None,
        };
        Some(hint.to_owned())
    }
}
