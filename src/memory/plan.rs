//! What keeping and forgetting will do, before it is done.

use super::FORGET_MAX;
use super::{Entry, Error, Filter, Kept, Memory, record_path};
use crate::data_model::{Ipld, decode_record, encode};
use crate::store::{Sql, Value, query_first};
use crate::syntax::{RecordKey, format_datetime_us};
use crate::vault::{Keyring, PLAINTEXT_INLINE_MAX, SealedWrite};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// What keeping a memory comes to.
#[derive(Debug)]
pub enum Planned {
    /// The same content is there already, under this record key.
    Duplicate {
        /// The standing memory's record key.
        rkey: String,
    },
    /// A record is to be written.
    Write(Box<Remembering>),
}

/// A planned memory.
#[derive(Debug)]
pub struct Remembering {
    sealed: SealedWrite,
    kept: Kept,
    entry: Entry,
}

impl Remembering {
    /// The key under which the record goes into [`crate::vault::COLLECTION`].
    pub fn rkey(&self) -> &str {
        &self.sealed.key.rkey
    }

    /// The sealed record's block, canonical DAG-CBOR.
    pub fn record(&self) -> &[u8] {
        &self.sealed.record
    }

    /// Whether the record is a new one or replaces one.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// Writes the key: in the transaction that commits the record.
    ///
    /// # Errors
    /// [`Error::Vault`].
    pub fn apply(&self, sql: &dyn Sql) -> Result<(), Error> {
        Ok(self.sealed.key.write(sql)?)
    }
}

/// Memories to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgetting {
    /// Keys of the records that are there, to be deleted from [`crate::vault::COLLECTION`] in one commit.
    pub records: Vec<String>,
    /// Record keys whose data keys are there, to be destroyed.
    pub keys: Vec<String>,
    /// Whether the filter matches more than fit into one commit.
    pub more: bool,
}

impl Forgetting {
    /// Destroys the keys: in the transaction that commits the deletions. Says how many there were.
    ///
    /// # Errors
    /// [`Error::Vault`].
    pub fn apply(&self, sql: &dyn Sql) -> Result<u64, Error> {
        let mut shredded = 0;
        for rkey in &self.keys {
            shredded += u64::from(Keyring::forget(sql, rkey)?);
        }
        Ok(shredded)
    }
}

impl Memory {
    /// Plans to keep a memory, given as canonical DAG-CBOR. With `dedupe`, one that says the same stays alone, and a
    /// fact that states the same is replaced; those that are not marked are not looked at ([`Memory::mark_all`]). A memory
    /// without `createdAt` gets the time of now.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TooLarge`], [`Error::Vault`], [`Error::Sql`].
    pub fn plan_remember(
        &self,
        sql: &dyn Sql,
        memory: &[u8],
        dedupe: bool,
        now_us: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Planned, Error> {
        let (entry, plaintext) = prepare(memory, now_us)?;
        let marks = self.marks(&entry);
        let mut standing = None;
        if dedupe {
            if let Some(rkey) = self.same_content(sql, &entry, &marks)? {
                return Ok(Planned::Duplicate { rkey });
            }
            standing = self.same_statement(sql, &entry, &marks)?;
        }
        let (kept, mut sealed) = match standing {
            Some(rkey) => (Kept::Updated, self.keyring.seal_next(sql, &rkey, &plaintext, rng)?),
            None => (Kept::Created, self.keyring.seal_new(&plaintext, rng)?),
        };
        sealed.key.marks = marks;
        Ok(Planned::Write(Box::new(Remembering { sealed, kept, entry })))
    }

    /// Lets the index follow what was written.
    pub fn remembered(&mut self, done: &Remembering) {
        if let Some(restored) = &mut self.index {
            restored.index.insert(done.rkey(), &done.entry);
        }
    }

    /// Plans to forget these memories. Memories that are not there are passed over; at most [`FORGET_MAX`] are taken.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn plan_forget(&self, sql: &dyn Sql, rkeys: &[RecordKey]) -> Result<Forgetting, Error> {
        plan_forget(sql, rkeys.iter().map(RecordKey::as_str).collect())
    }

    /// Plans to forget the memories that match, newest first, [`FORGET_MAX`] at a time.
    ///
    /// # Errors
    /// [`Error::EmptyFilter`], [`Error::Sql`].
    pub fn plan_forget_matching(&mut self, sql: &dyn Sql, filter: &Filter) -> Result<Forgetting, Error> {
        if filter.is_empty() {
            return Err(Error::EmptyFilter);
        }
        let index = &self.restored(sql)?.index;
        plan_forget(sql, index.newest(filter, None).take(FORGET_MAX + 1).map(|(_, rkey)| rkey).collect())
    }

    /// How many memories match; as many as forgetting them all would destroy.
    ///
    /// # Errors
    /// [`Error::EmptyFilter`], [`Error::Sql`].
    pub fn count_matching(&mut self, sql: &dyn Sql, filter: &Filter) -> Result<usize, Error> {
        if filter.is_empty() {
            return Err(Error::EmptyFilter);
        }
        Ok(self.restored(sql)?.index.newest(filter, None).count())
    }

    /// Lets the index follow the keys that were destroyed.
    pub fn forgotten(&mut self, rkeys: &[impl AsRef<str>]) {
        if let Some(restored) = &mut self.index {
            for rkey in rkeys {
                restored.index.remove(rkey.as_ref());
            }
            restored.broken.retain(|(broken, _)| !rkeys.iter().any(|rkey| rkey.as_ref() == broken));
        }
    }
}

fn plan_forget(sql: &dyn Sql, mut rkeys: Vec<&str>) -> Result<Forgetting, Error> {
    let mut plan = Forgetting { more: rkeys.len() > FORGET_MAX, ..Forgetting::default() };
    rkeys.truncate(FORGET_MAX);
    rkeys.sort_unstable();
    rkeys.dedup();
    for rkey in rkeys {
        if Keyring::row(sql, rkey)?.is_some() {
            plan.keys.push(rkey.to_owned());
        }
        let path = record_path(rkey);
        let record = "SELECT 1 FROM record WHERE path = ?";
        if query_first(sql, record, &[Value::Text(&path)], |row| row.integer(0))?.is_some() {
            plan.records.push(rkey.to_owned());
        }
    }
    Ok(plan)
}

/// The memory's entry, and its bytes with a `createdAt`.
fn prepare(memory: &[u8], now_us: i64) -> Result<(Entry, Zeroizing<Vec<u8>>), Error> {
    let invalid = |_| Error::Invalid("not an object of the data model".into());
    let Ipld::Map(mut fields) = decode_record(memory).map_err(invalid)? else {
        return Err(Error::Invalid("not an object of the data model".into()));
    };
    let mut plaintext = Zeroizing::new(Vec::new());
    if fields.contains_key("createdAt") {
        plaintext.extend_from_slice(memory);
    } else {
        fields.insert("createdAt".to_owned(), Ipld::String(format_datetime_us(now_us)));
        *plaintext = encode(&Ipld::Map(fields.clone())).map_err(invalid)?;
    }
    if plaintext.len() > PLAINTEXT_INLINE_MAX {
        return Err(Error::TooLarge { bytes: plaintext.len() as u64, limit: PLAINTEXT_INLINE_MAX as u64 });
    }
    Ok((Entry::of(fields)?, plaintext))
}
