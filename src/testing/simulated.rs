//! A host in memory: real cells on [`Disk`]s, the accounts' outboxes drained into a real sequencer, blobs in a map.
//!
//! Disks and the [`Internet`] outlive the process that serves on them. [`Simulated::start`] begins a new one: all cells
//! are opened from their disks, and what an earlier process still does reaches nothing any more. Each question to a cell and
//! each outbound request is a step; a test may have the process end after any of them ([`Simulated::crash_after`]), its
//! outcome unheard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use rand_core::Rng as _;

use super::{Disk, Internet, Randomness, START_US};
use crate::account::{self, Account, hosting};
use crate::app::{Accounts, App, Flows, Identities, Lexicons, Oauth};
use crate::auth::Authority;
use crate::config::Services;
use crate::data_model::{CODEC_RAW, Cid, cid_of_block};
use crate::directory::{self, Directory};
use crate::env::{Env, Network};
use crate::host::{
    Answered, ByteStream, Download, Failed, Host, HostError, MailFailure, PutBlobError, StoredBlob,
    SubscribeError, download,
};
use crate::limits::{BLOB_HEAD_BYTES, OUTBOX_BATCH_BYTES_MAX};
use crate::mail::Mail;
use crate::outbox::drain::Drain;
use crate::plc;
use crate::repo::export::Export;
use crate::seam::{Access, Named as _, Request as _};
use crate::sequencer::{self, Append, OutboxEvent, Sequencer};
use crate::syntax::{Did, Handle, Tid};

/// The operator's password.
pub const ADMIN_PASSWORD: &str = "letmein";

/// What a network rests on, and what a test may do to it.
pub struct Simulated {
    /// The time: a step takes a microsecond, all else is a test's to add.
    pub now_us: AtomicI64,
    /// What is not ours.
    pub internet: Internet,
    /// Other services that are set, for the next process.
    pub services: Mutex<Services>,
    /// No repo can be made.
    pub repos_fail: AtomicBool,
    /// The sequencer can't be reached.
    pub sequencer_is_down: AtomicBool,
    /// What the directory answers takes a while to come, in which its caller may hang up; and what it said of accounts is
    /// remembered by the next process, as on one machine.
    pub directory_is_far: AtomicBool,
    /// Cells that answer everything with an error.
    pub broken: Mutex<BTreeMap<Did, account::Error>>,
    /// The accounts that are here.
    pub cells: Mutex<BTreeMap<Did, Resident>>,
    /// The directory and where it rests.
    pub directory: Mutex<(Disk, Directory)>,
    /// The event log and where it rests.
    pub sequencer: Mutex<(Disk, Sequencer)>,
    network: Arc<Network>,
    randomness: Randomness,
    blobs: Mutex<BTreeMap<(Did, Cid), Bytes>>,
    /// Which process serves, counted from 1.
    life: AtomicU64,
    /// How many steps it has taken.
    steps: AtomicU64,
    /// How many it has before it.
    steps_left: AtomicU64,
}

/// The cell of an account, and what it was told of its account.
pub struct Resident {
    /// Where it rests.
    pub disk: Disk,
    account: Account,
    drain: Drain,
    heard: Vec<String>,
}

/// One process that serves, as its [`App`] reaches it.
struct Process {
    world: Arc<Simulated>,
    life: u64,
}

impl Simulated {
    /// A network without accounts.
    pub fn new(network: Network, internet: Internet, randomness: Randomness) -> Arc<Self> {
        let now_us = START_US;
        let mut rng = randomness.fork();
        let mut env = Env { now_us, rng: &mut rng, network: &network };
        let (directory, sequencer) = (Disk::default(), Disk::default());
        let opened = Directory::load(&directory, &mut env).unwrap();
        let log = Sequencer::load(&sequencer).unwrap();
        Arc::new(Self {
            now_us: AtomicI64::new(now_us),
            internet,
            services: Mutex::default(),
            repos_fail: AtomicBool::default(),
            sequencer_is_down: AtomicBool::default(),
            directory_is_far: AtomicBool::default(),
            broken: Mutex::default(),
            cells: Mutex::default(),
            network: Arc::new(network),
            randomness,
            directory: Mutex::new((directory, opened)),
            sequencer: Mutex::new((sequencer, log)),
            blobs: Mutex::default(),
            life: AtomicU64::default(),
            steps: AtomicU64::default(),
            steps_left: AtomicU64::default(),
        })
    }

