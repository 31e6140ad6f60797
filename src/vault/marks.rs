//! What a memory says, as marks beside its key: the same again has the same marks, which say nothing without the agent's
//! root key.

use super::Error;
use super::keys::MARK_LEN;
use super::{Keyring, RootKey};
use crate::store::{Sql, Value};

/// The marks of one memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Absent when it was not marked yet; empty for one that does not open.
    content: Option<Vec<u8>>,
    /// Of a fact.
    statement: Option<[u8; MARK_LEN]>,
}

impl Marks {
    /// Of a memory that nothing is like.
    pub fn none() -> Self {
        Self { content: Some(Vec::new()), statement: None }
    }

    /// Of what the memory says in all.
    pub fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// Of what a fact states.
    pub fn statement(&self) -> Option<&[u8]> {
        self.statement.as_ref().map(<[u8; MARK_LEN]>::as_slice)
    }

    /// Writes them beside a key that is there.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn write(&self, sql: &dyn Sql, rkey: &str) -> Result<(), Error> {
        let [content, statement] = self.values();
        let update = "UPDATE keyring SET content = ?, statement = ? WHERE rkey = ?";
        Ok(sql.execute(update, &[content, statement, Value::Text(rkey)])?)
    }

    /// The columns `content` and `statement`.
    pub(super) fn values(&self) -> [Value<'_>; 2] {
        [self.content(), self.statement()].map(|mark| mark.map_or(Value::Null, Value::Blob))
    }
}

impl Keyring {
    /// The marks of a memory, from digests of what it says and, for a fact, of what it states.
    pub fn marks(&self, content: &[u8; 32], statement: Option<&[u8; 32]>) -> Marks {
        let root: &RootKey = self.root();
        Marks {
            content: Some(root.mark("memory-content/", content).to_vec()),
            statement: statement.map(|statement| root.mark("memory-statement/", statement)),
        }
    }
}
