//! The keyring: which key opens which record, outside the repo.
//!
//! A [`Keyring`] is an agent's root key and epoch keys, unwrapped, in memory; the tables of `0002_vault.sql` hold them
//! wrapped, and one wrapped data key a record. Sealing only plans ([`SealedWrite`]): the cell writes the record and
//! [`KeyringRow::write`]s the key in one transaction.
//!
//! Invariants
//! - A row holds the key of the newest version only, and the version is part of what the key is bound to: an older
//!   ciphertext put back finds no key, an older *row* put back opens no newer ciphertext.
//! - Rotation is O(1): a new epoch becomes current, no row is rewritten.
//! - The keys of a Keyring were all in the database when it was opened; whoever rolls back a transaction that rotated,
//!   drops the Keyring too.

use super::keys::{unwrap_key, wrap_aad};
use super::{
    COLLECTION, Context, DataKey, EpochKey, Error, Marks, MasterKey, RootKey, SealedRecord, decode_record,
    encode_record, open, random_record_key, seal, wrap_secret,
};
use crate::store::{Row, Sql, SqlError, Value, query_all, query_first};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

pub(super) const PURPOSE_ROOT: &str = "agent.vault.root/1";
const PURPOSE_EPOCH: &str = "agent.vault.epoch/1";
const PURPOSE_DATA: &str = "agent.vault.dek/1";
/// The master key itself encrypts nothing; the key derived under this label wraps root keys.
pub(super) const LABEL_WRAP_ROOT: &str = "wrap-root";

/// An agent's keys, opened.
pub struct Keyring {
    did: String,
    root: RootKey,
    current: i64,
    epochs: BTreeMap<i64, EpochKey>,
}

/// A wrapped data key, to be written with the record it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringRow {
    /// The record's key in the collection.
    pub rkey: String,
    /// Which write of that record key this is, from 1.
    pub version: u64,
    pub(super) epoch: i64,
    pub(super) wrapped: Vec<u8>,
    /// What the record says; written with the key, never read with it.
    pub marks: Marks,
}

/// A planned private record: write both in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedWrite {
    /// The record's block, canonical DAG-CBOR, for the collection [`COLLECTION`] under `key.rkey`.
    pub record: Vec<u8>,
    /// The key that opens it.
    pub key: KeyringRow,
}

impl KeyringRow {
    /// Reads the columns `rkey, version, epoch, wrapped`, the first of a row.
    pub(crate) fn read(row: &dyn Row) -> Result<Self, SqlError> {
        Ok(Self {
            rkey: row.text(0)?.to_owned(),
            version: row.integer(1)?.unsigned_abs(),
            epoch: row.integer(2)?,
            wrapped: row.blob(3)?.to_vec(),
            marks: Marks::default(),
        })
    }

    /// Writes the row, in place of the record's older key if there is one.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn write(&self, sql: &dyn Sql) -> Result<(), Error> {
        let [content, statement] = self.marks.values();
        sql.execute(
            "INSERT INTO keyring (rkey, version, epoch, wrapped, content, statement) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (rkey) DO UPDATE SET version = ?2, epoch = ?3, wrapped = ?4, content = ?5, statement = ?6",
            &[
                Value::Text(&self.rkey),
                Value::Integer(self.version.cast_signed()),
                Value::Integer(self.epoch),
                Value::Blob(&self.wrapped),
                content,
                statement,
            ],
        )?;
        Ok(())
    }
}

