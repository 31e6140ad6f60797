//! Which blobs the host keeps for an account, and which may go. The bytes are the host's affair.

mod command;
mod takedown;

pub use command::{
    AddBlob, BlobClaim, BlobMeta, BlobStanding, Change, Command, ExpireBlobs, GetBlobMeta, GetBlobTakedown,
    ListBlobs, ListMissingBlobs, ListUnknownBlobs, MissingBlob, Query, Reply, SetBlobTakedown,
};

use std::borrow::Cow;

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::limits::BLOB_UNREFERENCED_SECONDS;
use crate::outbox::Effects;
use crate::store::{Sql, SqlError, Value, query_all, query_first};

/// Why a blob was not taken, or not referred to.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// There is no account here that could have blobs.
    #[error("there is no such repo here")]
    NoRepo,
    /// A record refers to a blob that was not uploaded, or is gone again.
    #[error("Could not find blob: {0}")]
    NotFound(Cid),
    /// A record says of a blob what is not so.
    #[error("Referenced {what} does not match stored blob. Expected: {found}")]
    Invalid {
        /// `Mimetype` or `Size`.
        what: Cow<'static, str>,
        /// What is so.
        found: String,
    },
    /// Moderators took the blob down.
    #[error("Blob has been takendown, cannot re-upload")]
    TakenDown,
    /// More bytes than any blob has.
    #[error("a blob's size is out of range")]
    Size,
}

/// Answers a reading command.
///
/// # Errors
/// [`Error::Sql`].
pub fn read(sql: &dyn Sql, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::GetBlobMeta(get) => Reply::GetBlobMeta(meta(sql, &get.cid)?),
        Query::ListBlobs(list) => Reply::ListBlobs(self::list(sql, &list)?),
        Query::ListMissingBlobs(list) => Reply::ListMissingBlobs(missing(sql, &list)?),
        Query::ListUnknownBlobs(list) => Reply::ListUnknownBlobs(unknown(sql, list.cids)?),
        Query::GetBlobTakedown(get) => Reply::GetBlobTakedown(takedown::get(sql, &get.cid)?),
    })
}

/// Answers a changing command, also while a repo is being rebuilt and there is no account yet.
///
/// # Errors
/// [`Error`]; then nothing has changed.
pub fn change(sql: &dyn Sql, now_us: i64, effects: &mut Effects, change: Change) -> Result<Reply, Error> {
    Ok(match change {
        Change::AddBlob(add) => {
            effects.wake_at(now_us.saturating_add(BLOB_UNREFERENCED_SECONDS * 1_000_000));
            Reply::AddBlob(self::add(sql, now_us, &add)?)
        }
        Change::ExpireBlobs(expire) => Reply::ExpireBlobs(self::expire(sql, &expire)?),
        Change::SetBlobTakedown(set) => Reply::SetBlobTakedown(takedown::set(sql, &set)?),
    })
}

fn add(sql: &dyn Sql, now_us: i64, add: &AddBlob) -> Result<(), Error> {
    let owner = "SELECT EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM import)";
    if query_first(sql, owner, &[], |row| row.integer(0))?.unwrap_or(0) == 0 {
        return Err(Error::NoRepo);
    }
    if takedown::is_down(sql, &add.cid)? {
        return Err(Error::TakenDown);
    }
    let bytes = i64::try_from(add.bytes).map_err(|_| Error::Size)?;
    // Uploading again starts the time of an unreferenced blob anew, and may give it another type; the type of a
    // referenced one is what its records say.
    sql.execute(
        "INSERT INTO blob (cid, mime, bytes, uploaded_us) VALUES (?, ?, ?, ?) \
         ON CONFLICT (cid) DO UPDATE SET uploaded_us = excluded.uploaded_us, \
         mime = iif(EXISTS (SELECT 1 FROM blob_reference WHERE cid = excluded.cid), mime, excluded.mime)",
        &[
            Value::Text(&add.cid.to_string()),
            Value::Text(&add.mime),
            Value::Integer(bytes),
            Value::Integer(now_us),
        ],
    )?;
    Ok(())
}

fn expire(sql: &dyn Sql, expire: &ExpireBlobs) -> Result<Vec<Cid>, Error> {
    let expired = query_all(
        sql,
        "SELECT cid FROM blob WHERE uploaded_us < ? AND NOT EXISTS \
         (SELECT 1 FROM blob_reference WHERE blob_reference.cid = blob.cid) LIMIT ?",
        &[Value::Integer(expire.before_us), Value::Integer(i64::from(expire.limit))],
        |row| Ok(row.text(0)?.to_owned()),
    )?;
    for cid in &expired {
        sql.execute("DELETE FROM blob WHERE cid = ?", &[Value::Text(cid)])?;
    }
    Ok(expired.iter().map(|cid| read_cid(cid)).collect::<Result<_, _>>()?)
}

