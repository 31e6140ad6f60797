//! Which commit each repo is at, as far as the log has heard: answered without asking the account.

use std::collections::HashMap;

use cid::Cid;
use repo_mst::car::{CarLimits, read_all};

use super::{Error, OutboxEvent};
use crate::event::{Event, EventKind};
use crate::limits::SYNC_BLOCKS_BYTES_MAX;
use crate::repo::CommitMeta;
use crate::store::{Row, Sql, SqlError, Value, query_all};
use crate::syntax::{Did, Tid};

/// The commit that an event tells of.
pub(super) fn told(event: &OutboxEvent) -> Option<CommitMeta> {
    if !matches!(event.kind, EventKind::Commit | EventKind::Sync) {
        return None;
    }
    let (cid, rev) = match Event::decode(event.frame.bytes()).ok()? {
        Event::Commit { body, .. } => (body.commit, body.rev),
        Event::Sync { body, .. } => {
            let limits = CarLimits {
                header_bytes: SYNC_BLOCKS_BYTES_MAX,
                section_bytes: SYNC_BLOCKS_BYTES_MAX,
                total_bytes: SYNC_BLOCKS_BYTES_MAX as u64,
                blocks: 1,
            };
            (*read_all(body.blocks, limits).ok()?.roots.first()?, body.rev)
        }
        _ => return None,
    };
    Some(CommitMeta { cid, rev: Tid::try_from(rev).ok()? })
}

/// The last commit of each of these, in their order.
pub(super) fn get(sql: &dyn Sql, dids: &[Did]) -> Result<Vec<Option<CommitMeta>>, Error> {
    let list = serde_json::to_string(dids).map_err(|error| SqlError::Other(error.to_string()))?;
    let statement = "SELECT did, head, rev FROM source WHERE rev IS NOT NULL \
                     AND did IN (SELECT value FROM json_each(?))";
    let known: HashMap<String, CommitMeta> =
        query_all(sql, statement, &[Value::Text(&list)], read)?.into_iter().collect();
    Ok(dids.iter().map(|did| known.get(did.as_str()).copied()).collect())
}

/// Notes what an account's cell said, where the log has heard nothing.
pub(super) fn note(sql: &dyn Sql, did: &Did, commit: &CommitMeta) -> Result<(), SqlError> {
    sql.execute(
        "INSERT INTO source (did, last_outbox_id, head, rev) VALUES (?, 0, ?, ?) \
         ON CONFLICT (did) DO UPDATE SET head = excluded.head, rev = excluded.rev WHERE source.rev IS NULL",
        &[Value::Text(did.as_str()), Value::Blob(&commit.cid.to_bytes()), Value::Text(commit.rev.as_str())],
    )
}

fn read(row: &dyn Row) -> Result<(String, CommitMeta), SqlError> {
    let unexpected = |column, expected: &'static str| SqlError::Column { column, expected: expected.into() };
    let cid = Cid::try_from(row.blob(1)?).map_err(|_| unexpected(1, "a CID"))?;
    let rev = Tid::try_from(row.text(2)?).map_err(|_| unexpected(2, "a rev"))?;
    Ok((row.text(0)?.to_owned(), CommitMeta { cid, rev }))
}

#[cfg(test)]
mod tests;
