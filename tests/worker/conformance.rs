//! The same steps on both storage adapters: every answer and, at the end, every row of every table must be equal.

use harness::{Build, Client, Zap};
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use serde_json::json;
use zap::account::{self, CreateRepo, EmitIdentity, GetSigningKey, SignServiceAuth};
use zap::actor::Status;
use zap::blobs::{
    AddBlob, BlobClaim, ExpireBlobs, GetBlobMeta, GetBlobTakedown, ListBlobs, ListMissingBlobs,
    SetBlobTakedown,
};
use zap::data_model::{encode, record_from_json};
use zap::directory;
use zap::memory::{Filter, Forget, GetMemory, ListMemories, Recall, Remember};
use zap::native::sql::{Database, Durability};
use zap::outbox::PendingOutbox;
use zap::preferences::{GetPreferences, PutPreferences};
use zap::repo::{
    ApplyWrites, CommitMeta, Counts, DescribeRepo, GetBlocks, GetHead, GetRecord, GetRecordProof,
    GetRecordTakedown, ListRecords, SetRecordTakedown, Swap, Write, WriteAction,
};
use zap::seam::{Hidden, Named, Request};
use zap::sequencer::{self, OutboxEvent};
use zap::syntax::Did;
use zap::testing::{Driven, Kind, Step};

use crate::directory_script;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const POST: &str = "app.bsky.feed.post";
const START_US: i64 = 1_790_000_000_000_000;

/// A cell here and its double in the Worker.
pub(crate) struct Both {
    kind: Kind,
    database: Database,
    here: Driven,
    there: Client,
    path: String,
    pub(crate) now_us: i64,
    steps: u64,
    _folder: tempfile::TempDir,
}

impl Both {
    pub(crate) fn new(zap: &Zap, kind: Kind, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            kind,
            database: Database::open(&folder.path().join("cell.sqlite"), Durability::Full).unwrap(),
            here: Driven::new(kind),
            there: zap.client(),
            path: format!("/testing/TESTING/{name}"),
            now_us: START_US,
            steps: 0,
            _folder: folder,
        }
    }

    /// Runs a step on both; what they answer is the same.
    pub(crate) async fn run(&mut self, what: &str, step: Step) -> Vec<u8> {
        let here = self.here.run(&self.database, &step).unwrap();
        let there = self.there(&step).await;
        assert!(
            here == there,
            "{what}, step {}: here\n{}\nthere\n{}",
            self.steps,
            difference(&here, &there),
            difference(&there, &here)
        );
        here
    }

    async fn there(&mut self, step: &Step) -> Vec<u8> {
        let body = serde_ipld_dagcbor::to_vec(&(self.kind, step)).unwrap();
        let answer = self.there.send(Method::POST, &self.path, None, None, body.into()).await.unwrap();
        answer.success().unwrap();
        answer.body.to_vec()
    }

    /// Asks both cells of an account; a refusal is an answer.
    pub(crate) async fn account<R>(&mut self, request: R) -> Result<R::Reply, account::Error>
    where
        R: Request,
        account::Command: From<R::Command>,
        R::Answer: TryFrom<account::Reply>,
    {
        self.ask::<R, account::Command, account::Reply, _>(request).await
    }

    /// Asks both directories.
    pub(crate) async fn directory<R>(&mut self, request: R) -> Result<R::Reply, directory::Error>
    where
        R: Request<Command = directory::Command, Answer = directory::Reply>,
    {
        self.ask::<R, directory::Command, directory::Reply, _>(request).await
    }

    /// Asks both sequencers.
    async fn sequencer<R>(&mut self, request: R) -> Result<R::Reply, sequencer::Error>
    where
        R: Request<Command = sequencer::Command, Answer = sequencer::Reply>,
    {
        self.ask::<R, sequencer::Command, sequencer::Reply, _>(request).await
    }

    async fn ask<R, C, A, E>(&mut self, request: R) -> Result<R::Reply, E>
    where
        R: Request,
        C: From<R::Command> + Serialize + Named,
        A: DeserializeOwned,
        R::Answer: TryFrom<A>,
        E: DeserializeOwned,
    {
        self.now_us += 1_000;
        self.steps += 1;
        let command = C::from(request.into_command());
        let bytes = ByteBuf::from(serde_ipld_dagcbor::to_vec(&command).unwrap());
        let answer = self.run(command.name(), Step::Ask(self.now_us, self.steps, bytes)).await;
        let answer: Result<A, E> = serde_ipld_dagcbor::from_slice(&answer).unwrap();
        answer.map(|answer| R::from_answer(answer.try_into().ok().unwrap()).unwrap())
    }

    async fn rows(&mut self) -> (f64, f64) {
        let text = String::from_utf8(self.there(&Step::Rows).await).unwrap();
        let (read, written) = text.split_once(' ').unwrap();
        (read.parse().unwrap(), written.parse().unwrap())
    }
}

