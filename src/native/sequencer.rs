//! The sequencer on this host: one thread that owns `sequencer.sqlite`, and what carries its events to subscribers.
//!
//! Shard threads [`SequencerHandle::send`] what their agents' outboxes hold. The thread takes all that waits, appends
//! it in one transaction, and puts the finished frames into a ring in memory, from which every subscriber writes the
//! same bytes to its socket. A second thread syncs the log every 100 ms and then tells the agents up to where their
//! outbox rows may go; until then a power cut loses nothing, since the outboxes are drained again.
//!
//! Invariants
//! - An event is in the database before it is in the ring, so a backfill that ends where the ring begins misses none.
//! - An agent's mark never passes an event that a power cut could still take from the log.
//! - The thread never waits for a subscriber; shards wait for the thread (the queue is bounded), which is what keeps
//!   a flood of writes from filling memory.
//!
//! Tricky bit: under load the thread paces itself, the longer the more subscribers there are. A transaction costs
//! about the same for one event as for ten, and so do each subscriber's wake-up and write.

mod backfill;
mod ring;
mod subscriber;
mod sync;
mod websocket;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use self::backfill::Backfill;
use self::ring::{Batch, Ring};
use self::sync::{Mark, Syncer};
use super::sql::{Database, Durability};
use crate::host::{Answered, Failed};
use crate::limits::{SEQUENCER_BATCH_BYTES_MAX, SEQUENCER_QUEUE_MAX};
use crate::seam::Request as _;
use crate::sequencer::{Command, Error, Expire, GetHead, Head, OutboxEvent, Reply, Sequencer, head};
use crate::store::SqlError;

/// The writer's own checkpoint, for when the other thread's never catch up: 64 MiB of pages.
const AUTOCHECKPOINT_PAGES: u32 = 16_384;
/// How often old events are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);
/// Old events deleted in one transaction: a few milliseconds' work.
const EXPIRY_ROWS: u32 = 500;
/// Between two tries of an append that failed.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Pacing: at least this long between two appends, since a transaction for two events costs hardly more than for one;
/// longer the more subscribers there are, so that waking and writing to them takes at most about a third of a core; and
/// never longer than the last value. An event that comes alone does not wait at all.
const PACE_MIN: Duration = Duration::from_millis(2);
const PACE_PER_SUBSCRIBER: Duration = Duration::from_micros(25);
const PACE_MAX: Duration = Duration::from_millis(3);

/// How to run the sequencer.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file.
    pub path: PathBuf,
    /// How long events are kept.
    pub backfill_window: Duration,
    /// Bytes of recent events held in memory: how far a live subscriber may fall behind.
    pub ring_bytes_max: usize,
}

impl Options {
    /// With the usual ring.
    pub fn new(path: PathBuf, backfill_window: Duration) -> Self {
        Self { path, backfill_window, ring_bytes_max: crate::limits::FIREHOSE_RING_BYTES_MAX }
    }
}

/// The sequencer's threads have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// An event on its way from an agent, and where that agent learns that it is safe.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The event.
    pub event: OutboxEvent,
    /// Raised to the event's outbox id once the log is synced past it.
    pub synced: Arc<AtomicI64>,
}

enum Message {
    Events(Vec<Outgoing>),
    Command(Command, oneshot::Sender<Answered<Reply, Error>>),
    Stop,
}

/// The way to the sequencer, for shards, handlers and `main`. Cheap to clone.
#[derive(Clone)]
pub struct SequencerHandle {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl std::fmt::Debug for SequencerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SequencerHandle").field("subscribers", &self.subscribers()).finish_non_exhaustive()
    }
}

/// What the threads and the subscribers share.
struct Shared {
    ring: Ring,
    backfill: Backfill,
    subscribers: AtomicUsize,
    stopping: AtomicBool,
    /// Whether events were left in their outboxes: the log would not take them, or could not be synced.
    behind: Arc<AtomicBool>,
}

