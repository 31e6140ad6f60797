//! One agent that is open, and the way of its events to the sequencer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::super::clock::now_us;
use super::super::sequencer::{Outgoing, Place, SequencerHandle};
use super::super::sql::Database;
use crate::account::{Account, Error};
use crate::host::Failed;
use crate::outbox::drain::Drain;
use crate::outbox::{PendingOutbox, pending};
use crate::sequencer::OutboxEvent;
use crate::syntax::Did;

/// The longest a deletion waits for the event log, and how often it looks: the log is synced ten times a second.
const SYNCED_WITHIN: Duration = Duration::from_secs(10);
const SYNCED_LOOK: Duration = Duration::from_millis(5);

/// One open agent.
pub(super) struct Open {
    pub(super) database: Database,
    pub(super) cell: Account,
    /// What of the outbox goes to the sequencer next.
    pub(super) drain: Drain,
    /// Where the sequencer notes how far the outbox is safe.
    pub(super) synced: Arc<AtomicI64>,
    pub(super) cut: Cut,
    /// The shard's turn that it was used in last.
    pub(super) used: u64,
}

/// Whether the write-ahead log holds keys that were ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// No.
    Never,
    /// It may, and the database says so.
    Owed,
    /// Not any more; the next transaction takes the note away.
    Paid,
}

impl Open {
    /// Hands everything in the outbox to the sequencer, which keeps it until it is safe; only a stop loses it, and then the
    /// next start drains again. False when places in its queue, of which `place` is one, did not suffice.
    pub(super) fn drain(
        &mut self,
        did: &Did,
        sequencer: &SequencerHandle,
        mut place: Option<Place>,
    ) -> Result<bool, Error> {
        while self.drain.has_unsent() {
            let Some(place) = place.take().or_else(|| sequencer.reserve()) else { return Ok(false) };
            let Some(rows) = self.drain.next(&self.database, now_us())? else { break };
            let outgoing = rows.into_iter().map(|row| Outgoing {
                event: OutboxEvent { did: did.clone(), outbox_id: row.id, kind: row.kind, frame: row.frame },
                synced: Arc::clone(&self.synced),
            });
            if sequencer.send(place, outgoing.collect()).is_err() {
                self.drain.failed(now_us(), 0);
                tracing::warn!(%did, "the sequencer has stopped; events stay in the outbox for the next start");
                return Ok(false);
            }
            self.drain.arrived();
        }
        Ok(true)
    }

    /// Waits until the sequencer has all events safely; [`Failed::Busy`] when that takes too long, or will.
    pub(super) fn await_sequencer(&self, sequencer: &SequencerHandle) -> Result<(), Failed<Error>> {
        let start = Instant::now();
        loop {
            let after = self.synced.load(Ordering::Acquire);
            let rest = pending(&self.database, &PendingOutbox { after, limit: 1 }).map_err(Error::from)?;
            if rest.is_empty() {
                return Ok(());
            }
            if start.elapsed() > SYNCED_WITHIN || !sequencer.troubles().is_empty() {
                tracing::warn!("an agent is not removed yet: the event log does not take its last events");
                return Err(Failed::Busy);
            }
            std::thread::sleep(SYNCED_LOOK);
        }
    }
}