/// Checks that the blobs of a record are here and are what the record says. The type of one that other records refer
/// to already is left alone, as the reference server leaves it: the same bytes may be seen in two ways.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Sql`].
pub fn check(sql: &dyn Sql, claims: &[BlobClaim]) -> Result<(), Error> {
    for claim in claims {
        let statement = "SELECT mime, bytes, EXISTS (SELECT 1 FROM blob_reference WHERE cid = ?1) FROM blob \
                         WHERE cid = ?1";
        let found = query_first(sql, statement, &[Value::Text(&claim.cid.to_string())], |row| {
            Ok((row.text(0)?.to_owned(), row.integer(1)?.unsigned_abs(), row.integer(2)? != 0))
        })?;
        let (mime, bytes, is_referenced) = found.ok_or(Error::NotFound(claim.cid))?;
        if takedown::is_down(sql, &claim.cid)? {
            return Err(Error::NotFound(claim.cid));
        }
        if bytes != claim.bytes {
            return Err(Error::Invalid { what: "Size".into(), found: bytes.to_string() });
        }
        if !is_referenced && mime != claim.mime {
            return Err(Error::Invalid { what: "Mimetype".into(), found: mime });
        }
    }
    Ok(())
}

/// When the oldest upload was made that no record refers to; `None` when there is none.
///
/// # Errors
/// [`SqlError`].
pub fn oldest_unreferenced(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    let statement = "SELECT min(uploaded_us) FROM blob WHERE cid NOT IN (SELECT cid FROM blob_reference)";
    Ok(query_first(sql, statement, &[], |row| row.optional_integer(0))?.flatten())
}

fn meta(sql: &dyn Sql, cid: &Cid) -> Result<Option<BlobMeta>, SqlError> {
    let statement = "SELECT mime, bytes FROM blob WHERE cid = ?1 AND EXISTS \
                     (SELECT 1 FROM blob_reference WHERE cid = ?1) AND NOT EXISTS \
                     (SELECT 1 FROM blob_takedown WHERE cid = ?1)";
    query_first(sql, statement, &[Value::Text(&cid.to_string())], |row| {
        Ok(BlobMeta { mime: row.text(0)?.to_owned(), bytes: row.integer(1)?.unsigned_abs() })
    })
}

fn list(sql: &dyn Sql, list: &ListBlobs) -> Result<Vec<Cid>, SqlError> {
    let params = [
        Value::Text(list.cursor.as_deref().unwrap_or_default()),
        Value::Text(list.since.as_ref().map(|since| since.as_str()).unwrap_or_default()),
        Value::Integer(i64::from(list.limit)),
    ];
    query_all(
        sql,
        "SELECT DISTINCT cid FROM blob_reference WHERE cid > ? AND rev > ? ORDER BY cid LIMIT ?",
        &params,
        |row| read_cid(row.text(0)?),
    )
}

fn missing(sql: &dyn Sql, list: &ListMissingBlobs) -> Result<Vec<MissingBlob>, SqlError> {
    let cursor = Value::Text(list.cursor.as_deref().unwrap_or_default());
    query_all(
        sql,
        "SELECT cid, min(path) FROM blob_reference WHERE cid > ? AND cid NOT IN (SELECT cid FROM blob) \
         GROUP BY cid ORDER BY cid LIMIT ?",
        &[cursor, Value::Integer(i64::from(list.limit))],
        |row| Ok(MissingBlob { cid: read_cid(row.text(0)?)?, path: row.text(1)?.to_owned() }),
    )
}

fn unknown(sql: &dyn Sql, mut cids: Vec<Cid>) -> Result<Vec<Cid>, SqlError> {
    let known = "SELECT EXISTS (SELECT 1 FROM blob WHERE cid = ?1) \
                 OR EXISTS (SELECT 1 FROM blob_reference WHERE cid = ?1)";
    let mut failed = None;
    cids.retain(|cid| {
        let found = query_first(sql, known, &[Value::Text(&cid.to_string())], |row| row.integer(0));
        match found {
            Ok(found) => found == Some(0),
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    });
    failed.map_or(Ok(cids), Err)
}

/// Goes through the blobs whose bytes the host keeps, with their lengths.
///
/// # Errors
/// [`SqlError`].
pub fn for_each_kept(sql: &dyn Sql, mut each: impl FnMut(Cid, u64)) -> Result<(), SqlError> {
    sql.query("SELECT cid, bytes FROM blob ORDER BY cid", &[], &mut |row| {
        each(read_cid(row.text(0)?)?, row.integer(1)?.unsigned_abs());
        Ok(())
    })
}

fn read_cid(text: &str) -> Result<Cid, SqlError> {
    Cid::try_from(text).map_err(|_| SqlError::Column { column: 0, expected: "a CID".into() })
}