impl SequencerHandle {
    /// Opens the log and starts its threads.
    ///
    /// # Errors
    /// [`Error::Sql`] when the database cannot be opened or a thread cannot be started.
    pub fn start(options: Options) -> Result<Self, Error> {
        let database = Database::open(&options.path, Durability::Normal)?;
        let set = format!("PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}");
        database.connection().execute_batch(&set).map_err(|error| SqlError::Other(error.to_string()))?;
        let cell = Sequencer::load(&database)?;
        let shared = Arc::new(Shared {
            ring: Ring::new(head(&database)?.last_seq, options.ring_bytes_max),
            backfill: Backfill::new(options.path.clone()),
            subscribers: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            behind: Arc::default(),
        });
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(|error| SqlError::Other(format!("start thread {name}: {error}")))
        };
        let (marks, syncer) = Syncer::new(&options.path, Arc::clone(&shared.behind))?;
        let syncer = spawn("sequencer-sync", Box::new(move || syncer.run()))?;
        let (queue, messages) = sync_channel(SEQUENCER_QUEUE_MAX);
        let writer = Writer {
            cell,
            database,
            shared: Arc::clone(&shared),
            marks,
            backfill_window: options.backfill_window,
            appended_at: Instant::now(),
            expire_at: Instant::now(),
        };
        let writer = spawn("sequencer", Box::new(move || writer.run(&messages)))?;
        // Joined in this order: the syncer ends once the writer has dropped its end.
        Ok(Self { queue, shared, threads: Arc::new(Mutex::new(vec![writer, syncer])) })
    }

    /// Hands over events of outboxes, each DID's in order and without gaps. Waits while the queue is full.
    ///
    /// # Errors
    /// [`Stopped`]; the events stay in their outboxes.
    pub fn send(&self, events: Vec<Outgoing>) -> Result<(), Stopped> {
        self.queue.send(Message::Events(events)).map_err(|_| Stopped)
    }

    /// Asks the cell.
    ///
    /// # Errors
    /// The cell's, or that it has stopped.
    pub async fn call(&self, command: Command) -> Answered<Reply, Error> {
        let (sender, receiver) = oneshot::channel();
        let mut message = Message::Command(command, sender);
        // The queue is nearly always open; where it is not, the serving thread has to stay free.
        while let Err(error) = self.queue.try_send(message) {
            message = match error {
                std::sync::mpsc::TrySendError::Full(message) => message,
                std::sync::mpsc::TrySendError::Disconnected(_) => return Err(Failed::Stopping),
            };
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        receiver.await.unwrap_or(Err(Failed::Stopping))
    }

    /// The log's ends.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn head(&self) -> Answered<Head, Error> {
        GetHead::from_answer(self.call(GetHead {}.into_command()).await?).ok_or(Failed::Mismatch)
    }

    /// The newest `seq` that subscribers can have; 0 when there was none yet.
    pub fn last_seq(&self) -> i64 {
        self.shared.ring.last_seq()
    }

    /// How many sockets are open.
    pub fn subscribers(&self) -> usize {
        self.shared.subscribers.load(Ordering::Relaxed)
    }

    /// Appends what was sent before, syncs it, says goodbye to the subscribers, and returns when that is done. Blocks;
    /// call it once the shards have stopped.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // An error means that the thread has ended already.
        let _ = self.queue.send(Message::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a sequencer thread had panicked");
                self.shared.behind.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether events were left in their outboxes, for the next start to look for.
    pub fn is_behind(&self) -> bool {
        self.shared.behind.load(Ordering::Relaxed)
    }
}

struct Writer {
    cell: Sequencer,
    database: Database,
    shared: Arc<Shared>,
    marks: std::sync::mpsc::Sender<Vec<Mark>>,
    backfill_window: Duration,
    appended_at: Instant,
    expire_at: Instant,
}

/// What one turn of the writer takes out of its queue.
#[derive(Default)]
struct Turn {
    events: Vec<OutboxEvent>,
    marks: Vec<Mark>,
    commands: Vec<(Command, oneshot::Sender<Answered<Reply, Error>>)>,
    bytes: usize,
    stop: bool,
}

impl Turn {
    fn add(&mut self, message: Message) {
        match message {
            Message::Events(events) => {
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
    fn run(mut self, queue: &Receiver<Message>) {
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
            self.work(turn);
            if stop {
                break;
            }
            if Instant::now() >= self.expire_at {
                // After a full step more may be left: go on as soon as the queue has been looked at.
                let more = self.expire() >= u64::from(EXPIRY_ROWS);
                self.expire_at = Instant::now() + if more { Duration::ZERO } else { EXPIRY_INTERVAL };
            }
        }
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

    fn work(&mut self, mut turn: Turn) {
        if !turn.events.is_empty() && self.append(&mut turn.events) {
            // The syncer ends only after this thread.
            let _ = self.marks.send(turn.marks);
        }
        for (command, reply) in turn.commands {
            let answer = self.answer(command);
            let _ = reply.send(answer.map_err(Failed::Cell)); // The asker may have gone.
        }
    }

    /// Appends, however long the database refuses: a gap in a DID's events would never be filled. Gives up only when
    /// the server is stopping, for the events are still in their outboxes.
    fn append(&mut self, events: &mut [OutboxEvent]) -> bool {
        loop {
            match self.try_append(events) {
                Ok(_) => return true,
                Err(error) if self.shared.stopping.load(Ordering::Relaxed) => {
                    tracing::error!(%error, "events stay in their outboxes");
                    self.shared.behind.store(true, Ordering::Relaxed);
                    return false;
                }
                Err(error) => {
                    tracing::error!(%error, "append to the event log failed, trying again");
                    metrics::counter!("zap_firehose_append_failures_total").increment(1);
                    std::thread::sleep(RETRY_INTERVAL);
                }
            }
        }
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
        if deleted {
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
        answer
    }

    fn expire(&mut self) -> u64 {
        let window = i64::try_from(self.backfill_window.as_micros()).unwrap_or(i64::MAX);
        let expire = Expire { before_us: now_us().saturating_sub(window), limit: EXPIRY_ROWS };
        match self.answer(expire.into_command()) {
            Ok(reply) => Expire::from_answer(reply).unwrap_or(0),
            Err(error) => {
                tracing::warn!(%error, "old events could not be removed");
                0
            }
        }
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
