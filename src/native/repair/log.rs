//! The event log, rebuilt from the events that can be read.

use std::path::PathBuf;

use super::place::{failed, remove, take_place};
use super::rebuild::salvage;
use super::{EVENTS_PAGE, RepairError};
use crate::event::SEQ_LIMIT;
use crate::native::files::{Files, is_there};
use crate::native::label::{self, Part};
use crate::native::sql::{Database, Durability};
use crate::sequencer::{Sequencer, after_damage, for_each_event};
use crate::store::{SqlError, in_transaction};

/// No event has a higher number.
const LAST: i64 = SEQ_LIMIT - 1;

/// What a rebuilt log came to.
#[derive(Debug)]
pub struct RebuiltLog {
    /// Events in it.
    pub events: u64,
    /// Parts that could not be read: after the one number, up to the other.
    pub lost: Vec<(i64, i64)>,
    /// Where the damaged log went, if there was one.
    pub damaged: Option<PathBuf>,
}

/// Rebuilds the event log from the events that can be read; where there is none, begins a new one.
///
/// # Errors
/// [`RepairError`]; then the log is as it was.
pub fn rebuild_log(files: &Files, progress: &mut dyn FnMut(u64)) -> Result<RebuiltLog, RepairError> {
    let file = files.sequencer();
    let half_made = file.with_extension("rebuilt");
    remove(&half_made)?;
    let new = Database::open(&half_made, Durability::Full)?;
    Sequencer::load(&new)?;
    label::claim(&new, files.network(), Part::Sequencer)?;
    let mut rebuilt = RebuiltLog { events: 0, lost: Vec::new(), damaged: None };
    if is_there(&file) {
        let old = Database::open_read_only(&file)?;
        in_transaction(&new, || -> Result<(), SqlError> {
            salvage(&old, &new, "source", "id")?;
            new.connection().execute("DELETE FROM head", []).map_err(failed)?;
            salvage(&old, &new, "head", "id")?;
            let head = "INSERT OR IGNORE INTO head (id, last_seq, expired_seq) VALUES (1, 0, 0)";
            new.connection().execute(head, []).map_err(failed)?;
            copy_events(&old, &new, &mut rebuilt, progress)
        })
        .inspect_err(|_| drop(remove(&half_made)))?;
    }
    new.checkpoint()?;
    drop(new);
    let had = file.exists();
    let damaged = take_place(&half_made, &file)?;
    rebuilt.damaged = had.then_some(damaged);
    Ok(rebuilt)
}

fn copy_events(
    old: &Database,
    new: &Database,
    rebuilt: &mut RebuiltLog,
    progress: &mut dyn FnMut(u64),
) -> Result<(), SqlError> {
    let mut cursor = 0;
    loop {
        let mut copied = Ok(());
        let begun = cursor;
        let read = for_each_event(old, cursor, EVENTS_PAGE, u64::MAX, &mut |seq, _, _| {
            if copied.is_ok() {
                copied = copy_event(old, new, seq);
                cursor = seq;
                rebuilt.events += 1;
            }
        });
        copied?;
        progress(rebuilt.events);
        match read {
            Ok(()) if cursor == begun => return Ok(()),
            Ok(()) => {}
            Err(_) => {
                // Not up to now: a clock that was set back is behind the log.
                let resume = after_damage(old, cursor, LAST);
                if resume > cursor {
                    rebuilt.lost.push((cursor, resume));
                } else if resume == LAST {
                    return Ok(());
                }
                cursor = resume;
            }
        }
    }
}

fn copy_event(old: &Database, new: &Database, seq: i64) -> Result<(), SqlError> {
    let select = "SELECT source, kind, frame FROM event WHERE seq = ?";
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
    };
    let mut statement = old.connection().prepare_cached(select).map_err(failed)?;
    let (source, kind, frame) = statement.query_row([seq], read).map_err(failed)?;
    let insert = "INSERT INTO event (seq, source, kind, frame) VALUES (?, ?, ?, ?)";
    let mut statement = new.connection().prepare_cached(insert).map_err(failed)?;
    statement.execute((seq, source, kind, frame)).map(|_| ()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, IdentityEvent};
    use crate::sequencer::OutboxEvent;
    use crate::store::Sql as _;

    fn event(outbox_id: i64) -> OutboxEvent {
        let did = "did:web:a.test";
        let frame = IdentityEvent { did, time: "2026-11-23T00:00:00.000Z", handle: None }.encode();
        OutboxEvent { did: did.parse().unwrap(), outbox_id, kind: EventKind::Identity, frame }
    }

    /// A log of ten events, of an hour that is still to come; `damage` is done to it.
    fn rebuild(damage: &str) -> Result<RebuiltLog, RepairError> {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let log = Database::open(&files.sequencer(), Durability::Full).unwrap();
        let mut cell = Sequencer::load(&log).unwrap();
        let ahead_us = crate::native::clock::now_us() + 3_600_000_000;
        cell.append(&log, ahead_us, &mut (1..=10).map(event).collect::<Vec<_>>()).unwrap();
        log.script(damage).unwrap();
        drop(log);
        rebuild_log(&files, &mut |_| {})
    }

    /// What breaks: after the clock was set back, the log is copied from its beginning again, and not rebuilt.
    #[test]
    fn a_log_ahead_of_the_clock_is_rebuilt_around_its_damage() {
        let damage =
            "UPDATE event SET kind = 99 WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT 3 OFFSET 4)";
        let rebuilt = rebuild(damage).unwrap();
        assert_eq!((rebuilt.events, rebuilt.lost.len()), (7, 1));
        let rebuilt = rebuild("UPDATE event SET kind = 99").unwrap();
        assert_eq!((rebuilt.events, rebuilt.lost.len()), (0, 1));
    }

    /// What breaks: it goes on for ever.
    #[test]
    fn a_log_without_a_readable_event_is_begun_anew() {
        let rebuilt = rebuild("DROP TABLE event").unwrap();
        assert_eq!((rebuilt.events, rebuilt.lost.len()), (0, 1));
    }
}
