//! A plan into rows. Dull on purpose; runs inside the command's transaction.
//!
//! Tricky bit: nodes come and go with every commit, and their CIDs are in random order, so one index over all of them
//! would cost each commit about twenty scattered pages of a large repo. New nodes have a small index of their own; the
//! oldest of those that are still there move to the large one, [`NODES_SETTLED_AT_ONCE`] at a time. And most nodes that a
//! commit removes came with one of the last few: those that it adds take over their rows, which stand together, so that
//! the same pages are written again and none comes or goes.

use bytes::Bytes;
use cid::Cid;

use super::plan::CommitPlan;
use super::sent::Sent;
use super::{Error, RecordChange};
use crate::event::Action;
use crate::rate_limit::Debts;
use crate::store::{Sql, SqlError, Value, query_first};

/// New nodes that are settled in one go, once there are twice as many: the small index is a page, which every commit
/// writes, and one in three commits settles a node or so.
const NODES_SETTLED_AT_ONCE: u64 = 32;

/// Nodes inserted or removed by one statement: a statement costs more than a node, above all across the boundary to
/// JavaScript. Four parameters a node, and few different texts to prepare.
const NODES_A_STATEMENT: usize = 16;

/// How many nodes are not settled yet: the head says so, since counting them at each opening would read hundreds of rows.
///
/// # Errors
/// [`SqlError`].
pub fn new_nodes(sql: &dyn Sql) -> Result<u64, SqlError> {
    let count = query_first(sql, "SELECT new_nodes FROM head WHERE id = 1", &[], |row| row.integer(0))?;
    Ok(count.unwrap_or(0).unsigned_abs())
}

/// Writes the plan's nodes, records, references and head. `new_nodes` is how many were not settled before it; answers
/// how many are not after it.
///
/// # Errors
/// [`Error::Sql`]; the caller's transaction must then be undone.
pub fn apply(sql: &dyn Sql, plan: &CommitPlan, new_nodes: u64, sent: Sent) -> Result<u64, Error> {
    let rev = Value::Text(plan.head.rev.as_str());
    let mut rows = Vec::new();
    for cids in plan.nodes_removed.chunks(NODES_A_STATEMENT) {
        remove_nodes(sql, cids, &mut rows)?;
    }
    // Whatever the plan of the query: the same rows on every host.
    rows.sort_unstable();
    let mut new_nodes = (new_nodes + plan.nodes_added.len() as u64).saturating_sub(rows.len() as u64);
    for nodes in plan.nodes_added.chunks(NODES_A_STATEMENT) {
        insert_nodes(sql, rev, nodes, &mut rows)?;
    }
    for rows in rows.chunks(NODES_A_STATEMENT) {
        let statement = format!("DELETE FROM node WHERE id IN ({})", marks("?", rows.len()));
        sql.execute(&statement, &rows.iter().map(|row| Value::Integer(*row)).collect::<Vec<_>>())?;
    }
    while new_nodes > 2 * NODES_SETTLED_AT_ONCE {
        let settled = sql.execute_counted(
            "UPDATE node SET settled = 1 \
             WHERE id IN (SELECT id FROM node WHERE settled = 0 ORDER BY rev, id LIMIT ?)",
            &[Value::Integer(NODES_SETTLED_AT_ONCE.cast_signed())],
        )?;
        // Were there none, the count would be wrong: then there are none.
        new_nodes = if settled == 0 { 0 } else { new_nodes.saturating_sub(settled) };
    }
    for change in &plan.changes {
        apply_record(sql, plan.head.rev.as_str(), change)?;
    }
    let Debts([paid_short_us, paid_long_us]) = sent.debts;
    sql.execute(
        "INSERT INTO head (id, rev, commit_cid, data_cid, block, new_nodes, sent_day, sent_bytes, \
         paid_short_us, paid_long_us) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, commit_cid = excluded.commit_cid, \
         data_cid = excluded.data_cid, block = excluded.block, new_nodes = excluded.new_nodes, \
         sent_day = excluded.sent_day, sent_bytes = excluded.sent_bytes, \
         paid_short_us = excluded.paid_short_us, paid_long_us = excluded.paid_long_us",
        &[
            rev,
            Value::Blob(&plan.head.commit.to_bytes()),
            Value::Blob(&plan.head.data.to_bytes()),
            Value::Blob(&plan.commit_block),
            Value::Integer(new_nodes.cast_signed()),
            Value::Integer(sent.day),
            Value::Integer(sent.bytes),
            Value::Integer(paid_short_us),
            Value::Integer(paid_long_us),
        ],
    )?;
    Ok(new_nodes)
}

