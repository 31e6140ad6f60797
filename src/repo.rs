//! A repo in a cell's database: planning commits, applying them, reading what is there.
//!
//! A write is planned first ([`plan`]): the tree is changed in memory on a copy that shares its nodes, the commit is
//! signed, the event is encoded, and the event's own blocks are shown to invert back to the tree before. Only then
//! is the plan applied ([`apply`]), as a list of statements in the command's transaction. A plan that fails touches
//! nothing.
//!
//! | module | |
//! |---|---|
//! | `command` | what can be asked |
//! | [`plan`] | writes and a tree in; commit, blocks and event out |
//! | [`apply`] | a plan into rows |
//! | `write` | the writer's memory of the repo: [`Repo`] |
//! | `recent` | what an app view has not seen yet |
//! | [`mod@read`] | records, pages, proofs, blocks, from any connection |
//! | [`proof`] | whether a record of a repo elsewhere is its owner's |
//! | `takedown` | what moderators took down |
//! | [`mod@check`] | whether all of it is whole |
//! | [`export`] | the whole repo as a CAR, streamed |

pub mod apply;
pub mod check;
mod command;
pub mod export;
pub mod plan;
pub mod proof;
pub mod read;
mod recent;
mod sent;
mod takedown;
mod write;

pub use command::{
    ApplyWrites, Change, Command, CommitMeta, Counts, DescribeRepo, GetBlocks, GetHead, GetRecord,
    GetRecordProof, GetRecordTakedown, ListRecords, Query, RecentRecord, Record, RecordStanding,
    RecordsSince, Reply, RepoCounts, RepoHead, SetRecordTakedown, Swap, Write, WriteAction, WriteResult,
    WritesApplied,
};
pub use read::read;
pub use write::{Repo, require_active};

use std::borrow::Cow;

use bytes::Bytes;
use cid::Cid;
use repo_mst::{BlockStore, BlockStoreError, Link, TreeError};
use serde::{Deserialize, Serialize};

use crate::actor::Status;
use crate::blobs;
use crate::event::Action;
use crate::rate_limit::Allowance;
use crate::store::{Row, Sql, SqlError, Value, query_first};
use crate::syntax::Tid;

/// Why a repo could not be written or read. Serialisable: it crosses the seam.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// There is no repo here.
    #[error("there is no such repo here")]
    NoRepo,
    /// The account may not write in its standing.
    #[error("account is {}", .0.as_str())]
    Inactive(Status),
    /// A create of a key that is taken.
    #[error("there is a record at {0} already")]
    RecordExists(String),
    /// An update or delete of a key that is free.
    #[error("Could not find record: {0}")]
    RecordNotFound(String),
    /// A swap did not match.
    #[error("{what} was at {found}")]
    InvalidSwap {
        /// `Commit` or `Record`.
        what: Cow<'static, str>,
        /// The CID that is there, or `null`.
        found: String,
    },
    /// Writes no commit can hold.
    #[error("{0}")]
    InvalidWrites(String),
    /// A blob that a record refers to.
    #[error(transparent)]
    Blob(#[from] blobs::Error),
    /// A block that was asked for is not in the repo.
    #[error("Could not find block: {0}")]
    BlockNotFound(Cid),
    /// The account has taken its share of the event log for today.
    #[error("the account has written as much today as a day takes: go on after midnight, UTC")]
    DayIsFull,
    /// The account writes more often than it may.
    #[error("too many writes: try again in {} s", .0.retry_seconds())]
    TooOften(Allowance),
    /// The blocks that were asked for are over this many bytes.
    #[error("the blocks are over {0} bytes: ask for fewer at once")]
    TooMuch(u64),
    /// The tree could not be read or changed.
    #[error("tree: {0}")]
    Tree(String),
    /// The event's blocks do not invert to the tree before. A bug: the repo takes no more writes.
    #[error("commit is not proven: {0}")]
    Unproven(String),
    /// The database holds what cannot be there.
    #[error("repo is damaged: {0}")]
    Damaged(String),
    /// A data key could not be destroyed.
    #[error("vault: {0}")]
    Keys(String),
}

