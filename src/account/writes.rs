//! Commits: writes by record key, and the cell's own writes of sealed records.

use bytes::Bytes;
use cid::Cid;
use repo_mst::Tree;

use super::blobs::check_blobs;
use super::{
    Account, ApplyWrites, CommitMeta, Error, State, Swap, Write, WriteAction, WriteResult, WritesApplied,
};
use crate::env::Env;
use crate::event::EventKind;
use crate::limits::TREE_NODES_LOADED_MAX;
use crate::memory::{FORGET_MAX, Forgetting};
use crate::repo::export::replaced;
use crate::repo::plan::{Author, Wish, decide, plan_commit};
use crate::repo::{Nodes, RecordChange, apply};
use crate::store::Sql;
use crate::syntax::Tid;
use crate::vault;

impl Account {
    pub(super) fn apply_writes(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: ApplyWrites,
    ) -> Result<WritesApplied, Error> {
        let account = self.active_account()?;
        if let Some(expected) = &command.swap_commit {
            let found = account.head.commit.to_string();
            if *expected != found {
                return Err(Error::InvalidSwap(format!("Commit was at {found}")));
            }
        }
        let mut rkeys = Vec::with_capacity(command.writes.len());
        let mut wishes = Vec::with_capacity(command.writes.len());
        let mut unsealed = Vec::new();
        for write in command.writes {
            let rkey = match &write.rkey {
                Some(rkey) => rkey.clone(),
                None => account.next_record_key(env.now_us),
            };
            check_blobs(sql, &write.blobs)?;
            if write.collection == vault::COLLECTION && write.action != WriteAction::Create {
                unsealed.push(rkey.clone());
            }
            wishes.push(wish(write, &rkey)?);
            rkeys.push(rkey);
        }
        if unsealed.len() > FORGET_MAX {
            let many = format!("at most {FORGET_MAX} sealed records change in one commit");
            return Err(Error::InvalidWrites(many));
        }
        let decided = decide(&account.tree, &Nodes(sql), wishes)?;
        // A sealed record that is overwritten or deleted by its key loses its data key with it.
        let forgetting = account.memory.plan_forget(sql, &unsealed)?;
        let (changes, cids): (Vec<_>, Vec<_>) = decided.into_iter().unzip();
        let commit = self.commit(sql, env, changes.into_iter().flatten().collect())?;
        self.forget_keys(sql, &forgetting)?;
        let results = rkeys
            .into_iter()
            .zip(cids)
            .map(|(rkey, cid)| WriteResult { rkey, cid: cid.map(|cid| cid.to_string()) })
            .collect();
        Ok(WritesApplied { commit, results })
    }

    /// Commits these changes and emits the event; `None` when there are none.
    pub(super) fn commit(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        changes: Vec<RecordChange>,
    ) -> Result<Option<CommitMeta>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        let account = self.active_account()?;
        let author =
            Author { did: &account.did, key: &account.key, now_us: env.now_us, clock_id: account.clock_id };
        let plan = plan_commit(&author, Some(&account.head), &account.tree, &Nodes(sql), changes)?;
        if self.keep_replaced {
            self.effects.replaced.extend(replaced(sql, &plan)?);
        }
        let account = self.active_account()?;
        let new_nodes = apply::apply(sql, &plan, account.new_nodes)?;
        let meta = CommitMeta { cid: plan.head.commit.to_string(), rev: plan.head.rev.clone() };
        self.emit(sql, env, EventKind::Commit, plan.frame)?;
        let account = self.active_account()?;
        account.tree = if plan.tree.loaded_nodes() > TREE_NODES_LOADED_MAX {
            Tree::open(&plan.head.data).map_err(|error| Error::Internal(error.to_string()))?
        } else {
            plan.tree
        };
        account.head = plan.head;
        account.new_nodes = new_nodes;
        Ok(Some(meta))
    }

    /// Destroys the keys of a plan and lets the index follow.
    pub(super) fn forget_keys(&mut self, sql: &dyn Sql, forgetting: &Forgetting) -> Result<u64, Error> {
        if forgetting.keys.is_empty() {
            return Ok(0);
        }
        let shredded = forgetting.apply(sql)?;
        self.effects.shredded = true;
        self.account()?.memory.forgotten(forgetting);
        Ok(shredded)
    }
}

impl State {
    /// A record key that was not given before, though many are asked for in one microsecond.
    fn next_record_key(&mut self, now_us: i64) -> String {
        let next = Tid::next(self.last_record_key.as_ref(), now_us, self.clock_id);
        self.last_record_key = Some(next);
        next.as_str().to_owned()
    }
}

fn wish(write: Write, rkey: &str) -> Result<Wish, Error> {
    let swap = match write.swap_record {
        Swap::Any => None,
        Swap::Nothing => Some(None),
        Swap::Record(text) => {
            let cid = Cid::try_from(text.as_str())
                .map_err(|_| Error::InvalidSwap(format!("swapRecord {text} is not a CID")))?;
            Some(Some(cid))
        }
    };
    Ok(Wish {
        action: write.action,
        path: format!("{}/{rkey}", write.collection),
        block: write.record.map(|record| Bytes::from(record.into_vec())),
        blobs: write.blobs.into_iter().map(|blob| blob.cid).collect(),
        swap,
    })
}
