//! What an agent knows: memories kept sealed, found by their words, forgotten for good.
//!
//! A memory is any object with a `$type`, one of the `agent.memory.*` records as a rule. A memory rests as a sealed
//! record in the repo (`vault`) and nowhere else. To search, a [`Memory`] holds an [`Index`] in memory: postings and a
//! few facts of each memory, never its text. The index is not stored: it is restored by opening the sealed records the
//! first time something is looked for (about 15 us each), so it can't drift. Answers open the records they name, on demand.
//! What rests of a memory beside its sealed record are marks under a key of the agent's own (`same`): keeping one needs
//! no index.
//!
//! Planning and applying are apart. [`Memory::plan_remember`] and [`Memory::plan_forget`] look and seal; [`Memory::change`]
//! commits the record's block and [`Remembering::apply`]s the key in one transaction, and then lets the index follow. If
//! the transaction is lost after that, drop the [`Memory`]: it is restored from what is on disk.
//!
//! Invariants
//! - No plaintext in a table, an error, or `Debug`.
//! - A sealed record that does not open is [`Error::SealBroken`] for every search and list until it is forgotten, since
//!   an answer without it would be a quiet lie.
//! - The index holds exactly the records that have a key in the keyring.

mod change;
mod command;
mod entry;
mod index;
mod plan;
mod read;
mod same;
mod words;

pub use command::{
    Change, Command, Forget, Forgotten, GetMemory, Kept, ListMemories, MemoryPage, Opened, Query, Recall,
    Recalled, Remember, Remembered, Reply,
};
pub use entry::Entry;
pub use index::{Filter, Hit, Index};
pub use plan::{Forgetting, Planned, Remembering};

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::SEALED_CHANGES_MAX;
use crate::repo;
use crate::store::SqlError;
use crate::syntax::RecordKey;
use crate::vault::{self, COLLECTION, Keyring};

/// Different words of a query that are looked up, the first ones: one bit each while ranking.
pub const QUERY_WORDS_MAX: usize = 64;

/// Results of one search: a page, as everywhere.
pub const RECALL_RESULTS_MAX: usize = 100;

/// Memories forgotten by one command.
pub const FORGET_MAX: usize = SEALED_CHANGES_MAX;

/// Where the sealed record of a key stands in the repo.
fn record_path(rkey: &str) -> String {
    format!("{COLLECTION}/{rkey}")
}

/// A key of our own making, as its type.
fn record_key(text: &str) -> Result<RecordKey, Error> {
    RecordKey::try_from(text).map_err(|error| Error::Internal(error.to_string()))
}

/// Why a memory could not be kept or found. Serialisable: it crosses the seam.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// Not an object with a `$type`, or with a field that cannot be read as what it must be.
    #[error("not a memory: {0}")]
    Invalid(Cow<'static, str>),
    /// Longer than a sealed record may be.
    #[error("memory of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What was given.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// No memory under that key: never made, or forgotten.
    #[error("there is no such memory: it was never made or is forgotten")]
    NotFound,
    /// A sealed record does not open: altered, moved, put back, or deleted without its key.
    #[error("sealed record {rkey} does not open: {why}")]
    SealBroken {
        /// Its record key.
        rkey: String,
        /// What the vault says.
        why: String,
    },
    /// The cursor is not one of ours.
    #[error("invalid cursor")]
    Cursor,
    /// A filter that restricts nothing, where everything would be destroyed.
    #[error("the filter matches everything")]
    EmptyFilter,
    /// The vault's keys do not open: another master key, or a damaged row.
    #[error("vault: {0}")]
    Vault(String),
    /// The sealed record could not be written.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// The database could not be read.
    #[error("memories: {0}")]
    Sql(#[from] SqlError),
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
            Error::Invalid(_)
            | Error::TooLarge { .. }
            | Error::NotFound
            | Error::SealBroken { .. }
            | Error::Cursor
            | Error::EmptyFilter
            | Error::Vault(_) => false,
        }
    }

    fn broken(rkey: &str, source: &vault::Error) -> Self {
        Error::SealBroken { rkey: rkey.to_owned(), why: source.to_string() }
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

/// One agent's memory: its keys, and its index once it was needed.
pub struct Memory {
    keyring: Keyring,
    index: Option<Restored>,
}

/// An index and the records that should be in it but do not open.
struct Restored {
    index: Index,
    broken: Vec<(String, vault::Error)>,
}

impl Memory {
    /// Takes an agent's opened keys. The index is restored when it is first needed.
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring, index: None }
    }

    /// The agent's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The agent's keys, for rotation. After destroying an epoch, drop this Memory.
    pub fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.keyring
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("keyring", &self.keyring)
            .field("indexed", &self.index.as_ref().map(|restored| restored.index.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests;
