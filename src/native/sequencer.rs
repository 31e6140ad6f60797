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
//! - The thread never waits for a subscriber. Who sends it events has a place in the queue (`room`) before it commits them:
//!   a flood of writes is slowed down, and a log that takes nothing refuses them before they are made.
//! - Whoever waits for the thread waits within a bound, and a stop ends, however stuck the log is.
//!
//! Tricky bit: under load the thread paces itself, the longer the more subscribers there are. A transaction costs
//! about the same for one event as for ten, and so do each subscriber's wake-up and write.

mod backfill;
mod fanout;
mod ring;
mod room;
mod shrink;
mod subscriber;
mod sync;
mod websocket;
mod whereabouts;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use self::backfill::Backfill;
use self::fanout::FanOut;
use self::ring::Ring;
pub use self::room::Place;
use self::room::Room;
use self::sync::Syncer;
use self::writer::Writer;
use super::files;
use super::sql::{Database, Durability};
use crate::host::{Answered, Failed, Trouble};
use crate::sequencer::{Command, Error, Head, OutboxEvent, Reply, Sequencer, head};
use crate::store::SqlError;
use crate::syntax::Did;

/// The writer's own checkpoint, for when the other thread's never catch up: 64 MiB of pages.
const AUTOCHECKPOINT_PAGES: u32 = 16_384;
/// How long one try waits for another program that holds the log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that a command waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a stop waits for subscribers to hear the goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// How to run the sequencer.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file.
    pub path: PathBuf,
    /// How long events are kept.
    pub backfill_window: Duration,
    /// Bytes of events that are kept.
    pub bytes_max: u64,
    /// Whether the data is known to be of an earlier time than the network is.
    pub is_restored: bool,
    /// Bytes of recent events held in memory: how far a live subscriber may fall behind.
    pub ring_bytes_max: usize,
}

impl Options {
    /// With the usual ring.
    pub fn new(path: PathBuf, backfill_window: Duration) -> Self {
        Self {
            path,
            backfill_window,
            bytes_max: crate::limits::EVENT_LOG_BYTES_MAX,
            is_restored: false,
            ring_bytes_max: crate::limits::FIREHOSE_RING_BYTES_MAX,
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
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
    Events(Place, Vec<Outgoing>),
    Command(Command, oneshot::Sender<Answered<Reply, Error>>),
    Stop,
}

/// The way to the sequencer, for shards, handlers and `main`. Cheap to clone.
#[derive(Clone)]
pub struct SequencerHandle {
    queue: Sender<Message>,
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
    room: Arc<Room>,
    backfill: Backfill,
    /// The newest number whose event has expired.
    expired_seq: AtomicI64,
    subscribers: AtomicUsize,
    fanout: FanOut,
    standing: Arc<Standing>,
    is_restored: bool,
}

/// How the threads fared.
#[derive(Debug, Default)]
struct Standing {
    /// Events were left in their outboxes: the log would not take them, or could not be synced.
    behind: AtomicBool,
    /// A sync failed. Outboxes are kept until a restart.
    unsynced: AtomicBool,
}

impl SequencerHandle {
    /// Opens the log and starts its threads.
    ///
    /// # Errors
    /// [`Error::Sql`] when the database cannot be opened or a thread cannot be started.
    pub fn start(options: Options) -> Result<Self, Error> {
        let database = Database::open(&options.path, Durability::Normal)?;
        database.checkpoint_after(AUTOCHECKPOINT_PAGES)?;
        database
            .connection()
            .busy_timeout(BUSY_TIMEOUT)
            .map_err(|error| SqlError::Other(error.to_string()))?;
        if let Err(error) = shrink::prepare(&database) {
            tracing::warn!(%error, "the event log stays as large as it is");
        }
        let mut cell = Sequencer::load(&database)?;
        let folder = options.folder();
        let is_restored = options.is_restored || whereabouts::have_changed(&database, folder)?;
        if is_restored {
            // First: once the whereabouts are noted, nothing else shows it.
            files::mark_restored(folder)?;
            match cell.skip_to(&database, now_us()) {
                // The next start does it again, unless all accounts have found room to say where they stand.
                Err(error @ SqlError::Full) => {
                    tracing::warn!(%error, "the event log can't note where it goes on")
                }
                skipped => skipped?,
            }
        }
        let head = Head { last_seq: cell.last_seq(), ..head(&database)? };
        let shared = Arc::new(Shared {
            ring: Ring::new(head.last_seq, options.ring_bytes_max),
            room: Arc::default(),
            backfill: Backfill::new(options.path.clone()),
            expired_seq: AtomicI64::new(head.expired_seq),
            subscribers: AtomicUsize::new(0),
            fanout: FanOut::start().map_err(|error| SqlError::Other(format!("start threads: {error}")))?,
            standing: Arc::default(),
            is_restored,
        });
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(|error| SqlError::Other(format!("start thread {name}: {error}")))
        };
        let (marks, syncer) = Syncer::new(&options.path, Arc::clone(&shared.standing))?;
        let syncer = spawn("sequencer-sync", Box::new(move || syncer.run()))?;
        let (queue, messages) = channel();
        writer::note_whereabouts(&database, folder);
        let writer = Writer::new(cell, database, &options, Arc::clone(&shared), marks);
        let writer = spawn("sequencer", Box::new(move || writer.run(&messages)))?;
        // Joined in this order: the syncer ends once the writer has dropped its end.
        Ok(Self { queue, shared, threads: Arc::new(Mutex::new(vec![writer, syncer])) })
    }

    /// A place in the queue, for what is about to be committed; `None` when the log does not keep up. Waits a moment
    /// where it is only slow.
    pub fn reserve(&self) -> Option<Place> {
        self.shared.room.enter()
    }

    /// Hands over events of outboxes, each DID's in order and without gaps.
    ///
    /// # Errors
    /// [`Stopped`]; the events stay in their outboxes.
    pub fn send(&self, mut place: Place, events: Vec<Outgoing>) -> Result<(), Stopped> {
        place.hold(events.iter().map(|outgoing| outgoing.event.frame.bytes().len()).sum());
        self.queue.send(Message::Events(place, events)).map_err(|_| Stopped)
    }

    /// Asks the cell.
    ///
    /// # Errors
    /// The cell's, [`Failed::Busy`] when it does not answer, or that it has stopped.
    pub async fn call(&self, command: Command) -> Answered<Reply, Error> {
        let command = match command {
            Command::Query(query) => return self.shared.backfill.ask(query).await,
            Command::Change(_) => command,
        };
        if self.shared.room.is_stuck() {
            return Err(Failed::Busy);
        }
        let (sender, receiver) = oneshot::channel();
        self.queue.send(Message::Command(command, sender)).map_err(|_| Failed::Stopping)?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, receiver).await.map_err(|_| Failed::Busy)?;
        answer.unwrap_or(Err(Failed::Stopping))
    }