/// The first line that differs, or the bytes around the first that do.
fn difference(of: &[u8], from: &[u8]) -> String {
    let (of_text, from_text) = (String::from_utf8_lossy(of), String::from_utf8_lossy(from));
    let mut lines = of_text.lines().zip(from_text.lines().chain(std::iter::repeat("")));
    let line = lines.find(|(of, from)| of != from).map_or(String::new(), |(of, _)| of.to_owned());
    line.chars().take(2_000).collect()
}

fn create(rkey: &str, text: &str) -> Write {
    let record = json!({ "$type": POST, "text": text, "createdAt": "2026-01-01T00:00:00.000Z" });
    Write {
        action: WriteAction::Create,
        collection: POST.parse().unwrap(),
        rkey: (!rkey.is_empty()).then(|| rkey.parse().unwrap()),
        record: Some(ByteBuf::from(cbor(&record))),
        blobs: Vec::new(),
        swap_record: Swap::Any,
    }
}

fn cbor(record: &serde_json::Value) -> Vec<u8> {
    encode(&record_from_json(record.to_string().as_bytes()).unwrap()).unwrap()
}

fn create_repo() -> CreateRepo {
    CreateRepo {
        did: DID.parse().unwrap(),
        handle: "alice.test".parse().unwrap(),
        signing_key: Hidden::new([5; 32]),
        active: true,
        records: vec![create("first", "of the first commit")],
    }
}

fn one(write: Write) -> ApplyWrites {
    ApplyWrites { writes: vec![write], swap_commit: None }
}

fn memory(number: usize) -> Remember {
    let memory = json!({
        "$type": "agent.memory.note",
        "summary": format!("memory {number} of the heron and the river"),
        "tags": [format!("tag{}", number % 3)],
        "createdAt": "2026-01-01T00:00:00.000Z",
    });
    Remember { memory: cbor(&memory).into(), dedupe: true }
}

