//! What an agent cell can be asked, and what it answers.

mod transfer;

pub use transfer::*;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::event::{EventKind, Frame};
use crate::memory::Filter;
use crate::seam;

seam! {
    CreateRepo => CommitMeta,
    ApplyWrites => WritesApplied,
    GetRecord => Option<Record>,
    ListRecords => Vec<ListedRecord>,
    DescribeRepo => Vec<String>,
    GetHead => RepoHead,
    GetRecordProof => ByteBuf,
    GetBlocks => ByteBuf,
    SetStatus => (),
    EmitIdentity => (),
    SignServiceAuth => String,
    GetSigningKey => String,
    AddBlob => (),
    GetBlobMeta => Option<BlobMeta>,
    ListBlobs => Vec<String>,
    ListMissingBlobs => Vec<MissingBlob>,
    ExpireBlobs => Vec<String>,
    PendingOutbox => Vec<OutboxRow>,
    Counts => RepoCounts,
    Remember => Remembered,
    GetMemory => Memory,
    ListMemories => MemoryPage,
    Recall => Vec<Recalled>,
    Forget => Forgotten,

    SealManifest => SealedManifest,
    GetMoveKey => Option<String>,
    SignMove => ByteBuf,
    DropMoveKey => (),
    BeginImport => (),
    ImportRecords => u64,
    FinishImport => ImportFinished,
}

/// Makes the repo: keys, the first commit, the events of a new account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateRepo {
    /// The account's DID.
    pub did: String,
    /// Its handle, for the `#identity` event.
    pub handle: String,
    /// The private signing key (secp256k1). The cell keeps it wrapped under the master key.
    pub signing_key: ByteBuf,
    /// False for an account that migrates in: it emits nothing until it is activated.
    pub active: bool,
}

/// Asks for the public signing key, as did:key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetSigningKey {}

/// A commit's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMeta {
    /// CID of the commit block.
    pub cid: String,
    /// Its rev.
    pub rev: String,
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
    /// The collection's NSID, checked by the caller.
    pub collection: String,
    /// The record key, checked by the caller; a new TID when absent.
    pub rkey: Option<String>,
    /// The record as canonical DAG-CBOR; absent for a delete.
    pub record: Option<ByteBuf>,
    /// The blobs the record refers to; all must be uploaded.
    pub blobs: Vec<BlobClaim>,
    /// What must be there before, else `InvalidSwap`.
    pub swap_record: Swap,
}

/// What a writer takes to be at a record key. No `Option` of an `Option`: CBOR has one null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swap {
    /// Whatever it is.
    #[default]
    Any,
    /// Nothing.
    Nothing,
    /// The record of this CID.
    Record(String),
}

/// What a record says of a blob it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobClaim {
    /// Its CID.
    pub cid: String,
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Applies writes in one commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplyWrites {
    /// In order; at most [`crate::limits::COMMIT_OPS_MAX`].
    pub writes: Vec<Write>,
    /// The newest commit must be this, else `InvalidSwap`.
    pub swap_commit: Option<String>,
}

/// The commit and each write's outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WritesApplied {
    /// Absent when nothing changed.
    pub commit: Option<CommitMeta>,
    /// In the order of the writes.
    pub results: Vec<WriteResult>,
}

/// One write's outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WriteResult {
    /// The record key, given or made.
    pub rkey: String,
    /// The record's CID; absent for a delete.
    pub cid: Option<String>,
}

/// One record by key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRecord {
    /// `collection/rkey`.
    pub path: String,
    /// Only this version.
    pub cid: Option<String>,
}

/// A record's block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its CID.
    pub cid: String,
    /// DAG-CBOR.
    pub block: ByteBuf,
}

/// A page of a collection, newest key first unless `reverse`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListRecords {
    /// The collection's NSID.
    pub collection: String,
    /// At most this many.
    pub limit: u32,
    /// Only keys past this one in the listing's order.
    pub cursor: Option<String>,
    /// Oldest first.
    pub reverse: bool,
}

/// One record of a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedRecord {
    /// Its record key.
    pub rkey: String,
    /// Its CID.
    pub cid: String,
    /// DAG-CBOR.
    pub block: ByteBuf,
}

/// The collections that hold records, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DescribeRepo {}

/// The newest commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetHead {}

/// Where a repo stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoHead {
    /// CID of the newest commit.
    pub commit: String,
    /// Its rev.
    pub rev: String,
    /// CID of its tree.
    pub data: String,
    /// `active`, `deactivated`, `takendown`, …
    pub status: String,
}

