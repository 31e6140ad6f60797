//! Blobs that moderators took down: given to nobody, and not taken again. Their bytes stay, for a change of mind.

use cid::Cid;

use super::{BlobStanding, SetBlobTakedown};
use crate::store::{Sql, SqlError, Value, query_first};

pub(super) fn set(sql: &dyn Sql, ask: &SetBlobTakedown) -> Result<(), SqlError> {
    let cid = ask.cid.to_string();
    match &ask.reference {
        Some(reference) => sql.execute(
            "INSERT INTO blob_takedown (cid, reference) VALUES (?, ?)
             ON CONFLICT (cid) DO UPDATE SET reference = excluded.reference",
            &[Value::Text(&cid), Value::Text(reference)],
        ),
        None => sql.execute("DELETE FROM blob_takedown WHERE cid = ?", &[Value::Text(&cid)]),
    }
}

pub(super) fn get(sql: &dyn Sql, cid: &Cid) -> Result<Option<BlobStanding>, SqlError> {
    let statement = "SELECT (SELECT reference FROM blob_takedown WHERE cid = ?1)
                     WHERE EXISTS (SELECT 1 FROM blob WHERE cid = ?1)
                     OR EXISTS (SELECT 1 FROM blob_reference WHERE cid = ?1)";
    query_first(sql, statement, &[Value::Text(&cid.to_string())], |row| {
        Ok(BlobStanding { takedown: row.optional_text(0)?.map(str::to_owned) })
    })
}

pub(super) fn is_down(sql: &dyn Sql, cid: &Cid) -> Result<bool, SqlError> {
    let statement = "SELECT 1 FROM blob_takedown WHERE cid = ?";
    Ok(query_first(sql, statement, &[Value::Text(&cid.to_string())], |_| Ok(()))?.is_some())
}
