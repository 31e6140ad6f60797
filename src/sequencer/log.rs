//! The event log over SQL.

mod sweep;

use self::sweep::Sweep;
use super::Error;
use super::command::{
    Append, Change, Command, Expire, Head, NoteLastCommits, OutboxEvent, Page, Query, Read, Reply,
    SequencedFrame,
};
use super::last_commit;
use crate::event::{EventKind, SEQ_LIMIT, SEQ_MIN};
use crate::store::migrate::{Migration, migrate};
use crate::store::{Sql, SqlError, Value, in_transaction, query_first};
use crate::syntax::Did;

const MIGRATIONS: &[Migration] = crate::migrations!("sequencer", 1 "0001_init", 2 "0002_whereabouts", 3 "0003_bytes",
    4 "0004_last_commit", 5 "0005_sweep");

/// The cell, which remembers the last `seq`, how many bytes there are, what was just appended, and how far it is with the
/// events of deleted accounts; the rest is in its database.
#[derive(Debug)]
pub struct Sequencer {
    last_seq: i64,
    bytes: u64,
    appended: Vec<(i64, OutboxEvent)>,
    sweep: Option<Sweep>,
}

impl Sequencer {
    /// Opens the cell over its database, which is migrated first.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn load(sql: &dyn Sql) -> Result<Self, Error> {
        migrate(sql, MIGRATIONS)?;
        let bytes = match count_bytes(sql) {
            // Of a damaged log, which is served as far as it can be read, only what comes from now on is counted.
            Err(SqlError::Corrupt(_) | SqlError::Column { .. }) => 0,
            counted => counted?,
        };
        Ok(Self { last_seq: head(sql)?.last_seq, bytes, appended: Vec::new(), sweep: None })
    }

    /// Answers one command; [`Self::take_appended`] has what it leaves to the host.
    ///
    /// # Errors
    /// [`Error`]; then nothing was changed.
    pub fn handle(&mut self, sql: &dyn Sql, now_us: i64, command: Command) -> Result<Reply, Error> {
        Ok(match command {
            Command::Query(query) => read(sql, query)?,
            Command::Change(Change::Append(Append { mut events })) => {
                let seqs = self.append(sql, now_us, &mut events)?;
                let new = seqs.iter().zip(events).filter_map(|(seq, event)| Some(((*seq)?, event)));
                self.appended.extend(new);
                Reply::Append(seqs)
            }
            Command::Change(Change::NoteLastCommits(NoteLastCommits { commits })) => {
                in_transaction(sql, || {
                    commits.iter().try_for_each(|(did, commit)| last_commit::note(sql, did, commit))
                })?;
                Reply::NoteLastCommits(())
            }
            Command::Change(Change::Expire(expire)) => Reply::Expire(self.remove_old(sql, &expire)?),
        })
    }

    /// Goes on above `seq`, so that cursors up to there are none of the future.
    ///
    /// # Errors
    /// [`SqlError`]; then it does so until it is loaded again.
    pub fn skip_to(&mut self, sql: &dyn Sql, seq: i64) -> Result<(), SqlError> {
        self.last_seq = self.last_seq.max(seq);
        sql.execute("UPDATE head SET last_seq = max(last_seq, ?) WHERE id = 1", &[Value::Integer(seq)])
    }

    /// The newest `seq`, or the one that was skipped to.
    pub fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Bytes of the frames in the log.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What commands appended since the last call, for the host to bring to subscribers.
    pub fn take_appended(&mut self) -> Vec<(i64, OutboxEvent)> {
        std::mem::take(&mut self.appended)
    }

    /// Appends events in one transaction and writes each one's `seq` into its frame; answers them, `None` for an
    /// event that was there already.
    ///
    /// # Errors
    /// [`Error`]; then nothing was kept, and the same events may be given again.
    pub fn append(
        &mut self,
        sql: &dyn Sql,
        now_us: i64,
        events: &mut [OutboxEvent],
    ) -> Result<Vec<Option<i64>>, Error> {
        let (mut last, mut bytes) = (self.last_seq, self.bytes);
        let seqs = in_transaction(sql, || {
            let seqs = events
                .iter_mut()
                .map(|event| {
                    // Its number first: without one, an event can't be read.
                    let seq = next_seq(last, now_us)?;
                    event.frame.set_seq(seq);
                    let Some(source) = take(sql, event)? else { return Ok(None) };
                    insert(sql, source, seq, event)?;
                    bytes += event.frame.bytes().len() as u64;
                    last = seq;
                    Ok(Some(seq))
                })
                .collect::<Result<Vec<_>, Error>>()?;
            Ok::<_, Error>(seqs)
        })?;
        (self.last_seq, self.bytes) = (last, bytes);
        Ok(seqs)
    }

    fn remove_old(&mut self, sql: &dyn Sql, expire: &Expire) -> Result<u64, Error> {
        let limit = u64::from(expire.limit);
        let (removed, sweep) = in_transaction(sql, || {
            let mut removed = Removed { rows: 0, bytes: 0, rows_max: limit };
            let sweep = sweep::step(sql, self.sweep.as_ref(), &mut removed)?;
            remove_expired(sql, expire, self.bytes, &mut removed)?;
            note_bytes(sql, self.bytes.saturating_sub(removed.bytes), self.last_seq)?;
            Ok::<_, Error>((removed, sweep))
        })?;
        self.bytes = self.bytes.saturating_sub(removed.bytes);
        self.sweep = sweep;
        Ok(if self.sweep.is_some() { limit } else { removed.rows.min(limit) })
    }
}