/// What breaks: an agent that moves between hosts finds other data, or is answered otherwise.
#[tokio::test]
async fn an_agents_cell_is_the_same_on_both_hosts() {
    let Some((_folder, zap)) = super::start(Build::Testing).await else { return };
    let mut both = Both::new(&zap, Kind::Account, "agent");
    assert!(both.account(GetHead {}).await.is_err(), "there is no repo yet");
    let new = create_repo();
    both.account(new.clone()).await.unwrap();
    both.account(new).await.unwrap();
    both.account(GetSigningKey {}).await.unwrap();

    for number in 0..40 {
        let writes =
            (0..25).map(|part| create(&format!("k{:04}", (number * 25 + part) * 7919 % 1000), "text"));
        both.account(ApplyWrites { writes: writes.collect(), swap_commit: None }).await.unwrap();
    }
    let made = both.account(one(create("", "with a key of the cell's"))).await.unwrap();
    let (cid, rkey) = (made.results[0].cid.unwrap(), made.results[0].rkey.as_str());
    let other = repo_mst::cid_for_cbor(b"nonsense");
    for swap in [Swap::Any, Swap::Nothing, Swap::Record(other), Swap::Record(cid)] {
        for action in [WriteAction::Create, WriteAction::Update, WriteAction::Put] {
            let write = Write { action, swap_record: swap, ..create(rkey, "other") };
            let _ = both.account(one(write)).await;
        }
    }
    for (action, rkey) in [
        (WriteAction::Delete, "k0007"),
        (WriteAction::Delete, "k0007"),
        (WriteAction::DeleteIfPresent, "k0007"),
        (WriteAction::DeleteIfPresent, "k0008"),
    ] {
        let _ = both.account(one(Write { action, record: None, ..create(rkey, "") })).await;
    }
    let many = (0..201).map(|number| create(&format!("m{number}"), "text")).collect();
    assert!(both.account(ApplyWrites { writes: many, swap_commit: None }).await.is_err());
    let large = "x".repeat(1_000_001);
    assert!(both.account(one(create("large", &large))).await.is_err());

    both.run("reopen", Step::Reopen).await;
    let post = |rkey: &str| (POST.parse().unwrap(), rkey.parse().unwrap());
    let (collection, rkey) = post("k0009");
    both.account(GetRecord { collection, rkey, cid: None }).await.unwrap().unwrap();
    for reverse in [true, false] {
        let cursor = Some("k0500".to_owned());
        let did = DID.parse().unwrap();
        let list = ListRecords { did, collection: POST.parse().unwrap(), limit: 50, cursor, reverse };
        let page: serde_json::Value = serde_json::from_slice(&both.account(list).await.unwrap()).unwrap();
        assert_eq!(page["records"].as_array().unwrap().len(), 50);
    }
    both.account(DescribeRepo {}).await.unwrap();
    for rkey in ["k0500", "nothing"] {
        let (collection, rkey) = post(rkey);
        both.account(GetRecordProof { collection, rkey }).await.unwrap();
    }
    let head = both.account(GetHead {}).await.unwrap();
    both.account(GetBlocks { cids: vec![head.commit, head.data] }).await.unwrap();
    assert!(both.account(GetBlocks { cids: vec![other] }).await.is_err());

    memories(&mut both).await;
    blobs(&mut both).await;

    let exp = 1_900_000_000;
    let sign = SignServiceAuth { aud: "did:web:example.com".to_owned(), lxm: None, exp };
    both.account(sign).await.unwrap();
    both.account(EmitIdentity { handle: Some("other.test".parse().unwrap()) }).await.unwrap();
    for status in [Status::Deactivated, Status::Active] {
        let set = account::SetStatus { status, handle: None };
        both.account(set).await.unwrap();
    }
    preferences(&mut both).await;
    both.account(Counts {}).await.unwrap();
    events(&zap, &mut both).await;
    both.run("dump", Step::Dump).await;
}

async fn memories(both: &mut Both) {
    let mut rkeys = Vec::new();
    for number in 0..30 {
        rkeys.push(both.account(memory(number)).await.unwrap().rkey);
    }
    both.account(memory(3)).await.unwrap();
    both.account(GetMemory { rkey: rkeys[4].clone() }).await.unwrap();
    let filter = Filter { tags: Hidden::new(vec!["tag1".to_owned()]), ..Filter::default() };
    let list = ListMemories { filter: filter.clone(), cursor: None, limit: 4 };
    let page = both.account(list.clone()).await.unwrap();
    both.account(ListMemories { cursor: page.cursor, ..list }).await.unwrap();
    both.run("reopen", Step::Reopen).await;
    let query = Hidden::new("heron 7".to_owned());
    let recall = Recall { query, filter: Filter::default(), limit: 10, min_score: 0 };
    assert!(!both.account(recall).await.unwrap().is_empty());
    let forget = Forget { rkeys: rkeys[..3].to_vec(), filter: None, dry_run: false };
    assert_eq!(both.account(forget).await.unwrap().shredded, 3);
    both.account(Forget { rkeys: Vec::new(), filter: Some(filter), dry_run: true }).await.unwrap();
    assert!(both.account(GetMemory { rkey: rkeys[0].clone() }).await.is_err());
}

async fn preferences(both: &mut Both) {
    let list = json!([{"$type": "app.bsky.actor.defs#mutedWordsPref", "items": []}]).to_string().into_bytes();
    for preferences in [list.clone(), b"[{}]".to_vec(), list] {
        let put = PutPreferences { preferences: preferences.into(), is_full: true };
        let _ = both.account(put).await;
    }
    for is_full in [true, false] {
        both.account(GetPreferences { is_full }).await.unwrap();
    }
    let (collection, rkey) = (POST.parse().unwrap(), "b".parse().unwrap());
    both.account(SetRecordTakedown { collection, rkey, reference: Some("case 7".to_owned()) }).await.unwrap();
    let (collection, rkey) = (POST.parse().unwrap(), "b".parse().unwrap());
    assert!(both.account(GetRecordTakedown { collection, rkey }).await.unwrap().is_some());
    let (collection, rkey) = (POST.parse().unwrap(), "b".parse().unwrap());
    assert!(both.account(GetRecord { collection, rkey, cid: None }).await.unwrap().is_none());
}

