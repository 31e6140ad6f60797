use super::super::{Append, Change, Command, GetLastCommits, NoteLastCommits, Query, Reply, Sequencer};
use super::*;
use crate::event::{CommitEvent, IdentityEvent, SyncEvent};
use crate::native::sql::Database;

const NOW: i64 = 1_790_000_000_000_000;
const TIME: &str = "2026-11-23T00:00:00.000Z";
const REVS: [&str; 3] = ["3lpxqs2aaaa22", "3lpxqs2aaaa23", "3lpxqs2aaaa24"];

fn commit(name: &[u8], rev: &str) -> CommitMeta {
    CommitMeta { cid: repo_mst::cid_for_cbor(name), rev: Tid::try_from(rev).unwrap() }
}

fn committed(did: &Did, outbox_id: i64, commit: &CommitMeta) -> OutboxEvent {
    let body = CommitEvent {
        repo: did.as_str(),
        time: TIME,
        rev: commit.rev.as_str(),
        since: None,
        commit: commit.cid,
        prev_data: None,
        blocks: b"",
        ops: Vec::new(),
    };
    OutboxEvent { did: did.clone(), outbox_id, kind: EventKind::Commit, frame: body.encode() }
}

fn synced(did: &Did, outbox_id: i64, block: &[u8], rev: &str) -> OutboxEvent {
    let mut blocks = repo_mst::car::header(&[repo_mst::cid_for_cbor(block)]);
    repo_mst::car::write_block(&mut blocks, &repo_mst::cid_for_cbor(block), block);
    let body = SyncEvent { did: did.as_str(), time: TIME, rev, blocks: &blocks };
    OutboxEvent { did: did.clone(), outbox_id, kind: EventKind::Sync, frame: body.encode() }
}

fn ask(cell: &mut Sequencer, sql: &Database, dids: &[&Did]) -> Vec<Option<CommitMeta>> {
    let dids = dids.iter().map(|did| (*did).clone()).collect();
    match cell.handle(sql, NOW, Command::Query(Query::GetLastCommits(GetLastCommits { dids }))).unwrap() {
        Reply::GetLastCommits(commits) => commits,
        _ => panic!("another answer"),
    }
}

fn change(cell: &mut Sequencer, sql: &Database, change: Change) {
    cell.handle(sql, NOW, Command::Change(change)).unwrap();
}

#[test]
fn the_last_commit_told_of_is_known_and_outlives_its_event() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let [alice, bob]: [Did; 2] = ["did:web:alice.test", "did:web:bob.test"].map(|did| did.parse().unwrap());
    let [first, second] = [commit(b"1", REVS[0]), commit(b"2", REVS[1])];
    assert_eq!(ask(&mut cell, &sql, &[&alice, &bob]), [None, None]);

    let events = vec![committed(&alice, 1, &first), committed(&alice, 2, &second)];
    change(&mut cell, &sql, Change::Append(Append { events }));
    assert_eq!(ask(&mut cell, &sql, &[&bob, &alice]), [None, Some(second)]);
    // A drain that is repeated takes nothing back, and an event of another kind tells of no commit.
    let identity = IdentityEvent { did: alice.as_str(), time: TIME, handle: None }.encode();
    let identity =
        OutboxEvent { did: alice.clone(), outbox_id: 3, kind: EventKind::Identity, frame: identity };
    change(&mut cell, &sql, Change::Append(Append { events: vec![committed(&alice, 1, &first), identity] }));
    assert_eq!(ask(&mut cell, &sql, &[&alice]), [Some(second)]);

    let events = vec![synced(&alice, 4, b"3", REVS[2])];
    change(&mut cell, &sql, Change::Append(Append { events }));
    change(
        &mut cell,
        &sql,
        Change::Expire(super::super::Expire { before_us: i64::MAX >> 12, bytes_max: u64::MAX, limit: 100 }),
    );
    assert_eq!(ask(&mut cell, &sql, &[&alice]), [Some(commit(b"3", REVS[2]))]);
}

#[test]
fn what_a_cell_said_is_noted_only_where_the_log_has_heard_nothing_and_hinders_no_event() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let did: Did = "did:web:alice.test".parse().unwrap();
    let [first, second, third] = [0, 1, 2].map(|at| commit(&[at], REVS[usize::from(at)]));
    let note = |commit| Change::NoteLastCommits(NoteLastCommits { commits: vec![(did.clone(), commit)] });
    change(&mut cell, &sql, note(first));
    assert_eq!(ask(&mut cell, &sql, &[&did]), [Some(first)]);
    change(&mut cell, &sql, Change::Append(Append { events: vec![committed(&did, 1, &second)] }));
    change(&mut cell, &sql, note(third));
    assert_eq!(ask(&mut cell, &sql, &[&did]), [Some(second)]);
}
