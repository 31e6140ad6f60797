//! A host in memory: real cells, a real did:plc directory, blobs in a map. Agent cells also remember what they were
//! told of their account.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Method, StatusCode, header};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

use super::lexicons;
use crate::account::{self, Account};
use crate::app::{Accounts, App, Flows, Identities};
use crate::auth::Authority;
use crate::data_model::{CODEC_RAW, Cid, cid_of_block};
use crate::directory::{self, Directory};
use crate::env::{Env, Network};
use crate::host::{
    Answered, ByteStream, Download, Failed, Host, HostError, PutBlobError, StoredBlob, SubscribeError,
    download,
};
use crate::native::sql::Database;
use crate::plc;
use crate::seam::{Access, Named as _};
use crate::sequencer;
use crate::syntax::{Did, Handle, Tid};
use crate::vault::MasterKey;
use crate::xrpc::endpoint::Dispatcher;

pub(in crate::xrpc) const ADMIN: &str = "Bearer letmein";
pub(in crate::xrpc) const PLC: &str = "http://localhost:2582";

pub(in crate::xrpc) struct World {
    pub(in crate::xrpc) host: Arc<Memory>,
    pub(in crate::xrpc) app: Arc<App>,
    pub(in crate::xrpc) dispatcher: Arc<Dispatcher>,
}

pub(in crate::xrpc) struct Answer {
    pub(in crate::xrpc) status: StatusCode,
    pub(in crate::xrpc) body: Value,
}

impl Answer {
    pub(in crate::xrpc) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Status and error name.
    pub(in crate::xrpc) fn error(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["error"].as_str().unwrap_or_default())
    }
}

impl World {
    pub(in crate::xrpc) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(in crate::xrpc) fn with(change: impl FnOnce(&mut Network)) -> Self {
        let plc = Database::in_memory().unwrap();
        plc::prepare(&plc).unwrap();
        Self::over(change, Arc::new(Mutex::new(plc)), 0)
    }

    /// The server, stopped and started: what was in no database is gone.
    pub(in crate::xrpc) fn restarted(self) -> Self {
        Self::serving(self.host)
    }

    /// Another network, with the same did:plc directory.
    pub(in crate::xrpc) fn beside(&self, change: impl FnOnce(&mut Network)) -> Self {
        Self::over(change, Arc::clone(&self.host.plc), 1 << 32)
    }

    fn over(change: impl FnOnce(&mut Network), plc: Arc<Mutex<Database>>, seed: u64) -> Self {
        let mut network = Network {
            service_did: "did:web:localhost%3A2583".to_owned(),
            public_url: "http://localhost:2583".to_owned(),
            handle_domains: vec![".test".to_owned()],
            invite_required: false,
            plc_url: PLC.to_owned(),
            master_key: MasterKey::from_bytes([7; 32]),
        };
        change(&mut network);
        let network = Arc::new(network);
        let host = Arc::new(Memory::new(Arc::clone(&network), plc, seed));
        Self::serving(host)
    }