async fn blobs(both: &mut Both) {
    let cids = [b"one", b"two"].map(|blob| repo_mst::cid_for_raw(blob));
    for cid in cids {
        let add = AddBlob { cid, mime: "image/png".to_owned(), bytes: 5 };
        both.account(add).await.unwrap();
    }
    let claim = |mime: &str| BlobClaim { cid: cids[0], mime: mime.to_owned(), bytes: 5 };
    assert!(both.account(one(Write { blobs: vec![claim("text/plain")], ..create("b", "") })).await.is_err());
    both.account(one(Write { blobs: vec![claim("image/png")], ..create("b", "") })).await.unwrap();
    both.account(GetBlobMeta { cid: cids[0] }).await.unwrap();
    for reference in [Some("case 7".to_owned()), None] {
        both.account(SetBlobTakedown { cid: cids[0], reference }).await.unwrap();
        both.account(GetBlobTakedown { cid: cids[0] }).await.unwrap();
        both.account(GetBlobMeta { cid: cids[0] }).await.unwrap();
    }
    both.account(ListBlobs { since: None, cursor: None, limit: 10 }).await.unwrap();
    both.account(ListMissingBlobs { cursor: None, limit: 10 }).await.unwrap();
    let expire = ExpireBlobs { before_us: both.now_us + 1, limit: 10 };
    assert_eq!(both.account(expire).await.unwrap(), [cids[1]]);
}

/// The agent's events, into the sequencer.
async fn events(zap: &Zap, agent: &mut Both) {
    let mut sequencer = Both::new(zap, Kind::Sequencer, "sequencer");
    let rows = agent.account(PendingOutbox { after: 0, limit: 500 }).await.unwrap();
    assert!(rows.len() > 50, "{} events", rows.len());
    let events: Vec<OutboxEvent> = rows
        .into_iter()
        .map(|row| OutboxEvent {
            did: DID.parse().unwrap(),
            outbox_id: row.id,
            kind: row.kind,
            frame: row.frame,
        })
        .collect();
    for _ in 0..2 {
        for part in events.chunks(20) {
            sequencer.sequencer(sequencer::Append { events: part.to_vec() }).await.unwrap();
        }
        sequencer.run("reopen", Step::Reopen).await;
    }
    let head = sequencer.sequencer(sequencer::GetHead {}).await.unwrap();
    let read = sequencer::Read { cursor: 0, limit: 30, bytes_max: 40_000 };
    assert!(!sequencer.sequencer(read).await.unwrap().events.is_empty());
    let dids: Vec<Did> = [DID, "did:plc:nobody"].iter().map(|did| did.parse().unwrap()).collect();
    let last = sequencer.sequencer(sequencer::GetLastCommits { dids: dids.clone() }).await.unwrap();
    let at = agent.account(GetHead {}).await.unwrap();
    let at = CommitMeta { cid: at.commit, rev: at.rev };
    assert_eq!(last, [Some(at), None]);
    let commits = dids.iter().map(|did| (did.clone(), at)).collect();
    sequencer.sequencer(sequencer::NoteLastCommits { commits }).await.unwrap();
    assert_eq!(sequencer.sequencer(sequencer::GetLastCommits { dids }).await.unwrap(), [Some(at); 2]);
    let expire = sequencer::Expire { before_us: head.last_seq, bytes_max: u64::MAX, limit: 30 };
    assert_eq!(sequencer.sequencer(expire).await.unwrap(), 30);
    sequencer.sequencer(sequencer::GetHead {}).await.unwrap();
    sequencer.run("dump", Step::Dump).await;
}

