//! Commands that only read. They need the database and nothing of the cell in memory, so that any connection beside
//! the writer's may answer them.

use super::{
    BlobMeta, Command, Error, ListBlobs, ListMissingBlobs, MissingBlob, OutboxRow, PendingOutbox, Reply,
    RepoCounts, RepoHead,
};
use crate::event::{EventKind, Frame};
use crate::limits::OUTBOX_BATCH_BYTES_MAX;
use crate::repo::{Head, read as repo};
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::Tid;

impl Command {
    /// Whether [`read`] answers it.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Command::GetRecord(_)
                | Command::ListRecords(_)
                | Command::DescribeRepo(_)
                | Command::GetHead(_)
                | Command::GetRecordProof(_)
                | Command::GetBlocks(_)
                | Command::GetBlobMeta(_)
                | Command::ListBlobs(_)
                | Command::ListMissingBlobs(_)
                | Command::PendingOutbox(_)
                | Command::Counts(_)
        )
    }

    /// Whether it makes the cell: others find none where none is.
    pub fn creates(&self) -> bool {
        matches!(self, Command::CreateRepo(_) | Command::BeginImport(_))
    }
}

/// Answers a reading command.
///
/// # Errors
/// [`Error`]; [`Error::Mismatch`] for a command that writes.
pub fn read(sql: &dyn Sql, command: Command) -> Result<Reply, Error> {
    Ok(match command {
        Command::GetRecord(get) => Reply::GetRecord(repo::record(sql, &get.path, get.cid.as_deref())?),
        Command::ListRecords(list) => Reply::ListRecords(repo::page(sql, &list)?),
        Command::DescribeRepo(_) => Reply::DescribeRepo(repo::collections(sql)?),
        Command::GetHead(_) => Reply::GetHead(head(sql)?),
        Command::GetRecordProof(get) => Reply::GetRecordProof(repo::record_proof(sql, &get.path)?.into()),
        Command::GetBlocks(get) => Reply::GetBlocks(repo::blocks(sql, &get.cids)?.into()),
        Command::GetBlobMeta(get) => Reply::GetBlobMeta(blob_meta(sql, &get.cid)?),
        Command::ListBlobs(list) => Reply::ListBlobs(list_blobs(sql, &list)?),
        Command::ListMissingBlobs(list) => Reply::ListMissingBlobs(missing_blobs(sql, &list)?),
        Command::PendingOutbox(pending) => Reply::PendingOutbox(pending_outbox(sql, &pending)?),
        Command::Counts(_) => Reply::Counts(counts(sql)?),
        _ => return Err(Error::Mismatch),
    })
}

fn head(sql: &dyn Sql) -> Result<RepoHead, Error> {
    let head = Head::read(sql)?.ok_or(Error::NoRepo)?;
    let status = "SELECT status FROM account WHERE id = 1";
    let status = query_first(sql, status, &[], |row| Ok(row.text(0)?.to_owned()))?.ok_or(Error::NoRepo)?;
    Ok(RepoHead { commit: head.commit.to_string(), rev: head.rev, data: head.data.to_string(), status })
}

fn blob_meta(sql: &dyn Sql, cid: &str) -> Result<Option<BlobMeta>, Error> {
    let statement = "SELECT mime, bytes FROM blob WHERE cid = ?1 AND EXISTS \
                     (SELECT 1 FROM blob_reference WHERE cid = ?1)";
    Ok(query_first(sql, statement, &[Value::Text(cid)], |row| {
        Ok(BlobMeta { mime: row.text(0)?.to_owned(), bytes: row.integer(1)?.unsigned_abs() })
    })?)
}

fn list_blobs(sql: &dyn Sql, list: &ListBlobs) -> Result<Vec<String>, Error> {
    let params = [
        Value::Text(list.cursor.as_deref().unwrap_or_default()),
        Value::Text(list.since.as_deref().unwrap_or_default()),
        Value::Integer(i64::from(list.limit)),
    ];
    Ok(query_all(
        sql,
        "SELECT DISTINCT cid FROM blob_reference WHERE cid > ? AND rev > ? ORDER BY cid LIMIT ?",
        &params,
        |row| Ok(row.text(0)?.to_owned()),
    )?)
}

fn missing_blobs(sql: &dyn Sql, list: &ListMissingBlobs) -> Result<Vec<MissingBlob>, Error> {
    let cursor = Value::Text(list.cursor.as_deref().unwrap_or_default());
    Ok(query_all(
        sql,
        "SELECT cid, min(path) FROM blob_reference WHERE cid > ? AND cid NOT IN (SELECT cid FROM blob) \
         GROUP BY cid ORDER BY cid LIMIT ?",
        &[cursor, Value::Integer(i64::from(list.limit))],
        |row| Ok(MissingBlob { cid: row.text(0)?.to_owned(), path: row.text(1)?.to_owned() }),
    )?)
}

fn pending_outbox(sql: &dyn Sql, pending: &PendingOutbox) -> Result<Vec<OutboxRow>, Error> {
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

fn counts(sql: &dyn Sql) -> Result<RepoCounts, Error> {
    let count = |statement: &str| -> Result<u64, Error> {
        Ok(query_first(sql, statement, &[], |row| row.integer(0))?.unwrap_or(0).unsigned_abs())
    };
    let head = Head::read(sql)?;
    Ok(RepoCounts {
        records: count("SELECT count(*) FROM record")?,
        nodes: count("SELECT count(*) FROM node")?,
        memories: count("SELECT count(*) FROM keyring")?,
        blobs: count("SELECT count(*) FROM blob WHERE cid IN (SELECT cid FROM blob_reference)")?,
        last_write_us: head.and_then(|head| Tid::try_from(head.rev.as_str()).ok()).map(|rev| rev.micros()),
    })
}
