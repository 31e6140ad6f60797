//! The only way out of a cell: events for the sequencer, and all else that the host has to do.
//!
//! What must leave is written to the outbox in the command's own transaction, and handed to the host in [`Effects`] so
//! that the host need not read it back. After a crash the host reads what is left ([`PendingOutbox`]).
//!
//! Ids rise strictly, also after a restore from a backup: the next is `max(last + 1, now)`.
//!
//! Tricky bit: a few rows are kept and written over once the sequencer has what they hold, since a row that comes and goes
//! costs a commit a third of its pages (the row's own, those above it, the list of free ones). So a row may still be there
//! though its event is safe; the sequencer, which knows the ids, takes none twice. All but the first go when they have not
//! been written over for a minute, with the next event. What is large, and what finds no such row, has a row of its own.

mod command;
pub mod drain;

pub use command::{Change, Command, OutboxRow, PendingOutbox, Query, Reply};

use crate::event::{EventKind, Frame};
use crate::limits::OUTBOX_BATCH_BYTES_MAX;
use crate::store::{Sql, SqlError, Value, query_first};

/// What the host has to do after the transaction is on disk. Everything that leaves a cell is a lane of this.
#[derive(Debug, Default)]
pub struct Effects {
    /// Events for the sequencer, already in the outbox.
    pub events: Vec<OutboxRow>,
    /// The cell wants to be woken at this time at the latest: microseconds since the Unix epoch.
    pub wake_us: Option<i64>,
}

impl Effects {
    /// Asks to be woken at `at_us` at the latest.
    pub fn wake_at(&mut self, at_us: i64) {
        self.wake_us = Some(self.wake_us.map_or(at_us, |other| other.min(at_us)));
    }
}

/// Rows that are written over: about what one account can write until the sequencer has synced, which it does some ten times
/// a second. Their slots are below this, the lowest first; the slot of any other row is its event's id.
const SLOTS: usize = 64;

/// How long a row is kept to be written over: as long as a burst may pause, and not as long as what is in it is missed where
/// it was deleted.
const SLOT_KEPT_US: i64 = 60_000_000;

/// The longest frame that is put into one of them, so that little stays behind in an account that rests.
const SLOT_BYTES_MAX: usize = 8 << 10;

/// A cell's outbox, as its writer knows it.
#[derive(Debug)]
pub struct Outbox {
    /// The newest id given.
    last: i64,
    /// Rows up to here are safe at the sequencer.
    synced: i64,
    /// The newest event of each slot.
    slots: [i64; SLOTS],
    /// The newest event that has a row of its own, while it may be there.
    own: Option<i64>,
    /// What commands since the last [`Outbox::take_effects`] leave to the host.
    pub effects: Effects,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { last: 0, synced: 0, slots: [0; SLOTS], own: None, effects: Effects::default() }
    }
}

