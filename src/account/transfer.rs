//! Leaving: the archive's manifest, and the key that may change the DID document on the way.
//!
//! Where the account is active no move key is made, and it is the same one each time it is asked for: an archive that
//! was lost can be made again.

use cid::Cid;

use super::{
    ACTIVE, Account, DropMoveKey, Error, GetMoveKey, SealManifest, SealedManifest, SignMove,
    hosting::signing_key,
};
use crate::archive::{ArchivedBlob, Manifest, Secret, Secrets, VERSION};
use crate::crypto::SigningKey;
use crate::env::Env;
use crate::lexicon::{Bytes, CidLink};
use crate::limits::ARCHIVE_KEYS_MAX;
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle, Tid};
use crate::vault::{unwrap_secret, wrap_secret};

/// The key derived under this label wraps move keys.
const LABEL_WRAP_MOVE_KEY: &str = "wrap-move-key";

impl Account {
    pub(super) fn seal_manifest(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: &SealManifest,
    ) -> Result<SealedManifest, Error> {
        let account = self.account()?;
        if command.moving && account.status == ACTIVE {
            return Err(Error::InvalidWrites("an active account does not move".to_owned()));
        }
        let keyring = account.memory.keyring().copy(sql, ARCHIVE_KEYS_MAX)?;
        let keyring =
            keyring.ok_or_else(|| Error::ArchiveTooLarge(format!("over {ARCHIVE_KEYS_MAX} keys")))?;
        let did = account.did.clone();
        let move_key = if command.moving {
            Some(match read_move_key(sql, env, &did)? {
                Some(key) => key,
                None => make_move_key(sql, env, &did)?,
            })
        } else {
            None
        };
        let secret = move_key.as_ref().map(|key| Secret::new(*key.to_bytes()));
        let secrets = Secrets::new(*account.key.to_bytes(), keyring, secret);
        let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        let mut manifest = Manifest {
            v: VERSION,
            did: Did::try_from(did).map_err(|error| internal(&error))?,
            handle: Handle::try_from(command.handle.as_str()).map_err(|error| internal(&error))?,
            kind: command.kind,
            display_name: command.display_name.clone(),
            model: command.model.clone(),
            config: command.config.clone(),
            root: CidLink(account.head.commit),
            rev: Tid::try_from(account.head.rev.as_str()).map_err(|error| internal(&error))?,
            blobs: blobs(sql)?,
            kdf: command.kdf.clone(),
            sealed: Bytes::default(),
        };
        let manifest = manifest.seal(&command.key, &secrets, env.rng)?.into();
        Ok(SealedManifest { manifest, move_key: move_key.map(|key| key.did_key()) })
    }

    pub(super) fn sign_move(
        &mut self,
        sql: &dyn Sql,
        env: &Env<'_>,
        command: &SignMove,
    ) -> Result<Vec<u8>, Error> {
        let did = self.account()?.did.clone();
        let key = read_move_key(sql, env, &did)?
            .ok_or_else(|| Error::InvalidWrites("the account is not on the move".to_owned()))?;
        Ok(key.sign(&command.unsigned).to_vec())
    }

    pub(super) fn drop_move_key(&mut self, sql: &dyn Sql, _: &DropMoveKey) -> Result<(), Error> {
        if sql.execute_counted("DELETE FROM move_key", &[])? > 0 {
            self.effects.shredded = true;
        }
        Ok(())
    }
}

/// The move key's public half.
pub(super) fn move_key(sql: &dyn Sql, _: &GetMoveKey) -> Result<Option<String>, Error> {
    let statement = "SELECT did_key FROM move_key WHERE id = 1";
    Ok(query_first(sql, statement, &[], |row| Ok(row.text(0)?.to_owned()))?)
}

fn read_move_key(sql: &dyn Sql, env: &Env<'_>, did: &str) -> Result<Option<SigningKey>, Error> {
    let statement = "SELECT wrapped FROM move_key WHERE id = 1";
    let Some(wrapped) = query_first(sql, statement, &[], |row| Ok(row.blob(0)?.to_vec()))? else {
        return Ok(None);
    };
    let wrapping = env.network.master_key.derive(LABEL_WRAP_MOVE_KEY);
    let key = unwrap_secret(&wrapping, did.as_bytes(), &wrapped, "move key")?;
    signing_key(&key).map(Some)
}

fn make_move_key(sql: &dyn Sql, env: &mut Env<'_>, did: &str) -> Result<SigningKey, Error> {
    let key = SigningKey::generate(env.rng);
    keep_move_key(sql, env, did, &key)?;
    Ok(key)
}

/// Keeps a move key, wrapped under the master key.
pub(super) fn keep_move_key(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    did: &str,
    key: &SigningKey,
) -> Result<(), Error> {
    let wrapping = env.network.master_key.derive(LABEL_WRAP_MOVE_KEY);
    let wrapped = wrap_secret(&wrapping, did.as_bytes(), key.to_bytes().as_slice(), env.rng)?;
    sql.execute(
        "INSERT INTO move_key (id, did_key, wrapped) VALUES (1, ?, ?)",
        &[Value::Text(&key.did_key()), Value::Blob(&wrapped)],
    )?;
    Ok(())
}

fn blobs(sql: &dyn Sql) -> Result<Vec<ArchivedBlob>, Error> {
    let statement = "SELECT cid, mime, bytes FROM blob WHERE EXISTS \
                     (SELECT 1 FROM blob_reference WHERE blob_reference.cid = blob.cid) ORDER BY cid";
    Ok(query_all(sql, statement, &[], |row| {
        let column = SqlError::Column { column: 0, expected: "a CID".into() };
        Ok(ArchivedBlob {
            cid: CidLink(Cid::try_from(row.text(0)?).map_err(|_| column)?),
            mime: row.text(1)?.to_owned(),
            size: row.integer(2)?.unsigned_abs(),
        })
    })?)
}
