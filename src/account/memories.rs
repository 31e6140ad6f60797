//! Memories: sealed records whose keys stay in the cell.

use bytes::Bytes;
use serde_bytes::ByteBuf;

use super::{
    Account, Error, Forget, Forgotten, GetMemory, ListMemories, Memory, MemoryPage, Recall, Recalled,
    Remember, Remembered, WriteAction,
};
use crate::env::Env;
use crate::memory::{self, Opened};
use crate::repo::plan::{Wish, decide};
use crate::repo::{Nodes, RecordChange};
use crate::store::Sql;
use crate::vault;

impl Account {
    pub(super) fn remember(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: &Remember,
    ) -> Result<Remembered, Error> {
        let account = self.active_account()?;
        let now_us = env.now_us;
        let planned = account.memory.plan_remember(sql, &command.memory, command.dedupe, now_us, env.rng)?;
        let write = match planned {
            memory::Remember::Duplicate { rkey } => {
                let opened = account.memory.get(sql, &rkey)?.ok_or(Error::MemoryNotFound)?;
                let status = "duplicate".to_owned();
                return Ok(Remembered { rkey, cid: opened.cid.to_string(), status });
            }
            memory::Remember::Write(write) => write,
        };
        let (action, status) = match write.status() {
            memory::Status::Created => (WriteAction::Create, "created"),
            memory::Status::Updated => (WriteAction::Update, "updated"),
        };
        let block = Some(Bytes::copy_from_slice(write.record()));
        let changes = self.sealed_changes(sql, action, &[write.rkey().to_owned()], block.as_ref())?;
        let cid = changes.first().and_then(|change| change.record.as_ref().map(|(cid, _)| cid.to_string()));
        write.apply(sql)?;
        self.commit(sql, env, changes)?;
        self.active_account()?.memory.remembered(&write);
        let cid = cid.ok_or_else(|| Error::Internal("a sealed record without a change".to_owned()))?;
        Ok(Remembered { rkey: write.rkey().to_owned(), cid, status: status.to_owned() })
    }

    pub(super) fn get_memory(&mut self, sql: &dyn Sql, command: &GetMemory) -> Result<Memory, Error> {
        self.account()?.memory.get(sql, &command.rkey)?.map(Memory::from).ok_or(Error::MemoryNotFound)
    }

    pub(super) fn list_memories(
        &mut self,
        sql: &dyn Sql,
        command: &ListMemories,
    ) -> Result<MemoryPage, Error> {
        let cursor = command.cursor.as_deref();
        let page = self.account()?.memory.list(sql, &command.filter, cursor, command.limit as usize)?;
        Ok(MemoryPage {
            memories: page.memories.into_iter().map(Memory::from).collect(),
            cursor: page.cursor,
        })
    }

    pub(super) fn recall(&mut self, sql: &dyn Sql, command: &Recall) -> Result<Vec<Recalled>, Error> {
        let limit = command.limit as usize;
        let hits =
            self.account()?.memory.recall(sql, &command.query, &command.filter, limit, command.min_score)?;
        Ok(hits
            .into_iter()
            .map(|hit| Recalled { memory: hit.memory.into(), score: hit.score, why: hit.why })
            .collect())
    }

    pub(super) fn forget(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: &Forget,
    ) -> Result<Forgotten, Error> {
        let account = self.account()?;
        let forgetting = match &command.filter {
            Some(filter) => account.memory.plan_forget_matching(sql, filter)?,
            None => account.memory.plan_forget(sql, &command.rkeys)?,
        };
        let more = forgetting.more;
        if command.dry_run {
            let shredded = match &command.filter {
                Some(filter) => account.memory.count_matching(sql, filter)? as u64,
                None => forgetting.keys.len() as u64,
            };
            return Ok(Forgotten { rkeys: forgetting.records, shredded, more });
        }
        let changes = self.sealed_changes(sql, WriteAction::Delete, &forgetting.records, None)?;
        self.commit(sql, env, changes)?;
        let shredded = self.forget_keys(sql, &forgetting)?;
        Ok(Forgotten { rkeys: forgetting.records, shredded, more })
    }

    fn sealed_changes(
        &mut self,
        sql: &dyn Sql,
        action: WriteAction,
        rkeys: &[String],
        block: Option<&Bytes>,
    ) -> Result<Vec<RecordChange>, Error> {
        let wishes = rkeys.iter().map(|rkey| Wish {
            action,
            path: format!("{}/{rkey}", vault::COLLECTION),
            block: block.cloned(),
            blobs: Vec::new(),
            swap: None,
        });
        let decided = decide(&self.account()?.tree, &Nodes(sql), wishes.collect())?;
        Ok(decided.into_iter().filter_map(|(change, _)| change).collect())
    }
}

impl From<Opened> for Memory {
    fn from(opened: Opened) -> Self {
        Self { rkey: opened.rkey, cid: opened.cid.to_string(), memory: ByteBuf::from(opened.memory.to_vec()) }
    }
}
