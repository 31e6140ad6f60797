//! The native host: one process, SQLite files, threads, sockets.
//!
//! | module | |
//! |---|---|
//! | [`files`] | the data folder |
//! | [`sql`] | the SQL seam over rusqlite |
//! | `shard` | the writers of account cells: who owns what, group commit |
//! | `readers` | read-only connections beside the writers |
//! | `directory` | the directory's thread, and the cache in front of it |
//! | [`sequencer`] | the event log's thread, and what carries events to subscribers |
//! | [`blobs`] [`fetch`] [`dns`] | bytes on disk, other servers, names |
//! | [`plc`] | the embedded did:plc directory's routes |
//! | `compute` | slow computations |
//! | [`telemetry`] | logs and metrics |

pub mod blobs;
pub mod clock;
mod compute;
mod directory;
pub mod dns;
pub mod fetch;
pub mod files;
pub mod plc;
mod readers;
pub mod sequencer;
mod shard;
pub mod sql;
pub mod telemetry;
mod upkeep;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use rand_core::Rng;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::blobs::Blobs;
use self::compute::Pool;
use self::directory::DirectoryHandle;
use self::dns::Dns;
use self::fetch::Fetcher;
use self::files::Files;
use self::readers::Readers;
use self::sequencer::SequencerHandle;
use self::shard::{ShardHandle, Shared};
use crate::app::{Accounts, App, Flows, Identities};
use crate::config::Config;
use crate::host::{
    Answered, ByteStream, Download, Failed, Host, HostError, PutBlobError, StoredBlob, download,
};
use crate::limits::{
    EXPORT_CHUNKS_WAITING_MAX, EXPORT_OWED_SECONDS, EXPORT_READER_SECONDS, EXPORT_SECONDS, EXPORTS_MAX,
    SHARDS,
};
use crate::outbound::FetchPolicy;
use crate::repo::export::Export;
use crate::store::SqlError;
use crate::syntax::{Did, Tid};
use crate::{account, auth, directory as directory_cell, sequencer as sequencer_cell};

/// How often an export whose reader is slow looks whether it has to end.
const EXPORT_LOOK: Duration = Duration::from_millis(100);

/// A running server's world.
pub struct NativeHost {
    app: Arc<App>,
    inner: Arc<Inner>,
    upkeep: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// What the handlers reach as [`Host`].
struct Inner {
    files: Files,
    shards: std::sync::RwLock<Vec<ShardHandle>>,
    readers: Arc<Readers>,
    /// Turns of those who export a repo.
    exports: Arc<Semaphore>,
    /// Whether outboxes wait that an unclean stop left.
    undrained: AtomicBool,
    directory: std::sync::RwLock<Option<Arc<DirectoryHandle>>>,
    sequencer: SequencerHandle,
    blobs: Blobs,
    compute: Pool,
    fetcher: Fetcher,
    dns: Dns,
}

impl NativeHost {
    /// Opens the data folder and starts the cells' threads. The caller holds the folder's lock.
    ///
    /// # Errors
    /// [`HostError::Storage`], saying what could not be opened.
    pub async fn start(config: Config) -> Result<Arc<Self>, HostError> {
        let secrets = config.open_secrets().map_err(storage)?;
        let network = Arc::new(config.network(&secrets));
        let files = Files::open(&config.data).map_err(storage)?;
        let crashed = files.mark_running().map_err(storage)?;
        let options = sequencer::Options::new(files.sequencer(), config.backfill_window);
        let sequencer = SequencerHandle::start(options).map_err(storage)?;
        let directory = DirectoryHandle::start(&files.directory(), Arc::clone(&network)).map_err(storage)?;
        let shared = Arc::new(Shared {
            files: files.clone(),
            network: Arc::clone(&network),
            sequencer: sequencer.clone(),
            readers: Arc::default(),
        });
        let readers = Arc::clone(&shared.readers);
        let shards = (0..SHARDS).map(|number| ShardHandle::start(number, Arc::clone(&shared)));
        let policy = FetchPolicy {
            allow_loopback: config.allow_loopback,
            trusted_origins: vec![config.plc_url.clone()],
        };
        let inner = Arc::new(Inner {
            shards: std::sync::RwLock::new(shards.collect::<Result<_, _>>().map_err(storage)?),
            readers,
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            undrained: AtomicBool::new(crashed),
            directory: std::sync::RwLock::new(Some(Arc::new(directory))),
            sequencer,
            blobs: Blobs::open(&config.data)?,
            compute: Pool::start().map_err(storage)?,
            fetcher: Fetcher::new(policy)?,
            dns: Dns::new(),
            files,
        });
        let service_did = network.service_did.clone();
        let app = Arc::new(App {
            host: Arc::clone(&inner) as Arc<dyn Host>,
            auth: auth::Authority::new(&network.master_key, service_did, Some(&secrets.admin_token)),
            identities: Identities::new(network.plc_url.clone()),
            accounts: Accounts::alone(),
            flows: Flows::here(Box::new(|task| drop(tokio::spawn(task)))),
            blob_bytes_max: config.blob_bytes_max,
            network,
        });
        let upkeep = Mutex::new(upkeep::start(&app, &inner, crashed));
        Ok(Arc::new(Self { app, inner, upkeep }))
    }

