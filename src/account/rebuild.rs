//! An account's repo put together again from the records that are left of it.
//!
//! The tree is what its records make it, so nodes and commit need not have survived: where all records are there, the tree
//! comes out as the commit says, and the repo is the one it was. Where some are lost, a new commit has to be signed over
//! the others, and consumers are told by `#sync`.

use cid::Cid;
use repo_mst::commit::UnsignedCommit;
use repo_mst::{MemoryBlocks, Tree, cid_for_cbor};

use super::Error;
use crate::actor::Status;
use crate::env::Env;
use crate::event::{EventKind, SyncEvent};
use crate::outbox::Outbox;
use crate::repo::read::commit_car;
use crate::repo::{self, Head, verified};
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::{Did, Tid, format_datetime_ms};
use crate::work::unwrap_signing_key;

/// A tree that was built anew.
#[derive(Debug)]
pub struct RebuiltTree {
    /// Its root.
    pub data: Cid,
    /// Records in it.
    pub records: u64,
    /// Records whose bytes are not those of their CIDs, which were left out.
    pub left_out: Vec<String>,
    /// Whether the commit that is there is over this tree.
    pub is_committed: bool,
}

/// Builds the tree of the records that are there, in place of all nodes. In one transaction, which is the caller's.
///
/// # Errors
/// [`Error`].
pub fn rebuild_tree(sql: &dyn Sql) -> Result<RebuiltTree, Error> {
    let (mut tree, none) = (Tree::empty(), MemoryBlocks::new());
    let (mut records, mut left_out, mut failed) = (0, Vec::new(), None);
    sql.query("SELECT path, cid, block FROM record ORDER BY path", &[], &mut |row| {
        let path = row.text(0)?;
        match verified(sql, row.blob(1)?, row.blob(2)?) {
            Ok(cid) => {
                records += 1;
                if let Err(error) = tree.insert(&none, path, &cid) {
                    failed = Some(repo::Error::from(error));
                    return Err(SqlError::Other("the tree can't be built".to_owned()));
                }
            }
            Err(_) => left_out.push(path.to_owned()),
        }
        Ok(())
    })
    .map_err(|error| failed.map_or_else(|| Error::from(error), Error::from))?;
    for path in &left_out {
        sql.execute("DELETE FROM record WHERE path = ?", &[Value::Text(path)])?;
        sql.execute("DELETE FROM blob_reference WHERE path = ?", &[Value::Text(path)])?;
    }
    let head = Head::read(sql).ok().flatten();
    let rev = head.as_ref().map_or_else(|| Tid::next(None, 0, 0), |head| head.rev);
    let written = tree.finish().map_err(repo::Error::from)?;
    sql.execute("DELETE FROM node", &[])?;
    for (cid, block) in &written.added {
        sql.execute(
            "INSERT INTO node (cid, rev, block, settled) VALUES (?, ?, ?, 1)",
            &[Value::Blob(&cid.to_bytes()), Value::Text(rev.as_str()), Value::Blob(block)],
        )?;
    }
    let is_committed = head.is_some_and(|head| head.data == written.root) && commit_car(sql).is_ok();
    Ok(RebuiltTree { data: written.root, records, left_out, is_committed })
}

/// Signs a commit over the tree of this root, and leaves a `#sync` in the outbox where the account is active.
///
/// # Errors
/// [`Error`]; [`Error::Vault`] under another master key.
pub fn sign_anew(sql: &dyn Sql, env: &mut Env<'_>, did: &Did, data: Cid) -> Result<Head, Error> {
    let account = "SELECT status, signing_key FROM account WHERE id = 1";
    let account =
        query_first(sql, account, &[], |row| Ok((Status::parse(row.text(0)?), row.blob(1)?.to_vec())))?;
    let (status, wrapped) = account.ok_or(Error::NoRepo)?;
    let key = unwrap_signing_key(env, did, &wrapped)?;
    let before = Head::read(sql).ok().flatten().map(|head| head.rev);
    let clock_id = u16::from_be_bytes(env.random()) & 0x3ff;
    let rev = Tid::next(before.as_ref(), env.now_us, clock_id);
    let unsigned = UnsignedCommit { did: did.as_str(), rev: rev.as_str(), data, prev: None };
    let signature = key.sign(&unsigned.encode());
    let block = unsigned.sign_with(bytes::Bytes::copy_from_slice(&signature)).encode();
    let head = Head { rev, commit: cid_for_cbor(&block), data };
    sql.execute("DELETE FROM head", &[])?;
    sql.execute(
        "INSERT INTO head (id, rev, commit_cid, data_cid, block) VALUES (1, ?, ?, ?, ?)",
        &[
            Value::Text(rev.as_str()),
            Value::Blob(&head.commit.to_bytes()),
            Value::Blob(&data.to_bytes()),
            Value::Blob(&block),
        ],
    )?;
    if status.is_some_and(|status| status.is_active()) {
        let (time, blocks) = (format_datetime_ms(env.now_us), commit_car(sql)?);
        let event = SyncEvent { did: did.as_str(), time: &time, rev: rev.as_str(), blocks: &blocks };
        let mut outbox = Outbox::open(sql, rev.micros())?;
        outbox.emit(sql, env.now_us, EventKind::Sync, event.encode())?;
    }
    Ok(head)
}
