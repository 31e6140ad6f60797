//! The event log over SQL.

use super::Error;
use super::command::{
    Append, Change, Command, Expire, Head, OutboxEvent, Page, Query, Read, Reply, SequencedFrame,
};
use crate::event::{EventKind, SEQ_LIMIT, SEQ_MIN};
use crate::store::migrate::{Migration, migrate};
use crate::store::{Sql, SqlError, Value, in_transaction, query_all, query_first};

const MIGRATIONS: &[Migration] = crate::migrations!("sequencer", 1 "0001_init");

/// The cell, which remembers the last `seq` and what was just appended; the rest is in its database.
#[derive(Debug)]
pub struct Sequencer {
    last_seq: i64,
    appended: Vec<(i64, OutboxEvent)>,
}

impl Sequencer {
    /// Opens the cell over its database, which is migrated first.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn load(sql: &dyn Sql) -> Result<Self, Error> {
        migrate(sql, MIGRATIONS)?;
        Ok(Self { last_seq: head(sql)?.last_seq, appended: Vec::new() })
    }

    /// Answers one command; [`Self::take_appended`] has what it leaves to the host.
    ///
    /// # Errors
    /// [`Error`]; then nothing was changed.
    pub fn handle(&mut self, sql: &dyn Sql, now_us: i64, command: Command) -> Result<Reply, Error> {
        Ok(match command {
            Command::Query(Query::GetHead(_)) => Reply::GetHead(head(sql)?),
            Command::Query(Query::Read(read)) => Reply::Read(page(sql, &read)?),
            Command::Change(Change::Append(Append { mut events })) => {
                let seqs = self.append(sql, now_us, &mut events)?;
                let new = seqs.iter().zip(events).filter_map(|(seq, event)| Some(((*seq)?, event)));
                self.appended.extend(new);
                Reply::Append(seqs)
            }
            Command::Change(Change::Expire(expire)) => Reply::Expire(remove_old(sql, &expire)?),
        })
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
        let mut last = self.last_seq;
        let seqs = in_transaction(sql, || {
            let seqs = events
                .iter_mut()
                .map(|event| {
                    let Some(source) = take(sql, event)? else { return Ok(None) };
                    last = next_seq(last, now_us)?;
                    insert(sql, source, last, event)?;
                    Ok(Some(last))
                })
                .collect::<Result<Vec<_>, Error>>()?;
            Ok::<_, Error>(seqs)
        })?;
        self.last_seq = last;
        Ok(seqs)
    }
}

/// The source's id when the event is new to it.
fn take(sql: &dyn Sql, event: &OutboxEvent) -> Result<Option<i64>, SqlError> {
    query_first(
        sql,
        "INSERT INTO source (did, last_outbox_id) VALUES (?, ?) \
         ON CONFLICT (did) DO UPDATE SET last_outbox_id = excluded.last_outbox_id \
         WHERE excluded.last_outbox_id > source.last_outbox_id RETURNING id",
        &[Value::Text(event.did.as_str()), Value::Integer(event.outbox_id)],
        |row| row.integer(0),
    )
}

fn next_seq(last: i64, now_us: i64) -> Result<i64, Error> {
    // SEQ_MIN matters only where the clock stands in 1970.
    let next = last.saturating_add(1).max(now_us).max(SEQ_MIN);
    if next < SEQ_LIMIT { Ok(next) } else { Err(Error::Exhausted) }
}

fn insert(sql: &dyn Sql, source: i64, seq: i64, event: &mut OutboxEvent) -> Result<(), SqlError> {
    event.frame.set_seq(seq);
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

fn page(sql: &dyn Sql, read: &Read) -> Result<Page, Error> {
    let mut events = Vec::new();
    for_each_event(sql, read.cursor, read.limit, read.bytes_max, &mut |seq, kind, frame| {
        events.push(SequencedFrame { seq, kind, frame: frame.to_vec().into() });
    })?;
    Ok(Page { events })
}

fn remove_old(sql: &dyn Sql, expire: &Expire) -> Result<u64, Error> {
    in_transaction(sql, || {
        let limit = u64::from(expire.limit);
        let removed = remove_of_deleted(sql, limit)?;
        Ok(removed + remove_expired(sql, expire.before_us, limit.saturating_sub(removed))?)
    })
}

fn remove_of_deleted(sql: &dyn Sql, limit: u64) -> Result<u64, SqlError> {
    let sources = query_all(
        sql,
        "SELECT id, remove_before FROM source WHERE remove_before IS NOT NULL LIMIT 100",
        &[],
        |row| Ok((row.integer(0)?, row.integer(1)?)),
    )?;
    let mut removed = 0;
    for (source, before) in sources {
        let left = limit.saturating_sub(removed);
        removed += sql.execute_counted(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE source = ? AND seq < ? LIMIT ?)",
            &[Value::Integer(source), Value::Integer(before), Value::Integer(left.cast_signed())],
        )?;
        if removed >= limit {
            break; // There may be more of this one.
        }
        sql.execute("UPDATE source SET remove_before = NULL WHERE id = ?", &[Value::Integer(source)])?;
    }
    Ok(removed)
}

fn remove_expired(sql: &dyn Sql, before_us: i64, limit: u64) -> Result<u64, SqlError> {
    // The newest of those that go, so that one statement deletes a range and the mark is exact.
    let through = query_first(
        sql,
        "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq < ? ORDER BY seq LIMIT ?)",
        &[Value::Integer(before_us), Value::Integer(limit.cast_signed())],
        |row| row.optional_integer(0),
    )?;
    let Some(Some(through)) = through else { return Ok(0) };
    // The newest number is noted as well, for its row may be the one that goes.
    sql.execute(
        "UPDATE head SET expired_seq = max(expired_seq, ?), last_seq = max(last_seq, ?) WHERE id = 1",
        &[Value::Integer(through), Value::Integer(through)],
    )?;
    sql.execute_counted("DELETE FROM event WHERE seq <= ?", &[Value::Integer(through)])
}

#[cfg(test)]
mod tests;
