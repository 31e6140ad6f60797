//! How an error explains itself: the exit code, a name for programs, the next step.
//!
//! Every module of the command line has an error of its own and implements [`Explain`] beside it. So a new command
//! brings its explanations along, and nothing below the commands knows of them.

use zap::host::HostError;

/// Exit codes, as `zap --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// What ended the command is no failure, and nothing is said of it.
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    NotAuthorized = 4,
    Unreachable = 5,
}

impl Code {
    /// What programs read where the error has no name of its own.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Usage => "Usage",
            Self::NotFound => "NotFound",
            Self::NotAuthorized => "NotAuthorized",
            Self::Unreachable => "Unreachable",
        }
    }
}

/// An error that a command may end with. Its `Display` says in full what went wrong.
pub(crate) trait Explain: std::error::Error + 'static {
    /// What the process exits with.
    fn code(&self) -> Code {
        Code::Failed
    }

    /// A stable name for programs; the server's own where it gave one.
    fn name(&self) -> &str {
        self.code().name()
    }

    /// The next step, where one is known.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// What the running server and the client's HTTP have in common.
impl Explain for HostError {}
