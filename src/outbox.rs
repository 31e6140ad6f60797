//! The only way out of a cell: events for the sequencer, and all else that the host has to do.
//!
//! What must leave is written to the outbox in the command's own transaction, and handed to the host in [`Effects`] so
//! that the host need not read it back. After a crash the host reads what is left ([`PendingOutbox`]).
//!
//! Ids rise strictly, also after a restore from a backup: the next is `max(last + 1, now)`.

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

/// A cell's outbox, as its writer knows it.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The newest id given.
    last: i64,
    /// Rows up to here are safe at the sequencer.
    synced: i64,
    /// What commands since the last [`Outbox::take_effects`] leave to the host.
    pub effects: Effects,
}

impl Outbox {
    /// Reads where the ids stand; `floor` is a time they are above in any case, for the outbox may have been emptied and
    /// the clock may stand behind what it was.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn open(sql: &dyn Sql, floor: i64) -> Result<Self, SqlError> {
        Ok(Self { last: newest(sql)?.max(floor), ..Self::default() })
    }

    /// Takes over where another outbox of this database stands; effects stay.
    pub fn adopt(&mut self, opened: Self) {
        (self.last, self.synced) = (opened.last, opened.synced);
    }

    /// Puts an event into the outbox, and removes what the sequencer has safely.
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
        self.clear_synced(sql)?;
        let id = now_us.max(self.last.saturating_add(1));
        sql.execute(
            "INSERT INTO outbox (id, kind, seq_at, frame) VALUES (?, ?, ?, ?)",
            &[
                Value::Integer(id),
                Value::Integer(kind.number()),
                Value::Integer(i64::from(frame.seq_at())),
                Value::Blob(frame.bytes()),
            ],
        )?;
        self.last = id;
        self.effects.events.push(OutboxRow { id, kind, frame });
        Ok(())
    }

    /// Removes what the sequencer has safely.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn clear_synced(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        if self.synced > 0 {
            clear(sql, self.synced)?;
            self.synced = 0;
        }
        Ok(())
    }

    /// Goes on above `id`, which was given in a time that this database knows nothing of.
    pub fn pass(&mut self, id: i64) {
        self.last = self.last.max(id);
    }

    /// Notes that the rows up to `id` are safe at the sequencer. The next event removes them.
    pub fn note_synced(&mut self, id: i64) {
        self.synced = self.synced.max(id);
    }

    /// What the commands since the last call leave to the host.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Runs one command; where it fails, its effects are taken back.
    pub fn undo_on_error<T, E>(&mut self, command: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let (events, wake_us) = (self.effects.events.len(), self.effects.wake_us);
        let answer = command(self);
        if answer.is_err() {
            self.effects.events.truncate(events);
            self.effects.wake_us = wake_us;
        }
        answer
    }
}

/// The id of the newest event, where it is still there; 0 where it is not.
///
/// # Errors
/// [`SqlError`].
pub fn newest(sql: &dyn Sql) -> Result<i64, SqlError> {
    let newest = "SELECT coalesce(max(id), 0) FROM outbox";
    Ok(query_first(sql, newest, &[], |row| row.integer(0))?.unwrap_or(0))
}

/// The id of the oldest event that has not been removed, which is about when it was made.
///
/// # Errors
/// [`SqlError`].
pub fn oldest(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    Ok(query_first(sql, "SELECT min(id) FROM outbox", &[], |row| row.optional_integer(0))?.flatten())
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
    let damaged = || SqlError::Corrupt("an outbox row".to_owned());
    let (mut rows, mut bytes, mut full) = (Vec::new(), 0, false);
    let outcome = sql.query(
        "SELECT id, kind, seq_at, frame FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
        &[Value::Integer(pending.after), Value::Integer(i64::from(pending.limit))],
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
    sql.execute("DELETE FROM outbox WHERE id <= ?", &[Value::Integer(id)])
}