/// Answers a reading command, on any connection.
///
/// # Errors
/// [`Error::Sql`], or [`Error::UnknownKind`] for an event of a newer program.
pub fn read(sql: &dyn Sql, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::GetHead(_) => Reply::GetHead(head(sql)?),
        Query::Read(read) => Reply::Read(page(sql, &read)?),
        Query::GetLastCommits(ask) => Reply::GetLastCommits(last_commit::get(sql, &ask.dids)?),
    })
}

/// The source's id when the event is new to it; the commit it tells of is the source's from now on. In two statements, for
/// `RETURNING` makes a table for what it returns.
fn take(sql: &dyn Sql, event: &OutboxEvent) -> Result<Option<i64>, SqlError> {
    let (did, outbox_id) = (Value::Text(event.did.as_str()), Value::Integer(event.outbox_id));
    let known = "SELECT id, last_outbox_id FROM source WHERE did = ?";
    let known = query_first(sql, known, &[did], |row| Ok((row.integer(0)?, row.integer(1)?)))?;
    if known.is_some_and(|(_, last)| event.outbox_id <= last) {
        return Ok(None);
    }
    let commit = last_commit::told(event);
    let head = commit.map(|commit| commit.cid.to_bytes());
    let head = head.as_deref().map_or(Value::Null, Value::Blob);
    let rev = Value::optional_text(commit.as_ref().map(|commit| commit.rev.as_str()));
    match known {
        Some((id, _)) => {
            let statement = "UPDATE source SET last_outbox_id = ?, head = coalesce(?, head), rev = coalesce(?, rev) \
                             WHERE id = ?";
            sql.execute(statement, &[outbox_id, head, rev, Value::Integer(id)])?;
            Ok(Some(id))
        }
        None => {
            let statement = "INSERT INTO source (did, last_outbox_id, head, rev) VALUES (?, ?, ?, ?)";
            sql.execute(statement, &[did, outbox_id, head, rev])?;
            query_first(sql, "SELECT id FROM source WHERE did = ?", &[did], |row| row.integer(0))
        }
    }
}

/// The newest outbox id that was taken of a DID; 0 for one that the log knows nothing of.
///
/// # Errors
/// [`SqlError`].
pub fn last_outbox_id(sql: &dyn Sql, did: &Did) -> Result<i64, SqlError> {
    let statement = "SELECT last_outbox_id FROM source WHERE did = ?";
    Ok(query_first(sql, statement, &[did.as_str().into()], |row| row.integer(0))?.unwrap_or(0))
}

fn next_seq(last: i64, now_us: i64) -> Result<i64, Error> {
    // SEQ_MIN matters only where the clock stands in 1970.
    let next = last.saturating_add(1).max(now_us).max(SEQ_MIN);
    if next < SEQ_LIMIT { Ok(next) } else { Err(Error::Exhausted) }
}

fn insert(sql: &dyn Sql, source: i64, seq: i64, event: &OutboxEvent) -> Result<(), SqlError> {
    sql.execute(
        "INSERT INTO event (seq, source, kind, frame) VALUES (?, ?, ?, ?)",
        &[
            Value::Integer(seq),
            Value::Integer(source),
            Value::Integer(event.kind.number()),
            Value::Blob(event.frame.bytes()),
        ],
    )?;
    if event.is_deletion() {
        sql.execute(
            "UPDATE source SET remove_before = ? WHERE id = ?",
            &[Value::Integer(seq), Value::Integer(source)],
        )?;
    }
    Ok(())
}

/// The log's ends.
///
/// # Errors
/// [`SqlError`].
pub fn head(sql: &dyn Sql) -> Result<Head, SqlError> {
    let head = query_first(
        sql,
        "SELECT max(last_seq, coalesce((SELECT max(seq) FROM event), 0)), expired_seq FROM head WHERE id = 1",
        &[],
        |row| Ok(Head { last_seq: row.integer(0)?, expired_seq: row.integer(1)? }),
    )?;
    Ok(head.unwrap_or_default())
}

