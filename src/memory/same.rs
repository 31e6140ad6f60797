//! Whether a memory is there already: by marks, so that a cell that wakes opens no memory but the one it is compared with.
//!
//! A mark is a digest under a key of the agent's own, beside the memory's key in the keyring and gone with it; see
//! [`Keyring::marks`]. It only leads to a memory: what is the same says the memory, opened.
//!
//! [`Keyring::marks`]: crate::vault::Keyring::marks

use super::{Entry, Error, Memory};
use crate::store::{Sql, Value, query_all, query_first};
use crate::vault::Marks;

/// Memories with the same mark that are opened to be compared: more are facts that hold on and off, or copies that were
/// wanted, and each takes some 15 us.
const COMPARED_MAX: i64 = 1_000;

impl Memory {
    /// Marks the memories that have none: those from before there were marks, and those that came in an archive.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn mark_all(&self, sql: &dyn Sql) -> Result<(), Error> {
        const UNMARKED: &str = "keyring.content IS NULL";
        let unmarked = format!("SELECT 1 FROM keyring WHERE {UNMARKED} LIMIT 1");
        if query_first(sql, &unmarked, &[], |_| Ok(()))?.is_none() {
            return Ok(());
        }
        let mut marked = Vec::new();
        self.open_each(sql, UNMARKED, &mut |rkey, entry| {
            marked.push((rkey, entry.map_or_else(|_| Marks::none(), |entry| self.marks(&entry))));
        })?;
        for (rkey, marks) in &marked {
            marks.write(sql, rkey)?;
        }
        Ok(())
    }

    pub(super) fn marks(&self, entry: &Entry) -> Marks {
        self.keyring.marks(&entry.digest, entry.statement.as_ref())
    }

    /// The record key of a memory with the same content.
    pub(super) fn same_content(
        &self,
        sql: &dyn Sql,
        entry: &Entry,
        marks: &Marks,
    ) -> Result<Option<String>, Error> {
        let statement = "SELECT rkey FROM keyring WHERE content = ? LIMIT ?";
        for rkey in self.marked(sql, statement, marks.content())? {
            if self.entry(sql, &rkey)?.is_some_and(|other| other.digest == entry.digest) {
                return Ok(Some(rkey));
            }
        }
        Ok(None)
    }

    /// The record key of a fact that states the same of a time that meets this one's, of several the newest. What held,
    /// ended, and holds again is two facts.
    pub(super) fn same_statement(
        &self,
        sql: &dyn Sql,
        entry: &Entry,
        marks: &Marks,
    ) -> Result<Option<String>, Error> {
        let (from, to) = entry.valid_us;
        let mut newest = None;
        let statement = "SELECT rkey FROM keyring WHERE statement = ? LIMIT ?";
        for rkey in self.marked(sql, statement, marks.statement())? {
            let Some(other) = self.entry(sql, &rkey)? else { continue };
            let is_same = other.statement == entry.statement;
            let is_meeting = other.valid_us.0 <= to && from <= other.valid_us.1;
            if is_same && is_meeting {
                newest = newest.max(Some((other.created_us, rkey)));
            }
        }
        Ok(newest.map(|(_, rkey)| rkey))
    }

    fn marked(&self, sql: &dyn Sql, statement: &str, mark: Option<&[u8]>) -> Result<Vec<String>, Error> {
        let Some(mark) = mark else { return Ok(Vec::new()) };
        let params = [Value::Blob(mark), Value::Integer(COMPARED_MAX)];
        Ok(query_all(sql, statement, &params, |row| Ok(row.text(0)?.to_owned()))?)
    }

    /// What there is to know of a memory; `None` for one that does not open, which is like no other.
    fn entry(&self, sql: &dyn Sql, rkey: &str) -> Result<Option<Entry>, Error> {
        match self.get(sql, rkey) {
            Ok(opened) => Ok(opened.and_then(|opened| Entry::read(opened.memory.expose()).ok())),
            Err(Error::SealBroken { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