    /// What the handlers run on.
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Drains the cells into the sequencer and closes everything. No request may be running.
    pub async fn stop(&self) {
        for task in std::mem::take(&mut *self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)) {
            task.abort();
        }
        let inner = Arc::clone(&self.inner);
        let stopped = tokio::task::spawn_blocking(move || inner.stop()).await;
        if stopped.is_err() {
            tracing::error!("stopping was cut short");
        }
    }
}

impl Inner {
    fn stop(&self) {
        let shards = std::mem::take(&mut *self.shards.write().unwrap_or_else(PoisonError::into_inner));
        shards.into_iter().for_each(ShardHandle::stop);
        let directory = self.directory.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(directory) = directory.and_then(Arc::into_inner) {
            directory.stop();
        }
        self.sequencer.stop();
        if self.sequencer.is_behind() || self.undrained.load(Ordering::Relaxed) {
            tracing::warn!("the next start will look through all outboxes: not all of them were drained");
        } else {
            self.files.mark_stopped();
        }
    }

    fn directory_handle(&self) -> Answered<Arc<DirectoryHandle>, directory_cell::Error> {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.as_ref().map(Arc::clone).ok_or(Failed::Stopping)
    }

    /// Runs `ask` on the shard of `did`.
    fn on_shard<F>(&self, did: &Did, ask: impl FnOnce(&ShardHandle) -> F) -> Option<F> {
        let mut hasher = DefaultHasher::new();
        did.as_str().hash(&mut hasher);
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let number = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        shards.get(number).map(ask)
    }
}

