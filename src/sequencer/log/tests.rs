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
    let expire = Expire { before_us, bytes_max: u64::MAX, limit };
    Sequencer::load(sql).unwrap().remove_old(sql, &expire).unwrap()
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
    let bytes = cell.bytes();
    let mut step = |limit| {
        let expire = Expire { before_us: 0, bytes_max: u64::MAX, limit };
        cell.remove_old(&sql, &expire).unwrap()
    };
    // A walk in steps, of which the host asks for more while the limit is used up.
    assert_eq!(step(1), 1);
    assert_eq!(seqs(&sql, 0).len(), 4);
    assert_eq!(step(1), 1);
    assert_eq!(step(1), 0);
    assert_eq!(seqs(&sql, 0), [NOW + 5, NOW + 6, NOW + 7]);
    assert_eq!(step(3), 0);
    let gone: u64 = batch[..5].iter().map(|event| event.frame.bytes().len() as u64).sum();
    assert_eq!(cell.bytes(), bytes - gone);
    // A deletion is no expiry: nobody's cursor became outdated.
    assert_eq!(head(&sql).unwrap().expired_seq, 0);
    // A new life under the same DID is not removed.
    cell.append(&sql, NOW, &mut [event("did:web:a", 8)]).unwrap();
    assert_eq!(expire(&sql, 0, 3), 0);
    assert_eq!(seqs(&sql, 0).len(), 4);
}

#[test]
fn who_is_deleted_while_another_is_removed_is_removed_next() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch: Vec<_> =
        (1..=10).flat_map(|id| [event("did:web:a", id), event("did:web:b", id)]).collect();
    batch.push(deletion("did:web:a", 11));
    cell.append(&sql, NOW, &mut batch).unwrap();
    let mut late = Some(deletion("did:web:b", 11));
    for _ in 0..20 {
        let expire = Expire { before_us: 0, bytes_max: u64::MAX, limit: 2 };
        cell.remove_old(&sql, &expire).unwrap();
        if let Some(late) = late.take() {
            cell.append(&sql, NOW, &mut [late]).unwrap();
        }
    }
    assert_eq!(seqs(&sql, 0), [NOW + 20, NOW + 21]);
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

#[test]
fn a_reader_goes_on_right_after_what_can_not_be_read() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    for id in 1..=100 {
        cell.append(&sql, NOW + id * 1_000_000, &mut [event("did:web:a", id)]).unwrap();
    }
    let at = |id: i64| NOW + id * 1_000_000;
    let (first, last) = (Value::Integer(at(41)), Value::Integer(at(60)));
    sql.execute("UPDATE event SET kind = 99 WHERE seq BETWEEN ? AND ?", &[first, last]).unwrap();
    assert!(for_each_event(&sql, at(40), 1, u64::MAX, &mut |_, _, _| {}).is_err());
    assert_eq!(after_damage(&sql, at(40), at(100)), at(60));
    assert_eq!(seqs(&sql, at(60)).len(), 40);
    // At the end there is nothing more to read.
    sql.execute("UPDATE event SET kind = 99 WHERE seq > ?", &[Value::Integer(at(90))]).unwrap();
    assert_eq!(after_damage(&sql, at(90), at(100)), at(100));
}

#[test]
fn the_oldest_events_of_a_log_over_its_bytes_expire() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch: Vec<_> = (1..=10).map(|id| event("did:web:a", id)).collect();
    cell.append(&sql, NOW, &mut batch).unwrap();
    let size = batch[0].frame.bytes().len() as u64;
    assert_eq!(cell.bytes(), 10 * size);
    let by_bytes = |limit| Expire { before_us: 0, bytes_max: 4 * size, limit };
    assert_eq!(cell.remove_old(&sql, &by_bytes(4)).unwrap(), 4, "in bounded steps");
    assert_eq!(cell.remove_old(&sql, &by_bytes(4)).unwrap(), 2);
    assert_eq!(cell.remove_old(&sql, &by_bytes(4)).unwrap(), 0);
    assert_eq!(cell.bytes(), 4 * size);
    assert_eq!(head(&sql).unwrap(), Head { last_seq: NOW + 9, expired_seq: NOW + 5 });
    assert_eq!(seqs(&sql, 0), [NOW + 6, NOW + 7, NOW + 8, NOW + 9]);
}

