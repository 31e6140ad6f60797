//! Recent events in memory, as bytes that are ready for any subscriber's socket.
//!
//! Each entry is what one append made: its WebSocket messages back to back in one buffer. A subscriber holds a
//! [`Position`] and reads from there on; it may stand still, and learns from [`Ring::read`] when the ring has moved
//! past it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::websocket;
use crate::limits::FIREHOSE_WRITE_BYTES_MAX;

/// Buffers written in one go: each costs an entry in the system call's list.
const BUFFERS_MAX: usize = 64;

/// The events of one append.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Bytes,
    /// Each event's `seq` and where its message ends in `bytes`.
    ends: Vec<(i64, usize)>,
}

impl Batch {
    /// Frames with their `seq`, in order, as unmasked binary messages.
    pub(super) fn new<'a>(events: impl Iterator<Item = (i64, &'a [u8])> + Clone) -> Self {
        let size = events.clone().map(|(_, frame)| frame.len() + websocket::HEADER_BYTES_MAX).sum();
        let mut bytes = Vec::with_capacity(size);
        let ends = events
            .map(|(seq, frame)| {
                websocket::write_binary(&mut bytes, frame);
                (seq, bytes.len())
            })
            .collect();
        Self { bytes: bytes.into(), ends }
    }

    fn last_seq(&self) -> Option<i64> {
        self.ends.last().map(|(seq, _)| *seq)
    }

    /// The messages after `seq`.
    fn after(&self, seq: i64) -> Bytes {
        let start = self.ends.iter().take_while(|(event, _)| *event <= seq).last().map_or(0, |(_, end)| *end);
        self.bytes.slice(start..)
    }
}

/// Where a subscriber is: the events up to `seq` are written, the next are in batch `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    seq: i64,
    index: u64,
}

/// The ring has moved past the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FellBehind;

/// Shared by the sequencer thread and all subscribers.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    bytes_max: usize,
    changed: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    batches: VecDeque<Arc<Batch>>,
    /// The index of the first of `batches`; it only rises.
    first_index: u64,
    bytes: usize,
    /// Events up to this one are in the database only.
    floor: i64,
    /// Events up to this one may be of an account that is deleted: whoever begins before it reads the database, from
    /// which they are removed.
    deleted: i64,
    last_seq: i64,
}

