//! What other cells must hear of an account: the only way out of this cell.
//!
//! The host reads entries in order, brings each to the account's cell (whose repeat of it must be harmless), and
//! clears them once they are durable there.

use serde::{Deserialize, Serialize};

use super::Error;
use super::account::read_did;
use crate::actor::Status;
use crate::directory::limits::DIRECTORY_OUTBOX_BATCH_MAX;
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Notice {
    /// The account may act and be seen differently from now on: an `#account` event.
    StatusChanged {
        /// The status it has now.
        status: Status,
    },
    /// The account has another name: an `#identity` event.
    HandleChanged {
        /// The name it has now.
        handle: Handle,
    },
    /// An archive with the account's keys was made when the account's storage was full; it is to know of it.
    Exported {
        /// When: microseconds since the Unix epoch.
        made_us: i64,
    },
    /// The account is gone: shred its keys, remove its repo and blobs, say so in an `#account` event.
    Deleted,
    /// The account never came to be: remove what was made for it, without an event.
    Abandoned,
}

/// One notice on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Rising, never used twice.
    pub id: i64,
    /// Whose cell must hear it.
    pub did: Did,
    /// What happened.
    pub notice: Notice,
}

/// Asks for the oldest entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadOutbox {
    /// Notices behind this one.
    pub after: i64,
    /// At most this many.
    pub limit: usize,
}

/// Removes an entry that has arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClearOutbox {
    /// Which.
    pub id: i64,
}

/// Whether something waits to be carried or finished: for a host that sleeps otherwise.
///
/// # Errors
/// [`SqlError`].
pub fn has_work(sql: &dyn Sql) -> Result<bool, SqlError> {
    let statement = "SELECT EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM reservation) \
                     OR EXISTS (SELECT 1 FROM flow)";
    Ok(query_first(sql, statement, &[], |row| row.integer(0))?.unwrap_or(0) != 0)
}

/// Keeps word of an archive until the account's storage has room for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeepExportNote {
    /// Whose keys are in the archive.
    pub did: Did,
}

pub(super) fn push(sql: &dyn Sql, did: &Did, notice: &Notice) -> Result<(), Error> {
    let bytes = serde_ipld_dagcbor::to_vec(notice).map_err(|_| Error::OverLimit("notice".into()))?;
    sql.execute(
        "INSERT INTO outbox (did, notice) VALUES (?, ?)",
        &[did.as_str().into(), Value::Blob(&bytes)],
    )?;
    Ok(())
}

pub(super) fn read(sql: &dyn Sql, ask: &ReadOutbox) -> Result<Vec<OutboxEntry>, Error> {
    let limit = i64::try_from(ask.limit.min(DIRECTORY_OUTBOX_BATCH_MAX)).unwrap_or(i64::MAX);
    let statement = "SELECT id, did, notice FROM outbox WHERE id > ? ORDER BY id LIMIT ?";
    Ok(query_all(sql, statement, &[ask.after.into(), limit.into()], |row| {
        let notice = serde_ipld_dagcbor::from_slice(row.blob(2)?)
            .map_err(|_| SqlError::Column { column: 2, expected: "a notice".into() })?;
        Ok(OutboxEntry { id: row.integer(0)?, did: read_did(row, 1)?, notice })
    })?)
}

pub(super) fn clear(sql: &dyn Sql, id: i64) -> Result<(), Error> {
    sql.execute("DELETE FROM outbox WHERE id = ?", &[id.into()])?;
    Ok(())
}