#[test]
fn the_bytes_of_a_log_are_known_in_each_of_its_lives() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut outbox_id = 0;
    let mut append = |cell: &mut Sequencer, did, count| {
        let mut batch: Vec<_> = (outbox_id + 1..=outbox_id + count).map(|id| event(did, id)).collect();
        outbox_id += count;
        cell.append(&sql, NOW, &mut batch).unwrap();
    };
    let stored = || seqs_bytes(&sql);
    append(&mut cell, "did:web:a", 7);
    assert_eq!(Sequencer::load(&sql).unwrap().bytes(), stored());
    expire(&sql, NOW + 3, 100);
    let mut cell = Sequencer::load(&sql).unwrap();
    append(&mut cell, "did:web:b", 5);
    cell.append(&sql, NOW, &mut [deletion("did:web:a", 100)]).unwrap();
    assert_eq!((cell.bytes(), Sequencer::load(&sql).unwrap().bytes()), (stored(), stored()));
    while cell.remove_old(&sql, &Expire { before_us: 0, bytes_max: u64::MAX, limit: 2 }).unwrap() > 0 {
        assert_eq!((cell.bytes(), Sequencer::load(&sql).unwrap().bytes()), (stored(), stored()));
    }
    // A failed append counts for nothing.
    assert!(cell.append(&sql, i64::MAX, &mut [event("did:web:b", 200)]).is_err());
    assert_eq!(cell.bytes(), stored());
}

fn seqs_bytes(sql: &dyn Sql) -> u64 {
    let page = page(sql, &Read { cursor: 0, limit: 1000, bytes_max: u64::MAX }).unwrap();
    page.events.iter().map(|event| event.frame.len() as u64).sum()
}

/// A log of which a query of some kind can't be answered now.
struct Failing<'a>(&'a Database, &'static str, SqlError);

impl Sql for Failing<'_> {
    fn execute(&self, statement: &str, params: &[Value<'_>]) -> Result<(), SqlError> {
        self.0.execute(statement, params)
    }

    fn execute_counted(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, SqlError> {
        self.0.execute_counted(statement, params)
    }

    fn query(
        &self,
        statement: &str,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&dyn crate::store::Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        if statement.contains(self.1) { Err(self.2.clone()) } else { self.0.query(statement, params, each) }
    }

    fn script(&self, statements: &str) -> Result<(), SqlError> {
        self.0.script(statements)
    }

    fn transaction(&self, body: &mut dyn FnMut() -> bool) -> Result<(), SqlError> {
        self.0.transaction(body)
    }
}

/// What breaks: a log that could not be counted at one start grows to twice its bound, for good.
#[test]
fn a_log_is_counted_as_empty_only_where_it_is_damaged() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    cell.append(&sql, NOW, &mut [event("did:web:a", 1)]).unwrap();
    let for_now = SqlError::Other("disk I/O error".to_owned());
    let refused = Sequencer::load(&Failing(&sql, "sum(length(frame))", for_now.clone())).map(|_| ());
    assert_eq!(refused, Err(Error::Sql(for_now)));
    let damaged = SqlError::Corrupt("malformed".to_owned());
    assert_eq!(Sequencer::load(&Failing(&sql, "sum(length(frame))", damaged)).unwrap().bytes(), 0);
    assert_eq!(Sequencer::load(&sql).unwrap().bytes(), cell.bytes());
}

/// What breaks: an event that could be read a moment later is passed over, and its reader told that it is lost.
#[test]
fn a_reader_is_led_past_what_is_damaged_and_past_nothing_else() {
    let sql = Database::in_memory().unwrap();
    let mut cell = Sequencer::load(&sql).unwrap();
    let mut batch: Vec<_> = (1..=9).map(|id| event("did:web:a", id)).collect();
    cell.append(&sql, NOW, &mut batch).unwrap();
    assert_eq!(after_damage(&sql, NOW, NOW + 8), NOW);
    sql.script(&format!("UPDATE event SET kind = 99 WHERE seq BETWEEN {NOW} + 3 AND {NOW} + 5")).unwrap();
    assert_eq!(after_damage(&sql, NOW + 2, NOW + 8), NOW + 5);
    assert_eq!(after_damage(&sql, NOW + 2, NOW + 4), NOW + 4, "no further than it is asked");
    assert_eq!(after_damage(&sql, NOW + 2, NOW), NOW + 2, "and never back");
}