/// Hands `each` the events after `cursor`, oldest first: `seq`, kind, frame. At most `limit` events, and none after
/// the one that reaches `bytes_max`.
///
/// # Errors
/// [`Error::Sql`], or [`Error::UnknownKind`] for an event of a newer program.
pub fn for_each_event(
    sql: &dyn Sql,
    cursor: i64,
    limit: u32,
    bytes_max: u64,
    each: &mut dyn FnMut(i64, EventKind, &[u8]),
) -> Result<(), Error> {
    let (mut bytes, mut unknown, mut full) = (0, None, false);
    let outcome = sql.query(
        "SELECT seq, kind, frame FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
        &[Value::Integer(cursor), Value::Integer(i64::from(limit))],
        &mut |row| {
            if bytes >= bytes_max {
                full = true;
                return Err(SqlError::Limit("the page is full".into())); // An error is the way to end a query early.
            }
            let seq = row.integer(0)?;
            let kind = EventKind::from_number(row.integer(1)?).ok_or_else(|| {
                unknown = Some(seq);
                SqlError::Column { column: 1, expected: "a known kind".into() }
            })?;
            let frame = row.blob(2)?;
            bytes += frame.len() as u64;
            each(seq, kind, frame);
            Ok(())
        },
    );
    match (unknown, outcome) {
        (Some(seq), _) => Err(Error::UnknownKind { seq }),
        (None, Err(_)) if full => Ok(()),
        (None, outcome) => Ok(outcome?),
    }
}

/// Where a reader of events after `cursor`, the next of which could not be read, may go on: the lowest place from which the
/// log can be read again, or `through`. Found by doubling and halving; what a reader is led past is more than the damage
/// only where damage lies behind damage. It is `cursor` itself where reading failed for a moment only.
pub fn after_damage(sql: &dyn Sql, cursor: i64, through: i64) -> i64 {
    let is_readable = |after| for_each_event(sql, after, 1, u64::MAX, &mut |_, _, _| {}).is_ok();
    if cursor >= through || is_readable(cursor) {
        return cursor;
    }
    let (mut damaged, mut step) = (cursor, 1_i64);
    let mut readable = loop {
        let next = cursor.saturating_add(step).min(through);
        if next == through || is_readable(next) {
            break next;
        }
        (damaged, step) = (next, step.saturating_mul(2));
    };
    while readable - damaged > 1 {
        let middle = damaged + (readable - damaged) / 2;
        if is_readable(middle) { readable = middle } else { damaged = middle }
    }
    readable
}

fn page(sql: &dyn Sql, read: &Read) -> Result<Page, Error> {
    let mut events = Vec::new();
    for_each_event(sql, read.cursor, read.limit, read.bytes_max, &mut |seq, kind, frame| {
        events.push(SequencedFrame { seq, kind, frame: frame.to_vec().into() });
    })?;
    Ok(Page { events })
}

/// What one step has removed so far, and about how much it may.
struct Removed {
    rows: u64,
    bytes: u64,
    rows_max: u64,
}

impl Removed {
    fn left(&self) -> u64 {
        self.rows_max.saturating_sub(self.rows)
    }

    fn add(&mut self, bytes: u64) {
        self.rows += 1;
        self.bytes += bytes;
    }
}

fn remove_expired(sql: &dyn Sql, expire: &Expire, bytes: u64, removed: &mut Removed) -> Result<(), SqlError> {
    // The newest of those that go, so that one statement deletes a range and the mark is exact.
    let (mut through, mut is_done) = (None, false);
    let outcome = sql.query(
        "SELECT seq, length(frame) FROM event ORDER BY seq LIMIT ?",
        &[removed.left().cast_signed().into()],
        &mut |row| {
            let seq = row.integer(0)?;
            if seq >= expire.before_us && bytes.saturating_sub(removed.bytes) <= expire.bytes_max {
                is_done = true;
                return Err(SqlError::Limit("the rest stays".into())); // An error is the way to end a query early.
            }
            through = Some(seq);
            removed.add(row.integer(1)?.unsigned_abs());
            Ok(())
        },
    );
    if !is_done {
        outcome?;
    }
    let Some(through) = through else { return Ok(()) };
    // The newest number is noted as well, for its row may be the one that goes.
    sql.execute(
        "UPDATE head SET expired_seq = max(expired_seq, ?), last_seq = max(last_seq, ?) WHERE id = 1",
        &[Value::Integer(through), Value::Integer(through)],
    )?;
    sql.execute("DELETE FROM event WHERE seq <= ?", &[Value::Integer(through)])
}

/// Bytes of all frames: those that were noted, and those of later events.
fn count_bytes(sql: &dyn Sql) -> Result<u64, SqlError> {
    let bytes = query_first(
        sql,
        "SELECT bytes + coalesce((SELECT sum(length(frame)) FROM event WHERE seq > bytes_through), 0) \
         FROM head WHERE id = 1",
        &[],
        |row| row.integer(0),
    )?;
    Ok(bytes.unwrap_or(0).unsigned_abs())
}

/// Notes how many there are up to `through`, where that is news.
fn note_bytes(sql: &dyn Sql, bytes: u64, through: i64) -> Result<(), SqlError> {
    sql.execute(
        "UPDATE head SET bytes = ?, bytes_through = ? WHERE id = 1 AND (bytes, bytes_through) != (?, ?)",
        &[bytes.cast_signed().into(), through.into(), bytes.cast_signed().into(), through.into()],
    )
}

#[cfg(test)]
mod tests;
