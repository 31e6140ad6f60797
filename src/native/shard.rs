//! The writers: a few threads, each owning the account cells that hash to it.
//!
//! A shard takes everything that waits in its mailbox, groups it by agent, and runs each agent's commands in one
//! transaction, a savepoint each but for the first: where that one fails, the transaction is undone, and the others get
//! another. All are answered after the one synced commit; so one repo's writes are serial without a lock, and writers that
//! wait for the same repo share an fsync. Other shards sync at the same time.
//!
//! Invariants
//! - Nobody is answered before the commit is on disk.
//! - When a transaction fails, every command in it is answered with the failure, and the cell in memory is dropped.
//! - Nothing that makes events is committed without a place in the sequencer's queue, so that nobody who is answered waits
//!   for the event log.
//! - Events go to the sequencer in the order of the outbox; opening a cell sends what its outbox still holds, and what finds
//!   no place then is tried again.

mod group;
mod later;
mod open;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::later::Later;
use self::open::{Cut, Open};
use super::clock::{now_us, system_random};
use super::files::Files;
use super::label::{self, Part};
use super::readers::Readers;
use super::sequencer::SequencerHandle;
use super::sql::{Database, Durability};
use crate::account::{Account, Change, Error, Reply};
use crate::env::{Env, Network};
use crate::host::{Answered, Failed};
use crate::limits::{MAILBOX_BATCH_MAX, OUTBOX_BATCH_BYTES_MAX};
use crate::outbox::drain::Drain;
use crate::store::{SqlError, in_transaction};
use crate::syntax::Did;
use crate::vault::{self, Keyring};

/// How long those who read an agent that is removed may take to notice, and how often it is looked.
const READERS_END_WITHIN: Duration = Duration::from_secs(2);
const READERS_LOOK: Duration = Duration::from_millis(5);

/// Where others wait already, those who were just answered may take this part of the time that their commit took to ask
/// again: then all share the next one. Nobody waits for that alone.
const GATHER_PART: u32 = 4;
const GATHER_MAX: Duration = Duration::from_millis(2);

/// How often it is looked whether a reader has left a log that is to be cut, and the event log has places again.
const LATER_LOOK: Duration = Duration::from_secs(1);

type Answer = Answered<Reply, Error>;
/// Commands of one agent that wait together.
type Group = Vec<(Change, oneshot::Sender<Answer>)>;

/// What a shard is sent.
enum Mail {
    Ask(Did, Change, oneshot::Sender<Answer>),
    /// Opens the cell, which brings its schema up to date and sends what its outbox holds; answers whether all of that is
    /// on its way.
    Visit(Did, oneshot::Sender<Answered<bool, Error>>),
    /// Closes the cell and removes its files.
    Destroy(Did, oneshot::Sender<Answered<(), Error>>),
}

