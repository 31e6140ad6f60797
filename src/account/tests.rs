//! The cell over a real database, every event it makes under the strict verifier.

use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;
use crate::actor::Status;
use crate::blobs::{AddBlob, BlobClaim, ExpireBlobs, GetBlobMeta, ListMissingBlobs};
use crate::crypto::{SigningKey, VerifyingKey};
use crate::event::SEQ_MIN;
use crate::event::verify::Verifier;
use crate::memory::{Forget, GetMemory, Kept, ListMemories, Recall, Remember};
use crate::outbox::OutboxRow;
use crate::repo::export::{Export, Replaced};
use crate::repo::{ApplyWrites, GetHead, Head, Swap, Write, WriteAction, WritesApplied};
use crate::seam::{Hidden, HiddenBytes, Request};
use crate::testing::{Alone, Randomness, START_US};
use crate::vault::MasterKey;

mod points;
mod transfer;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const POST: &str = "app.bsky.feed.post";

/// A cell, and a consumer of its events.
struct World {
    alone: Alone<Account>,
    key: VerifyingKey,
    verifier: Verifier,
    seq: i64,
    events: Vec<OutboxRow>,
    replaced: Vec<Replaced>,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::generate(&mut Randomness::default().fork());
        let mut world = Self {
            alone: Alone::default(),
            key: key.verifying_key(),
            verifier: Verifier::new(),
            seq: SEQ_MIN,
            events: Vec::new(),
            replaced: Vec::new(),
        };
        world
            .ask(CreateRepo {
                did: DID.parse().unwrap(),
                handle: "alice.test".parse().unwrap(),
                signing_key: Hidden::new(*key.to_bytes()),
                active: true,
                records: Vec::new(),
            })
            .unwrap();
        world
    }

    /// Asks the cell; its events must pass the verifier without a remark.
    fn ask<R>(&mut self, request: R) -> Result<R::Reply, Error>
    where
        R: Request,
        Command: From<R::Command>,
        R::Answer: TryFrom<Reply>,
    {
        self.alone.now_us += 1_000;
        let answer = self.alone.ask(request);
        let effects = self.alone.cell.take_effects();
        self.replaced.extend(self.alone.cell.take_replaced());
        for event in effects.events {
            self.seq += 1;
            let message = event.frame.clone().with_seq(self.seq);
            let findings = self.verifier.check(&message, self.alone.now_us, Ok(&self.key));
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            assert!(findings.is_empty(), "a {} event: {findings:?}", event.kind.name());
            self.events.push(event);
        }
        answer
    }

    /// The cell, opened anew from its database.
    fn restart(&mut self) {
        self.alone.restart().unwrap();
    }

    fn write(&mut self, writes: Vec<Write>) -> Result<WritesApplied, Error> {
        self.ask(ApplyWrites { writes, swap_commit: None })
    }

    fn remember(&mut self, text: &str) -> String {
        self.ask(Remember { memory: note(text), dedupe: false }).unwrap().rkey.into_string()
    }

    fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        crate::store::query_first(&self.alone.disk, &count, &[], |row| row.integer(0)).unwrap().unwrap()
    }
}

fn cbor(json: &str) -> ByteBuf {
    let record = crate::data_model::from_json(json.as_bytes()).unwrap();
    ByteBuf::from(crate::data_model::encode_record(&record).unwrap())
}

fn note(summary: &str) -> HiddenBytes {
    let note = cbor(&format!(
        r#"{{"$type":"agent.memory.note","summary":"{summary}","createdAt":"2026-01-01T00:00:00.000Z"}}"#
    ));
    note.into_vec().into()
}

