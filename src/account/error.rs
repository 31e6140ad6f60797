//! Why an agent cell refused. Serialisable: it crosses the seam.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::repo::RepoError;
use crate::store::SqlError;
use crate::{archive, crypto, memory, vault};

/// Why an agent cell refused.
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
    /// The account may not write in its standing, which this names.
    #[error("account is {0}")]
    Inactive(String),
    /// A swap did not match.
    #[error("{0}")]
    InvalidSwap(String),
    /// A record that was to be updated or deleted is not there.
    #[error("{0}")]
    RecordNotFound(String),
    /// Writes no commit can hold, or a key that is taken.
    #[error("{0}")]
    InvalidWrites(String),
    /// A block that was asked for is not in the repo.
    #[error("{0}")]
    BlockNotFound(String),
    /// A record refers to a blob that was not uploaded, or is gone again.
    #[error("Could not find blob: {0}")]
    BlobNotFound(String),
    /// A record says of a blob what is not so.
    #[error("Referenced {what} does not match stored blob. Expected: {found}")]
    InvalidBlob {
        /// `Mimetype` or `Size`.
        what: Cow<'static, str>,
        /// What is so.
        found: String,
    },
    /// No memory under that key: never made, or forgotten.
    #[error("there is no such memory: it was never made or is forgotten")]
    MemoryNotFound,
    /// Not a memory.
    #[error("{0}")]
    InvalidMemory(String),
    /// A memory longer than a sealed record may be.
    #[error("{0}")]
    MemoryTooLarge(String),
    /// A cursor that is none of ours.
    #[error("invalid cursor")]
    InvalidCursor,
    /// A filter that would destroy everything.
    #[error("{0}")]
    InvalidFilter(String),
    /// A sealed record does not open.
    #[error("{0}")]
    SealBroken(String),
    /// The vault's keys do not open: another master key, or a damaged row.
    #[error("vault: {0}")]
    Vault(String),
    /// An archive, or a part of one, that can't be taken.
    #[error("{0}")]
    InvalidArchive(String),
    /// More than an archive holds.
    #[error("the agent is too large for an archive: {0}")]
    ArchiveTooLarge(String),
    /// The archive's sealed part does not open.
    #[error("the passphrase is wrong, or the archive was changed")]
    WrongPassphrase,
    /// A promise of ours was broken: a bug, reported instead of a panic.
    #[error("{0}")]
    Internal(String),
    /// The host brought the answer to another question: a bug.
    #[error("the answer is to another question")]
    Mismatch,
    /// The host is stopping.
    #[error("the server is stopping")]
    Stopped,
}

impl Error {
    /// Whether the cell in memory may differ from its database after this: the host then opens it anew.
    pub fn is_storage(&self) -> bool {
        matches!(self, Error::Sql(_) | Error::Internal(_))
    }
}

impl From<RepoError> for Error {
    fn from(error: RepoError) -> Self {
        let text = error.to_string();
        match error {
            RepoError::Sql(error) => Error::Sql(error),
            RepoError::InvalidSwap { .. } => Error::InvalidSwap(text),
            RepoError::RecordNotFound(_) => Error::RecordNotFound(text),
            RepoError::RecordExists(_) | RepoError::InvalidWrites(_) | RepoError::TooMuch(_) => {
                Error::InvalidWrites(text)
            }
            RepoError::BlockNotFound(_) => Error::BlockNotFound(text),
            RepoError::Tree(_) | RepoError::Unproven(_) | RepoError::Damaged(_) => Error::Internal(text),
        }
    }
}

impl From<memory::Error> for Error {
    fn from(error: memory::Error) -> Self {
        let text = error.to_string();
        match error {
            memory::Error::Sql(error) => Error::Sql(error),
            memory::Error::SealBroken { .. } => Error::SealBroken(text),
            memory::Error::Vault(error) => error.into(),
            memory::Error::TooLarge { .. } => Error::MemoryTooLarge(text),
            memory::Error::Cursor => Error::InvalidCursor,
            memory::Error::EmptyFilter => Error::InvalidFilter(text),
            memory::Error::Invalid(_) => Error::InvalidMemory(text),
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

impl From<crypto::jwt::Error> for Error {
    fn from(error: crypto::jwt::Error) -> Self {
        Error::Internal(error.to_string())
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        match error {
            archive::Error::Closed => Error::WrongPassphrase,
            archive::Error::TooLarge(what) => Error::ArchiveTooLarge(what),
            archive::Error::Primitive(_) => Error::Internal(error.to_string()),
            other => Error::InvalidArchive(other.to_string()),
        }
    }
}
