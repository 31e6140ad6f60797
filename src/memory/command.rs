//! What an agent's memory can be asked, and what it answers. What says something of a memory's content is hidden.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::Filter;
use crate::rate_limit::Allowance;
use crate::seam::{Hidden, HiddenBytes};
use crate::syntax::RecordKey;

// All of them need the opened keys, and most the index, which the writer has.
crate::seam! {
    read { }
    write {
        Remember => Remembered,
        GetMemory => Opened,
        ListMemories => MemoryPage,
        Recall => Vec<Recalled>,
        Forget => Forgotten,
    }
    create { }
}

/// Seals a memory into the repo.
#[derive(Clone, Serialize, Deserialize)]
pub struct Remember {
    /// The memory as canonical DAG-CBOR with its `$type`, validated by the caller.
    pub memory: HiddenBytes,
    /// Answer [`Kept::Duplicate`] when the same content is there already.
    pub dedupe: bool,
}

/// Where a memory went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The sealed record's key.
    pub rkey: RecordKey,
    /// Its CID.
    pub cid: Cid,
    /// What was done.
    pub kept: Kept,
    /// How the account stands with the limit of its writes.
    pub allowance: Option<Allowance>,
}

/// What keeping a memory came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// A record of its own.
    Created,
    /// A newer version of a fact that states the same.
    Updated,
    /// The same content was there already.
    Duplicate,
}

impl Kept {
    /// The lexicon's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Duplicate => "duplicate",
        }
    }
}

/// One memory, opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetMemory {
    /// The sealed record's key.
    pub rkey: RecordKey,
}

/// A memory, opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The sealed record's key.
    pub rkey: RecordKey,
    /// Its CID.
    pub cid: Cid,
    /// DAG-CBOR with `$type`.
    pub memory: HiddenBytes,
}

/// A page of memories, newest first.
#[derive(Clone, Serialize, Deserialize)]
pub struct ListMemories {
    /// Which.
    pub filter: Filter,
    /// From the page before.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// A page of memories.
#[derive(Clone, Serialize, Deserialize)]
pub struct MemoryPage {
    /// Opened.
    pub memories: Vec<Opened>,
    /// For the next page; absent at the end.
    pub cursor: Option<String>,
}

/// Searches by words.
#[derive(Clone, Serialize, Deserialize)]
pub struct Recall {
    /// What to look for.
    pub query: Hidden<String>,
    /// Among these.
    pub filter: Filter,
    /// At most this many.
    pub limit: u32,
    /// Only with at least this score, 0 to 1000.
    pub min_score: u32,
}

/// One hit, the best first.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// The memory, opened.
    pub memory: Opened,
    /// 0 to 1000.
    pub score: u32,
    /// The query's words that it holds.
    pub why: Hidden<Vec<String>>,
}

/// Destroys memories: their keys and their records.
#[derive(Clone, Serialize, Deserialize)]
pub struct Forget {
    /// Record keys; those that are not there are not counted.
    pub rkeys: Vec<RecordKey>,
    /// Or all that match, in bounded portions (asked again while `more`).
    pub filter: Option<Filter>,
    /// Only count, in `shredded`, all that would be destroyed.
    pub dry_run: bool,
}

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Keys of the records deleted.
    pub rkeys: Vec<RecordKey>,
    /// Data keys destroyed.
    pub shredded: u64,
    /// Whether a filter has more left.
    pub more: bool,
}