    /// How many blobs are kept.
    pub fn blobs(&self) -> usize {
        self.blobs.lock().unwrap().len()
    }

    /// Starts a process; an earlier one has ended with that. What was on no disk is gone.
    pub fn start(self: &Arc<Self>) -> Arc<App> {
        let life = self.life.fetch_add(1, Ordering::Relaxed) + 1;
        self.steps.store(0, Ordering::Relaxed);
        self.steps_left.store(u64::MAX, Ordering::Relaxed);
        self.reopen_all();
        let network = Arc::clone(&self.network);
        let is_far = self.directory_is_far.load(Ordering::Relaxed);
        let auth = Authority::new(&network.master_key, network.service_did.clone(), Some(ADMIN_PASSWORD));
        Arc::new(App {
            host: Arc::new(Process { world: Arc::clone(self), life }),
            identities: Identities::new(network.plc_url.clone()),
            lexicons: Lexicons::new(),
            oauth: Oauth::new(&network, true),
            network,
            auth,
            accounts: if is_far { Accounts::alone() } else { Accounts::kept_for(0) },
            flows: Flows::here(Box::new(|task| drop(tokio::spawn(task)))),
            limits: crate::app::Limits::none(),
            services: self.services.lock().unwrap().clone(),
            blob_bytes_max: 1 << 20,
        })
    }

    /// The process ends after so many more steps: the last is taken, and nobody hears its outcome.
    pub fn crash_after(&self, steps: u64) {
        self.steps_left.store(steps, Ordering::Relaxed);
    }

    /// How many steps the process has taken.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether the process has not ended.
    pub fn is_running(&self) -> bool {
        self.steps_left.load(Ordering::Relaxed) > 0
    }

    /// What the cell of an account was told of it, in order, over all its lives.
    pub fn heard(&self, did: &str) -> Vec<String> {
        let did = Did::try_from(did).unwrap();
        self.cells.lock().unwrap().get(&did).map(|cell| cell.heard.clone()).unwrap_or_default()
    }

    /// Whether an account has a cell.
    pub fn has_cell(&self, did: &str) -> bool {
        self.cells.lock().unwrap().contains_key(&Did::try_from(did).unwrap())
    }

    /// A DID document, as the did:plc directory has it.
    pub fn document(&self, did: &str) -> serde_json::Value {
        self.ask_plc(&format!("/{did}"))
    }