    fn serving(host: Arc<Memory>) -> Self {
        let network = Arc::clone(&host.network);
        let auth = Authority::new(&network.master_key, network.service_did.clone(), Some("letmein"));
        let app = Arc::new(App {
            host: host.clone(),
            identities: Identities::new(network.plc_url.clone()),
            network,
            auth,
            accounts: Accounts::kept_for(0),
            flows: Flows::here(Box::new(|task| drop(tokio::spawn(task)))),
            blob_bytes_max: 1 << 20,
        });
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&app), crate::xrpc::endpoints()));
        Self { host, app, dispatcher }
    }

    pub(in crate::xrpc) async fn get(&self, path: &str, authorization: &str) -> Answer {
        let (nsid, _) = path.split_once('?').unwrap_or((path, ""));
        let request = http::Request::get(format!("/xrpc/{path}"));
        self.send(nsid, request, authorization, Body::empty()).await
    }

    pub(in crate::xrpc) async fn post(&self, nsid: &str, authorization: &str, body: Value) -> Answer {
        let request = http::Request::post(format!("/xrpc/{nsid}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(nsid, request, authorization, body).await
    }

    /// Uploads a blob and gives the answer.
    pub(in crate::xrpc) async fn upload(&self, authorization: &str, mime: &str, blob: &[u8]) -> Answer {
        let nsid = "com.atproto.repo.uploadBlob";
        let request = http::Request::post(format!("/xrpc/{nsid}")).header(header::CONTENT_TYPE, mime);
        self.send(nsid, request, authorization, Body::from(blob.to_vec())).await
    }

    /// Posts bytes to a method, its parameters behind its name.
    pub(in crate::xrpc) async fn bytes(&self, path: &str, authorization: &str, body: Vec<u8>) -> Answer {
        let (nsid, _) = path.split_once('?').unwrap_or((path, ""));
        let request = http::Request::post(format!("/xrpc/{path}"));
        let request = request.header(header::CONTENT_TYPE, "application/vnd.ipld.dag-cbor");
        self.send(nsid, request, authorization, Body::from(body)).await
    }

    /// Sends a request; what a method of ours answers is held against its lexicon.
    pub(in crate::xrpc) async fn send(
        &self,
        nsid: &str,
        mut request: http::request::Builder,
        authorization: &str,
        body: Body,
    ) -> Answer {
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = self.dispatcher.dispatch(nsid, request.body(body).unwrap()).await;
        let answer = answer(response).await;
        if nsid.starts_with("agent.") {
            lexicons::check_answer(nsid, &answer);
        }
        answer
    }

    /// Signs a person up and gives the answer.
    pub(in crate::xrpc) async fn person(&self, name: &str) -> Value {
        let body = serde_json::json!({
            "handle": format!("{name}.test"), "email": format!("{name}@example.com"), "password": "correct horse",
        });
        self.post("com.atproto.server.createAccount", "", body).await.ok()
    }
}

pub(in crate::xrpc) async fn answer(response: axum::response::Response) -> Answer {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "a 401 says how");
    }
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

pub(in crate::xrpc) fn bearer(token: &Value) -> String {
    format!("Bearer {}", token.as_str().unwrap())
}

/// An agent cell, and what it was told of its account.
pub(in crate::xrpc) struct Cell {
    database: Database,
    account: Account,
    heard: Vec<String>,
}

pub(in crate::xrpc) struct Memory {
    pub(in crate::xrpc) now_us: AtomicI64,
    pub(in crate::xrpc) plc_is_down: std::sync::atomic::AtomicBool,
    /// The did:plc directory does what it is asked, and nobody hears so.
    pub(in crate::xrpc) plc_is_mute: std::sync::atomic::AtomicBool,
    /// Whoever holds this lets nothing be posted to the did:plc directory.
    pub(in crate::xrpc) plc_gate: Arc<tokio::sync::Mutex<()>>,
    pub(in crate::xrpc) repos_fail: std::sync::atomic::AtomicBool,
    /// Cells that answer everything with an error.
    pub(in crate::xrpc) broken: Mutex<HashMap<Did, account::Error>>,
    network: Arc<Network>,
    counter: AtomicU64,
    directory: Mutex<(Database, Directory)>,
    plc: Arc<Mutex<Database>>,
    pub(in crate::xrpc) cells: Mutex<HashMap<Did, Cell>>,
    blobs: Mutex<HashMap<(Did, Cid), Bytes>>,
    /// DNS: names and their TXT records.
    pub(in crate::xrpc) txt: Mutex<HashMap<String, Vec<String>>>,
}

