//! The memory of one isolate that bodies on their way in may take, all requests together: an isolate has 128 MB for
//! everything, and ends as a whole when it needs more. And how slowly such a body may come.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use futures::pin_mut;
use worker::Delay;

use super::now_us;
use crate::host::{BodyRoom, NoRoom};

/// Bytes of bodies in memory, decoded, until they are answered: two of the largest blobs, or some forty bodies of records.
const ROOM_BYTES: usize = 40 * 1024 * 1024;
/// Who sends nothing for so long has gone, or holds on to the room for its own sake.
const SILENCE: Duration = Duration::from_secs(20);
/// Nobody is measured before.
const GRACE_US: i64 = 10_000_000;
/// A body comes at least so fast after that: a megabit a second.
const FLOOR_BYTES_PER_SECOND: usize = 128 * 1024;

thread_local! {
    /// Taken by all requests of the isolate, which has one thread.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// What one body has taken; given back when dropped.
#[derive(Default)]
pub(super) struct Room {
    taken: AtomicUsize,
    /// What of it was taken before it came.
    ahead: AtomicUsize,
}

impl Room {
    /// Takes what a body is to have that is read in one step.
    ///
    /// # Errors
    /// As [`BodyRoom::take`].
    pub(super) fn ahead(bytes: usize) -> Result<Self, NoRoom> {
        let room = Self::default();
        room.take(bytes)?;
        room.ahead.store(bytes, Ordering::Relaxed);
        Ok(room)
    }
}

impl BodyRoom for Room {
    fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.ahead.store(ahead.saturating_sub(bytes), Ordering::Relaxed);
        let more = bytes.saturating_sub(ahead);
        let taken = TAKEN.get().saturating_add(more);
        if taken > ROOM_BYTES {
            return Err(NoRoom::All);
        }
        TAKEN.set(taken);
        self.taken.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get().saturating_sub(self.taken.load(Ordering::Relaxed)));
    }
}

/// How fast one body comes.
pub(super) struct Pace {
    received: usize,
    since_us: i64,
}

/// The body comes too slowly.
pub(super) struct TooSlow;

impl Pace {
    pub(super) fn new() -> Self {
        Self { received: 0, since_us: now_us() }
    }

    /// Waits for the next part of the body.
    ///
    /// # Errors
    /// [`TooSlow`].
    pub(super) async fn next<T>(&self, part: impl Future<Output = T>) -> Result<T, TooSlow> {
        let seconds = self.received / FLOOR_BYTES_PER_SECOND;
        let earned_us = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let left_us = (self.since_us + GRACE_US).saturating_add(earned_us).saturating_sub(now_us());
        let left = Duration::from_micros(left_us.max(0).unsigned_abs()).min(SILENCE);
        let late = Delay::from(left);
        pin_mut!(part, late);
        match select(part, late).await {
            Either::Left((part, _)) => Ok(part),
            Either::Right(_) => Err(TooSlow),
        }
    }

    /// Counts what has come.
    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes;
    }
}