    /// What the did:plc directory answers.
    pub fn ask_plc(&self, path: &str) -> serde_json::Value {
        let request = plc::Request { method: "GET", path, query: "", body: b"" };
        serde_json::from_slice(&self.internet.ask_plc(self.now_us(), &request).body).unwrap()
    }

    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }

    fn with_env<T>(&self, run: impl FnOnce(&mut Env<'_>) -> T) -> T {
        let mut rng = self.randomness.fork();
        run(&mut Env { now_us: self.now_us(), rng: &mut rng, network: &self.network })
    }

    fn reopen_all(&self) {
        {
            let (disk, cell) = &mut *self.directory.lock().unwrap();
            disk.power_on();
            *cell = self.with_env(|env| Directory::load(disk, env)).unwrap();
        }
        {
            let (disk, cell) = &mut *self.sequencer.lock().unwrap();
            disk.power_on();
            *cell = Sequencer::load(disk).unwrap();
        }
        for (did, resident) in self.cells.lock().unwrap().iter_mut() {
            resident.disk.power_on();
            self.reopen(resident).unwrap();
            self.drain(did, resident);
        }
    }

    fn reopen(&self, resident: &mut Resident) -> Result<(), account::Error> {
        resident.account = self.with_env(|env| Account::load(&resident.disk, env))?;
        resident.drain = Drain::new(OUTBOX_BATCH_BYTES_MAX);
        Ok(())
    }

    fn ask_directory(&self, command: directory::Command) -> Answered<directory::Reply, directory::Error> {
        let (disk, directory) = &mut *self.directory.lock().unwrap();
        Ok(self.with_env(|env| directory.handle(disk, env, command))?)
    }

    fn ask_sequencer(&self, command: sequencer::Command) -> Answered<sequencer::Reply, sequencer::Error> {
        if self.sequencer_is_down.load(Ordering::Relaxed) {
            return Err(asked_for());
        }
        let (disk, log) = &mut *self.sequencer.lock().unwrap();
        Ok(log.handle(disk, self.now_us(), command)?)
    }

    fn ask_account(&self, did: Did, command: account::Command) -> Answered<account::Reply, account::Error> {
        use account::Change::Hosting;
        use account::Command::Change;
        if let Some(error) = self.broken.lock().unwrap().get(&did) {
            return Err(error.clone().into());
        }
        let is_creation = matches!(command, Change(Hosting(hosting::Change::CreateRepo(_))));
        if is_creation && self.repos_fail.load(Ordering::Relaxed) {
            return Err(asked_for());
        }
        let mut cells = self.cells.lock().unwrap();
        if !cells.contains_key(&did) && command.access() == Access::Create {
            let (disk, drain) = (Disk::default(), Drain::new(OUTBOX_BATCH_BYTES_MAX));
            let account = self.with_env(|env| Account::load(&disk, env))?;
            cells.insert(did.clone(), Resident { disk, account, drain, heard: Vec::new() });
        }
        let resident = cells.get_mut(&did).ok_or(account::Error::NoRepo)?;
        resident.heard.extend(told(&command));
        let answer = self.with_env(|env| resident.account.handle(&resident.disk, env, command));
        match &answer {
            // As every host does. Where the machine has stopped there is nothing to open.
            Err(error) if error.is_storage() => drop(self.reopen(resident)),
            _ => self.drain(&did, resident),
        }
        Ok(answer?)
    }

    /// Brings the outbox of an account to the sequencer.
    fn drain(&self, did: &Did, resident: &mut Resident) {
        let Resident { disk, account, drain, .. } = resident;
        drain.hold(account.take_effects().events);
        while let Ok(Some(rows)) = drain.next(disk, self.now_us()) {
            let events = rows.into_iter().map(|row| OutboxEvent {
                did: did.clone(),
                outbox_id: row.id,
                kind: row.kind,
                frame: row.frame,
            });
            if self.ask_sequencer(Append { events: events.collect() }.into_command()).is_err() {
                drain.failed(self.now_us(), 0);
                return;
            }
            account.outbox_synced(drain.arrived());
        }
    }

    fn destroy(&self, did: &Did) {
        self.cells.lock().unwrap().remove(did);
        self.blobs.lock().unwrap().retain(|(owner, _), _| owner != did);
    }

    fn export(&self, did: &Did, since: Option<Tid>) -> Result<Download, account::Error> {
        let cells = self.cells.lock().unwrap();
        let disk = &cells.get(did).ok_or(account::Error::NoRepo)?.disk;
        let mut chunks = Vec::new();
        let mut export = Export::begin(disk, since.as_ref().map(Tid::as_str))?;
        while let Some(chunk) = export.next_chunk(disk)? {
            chunks.push(Ok(Bytes::from(chunk)));
        }
        Ok(download(stream::iter(chunks).boxed()))
    }
}

fn asked_for<E>() -> Failed<E> {
    Failed::Unreachable("a fault that a test asked for".to_owned())
}

/// What a command tells a cell of its account.
fn told(command: &account::Command) -> Option<String> {
    let account::Command::Change(account::Change::Hosting(change)) = command else { return None };
    match change {
        hosting::Change::CreateRepo(create) => {
            Some(format!("create {} active={}", create.handle, create.active))
        }
        hosting::Change::SetStatus(set) => Some(format!("status {}", set.status.as_str())),
        hosting::Change::EmitIdentity(emit) => {
            Some(format!("identity {}", emit.handle.as_ref().map(Handle::as_str).unwrap_or_default()))
        }
        _ => None,
    }
}

impl Process {
    /// Takes a step; `None` when the process ends before, or before the outcome is heard.
    fn step<T>(&self, run: impl FnOnce(&Simulated) -> T) -> Option<T> {
        let world = &self.world;
        let left = world.steps_left.load(Ordering::Relaxed);
        if left == 0 || world.life.load(Ordering::Relaxed) != self.life {
            return None;
        }
        world.steps.fetch_add(1, Ordering::Relaxed);
        world.now_us.fetch_add(1, Ordering::Relaxed);
        world.steps_left.store(left - 1, Ordering::Relaxed);
        let outcome = run(world);
        (left > 1).then_some(outcome)
    }
}