impl Keyring {
    /// Makes a new agent's root key and first epoch.
    ///
    /// # Errors
    /// [`Error::Sql`], a constraint among them when the agent has a vault already.
    pub fn create(
        sql: &dyn Sql,
        did: &str,
        master: &MasterKey,
        now_us: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, Error> {
        let root = RootKey::generate(rng);
        let wrapped = wrap_secret(
            &master.derive(LABEL_WRAP_ROOT),
            &wrap_aad(PURPOSE_ROOT, did, 0),
            root.as_bytes(),
            rng,
        )?;
        sql.execute(
            "INSERT INTO key_root (id, wrapped, created_us) VALUES (1, ?, ?)",
            &[Value::Blob(&wrapped), Value::Integer(now_us)],
        )?;
        let mut keyring = Self { did: did.to_owned(), root, current: 0, epochs: BTreeMap::new() };
        keyring.rotate(sql, now_us, rng)?;
        Ok(keyring)
    }

    /// Unwraps an agent's keys.
    ///
    /// # Errors
    /// [`Error::NoVault`], [`Error::Unwrap`] with the wrong master key or DID, [`Error::Sql`].
    pub fn open(sql: &dyn Sql, did: &str, master: &MasterKey) -> Result<Self, Error> {
        let wrapped = query_first(sql, "SELECT wrapped FROM key_root WHERE id = 1", &[], |row| {
            Ok(row.blob(0)?.to_vec())
        })?
        .ok_or(Error::NoVault)?;
        let aad = wrap_aad(PURPOSE_ROOT, did, 0);
        let root = unwrap_key(&master.derive(LABEL_WRAP_ROOT), &aad, &wrapped, "root key")?;
        let root = RootKey::from_bytes(root);

        let rows = query_all(sql, "SELECT id, wrapped FROM key_epoch ORDER BY id", &[], |row| {
            Ok((row.integer(0)?, row.optional_blob(1)?.map(<[u8]>::to_vec)))
        })?;
        let current = rows.last().map(|(id, _)| *id).ok_or(Error::NoVault)?;
        let mut epochs = BTreeMap::new();
        for (id, wrapped) in rows {
            let Some(wrapped) = wrapped else { continue };
            let key = unwrap_key(root.as_bytes(), &wrap_aad(PURPOSE_EPOCH, did, id), &wrapped, "epoch key")?;
            epochs.insert(id, EpochKey::from_bytes(key));
        }
        Ok(Self { did: did.to_owned(), root, current, epochs })
    }

    /// The account whose keys these are.
    pub fn did(&self) -> &str {
        &self.did
    }

    /// The agent's root key, for deriving keys of other purposes.
    pub fn root(&self) -> &RootKey {
        &self.root
    }

    /// The epoch new records belong to.
    pub fn current_epoch(&self) -> i64 {
        self.current
    }

    /// Starts a new epoch and makes it current.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn rotate(&mut self, sql: &dyn Sql, now_us: i64, rng: &mut dyn CryptoRng) -> Result<i64, Error> {
        let id = self.current.saturating_add(1);
        let key = EpochKey::generate(rng);
        let aad = wrap_aad(PURPOSE_EPOCH, &self.did, id);
        let wrapped = wrap_secret(self.root.as_bytes(), &aad, key.as_bytes(), rng)?;
        sql.execute(
            "INSERT INTO key_epoch (id, wrapped, created_us) VALUES (?, ?, ?)",
            &[Value::Integer(id), Value::Blob(&wrapped), Value::Integer(now_us)],
        )?;
        self.epochs.insert(id, key);
        self.current = id;
        Ok(id)
    }

    /// Destroys a past epoch: its key and the keyring rows under it. Returns the record keys that are now noise.
    ///
    /// # Errors
    /// [`Error::EpochInUse`] for the current or an unknown epoch, [`Error::Sql`].
    pub fn destroy_epoch(&mut self, sql: &dyn Sql, epoch: i64, now_us: i64) -> Result<Vec<String>, Error> {
        if epoch == self.current || !self.epochs.contains_key(&epoch) {
            return Err(Error::EpochInUse(epoch));
        }
        let at = [Value::Integer(epoch)];
        let forgotten = query_all(sql, "SELECT rkey FROM keyring WHERE epoch = ?", &at, |row| {
            Ok(row.text(0)?.to_owned())
        })?;
        sql.execute("DELETE FROM keyring WHERE epoch = ?", &at)?;
        sql.execute(
            "UPDATE key_epoch SET wrapped = NULL, destroyed_us = ? WHERE id = ?",
            &[Value::Integer(now_us), Value::Integer(epoch)],
        )?;
        self.epochs.remove(&epoch);
        Ok(forgotten)
    }

