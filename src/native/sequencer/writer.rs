//! The sequencer's thread: takes what waits, appends it, answers, lets old events go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::sql::Database;
use super::ring::Batch;
use super::room::Place;
use super::sync::Mark;
use super::{Message, Options, Outgoing, Shared, now_us, shrink, whereabouts};
use crate::host::{Answered, Failed};
use crate::limits::SEQUENCER_BATCH_BYTES_MAX;
use crate::seam::Request as _;
use crate::sequencer::{Command, Error, Expire, OutboxEvent, Reply, Sequencer, head};

/// How often old events are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);
/// Old events deleted in one transaction: a few milliseconds' work.
const EXPIRY_ROWS: u32 = 500;
/// Between two tries of an append that failed.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Failed tries that are said once in the log: one line a minute or so.
const TRIES_SAID: u32 = 40;
/// Pacing: at least this long between two appends, since a transaction for two events costs hardly more than for one;
/// longer the more subscribers there are, so that waking and writing to them takes at most about a third of a core; and
/// never longer than the last value. An event that comes alone does not wait at all.
const PACE_MIN: Duration = Duration::from_millis(2);
const PACE_PER_SUBSCRIBER: Duration = Duration::from_micros(25);
const PACE_MAX: Duration = Duration::from_millis(3);

pub(super) struct Writer {
    cell: Sequencer,
    database: Database,
    folder: PathBuf,
    shared: Arc<Shared>,
    marks: Sender<Vec<Mark>>,
    backfill_window: Duration,
    bytes_max: u64,
    appended_at: Instant,
    expire_at: Instant,
}

/// What one turn of the writer takes out of its queue.
#[derive(Default)]
struct Turn {
    events: Vec<OutboxEvent>,
    /// Of the events, free again when they are in the log.
    places: Vec<Place>,
    marks: Vec<Mark>,
    commands: Vec<(Command, oneshot::Sender<Answered<Reply, Error>>)>,
    bytes: usize,
    stop: bool,
}

impl Turn {
    fn add(&mut self, message: Message) {
        match message {
            Message::Events(place, events) => {
                self.places.push(place);
                for Outgoing { event, synced } in events {
                    self.bytes += event.frame.bytes().len();
                    self.marks.push((synced, event.outbox_id));
                    self.events.push(event);
                }
            }
            Message::Command(command, reply) => self.commands.push((command, reply)),
            Message::Stop => self.stop = true,
        }
    }
}

