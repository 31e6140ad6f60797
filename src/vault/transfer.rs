//! A keyring on its way to another host: the root key in the open, all below it wrapped as it rests.
//!
//! Epoch keys are wrapped under the root key and data keys under epoch keys, bound to the DID and not to a host. So a
//! keyring moves with one key wrapped anew. Whoever holds a [`KeyringCopy`] opens every memory: it is for sealing.

use super::keyring::{LABEL_WRAP_ROOT, PURPOSE_ROOT};
use super::keys::wrap_aad;
use super::{Error, Keyring, KeyringRow, Marks, MasterKey, RootKey, wrap_secret};
use crate::store::{Sql, Value, query_all, query_first};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// All keys of an agent's vault.
#[derive(Clone, Debug)]
pub struct KeyringCopy {
    /// The root key.
    pub root: RootKey,
    /// Epochs, the oldest first; the last is the current one.
    pub epochs: Vec<EpochCopy>,
    /// Data keys, by record key.
    pub rows: Vec<RowCopy>,
}

/// An epoch. A destroyed one has no key any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EpochCopy {
    /// Its number, from 1.
    pub id: i64,
    /// Its key, wrapped under the root key.
    pub wrapped: Option<ByteBuf>,
    /// Microseconds since the Unix epoch.
    pub created_us: i64,
    /// Microseconds since the Unix epoch.
    pub destroyed_us: Option<i64>,
}

/// A data key as an array: record key, version, epoch, the key wrapped under the epoch's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCopy(String, u64, i64, ByteBuf);

impl Keyring {
    /// Everything there is, if it is no more than `rows_max` data keys; `None` otherwise.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn copy(&self, sql: &dyn Sql, rows_max: u64) -> Result<Option<KeyringCopy>, Error> {
        let rows = query_first(sql, "SELECT count(*) FROM keyring", &[], |row| row.integer(0))?;
        if rows.unwrap_or(0).unsigned_abs() > rows_max {
            return Ok(None);
        }
        let statement = "SELECT id, wrapped, created_us, destroyed_us FROM key_epoch ORDER BY id";
        let epochs = query_all(sql, statement, &[], |row| {
            Ok(EpochCopy {
                id: row.integer(0)?,
                wrapped: row.optional_blob(1)?.map(|wrapped| ByteBuf::from(wrapped.to_vec())),
                created_us: row.integer(2)?,
                destroyed_us: row.optional_integer(3)?,
            })
        })?;
        let statement = "SELECT rkey, version, epoch, wrapped FROM keyring ORDER BY rkey";
        let rows = query_all(sql, statement, &[], |row| {
            let row = KeyringRow::read(row)?;
            Ok(RowCopy(row.rkey, row.version, row.epoch, ByteBuf::from(row.wrapped)))
        })?;
        Ok(Some(KeyringCopy { root: self.root().clone(), epochs, rows }))
    }

    /// Makes the vault of `did` from a copy, its root key wrapped under this network's master key.
    ///
    /// # Errors
    /// [`Error::Unwrap`] when an epoch's key does not open under the copy's root key, [`Error::EpochDestroyed`] for a
    /// data key of an epoch that is not there; [`Error::Sql`], a constraint among them when there is a vault already.
    pub fn restore(
        sql: &dyn Sql,
        did: &str,
        master: &MasterKey,
        copy: &KeyringCopy,
        now_us: i64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, Error> {
        let aad = wrap_aad(PURPOSE_ROOT, did, 0);
        let wrapped = wrap_secret(&master.derive(LABEL_WRAP_ROOT), &aad, copy.root.as_bytes(), rng)?;
        sql.execute(
            "INSERT INTO key_root (id, wrapped, created_us) VALUES (1, ?, ?)",
            &[Value::Blob(&wrapped), Value::Integer(now_us)],
        )?;
        for epoch in &copy.epochs {
            sql.execute(
                "INSERT INTO key_epoch (id, wrapped, created_us, destroyed_us) VALUES (?, ?, ?, ?)",
                &[
                    Value::Integer(epoch.id),
                    epoch.wrapped.as_ref().map_or(Value::Null, |wrapped| Value::Blob(wrapped)),
                    Value::Integer(epoch.created_us),
                    Value::optional_integer(epoch.destroyed_us),
                ],
            )?;
        }
        for RowCopy(rkey, version, epoch, wrapped) in &copy.rows {
            // Not left to the foreign key: a host may have those switched off.
            if !copy.epochs.iter().any(|known| known.id == *epoch) {
                return Err(Error::EpochDestroyed(*epoch));
            }
            let wrapped = wrapped.to_vec();
            let (rkey, version, epoch) = (rkey.clone(), *version, *epoch);
            KeyringRow { rkey, version, epoch, wrapped, marks: Marks::default() }.write(sql)?;
        }
        Self::open(sql, did, master)
    }
}
