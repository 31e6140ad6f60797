//! Answering commands: memories kept, found and forgotten, with the repo that holds their sealed records.

use serde_bytes::ByteBuf;

use super::plan::{Forgetting, Planned, Remembering};
use super::{
    Change, Error, Forget, Forgotten, Kept, Memory, Recall, Remember, Remembered, Reply, record_key,
};
use crate::repo::{Repo, Swap, Write, WriteAction, require_active};
use crate::syntax::{Nsid, RecordKey};
use crate::vault::COLLECTION;
use crate::work::Work;

impl Memory {
    /// Answers a command; `repo` is the account's, whose writer this is.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn change(
        &mut self,
        work: &mut Work<'_, '_>,
        repo: &mut Repo,
        change: Change,
    ) -> Result<Reply, Error> {
        Ok(match change {
            Change::Remember(remember) => Reply::Remember(self.remember(work, repo, &remember)?),
            Change::GetMemory(get) => {
                Reply::GetMemory(self.get(work.sql, get.rkey.as_str())?.ok_or(Error::NotFound)?)
            }
            Change::ListMemories(list) => {
                let cursor = list.cursor.as_deref();
                Reply::ListMemories(self.list(work.sql, &list.filter, cursor, list.limit as usize)?)
            }
            Change::Recall(Recall { query, filter, limit, min_score }) => {
                Reply::Recall(self.recall(work.sql, query.expose(), &filter, limit as usize, min_score)?)
            }
            Change::Forget(forget) => Reply::Forget(self.forget(work, repo, &forget)?),
        })
    }

    fn remember(
        &mut self,
        work: &mut Work<'_, '_>,
        repo: &mut Repo,
        command: &Remember,
    ) -> Result<Remembered, Error> {
        require_active(work.account)?;
        let (now_us, memory) = (work.env.now_us, command.memory.expose());
        if command.dedupe {
            self.mark_all(work.sql)?;
        }
        let planned = self.plan_remember(work.sql, memory, command.dedupe, now_us, work.env.rng)?;
        let write: Box<Remembering> = match planned {
            Planned::Duplicate { rkey } => {
                let opened = self.get(work.sql, &rkey)?.ok_or(Error::NotFound)?;
                return Ok(Remembered {
                    rkey: opened.rkey,
                    cid: opened.cid,
                    kept: Kept::Duplicate,
                    allowance: None,
                });
            }
            Planned::Write(write) => write,
        };
        let action = match write.kept() {
            Kept::Updated => WriteAction::Update,
            Kept::Created | Kept::Duplicate => WriteAction::Create,
        };
        let rkey = record_key(write.rkey())?;
        let record = Some(ByteBuf::from(write.record().to_vec()));
        let decided = repo.decide(work.sql, vec![sealed(action, rkey.clone(), record)?])?;
        let cid = decided.first().and_then(|(_, cid)| *cid);
        let cid = cid.ok_or_else(|| Error::Internal("a sealed record without a change".to_owned()))?;
        write.apply(work.sql)?;
        repo.commit(work, decided.into_iter().filter_map(|(change, _)| change).collect())?;
        self.remembered(&write);
        Ok(Remembered { rkey, cid, kept: write.kept(), allowance: repo.allowance })
    }

    fn forget(
        &mut self,
        work: &mut Work<'_, '_>,
        repo: &mut Repo,
        command: &Forget,
    ) -> Result<Forgotten, Error> {
        let forgetting = match &command.filter {
            Some(filter) => self.plan_forget_matching(work.sql, filter)?,
            None => self.plan_forget(work.sql, &command.rkeys)?,
        };
        let more = forgetting.more;
        let rkeys = forgetting.records.iter().map(|rkey| record_key(rkey)).collect::<Result<Vec<_>, _>>()?;
        if command.dry_run {
            let shredded = match &command.filter {
                Some(filter) => self.count_matching(work.sql, filter)? as u64,
                None => forgetting.keys.len() as u64,
            };
            return Ok(Forgotten { rkeys, shredded, more });
        }
        let deletions = rkeys.iter().map(|rkey| sealed(WriteAction::Delete, rkey.clone(), None));
        let decided = repo.decide(work.sql, deletions.collect::<Result<_, _>>()?)?;
        repo.commit(work, decided.into_iter().filter_map(|(change, _)| change).collect())?;
        let shredded = self.destroy(work, &forgetting)?;
        Ok(Forgotten { rkeys, shredded, more })
    }

    /// Destroys the keys of a plan and lets the index follow.
    fn destroy(&mut self, work: &mut Work<'_, '_>, forgetting: &Forgetting) -> Result<u64, Error> {
        if forgetting.keys.is_empty() {
            return Ok(0);
        }
        let shredded = forgetting.apply(work.sql)?;
        self.forgotten(&forgetting.keys);
        Ok(shredded)
    }
}

fn sealed(action: WriteAction, rkey: RecordKey, record: Option<ByteBuf>) -> Result<Write, Error> {
    let collection = Nsid::try_from(COLLECTION).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Write { action, collection, rkey: Some(rkey), record, blobs: Vec::new(), swap_record: Swap::Any })
}