/// What breaks: a statement at the edge does one thing here and another there.
#[tokio::test]
async fn odd_statements_are_answered_alike() {
    let Some((_folder, zap)) = super::start(Build::Testing).await else { return };
    let mut both = Both::new(&zap, Kind::Account, "odd");
    let answer = both.run("odd statements", Step::Sql).await;
    eprintln!("{}", String::from_utf8_lossy(&answer));
}

/// What breaks: the network's directory after a move of the whole network.
#[tokio::test]
async fn the_directorys_cell_is_the_same_on_both_hosts() {
    let Some((_folder, zap)) = super::start(Build::Testing).await else { return };
    let mut both = Both::new(&zap, Kind::Directory, "directory");
    directory_script::run(&mut both).await;
    both.run("dump", Step::Dump).await;
}

/// What breaks: the bill. The rows of one createRecord grow with the height of the tree, not with the repo.
#[tokio::test]
async fn a_record_costs_few_rows() {
    let Some((_folder, zap)) = super::start(Build::Testing).await else { return };
    let mut both = Both::new(&zap, Kind::Account, "rows");
    both.account(create_repo()).await.unwrap();
    let mut costs = Vec::new();
    for size in [100, 1_000, 4_000] {
        while both.account(Counts {}).await.unwrap().records < size {
            let writes = (0..100).map(|_| create("", "text")).collect();
            both.account(ApplyWrites { writes, swap_commit: None }).await.unwrap();
        }
        let before = both.rows().await;
        for _ in 0..20 {
            both.account(one(create("", "text"))).await.unwrap();
        }
        let after = both.rows().await;
        let (read, written) = ((after.0 - before.0) / 20.0, (after.1 - before.1) / 20.0);
        eprintln!("createRecord in a repo of {size}: {read:.1} rows read, {written:.1} written");
        costs.push((read, written));
    }
    let rows = both.account(PendingOutbox { after: 0, limit: 100 }).await.unwrap();
    let mut sequencer = Both::new(&zap, Kind::Sequencer, "rows-of-events");
    sequencer.sequencer(sequencer::GetHead {}).await.unwrap();
    let before = sequencer.rows().await;
    for row in rows.iter().cloned() {
        let (kind, frame) = (row.kind, row.frame);
        let events = vec![OutboxEvent { did: DID.parse().unwrap(), outbox_id: row.id, kind, frame }];
        sequencer.sequencer(sequencer::Append { events }).await.unwrap();
    }
    let after = sequencer.rows().await;
    let events = rows.len() as f64;
    let (read, written) = ((after.0 - before.0) / events, (after.1 - before.1) / events);
    eprintln!("its event in the log: {read:.1} rows read, {written:.1} written");
    let (first, last) = (costs[0], costs[costs.len() - 1]);
    // Forty times the records are about three levels more, of three rows each.
    assert!(last.0 < first.0 + 60.0 && last.1 < first.1 + 40.0, "{costs:?}");
}

/// What breaks: the bill of an agent that sleeps between its requests, as most do. A cell that wakes reads all its memories
/// for what looks for one, and only what it touches for keeping one.
#[tokio::test]
async fn a_cell_that_wakes_keeps_a_memory_for_few_rows() {
    let Some((_folder, zap)) = super::start(Build::Testing).await else { return };
    let mut both = Both::new(&zap, Kind::Account, "waking");
    both.account(create_repo()).await.unwrap();
    let mut kept = 0;
    let mut costs = Vec::new();
    for size in [100, 1_000] {
        while kept < size {
            both.account(memory(kept)).await.unwrap();
            kept += 1;
        }
        both.run("arrived", Step::Arrived).await;
        let before = both.rows().await;
        both.run("reopen", Step::Reopen).await;
        both.account(memory(kept)).await.unwrap();
        kept += 1;
        let remembered = both.rows().await;
        let filter = Filter::default();
        let recall = Recall { query: Hidden::new("heron".to_owned()), filter, limit: 5, min_score: 0 };
        both.account(recall).await.unwrap();
        let recalled = both.rows().await;
        eprintln!(
            "waking with {size} memories and keeping one: {} rows read, {} written; a recall then: {} read",
            remembered.0 - before.0,
            remembered.1 - before.1,
            recalled.0 - remembered.0,
        );
        costs.push(remembered.0 - before.0);
    }
    assert!(costs[1] < costs[0] + 60.0, "{costs:?}");
}