fn put(action: WriteAction, rkey: &str, text: &str) -> Write {
    let record = cbor(&format!(r#"{{"$type":"{POST}","text":"{text}"}}"#));
    Write {
        action,
        collection: POST.parse().unwrap(),
        rkey: Some(rkey.parse().unwrap()),
        record: Some(record),
        blobs: Vec::new(),
        swap_record: Swap::Any,
    }
}

fn delete(rkey: &str) -> Write {
    Write { record: None, ..put(WriteAction::Delete, rkey, "") }
}

#[test]
fn a_new_account_emits_identity_account_commit_sync() {
    let world = World::new();
    let kinds: Vec<_> = world.events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["identity", "account", "commit", "sync"]);
}

#[test]
fn a_failed_write_leaves_repo_and_outbox_as_they_were() {
    let mut world = World::new();
    world.write(vec![put(WriteAction::Create, "a", "one")]).unwrap();
    let head = world.ask(GetHead {}).unwrap();
    let (events, outbox) = (world.events.len(), world.count("outbox"));
    let refused =
        world.write(vec![put(WriteAction::Create, "b", "two"), put(WriteAction::Create, "a", "again")]);
    assert!(matches!(refused, Err(Error::Repo(repo::Error::RecordExists(_)))));
    assert!(matches!(world.write(vec![delete("nothing")]), Err(Error::Repo(repo::Error::RecordNotFound(_)))));
    assert!(matches!(
        world.write(vec![put(WriteAction::Create, "c", "1"), put(WriteAction::Create, "c", "2")]),
        Err(Error::Repo(repo::Error::RecordExists(_)))
    ));
    assert_eq!(world.ask(GetHead {}).unwrap(), head);
    assert_eq!((world.events.len(), world.count("outbox")), (events, outbox));
    world.write(vec![put(WriteAction::Create, "b", "two")]).unwrap();
}

#[test]
fn swaps_are_checked_against_what_is_there() {
    let mut world = World::new();
    let first = world.write(vec![put(WriteAction::Create, "a", "one")]).unwrap();
    let (commit, cid) = (first.commit.unwrap().cid, first.results[0].cid);
    let swapping = |swap| Write { swap_record: swap, ..put(WriteAction::Put, "a", "two") };
    assert!(matches!(
        world.write(vec![swapping(Swap::Nothing)]),
        Err(Error::Repo(repo::Error::InvalidSwap { .. }))
    ));
    let other = repo_mst::cid_for_cbor(b"nonsense");
    let refused = world.write(vec![swapping(Swap::Record(other))]);
    assert!(matches!(refused, Err(Error::Repo(repo::Error::InvalidSwap { .. }))));
    world.write(vec![swapping(Swap::Record(cid.unwrap()))]).unwrap();
    let stale = ApplyWrites { writes: vec![delete("a")], swap_commit: Some(commit) };
    assert!(matches!(world.ask(stale), Err(Error::Repo(repo::Error::InvalidSwap { .. }))));
}

#[test]
fn a_put_of_the_same_record_makes_no_commit() {
    let mut world = World::new();
    world.write(vec![put(WriteAction::Put, "a", "same")]).unwrap();
    let again = world.write(vec![put(WriteAction::Put, "a", "same")]).unwrap();
    assert_eq!(again.commit.map(|commit| commit.rev), None);
    assert!(again.results[0].cid.is_some());
}

#[test]
fn memories_outlive_a_restart_and_not_their_keys() {
    let mut world = World::new();
    let kept = world.remember("the harbour freezes in January");
    let lost = world.remember("the ferry leaves at noon");
    world.restart();
    let hits = world
        .ask(Recall {
            query: Hidden::new("harbour".into()),
            filter: Default::default(),
            limit: 5,
            min_score: 0,
        })
        .unwrap();
    assert_eq!(hits.iter().map(|hit| hit.memory.rkey.as_str()).collect::<Vec<_>>(), [kept.as_str()]);
    let forgotten =
        world.ask(Forget { rkeys: vec![lost.parse().unwrap()], filter: None, dry_run: false }).unwrap();
    assert_eq!((forgotten.shredded, forgotten.rkeys[0].as_str()), (1, lost.as_str()));
    let lost = world.ask(GetMemory { rkey: lost.parse().unwrap() });
    assert_eq!(lost.err(), Some(Error::Memory(memory::Error::NotFound)));
    assert_eq!(world.count("keyring"), 1);
}

#[test]
fn a_sealed_record_deleted_by_its_key_loses_its_data_key() {
    let mut world = World::new();
    let rkey = world.remember("short-lived");
    let collection = crate::vault::COLLECTION.parse().unwrap();
    world.write(vec![Write { collection, ..delete(&rkey) }]).unwrap();
    assert_eq!(world.count("keyring"), 0);
    let page = world.ask(ListMemories { filter: Default::default(), cursor: None, limit: 10 }).unwrap();
    assert!(page.memories.is_empty());
}

/// What breaks: a client that puts a record once more as it is ends a memory.
#[test]
fn a_sealed_record_that_is_put_as_it_is_keeps_its_data_key() {
    let mut world = World::new();
    let rkey = world.remember("long-lived");
    let path = format!("{}/{rkey}", crate::vault::COLLECTION);
    let select = "SELECT block FROM record WHERE path = ?";
    let read = crate::store::query_first(&world.alone.disk, select, &[path.as_str().into()], |row| {
        Ok(row.blob(0)?.to_vec())
    });
    let record = Some(ByteBuf::from(read.unwrap().unwrap()));
    let collection = crate::vault::COLLECTION.parse().unwrap();
    world.write(vec![Write { collection, record, ..put(WriteAction::Put, &rkey, "") }]).unwrap();
    assert_eq!(world.count("keyring"), 1);
    world.ask(GetMemory { rkey: rkey.parse().unwrap() }).unwrap();
}

#[test]
fn an_inactive_account_makes_no_commits() {
    let mut world = World::new();
    world.ask(SetStatus { status: Status::Deactivated, handle: None }).unwrap();
    assert!(matches!(
        world.write(vec![put(WriteAction::Put, "a", "x")]),
        Err(Error::Repo(repo::Error::Inactive(_)))
    ));
    assert!(matches!(
        world.ask(Remember { memory: note("x"), dedupe: false }),
        Err(Error::Repo(repo::Error::Inactive(_)))
    ));
    world.ask(SetStatus { status: Status::Active, handle: Some("alice.test".parse().unwrap()) }).unwrap();
    world.write(vec![put(WriteAction::Put, "a", "x")]).unwrap();
}

#[test]
fn outbox_rows_are_written_over_once_they_are_safe() {
    let mut world = World::new();
    world.write(vec![put(WriteAction::Put, "a", "1")]).unwrap();
    let rows = world.count("outbox");
    world.alone.cell.outbox_synced(world.events.last().unwrap().id);
    for number in 2..2 + rows {
        world.write(vec![put(WriteAction::Put, "a", &number.to_string())]).unwrap();
    }
    assert_eq!(world.count("outbox"), rows);
    world.write(vec![put(WriteAction::Put, "a", "last")]).unwrap();
    assert_eq!(world.count("outbox"), rows + 1);
}

#[test]
fn outbox_ids_rise_though_the_clock_goes_back() {
    let mut world = World::new();
    world.write(vec![put(WriteAction::Put, "a", "1")]).unwrap();
    world.alone.now_us -= 60_000_000;
    world.restart();
    world.write(vec![put(WriteAction::Put, "a", "2")]).unwrap();
    let ids: Vec<_> = world.events.iter().map(|event| event.id).collect();
    assert!(ids.is_sorted_by(|left, right| left < right), "{ids:?}");
}

#[test]
fn a_full_disk_is_an_error_that_leaves_the_repo_whole() {
    let mut world = World::new();
    world.write(vec![put(WriteAction::Create, "before", "there is room")]).unwrap();
    let limit_pages = |world: &World, pages: i64| {
        let connection = world.alone.disk.database().connection();
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    let used = |world: &World| {
        let connection = world.alone.disk.database().connection();
        connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    limit_pages(&world, used(&world) + 4);
    let text = "x".repeat(3_000);
    let mut kept = 1;
    let error = loop {
        match world.write(vec![put(WriteAction::Create, &format!("more{kept}"), &text)]) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Sql(crate::store::SqlError::Full));
    // As the host does: the cell is opened anew.
    world.restart();
    assert_eq!(world.count("record"), kept);
    limit_pages(&world, 1_000_000);
    world.write(vec![put(WriteAction::Create, "after", &text)]).unwrap();
    let head = Head::read(&world.alone.disk).unwrap().unwrap();
    let stats = repo_mst::verify_tree(&crate::repo::Nodes(&world.alone.disk), &head.data).unwrap();
    assert_eq!(stats.records as i64, kept + 1);
}

#[test]
fn a_commit_too_large_for_one_event_is_the_writers_mistake() {
    let large = |bytes: usize| {
        let writes = (0..200).map(|number| {
            // Long keys: what the operations take comes on top of the blocks.
            let rkey = format!("{number:0>400}");
            put(WriteAction::Create, &rkey, &format!("{number:0>0$}", bytes / 200))
        });
        writes.collect::<Vec<_>>()
    };
    let mut refused = 0;
    for bytes in (1_500_000..2_100_000).step_by(20_000) {
        match World::new().write(large(bytes)) {
            Ok(_) => assert_eq!(refused, 0, "{bytes} bytes fit, and fewer did not"),
            Err(Error::Repo(repo::Error::InvalidWrites(_))) => refused += 1,
            Err(other) => panic!("{bytes} bytes: {other}"),
        }
    }
    assert!((1..29).contains(&refused), "{refused}");
}

#[test]
fn an_account_fills_its_day_and_no_more_and_forgets_all_the_same() {
    let mut world = World::new();
    world.write(vec![put(WriteAction::Create, "a", "text")]).unwrap();
    let full = crate::limits::EVENT_BYTES_A_DAY_MAX.to_string();
    let statement = format!("UPDATE head SET sent_bytes = {full} - 2000");
    crate::store::Sql::execute(&world.alone.disk, &statement, &[]).unwrap();
    world.restart();
    let mut written = 0;
    let refused = loop {
        match world.write(vec![put(WriteAction::Create, &format!("b{written}"), "text")]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Repo(repo::Error::DayIsFull)), "{refused}");
    assert!((1..4).contains(&written), "{written} writes fit into 2000 bytes");
    world.restart();
    world.write(vec![put(WriteAction::Create, "c", "text")]).unwrap_err();
    world.write(vec![delete("a")]).unwrap();
    let statement = format!("UPDATE head SET sent_bytes = 2 * {full}");
    crate::store::Sql::execute(&world.alone.disk, &statement, &[]).unwrap();
    world.restart();
    let refused = world.write(vec![delete("b0")]);
    assert!(matches!(refused, Err(Error::Repo(repo::Error::DayIsFull))), "deletions are events too");
    world.alone.now_us += 86_400_000_000;
    world.write(vec![put(WriteAction::Create, "c", "text")]).unwrap();
    world.write(vec![delete("b0")]).unwrap();
}

#[test]
fn an_unreferenced_upload_expires_and_a_referenced_one_stays() {
    let mut world = World::new();
    let [used, unused] = ["used", "unused"].map(|text| repo_mst::cid_for_raw(text.as_bytes()));
    for cid in [used, unused] {
        world.ask(AddBlob { cid, mime: "image/png".into(), bytes: 4 }).unwrap();
    }
    let claim = BlobClaim { cid: used, mime: "image/png".into(), bytes: 4 };
    world.write(vec![Write { blobs: vec![claim], ..put(WriteAction::Create, "a", "picture") }]).unwrap();
    let expire = ExpireBlobs { before_us: world.alone.now_us + 1, limit: 10 };
    assert_eq!(world.ask(expire.clone()).unwrap(), [unused]);
    assert!(world.ask(GetBlobMeta { cid: used }).unwrap().is_some());
    // Its record gone, nothing refers to it any more.
    world.write(vec![delete("a")]).unwrap();
    assert!(world.ask(GetBlobMeta { cid: used }).unwrap().is_none());
    assert_eq!(world.ask(expire).unwrap(), [used]);
}

/// What breaks: a cell that sleeps between its requests, as those on Cloudflare do, reads all it has for each of them.
#[test]
fn a_cell_that_wakes_keeps_a_memory_without_reading_the_others() {
    const MEMORIES: usize = 300;
    let mut world = World::new();
    for number in 0..MEMORIES {
        world.remember(&format!("memory {number}"));
    }
    let known = Remember { memory: note("memory 7"), dedupe: true };
    let new = Remember { memory: note("something new"), dedupe: true };
    for (remember, kept) in [(known, Kept::Duplicate), (new, Kept::Created)] {
        crate::outbox::clear(&world.alone.disk, i64::MAX >> 11).unwrap(); // As there is nothing in it at rest.
        let before = world.alone.disk.rows();
        world.restart();
        assert_eq!(world.ask(remember).unwrap().kept, kept);
        let read = world.alone.disk.rows() - before;
        assert!(read < 40, "{read} rows");
    }
    let nodes = "SELECT count(*) FROM node WHERE settled = 0";
    let counted = crate::store::query_first(&world.alone.disk, nodes, &[], |row| row.integer(0)).unwrap();
    assert!(counted.unwrap() > 20, "{counted:?} nodes that an opening would have to count");
    assert_eq!(crate::repo::apply::new_nodes(&world.alone.disk).unwrap(), counted.unwrap().unsigned_abs());
}

#[test]
fn another_master_key_opens_nothing() {
    let mut world = World::new();
    world.alone.network.master_key = MasterKey::from_bytes([8; 32]);
    assert!(matches!(world.alone.restart(), Err(Error::Vault(_))));
}

#[test]
fn an_exported_repo_is_whole() {
    let mut world = World::new();
    for number in 0..300 {
        world
            .write(vec![put(WriteAction::Create, &format!("k{number}"), &format!("text {number}"))])
            .unwrap();
    }
    let nodes = world.count("node");
    let mut export = Export::begin(&world.alone.disk, None).unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = export.next_chunk(&world.alone.disk).unwrap() {
        bytes.extend(chunk);
    }
    assert_is_repo_of(&world, &bytes, 300, nodes);
}

#[test]
fn an_export_with_writes_in_between_is_the_repo_as_it_was() {
    let mut world = World::new();
    let text = "x".repeat(300);
    for number in 0..1_500 {
        world
            .write(vec![put(WriteAction::Create, &format!("k{number:04}"), &format!("{number}{text}"))])
            .unwrap();
    }
    let nodes = world.count("node");
    world.alone.cell.keep_replaced(true);
    let mut export = Export::begin(&world.alone.disk, None).unwrap();
    let (mut bytes, mut chunks) = (Vec::new(), 0);
    while let Some(chunk) = export.next_chunk(&world.alone.disk).unwrap() {
        bytes.extend(chunk);
        chunks += 1;
        for number in 0..20 {
            let (old, new) =
                (format!("k{:04}", (chunks * 97 + number * 61) % 1_500), format!("n{chunks}-{number}"));
            world.write(vec![put(WriteAction::Create, &new, "new")]).unwrap();
            world.write(vec![put(WriteAction::Put, &old, "other")]).unwrap();
            world.write(vec![Write { action: WriteAction::DeleteIfPresent, ..delete(&old) }]).unwrap();
            export.keep(&std::mem::take(&mut world.replaced)).unwrap();
        }
    }
    assert!(chunks > 5, "{chunks} chunks: too few for writes to come in between");
    assert_is_repo_of(&world, &bytes, 1_500, nodes);
}

/// The CAR holds one whole repo with these counts, and no block twice.
fn assert_is_repo_of(world: &World, bytes: &[u8], records: u64, nodes: i64) {
    let limits = repo_mst::car::CarLimits {
        header_bytes: 1_000,
        section_bytes: 2_000_000,
        total_bytes: 100_000_000,
        blocks: 10_000,
    };
    let car = repo_mst::car::read_all(bytes, limits).unwrap();
    let count = car.blocks.len();
    let blocks: repo_mst::MemoryBlocks = car.blocks.into_iter().collect();
    assert_eq!(count, blocks.len(), "a block is there twice");
    let commit = repo_mst::commit::Commit::decode(blocks.get(&car.roots[0]).unwrap()).unwrap();
    world.key.verify(&commit.unsigned().encode(), &commit.sig).unwrap();
    let stats = repo_mst::verify_tree(&blocks, &commit.data).unwrap();
    assert_eq!((stats.records, stats.nodes as i64), (records, nodes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any history: each event inverts, the rows are exactly the tree's, and a restart changes nothing.
    #[test]
    fn any_history_is_followed(steps in prop::collection::vec(
        (prop::collection::vec((0_u8..24, any::<bool>(), 0_u8..4), 1..6), any::<bool>()), 1..25)) {
        let mut world = World::new();
        for (writes, restart) in steps {
            let writes = writes.into_iter().map(|(key, remove, text)| {
                let rkey = format!("key{key}");
                if remove {
                    Write { action: WriteAction::DeleteIfPresent, ..delete(&rkey) }
                } else {
                    put(WriteAction::Put, &rkey, &format!("text {text}"))
                }
            });
            // Two writes to one key are refused; that too must leave no trace.
            let _ = world.write(writes.collect());
            if restart {
                world.restart();
            }
        }
        let head = Head::read(&world.alone.disk).unwrap().unwrap();
        let nodes = crate::repo::Nodes(&world.alone.disk);
        let stats = repo_mst::verify_tree(&nodes, &head.data).unwrap();
        prop_assert_eq!(stats.nodes as i64, world.count("node"));
        prop_assert_eq!(stats.records as i64, world.count("record"));
    }
}