impl Error {
    /// Whether the cell in memory may differ from its database after this: the host then opens it anew.
    pub fn is_storage(&self) -> bool {
        match self {
            Error::Sql(_) | Error::Tree(_) | Error::Unproven(_) | Error::Damaged(_) | Error::Keys(_) => true,
            Error::Blob(blobs::Error::Sql(_)) => true,
            Error::NoRepo
            | Error::Inactive(_)
            | Error::RecordExists(_)
            | Error::RecordNotFound(_)
            | Error::InvalidSwap { .. }
            | Error::InvalidWrites(_)
            | Error::Blob(_)
            | Error::BlockNotFound(_)
            | Error::DayIsFull
            | Error::TooOften(_)
            | Error::TooMuch(_) => false,
        }
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        Error::Tree(error.to_string())
    }
}

/// Where a repo stands: its newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The commit's rev.
    pub rev: Tid,
    /// The commit's CID.
    pub commit: Cid,
    /// The root of its tree.
    pub data: Cid,
}

impl Head {
    /// The head of this database; `None` before the first commit.
    ///
    /// # Errors
    /// [`Error::Sql`], or [`Error::Damaged`] for a CID that is none.
    pub fn read(sql: &dyn Sql) -> Result<Option<Self>, Error> {
        let row = query_first(sql, "SELECT rev, commit_cid, data_cid FROM head WHERE id = 1", &[], |row| {
            Ok((Tid::try_from(row.text(0)?), row.blob(1)?.to_vec(), row.blob(2)?.to_vec()))
        })?;
        let Some((rev, commit, data)) = row else { return Ok(None) };
        let rev = rev.map_err(|error| Error::Damaged(format!("the head's rev: {error}")))?;
        Ok(Some(Self { rev, commit: read_cid(&commit)?, data: read_cid(&data)? }))
    }

    /// The commit's name.
    pub fn meta(&self) -> CommitMeta {
        CommitMeta { cid: self.commit, rev: self.rev }
    }
}

/// One record's change, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// What happens.
    pub action: Action,
    /// `collection/rkey`.
    pub path: String,
    /// The record now and its block; absent for a delete.
    pub record: Option<(Cid, Bytes)>,
    /// The record before.
    pub prev: Option<Cid>,
    /// Blobs the record now refers to.
    pub blobs: Vec<Cid>,
}

/// The nodes of the tree that rests in a database.
pub struct Nodes<'a>(pub &'a dyn Sql);

impl BlockStore for Nodes<'_> {
    fn read_block(&self, cid: &Cid) -> Result<Option<Bytes>, BlockStoreError> {
        let key = cid.to_bytes();
        let statement = "SELECT block FROM node WHERE cid = ?1 AND settled = 0 \
                         UNION ALL SELECT block FROM node WHERE cid = ?1 AND settled = 1 LIMIT 1";
        let read = |row: &dyn Row| Ok(Bytes::copy_from_slice(row.blob(0)?));
        query_first(self.0, statement, &[Value::Blob(&key)], read).map_err(BlockStoreError::new)
    }
}

/// A stored CID whose block has its hash: what a disk changed is damage, and never an answer. The hash takes
/// about a nanosecond a byte: a third of a microsecond for a usual record.
pub(crate) fn verified(sql: &dyn Sql, cid: &[u8], block: &[u8]) -> Result<Cid, SqlError> {
    let link = Link::from_cid_bytes(cid)
        .ok_or_else(|| SqlError::Corrupt(format!("{}: a stored CID is none", sql.place())))?;
    if Link::to_block(block) == link {
        return Ok(link.cid());
    }
    Err(SqlError::Corrupt(format!(
        "{}: the block of {link} has other bytes: see `zap repo check`",
        sql.place()
    )))
}

pub(crate) fn read_cid(bytes: &[u8]) -> Result<Cid, Error> {
    Cid::read_bytes(bytes).map_err(|error| Error::Damaged(format!("a stored CID: {error}")))
}
