//! A repo in a cell's database: planning commits, applying them, reading what is there.
//!
//! A write is planned first ([`plan`]): the tree is changed in memory on a copy that shares its nodes, the commit is
//! signed, the event is encoded, and the event's own blocks are shown to invert back to the tree before. Only then
//! is the plan applied ([`apply`]), as a list of statements in the command's transaction. A plan that fails touches
//! nothing.
//!
//! | module | |
//! |---|---|
//! | [`plan`] | writes and a tree in; commit, blocks and event out |
//! | [`apply`] | a plan into rows |
//! | [`read`] | records, pages, proofs, blocks |
//! | [`export`] | the whole repo as a CAR, streamed |

pub mod apply;
pub mod export;
pub mod plan;
pub mod read;

use bytes::Bytes;
use repo_mst::{BlockStore, BlockStoreError, TreeError};

use crate::event::Action;
use crate::store::{Row, Sql, SqlError, Value, query_first};
use cid::Cid;

/// Why a repo could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The tree could not be read or changed.
    #[error("tree: {0}")]
    Tree(#[from] TreeError),
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
        what: &'static str,
        /// The CID that is there, or `null`.
        found: String,
    },
    /// Writes no commit can hold.
    #[error("{0}")]
    InvalidWrites(String),
    /// The event's blocks do not invert to the tree before. A bug: the repo takes no more writes.
    #[error("commit is not proven: {0}")]
    Unproven(String),
    /// The database holds what cannot be there.
    #[error("repo is damaged: {0}")]
    Damaged(String),
    /// A block that was asked for is not in the repo.
    #[error("Could not find block: {0}")]
    BlockNotFound(String),
    /// The blocks that were asked for are over this many bytes.
    #[error("the blocks are over {0} bytes: ask for fewer at once")]
    TooMuch(usize),
}

/// Where a repo stands: its newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The commit's rev.
    pub rev: String,
    /// The commit's CID.
    pub commit: Cid,
    /// The root of its tree.
    pub data: Cid,
}

impl Head {
    /// The head of this database; `None` before the first commit.
    ///
    /// # Errors
    /// [`RepoError::Sql`], or [`RepoError::Damaged`] for a CID that is none.
    pub fn read(sql: &dyn Sql) -> Result<Option<Self>, RepoError> {
        let row = query_first(sql, "SELECT rev, commit_cid, data_cid FROM head WHERE id = 1", &[], |row| {
            Ok((row.text(0)?.to_owned(), row.blob(1)?.to_vec(), row.blob(2)?.to_vec()))
        })?;
        row.map(|(rev, commit, data)| Ok(Self { rev, commit: read_cid(&commit)?, data: read_cid(&data)? }))
            .transpose()
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
    pub blobs: Vec<String>,
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

pub(crate) fn read_cid(bytes: &[u8]) -> Result<Cid, RepoError> {
    Cid::read_bytes(bytes).map_err(|error| RepoError::Damaged(format!("a stored CID: {error}")))
}
