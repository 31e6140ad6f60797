//! Opening memories: one, a page, those that fit a query; and restoring the index from all of them.

use super::RECALL_RESULTS_MAX;
use super::{
    Entry, Error, Filter, Index, Memory, MemoryPage, Opened, Recalled, Restored, record_key, record_path,
};
use crate::data_model::Cid;
use crate::seam::Hidden;
use crate::store::{Sql, SqlError, Value, query_first};
use crate::vault::{self, KeyringRow};

impl Memory {
    /// Opens one memory; `None` when there is none, or it was forgotten. Needs no index.
    ///
    /// # Errors
    /// [`Error::SealBroken`], [`Error::Sql`].
    pub fn get(&self, sql: &dyn Sql, rkey: &str) -> Result<Option<Opened>, Error> {
        let Some(row) = vault::Keyring::row(sql, rkey)? else { return Ok(None) };
        let record = query_first(
            sql,
            "SELECT cid, block FROM record WHERE path = ?",
            &[Value::Text(&record_path(rkey))],
            |record| Ok((record.blob(0)?.to_vec(), record.blob(1)?.to_vec())),
        )?;
        let broken = |source| Error::broken(rkey, &source);
        let (cid, block) = record.ok_or_else(|| broken(MISSING))?;
        let memory = self.keyring.open_with(&row, &block).map_err(broken)?;
        let cid =
            Cid::try_from(cid.as_slice()).map_err(|_| SqlError::Corrupt("CID of a record".to_owned()))?;
        Ok(Some(Opened { rkey: record_key(rkey)?, cid, memory: memory.into() }))
    }

    /// A page of memories, newest first.
    ///
    /// # Errors
    /// [`Error::Cursor`], [`Error::SealBroken`], [`Error::Sql`].
    pub fn list(
        &mut self,
        sql: &dyn Sql,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<MemoryPage, Error> {
        let before = cursor.map(read_cursor).transpose()?;
        let limit = limit.clamp(1, RECALL_RESULTS_MAX);
        let mut keys: Vec<(i64, String)> = self
            .complete_index(sql)?
            .newest(filter, before)
            .take(limit + 1)
            .map(|(created_us, rkey)| (created_us, rkey.to_owned()))
            .collect();
        let more = keys.len() > limit;
        keys.truncate(limit);
        let cursor = keys.last().filter(|_| more).map(|(created_us, rkey)| format!("{created_us}:{rkey}"));
        let memories = keys.iter().map(|(_, rkey)| self.get_indexed(sql, rkey)).collect::<Result<_, _>>()?;
        Ok(MemoryPage { memories, cursor })
    }

    /// The memories that fit `query` best.
    ///
    /// # Errors
    /// [`Error::SealBroken`], [`Error::Sql`].
    pub fn recall(
        &mut self,
        sql: &dyn Sql,
        query: &str,
        filter: &Filter,
        limit: usize,
        score_min: u32,
    ) -> Result<Vec<Recalled>, Error> {
        let hits = self.complete_index(sql)?.search(query, filter, limit, score_min);
        hits.into_iter()
            .map(|hit| {
                let memory = self.get_indexed(sql, &hit.rkey)?;
                Ok(Recalled { memory, score: hit.score, why: Hidden::new(hit.why) })
            })
            .collect()
    }

    /// Opens a memory that the index has, so it must be there.
    fn get_indexed(&self, sql: &dyn Sql, rkey: &str) -> Result<Opened, Error> {
        self.get(sql, rkey)?.ok_or_else(|| Error::broken(rkey, &vault::Error::NoKey))
    }

    /// The index, for an answer that must not leave anything out.
    fn complete_index(&mut self, sql: &dyn Sql) -> Result<&Index, Error> {
        let restored = self.restored(sql)?;
        match restored.broken.first() {
            None => Ok(&restored.index),
            Some((rkey, source)) => Err(Error::broken(rkey, source)),
        }
    }

    /// The index, restored when it was not there.
    pub(super) fn restored(&mut self, sql: &dyn Sql) -> Result<&mut Restored, Error> {
        let restored = match self.index.take() {
            Some(restored) => restored,
            None => self.restore(sql)?,
        };
        Ok(self.index.insert(restored))
    }

    fn restore(&self, sql: &dyn Sql) -> Result<Restored, Error> {
        let mut restored = Restored { index: Index::new(), broken: Vec::new() };
        self.open_each(sql, "true", &mut |rkey, entry| match entry {
            Ok(entry) => restored.index.insert(&rkey, &entry),
            Err(error) => restored.broken.push((rkey, error)),
        })?;
        Ok(restored)
    }

    /// Opens the memories of a condition of ours, one after the other.
    pub(super) fn open_each(
        &self,
        sql: &dyn Sql,
        condition: &str,
        each: &mut dyn FnMut(String, Result<Entry, vault::Error>),
    ) -> Result<(), SqlError> {
        let statement = format!(
            "SELECT keyring.rkey, version, epoch, wrapped, block FROM keyring \
             LEFT JOIN record ON path = ? || keyring.rkey WHERE {condition} ORDER BY keyring.rkey"
        );
        sql.query(&statement, &[Value::Text(&record_path(""))], &mut |row| {
            let (key, block) = (KeyringRow::read(row)?, row.optional_blob(4)?);
            let entry = block.ok_or(MISSING).and_then(|block| {
                let memory = self.keyring.open_with(&key, block)?;
                Entry::read(&memory).map_err(|_| vault::Error::Malformed("not a memory inside"))
            });
            each(key.rkey, entry);
            Ok(())
        })
    }
}

/// The key is there, but the record it opens is not.
const MISSING: vault::Error = vault::Error::Malformed("the record is missing");

fn read_cursor(cursor: &str) -> Result<(i64, &str), Error> {
    let (created_us, rkey) = cursor.split_once(':').ok_or(Error::Cursor)?;
    // Any time that a memory may have, far ones too; the database never sees it.
    Ok((created_us.parse().map_err(|_| Error::Cursor)?, rkey))
}
