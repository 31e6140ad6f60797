//! How much may wait for the event log. Whoever is about to commit something that the log has to take gets a place first,
//! so that a log that takes nothing refuses writes before they are made, and fills no memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{SEQUENCER_QUEUE_MAX, SEQUENCER_WAITING_BYTES_MAX};

/// How long a place is waited for while the log keeps going: a flood of writes is slowed down before it is refused.
const PLACE_WITHIN: Duration = Duration::from_secs(1);
/// The writer is stuck when one turn takes longer than this; a usual one takes some milliseconds.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// Shared by the writer and all who send it events.
#[derive(Debug, Default)]
pub(super) struct Room {
    state: Mutex<State>,
    left: Condvar,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    messages: usize,
    bytes: usize,
    /// When the writer's turn began, while it is at one.
    turn: Option<Instant>,
}

impl State {
    fn is_stuck(&self) -> bool {
        self.turn.is_some_and(|began| began.elapsed() > STUCK_AFTER)
    }
}

/// A place in the queue, free again when dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one message; `None` when none comes free soon.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let is_full = |state: &mut State| {
            let full = state.messages >= SEQUENCER_QUEUE_MAX || state.bytes >= SEQUENCER_WAITING_BYTES_MAX;
            full && !state.is_stuck() && !self.stopping.load(Ordering::Relaxed)
        };
        let waited = self.left.wait_timeout_while(self.state(), PLACE_WITHIN, is_full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.messages >= SEQUENCER_QUEUE_MAX || state.bytes >= SEQUENCER_WAITING_BYTES_MAX {
            metrics::counter!("zap_firehose_refused_total").increment(1);
            return None;
        }
        state.messages += 1;
        metrics::gauge!("zap_firehose_waiting").set(state.messages as f64);
        Some(Place { room: Arc::clone(self), bytes: 0 })
    }

    /// The writer begins a turn.
    pub(super) fn begin(&self) {
        self.state().turn = Some(Instant::now());
    }

    /// The writer has ended its turn.
    pub(super) fn end(&self) {
        self.state().turn = None;
    }

    /// Whether the log takes nothing.
    pub(super) fn is_stuck(&self) -> bool {
        self.state().is_stuck()
    }

    /// From now on nobody waits for a place.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.left.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Place {
    /// The message that takes the place has this many bytes.
    pub(super) fn hold(&mut self, bytes: usize) {
        self.room.state().bytes += bytes;
        self.bytes += bytes;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.messages -= 1;
        state.bytes -= self.bytes;
        metrics::gauge!("zap_firehose_waiting").set(state.messages as f64);
        drop(state);
        self.room.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_at_the_bound_and_come_free_again() {
        let room = Arc::new(Room::default());
        let mut places: Vec<_> = (0..SEQUENCER_QUEUE_MAX).map(|_| room.enter().unwrap()).collect();
        room.stop(); // Nobody waits.
        assert!(room.enter().is_none());
        places.truncate(1);
        places[0].hold(SEQUENCER_WAITING_BYTES_MAX);
        assert!(room.enter().is_none(), "few may be large");
        places.clear();
        assert!(room.enter().is_some());
    }

    #[test]
    fn a_full_room_is_waited_for_while_the_writer_goes_on() {
        let room = Arc::new(Room::default());
        let mut places: Vec<_> = (0..SEQUENCER_QUEUE_MAX).map(|_| room.enter().unwrap()).collect();
        let waiting = std::thread::spawn({
            let room = Arc::clone(&room);
            move || room.enter().is_some()
        });
        std::thread::sleep(Duration::from_millis(20));
        places.pop();
        assert!(waiting.join().unwrap());
    }
}