impl Host for Process {
    fn account(
        &self,
        did: Did,
        command: account::Command,
    ) -> BoxFuture<'_, Answered<account::Reply, account::Error>> {
        async move { self.step(|world| world.ask_account(did, command)).unwrap_or(Err(Failed::Stopping)) }
            .boxed()
    }

    fn directory(
        &self,
        command: directory::Command,
    ) -> BoxFuture<'_, Answered<directory::Reply, directory::Error>> {
        async move {
            let answer = self.step(|world| world.ask_directory(command)).unwrap_or(Err(Failed::Stopping));
            if self.world.directory_is_far.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            answer
        }
        .boxed()
    }

    fn sequencer(
        &self,
        command: sequencer::Command,
    ) -> BoxFuture<'_, Answered<sequencer::Reply, sequencer::Error>> {
        async move { self.step(|world| world.ask_sequencer(command)).unwrap_or(Err(Failed::Stopping)) }
            .boxed()
    }

    fn subscribe_repos(
        &self,
        _: Option<i64>,
        _: http::Request<Body>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, SubscribeError>> {
        async { Err(SubscribeError::NotWebSocket) }.boxed()
    }

    fn destroy_account(&self, did: Did) -> BoxFuture<'_, Result<(), HostError>> {
        async move { self.step(|world| world.destroy(&did)).ok_or(HostError::Stopping) }.boxed()
    }

    fn export(&self, did: Did, since: Option<Tid>) -> BoxFuture<'_, Answered<Download, account::Error>> {
        let exported = self.world.export(&did, since);
        async move { Ok(exported?) }.boxed()
    }

    fn put_blob(
        &self,
        did: Did,
        mut body: ByteStream,
        bytes_max: u64,
    ) -> BoxFuture<'_, Result<StoredBlob, PutBlobError>> {
        async move {
            let mut blob = Vec::new();
            while let Some(chunk) = body.next().await {
                blob.extend_from_slice(&chunk?);
                if blob.len() as u64 > bytes_max {
                    return Err(PutBlobError::TooLarge(bytes_max));
                }
            }
            let cid = cid_of_block(CODEC_RAW, &blob);
            let head = Bytes::copy_from_slice(&blob[..blob.len().min(BLOB_HEAD_BYTES)]);
            let bytes = blob.len() as u64;
            self.world.blobs.lock().unwrap().insert((did, cid), blob.into());
            Ok(StoredBlob { cid, bytes, head })
        }
        .boxed()
    }

    fn get_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<Option<(u64, Download)>, HostError>> {
        let found = self.world.blobs.lock().unwrap().get(&(did, cid)).cloned();
        async move { Ok(found.map(|blob| (blob.len() as u64, download(stream::iter([Ok(blob)]).boxed())))) }
            .boxed()
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>> {
        async move {
            self.world.internet.pass_gate(&request).await;
            let answer = self.step(|world| world.internet.serve(world.now_us(), &request));
            answer.unwrap_or(Err(HostError::Stopping))
        }
        .boxed()
    }

    fn exchange(
        &self,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, HostError>> {
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 24).await;
            let body = body.map_err(|error| HostError::Upstream(error.to_string()))?;
            let answer = self.fetch(http::Request::from_parts(head, body)).await?;
            Ok(answer.map(Body::from))
        }
        .boxed()
    }

    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>> {
        async move { self.world.internet.txt_records(&name) }.boxed()
    }

    fn has_address(&self, name: String) -> BoxFuture<'_, Result<bool, HostError>> {
        async move { self.world.internet.has_address(&name) }.boxed()
    }

    fn send_mail(&self, mail: Mail) -> BoxFuture<'_, Result<(), MailFailure>> {
        async move {
            let failure = self.world.internet.mail_fails.lock().unwrap().clone();
            let sent = self.step(|world| match failure {
                Some(failure) => Err(failure),
                None => {
                    world.internet.mailbox.lock().unwrap().push(mail);
                    Ok(())
                }
            });
            sent.unwrap_or(Err(MailFailure::Later("the process has ended".to_owned())))
        }
        .boxed()
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), HostError> {
        work();
        Ok(())
    }

    fn now_us(&self) -> i64 {
        self.world.now_us()
    }

    fn random(&self, bytes: &mut [u8]) {
        self.world.randomness.fork().fill_bytes(bytes);
    }
}
