//! The directory cell's thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::clock::{now_us, system_random};
use super::sql::{Database, Durability};
use crate::directory::{Command, Directory, Error, Reply};
use crate::env::{Env, Network};
use crate::host::{Answered, Failed};
use crate::limits::MAILBOX_BATCH_MAX;
use crate::store::{Sql, SqlError};

/// What the directory keeps free in its file, and in its log: with a full disk, people still sign in and out (a session
/// takes some hundred bytes, and a checkpoint comes after four megabytes of log), and what was exported is noted.
const RESERVED_BYTES: usize = 4 * 1024 * 1024;

type Answer = Answered<Reply, Error>;
type Mail = (Command, oneshot::Sender<Answer>);

/// The way to the directory.
pub(super) struct DirectoryHandle {
    mailbox: Sender<Mail>,
    thread: JoinHandle<()>,
}

impl DirectoryHandle {
    /// Opens the database and starts the thread.
    ///
    /// # Errors
    /// The cell's, or when the thread cannot be started.
    pub(super) fn start(path: &std::path::Path, network: Arc<Network>) -> Result<Self, Error> {
        let database = Database::open(path, Durability::Full)?;
        if let Err(error) = database.reserve(RESERVED_BYTES) {
            tracing::warn!(%error, "no room is kept in the directory for a time when the disk is full");
        }
        let mut rng = system_random();
        let mut env = Env { now_us: now_us(), rng: &mut rng, network: &network };
        let cell = Directory::load(&database, &mut env)?;
        let (mailbox, mail) = channel();
        let thread = std::thread::Builder::new()
            .name("directory".to_owned())
            .spawn(move || run(&database, cell, &network, &mail))
            .map_err(|error| SqlError::Other(format!("start the directory's thread: {error}")))?;
        Ok(Self { mailbox, thread })
    }

    /// Asks the cell.
    pub(super) async fn ask(&self, command: Command) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.mailbox.send((command, sender)).map_err(|_| Failed::Stopping)?;
        receiver.await.unwrap_or(Err(Failed::Stopping))
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
            answers = waiting.iter().map(|_| Err(Error::Sql(error.clone()))).collect();
        }
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            // An error means that the caller has gone; its command stands all the same.
            let _ = waiting.send(answer.map_err(Failed::Cell));
        }
    }
}
