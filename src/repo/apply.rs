//! A plan into rows. Dull on purpose; runs inside the command's transaction.

use super::plan::CommitPlan;
use super::{RecordChange, RepoError};
use crate::sequencer::frame::Action;
use crate::store::{Sql, Value};

/// Writes the plan's nodes, records, references and head.
///
/// # Errors
/// [`RepoError::Sql`]; the caller's transaction must then be undone.
pub fn apply(sql: &dyn Sql, plan: &CommitPlan) -> Result<(), RepoError> {
    let rev = Value::Text(&plan.head.rev);
    for cid in &plan.nodes_removed {
        sql.execute("DELETE FROM node WHERE cid = ?", &[Value::Blob(&cid.to_bytes())])?;
    }
    for (cid, block) in &plan.nodes_added {
        sql.execute(
            "INSERT INTO node (cid, rev, block) VALUES (?, ?, ?)",
            &[Value::Blob(&cid.to_bytes()), rev, Value::Blob(block)],
        )?;
    }
    for change in &plan.changes {
        apply_record(sql, &plan.head.rev, change)?;
    }
    sql.execute(
        "INSERT INTO head (id, rev, commit_cid, data_cid, block) VALUES (1, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, commit_cid = excluded.commit_cid, \
         data_cid = excluded.data_cid, block = excluded.block",
        &[
            rev,
            Value::Blob(&plan.head.commit.to_bytes()),
            Value::Blob(&plan.head.data.to_bytes()),
            Value::Blob(&plan.commit_block),
        ],
    )?;
    Ok(())
}

fn apply_record(sql: &dyn Sql, rev: &str, change: &RecordChange) -> Result<(), RepoError> {
    let path = Value::Text(&change.path);
    if change.action != Action::Create {
        sql.execute("DELETE FROM blob_reference WHERE path = ?", &[path])?;
    }
    let Some((cid, block)) = &change.record else {
        sql.execute("DELETE FROM record WHERE path = ?", &[path])?;
        return Ok(());
    };
    sql.execute(
        "INSERT INTO record (path, cid, rev, block) VALUES (?, ?, ?, ?) \
         ON CONFLICT (path) DO UPDATE SET cid = excluded.cid, rev = excluded.rev, block = excluded.block",
        &[path, Value::Blob(&cid.to_bytes()), Value::Text(rev), Value::Blob(block)],
    )?;
    for blob in &change.blobs {
        sql.execute(
            "INSERT OR IGNORE INTO blob_reference (path, cid, rev) VALUES (?, ?, ?)",
            &[path, Value::Text(blob), Value::Text(rev)],
        )?;
    }
    Ok(())
}
