//! The writers: a few threads, each owning the account cells that hash to it.
//!
//! A shard takes everything that waits in its mailbox, groups it by agent, and runs each agent's commands in one
//! transaction, a savepoint each. All are answered after the one synced commit; so one repo's writes are serial
//! without a lock, and writers that wait for the same repo share an fsync. Other shards sync at the same time.
//!
//! Invariants
//! - Nobody is answered before the commit is on disk.
//! - When a transaction fails, every command in it is answered with the failure, and the cell in memory is dropped.
//! - Events go to the sequencer in the order of the outbox; opening a cell sends what its outbox still holds.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::clock::{now_us, system_random};
use super::files::Files;
use super::readers::Readers;
use super::sequencer::{Outgoing, SequencerHandle};
use super::sql::{Database, Durability};
use crate::account::{Account, Change, Error, Reply};
use crate::env::{Env, Network};
use crate::host::{Answered, Failed};
use crate::limits::{MAILBOX_BATCH_MAX, OUTBOX_BATCH_BYTES_MAX, SHARD_AGENTS_OPEN_MAX};
use crate::outbox::drain::Drain;
use crate::outbox::{PendingOutbox, pending};
use crate::seam::{Access, Named as _};
use crate::sequencer::OutboxEvent;
use crate::store::{Sql, SqlError, in_transaction};
use crate::syntax::Did;
use crate::vault::{self, Keyring};

/// The longest a deletion waits for the event log, and how often it looks: the log is synced ten times a second.
const SYNCED_WITHIN: Duration = Duration::from_secs(10);
const SYNCED_LOOK: Duration = Duration::from_millis(5);

/// How long those who read an agent that is removed may take to notice, and how often it is looked.
const READERS_END_WITHIN: Duration = Duration::from_secs(2);
const READERS_LOOK: Duration = Duration::from_millis(5);

/// How often it is looked whether a reader has left a log that is to be cut.
const UNCUT_LOOK: Duration = Duration::from_secs(1);

type Answer = Answered<Reply, Error>;
/// Commands of one agent that wait together.
type Group = Vec<(Change, oneshot::Sender<Answer>)>;

/// What a shard is sent.
enum Mail {
    Ask(Did, Change, oneshot::Sender<Answer>),
    /// Opens the cell, which sends what its outbox holds.
    Visit(Did, oneshot::Sender<()>),
    /// Closes the cell and removes its files.
    Destroy(Did, oneshot::Sender<Answered<(), Error>>),
}

/// What all shards share.
pub(super) struct Shared {
    pub(super) files: Files,
    pub(super) network: Arc<Network>,
    pub(super) sequencer: SequencerHandle,
    pub(super) readers: Arc<Readers>,
}

/// The way to one shard.
pub(super) struct ShardHandle {
    mailbox: Sender<Mail>,
    thread: JoinHandle<()>,
}

impl ShardHandle {
    /// Starts shard `number`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(number: usize, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (mailbox, mail) = channel();
        let shard = Shard { shared, open: HashMap::new(), turn: 0, uncut: HashSet::new() };
        let thread =
            std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || shard.run(&mail))?;
        Ok(Self { mailbox, thread })
    }

    /// Asks an account's cell. The command is on its way when this returns.
    pub(super) fn ask(&self, did: Did, change: Change) -> impl Future<Output = Answer> + Send + use<> {
        let answer = self.send(|sender| Mail::Ask(did, change, sender));
        async move { answer.await.unwrap_or(Err(Failed::Stopping)) }
    }

    /// Has an agent's outbox drained. When the shard stops before, the next start does it.
    pub(super) fn visit(&self, did: Did) -> impl Future<Output = ()> + Send + use<> {
        let answer = self.send(|sender| Mail::Visit(did, sender));
        async move { answer.await.unwrap_or_default() }
    }

    /// Removes an account's cell.
    pub(super) fn destroy(&self, did: Did) -> impl Future<Output = Answered<(), Error>> + Send + use<> {
        let answer = self.send(|sender| Mail::Destroy(did, sender));
        async move { answer.await.unwrap_or(Err(Failed::Stopping)) }
    }

    fn send<T>(&self, mail: impl FnOnce(oneshot::Sender<T>) -> Mail) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        // When the shard has stopped, the sender is dropped, which the receiver hears of.
        let _ = self.mailbox.send(mail(sender));
        receiver
    }

    /// Ends the shard after what it was sent before.
    pub(super) fn stop(self) {
        drop(self.mailbox);
        if self.thread.join().is_err() {
            tracing::error!("a shard had panicked");
        }
    }
}

/// One open agent.
struct Open {
    database: Database,
    cell: Account,
    /// What of the outbox goes to the sequencer next.
    drain: Drain,
    /// Where the sequencer notes how far the outbox is safe.
    synced: Arc<AtomicI64>,
    cut: Cut,
    used: u64,
}

