//! Why an account's cell refused: the cell's own reasons, and those of its domains. Serialisable: it crosses the seam.

use serde::{Deserialize, Serialize};

use crate::store::SqlError;
use crate::{blobs, memory, moving, preferences, repo, vault};

/// Why an account's cell refused.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// There is no repo in this cell.
    #[error("there is no such repo here")]
    NoRepo,
    /// There is one already.
    #[error("there is a repo here already")]
    RepoExists,
    /// Of the repo.
    #[error(transparent)]
    Repo(repo::Error),
    /// Of the memory.
    #[error(transparent)]
    Memory(memory::Error),
    /// Of the blobs.
    #[error(transparent)]
    Blobs(blobs::Error),
    /// Of leaving or arriving.
    #[error(transparent)]
    Moving(moving::Error),
    /// Of the preferences.
    #[error(transparent)]
    Preferences(preferences::Error),
    /// The account's keys do not open: another master key, or a damaged row.
    #[error("vault: {0}")]
    Vault(String),
    /// A promise of ours was broken: a bug, reported instead of a panic.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whether the cell in memory may differ from its database after this: the host then opens it anew.
    pub fn is_storage(&self) -> bool {
        match self {
            Error::Sql(_) | Error::Internal(_) => true,
            Error::Repo(error) => error.is_storage(),
            Error::Memory(error) => error.is_storage(),
            Error::Moving(error) => error.is_storage(),
            Error::Preferences(error) => error.is_storage(),
            Error::NoRepo | Error::RepoExists | Error::Blobs(_) | Error::Vault(_) => false,
        }
    }

    /// Whether the database is damaged, so that what can't be read of it is lost.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Sql(SqlError::Corrupt(_) | SqlError::Column { .. }) | Error::Vault(_))
    }

    /// Whether every other try meets the same, until somebody puts another file there or runs another program.
    pub fn is_lasting(&self) -> bool {
        self.is_damage() || matches!(self, Error::Sql(SqlError::Newer { .. } | SqlError::Misplaced { .. }))
    }
}

// What domains say of the database and of a repo that is not there is the cell's own to say: one case, wherever it
// came up.

impl From<repo::Error> for Error {
    fn from(error: repo::Error) -> Self {
        match error {
            repo::Error::Sql(error) => Error::Sql(error),
            repo::Error::NoRepo => Error::NoRepo,
            repo::Error::Blob(error) => error.into(),
            other => Error::Repo(other),
        }
    }
}

impl From<memory::Error> for Error {
    fn from(error: memory::Error) -> Self {
        match error {
            memory::Error::Sql(error) => Error::Sql(error),
            memory::Error::Repo(error) => error.into(),
            memory::Error::Vault(what) => Error::Vault(what),
            other => Error::Memory(other),
        }
    }
}

impl From<blobs::Error> for Error {
    fn from(error: blobs::Error) -> Self {
        match error {
            blobs::Error::Sql(error) => Error::Sql(error),
            blobs::Error::NoRepo => Error::NoRepo,
            other => Error::Blobs(other),
        }
    }
}

impl From<moving::Error> for Error {
    fn from(error: moving::Error) -> Self {
        match error {
            moving::Error::Sql(error) => Error::Sql(error),
            moving::Error::NoRepo => Error::NoRepo,
            moving::Error::RepoExists => Error::RepoExists,
            moving::Error::Repo(error) => error.into(),
            moving::Error::Vault(what) => Error::Vault(what),
            other => Error::Moving(other),
        }
    }
}

impl From<preferences::Error> for Error {
    fn from(error: preferences::Error) -> Self {
        match error {
            preferences::Error::Sql(error) => Error::Sql(error),
            preferences::Error::Vault(what) => Error::Vault(what),
            other => Error::Preferences(other),
        }
    }
}

impl From<vault::Error> for Error {
    fn from(error: vault::Error) -> Self {
        match error {
            vault::Error::Sql(error) => Error::Sql(error),
            other => Error::Vault(other.to_string()),
        }
    }
}
