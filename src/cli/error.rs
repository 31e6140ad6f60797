//! Why a command failed, whichever command it was; and what goes wrong in any of them.

use std::ops::Deref;
use std::path::PathBuf;

use super::explain::{Code, Explain};

/// Why a command failed: an error that explains itself.
#[derive(Debug)]
pub(crate) struct CliError(Box<dyn Explain>);

// Not an `Explain` itself, so that `?` takes every error that is one.
impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl Deref for CliError {
    type Target = dyn Explain;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// What goes wrong here, before or beside the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LocalError {
    /// What was asked for can't be, and why.
    #[error("{0}")]
    Usage(String),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The process can't do what it needs of the system.
    #[error("{0}")]
    System(String),
}

impl Explain for LocalError {
    fn code(&self) -> Code {
        match self {
            Self::Usage(_) => Code::Usage,
            Self::File { .. } | Self::System(_) => Code::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Usage(_) => Some("`zap --help` has examples".to_owned()),
            Self::File { .. } | Self::System(_) => None,
        }
    }
}
