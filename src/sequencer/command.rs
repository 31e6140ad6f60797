//! What the sequencer can be asked.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::syntax::Did;

use crate::event::{Event, EventKind, Frame};
use crate::repo::CommitMeta;

crate::seam! {
    read {
        GetHead => Head,
        Read => Page,
        GetLastCommits => Vec<Option<CommitMeta>>,
    }
    write {
        Append => Vec<Option<i64>>,
        NoteLastCommits => (),
        Expire => u64,
    }
    create { }
}

/// Appends events; answers the `seq` of each, `None` for one that was there already.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Append {
    /// Each DID's in the order of its outbox.
    pub events: Vec<OutboxEvent>,
}

/// One event out of an agent's outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEvent {
    /// Whose it is.
    pub did: Did,
    /// Rises strictly per DID.
    pub outbox_id: i64,
    /// What it is.
    pub kind: EventKind,
    /// Its bytes.
    pub frame: Frame,
}

impl OutboxEvent {
    /// Whether the account is deleted with it, so that the account's older events go.
    pub fn is_deletion(&self) -> bool {
        self.kind == EventKind::Account
            && matches!(Event::decode(self.frame.bytes()), Ok(Event::Account { body, .. })
                if body.status == Some("deleted"))
    }
}

/// Asks for the log's ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetHead {}

/// The log's ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The newest number ever given; 0 when none was.
    pub last_seq: i64,
    /// The newest number whose event has expired; 0 when none has.
    pub expired_seq: i64,
}

/// Where a subscriber starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this `seq`.
    After(i64),
    /// At the oldest event there is, after an `#info OutdatedCursor`: some it asked for have expired.
    Outdated,
    /// Not at all: the cursor is ahead of the stream, which ends with a `FutureCursor` error.
    Future,
}

impl Head {
    /// What a subscriber's cursor means now. No cursor: only what comes from here on. 0: everything there is.
    pub fn start(&self, cursor: Option<i64>) -> Start {
        match cursor {
            None => Start::After(self.last_seq),
            Some(cursor) if cursor > self.last_seq => Start::Future,
            Some(0) => Start::After(0),
            Some(cursor) if cursor < self.expired_seq => Start::Outdated,
            Some(cursor) => Start::After(cursor),
        }
    }
}

/// Reads finished frames after a cursor, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// Only events with a higher `seq`.
    pub cursor: i64,
    /// At most this many events.
    pub limit: u32,
    /// Stops after the event that reaches this many bytes.
    pub bytes_max: u64,
}

/// Events in order; empty when there are none after the cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Oldest first.
    pub events: Vec<SequencedFrame>,
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencedFrame {
    /// Its number.
    pub seq: i64,
    /// What it is.
    pub kind: EventKind,
    /// The message for the wire.
    pub frame: ByteBuf,
}

/// Deletes events older than `before_us`, the oldest ones of a log over `bytes_max`, and those of deleted accounts; answers
/// how much of `limit` it used. Less than all of it means that none are left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expire {
    /// Microseconds since the Unix epoch.
    pub before_us: i64,
    /// Bytes of frames that may stay.
    pub bytes_max: u64,
    /// At most this many events.
    pub limit: u32,
}

/// Asks for the last commit that each of these told of; `None` for one that the log has heard nothing of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetLastCommits {
    /// Whose.
    pub dids: Vec<Did>,
}

/// Notes what accounts' cells say they are at; what the log has heard stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NoteLastCommits {
    /// Whose, and which.
    pub commits: Vec<(Did, CommitMeta)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_means_what_the_protocol_says() {
        let head = Head { last_seq: 100, expired_seq: 40 };
        assert_eq!(head.start(None), Start::After(100));
        assert_eq!(head.start(Some(0)), Start::After(0));
        assert_eq!(head.start(Some(39)), Start::Outdated);
        assert_eq!(head.start(Some(40)), Start::After(40));
        assert_eq!(head.start(Some(100)), Start::After(100));
        assert_eq!(head.start(Some(101)), Start::Future);
        assert_eq!(Head::default().start(Some(0)), Start::After(0));
        assert_eq!(Head::default().start(Some(1)), Start::Future);
    }
}