impl Outbox {
    /// Reads where the ids stand; `floor` is a time they are above in any case, for the outbox may have been emptied and
    /// the clock may stand behind what it was.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn open(sql: &dyn Sql, floor: i64) -> Result<Self, SqlError> {
        let mut outbox = Self::default();
        let statement = "SELECT slot, id FROM outbox WHERE slot < ?";
        sql.query(statement, &[slots()], &mut |row| {
            let slot = usize::try_from(row.integer(0)?).ok().and_then(|slot| outbox.slots.get_mut(slot));
            *slot.ok_or_else(damaged)? = row.integer(1)?;
            Ok(())
        })?;
        outbox.own = newest_own(sql)?;
        let newest = outbox.slots.into_iter().chain(outbox.own).max();
        outbox.last = newest.unwrap_or(0).max(floor);
        Ok(outbox)
    }

    /// Takes over where another outbox of this database stands; effects stay.
    pub fn adopt(&mut self, opened: Self) {
        let effects = std::mem::take(&mut self.effects);
        *self = Self { effects, ..opened };
    }

    /// Puts an event into the outbox, in place of one that the sequencer has safely.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn emit(
        &mut self,
        sql: &dyn Sql,
        now_us: i64,
        kind: EventKind,
        frame: Frame,
    ) -> Result<(), SqlError> {
        self.clear_synced(sql, now_us)?;
        let id = now_us.max(self.last.saturating_add(1));
        let fits = frame.bytes().len() <= SLOT_BYTES_MAX;
        let free = self.slots.iter().position(|held| *held <= self.synced).filter(|_| fits);
        sql.execute(
            "REPLACE INTO outbox (slot, id, kind, seq_at, frame) VALUES (?, ?, ?, ?, ?)",
            &[
                Value::Integer(free.map_or(id, |slot| slot as i64)),
                Value::Integer(id),
                Value::Integer(kind.number()),
                Value::Integer(i64::from(frame.seq_at())),
                Value::Blob(frame.bytes()),
            ],
        )?;
        match free.and_then(|slot| self.slots.get_mut(slot)) {
            Some(held) => *held = id,
            None => self.own = Some(id),
        }
        self.last = id;
        self.effects.events.push(OutboxRow { id, kind, frame });
        Ok(())
    }

    /// Removes what is safe at the sequencer, but for rows that are about to be written over.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn clear_synced(&mut self, sql: &dyn Sql, now_us: i64) -> Result<(), SqlError> {
        let before = self.synced.min(now_us.saturating_sub(SLOT_KEPT_US));
        let rest = self.slots.iter_mut().skip(1).filter(|held| (1..=before).contains(*held));
        if rest.map(|held| *held = 0).count() > 0 {
            let statement = "DELETE FROM outbox WHERE slot > 0 AND slot < ? AND id <= ?";
            sql.execute(statement, &[slots(), Value::Integer(before)])?;
        }
        if let Some(newest) = self.own {
            clear_own(sql, self.synced)?;
            self.own = Some(newest).filter(|newest| *newest > self.synced);
        }
        Ok(())
    }

    /// Goes on above `id`, which was given in a time that this database knows nothing of.
    pub fn pass(&mut self, id: i64) {
        self.last = self.last.max(id);
    }

    /// Notes that the rows up to `id` are safe at the sequencer. The next events take their place.
    pub fn note_synced(&mut self, id: i64) {
        self.synced = self.synced.max(id);
    }

    /// What the commands since the last call leave to the host.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// The transaction was undone, and what it removed is there again.
    pub fn undone(&mut self) {
        self.own = Some(self.last);
    }

    /// Runs one command; where it fails, its effects are taken back.
    pub fn undo_on_error<T, E>(&mut self, command: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let (events, wake_us) = (self.effects.events.len(), self.effects.wake_us);
        let answer = command(self);
        if answer.is_err() {
            self.effects.events.truncate(events);
            self.effects.wake_us = wake_us;
            self.undone();
        }
        answer
    }
}

/// The id of the newest event, where it is still there; 0 where it is not. Also of a database whose schema is not up to date.
///
/// # Errors
/// [`SqlError`].
pub fn newest(sql: &dyn Sql) -> Result<i64, SqlError> {
    let newest = "SELECT coalesce(max(id), 0) FROM outbox";
    Ok(query_first(sql, newest, &[], |row| row.integer(0))?.unwrap_or(0))
}

fn newest_own(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    query_first(
        sql,
        "SELECT slot FROM outbox WHERE slot >= ? ORDER BY slot DESC LIMIT 1",
        &[slots()],
        |row| row.integer(0),
    )
}

/// The id of the oldest event above `after`, which is about when it was made.
///
/// # Errors
/// [`SqlError`].
pub fn oldest(sql: &dyn Sql, after: i64) -> Result<Option<i64>, SqlError> {
    let statement = "SELECT min(id) FROM outbox WHERE id > ?";
    Ok(query_first(sql, statement, &[Value::Integer(after)], |row| row.optional_integer(0))?.flatten())
}

/// Answers a reading command.
///
/// # Errors
/// [`SqlError`].
pub fn read(sql: &dyn Sql, query: Query) -> Result<Reply, SqlError> {
    match query {
        Query::PendingOutbox(pending) => Ok(Reply::PendingOutbox(self::pending(sql, &pending)?)),
    }
}

/// The events that the sequencer may not have yet, oldest first: a batch bounded in rows and bytes.
///
/// # Errors
/// [`SqlError`].
pub fn pending(sql: &dyn Sql, pending: &PendingOutbox) -> Result<Vec<OutboxRow>, SqlError> {
    let (mut rows, mut bytes, mut full) = (Vec::new(), 0, false);
    let outcome = sql.query(
        "SELECT slot AS id, kind, seq_at, frame FROM outbox WHERE slot >= ?1 AND slot > ?2 \
         UNION ALL SELECT id, kind, seq_at, frame FROM outbox WHERE slot < ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        &[slots(), Value::Integer(pending.after), Value::Integer(i64::from(pending.limit))],
        &mut |row| {
            if bytes >= OUTBOX_BATCH_BYTES_MAX {
                full = true;
                return Err(SqlError::Limit("the batch is full".into())); // The way to end a query early.
            }
            let seq_at = u32::try_from(row.integer(2)?).map_err(|_| damaged())?;
            let frame = row.blob(3)?;
            bytes += frame.len();
            rows.push(OutboxRow {
                id: row.integer(0)?,
                kind: EventKind::from_number(row.integer(1)?).ok_or_else(damaged)?,
                frame: Frame::from_parts(frame.to_vec(), seq_at).ok_or_else(damaged)?,
            });
            Ok(())
        },
    );
    if !full {
        outcome?;
    }
    Ok(rows)
}

