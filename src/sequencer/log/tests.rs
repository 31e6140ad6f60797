use super::*;
use crate::event::{AccountEvent, Event, IdentityEvent};
use crate::native::sql::{Database, Durability};
use crate::testing::{Disk, DiskFault};

const NOW: i64 = 1_790_000_000_000_000;

fn event(did: &str, outbox_id: i64) -> OutboxEvent {
    let frame = IdentityEvent { did, time: "2026-11-23T00:00:00.000Z", handle: None }.encode();
    OutboxEvent { did: did.parse().unwrap(), outbox_id, kind: EventKind::Identity, frame }
}

fn deletion(did: &str, outbox_id: i64) -> OutboxEvent {
    let body = AccountEvent { did, time: "2026-11-23T00:00:00.000Z", active: false, status: Some("deleted") };
    OutboxEvent { did: did.parse().unwrap(), outbox_id, kind: EventKind::Account, frame: body.encode() }
}

fn seqs(sql: &dyn Sql, cursor: i64) -> Vec<i64> {
    let page = page(sql, &Read { cursor, limit: 1000, bytes_max: u64::MAX }).unwrap();
    for event in &page.events {
        assert_eq!(Event::decode(&event.frame).unwrap().seq(), Some(event.seq), "the frame says its number");
    }
    page.events.iter().map(|event| event.seq).collect()
}

fn expire(sql: &dyn Sql, before_us: i64, limit: u32) -> u64 {
    remove_old(sql, &Expire { before_us, limit }).unwrap()
}

#[test]
fn a_repeated_drain_adds_nothing() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch = [event("did:web:a", 1), event("did:web:b", 1), event("did:web:a", 2)];
    assert_eq!(cell.append(&sql, NOW, &mut batch).unwrap(), [Some(NOW), Some(NOW + 1), Some(NOW + 2)]);
    assert_eq!(cell.append(&sql, NOW + 9, &mut batch).unwrap(), [None, None, None]);
    let mut more = [event("did:web:a", 2), event("did:web:a", 3)];
    assert_eq!(cell.append(&sql, NOW + 9, &mut more).unwrap(), [None, Some(NOW + 9)]);
    assert_eq!(seqs(&sql, 0), [NOW, NOW + 1, NOW + 2, NOW + 9]);
    assert_eq!(seqs(&sql, NOW + 1), [NOW + 2, NOW + 9]);
}

#[test]
fn seq_never_goes_back() {
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("sequencer.sqlite");
    let sql = Database::open(&path, Durability::Normal).unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    assert_eq!(cell.append(&sql, NOW, &mut [event("did:web:a", 1)]).unwrap(), [Some(NOW)]);
    // The clock was set back an hour.
    assert_eq!(
        cell.append(&sql, NOW - 3_600_000_000, &mut [event("did:web:a", 2)]).unwrap(),
        [Some(NOW + 1)]
    );
    // Everything expired, and the process started again.
    assert_eq!(expire(&sql, NOW + 2, 100), 2);
    drop(sql);
    let sql = Database::open(&path, Durability::Normal).unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    assert_eq!(cell.append(&sql, 5, &mut [event("did:web:a", 3)]).unwrap(), [Some(NOW + 2)]);
    assert_eq!(head(&sql).unwrap(), Head { last_seq: NOW + 2, expired_seq: NOW + 1 });
}

#[test]
fn a_number_stays_below_2_to_the_53() {
    assert_eq!(next_seq(0, 0), Ok(SEQ_MIN));
    assert_eq!(next_seq(SEQ_LIMIT - 2, 0), Ok(SEQ_LIMIT - 1));
    assert_eq!(next_seq(SEQ_LIMIT - 1, 0), Err(Error::Exhausted));
    assert_eq!(next_seq(i64::MAX, 0), Err(Error::Exhausted));
    assert_eq!(next_seq(0, i64::MAX), Err(Error::Exhausted));
}

#[test]
fn a_failed_append_leaves_no_trace_and_can_be_repeated() {
    for writes in 0.. {
        let sql = Disk::default();
        let mut cell = Sequencer::load(&sql).unwrap();
        cell.append(&sql, NOW, &mut [event("did:web:a", 1)]).unwrap();
        let mut batch = [event("did:web:a", 2), deletion("did:web:a", 3)];
        sql.fail_after(writes, DiskFault::Full);
        if cell.append(&sql, NOW, &mut batch).is_ok() {
            assert!(writes > 4, "only {writes} writes");
            return;
        }
        assert_eq!(seqs(&sql, 0), [NOW]);
        assert_eq!(cell.append(&sql, NOW, &mut batch).unwrap(), [Some(NOW + 1), Some(NOW + 2)]);
    }
}

#[test]
fn expiry_is_bounded_and_marks_what_is_gone() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch: Vec<_> = (1..=10).map(|id| event("did:web:a", id)).collect();
    cell.append(&sql, NOW, &mut batch).unwrap();
    assert_eq!(expire(&sql, NOW + 5, 3), 3);
    assert_eq!(head(&sql).unwrap().expired_seq, NOW + 2);
    assert_eq!(expire(&sql, NOW + 5, 3), 2);
    assert_eq!(expire(&sql, NOW + 5, 3), 0);
    assert_eq!(head(&sql).unwrap(), Head { last_seq: NOW + 9, expired_seq: NOW + 4 });
    assert_eq!(seqs(&sql, 0).first(), Some(&(NOW + 5)));
}

#[test]
fn a_deleted_account_keeps_only_its_deletion() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch: Vec<_> = (1..=5).map(|id| event("did:web:a", id)).collect();
    batch.extend([event("did:web:b", 1), deletion("did:web:a", 6), event("did:web:a", 7)]);
    cell.append(&sql, NOW, &mut batch).unwrap();
    assert_eq!(expire(&sql, 0, 3), 3);
    assert_eq!(expire(&sql, 0, 3), 2);
    assert_eq!(expire(&sql, 0, 3), 0);
    assert_eq!(seqs(&sql, 0), [NOW + 5, NOW + 6, NOW + 7]);
    // A deletion is no expiry: nobody's cursor became outdated.
    assert_eq!(head(&sql).unwrap().expired_seq, 0);
    // A new life under the same DID is not removed.
    cell.append(&sql, NOW, &mut [event("did:web:a", 8)]).unwrap();
    assert_eq!(expire(&sql, 0, 3), 0);
}

#[test]
fn a_page_stops_at_its_bytes() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch: Vec<_> = (1..=10).map(|id| event("did:web:a", id)).collect();
    cell.append(&sql, NOW, &mut batch).unwrap();
    let size = batch[0].frame.bytes().len() as u64;
    let read = |limit, bytes_max| page(&sql, &Read { cursor: 0, limit, bytes_max }).unwrap().events.len();
    assert_eq!(read(100, size * 3), 3);
    assert_eq!(read(100, 1), 1);
    assert_eq!(read(4, u64::MAX), 4);
}
