//! The native host: one process, SQLite files, threads, sockets.
//!
//! | module | |
//! |---|---|
//! | [`files`] [`label`] | the data folder; what each database in it says of itself |
//! | [`sql`] | the SQL seam over rusqlite |
//! | `shard` | the writers of account cells: who owns what, group commit |
//! | `readers` | read-only connections beside the writers |
//! | `directory` | the directory's thread, and the cache in front of it |
//! | [`sequencer`] | the event log's thread, and what carries events to subscribers |
//! | [`descriptors`] | how many files may be open, and whose |
//! | [`blobs`] [`fetch`] [`dns`] `mail` | bytes on disk, other servers, names, mail servers |
//! | [`plc`] | the embedded did:plc directory's routes |
//! | `exports` | repos on their way out |
//! | `restored` | telling the network that a backup was put back |
//! | [`repair`] | a stopped server's databases, checked and rebuilt |
//! | `compute` | slow computations |
//! | [`serve`] | sockets: how many, for how long, and for whom |
//! | [`telemetry`] | logs and metrics |

pub mod blobs;
pub mod clock;
mod compute;
pub mod descriptors;
mod directory;
pub mod dns;
mod exports;
pub mod fetch;
pub mod files;
pub mod label;
mod mail;
mod memory;
pub mod plc;
mod readers;
pub mod repair;
mod restored;
pub mod sequencer;
pub mod serve;
mod shard;
pub mod sql;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod upkeep;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use rand_core::Rng;
use tokio::sync::oneshot;

use self::blobs::Blobs;
use self::compute::Pool;
use self::descriptors::Descriptors;
use self::directory::DirectoryHandle;
use self::exports::Exports;
use self::fetch::Fetcher;
use self::files::Files;
use self::mail::Postman;
use self::readers::Readers;
use self::sequencer::SequencerHandle;
use self::shard::{ShardHandle, Shared};
use crate::actor::Status;
use crate::app::{Accounts, App, AskedRelays, Flows, Identities, Lexicons, Limits, Oauth, Relays};
use crate::config::Config;
use crate::host::{
    Answered, ByteStream, Download, Failed, Host, HostError, MailFailure, PutBlobError, StoredBlob, Trouble,
    download,
};
use crate::limits::SHARDS;
use crate::outbound::FetchPolicy;
use crate::store::SqlError;
use crate::syntax::{Did, Tid};
use crate::{account, auth, directory as directory_cell, sequencer as sequencer_cell};

/// How long closing everything may take. What is not closed then, a disk that does not answer say, the next start looks
/// through as after a crash.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Accounts asked for at a time.
const ACCOUNTS_PAGE: usize = 500;
/// Accounts without a database that the log names at a start.
const MISSING_NAMED_MAX: usize = 20;

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
    exports: Exports,
    /// Whether outboxes wait that an unclean stop left.
    undrained: AtomicBool,
    directory: std::sync::RwLock<Option<Arc<DirectoryHandle>>>,
    sequencer: SequencerHandle,
    blobs: Blobs,
    compute: Pool,
    fetcher: Fetcher,
    postman: Postman,
}

