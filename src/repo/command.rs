//! What a repo can be asked, and what it answers.

use cid::Cid;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::actor::Status;
use crate::blobs::BlobClaim;
use crate::rate_limit::Allowance;
use crate::syntax::{Did, Nsid, RecordKey, Tid};

crate::seam! {
    read {
        GetRecord => Option<Record>,
        ListRecords => ByteBuf,
        DescribeRepo => Vec<Nsid>,
        GetHead => RepoHead,
        GetRecordProof => ByteBuf,
        GetBlocks => ByteBuf,
        Counts => RepoCounts,
        GetRecordTakedown => Option<RecordStanding>,
        RecordsSince => Vec<RecentRecord>,
    }
    write {
        ApplyWrites => WritesApplied,
        SetRecordTakedown => (),
    }
    create { }
}

/// A commit's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMeta {
    /// CID of the commit block.
    pub cid: Cid,
    /// Its rev.
    pub rev: Tid,
}

/// What to do with one record key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteAction {
    /// The key must be free.
    Create,
    /// The key must be taken.
    Update,
    /// Either.
    Put,
    /// The key must be taken.
    Delete,
    /// Nothing happens when it is free.
    DeleteIfPresent,
}

/// One write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Write {
    /// What to do.
    pub action: WriteAction,
    /// The collection.
    pub collection: Nsid,
    /// The record key; a new TID when absent.
    pub rkey: Option<RecordKey>,
    /// The record as canonical DAG-CBOR; absent for a delete.
    pub record: Option<ByteBuf>,
    /// The blobs the record refers to; all must be uploaded.
    pub blobs: Vec<BlobClaim>,
    /// What must be there before, else `InvalidSwap`.
    pub swap_record: Swap,
}

/// What a writer takes to be at a record key. No `Option` of an `Option`: CBOR has one null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swap {
    /// Whatever it is.
    #[default]
    Any,
    /// Nothing.
    Nothing,
    /// The record of this CID.
    Record(Cid),
}

/// Applies writes in one commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyWrites {
    /// In order; at most [`crate::limits::COMMIT_OPS_MAX`].
    pub writes: Vec<Write>,
    /// The newest commit must be this, else `InvalidSwap`.
    pub swap_commit: Option<Cid>,
}

/// The commit and each write's outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WritesApplied {
    /// Absent when nothing changed.
    pub commit: Option<CommitMeta>,
    /// In the order of the writes.
    pub results: Vec<WriteResult>,
    /// How the account stands with the limit of its writes.
    pub allowance: Option<Allowance>,
}

/// One write's outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WriteResult {
    /// The record key, given or made.
    pub rkey: RecordKey,
    /// The record's CID; absent for a delete.
    pub cid: Option<Cid>,
}

/// One record by key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRecord {
    /// Its collection.
    pub collection: Nsid,
    /// Its record key.
    pub rkey: RecordKey,
    /// Only this version.
    pub cid: Option<Cid>,
}

/// A record's block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its CID.
    pub cid: Cid,
    /// DAG-CBOR.
    pub block: ByteBuf,
}

/// A page of a collection, newest key first unless `reverse`; answered as the JSON of `com.atproto.repo.listRecords`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListRecords {
    /// Whose repo it is, for the records' URIs.
    pub did: Did,
    /// The collection.
    pub collection: Nsid,
    /// At most this many.
    pub limit: u32,
    /// Only keys past this one in the listing's order.
    pub cursor: Option<String>,
    /// Oldest first.
    pub reverse: bool,
}

/// The collections that hold records, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DescribeRepo {}

/// The newest commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetHead {}

/// Where a repo stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoHead {
    /// CID of the newest commit.
    pub commit: Cid,
    /// Its rev.
    pub rev: Tid,
    /// CID of its tree.
    pub data: Cid,
    /// Whether the account may act.
    pub status: Status,
}

/// A CAR that proves a record to be there, or not to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRecordProof {
    /// The record's collection.
    pub collection: Nsid,
    /// Its record key.
    pub rkey: RecordKey,
}

/// A CAR of these blocks; all must be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBlocks {
    /// Which.
    pub cids: Vec<Cid>,
}

/// What was written since a rev that an app view knows: posts, likes, follows and the profile, a few of each. Nothing where
/// all of the repo is newer: then the rev is of another life of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordsSince {
    /// The rev.
    pub rev: Tid,
}

/// A record that was written lately.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecentRecord {
    /// Its collection.
    pub collection: Nsid,
    /// Its record key.
    pub rkey: RecordKey,
    /// Its CID.
    pub cid: Cid,
    /// The rev that it was written with.
    pub rev: Tid,
    /// DAG-CBOR.
    pub block: ByteBuf,
}

/// Sizes, for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counts {}

/// Sizes, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoCounts {
    /// Records in the repo.
    pub records: u64,
    /// Nodes of its tree.
    pub nodes: u64,
    /// Sealed records whose key is still there.
    pub memories: u64,
    /// Blobs that are there and referenced.
    pub blobs: u64,
    /// What the owner set in apps.
    pub preferences: u64,
    /// When the newest commit was made, in microseconds since the Unix epoch.
    pub last_write_us: Option<i64>,
}

/// Takes a record down, or puts it back. The repo stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetRecordTakedown {
    /// The collection.
    pub collection: Nsid,
    /// The record key.
    pub rkey: RecordKey,
    /// The moderators' reference; `None` puts it back.
    pub reference: Option<String>,
}

/// Asks whether a record was taken down; `None` when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRecordTakedown {
    /// The collection.
    pub collection: Nsid,
    /// The record key.
    pub rkey: RecordKey,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStanding {
    /// Its CID.
    pub cid: Cid,
    /// The moderators' reference, when it was taken down.
    pub takedown: Option<String>,
}
