//! The directory's table.

use super::Error;
use crate::{
    data_model::{Cid, parse_link},
    identity::{LoggedOperation, Operation},
    store::{Row, Sql, SqlError, Value, query_all, query_first},
    syntax::Did,
};

const MILLISECOND_US: i64 = 1000;

/// A row.
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) did: String,
    pub(super) cid: String,
    pub(super) operation: Operation,
    pub(super) nullified: bool,
    pub(super) created_at_us: i64,
}

/// Where a page of the export begins.
#[derive(Clone, Copy)]
pub(super) enum ExportFrom {
    Start,
    AfterSeq(i64),
    AfterTime(i64),
}

/// The operations of a DID that are not nullified, oldest first.
pub(super) fn log(sql: &dyn Sql, did: &Did) -> Result<Vec<LoggedOperation>, Error> {
    let entries = audit_log(sql, did)?;
    let in_force = entries.into_iter().filter(|entry| !entry.nullified);
    in_force
        .map(|entry| {
            let cid = parse_link(&entry.cid).map_err(|_| Error::Stored { cid: entry.cid })?;
            Ok(LoggedOperation { operation: entry.operation, cid, created_at_us: entry.created_at_us })
        })
        .collect()
}

/// All operations of a DID, oldest first.
pub(super) fn audit_log(sql: &dyn Sql, did: &Did) -> Result<Vec<Entry>, Error> {
    let rows = query_all(
        sql,
        "SELECT seq, did, cid, operation, nullified, created_at_us FROM operation WHERE did = ? ORDER BY seq",
        &[did.as_str().into()],
        |row| StoredRow::read(row),
    )?;
    rows.into_iter().map(StoredRow::parse).collect()
}

/// The newest operation of a DID that is not nullified.
pub(super) fn last(sql: &dyn Sql, did: &Did) -> Result<Option<Operation>, Error> {
    let row = query_first(
        sql,
        "SELECT seq, did, cid, operation, nullified, created_at_us FROM operation \
         WHERE did = ? AND nullified = 0 ORDER BY seq DESC LIMIT 1",
        &[did.as_str().into()],
        |row| StoredRow::read(row),
    )?;
    Ok(row.map(StoredRow::parse).transpose()?.map(|entry| entry.operation))
}

/// A page of everything.
pub(super) fn export(sql: &dyn Sql, from: ExportFrom, lines: usize) -> Result<Vec<Entry>, Error> {
    let lines = i64::try_from(lines).unwrap_or(i64::MAX).into();
    let rows = match from {
        ExportFrom::Start | ExportFrom::AfterSeq(_) => query_all(
            sql,
            "SELECT seq, did, cid, operation, nullified, created_at_us FROM operation \
             WHERE seq > ? ORDER BY seq LIMIT ?",
            &[if let ExportFrom::AfterSeq(seq) = from { seq } else { 0 }.into(), lines],
            |row| StoredRow::read(row),
        ),
        ExportFrom::AfterTime(us) => query_all(
            sql,
            "SELECT seq, did, cid, operation, nullified, created_at_us FROM operation \
             WHERE created_at_us > ? ORDER BY created_at_us LIMIT ?",
            &[us.into(), lines],
            |row| StoredRow::read(row),
        ),
    }?;
    rows.into_iter().map(StoredRow::parse).collect()
}

/// The time of the next operation: now, but after every other.
pub(super) fn next_created_at_us(sql: &dyn Sql, now_us: i64) -> Result<i64, SqlError> {
    let newest =
        query_first(sql, "SELECT coalesce(max(created_at_us), 0) FROM operation", &[], |row| row.integer(0))?;
    let now_us = now_us - now_us.rem_euclid(MILLISECOND_US);
    Ok(now_us.max(newest.unwrap_or(0) + MILLISECOND_US))
}

pub(super) fn append(
    sql: &dyn Sql,
    did: &Did,
    cid: &Cid,
    operation: &Operation,
    created_at_us: i64,
) -> Result<(), Error> {
    let (cid, operation) = (cid.to_string(), operation.to_json()?);
    sql.execute(
        "INSERT INTO operation (did, cid, operation, created_at_us) VALUES (?, ?, ?, ?)",
        &[did.as_str().into(), cid.as_str().into(), operation.as_str().into(), created_at_us.into()],
    )?;
    Ok(())
}

pub(super) fn nullify(sql: &dyn Sql, did: &Did, cid: &Cid) -> Result<(), SqlError> {
    let cid = cid.to_string();
    sql.execute(
        "UPDATE operation SET nullified = 1 WHERE did = ? AND cid = ?",
        &[did.as_str().into(), Value::Text(&cid)],
    )?;
    Ok(())
}

/// A row before its operation is parsed.
struct StoredRow {
    seq: i64,
    did: String,
    cid: String,
    operation: String,
    nullified: bool,
    created_at_us: i64,
}

impl StoredRow {
    fn read(row: &dyn Row) -> Result<Self, SqlError> {
        Ok(Self {
            seq: row.integer(0)?,
            did: row.text(1)?.to_owned(),
            cid: row.text(2)?.to_owned(),
            operation: row.text(3)?.to_owned(),
            nullified: row.integer(4)? != 0,
            created_at_us: row.integer(5)?,
        })
    }

    fn parse(self) -> Result<Entry, Error> {
        let operation = Operation::from_json(self.operation.as_bytes());
        let Ok(operation) = operation else { return Err(Error::Stored { cid: self.cid }) };
        let Self { seq, did, cid, nullified, created_at_us, .. } = self;
        Ok(Entry { seq, did, cid, operation, nullified, created_at_us })
    }
}