impl NativeHost {
    /// Opens the data folder and starts the cells' threads. The caller holds the folder's lock.
    ///
    /// # Errors
    /// [`HostError::Storage`], saying what could not be opened.
    pub async fn start(
        config: Config,
        files: Files,
        descriptors: Descriptors,
    ) -> Result<Arc<Self>, HostError> {
        let secrets = config.open_secrets(files.age()).map_err(storage)?;
        let network = Arc::new(config.network(&secrets));
        let crashed = files.mark_running().map_err(storage)?;
        let mut options = sequencer::Options::new(files.sequencer(), config.backfill_window);
        options.bytes_max = config.backfill_bytes_max;
        options.is_restored = files.is_restored();
        let sequencer =
            SequencerHandle::start(options).map_err(|error| in_file(&files.sequencer(), error))?;
        let directory = DirectoryHandle::start(&files.directory(), Arc::clone(&network))
            .map_err(|error| in_file(&files.directory(), error))?;
        let shared = Arc::new(Shared {
            files: files.clone(),
            network: Arc::clone(&network),
            sequencer: sequencer.clone(),
            readers: Arc::new(Readers::new(descriptors.readers)),
            agents_open_max: descriptors.agents_a_shard,
        });
        let readers = Arc::clone(&shared.readers);
        let shards = (0..SHARDS).map(|number| ShardHandle::start(number, Arc::clone(&shared)));
        let policy =
            FetchPolicy { allow_loopback: config.allow_loopback, trusted_origins: config.trusted_origins() };
        let inner = Arc::new(Inner {
            shards: std::sync::RwLock::new(shards.collect::<Result<_, _>>().map_err(storage)?),
            readers,
            exports: Exports::new(),
            undrained: AtomicBool::new(crashed),
            directory: std::sync::RwLock::new(Some(Arc::new(directory))),
            sequencer,
            blobs: Blobs::open(&config.data)?,
            compute: Pool::start().map_err(storage)?,
            fetcher: Fetcher::new(policy)?,
            postman: Postman::new(&config.mail)?,
            files,
        });
        inner.check_accounts().await?;
        inner.files.finished().map_err(storage)?;
        let service_did = network.service_did.clone();
        let app = Arc::new(App {
            host: Arc::clone(&inner) as Arc<dyn Host>,
            auth: auth::Authority::new(&network.master_key, service_did, Some(&secrets.admin_token)),
            identities: Identities::new(network.plc_url.clone()),
            lexicons: Lexicons::new(),
            oauth: Oauth::new(&network, config.allow_loopback),
            accounts: Accounts::alone(),
            flows: Flows::here(Box::new(|task| drop(tokio::spawn(task)))),
            limits: limits(&config),
            services: config.services.clone(),
            blob_bytes_max: config.blob_bytes_max,
            network,
        });
        let relays = Relays::new(&config.relays, &config.public_url, AskedRelays::new());
        let upkeep = Mutex::new(upkeep::start(&app, &inner, crashed, relays));
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
        let (done, stopped) = oneshot::channel();
        // Not one of the runtime's own threads: those are waited for however long they take.
        std::thread::spawn(move || {
            inner.stop();
            let _ = done.send(());
        });
        if !matches!(tokio::time::timeout(STOP_WITHIN, stopped).await, Ok(Ok(()))) {
            tracing::error!("stopping was cut short: the next start looks through all outboxes");
        }
    }
}

