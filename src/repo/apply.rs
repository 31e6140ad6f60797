//! A plan into rows. Dull on purpose; runs inside the command's transaction.
//!
//! Tricky bit: nodes come and go with every commit, and their CIDs are in random order, so one index over all of them
//! would cost each commit about twenty scattered pages of a large repo. New nodes have a small index of their own; the
//! oldest of those that are still there move to the large one, [`NODES_SETTLED_AT_ONCE`] at a time.

use super::plan::CommitPlan;
use super::{RecordChange, RepoError};
use crate::sequencer::frame::Action;
use crate::store::{Sql, SqlError, Value, query_first};

/// New nodes that are settled in one go, once there are twice as many: some milliseconds' work in every hundredth
/// commit or so, and a small index of about ten pages.
const NODES_SETTLED_AT_ONCE: u64 = 256;

/// How many nodes are not settled yet.
///
/// # Errors
/// [`SqlError`].
pub fn new_nodes(sql: &dyn Sql) -> Result<u64, SqlError> {
    let count = query_first(sql, "SELECT count(*) FROM node WHERE settled = 0", &[], |row| row.integer(0))?;
    Ok(count.unwrap_or(0).unsigned_abs())
}

/// Writes the plan's nodes, records, references and head. `new_nodes` is how many were not settled before it; answers
/// how many are not after it.
///
/// # Errors
/// [`RepoError::Sql`]; the caller's transaction must then be undone.
pub fn apply(sql: &dyn Sql, plan: &CommitPlan, new_nodes: u64) -> Result<u64, RepoError> {
    let rev = Value::Text(&plan.head.rev);
    let mut new_nodes = new_nodes + plan.nodes_added.len() as u64;
    for cid in &plan.nodes_removed {
        let statement = "DELETE FROM node WHERE id = (SELECT id FROM node WHERE cid = ?1 AND settled = 0 \
                         UNION ALL SELECT id FROM node WHERE cid = ?1 AND settled = 1 LIMIT 1) RETURNING settled";
        let settled = query_first(sql, statement, &[Value::Blob(&cid.to_bytes())], |row| row.integer(0))?;
        new_nodes = new_nodes.saturating_sub(u64::from(settled == Some(0)));
    }
    for (cid, block) in &plan.nodes_added {
        sql.execute(
            "INSERT INTO node (cid, rev, block) VALUES (?, ?, ?)",
            &[Value::Blob(&cid.to_bytes()), rev, Value::Blob(block)],
        )?;
    }
    while new_nodes > 2 * NODES_SETTLED_AT_ONCE {
        sql.execute(
            "UPDATE node SET settled = 1 \
             WHERE id IN (SELECT id FROM node WHERE settled = 0 ORDER BY id LIMIT ?)",
            &[Value::Integer(NODES_SETTLED_AT_ONCE.cast_signed())],
        )?;
        new_nodes = self::new_nodes(sql)?;
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
    Ok(new_nodes)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use repo_mst::{BlockStore, cid_for_cbor};

    use super::*;
    use crate::agent::MIGRATIONS;
    use crate::host::native::sql::Database;
    use crate::repo::Nodes;
    use crate::repo::plan::{Author, Wish, decide, plan_commit};
    use crate::store::migrate::migrate;

    const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    #[test]
    fn nodes_of_the_schema_before_stay_readable_and_can_be_replaced() {
        let database = Database::in_memory().unwrap();
        migrate(&database, &MIGRATIONS[..2]).unwrap();
        let block = Bytes::from_static(b"\xa2aa");
        let cid = cid_for_cbor(&block);
        let row = [Value::Blob(&cid.to_bytes()), Value::Blob(&block)];
        database.execute("INSERT INTO node (cid, rev, block) VALUES (?, '3jzfcijpj2z2a', ?)", &row).unwrap();
        migrate(&database, MIGRATIONS).unwrap();
        assert_eq!(Nodes(&database).read_block(&cid).unwrap(), Some(block));
        assert_eq!(new_nodes(&database).unwrap(), 0);
    }

    #[test]
    fn few_nodes_are_new_and_every_node_is_found_and_removed() {
        let database = Database::in_memory().unwrap();
        migrate(&database, MIGRATIONS).unwrap();
        let key = crate::crypto::SigningKey::from_bytes(&[7; 32]).unwrap();
        let author = Author { did: DID, key: &key, now_us: 1_790_000_000_000_000, clock_id: 0 };
        let (mut head, mut tree, mut new) = (None, repo_mst::Tree::empty(), 0);
        let paths: Vec<_> = (0..3_000).map(|number| format!("a.b.c/{number:05}")).collect();
        let record = |action, path: &String, block| Wish {
            action,
            path: path.clone(),
            block,
            blobs: Vec::new(),
            swap: None,
        };
        let mut commit = |wishes| {
            let decided = decide(&tree, &Nodes(&database), wishes).unwrap();
            let changes = decided.into_iter().filter_map(|(change, _)| change).collect();
            let plan = plan_commit(&author, head.as_ref(), &tree, &Nodes(&database), changes).unwrap();
            new = apply(&database, &plan, new).unwrap();
            assert_eq!(new, new_nodes(&database).unwrap());
            assert!(new <= 2 * NODES_SETTLED_AT_ONCE, "{new} nodes are new");
            // Opened anew, so that every node comes from the database.
            tree = repo_mst::Tree::open(&plan.head.data).unwrap();
            head = Some(plan.head);
        };
        for paths in paths.chunks(50) {
            let block = Some(Bytes::from_static(b"\xa0"));
            let wish = |path| record(crate::agent::WriteAction::Create, path, block.clone());
            commit(paths.iter().map(wish).collect());
        }
        for paths in paths.chunks(100) {
            commit(paths.iter().map(|path| record(crate::agent::WriteAction::Delete, path, None)).collect());
        }
        let left = query_first(&database, "SELECT count(*) FROM node", &[], |row| row.integer(0)).unwrap();
        assert_eq!(left, Some(1), "the empty root");
    }
}