impl Ring {
    /// An empty ring after a log that ends at `last_seq`.
    pub(super) fn new(last_seq: i64, bytes_max: usize) -> Self {
        let batches = VecDeque::new();
        let state = State { batches, first_index: 0, bytes: 0, floor: last_seq, deleted: 0, last_seq };
        Self { state: Mutex::new(state), bytes_max, changed: watch::Sender::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the newest events and wakes the subscribers; lets go of the oldest. When an account is `deleted` with
    /// them, its older events are shown to nobody who does not follow already.
    pub(super) fn push(&self, batch: Batch, deleted: bool) {
        let Some(last_seq) = batch.last_seq() else { return };
        let mut state = self.state();
        state.last_seq = last_seq;
        if deleted {
            state.deleted = last_seq;
        }
        state.bytes += batch.bytes.len();
        state.batches.push_back(Arc::new(batch));
        while state.bytes > self.bytes_max && state.batches.len() > 1 {
            let Some(oldest) = state.batches.pop_front() else { break };
            state.first_index += 1;
            state.bytes -= oldest.bytes.len();
            state.floor = oldest.last_seq().unwrap_or(state.floor);
        }
        drop(state);
        self.changed.send_modify(|_| {});
    }

    /// No event will follow.
    pub(super) fn close(&self) {
        self.changed.send_replace(true);
    }

    /// Tells of every [`Ring::push`]; holds true after [`Ring::close`].
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }

    pub(super) fn last_seq(&self) -> i64 {
        self.state().last_seq
    }

    /// Up to where a subscriber has to read the database.
    pub(super) fn floor(&self) -> i64 {
        let state = self.state();
        state.floor.max(state.deleted)
    }

    /// The position after `seq`; `None` when it is below the floor.
    pub(super) fn position_after(&self, seq: i64) -> Option<Position> {
        let state = self.state();
        if seq < state.floor.max(state.deleted) {
            return None;
        }
        let passed = state.batches.partition_point(|batch| batch.last_seq().is_some_and(|last| last <= seq));
        Some(Position { seq, index: state.first_index + passed as u64 })
    }

    /// Fills `buffers` with what follows `position`, bounded, and moves it on. Nothing new: `buffers` stays empty.
    pub(super) fn read(&self, position: &mut Position, buffers: &mut Vec<Bytes>) -> Result<(), FellBehind> {
        buffers.clear();
        let state = self.state();
        let skip = position.index.checked_sub(state.first_index).ok_or(FellBehind)?;
        let mut bytes = 0;
        for batch in state.batches.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
            if bytes >= FIREHOSE_WRITE_BYTES_MAX || buffers.len() >= BUFFERS_MAX {
                break;
            }
            let part = batch.after(position.seq);
            bytes += part.len();
            buffers.push(part);
            position.index += 1;
            position.seq = batch.last_seq().unwrap_or(position.seq);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seqs: &[i64]) -> Batch {
        Batch::new(seqs.iter().map(|seq| (*seq, &[7_u8; 10][..])))
    }

    #[test]
    fn a_position_inside_a_batch_reads_its_rest() {
        let ring = Ring::new(5, 1000);
        ring.push(batch(&[10, 11, 12]), false);
        ring.push(batch(&[13]), false);
        let mut buffers = Vec::new();
        let mut position = ring.position_after(11).unwrap();
        ring.read(&mut position, &mut buffers).unwrap();
        assert_eq!(buffers.iter().map(Bytes::len).collect::<Vec<_>>(), [12, 12]);
        ring.read(&mut position, &mut buffers).unwrap();
        assert!(buffers.is_empty());
        ring.push(batch(&[14]), false);
        ring.read(&mut position, &mut buffers).unwrap();
        assert_eq!(buffers.len(), 1);
        assert_eq!(ring.last_seq(), 14);
    }

    #[test]
    fn who_stands_still_falls_behind() {
        let ring = Ring::new(5, 30);
        assert_eq!(ring.position_after(4), None);
        let mut position = ring.position_after(5).unwrap();
        ring.push(batch(&[10]), false);
        ring.push(batch(&[11]), false);
        ring.push(batch(&[12]), false);
        assert_eq!(ring.floor(), 10);
        assert_eq!(ring.read(&mut position, &mut Vec::new()), Err(FellBehind));
        assert_eq!(ring.position_after(9), None);
        assert!(ring.position_after(10).is_some());
    }

    #[test]
    fn who_comes_after_a_deletion_reads_the_database_first() {
        let ring = Ring::new(5, 1000);
        let mut follower = ring.position_after(5).unwrap();
        ring.push(batch(&[10, 11]), false);
        ring.push(batch(&[12, 13]), true);
        ring.push(batch(&[14]), false);
        assert_eq!((ring.floor(), ring.position_after(12)), (13, None));
        assert!(ring.position_after(13).is_some());
        let mut buffers = Vec::new();
        ring.read(&mut follower, &mut buffers).unwrap();
        assert_eq!(buffers.len(), 3, "who follows already misses nothing");
    }

    #[test]
    fn one_read_is_bounded_and_the_next_goes_on() {
        let ring = Ring::new(0, usize::MAX);
        let large = vec![0; FIREHOSE_WRITE_BYTES_MAX / 2];
        for seq in 1..=5 {
            ring.push(Batch::new(std::iter::once((seq, &large[..]))), false);
        }
        let mut position = ring.position_after(0).unwrap();
        let mut counts = Vec::new();
        let mut buffers = Vec::new();
        loop {
            ring.read(&mut position, &mut buffers).unwrap();
            if buffers.is_empty() {
                break;
            }
            counts.push(buffers.len());
        }
        assert_eq!(counts, [2, 2, 1]);
    }
}
