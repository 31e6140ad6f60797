//! Bringing a cell's outbox to the sequencer: which events are next, without doing the bringing.
//!
//! A host holds what commands leave ([`Drain::hold`]), takes the next batch ([`Drain::next`]), brings it, and says how that
//! went ([`Drain::arrived`], [`Drain::failed`]). What is held need not be read back from the database; what is not held,
//! after an earlier life of the cell or when it became too much, is read from there.
//!
//! Invariants
//! - Batches go out in the order of the outbox and without gaps, one at a time. After a failure, or a crash, the same events
//!   may come again; the sequencer knows what it has.
//! - What has arrived is known by its last id, which the caller may then let the cell clear.

use super::{OutboxRow, PendingOutbox, pending};
use crate::limits::OUTBOX_BATCH_MAX;
use crate::store::{Sql, SqlError};

/// The first try after a failure, and every one of an outbox whose events are young.
pub const RETRY_MIN_US: i64 = 10_000_000;
/// The longest between two tries: what comes when the sequencer is back.
const RETRY_MAX_US: i64 = 600_000_000;

/// Where the drain of one outbox stands.
#[derive(Debug)]
pub struct Drain {
    unsent: Unsent,
    /// The newest id of the batch that is on its way.
    under_way: Option<i64>,
    /// The newest id that has arrived.
    arrived: i64,
    /// Bytes of frames that may be held.
    bytes_max: usize,
    /// When the last batch was taken.
    taken_us: i64,
    /// Until then nobody is to try again.
    resting_us: i64,
}

/// The events that are not on their way and have not arrived.
#[derive(Debug)]
enum Unsent {
    /// Only the database knows.
    Stored,
    /// These, oldest first.
    Held(Vec<OutboxRow>),
}

impl Drain {
    /// Over an outbox of which nothing is known yet; at most `bytes_max` bytes of frames are held in memory.
    pub fn new(bytes_max: usize) -> Self {
        Self { unsent: Unsent::Stored, under_way: None, arrived: 0, bytes_max, taken_us: 0, resting_us: 0 }
    }

    /// Takes the events that a command has put into the outbox, behind all before them.
    pub fn hold(&mut self, new: Vec<OutboxRow>) {
        let Unsent::Held(rows) = &mut self.unsent else { return };
        rows.extend(new);
        let bytes: usize = rows.iter().map(|row| row.frame.bytes().len()).sum();
        if bytes > self.bytes_max {
            self.unsent = Unsent::Stored;
        }
    }

    /// Whether there may be events that have not arrived.
    pub fn has_unsent(&self) -> bool {
        self.under_way.is_some() || !matches!(&self.unsent, Unsent::Held(rows) if rows.is_empty())
    }