impl Host for Inner {
    /// Point reads run here and now, on the serving thread: a hop to another costs more than the read.
    fn account(
        &self,
        did: Did,
        command: account::Command,
    ) -> BoxFuture<'_, Answered<account::Reply, account::Error>> {
        let change = match command {
            account::Command::Query(query) => {
                let read = self.readers.read(&self.files, &did, |database| account::read(database, query));
                return Box::pin(std::future::ready(read.map_err(Failed::Cell)));
            }
            account::Command::Change(change) => change,
        };
        match self.on_shard(&did, |shard| shard.ask(did.clone(), change)) {
            Some(answer) => Box::pin(answer),
            None => Box::pin(std::future::ready(Err(Failed::Stopping))),
        }
    }

    fn directory(
        &self,
        command: directory_cell::Command,
    ) -> BoxFuture<'_, Answered<directory_cell::Reply, directory_cell::Error>> {
        Box::pin(async move { self.directory_handle()?.ask(command).await })
    }

    fn sequencer(
        &self,
        command: sequencer_cell::Command,
    ) -> BoxFuture<'_, Answered<sequencer_cell::Reply, sequencer_cell::Error>> {
        Box::pin(self.sequencer.call(command))
    }

    fn subscribe_repos(
        &self,
        cursor: Option<i64>,
        request: http::Request<axum::body::Body>,
    ) -> BoxFuture<'_, Result<http::Response<axum::body::Body>, crate::host::SubscribeError>> {
        Box::pin(self.sequencer.subscribe(cursor, request))
    }

    fn destroy_account(&self, did: Did) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async move {
            let destroyed = self.on_shard(&did, |shard| shard.destroy(did.clone()));
            match destroyed {
                Some(destroyed) => destroyed.await.map_err(storage)?,
                None => return Err(HostError::Stopping),
            }
            self.readers.forget(&did);
            self.blobs.delete_all(&did).await
        })
    }

    fn export(&self, did: Did, since: Option<Tid>) -> BoxFuture<'_, Answered<Download, account::Error>> {
        Box::pin(async move {
            if !self.files.account(&did).exists() {
                return Err(account::Error::NoRepo.into());
            }
            // Who begins now would hold the log as well.
            while let Some(hurried) = self.readers.hurried_for(&did) {
                if hurried.as_secs() > 2 * EXPORT_OWED_SECONDS {
                    let why = "what the agent forgot is being destroyed: try again".to_owned();
                    return Err(Failed::Unreachable(why));
                }
                tokio::time::sleep(EXPORT_LOOK).await;
            }
            let turn = Arc::clone(&self.exports).acquire_owned().await;
            let turn = turn.map_err(|_| Failed::Stopping)?;
            let (sender, receiver) = mpsc::channel(EXPORT_CHUNKS_WAITING_MAX);
            let (readers, files) = (Arc::clone(&self.readers), self.files.clone());
            let (done, outcome) = oneshot::channel();
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let begun = Instant::now();
                let is_over = || {
                    begun.elapsed() > Duration::from_secs(EXPORT_SECONDS)
                        || readers
                            .hurried_for(&did)
                            .is_some_and(|hurried| hurried.as_secs() >= EXPORT_OWED_SECONDS)
                };
                let send = |mut chunk| {
                    let gone = || SqlError::Other("the client has gone, or takes too long".to_owned());
                    let waiting = Instant::now();
                    loop {
                        if is_over() || waiting.elapsed() > Duration::from_secs(EXPORT_READER_SECONDS) {
                            return Err(gone());
                        }
                        chunk = match sender.try_send(chunk) {
                            Ok(()) => return Ok(()),
                            Err(TrySendError::Closed(_)) => return Err(gone()),
                            Err(TrySendError::Full(chunk)) => chunk,
                        };
                        chunk = match runtime.block_on(sender.send_timeout(chunk, EXPORT_LOOK)) {
                            Ok(()) => return Ok(()),
                            Err(SendTimeoutError::Closed(_)) => return Err(gone()),
                            Err(SendTimeoutError::Timeout(chunk)) => chunk,
                        };
                    }
                };
                let exported = readers.read(&files, &did, |database| {
                    export_chunks(database, since.as_ref().map(Tid::as_str), &send)
                });
                // An error means that the client has gone, which is how most exports fail.
                let _ = done.send(exported.map_err(storage));
            });
            // The last chunk is followed by how it went: an export that was given up must not look like a whole one.
            let chunks =
                futures::stream::unfold((receiver, Some(outcome)), |(mut receiver, outcome)| async {
                    if let Some(chunk) = receiver.recv().await {
                        return Some((Ok(chunk), (receiver, outcome)));
                    }
                    let cut = || Err(HostError::Storage("the export was cut short".to_owned()));
                    let outcome = outcome?.await.unwrap_or_else(|_| cut());
                    outcome.err().map(|error| (Err(error), (receiver, None)))
                });
            Ok(download(Box::pin(chunks)))
        })
    }

    fn put_blob(
        &self,
        did: Did,
        body: ByteStream,
        bytes_max: u64,
    ) -> BoxFuture<'_, Result<StoredBlob, PutBlobError>> {
        Box::pin(async move { self.blobs.put(&did, body, bytes_max).await })
    }

    fn get_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<Option<(u64, Download)>, HostError>> {
        Box::pin(async move {
            let found = self.blobs.get(&did, &cid).await?;
            Ok(found.map(|(bytes, chunks)| (bytes, download(chunks))))
        })
    }

    fn delete_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async move { self.blobs.delete(&did, &cid).await })
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>> {
        Box::pin(self.fetcher.fetch(request))
    }

    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>> {
        Box::pin(async move { self.dns.txt_records(&name).await })
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), HostError> {
        self.compute.take(work)
    }

    fn now_us(&self) -> i64 {
        clock::now_us()
    }

    fn random(&self, bytes: &mut [u8]) {
        clock::system_random().fill_bytes(bytes);
    }
}

/// Exports in chunks.
fn export_chunks(
    database: &sql::Database,
    since: Option<&str>,
    send: &dyn Fn(Bytes) -> Result<(), SqlError>,
) -> Result<(), account::Error> {
    let mut export = Export::begin(database, since)?;
    while let Some(chunk) = export.next_chunk(database)? {
        send(Bytes::from(chunk))?;
    }
    Ok(())
}

fn storage(error: impl std::fmt::Display) -> HostError {
    HostError::Storage(error.to_string())
}