impl Writer {
    pub(super) fn new(
        cell: Sequencer,
        database: Database,
        options: &Options,
        shared: Arc<Shared>,
        marks: Sender<Vec<Mark>>,
    ) -> Self {
        Self {
            cell,
            database,
            folder: options.folder().to_owned(),
            shared,
            marks,
            backfill_window: options.backfill_window,
            bytes_max: options.bytes_max,
            appended_at: Instant::now(),
            expire_at: Instant::now(),
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let mut turn = Turn::default();
            match queue.recv_timeout(self.expire_at.saturating_duration_since(Instant::now())) {
                Ok(message) => turn.add(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => turn.stop = true,
            }
            if !turn.events.is_empty() {
                self.pace();
            }
            while turn.bytes < SEQUENCER_BATCH_BYTES_MAX {
                let Ok(message) = queue.try_recv() else { break };
                turn.add(message);
            }
            let stop = turn.stop;
            self.shared.room.begin();
            let goes_on = self.work(turn);
            self.shared.room.end();
            if stop || !goes_on {
                break;
            }
            if Instant::now() >= self.expire_at {
                // After a full step more may be left: go on as soon as the queue has been looked at.
                let more = self.expire() >= u64::from(EXPIRY_ROWS) || self.shrink();
                self.expire_at = Instant::now() + if more { Duration::ZERO } else { EXPIRY_INTERVAL };
            }
        }
        note_whereabouts(&self.database, &self.folder);
        self.shared.ring.close();
    }

    /// Lets events gather when subscribers were woken a moment ago.
    fn pace(&self) {
        let subscribers = u32::try_from(self.shared.subscribers.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let pace = PACE_PER_SUBSCRIBER.saturating_mul(subscribers).clamp(PACE_MIN, PACE_MAX);
        let wait = pace.saturating_sub(self.appended_at.elapsed());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }

    /// False when events were left in their outboxes: what comes after them must not be taken either.
    fn work(&mut self, mut turn: Turn) -> bool {
        if !turn.events.is_empty() {
            if !self.append(&mut turn.events) {
                return false;
            }
            // The syncer ends only after this thread.
            let _ = self.marks.send(turn.marks);
            turn.places.clear();
        }
        for (command, reply) in turn.commands {
            let answer = self.answer(command);
            let _ = reply.send(answer.map_err(Failed::Cell)); // The asker may have gone.
        }
        true
    }

    /// Appends, however long the database refuses: a gap in a DID's events would never be filled. Gives up only when
    /// the server is stopping, for the events are still in their outboxes.
    fn append(&mut self, events: &mut [OutboxEvent]) -> bool {
        for tries in 0_u32.. {
            let error = match self.try_append(events) {
                Ok(_) if tries == 0 => return true,
                Ok(_) => {
                    tracing::warn!(tries, "the event log takes events again");
                    metrics::gauge!("zap_firehose_stuck").set(0);
                    return true;
                }
                Err(error) => error,
            };
            metrics::counter!("zap_firehose_append_failures_total").increment(1);
            metrics::gauge!("zap_firehose_stuck").set(1);
            if self.shared.room.is_stopping() {
                tracing::error!(%error, "events stay in their outboxes");
                break;
            }
            if tries % TRIES_SAID == 0 {
                tracing::error!(%error, tries, "append to the event log failed, trying again");
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
        self.shared.standing.behind.store(true, Ordering::Relaxed);
        false
    }

    fn try_append(&mut self, events: &mut [OutboxEvent]) -> Result<Vec<Option<i64>>, Error> {
        let seqs = self.cell.append(&self.database, now_us(), events)?;
        let new = seqs.iter().zip(events.iter()).filter_map(|(seq, event)| Some(((*seq)?, event)));
        self.publish(new);
        Ok(seqs)
    }

    /// Brings what was appended to the subscribers.
    fn publish<'a>(&mut self, appended: impl Iterator<Item = (i64, &'a OutboxEvent)> + Clone) {
        let deleted = appended.clone().any(|(_, event)| event.is_deletion());
        let batch = Batch::new(appended.map(|(seq, event)| {
            metrics::counter!("zap_firehose_events_total", "kind" => event.kind.name()).increment(1);
            (seq, event.frame.bytes())
        }));
        self.shared.ring.push(batch, deleted);
        if deleted || self.cell.bytes() > self.bytes_max {
            self.expire_at = Instant::now();
        }
        self.appended_at = Instant::now();
    }

    fn answer(&mut self, command: Command) -> Result<Reply, Error> {
        let answer = self.cell.handle(&self.database, now_us(), command);
        let appended = self.cell.take_appended();
        if !appended.is_empty() {
            self.publish(appended.iter().map(|(seq, event)| (*seq, event)));
        }
        if let Ok(head) = head(&self.database) {
            self.shared.expired_seq.store(head.expired_seq, Ordering::Release);
        }
        answer
    }

    /// Gives room back to the disk; whether there is more.
    fn shrink(&self) -> bool {
        shrink::step(&self.database).unwrap_or_else(|error| {
            tracing::warn!(%error, "the event log stays as large as it is");
            false
        })
    }

    fn expire(&mut self) -> u64 {
        let window = i64::try_from(self.backfill_window.as_micros()).unwrap_or(i64::MAX);
        let before_us = now_us().saturating_sub(window);
        let expire = Expire { before_us, bytes_max: self.bytes_max, limit: EXPIRY_ROWS };
        match self.answer(expire.into_command()) {
            Ok(reply) => Expire::from_answer(reply).unwrap_or(0),
            Err(error) => {
                tracing::warn!(%error, "old events could not be removed");
                0
            }
        }
    }
}

/// A failure leaves what was noted before.
pub(super) fn note_whereabouts(database: &Database, folder: &Path) {
    if let Err(error) = database.synced(|| whereabouts::note(database, folder)) {
        tracing::warn!(%error, "a copy that was made since the last start or stop may not be noticed when it is put back");
    }
}