    /// The next batch, which is then on its way; `None` when all have arrived, or one is on its way already. An outbox
    /// that turns out to be empty has all its events held from here on.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn next(&mut self, sql: &dyn Sql, now_us: i64) -> Result<Option<Vec<OutboxRow>>, SqlError> {
        if self.under_way.is_some() {
            return Ok(None);
        }
        let rows = match &mut self.unsent {
            Unsent::Held(rows) => std::mem::take(rows),
            Unsent::Stored => pending(sql, &PendingOutbox { after: self.arrived, limit: OUTBOX_BATCH_MAX })?,
        };
        self.under_way = rows.last().map(|last| last.id);
        if self.under_way.is_none() {
            self.unsent = Unsent::Held(Vec::new());
            return Ok(None);
        }
        self.taken_us = now_us;
        Ok(Some(rows))
    }

    /// The batch has arrived, so nobody rests any more; answers its last id.
    pub fn arrived(&mut self) -> i64 {
        self.resting_us = 0;
        self.arrived = self.under_way.take().unwrap_or(self.arrived);
        self.arrived
    }

    /// The batch may not have arrived: it is read back and comes again, not before `resting_us` more.
    pub fn failed(&mut self, now_us: i64, resting_us: i64) {
        self.under_way = None;
        self.unsent = Unsent::Stored;
        self.resting_us = now_us.saturating_add(resting_us);
    }

    /// Whether a failure was so short ago that nobody is to try again.
    pub fn is_resting(&self, now_us: i64) -> bool {
        now_us < self.resting_us
    }

    /// When to try again after a failure: the longer the oldest event has waited, the more seldom, and not when all others
    /// do. `random` is any number.
    pub fn retry_us(now_us: i64, oldest_us: i64, random: u64) -> i64 {
        let waited_us = now_us.saturating_sub(oldest_us);
        let pause_us = (waited_us / 2).clamp(RETRY_MIN_US, RETRY_MAX_US);
        let jitter = random % (pause_us.unsigned_abs() / 4);
        pause_us + jitter.cast_signed()
    }

    /// How long to wait, so that `pause_us` lie between two batches: a busy cell's events go out together, one alone goes
    /// out at once.
    pub fn pause_us(&self, now_us: i64, pause_us: i64) -> i64 {
        self.taken_us.saturating_add(pause_us).saturating_sub(now_us).clamp(0, pause_us)
    }

    /// The newest id that has arrived; 0 for none.
    pub fn last_arrived(&self) -> i64 {
        self.arrived
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{EventKind, IdentityEvent};
    use crate::native::sql::Database;
    use crate::outbox::{Outbox, clear};
    use crate::store::migrate::migrate;

    const BYTES_MAX: usize = 2_000;

    /// An outbox, its drain, and a sequencer that remembers the ids it was given.
    struct World {
        sql: Database,
        outbox: Outbox,
        drain: Drain,
        now_us: i64,
        emitted: Vec<i64>,
        heard: Vec<i64>,
    }

    impl World {
        fn new() -> Self {
            let sql = Database::in_memory().unwrap();
            migrate(&sql, crate::account::MIGRATIONS).unwrap();
            let (outbox, drain) = (Outbox::default(), Drain::new(BYTES_MAX));
            Self { sql, outbox, drain, now_us: 1_000, emitted: Vec::new(), heard: Vec::new() }
        }

        fn emit(&mut self, count: usize) {
            for number in 0..count {
                // Some are too long for a row that is written over.
                let time = "now".repeat(if number % 7 == 6 { 4_000 } else { 1 });
                let frame = IdentityEvent { did: "did:web:a", time: &time, handle: None }.encode();
                self.outbox.emit(&self.sql, self.now_us, EventKind::Identity, frame).unwrap();
            }
            let events = self.outbox.take_effects().events;
            self.emitted.extend(events.iter().map(|row| row.id));
            self.drain.hold(events);
        }

        /// One batch; what `fate` says: it arrives, it arrives without an answer, it is lost.
        fn drain_once(&mut self, fate: u8) -> bool {
            let Some(rows) = self.drain.next(&self.sql, self.now_us).unwrap() else { return false };
            assert!(self.drain.next(&self.sql, self.now_us).unwrap().is_none(), "one at a time");
            let newest = self.heard.last().copied().unwrap_or(0);
            if fate != 2 {
                self.heard.extend(rows.iter().map(|row| row.id).filter(|id| *id > newest));
            }
            match fate {
                0 => {
                    let arrived = self.drain.arrived();
                    self.outbox.note_synced(arrived);
                }
                _ => self.drain.failed(self.now_us, 10),
            }
            true
        }
    }

    #[test]
    fn an_outbox_that_was_drained_is_not_read_back() {
        let mut world = World::new();
        assert!(world.drain.has_unsent(), "nobody knows yet");
        assert!(!world.drain_once(0) && !world.drain.has_unsent());
        world.emit(3);
        clear(&world.sql, i64::MAX >> 11).unwrap(); // What is held does not need the rows.
        assert!(world.drain_once(0) && !world.drain.has_unsent());
        assert_eq!(world.heard, world.emitted);
    }

    #[test]
    fn what_failed_rests_and_comes_again() {
        let mut world = World::new();
        world.emit(2);
        world.drain_once(2);
        assert!(world.drain.is_resting(1_009) && !world.drain.is_resting(1_010));
        assert!(world.drain.has_unsent());
        assert_eq!((world.drain.pause_us(1_000, 50), world.drain.pause_us(1_049, 50)), (50, 1));
        world.drain_once(0);
        assert_eq!(world.heard, world.emitted);
        assert!(!world.drain.is_resting(1_001), "another try was worth it");
    }

    proptest! {
        /// Whatever fails, and whenever the cell begins a new life, every event is heard once and in order.
        #[test]
        fn every_event_is_heard_in_order(steps in prop::collection::vec((0_u8..4, 0_u8..3, 1_usize..40), 1..40)) {
            let mut world = World::new();
            for (what, fate, count) in steps {
                world.now_us += 7;
                match what {
                    0 | 1 => world.emit(count),
                    2 => drop(world.drain_once(fate)),
                    _ => {
                    world.drain = Drain::new(BYTES_MAX);
                    world.outbox = Outbox::open(&world.sql, 0).unwrap();
                }
                }
            }
            while world.drain_once(0) {}
            prop_assert!(!world.drain.has_unsent());
            prop_assert_eq!(world.heard, world.emitted);
        }
    }

    #[test]
    fn who_waits_longer_tries_more_seldom_and_not_when_others_do() {
        let mut tries = Vec::new();
        let (began_us, mut now_us) = (1_790_000_000_000_000, 1_790_000_000_000_000);
        while now_us < began_us + 86_400_000_000 {
            now_us += Drain::retry_us(now_us, began_us, 0);
            tries.push(now_us - began_us);
        }
        assert_eq!(tries[..4], [10_000_000, 20_000_000, 30_000_000, 45_000_000]);
        assert!(tries.len() < 170, "{} tries in a day", tries.len());
        let waits: Vec<i64> = (0..100)
            .map(|random| Drain::retry_us(began_us + 4_000_000_000, began_us, random * 7_919_000))
            .collect();
        assert!(waits.iter().all(|wait| (600_000_000..750_000_000).contains(wait)), "{waits:?}");
        assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 100_000_000);
        // A clock that was set back.
        assert_eq!(Drain::retry_us(0, began_us, 0), 10_000_000);
    }
}
