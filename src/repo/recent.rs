//! What was written since a rev. Without an index by rev, which every commit would have to keep: the keys of the collections
//! that are looked at rise with time, so that the newest stand at their end.

use super::{Error, RecentRecord, verified};
use crate::limits::RECENT_RECORDS_MAX;
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::{Nsid, RecordKey, Tid};

/// Collections whose keys are TIDs.
const RISING: [&str; 3] = ["app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.graph.follow"];
/// The one with a single record.
const PROFILE: &str = "app.bsky.actor.profile";
/// Records that are looked at for one that is older.
const SAMPLE: i64 = 50;

/// The newest records of each, the oldest first.
///
/// # Errors
/// [`Error::Sql`], [`Error::Damaged`].
pub(super) fn since(sql: &dyn Sql, rev: &Tid) -> Result<Vec<RecentRecord>, Error> {
    let mut found = Vec::new();
    for collection in RISING {
        // '0' follows '/': past every key of the collection.
        let (from, to) = (format!("{collection}/"), format!("{collection}0"));
        newest(sql, collection, &from, &to, rev, &mut found)?;
    }
    newest(sql, PROFILE, &format!("{PROFILE}/self"), &format!("{PROFILE}/self."), rev, &mut found)?;
    if found.is_empty() || !has_older(sql, rev)? {
        return Ok(Vec::new());
    }
    found.sort_by(|one, other| {
        (one.rev.as_str(), one.rkey.as_str()).cmp(&(other.rev.as_str(), other.rkey.as_str()))
    });
    Ok(found)
}

fn newest(
    sql: &dyn Sql,
    collection: &str,
    from: &str,
    to: &str,
    since: &Tid,
    found: &mut Vec<RecentRecord>,
) -> Result<(), Error> {
    let damaged = |what: &str| Error::Damaged(format!("a record's {what}"));
    let nsid = Nsid::try_from(collection).map_err(|_| damaged("collection"))?;
    let statement = "SELECT path, cid, rev, block FROM record \
                     WHERE path >= ? AND path < ? ORDER BY path DESC LIMIT ?";
    let limit = Value::Integer(i64::from(RECENT_RECORDS_MAX));
    sql.query(statement, &[Value::Text(from), Value::Text(to), limit], &mut |row| {
        if row.text(2)? <= since.as_str() {
            return Ok(());
        }
        let column = |column, expected: &'static str| SqlError::Column { column, expected: expected.into() };
        let rkey = row.text(0)?.split_once('/').map_or("", |(_, rkey)| rkey);
        let rkey = RecordKey::try_from(rkey).map_err(|_| column(0, "a path"))?;
        let rev = Tid::try_from(row.text(2)?).map_err(|_| column(2, "a rev"))?;
        let block = row.blob(3)?;
        let cid = verified(sql, row.blob(1)?, block)?;
        found.push(RecentRecord { collection: nsid.clone(), rkey, cid, rev, block: block.to_vec().into() });
        Ok(())
    })?;
    Ok(())
}

/// Whether some record is as old as the rev; a few are looked at.
fn has_older(sql: &dyn Sql, rev: &Tid) -> Result<bool, Error> {
    let statement = "SELECT 1 FROM (SELECT rev FROM record ORDER BY path LIMIT ?) WHERE rev <= ? \
                     UNION ALL SELECT 1 FROM (SELECT rev FROM record ORDER BY path DESC LIMIT ?) WHERE rev <= ? LIMIT 1";
    let (sample, rev) = (Value::Integer(SAMPLE), Value::Text(rev.as_str()));
    Ok(query_first(sql, statement, &[sample, rev, sample, rev], |row| row.integer(0))?.is_some())
}
