//! Leaving: the archive's manifest, and the key that may change the DID document on the way.
//!
//! Where the account is active no move key is made, and it is the same one each time it is asked for: an archive that
//! was lost can be made again.

use cid::Cid;

use super::{Error, Exported, Home, SealManifest, SealedManifest, SignMove, VaultStatus};
use crate::actor::Status;
use crate::archive::{ArchivedBlob, Manifest, Secret, Secrets};
use crate::crypto::SigningKey;
use crate::env::Env;
use crate::lexicon::{Bytes, CidLink};
use crate::limits::{ARCHIVE_KEYS_MAX, EXPORTS_NOTED_MAX};
use crate::preferences;
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::Did;
use crate::vault::{unwrap_secret, wrap_secret};

/// The key derived under this label wraps move keys.
const LABEL_WRAP_MOVE_KEY: &str = "wrap-move-key";

/// Makes the manifest of an archive of the newest commit.
pub(super) fn seal_manifest(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    home: &Home<'_>,
    command: &SealManifest,
) -> Result<SealedManifest, Error> {
    let owner = home.owner;
    if command.moving && owner.status == Status::Active {
        return Err(Error::Active);
    }
    let keyring = home.keyring.copy(sql, ARCHIVE_KEYS_MAX)?;
    let keyring = keyring.ok_or_else(|| Error::TooLarge(format!("over {ARCHIVE_KEYS_MAX} keys")))?;
    let move_key = if command.moving {
        Some(match read_move_key(sql, env, &owner.did)? {
            Some(key) => key,
            None => make_move_key(sql, env, &owner.did)?,
        })
    } else {
        None
    };
    let secret = move_key.as_ref().map(|key| Secret::new(*key.to_bytes()));
    let preferences = preferences::copy(sql, env, &owner.did)?;
    let secrets = Secrets::new(*owner.key.to_bytes(), keyring, secret, preferences);
    let mut manifest = Manifest {
        v: secrets.version(),
        did: owner.did.clone(),
        handle: command.handle.clone(),
        kind: command.kind,
        display_name: command.display_name.clone(),
        model: command.model.clone(),
        config: command.config.clone(),
        root: CidLink(home.head.commit),
        rev: home.head.rev,
        blobs: blobs(sql)?,
        kdf: command.kdf.clone(),
        sealed: Bytes::default(),
    };
    let manifest = manifest.seal(&command.key, &secrets, env.rng)?.into();
    if !command.noted {
        note(sql, &Exported { made_us: env.now_us, moving: command.moving })?;
    }
    Ok(SealedManifest { manifest, move_key: move_key.map(|key| key.did_key()) })
}

/// Notes that keys left; the newest notes are kept.
pub(super) fn note(sql: &dyn Sql, export: &Exported) -> Result<(), Error> {
    sql.execute(
        "INSERT INTO export (made_us, moving) VALUES (?, ?)",
        &[export.made_us.into(), i64::from(export.moving).into()],
    )?;
    let older = "DELETE FROM export WHERE id <= (SELECT max(id) FROM export) - ?";
    Ok(sql.execute(older, &[EXPORTS_NOTED_MAX.into()])?)
}

/// How the vault stands.
pub(super) fn status(sql: &dyn Sql, home: &Home<'_>) -> Result<VaultStatus, Error> {
    let keys = query_first(sql, "SELECT count(*) FROM keyring", &[], |row| row.integer(0))?;
    let exports = query_all(sql, "SELECT made_us, moving FROM export ORDER BY id DESC", &[], |row| {
        Ok(Exported { made_us: row.integer(0)?, moving: row.integer(1)? != 0 })
    })?;
    Ok(VaultStatus {
        epoch: home.keyring.current_epoch(),
        keys: keys.unwrap_or_default().unsigned_abs(),
        exports,
    })
}

/// Signs an operation with the move key.
pub(super) fn sign_move(
    sql: &dyn Sql,
    env: &Env<'_>,
    home: &Home<'_>,
    command: &SignMove,
) -> Result<Vec<u8>, Error> {
    let key = read_move_key(sql, env, &home.owner.did)?.ok_or(Error::NotMoving)?;
    Ok(key.sign(&command.unsigned).to_vec())
}

/// Destroys the move key.
pub(super) fn drop_move_key(sql: &dyn Sql) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM move_key", &[])?)
}

/// The move key's public half.
pub(super) fn move_key(sql: &dyn Sql) -> Result<Option<String>, Error> {
    let statement = "SELECT did_key FROM move_key WHERE id = 1";
    Ok(query_first(sql, statement, &[], |row| Ok(row.text(0)?.to_owned()))?)
}

fn read_move_key(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Option<SigningKey>, Error> {
    let statement = "SELECT wrapped FROM move_key WHERE id = 1";
    let Some(wrapped) = query_first(sql, statement, &[], |row| Ok(row.blob(0)?.to_vec()))? else {
        return Ok(None);
    };
    let wrapping = env.network.master_key.derive(LABEL_WRAP_MOVE_KEY);
    let key = unwrap_secret(&wrapping, did.as_str().as_bytes(), &wrapped, "move key")?;
    signing_key(&key).map(Some)
}

/// A private key (secp256k1) of its 32 bytes.
pub(super) fn signing_key(bytes: &[u8]) -> Result<SigningKey, Error> {
    let bytes = bytes.try_into().map_err(|_| Error::Internal("a signing key has 32 bytes".to_owned()))?;
    SigningKey::from_bytes(bytes).map_err(|error| Error::Internal(error.to_string()))
}

fn make_move_key(sql: &dyn Sql, env: &mut Env<'_>, did: &Did) -> Result<SigningKey, Error> {
    let key = SigningKey::generate(env.rng);
    keep_move_key(sql, env, did, &key)?;
    Ok(key)
}

/// Keeps a move key, wrapped under the master key.
pub(super) fn keep_move_key(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    did: &Did,
    key: &SigningKey,
) -> Result<(), Error> {
    let wrapping = env.network.master_key.derive(LABEL_WRAP_MOVE_KEY);
    let wrapped = wrap_secret(&wrapping, did.as_str().as_bytes(), key.to_bytes().as_slice(), env.rng)?;
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
