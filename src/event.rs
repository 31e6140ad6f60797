//! Event stream frames: the bytes of one WebSocket message of `subscribeRepos`.
//!
//! A frame is two DAG-CBOR items in a row: the header `{op: 1, t: "#commit"}` and the body. A frame is encoded once, by
//! the cell that makes the event, and those bytes serve the outbox, the event log and every subscriber. Only `seq` is
//! not known then, so its eight bytes are left at zero and the sequencer fills them in.
//!
//! Invariants
//! - Canonical DAG-CBOR: keys by length, then bytes; shortest integers; definite lengths. Each encoder below lists its
//!   keys in that order.
//! - `seq` is always the nine-byte integer form, which is the shortest one because a `seq` counts microseconds and so
//!   is above 2^32 ([`SEQ_MIN`]).
//! - Decoding is strict and takes any bytes: bounded depth, no allocation beyond the input's own size.
//!
//! Sources: `specs/event-stream`, `specs/sync`, `lexicons/com/atproto/sync/subscribeRepos.json`.

mod decode;
mod encode;
pub mod verify;

use bytes::Bytes;
use cid::Cid;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use decode::{DecodeError, Event};
pub use encode::{error, info};

/// The lowest `seq` a [`Frame`] takes: below it the nine-byte integer form is not canonical.
pub const SEQ_MIN: i64 = 1 << 32;

/// The bound of every `seq` (exclusive): consumers keep it in a JavaScript number.
pub const SEQ_LIMIT: i64 = 1 << 53;

/// An encoded event whose `seq` is open until the sequencer sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FrameParts", into = "FrameParts")]
pub struct Frame {
    bytes: Vec<u8>,
    seq_at: u32,
}

/// A frame on its way through a seam.
#[derive(Serialize, Deserialize)]
struct FrameParts {
    bytes: ByteBuf,
    seq_at: u32,
}

impl TryFrom<FrameParts> for Frame {
    type Error = &'static str;

    fn try_from(parts: FrameParts) -> Result<Self, Self::Error> {
        Self::from_parts(parts.bytes.into_vec(), parts.seq_at).ok_or("no place for a seq there")
    }
}

impl From<Frame> for FrameParts {
    fn from(frame: Frame) -> Self {
        Self { bytes: frame.bytes.into(), seq_at: frame.seq_at }
    }
}

impl Frame {
    /// A frame as it came back from an outbox: `bytes` and `seq_at` of [`Frame::bytes`] and [`Frame::seq_at`].
    /// `None` when there is no place for a `seq` at `seq_at`.
    pub fn from_parts(bytes: Vec<u8>, seq_at: u32) -> Option<Self> {
        let at = usize::try_from(seq_at).ok()?;
        let head = bytes.get(at.checked_sub(1)?)?;
        let place = bytes.get(at..at.checked_add(8)?)?;
        (*head == encode::UINT64 && place.len() == 8).then_some(Self { bytes, seq_at })
    }

    /// The encoded event; its `seq` is zero until [`Frame::set_seq`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in [`Frame::bytes`] the eight big-endian bytes of `seq` are.
    pub fn seq_at(&self) -> u32 {
        self.seq_at
    }

    /// Fills in the `seq`, which must be in [`SEQ_MIN`]`..`[`SEQ_LIMIT`]; the sequencer gives no other.
    pub fn set_seq(&mut self, seq: i64) {
        debug_assert!((SEQ_MIN..SEQ_LIMIT).contains(&seq), "seq {seq} is out of range");
        let place = self.bytes.get_mut(self.seq_at as usize..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = seq.to_be_bytes();
        }
    }

    /// The finished frame: [`Frame::set_seq`], then the bytes.
    pub fn with_seq(mut self, seq: i64) -> Bytes {
        self.set_seq(seq);
        Bytes::from(self.bytes)
    }
}

/// The events of the stream that carry a `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A change of a repo.
    Commit,
    /// The state of a repo, without the changes that led to it.
    Sync,
    /// A DID's document or handle may have changed.
    Identity,
    /// An account's status at this host.
    Account,
}

impl EventKind {
    const ALL: [Self; 4] = [EventKind::Commit, EventKind::Sync, EventKind::Identity, EventKind::Account];

    /// The kind as outboxes and the event log store it.
    pub fn number(self) -> i64 {
        match self {
            EventKind::Commit => 1,
            EventKind::Sync => 2,
            EventKind::Identity => 3,
            EventKind::Account => 4,
        }
    }

    /// The kind of [`EventKind::number`].
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The kind's name, without `#`: for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Commit => "commit",
            EventKind::Sync => "sync",
            EventKind::Identity => "identity",
            EventKind::Account => "account",
        }
    }
}

/// What an operation of a commit does to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The record was not there before.
    Create,
    /// The record was there with another value.
    Update,
    /// The record is gone.
    Delete,
}

impl Action {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }
}

/// One operation of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoOp<'a> {
    /// What was done.
    pub action: Action,
    /// `collection/rkey`.
    pub path: &'a str,
    /// The record now; `None` (on the wire: null) for a delete.
    pub cid: Option<Cid>,
    /// The record before; `None` (on the wire: absent) for a create.
    pub prev: Option<Cid>,
}

/// The body of `#commit`. The dead fields `rebase`, `tooBig` and `blobs` are written as the schema wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitEvent<'a> {
    /// The account's DID.
    pub repo: &'a str,
    /// When the event was made, as the protocol's datetime.
    pub time: &'a str,
    /// The commit's rev.
    pub rev: &'a str,
    /// The rev of the commit before; `None` (on the wire: null) for the first.
    pub since: Option<&'a str>,
    /// The commit block.
    pub commit: Cid,
    /// The root of the tree before; `None` (on the wire: absent) only for the first commit.
    pub prev_data: Option<Cid>,
    /// The CAR slice.
    pub blocks: &'a [u8],
    /// At most [`crate::limits::COMMIT_OPS_MAX`].
    pub ops: Vec<RepoOp<'a>>,
}

/// The body of `#sync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncEvent<'a> {
    /// The account's DID.
    pub did: &'a str,
    /// When the event was made.
    pub time: &'a str,
    /// The commit's rev.
    pub rev: &'a str,
    /// A CAR with the commit block alone.
    pub blocks: &'a [u8],
}

/// The body of `#identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityEvent<'a> {
    /// The account's DID.
    pub did: &'a str,
    /// When the event was made.
    pub time: &'a str,
    /// The handle as this host knows it.
    pub handle: Option<&'a str>,
}

/// The body of `#account`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEvent<'a> {
    /// The account's DID.
    pub did: &'a str,
    /// When the event was made.
    pub time: &'a str,
    /// Whether the repo can be read here.
    pub active: bool,
    /// Why not: takendown, suspended, deleted, deactivated, desynchronized, throttled.
    pub status: Option<&'a str>,
}

#[cfg(test)]
mod tests;