impl Memory {
    fn new(network: Arc<Network>, plc: Arc<Mutex<Database>>, seed: u64) -> Self {
        let now_us = 1_700_000_000_000_000;
        let database = Database::in_memory().unwrap();
        let counter = AtomicU64::new(seed);
        let mut env = Env { now_us, rng: &mut Rng(&counter), network: &network };
        let directory = Directory::load(&database, &mut env).unwrap();
        Self {
            now_us: AtomicI64::new(now_us),
            plc_is_down: false.into(),
            plc_is_mute: false.into(),
            plc_gate: Arc::default(),
            repos_fail: false.into(),
            broken: Mutex::default(),
            network,
            counter,
            directory: Mutex::new((database, directory)),
            plc,
            cells: Mutex::default(),
            blobs: Mutex::default(),
            txt: Mutex::default(),
        }
    }

    pub(in crate::xrpc) fn heard(&self, did: &str) -> Vec<String> {
        let did = Did::try_from(did).unwrap();
        self.cells.lock().unwrap().get(&did).map(|cell| cell.heard.clone()).unwrap_or_default()
    }

    pub(in crate::xrpc) fn has_cell(&self, did: &str) -> bool {
        self.cells.lock().unwrap().contains_key(&Did::try_from(did).unwrap())
    }

    pub(in crate::xrpc) fn document(&self, did: &str) -> Value {
        self.ask_plc(&format!("/{did}"))
    }

    /// What the did:plc directory answers.
    pub(in crate::xrpc) fn ask_plc(&self, path: &str) -> Value {
        let request = plc::Request { method: "GET", path, query: "", body: b"" };
        let response = plc::handle(&*self.plc.lock().unwrap(), self.now_us(), &request);
        serde_json::from_slice(&response.body).unwrap()
    }

    fn ask_directory(&self, command: directory::Command) -> Answered<directory::Reply, directory::Error> {
        let (database, directory) = &mut *self.directory.lock().unwrap();
        let mut env = Env { now_us: self.now_us(), rng: &mut Rng(&self.counter), network: &self.network };
        Ok(directory.handle(database, &mut env, command)?)
    }

    fn ask_account(&self, did: Did, command: account::Command) -> Answered<account::Reply, account::Error> {
        use account::Change::Hosting;
        use account::Command::Change;
        use account::hosting::Change as Of;
        if let Some(error) = self.broken.lock().unwrap().get(&did) {
            return Err(error.clone().into());
        }
        let mut cells = self.cells.lock().unwrap();
        let heard = match &command {
            Change(Hosting(Of::CreateRepo(_))) if self.repos_fail.load(Ordering::Relaxed) => {
                return Err(Failed::Unreachable("a fault that a test asked for".to_owned()));
            }
            Change(Hosting(Of::CreateRepo(create))) => {
                Some(format!("create {} active={}", create.handle, create.active))
            }
            Change(Hosting(Of::SetStatus(set))) => Some(format!("status {}", set.status.as_str())),
            Change(Hosting(Of::EmitIdentity(emit))) => {
                Some(format!("identity {}", emit.handle.as_ref().map(Handle::as_str).unwrap_or_default()))
            }
            _ => None,
        };
        let mut env = Env { now_us: self.now_us(), rng: &mut Rng(&self.counter), network: &self.network };
        let cell = match cells.entry(did) {
            Entry::Occupied(cell) => cell.into_mut(),
            Entry::Vacant(place) if command.access() == Access::Create => {
                let database = Database::in_memory().unwrap();
                let account = Account::load(&database, &mut env)?;
                place.insert(Cell { database, account, heard: Vec::new() })
            }
            Entry::Vacant(_) => return Err(account::Error::NoRepo.into()),
        };
        cell.heard.extend(heard);
        Ok(cell.account.handle(&cell.database, &mut env, command)?)
    }