/// Whether the write-ahead log holds keys that were ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// No.
    Never,
    /// It may, and the database says so.
    Owed,
    /// Not any more; the next transaction takes the note away.
    Paid,
}

impl Open {
    /// Hands everything in the outbox to the sequencer, which keeps it until it is safe; only a stop loses it, and then the
    /// next start drains again.
    fn drain(&mut self, did: &Did, sequencer: &SequencerHandle) -> Result<(), Error> {
        while let Some(rows) = self.drain.next(&self.database, now_us())? {
            let outgoing = rows.into_iter().map(|row| Outgoing {
                event: OutboxEvent { did: did.clone(), outbox_id: row.id, kind: row.kind, frame: row.frame },
                synced: Arc::clone(&self.synced),
            });
            if sequencer.send(outgoing.collect()).is_err() {
                self.drain.failed(now_us(), 0);
                tracing::warn!(%did, "the sequencer has stopped; events stay in the outbox for the next start");
                return Ok(());
            }
            self.drain.arrived();
        }
        Ok(())
    }

    /// Waits until the sequencer has all events safely; an error when that takes too long.
    fn await_sequencer(&self) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            let after = self.synced.load(Ordering::Acquire);
            if pending(&self.database, &PendingOutbox { after, limit: 1 })?.is_empty() {
                return Ok(());
            }
            if start.elapsed() > SYNCED_WITHIN {
                return Err(Error::Internal("the event log does not take the last events".to_owned()));
            }
            std::thread::sleep(SYNCED_LOOK);
        }
    }
}

struct Shard {
    shared: Arc<Shared>,
    open: HashMap<Did, Open>,
    turn: u64,
    /// Agents with forgotten keys in their write-ahead logs, which readers hold.
    uncut: HashSet<Did>,
}