/// What all shards share.
pub(super) struct Shared {
    pub(super) files: Files,
    pub(super) network: Arc<Network>,
    pub(super) sequencer: SequencerHandle,
    pub(super) readers: Arc<Readers>,
    /// Agents that each holds open; the one unused longest goes.
    pub(super) agents_open_max: usize,
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
        let shard = Shard {
            shared,
            open: HashMap::new(),
            turn: 0,
            uncut: Later::default(),
            undrained: Later::default(),
        };
        let thread =
            std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || shard.run(&mail))?;
        Ok(Self { mailbox, thread })
    }

    /// Asks an account's cell. The command is on its way when this returns.
    pub(super) fn ask(&self, did: Did, change: Change) -> impl Future<Output = Answer> + Send + use<> {
        let answer = self.send(|sender| Mail::Ask(did, change, sender));
        async move { answer.await.unwrap_or(Err(Failed::Stopping)) }
    }

    /// Has an agent's schema brought up to date and its outbox drained; whether that is. One that is not is tried again, by
    /// the next start at the latest.
    pub(super) fn visit(&self, did: Did) -> impl Future<Output = Answered<bool, Error>> + Send + use<> {
        let answer = self.send(|sender| Mail::Visit(did, sender));
        async move { answer.await.unwrap_or(Err(Failed::Stopping)) }
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

struct Shard {
    shared: Arc<Shared>,
    open: HashMap<Did, Open>,
    turn: u64,
    /// Agents with forgotten keys in their write-ahead logs, which readers hold, or that can't be cut.
    uncut: Later,
    /// Agents with events that found no place in the sequencer's queue, or could not be read.
    undrained: Later,
}

impl Shard {
    fn run(mut self, mail: &Receiver<Mail>) {
        let mut looked = Instant::now();
        let mut worked = Duration::ZERO;
        loop {
            let is_clear = self.uncut.is_empty() && self.undrained.is_empty();
            if !is_clear && looked.elapsed() >= LATER_LOOK {
                looked = Instant::now();
                self.cut(self.uncut.due(looked));
                self.drain(self.undrained.due(looked));
            }
            let waited = mail.try_recv();
            let first = match waited {
                Ok(waited) => {
                    // It came while others were answered, who are about to ask again.
                    std::thread::sleep((worked / GATHER_PART).min(GATHER_MAX));
                    Ok(waited)
                }
                Err(_) if is_clear => mail.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Err(_) => mail.recv_timeout(LATER_LOOK),
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
                        let opened = self.opened(&did, false).map(|_| ());
                        if let Err(error) = &opened {
                            self.note_drained(&did, Err(error.clone()));
                        }
                        // Why it does not open is told, also where another try may mend it.
                        let drained = opened.map(|()| !self.undrained.contains(&did));
                        let _ = done.send(drained.map_err(Failed::Cell));
                    }
                    Mail::Destroy(did, done) => {
                        // What was asked before is answered before.
                        asks.drain(..).for_each(|(did, group)| self.answer(&did, group));
                        let _ = done.send(self.destroy(&did));
                    }
                }
                taken += 1;
                if taken < MAILBOX_BATCH_MAX {
                    next = mail.try_recv().ok();
                }
            }
            let began = Instant::now();
            asks.into_iter().for_each(|(did, group)| self.answer(&did, group));
            worked = began.elapsed();
        }
        // Those that were closed since, too: their readers have ended with the requests.
        self.cut(self.uncut.all());
        self.drain(self.undrained.all());
        if !self.undrained.is_empty() {
            self.shared.sequencer.leave_behind();
        }
        for (did, open) in self.open.drain() {
            if let Err(error) = open.database.checkpoint() {
                tracing::warn!(%did, %error, "closing without a checkpoint");
            }
        }
    }

    /// Cuts the logs that readers held.
    fn cut(&mut self, dids: Vec<Did>) {
        for did in dids {
            // Opening settles.
            let Err(error) = self.opened(&did, false).map(|_| ()) else { continue };
            // It is not its readers that are in the way.
            self.shared.readers.settle(&did);
            if error == Error::NoRepo {
                self.uncut.remove(&did);
            } else if error.is_lasting() {
                self.uncut.remove(&did);
                tracing::error!(%did, %error, "forgotten keys stay in the write-ahead log until the agent is opened");
            } else {
                tracing::warn!(%did, %error, "forgotten keys stay in the write-ahead log for now");
                self.uncut.failed(&did, Instant::now());
            }
        }
    }

    /// Sends what found no place in the sequencer's queue, while there are some.
    fn drain(&mut self, dids: Vec<Did>) {
        let sequencer = self.shared.sequencer.clone();
        for did in dids {
            let Some(place) = sequencer.reserve() else { return };
            // Opening drains one that was closed meanwhile.
            let drained = self.opened(&did, false).and_then(|open| open.drain(&did, &sequencer, Some(place)));
            self.note_drained(&did, drained);
        }
    }

    fn note_drained(&mut self, did: &Did, drained: Result<bool, Error>) {
        match drained {
            Ok(true) | Err(Error::NoRepo) => self.undrained.remove(did),
            Ok(false) => self.undrained.add(did, Instant::now()),
            Err(error) => {
                self.open.remove(did);
                if error.is_lasting() {
                    self.undrained.remove(did);
                    tracing::error!(%did, %error, "events stay in the outbox: it can't be read");
                } else if self.undrained.failed(did, Instant::now()) {
                    tracing::error!(%did, %error, "events stay in the outbox until it can be read");
                }
            }
        }
    }

    /// Cuts an agent's log where that is owed, or sees to it that it is cut later.
    fn settle(&mut self, did: &Did) {
        let Some(open) = self.open.get_mut(did).filter(|open| open.cut == Cut::Owed) else {
            return self.uncut.remove(did);
        };
        match open.database.checkpoint() {
            Ok(true) => {
                open.cut = Cut::Paid;
                self.uncut.remove(did);
                self.shared.readers.settle(did);
            }
            Ok(false) => {
                self.shared.readers.hurry(did);
                self.uncut.add(did, Instant::now());
            }
            Err(error) => {
                if self.uncut.failed(did, Instant::now()) {
                    tracing::error!(%did, %error, "forgotten keys stay in the write-ahead log: it can't be cut");
                }
            }
        }
    }

    /// The account's cell, opened if need be. `create` makes its file when there is none.
    fn opened(&mut self, did: &Did, create: bool) -> Result<&mut Open, Error> {
        self.turn += 1;
        if !self.open.contains_key(did) {
            if self.open.len() >= self.shared.agents_open_max {
                let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(did, _)| did.clone());
                oldest.and_then(|oldest| self.open.remove(&oldest));
            }
            let mut opened = self.open_cell(did, create)?;
            let drained = opened.drain(did, &self.shared.sequencer, None);
            self.open.insert(did.clone(), opened);
            self.note_drained(did, drained);
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
        label::claim(&database, shared.files.network(), Part::Account(Some(did)))?;
        let mut rng = system_random();
        let mut env = Env { now_us: now_us(), rng: &mut rng, network: &shared.network };
        let cell = Account::load(&database, &mut env)?;
        let cut = if vault::owes_cut(&database)? { Cut::Owed } else { Cut::Never };
        Ok(Open {
            database,
            cell,
            cut,
            drain: Drain::new(OUTBOX_BATCH_BYTES_MAX),
            synced: Arc::default(),
            used: self.turn,
        })
    }

    /// Ends an agent's keys, also in its log, and then removes its files.
    fn destroy(&mut self, did: &Did) -> Result<(), Failed<Error>> {
        let sequencer = self.shared.sequencer.clone();
        // Opened once more, so that the last events are on their way; then they must have arrived: their outbox goes.
        let opened = self.opened(did, false).map_err(Failed::Cell);
        match opened.and_then(|open| open.await_sequencer(&sequencer)) {
            Ok(()) | Err(Failed::Cell(Error::NoRepo)) => {}
            Err(Failed::Cell(error)) if error.is_damage() => {
                tracing::warn!(%did, %error, "removing an agent whose outbox can't be read");
            }
            Err(failed) => return Err(failed),
        }
        self.open.remove(did);
        self.uncut.remove(did);
        self.undrained.remove(did);
        let path = self.shared.files.account(did);
        if path.exists() {
            self.shared.readers.end(did);
            match shred(&path).map_err(Error::from) {
                Ok(true) => {}
                Ok(false) => {
                    let why = "readers hold the log of an agent that is removed";
                    return Err(Error::Internal(why.to_owned()).into());
                }
                Err(error) if error.is_damage() => {
                    tracing::warn!(%did, %error, "the keys of a damaged agent are removed and not overwritten");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.shared.files.remove_account(did).map_err(Error::from)?;
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

#[cfg(test)]
mod tests;