    fn serve_plc(&self, request: &http::Request<Bytes>) -> Result<http::Response<Bytes>, HostError> {
        if self.plc_is_down.load(Ordering::Relaxed) || !request.uri().to_string().starts_with(PLC) {
            return Err(HostError::Upstream("connection refused".to_owned()));
        }
        let asked = plc::Request {
            method: if request.method() == Method::POST { "POST" } else { "GET" },
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            body: request.body(),
        };
        let answer = plc::handle(&*self.plc.lock().unwrap(), self.now_us(), &asked);
        if self.plc_is_mute.load(Ordering::Relaxed) {
            return Err(HostError::Upstream("no answer in time".to_owned()));
        }
        Ok(http::Response::builder().status(answer.status).body(Bytes::from(answer.body)).unwrap())
    }
}

impl Host for Memory {
    fn account(
        &self,
        did: Did,
        command: account::Command,
    ) -> BoxFuture<'_, Answered<account::Reply, account::Error>> {
        async move { self.ask_account(did, command) }.boxed()
    }

    fn directory(
        &self,
        command: directory::Command,
    ) -> BoxFuture<'_, Answered<directory::Reply, directory::Error>> {
        async move { self.ask_directory(command) }.boxed()
    }

    fn sequencer(
        &self,
        _: sequencer::Command,
    ) -> BoxFuture<'_, Answered<sequencer::Reply, sequencer::Error>> {
        panic!("no test here asks the sequencer")
    }

    fn subscribe_repos(
        &self,
        _: Option<i64>,
        _: http::Request<Body>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, SubscribeError>> {
        async { Err(SubscribeError::NotWebSocket) }.boxed()
    }

    fn destroy_account(&self, did: Did) -> BoxFuture<'_, Result<(), HostError>> {
        self.cells.lock().unwrap().remove(&did);
        self.blobs.lock().unwrap().retain(|(owner, _), _| *owner != did);
        async { Ok(()) }.boxed()
    }

    fn export(&self, did: Did, since: Option<Tid>) -> BoxFuture<'_, Answered<Download, account::Error>> {
        let cells = self.cells.lock().unwrap();
        let exported = cells.get(&did).ok_or(account::Error::NoRepo).and_then(|cell| {
            let mut chunks = Vec::new();
            let mut export =
                crate::repo::export::Export::begin(&cell.database, since.as_ref().map(Tid::as_str))?;
            while let Some(chunk) = export.next_chunk(&cell.database)? {
                chunks.push(Ok(Bytes::from(chunk)));
            }
            Ok(download(stream::iter(chunks).boxed()))
        });
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
            let head = Bytes::copy_from_slice(&blob[..blob.len().min(64)]);
            let bytes = blob.len() as u64;
            self.blobs.lock().unwrap().insert((did, cid), blob.into());
            Ok(StoredBlob { cid, bytes, head })
        }
        .boxed()
    }

    fn get_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<Option<(u64, Download)>, HostError>> {
        let found = self.blobs.lock().unwrap().get(&(did, cid)).cloned();
        async move { Ok(found.map(|blob| (blob.len() as u64, download(stream::iter([Ok(blob)]).boxed())))) }
            .boxed()
    }

    fn delete_blob(&self, _: Did, _: Cid) -> BoxFuture<'_, Result<(), HostError>> {
        async { Ok(()) }.boxed()
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>> {
        async move {
            let _passage = match request.method() == Method::POST {
                true => Some(self.plc_gate.lock().await),
                false => None,
            };
            self.serve_plc(&request)
        }
        .boxed()
    }

    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>> {
        let records = self.txt.lock().unwrap().get(&name).cloned().unwrap_or_default();
        async move { Ok(records) }.boxed()
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, ()> {
        work();
        async {}.boxed()
    }

    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }

    fn random(&self, bytes: &mut [u8]) {
        let Ok(()) = Rng(&self.counter).try_fill_bytes(bytes);
    }
}

/// Randomness that never repeats and is none.
struct Rng<'a>(&'a AtomicU64);

impl TryRng for Rng<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok((self.0.fetch_add(1, Ordering::Relaxed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng<'_> {}
