//! What the cell of an account costs without HTTP and without waiting for a disk: commits in a small and in a large repo,
//! reads, memories.
//!
//! `cargo bench --bench account`
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::hint::black_box;

use chacha20::ChaCha20Rng;
use criterion::{Criterion, criterion_group, criterion_main};
use rand_core::SeedableRng;
use serde_bytes::ByteBuf;
use zap::account::{Account, Command, CreateRepo, Reply};
use zap::crypto::SigningKey;
use zap::env::{Env, Network};
use zap::memory::Filter;
use zap::memory::{Recall, Remember};
use zap::native::sql::Database;
use zap::rate_limit::Rates;
use zap::repo::{ApplyWrites, GetRecord, ListRecords, Swap, Write, WriteAction};
use zap::seam::{Hidden, HiddenBytes, Request};
use zap::syntax::{Nsid, RecordKey};
use zap::vault::MasterKey;

const DID: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const COLLECTION: &str = "app.bsky.feed.post";

fn collection() -> Nsid {
    COLLECTION.parse().unwrap()
}

/// Writes of one commit while a repo is filled.
const BATCH: u64 = 200;

fn repos(c: &mut Criterion) {
    for records in [1_000, 100_000] {
        let mut cell = Cell::new();
        for start in (0..records).step_by(BATCH as usize) {
            cell.create((start..start + BATCH).map(rkey));
        }
        let mut group = c.benchmark_group(format!("{records} records"));
        let mut next = records;
        group.bench_function("create a record", |b| {
            b.iter(|| {
                next += 1;
                cell.create([rkey(next)]);
            });
        });
        group.bench_function("get a record", |b| {
            b.iter(|| {
                next = next.wrapping_mul(7919) % records;
                black_box(cell.ask(GetRecord { collection: collection(), rkey: rkey(next), cid: None }))
            });
        });
        let list = ListRecords {
            did: DID.parse().unwrap(),
            collection: collection(),
            limit: 100,
            cursor: None,
            reverse: false,
        };
        group.bench_function("list 100 records", |b| {
            b.iter(|| black_box(cell.ask(list.clone())));
        });
    }
}

fn memories(c: &mut Criterion) {
    let mut cell = Cell::new();
    let mut number = 0;
    let mut group = c.benchmark_group("memories");
    let mut remember = |cell: &mut Cell| {
        number += 1;
        cell.ask(Remember { memory: note(number), dedupe: true })
    };
    for _ in 0..5_000 {
        remember(&mut cell);
    }
    group.bench_function("remember", |b| b.iter(|| black_box(remember(&mut cell))));
    let query = Hidden::new("deploy of service 17".to_owned());
    let recall = Recall { query, filter: Filter::default(), limit: 10, min_score: 0 };
    group.bench_function("recall among 5,000", |b| {
        b.iter(|| black_box(cell.ask(recall.clone())));
    });
}

/// An account cell on a database in memory.
struct Cell {
    account: Account,
    sql: Database,
    network: Network,
    rng: ChaCha20Rng,
    now_us: i64,
}

impl Cell {
    fn new() -> Self {
        let network = Network {
            service_did: "did:web:bench.test".into(),
            public_url: "https://bench.test".into(),
            handle_domains: vec![".test".into()],
            invite_required: false,
            sends_mail: false,
            plc_url: "https://plc.test".into(),
            master_key: MasterKey::from_hex(&"42".repeat(32)).unwrap(),
            write_rates: Rates::NONE,
            sign_in_rates: Rates::NONE,
        };
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let signing_key = Hidden::new(*SigningKey::generate(&mut rng).to_bytes());
        let (sql, now_us) = (Database::in_memory().unwrap(), 1_800_000_000_000_000);
        let account = Account::load(&sql, &mut Env { now_us, rng: &mut rng, network: &network }).unwrap();
        let mut cell = Self { account, sql, network, rng, now_us };
        let (did, handle) = (DID.parse().unwrap(), "bench.test".parse().unwrap());
        cell.ask(CreateRepo { did, handle, signing_key, active: true, records: Vec::new() });
        cell
    }

    /// One command; what leaves the cell is taken by the sequencer at once.
    fn ask<R>(&mut self, request: R) -> Reply
    where
        R: Request,
        Command: From<R::Command>,
    {
        self.now_us += 1_000;
        let mut env = Env { now_us: self.now_us, rng: &mut self.rng, network: &self.network };
        let reply = self.account.handle(&self.sql, &mut env, request.into_command().into()).unwrap();
        if let Some(row) = self.account.take_effects().events.last() {
            self.account.outbox_synced(row.id);
        }
        reply
    }

    fn create(&mut self, rkeys: impl IntoIterator<Item = RecordKey>) {
        let writes = rkeys.into_iter().map(|rkey| Write {
            action: WriteAction::Create,
            collection: collection(),
            record: Some(post(rkey.as_str())),
            rkey: Some(rkey),
            blobs: Vec::new(),
            swap_record: Swap::Any,
        });
        let command = ApplyWrites { writes: writes.collect(), swap_commit: None };
        black_box(self.ask(command));
    }
}

/// Keys in the order of their numbers, as TIDs are.
fn rkey(number: u64) -> RecordKey {
    format!("{number:013}").parse().unwrap()
}

fn post(text: &str) -> ByteBuf {
    let record = serde_json::json!({ "$type": COLLECTION, "createdAt": "2026-11-23T00:00:00.000Z",
        "text": format!("{text}: the deploy went through, all checks are green, and the queue is empty again.") });
    ByteBuf::from(serde_ipld_dagcbor::to_vec(&record).unwrap())
}

fn note(number: u64) -> HiddenBytes {
    let text = format!("deploy {number} of service {} took {} seconds", number % 50, number % 97);
    let record = serde_json::json!({ "$type": "agent.memory.note", "summary": text, "tags": ["deploy"],
        "createdAt": "2026-11-23T00:00:00.000Z" });
    serde_ipld_dagcbor::to_vec(&record).unwrap().into()
}

criterion_group!(benches, repos, memories);
criterion_main!(benches);