impl Inner {
    fn stop(&self) {
        self.sequencer.begin_to_stop();
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

    /// An empty folder where accounts have to be is a disk that is not mounted, or a backup of the rest. Where some are
    /// missing, the others are served.
    async fn check_accounts(&self) -> Result<(), HostError> {
        let has_some = self.files.has_accounts().map_err(storage)?;
        let (mut missing, mut cursor) = (0_usize, None);
        loop {
            let ask = directory_cell::ListStandings { cursor, limit: ACCOUNTS_PAGE };
            let page = crate::host::directory(self, ask).await.map_err(storage)?;
            // One that is deactivated may be on its way in, and have nothing yet.
            let lives_here = page.accounts.iter().filter(|account| account.status != Status::Deactivated);
            for did in lives_here.map(|account| &account.did) {
                let file = self.files.account(did);
                if file.exists() {
                    continue;
                }
                if !has_some {
                    let place = self.files.root().join("agents").display().to_string();
                    let reason = format!(
                        "holds no account, though the directory knows {did}: put them back, or mount it"
                    );
                    return Err(storage(SqlError::Misplaced { place, reason }));
                }
                missing += 1;
                if missing <= MISSING_NAMED_MAX {
                    let file = file.display();
                    tracing::error!(%did, %file, "an account's database is missing: put it back, or delete the account");
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        if missing > MISSING_NAMED_MAX {
            tracing::error!(missing, "more accounts' databases are missing: `zap repo check` names all");
        }
        Ok(())
    }

    fn directory_handle(&self) -> Answered<Arc<DirectoryHandle>, directory_cell::Error> {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.as_ref().map(Arc::clone).ok_or(Failed::Stopping)
    }

    /// Has the writer open an account whose database is of an earlier schema: readers can't bring it up to date.
    async fn migrate(&self, did: &Did) -> Answered<(), account::Error> {
        match self.on_shard(did, |shard| shard.visit(did.clone())) {
            Some(visit) => visit.await.map(|_| ()),
            None => Err(Failed::Stopping),
        }
    }

    async fn read_migrated(
        &self,
        did: Did,
        query: account::Query,
    ) -> Answered<account::Reply, account::Error> {
        self.migrate(&did).await?;
        let reader = self.readers.connect(&self.files, &did)?.ok_or_else(unmigrated)?;
        Ok(reader.read(|database| account::read(database, query))?)
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
                let read = match self.readers.connect(&self.files, &did) {
                    Ok(Some(reader)) => reader.read(|database| account::read(database, query)),
                    Ok(None) => return Box::pin(self.read_migrated(did, query)),
                    Err(error) => Err(error),
                };
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
                Some(destroyed) => destroyed.await.map_err(|failed| match failed {
                    Failed::Busy => HostError::Busy,
                    Failed::Cell(account::Error::Sql(SqlError::Full)) => HostError::Full,
                    failed => storage(failed),
                })?,
                None => return Err(HostError::Stopping),
            }
            self.readers.forget(&did);
            self.blobs.delete_all(&did).await
        })
    }

    fn export(&self, did: Did, since: Option<Tid>) -> BoxFuture<'_, Answered<Download, account::Error>> {
        Box::pin(async move {
            match self.readers.connect(&self.files, &did)? {
                Some(reader) => reader.keep(),
                None => self.migrate(&did).await?,
            }
            self.exports.download(Arc::clone(&self.readers), self.files.clone(), did, since).await
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

    fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>> {
        Box::pin(self.fetcher.fetch(request))
    }

    fn exchange(
        &self,
        request: http::Request<axum::body::Body>,
    ) -> BoxFuture<'_, Result<http::Response<axum::body::Body>, HostError>> {
        Box::pin(self.fetcher.exchange(request))
    }

    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>> {
        Box::pin(async move { self.fetcher.dns().txt_records(&name).await })
    }

    fn has_address(&self, name: String) -> BoxFuture<'_, Result<bool, HostError>> {
        Box::pin(async move { self.fetcher.dns().has_address(&name).await })
    }

    fn send_mail(&self, mail: crate::mail::Mail) -> BoxFuture<'_, Result<(), MailFailure>> {
        Box::pin(async move { self.postman.send(self, &mail).await })
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), HostError> {
        self.compute.take(work)
    }

    fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = self.sequencer.troubles();
        troubles.extend(self.files.is_full().then_some(Trouble::StorageFull));
        troubles
    }

    fn now_us(&self) -> i64 {
        clock::now_us()
    }

    fn random(&self, bytes: &mut [u8]) {
        clock::system_random().fill_bytes(bytes);
    }
}

/// What may be asked how often, as it is set.
fn limits(config: &Config) -> Limits {
    let Some(methods) = &config.rate_limits.methods else { return Limits::none() };
    let mut secret = [0; 16];
    clock::system_random().fill_bytes(&mut secret);
    Limits::new(config.rate_limits.requests, methods, secret)
}

/// Why a cell does not open, with its file.
fn in_file(file: &Path, error: impl std::fmt::Display) -> HostError {
    let (file, error) = (file.display().to_string(), error.to_string());
    HostError::Storage(if error.contains(&file) { error } else { format!("{file}: {error}") })
}

fn unmigrated() -> account::Error {
    account::Error::Internal("the writer did not bring the database up to date".to_owned())
}

fn storage(error: impl std::fmt::Display) -> HostError {
    HostError::Storage(error.to_string())
}