    /// Seals `plaintext` as a new record under a random record key.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn seal_new(&self, plaintext: &[u8], rng: &mut dyn CryptoRng) -> Result<SealedWrite, Error> {
        let rkey = random_record_key(rng);
        self.seal_version(rkey, 1, plaintext, rng)
    }

    /// Seals `plaintext` as the next version of an existing record.
    ///
    /// # Errors
    /// [`Error::NoKey`] when the record was forgotten or never was, [`Error::TooLong`], [`Error::Sql`].
    pub fn seal_next(
        &self,
        sql: &dyn Sql,
        rkey: &str,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<SealedWrite, Error> {
        let version = read_row(sql, rkey)?.ok_or(Error::NoKey)?.version;
        self.seal_version(rkey.to_owned(), version.saturating_add(1), plaintext, rng)
    }

    fn seal_version(
        &self,
        rkey: String,
        version: u64,
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<SealedWrite, Error> {
        let key = DataKey::generate(rng);
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let sealed = seal(&key, &self.context(&rkey, version), plaintext, salt)?;
        let record = encode_record(&SealedRecord::inline(sealed));
        Ok(SealedWrite { record, key: self.wrap_data_key(rkey, version, &key, rng)? })
    }

    fn wrap_data_key(
        &self,
        rkey: String,
        version: u64,
        key: &DataKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<KeyringRow, Error> {
        let epoch_key = self.epochs.get(&self.current).ok_or(Error::EpochDestroyed(self.current))?;
        let aad = self.data_key_aad(&rkey, version);
        let wrapped = wrap_secret(epoch_key.as_bytes(), &aad, key.as_bytes(), rng)?;
        Ok(KeyringRow { rkey, version, epoch: self.current, wrapped, marks: Marks::default() })
    }

    /// Opens a sealed record of this agent from its block.
    ///
    /// # Errors
    /// [`Error::NoKey`] once it is forgotten, and all that [`open`] and [`decode_record`] say.
    pub fn open_record(&self, sql: &dyn Sql, rkey: &str, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let row = read_row(sql, rkey)?.ok_or(Error::NoKey)?;
        self.open_with(&row, record)
    }

    /// Opens a sealed record with a keyring row that was read before.
    ///
    /// # Errors
    /// As [`Self::open_record`].
    pub fn open_with(&self, row: &KeyringRow, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.data_key(row)?;
        let sealed =
            decode_record(record)?.into_sealed().map_err(|_| Error::Malformed("content is in a blob"))?;
        open(&key, &self.context(&row.rkey, row.version), &sealed)
    }

    /// Unwraps the data key of a row.
    ///
    /// # Errors
    /// [`Error::EpochDestroyed`], or [`Error::Unwrap`] when the row was changed.
    pub fn data_key(&self, row: &KeyringRow) -> Result<DataKey, Error> {
        let epoch_key = self.epochs.get(&row.epoch).ok_or(Error::EpochDestroyed(row.epoch))?;
        let aad = self.data_key_aad(&row.rkey, row.version);
        unwrap_key(epoch_key.as_bytes(), &aad, &row.wrapped, "data key").map(DataKey::from_bytes)
    }

    /// The keyring row of a record, if it has one.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn row(sql: &dyn Sql, rkey: &str) -> Result<Option<KeyringRow>, Error> {
        read_row(sql, rkey)
    }

    /// Forgets a record: deletes its key. Says whether there was one.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn forget(sql: &dyn Sql, rkey: &str) -> Result<bool, Error> {
        Ok(sql.execute_counted("DELETE FROM keyring WHERE rkey = ?", &[Value::Text(rkey)])? > 0)
    }

    /// Destroys every key of the agent, for good. Drop all its Keyrings after this.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn shred(sql: &dyn Sql) -> Result<(), SqlError> {
        for statement in ["DELETE FROM keyring", "DELETE FROM key_epoch", "DELETE FROM key_root"] {
            sql.execute(statement, &[])?;
        }
        Ok(())
    }

    fn context<'a>(&'a self, rkey: &'a str, version: u64) -> Context<'a> {
        Context { did: &self.did, collection: COLLECTION, rkey, version }
    }

    fn data_key_aad(&self, rkey: &str, version: u64) -> Vec<u8> {
        wrap_aad(PURPOSE_DATA, &format!("at://{}/{COLLECTION}/{rkey}", self.did), version.cast_signed())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("did", &self.did)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

fn read_row(sql: &dyn Sql, rkey: &str) -> Result<Option<KeyringRow>, Error> {
    Ok(query_first(
        sql,
        "SELECT rkey, version, epoch, wrapped FROM keyring WHERE rkey = ?",
        &[Value::Text(rkey)],
        KeyringRow::read,
    )?)
}