impl Shard {
    fn run(mut self, mail: &Receiver<Mail>) {
        let mut looked = Instant::now();
        loop {
            if !self.uncut.is_empty() && looked.elapsed() >= UNCUT_LOOK {
                self.cut();
                looked = Instant::now();
            }
            let first = if self.uncut.is_empty() {
                mail.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                mail.recv_timeout(UNCUT_LOOK)
            };
            let first = match first {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut asks: Vec<(Did, Group)> = Vec::new();
            let mut next = Some(first);
            let mut taken = 0;
            while let Some(message) = next.take() {
                match message {
                    Mail::Ask(did, change, answer) => {
                        match asks.iter_mut().find(|(other, _)| *other == did) {
                            Some((_, group)) => group.push((change, answer)),
                            None => asks.push((did, vec![(change, answer)])),
                        }
                    }
                    Mail::Visit(did, done) => {
                        if let Err(error) = self.opened(&did, false) {
                            tracing::error!(%did, %error, "an outbox can't be drained");
                        }
                        let _ = done.send(());
                    }
                    Mail::Destroy(did, done) => {
                        // What was asked before is answered before.
                        asks.drain(..).for_each(|(did, group)| self.answer(&did, group));
                        let _ = done.send(self.destroy(&did).map_err(Failed::Cell));
                    }
                }
                taken += 1;
                if taken < MAILBOX_BATCH_MAX {
                    next = mail.try_recv().ok();
                }
            }
            asks.into_iter().for_each(|(did, group)| self.answer(&did, group));
        }
        // Those that were closed since, too: their readers have ended with the requests.
        self.cut();
        for (did, open) in self.open.drain() {
            if let Err(error) = open.database.checkpoint() {
                tracing::warn!(%did, %error, "closing without a checkpoint");
            }
        }
    }

    /// Cuts the logs that readers held.
    fn cut(&mut self) {
        for did in std::mem::take(&mut self.uncut) {
            // Opening settles.
            if let Err(error) = self.opened(&did, false)
                && error != Error::NoRepo
            {
                tracing::warn!(%did, %error, "forgotten keys stay in the write-ahead log until the agent is opened");
            }
        }
    }

    /// Cuts an agent's log where that is owed, or sees to it that it is cut when its readers have gone.
    fn settle(&mut self, did: &Did) {
        let Some(open) = self.open.get_mut(did).filter(|open| open.cut == Cut::Owed) else { return };
        match open.database.checkpoint() {
            Ok(true) => {
                open.cut = Cut::Paid;
                self.shared.readers.settle(did);
            }
            Ok(false) => {
                self.shared.readers.hurry(did);
                self.uncut.insert(did.clone());
            }
            Err(error) => {
                tracing::error!(%did, %error, "forgotten keys stay in the write-ahead log: it can't be cut");
                self.uncut.insert(did.clone());
            }
        }
    }

    fn answer(&mut self, did: &Did, group: Group) {
        let (changes, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let answers = self.run_group(did, changes).unwrap_or_else(|error| {
            self.open.remove(did);
            if error.is_storage() {
                tracing::error!(%did, %error, "commands failed");
            }
            std::iter::repeat_with(|| Err(error.clone())).take(waiting.len()).collect()
        });
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            // An error means that the caller has gone; its command stands all the same.
            let _ = waiting.send(answer.map_err(Failed::Cell));
        }
    }

    /// Runs commands of one agent in one transaction. An error undoes all of them.
    fn run_group(&mut self, did: &Did, changes: Vec<Change>) -> Result<Vec<Result<Reply, Error>>, Error> {
        let creating = changes.iter().any(|change| change.access() == Access::Create);
        let shared = Arc::clone(&self.shared);
        let open = self.opened(did, creating)?;
        open.cell.outbox_synced(open.synced.load(Ordering::Acquire));
        let mut answers = Vec::with_capacity(changes.len());
        let mut failed = None;
        let mut changes = Some(changes);
        let Open { database, cell, cut, .. } = open;
        database.transaction(&mut || {
            if *cut == Cut::Paid
                && let Err(error) = vault::cut_paid(&*database)
            {
                failed = Some(error.into());
                return false;
            }
            for change in changes.take().into_iter().flatten() {
                let mut rng = system_random();
                let mut env = Env { now_us: now_us(), rng: &mut rng, network: &shared.network };
                let answer = cell.change(&*database, &mut env, change);
                if let Err(error) = &answer
                    && error.is_storage()
                {
                    failed = Some(error.clone());
                    return false;
                }
                answers.push(answer);
            }
            true
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        // What is committed is answered so, whatever comes after.
        let effects = open.cell.take_effects();
        open.drain.hold(effects.events);
        let drained = open.drain(did, &shared.sequencer);
        open.cut = match vault::owes_cut(&open.database) {
            Ok(false) => Cut::Never,
            Ok(true) | Err(_) => Cut::Owed,
        };
        self.settle(did);
        if let Err(error) = drained {
            tracing::error!(%did, %error, "events stay in the outbox until the cell is opened again");
            self.open.remove(did);
        }
        Ok(answers)
    }

    /// The account's cell, opened if need be. `create` makes its file when there is none.
    fn opened(&mut self, did: &Did, create: bool) -> Result<&mut Open, Error> {
        self.turn += 1;
        if !self.open.contains_key(did) {
            if self.open.len() >= SHARD_AGENTS_OPEN_MAX {
                let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(did, _)| did.clone());
                oldest.and_then(|oldest| self.open.remove(&oldest));
            }
            let opened = self.open_cell(did, create)?;
            self.open.insert(did.clone(), opened);
        }
        self.settle(did);
        let open = self.open.get_mut(did).ok_or(Error::NoRepo)?;
        open.used = self.turn;
        Ok(open)
    }

    fn open_cell(&self, did: &Did, create: bool) -> Result<Open, Error> {
        let shared = &self.shared;
        let path = shared.files.account(did);
        if !path.exists() {
            if !create {
                return Err(Error::NoRepo);
            }
            shared.files.create_account(did)?;
        }
        let database = Database::open(&path, Durability::Full)?;
        let mut rng = system_random();
        let mut env = Env { now_us: now_us(), rng: &mut rng, network: &shared.network };
        let cell = Account::load(&database, &mut env)?;
        let cut = if vault::owes_cut(&database)? { Cut::Owed } else { Cut::Never };
        let mut open = Open {
            database,
            cell,
            cut,
            drain: Drain::new(OUTBOX_BATCH_BYTES_MAX),
            synced: Arc::default(),
            used: self.turn,
        };
        open.drain(did, &shared.sequencer)?;
        Ok(open)
    }

    /// Ends an agent's keys, also in its log, and then removes its files.
    fn destroy(&mut self, did: &Did) -> Result<(), Error> {
        // Opened once more, so that the last events are on their way; then they must have arrived: their outbox goes.
        match self.opened(did, false) {
            Ok(open) => open.await_sequencer()?,
            Err(Error::NoRepo) => {}
            Err(error) => tracing::warn!(%did, %error, "removing an agent whose outbox can't be read"),
        }
        self.open.remove(did);
        self.uncut.remove(did);
        let path = self.shared.files.account(did);
        if path.exists() {
            self.shared.readers.end(did);
            match shred(&path) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Error::Internal(
                        "readers hold the log of an agent that is removed".to_owned(),
                    ));
                }
                Err(error) => {
                    tracing::warn!(%did, %error, "the keys of a damaged agent are removed and not overwritten")
                }
            }
        }
        self.shared.files.remove_account(did)?;
        self.shared.readers.settle(did);
        Ok(())
    }
}

/// Destroys all keys in a database, and cuts its log; false while readers hold that.
fn shred(path: &Path) -> Result<bool, SqlError> {
    let database = Database::open(path, Durability::Full)?;
    in_transaction(&database, || Keyring::shred(&database))?;
    let start = Instant::now();
    while !database.checkpoint()? {
        if start.elapsed() > READERS_END_WITHIN {
            return Ok(false);
        }
        std::thread::sleep(READERS_LOOK);
    }
    Ok(true)
}
