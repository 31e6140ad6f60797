//! The whole repo as a CAR: the commit, then every node, then every record in the tree's order.
//!
//! Rows are written straight from the database into chunks, so that a repo of any size passes in bounded memory;
//! the caller holds one read transaction for the length of it, so that it is one snapshot.

use super::RepoError;
use super::read::commit_car;
use crate::limits::EXPORT_CHUNK_BYTES;
use crate::store::{Sql, SqlError, Value};
use cid::Cid;
use repo_mst::car;

/// Hands the CAR to `send` in chunks. With `since`, only what came after that rev.
///
/// # Errors
/// [`RepoError`], or the error of `send`, which stops it (the receiver is gone).
pub fn export(
    sql: &dyn Sql,
    since: Option<&str>,
    send: &mut dyn FnMut(Vec<u8>) -> Result<(), SqlError>,
) -> Result<(), RepoError> {
    let mut chunk = commit_car(sql)?;
    let since = Value::Text(since.unwrap_or_default());
    let statements = [
        "SELECT cid, block FROM node WHERE rev > ?",
        "SELECT cid, block FROM record WHERE rev > ? ORDER BY path",
    ];
    for statement in statements {
        sql.query(statement, &[since], &mut |row| {
            let column = SqlError::Column { column: 0, expected: "a CID".into() };
            let cid = Cid::read_bytes(row.blob(0)?).map_err(|_| column)?;
            car::write_block(&mut chunk, &cid, row.blob(1)?);
            if chunk.len() >= EXPORT_CHUNK_BYTES {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(EXPORT_CHUNK_BYTES * 5 / 4));
                send(full)?;
            }
            Ok(())
        })?;
    }
    send(chunk)?;
    Ok(())
}
