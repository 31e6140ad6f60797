//! The directory cell's thread, and the memory of who is who in front of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::clock::{now_us, system_random};
use super::sql::{Database, Durability};
use crate::actor::AccountSummary;
use crate::directory::{Command, Directory, Error, GetAccount, Reply, Who};
use crate::env::{Env, Network};
use crate::limits::{ACCOUNTS_CACHED_MAX, MAILBOX_BATCH_MAX};
use crate::seam::Request;
use crate::store::{Sql, SqlError};
use crate::syntax::{AtIdentifier, Did, Handle};

type Answer = Result<Reply, Error>;
type Mail = (Command, oneshot::Sender<Answer>);

/// The way to the directory.
pub(super) struct DirectoryHandle {
    mailbox: Sender<Mail>,
    thread: JoinHandle<()>,
    known: RwLock<HashMap<AtIdentifier, AccountSummary>>,
    /// Counts changes, so that an answer from before one is not remembered after it.
    changes: AtomicU64,
}

impl DirectoryHandle {
    /// Opens the database and starts the thread.
    ///
    /// # Errors
    /// The cell's, or when the thread cannot be started.
    pub(super) fn start(path: &std::path::Path, network: Arc<Network>) -> Result<Self, Error> {
        let database = Database::open(path, Durability::Full)?;
        let mut rng = system_random();
        let mut env = Env { now_us: now_us(), rng: &mut rng, network: &network };
        let cell = Directory::load(&database, &mut env)?;
        let (mailbox, mail) = channel();
        let thread = std::thread::Builder::new()
            .name("directory".to_owned())
            .spawn(move || run(&database, cell, &network, &mail))
            .map_err(|error| SqlError::Other(format!("start the directory's thread: {error}")))?;
        Ok(Self { mailbox, thread, known: RwLock::default(), changes: AtomicU64::new(0) })
    }

    /// Asks the cell.
    pub(super) async fn ask(&self, command: Command) -> Answer {
        let stopped = || Error::Sql(SqlError::Other("the directory has stopped".to_owned()));
        let (sender, receiver) = oneshot::channel();
        self.mailbox.send((command, sender)).map_err(|_| stopped())?;
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// An account's standing, remembered.
    pub(super) async fn find_account(
        &self,
        identifier: AtIdentifier,
    ) -> Result<Option<AccountSummary>, Error> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&identifier) {
            return Ok(Some(known.clone()));
        }
        let changes = self.changes.load(Ordering::Acquire);
        let who = match &identifier {
            AtIdentifier::Did(did) => Who::Did(did.clone()),
            AtIdentifier::Handle(handle) => Who::Handle(handle.clone()),
        };
        let answer = self.ask(GetAccount { who }.into_command()).await?;
        let Some(account) = GetAccount::from_answer(answer).ok_or(Error::Mismatch)? else { return Ok(None) };
        let summary = account.summary();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ACCOUNTS_CACHED_MAX {
            known.clear();
        }
        if changes == self.changes.load(Ordering::Acquire) {
            known.insert(identifier, summary.clone());
        }
        Ok(Some(summary))
    }

    /// Forgets what is remembered of an account.
    pub(super) fn forget(&self, did: &Did, handle: Option<&Handle>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        known.retain(|_, summary| summary.did != *did && Some(&summary.handle) != handle);
    }

    /// Ends the thread after what it was sent before.
    pub(super) fn stop(self) {
        drop(self.mailbox);
        if self.thread.join().is_err() {
            tracing::error!("the directory's thread had panicked");
        }
    }
}

/// Commands that wait together share one transaction and one fsync, as in a shard.
fn run(database: &Database, mut cell: Directory, network: &Network, mail: &Receiver<Mail>) {
    while let Ok(first) = mail.recv() {
        let mut batch = vec![first];
        while batch.len() < MAILBOX_BATCH_MAX
            && let Ok(next) = mail.try_recv()
        {
            batch.push(next);
        }
        let (commands, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let mut commands = Some(commands);
        let mut answers = Vec::new();
        let kept = database.transaction(&mut || {
            for command in commands.take().into_iter().flatten() {
                let mut rng = system_random();
                let mut env = Env { now_us: now_us(), rng: &mut rng, network };
                answers.push(cell.handle(database, &mut env, command));
            }
            true
        });
        if let Err(error) = kept {
            tracing::error!(%error, "the directory's commands failed");
            answers = vec![Err(Error::Sql(error)); waiting.len()];
        }
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            // An error means that the caller has gone; its command stands all the same.
            let _ = waiting.send(answer);
        }
    }
}
