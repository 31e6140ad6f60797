//! Keys that were ended and may still stand in the write-ahead log.
//!
//! Deleting a row overwrites it in the database file (`secure_delete`), not in the log. So every write that ends a key
//! owes a cut of the log, recorded in its own transaction by triggers (`migrations/account/0006_cut.sql`): the host pays it
//! at once, or, where a reader holds the log or the machine stopped, as soon as it can.

use crate::store::{Sql, SqlError, query_first};

/// Whether the log has to be cut.
///
/// # Errors
/// [`SqlError`].
pub fn owes_cut(sql: &dyn Sql) -> Result<bool, SqlError> {
    Ok(query_first(sql, "SELECT 1 FROM cut_owed", &[], |_| Ok(()))?.is_some())
}

/// Notes that it was cut after what had been committed so far.
///
/// # Errors
/// [`SqlError`].
pub fn cut_paid(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.execute("DELETE FROM cut_owed", &[])
}
