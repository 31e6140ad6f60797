//! The sequencer cell: the network's one event log, behind `com.atproto.sync.subscribeRepos`.
//!
//! Accounts' outboxes are drained into the log, which gives each event its `seq` and keeps it for the backfill window.
//! How the events reach subscribers is the host's affair; what a subscriber's cursor means is decided here
//! ([`Head::start`]).
//!
//! Invariants
//! - `seq` never goes back: the next is `max(last + 1, now)` in microseconds, below 2^53. An
//!   emptied log does not start over: expiry notes the last number it takes away.
//! - A repeated drain is harmless: an event is taken only when its outbox id is above the last of its DID. The other
//!   side of that bargain: an outbox has to be drained in order, and without gaps above what was taken before.
//! - What a DID last committed stands beside it, in the transaction that takes the event: repos are listed from it.
//! - After `#account deleted` the account's older events go, in bounded steps ([`Expire`]), also after a crash.

mod command;
mod last_commit;
mod log;

pub use command::{
    Append, Change, Command, Expire, GetHead, GetLastCommits, Head, NoteLastCommits, OutboxEvent, Page,
    Query, Read, Reply, SequencedFrame, Start,
};
pub use log::{Sequencer, after_damage, for_each_event, head, last_outbox_id, read};

use crate::store::SqlError;

/// Why the sequencer did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error, serde::Serialize, serde::Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database failed; nothing of the command was kept.
    #[error("event log: {0}")]
    Sql(#[from] SqlError),
    /// The clock or the log's last number is at 2^53, in the year 2255.
    #[error("no sequence number below 2^53 is left")]
    Exhausted,
    /// A stored event has a kind this program does not know.
    #[error("event {seq} has an unknown kind")]
    UnknownKind {
        /// The event.
        seq: i64,
    },
}
