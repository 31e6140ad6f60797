//! What an outbox can be asked.

use serde::{Deserialize, Serialize};

use crate::event::{EventKind, Frame};

crate::seam! {
    read { PendingOutbox => Vec<OutboxRow> }
    write { }
    create { }
}

/// Events the sequencer may not have yet, oldest first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PendingOutbox {
    /// Only ids above this.
    pub after: i64,
    /// At most this many.
    pub limit: u32,
}

/// One event on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Rises strictly per account; microseconds.
    pub id: i64,
    /// Which event it is.
    pub kind: EventKind,
    /// The event, without its seq.
    pub frame: Frame,
}
