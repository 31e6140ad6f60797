//! Removing the events of deleted accounts: a walk through the log, in steps, for all that are deleted when it begins.
//!
//! Where a walk is, is known in memory only; after a crash it begins anew, since the accounts stay marked until its end.

use std::collections::HashMap;

use super::{Removed, after_damage};
use crate::limits::SQL_PARAMETERS_MAX;
use crate::store::{Sql, SqlError, Value, query_all};

/// Events looked at in one step, for each that it may remove: looking is cheap.
const LOOKED_AT_EACH: u64 = 4;
/// Deleted accounts that one walk serves.
const SOURCES_MAX: u32 = 1_000;

/// A walk that has not come to its end.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Deleted accounts, each with the `seq` of its deletion: what was before goes.
    deleted: HashMap<i64, i64>,
    /// Events up to here are done.
    after: i64,
}

/// Takes a step of the walk, or of a new one where there is something to remove; answers where it is then, `None` when it
/// has come to its end.
pub(super) fn step(
    sql: &dyn Sql,
    under_way: Option<&Sweep>,
    removed: &mut Removed,
) -> Result<Option<Sweep>, SqlError> {
    let (deleted, mut after) = match under_way {
        Some(sweep) => (sweep.deleted.clone(), sweep.after),
        None => (deleted(sql)?, 0),
    };
    let Some(through) = deleted.values().max().copied() else { return Ok(None) };
    let looked_at_max = removed.left().saturating_mul(LOOKED_AT_EACH);
    let (mut looked_at, mut gone) = (0, Vec::new());
    let outcome = sql.query(
        "SELECT seq, source, length(frame) FROM event WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?",
        &[after.into(), through.into(), looked_at_max.cast_signed().into()],
        &mut |row| {
            let seq = row.integer(0)?;
            looked_at += 1;
            after = seq;
            if deleted.get(&row.integer(1)?).is_some_and(|deletion| seq < *deletion) {
                gone.push(seq);
                removed.add(row.integer(2)?.unsigned_abs());
            }
            Ok(())
        },
    );
    match outcome {
        Ok(()) if looked_at < looked_at_max => after = through,
        Ok(()) => {}
        // What can't be read can't be removed: the walk goes on behind it.
        Err(SqlError::Corrupt(_)) => after = after_damage(sql, after, through),
        Err(error) => return Err(error),
    }
    for seqs in gone.chunks(SQL_PARAMETERS_MAX) {
        let marks = vec!["?"; seqs.len()].join(", ");
        let params: Vec<Value<'_>> = seqs.iter().map(|seq| Value::Integer(*seq)).collect();
        sql.execute(&format!("DELETE FROM event WHERE seq IN ({marks})"), &params)?;
    }
    if after < through {
        return Ok(Some(Sweep { deleted, after }));
    }
    for (source, deletion) in deleted {
        let statement = "UPDATE source SET remove_before = NULL WHERE id = ? AND remove_before = ?";
        sql.execute(statement, &[source.into(), deletion.into()])?;
    }
    Ok(None)
}

fn deleted(sql: &dyn Sql) -> Result<HashMap<i64, i64>, SqlError> {
    let statement = "SELECT id, remove_before FROM source WHERE remove_before IS NOT NULL LIMIT ?";
    let params = [Value::Integer(i64::from(SOURCES_MAX))];
    Ok(query_all(sql, statement, &params, |row| Ok((row.integer(0)?, row.integer(1)?)))?
        .into_iter()
        .collect())
}
