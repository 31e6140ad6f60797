//! Which blobs the host keeps for this account, and which may go.

use super::import::is_importing;
use super::{Account, AddBlob, BlobClaim, Error, ExpireBlobs};
use crate::env::Env;
use crate::store::{Sql, SqlError, Value, query_all, query_first};

impl Account {
    pub(super) fn add_blob(&mut self, sql: &dyn Sql, env: &Env<'_>, command: &AddBlob) -> Result<(), Error> {
        if !is_importing(sql)? {
            self.account()?;
        }
        let bytes = i64::try_from(command.bytes).map_err(|_| Error::InvalidWrites("blob size".to_owned()))?;
        // Uploading again starts the time of an unreferenced blob anew, and may give it another type; the type of a
        // referenced one is what its records say.
        sql.execute(
            "INSERT INTO blob (cid, mime, bytes, uploaded_us) VALUES (?, ?, ?, ?) \
             ON CONFLICT (cid) DO UPDATE SET uploaded_us = excluded.uploaded_us, \
             mime = iif(EXISTS (SELECT 1 FROM blob_reference WHERE cid = excluded.cid), mime, excluded.mime)",
            &[
                Value::Text(&command.cid),
                Value::Text(&command.mime),
                Value::Integer(bytes),
                Value::Integer(env.now_us),
            ],
        )?;
        Ok(())
    }

    pub(super) fn expire_blobs(
        &mut self,
        sql: &dyn Sql,
        command: &ExpireBlobs,
    ) -> Result<Vec<String>, Error> {
        let expired = query_all(
            sql,
            "SELECT cid FROM blob WHERE uploaded_us < ? AND NOT EXISTS \
             (SELECT 1 FROM blob_reference WHERE blob_reference.cid = blob.cid) LIMIT ?",
            &[Value::Integer(command.before_us), Value::Integer(i64::from(command.limit))],
            |row| Ok(row.text(0)?.to_owned()),
        )?;
        for cid in &expired {
            sql.execute("DELETE FROM blob WHERE cid = ?", &[Value::Text(cid)])?;
        }
        Ok(expired)
    }
}

/// Checks that the blobs of a record are here and are what the record says. The type of one that other records refer
/// to already is left alone, as the reference server leaves it: the same bytes may be seen in two ways.
///
/// # Errors
/// [`Error::BlobNotFound`], [`Error::InvalidBlob`], [`Error::Sql`].
pub(super) fn check_blobs(sql: &dyn Sql, claims: &[BlobClaim]) -> Result<(), Error> {
    for claim in claims {
        let statement = "SELECT mime, bytes, EXISTS (SELECT 1 FROM blob_reference WHERE cid = ?1) FROM blob \
                         WHERE cid = ?1";
        let found = query_first(sql, statement, &[Value::Text(&claim.cid)], |row| {
            Ok((row.text(0)?.to_owned(), row.integer(1)?.unsigned_abs(), row.integer(2)? != 0))
        })?;
        let (mime, bytes, is_referenced) = found.ok_or_else(|| Error::BlobNotFound(claim.cid.clone()))?;
        if bytes != claim.bytes {
            return Err(Error::InvalidBlob { what: "Size".into(), found: bytes.to_string() });
        }
        if !is_referenced && mime != claim.mime {
            return Err(Error::InvalidBlob { what: "Mimetype".into(), found: mime });
        }
    }
    Ok(())
}

/// When the oldest upload was made that no record refers to; `None` when there is none.
///
/// # Errors
/// [`SqlError`].
pub fn oldest_unreferenced_blob(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    let statement = "SELECT min(uploaded_us) FROM blob WHERE cid NOT IN (SELECT cid FROM blob_reference)";
    Ok(query_first(sql, statement, &[], |row| row.optional_integer(0))?.flatten())
}