/// Removes nodes that are settled, and puts the rows of those that are new into `rows`, to be written over.
fn remove_nodes(sql: &dyn Sql, cids: &[Cid], rows: &mut Vec<i64>) -> Result<(), SqlError> {
    let keys: Vec<Vec<u8>> = cids.iter().map(Cid::to_bytes).collect();
    let params: Vec<Value<'_>> = keys.iter().map(|key| Value::Blob(key)).collect();
    let marks = marks("?", cids.len());
    let before = rows.len();
    let new = format!("SELECT id FROM node WHERE settled = 0 AND cid IN ({marks})");
    sql.query(&new, &params, &mut |row| {
        rows.push(row.integer(0)?);
        Ok(())
    })?;
    if rows.len() - before < cids.len() {
        sql.execute(&format!("DELETE FROM node WHERE settled = 1 AND cid IN ({marks})"), &params)?;
    }
    Ok(())
}

/// Inserts nodes, into `rows` while there are some.
fn insert_nodes(
    sql: &dyn Sql,
    rev: Value<'_>,
    nodes: &[(Cid, Bytes)],
    rows: &mut Vec<i64>,
) -> Result<(), SqlError> {
    let keys: Vec<Vec<u8>> = nodes.iter().map(|(cid, _)| cid.to_bytes()).collect();
    let values = keys.iter().zip(nodes).flat_map(|(key, (_, block))| {
        let row = rows.pop().map_or(Value::Null, Value::Integer);
        [row, Value::Blob(key), rev, Value::Blob(block)]
    });
    let values: Vec<_> = values.collect();
    let marks = marks("(?, ?, ?, ?)", nodes.len());
    sql.execute(&format!("REPLACE INTO node (id, cid, rev, block) VALUES {marks}"), &values)
}

fn marks(mark: &str, count: usize) -> String {
    vec![mark; count].join(", ")
}

fn apply_record(sql: &dyn Sql, rev: &str, change: &RecordChange) -> Result<(), Error> {
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
            &[path, Value::Text(&blob.to_string()), Value::Text(rev)],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use repo_mst::{BlockStore, cid_for_cbor};

    use super::*;
    use crate::account::MIGRATIONS;
    use crate::native::sql::Database;
    use crate::repo::Nodes;
    use crate::repo::plan::{Author, decide, plan_commit};
    use crate::repo::{Swap, Write, WriteAction};
    use crate::store::migrate::migrate;
    use crate::syntax::{Nsid, RecordKey};

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
        let rkeys: Vec<_> = (0..3_000).map(|number| format!("{number:05}")).collect();
        let record = |action, rkey: &String, record: Option<&[u8]>| Write {
            action,
            collection: Nsid::try_from("a.b.c").unwrap(),
            rkey: Some(RecordKey::try_from(rkey.as_str()).unwrap()),
            record: record.map(|record| record.to_vec().into()),
            blobs: Vec::new(),
            swap_record: Swap::Any,
        };
        let mut commit = |writes| {
            let decided = decide(&tree, &Nodes(&database), writes).unwrap();
            let changes = decided.into_iter().filter_map(|(change, _)| change).collect();
            let plan = plan_commit(&author, head.as_ref(), &tree, &Nodes(&database), changes).unwrap();
            new = apply(&database, &plan, new, Sent::default()).unwrap();
            let counted = "SELECT count(*) FROM node WHERE settled = 0";
            let counted = query_first(&database, counted, &[], |row| row.integer(0)).unwrap().unwrap();
            assert_eq!((new, new), (new_nodes(&database).unwrap(), counted.unsigned_abs()));
            assert!(new <= 2 * NODES_SETTLED_AT_ONCE, "{new} nodes are new");
            // Opened anew, so that every node comes from the database.
            tree = repo_mst::Tree::open(&plan.head.data).unwrap();
            head = Some(plan.head);
        };
        for rkeys in rkeys.chunks(50) {
            commit(rkeys.iter().map(|rkey| record(WriteAction::Create, rkey, Some(b"\xa0"))).collect());
        }
        for rkeys in rkeys.chunks(100) {
            commit(rkeys.iter().map(|rkey| record(WriteAction::Delete, rkey, None)).collect());
        }
        let left = query_first(&database, "SELECT count(*) FROM node", &[], |row| row.integer(0)).unwrap();
        assert_eq!(left, Some(1), "the empty root");
    }
}
