//! Repos on their way out: each on a thread and a snapshot of its own, for as long as its reader keeps up.
//!
//! There are so many turns. Whoever finds none waits a little and is then told to come back; meanwhile, those who read
//! more slowly than they should have to give theirs back.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::files::Files;
use super::readers::Readers;
use super::sql::Database;
use super::{storage, unmigrated};
use crate::account;
use crate::host::{Answered, Download, Failed, HostError, download};
use crate::limits::{
    EXPORT_CHUNK_BYTES, EXPORT_CHUNKS_WAITING_MAX, EXPORT_OWED_SECONDS, EXPORT_READER_CONTESTED_SECONDS,
    EXPORT_READER_SECONDS, EXPORT_SECONDS, EXPORT_WAIT_SECONDS, EXPORTS_MAX,
};
use crate::repo::export::Export;
use crate::store::SqlError;
use crate::syntax::{Did, Tid};

/// How often an export whose reader is slow looks whether it has to end.
const LOOK: Duration = Duration::from_millis(100);

/// The turns.
pub(super) struct Exports {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Counts who waits for a turn, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Exports {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(EXPORTS_MAX)), waiting: Arc::default() }
    }

    async fn turn(&self) -> Answered<OwnedSemaphorePermit, account::Error> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(Duration::from_secs(EXPORT_WAIT_SECONDS), turn).await {
            Ok(turn) => turn.map_err(|_| Failed::Stopping),
            Err(_) => Err(Failed::Busy),
        }
    }

    /// The repo of `did` as a CAR, from one snapshot.
    ///
    /// # Errors
    /// [`Failed::Busy`] when there is no turn, or a log is to be cut that the export would hold.
    pub(super) async fn download(
        &self,
        readers: Arc<Readers>,
        files: Files,
        did: Did,
        since: Option<Tid>,
    ) -> Answered<Download, account::Error> {
        // Who begins now would hold the log as well.
        while let Some(hurried) = readers.hurried_for(&did) {
            if hurried.as_secs() > 2 * EXPORT_OWED_SECONDS {
                return Err(Failed::Busy);
            }
            tokio::time::sleep(LOOK).await;
        }
        let turn = self.turn().await?;
        let waiting = Arc::clone(&self.waiting);
        let (sender, mut receiver) = mpsc::channel(EXPORT_CHUNKS_WAITING_MAX);
        let (done, outcome) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let reader =
                Reader { runtime, chunks: sender, begun: Instant::now(), waiting, is_gone: Cell::new(false) };
            let hurried = || readers.hurried_for(&did);
            let exported = readers.connect(&files, &did).and_then(|connection| {
                connection.ok_or_else(unmigrated)?.read(|database| {
                    chunks(database, since.as_ref().map(Tid::as_str), &|chunk| reader.take(chunk, &hurried))
                })
            });
            if let Err(error) = &exported
                && !reader.is_gone.get()
            {
                let file = files.account(&did);
                tracing::error!(%did, file = %file.display(), %error, "an export was cut short: see `zap repo check`");
            }
            // An error means that the client has gone, which is how most exports fail.
            let _ = done.send(exported);
        });
        // What fails before the first chunk is refused, and does not begin as a success.
        let Some(first) = receiver.recv().await else {
            let cut = || account::Error::Internal("the export was cut short".to_owned());
            let outcome = outcome.await.unwrap_or_else(|_| Err(cut()));
            return Err(outcome.err().unwrap_or_else(cut).into());
        };
        // The last chunk is followed by how it went: an export that was given up must not look like a whole one.
        let rest = futures::stream::unfold((receiver, Some(outcome)), |(mut receiver, outcome)| async {
            if let Some(chunk) = receiver.recv().await {
                return Some((Ok(chunk), (receiver, outcome)));
            }
            let cut = || HostError::Storage("the export was cut short".to_owned());
            let outcome = outcome?.await.map_err(|_| cut()).and_then(|exported| exported.map_err(storage));
            outcome.err().map(|error| (Err(error), (receiver, None)))
        });
        let first = futures::stream::iter([Ok(first)]);
        Ok(download(Box::pin(first.chain(rest))))
    }
}

/// Whoever downloads, seen from the thread that reads for it.
struct Reader {
    runtime: tokio::runtime::Handle,
    chunks: mpsc::Sender<Bytes>,
    begun: Instant,
    waiting: Arc<AtomicUsize>,
    /// Whether it has left, or was given up.
    is_gone: Cell<bool>,
}

impl Reader {
    /// Gives it a chunk, and waits until it has room for that.
    fn take(&self, chunk: Bytes, hurried: &dyn Fn() -> Option<Duration>) -> Result<(), SqlError> {
        let gone = || {
            self.is_gone.set(true);
            SqlError::Other("the client has gone, or takes too long".to_owned())
        };
        let (mut chunk, waiting) = (chunk, Instant::now());
        loop {
            let cut_owed = hurried().is_some_and(|hurried| hurried.as_secs() >= EXPORT_OWED_SECONDS);
            let patience = match self.waiting.load(Ordering::Relaxed) {
                0 => EXPORT_READER_SECONDS,
                _ => EXPORT_READER_CONTESTED_SECONDS,
            };
            let is_over = self.begun.elapsed().as_secs() >= EXPORT_SECONDS;
            if cut_owed || is_over || waiting.elapsed().as_secs() >= patience {
                return Err(gone());
            }
            chunk = match self.chunks.try_send(chunk) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(gone()),
                Err(TrySendError::Full(chunk)) => chunk,
            };
            chunk = match self.runtime.block_on(self.chunks.send_timeout(chunk, LOOK)) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Closed(_)) => return Err(gone()),
                Err(SendTimeoutError::Timeout(chunk)) => chunk,
            };
        }
    }
}

/// Exports in chunks. One with a large record goes out in pieces, so that few of such wait for a reader at a time.
fn chunks(
    database: &Database,
    since: Option<&str>,
    send: &dyn Fn(Bytes) -> Result<(), SqlError>,
) -> Result<(), account::Error> {
    let mut export = Export::begin(database, since)?;
    while let Some(chunk) = export.next_chunk(database)? {
        let mut rest = Bytes::from(chunk);
        while !rest.is_empty() {
            send(rest.split_to(rest.len().min(EXPORT_CHUNK_BYTES)))?;
        }
    }
    Ok(())
}