/// Removes the rows up to `id`, which the sequencer has safely: for a host that wants an empty outbox at rest.
///
/// # Errors
/// [`SqlError`].
pub fn clear(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.execute("DELETE FROM outbox WHERE slot < ? AND id <= ?", &[slots(), Value::Integer(id)])?;
    clear_own(sql, id)
}

fn clear_own(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.execute("DELETE FROM outbox WHERE slot >= ? AND slot <= ?", &[slots(), Value::Integer(id)])
}

fn slots() -> Value<'static> {
    Value::Integer(SLOTS as i64)
}

fn damaged() -> SqlError {
    SqlError::Corrupt("an outbox row".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::IdentityEvent;
    use crate::native::sql::Database;
    use crate::store::migrate::migrate;

    fn emit(sql: &dyn Sql, outbox: &mut Outbox, times: usize, length: usize) {
        for _ in 0..times {
            let frame = IdentityEvent { did: "did:web:a", time: &"t".repeat(length), handle: None }.encode();
            outbox.emit(sql, 1_000, EventKind::Identity, frame).unwrap();
        }
    }

    /// Rows, and those of them that are written over.
    fn rows(sql: &dyn Sql) -> (i64, i64) {
        let statement = "SELECT count(*), coalesce(sum(slot < 64), 0) FROM outbox";
        let counted = query_first(sql, statement, &[], |row| Ok((row.integer(0)?, row.integer(1)?)));
        counted.unwrap().unwrap()
    }

    fn waiting(sql: &dyn Sql, after: i64) -> Vec<i64> {
        pending(sql, &PendingOutbox { after, limit: 1_000 }).unwrap().iter().map(|row| row.id).collect()
    }

    #[test]
    fn what_is_safe_is_written_over_and_what_waits_is_not() {
        let sql = Database::in_memory().unwrap();
        migrate(&sql, crate::account::MIGRATIONS).unwrap();
        let mut outbox = Outbox::open(&sql, 0).unwrap();
        for _ in 0..100 {
            emit(&sql, &mut outbox, 1, 10);
            outbox.note_synced(outbox.last);
        }
        assert_eq!(rows(&sql), (1, 1));
        let safe = outbox.last;
        emit(&sql, &mut outbox, 100, 10);
        assert_eq!((rows(&sql), waiting(&sql, safe)), ((100, 64), (safe + 1..=safe + 100).collect()));

        // In a new life, what is safe by then and what is not; some of the rows were gone, and are taken again.
        outbox = Outbox::open(&sql, 0).unwrap();
        outbox.note_synced(safe + 80);
        emit(&sql, &mut outbox, 3, SLOT_BYTES_MAX);
        assert_eq!(rows(&sql), (64 + 20 + 3, 64), "long ones have rows of their own");
        emit(&sql, &mut outbox, 1, 10);
        assert_eq!(waiting(&sql, safe + 80), (safe + 81..=safe + 104).collect::<Vec<_>>());
        assert_eq!((newest(&sql), oldest(&sql, safe + 80)), (Ok(safe + 104), Ok(Some(safe + 81))));
        outbox.note_synced(safe + 104);
        emit(&sql, &mut outbox, 1, 10);
        assert_eq!((rows(&sql), waiting(&sql, safe + 104)), ((64, 64), vec![safe + 105]));

        // What is not written over goes, but for the first.
        outbox.clear_synced(&sql, safe + SLOT_KEPT_US).unwrap();
        assert!(rows(&sql).0 > 20, "some may be written over yet");
        emit(&sql, &mut outbox, 1, 10);
        outbox.clear_synced(&sql, outbox.last + SLOT_KEPT_US).unwrap();
        assert_eq!((rows(&sql), waiting(&sql, safe + 104)), ((2, 2), vec![safe + 105, safe + 106]));

        // For a host that wants it empty.
        clear(&sql, safe + 106).unwrap();
        assert_eq!(rows(&sql), (0, 0));
        emit(&sql, &mut outbox, 1, 10);
        assert_eq!(waiting(&sql, 0), [safe + 107]);
    }
}