/// A CAR that proves a record to be there, or not to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRecordProof {
    /// `collection/rkey`.
    pub path: String,
}

/// A CAR of these blocks; all must be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBlocks {
    /// CIDs in text form.
    pub cids: Vec<String>,
}

/// Sets the account's standing and emits what belongs to the change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetStatus {
    /// `active`, `deactivated`, `takendown`, `suspended` or `deleted`.
    pub status: String,
    /// The handle, for the `#identity` event of an activation.
    pub handle: Option<String>,
}

/// Emits `#identity`: the handle or the DID document changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmitIdentity {
    /// The handle now.
    pub handle: Option<String>,
}

/// A service-auth token signed with the repo's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignServiceAuth {
    /// The service it is for: a DID.
    pub aud: String,
    /// The method it is for.
    pub lxm: Option<String>,
    /// When it ends, in seconds since the Unix epoch.
    pub exp: i64,
}

/// Records an uploaded blob; it expires unless a record refers to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddBlob {
    /// Its CID.
    pub cid: String,
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A blob's facts; `None` when it is not there or nothing refers to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBlobMeta {
    /// Its CID.
    pub cid: String,
}

/// A blob's facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlobMeta {
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// CIDs of referenced blobs, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListBlobs {
    /// Only those of records written after this rev.
    pub since: Option<String>,
    /// Only CIDs past this one.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// Blobs that records refer to and that are not there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListMissingBlobs {
    /// Only CIDs past this one.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// A blob that is missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissingBlob {
    /// Its CID.
    pub cid: String,
    /// `collection/rkey` of a record that refers to it.
    pub path: String,
}

/// Forgets uploads that nothing refers to and that are older than `before_us`; the host deletes their bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpireBlobs {
    /// Microseconds since the Unix epoch.
    pub before_us: i64,
    /// At most this many.
    pub limit: u32,
}

/// Events the sequencer may not have yet, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingOutbox {
    /// Only ids above this.
    pub after: i64,
    /// At most this many.
    pub limit: u32,
}

/// One event on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Rises strictly per agent; microseconds.
    pub id: i64,
    /// Which event it is.
    pub kind: EventKind,
    /// The event, without its seq.
    pub frame: Frame,
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
    /// When the newest commit was made, in microseconds since the Unix epoch.
    pub last_write_us: Option<i64>,
}

/// Seals a memory into the repo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remember {
    /// The memory as canonical DAG-CBOR with its `$type`, validated by the caller.
    pub memory: ByteBuf,
    /// Answer `duplicate` when the same content is there already.
    pub dedupe: bool,
}

/// Where a memory went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The sealed record's key.
    pub rkey: String,
    /// Its CID.
    pub cid: String,
    /// `created` or `duplicate`.
    pub status: String,
}

/// One memory, opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetMemory {
    /// The sealed record's key.
    pub rkey: String,
}

/// A memory, opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The sealed record's key.
    pub rkey: String,
    /// Its CID.
    pub cid: String,
    /// DAG-CBOR with `$type`.
    pub memory: ByteBuf,
}

/// A page of memories, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListMemories {
    /// Which.
    pub filter: Filter,
    /// From the page before.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// A page of memories.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryPage {
    /// Opened.
    pub memories: Vec<Memory>,
    /// For the next page; absent at the end.
    pub cursor: Option<String>,
}

/// Searches by words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recall {
    /// What to look for.
    pub query: String,
    /// Among these.
    pub filter: Filter,
    /// At most this many.
    pub limit: u32,
    /// Only with at least this score, 0 to 1000.
    pub min_score: u32,
}

/// One hit, the best first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// The memory, opened.
    pub memory: Memory,
    /// 0 to 1000.
    pub score: u32,
    /// The words that matched.
    pub why: Vec<String>,
}

/// Destroys memories: their keys and their records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forget {
    /// Record keys; those that are not there are not counted.
    pub rkeys: Vec<String>,
    /// Or all that match, in bounded portions (asked again while `more`).
    pub filter: Option<Filter>,
    /// Only count, in `shredded`, all that would be destroyed.
    pub dry_run: bool,
}

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Keys of the records deleted.
    pub rkeys: Vec<String>,
    /// Data keys destroyed.
    pub shredded: u64,
    /// Whether a filter has more left.
    pub more: bool,
}