    /// The log's ends, as subscribers see them.
    pub fn head(&self) -> Head {
        // In this order: what has expired since is before what is newest.
        let expired_seq = self.shared.expired_seq.load(Ordering::Acquire);
        Head { last_seq: self.shared.ring.last_seq(), expired_seq }
    }

    /// What is wrong with the log.
    pub fn troubles(&self) -> Vec<Trouble> {
        let stuck = self.shared.room.is_stuck().then_some(Trouble::EventLogStuck);
        let is_unsynced = self.shared.standing.unsynced.load(Ordering::Relaxed);
        stuck.into_iter().chain(is_unsynced.then_some(Trouble::EventLogUnsynced)).collect()
    }

    /// The newest `seq` that subscribers can have; 0 when there was none yet.
    pub fn last_seq(&self) -> i64 {
        self.shared.ring.last_seq()
    }

    /// How many sockets are open.
    pub fn subscribers(&self) -> usize {
        self.shared.subscribers.load(Ordering::Relaxed)
    }

    /// From now on nobody waits for the log, and what it does not take at once stays in the outboxes.
    pub fn begin_to_stop(&self) {
        self.shared.room.stop();
    }

    /// Appends what was sent before, syncs it, says goodbye to the subscribers, and returns when that is done. Blocks;
    /// call it once the shards have stopped.
    pub fn stop(&self) {
        self.begin_to_stop();
        // An error means that the thread has ended already.
        let _ = self.queue.send(Message::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a sequencer thread had panicked");
                self.shared.standing.behind.store(true, Ordering::Relaxed);
            }
        }
        self.shared.fanout.stop(GOODBYE_WITHIN, || self.subscribers());
    }

    /// Whether the data is of an earlier time than the network is: a backup was put back.
    pub fn is_restored(&self) -> bool {
        self.shared.is_restored
    }

    /// The newest outbox id that the log has of a DID.
    ///
    /// # Errors
    /// [`Error::Sql`], or that it stops.
    pub async fn last_outbox_id(&self, did: Did) -> Answered<i64, Error> {
        self.shared.backfill.last_outbox_id(did).await
    }

    /// Notes that events were left in their outboxes.
    pub fn leave_behind(&self) {
        self.shared.standing.behind.store(true, Ordering::Relaxed);
    }

    /// Whether events were left in their outboxes, for the next start to look for.
    pub fn is_behind(&self) -> bool {
        self.shared.standing.behind.load(Ordering::Relaxed)
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
