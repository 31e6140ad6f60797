//! The network's rotation key: it signs the did:plc operations of all accounts, and rests wrapped.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Error;
use crate::crypto::SigningKey;
use crate::env::Env;
use crate::store::{Sql, Value, query_first};
use crate::vault::{unwrap_secret, wrap_secret};

/// Asks for the rotation key's public half, a did:key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetRotationKey {}

/// Signs a did:plc operation with the rotation key: 64 bytes, low-S.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignPlcOperation {
    /// The operation without its signature, as DAG-CBOR.
    pub unsigned: ByteBuf,
}

const NAME: &str = "rotation-key";
const AAD: &[u8] = b"directory/rotation-key";

pub(super) fn load_or_create(sql: &dyn Sql, env: &mut Env<'_>) -> Result<SigningKey, Error> {
    let stored = query_first(sql, "SELECT wrapped FROM secret WHERE name = ?", &[NAME.into()], |row| {
        Ok(row.blob(0)?.to_vec())
    })?;
    if let Some(wrapped) = stored {
        return unwrap_key(env, AAD, &wrapped, "the rotation key");
    }
    let key = SigningKey::generate(env.rng);
    let wrapped = wrap_key(env, AAD, &key)?;
    sql.execute("INSERT INTO secret (name, wrapped) VALUES (?, ?)", &[NAME.into(), Value::Blob(&wrapped)])?;
    Ok(key)
}

/// Wraps a key under the master key.
pub(super) fn wrap_key(env: &mut Env<'_>, aad: &[u8], key: &SigningKey) -> Result<Vec<u8>, Error> {
    wrap_secret(env.network.master_key.as_bytes(), aad, key.to_bytes().as_slice(), env.rng)
        .map_err(|error| Error::Wrap(error.to_string()))
}

/// Unwraps what [`wrap_key`] wrapped.
pub(super) fn unwrap_key(
    env: &Env<'_>,
    aad: &[u8],
    wrapped: &[u8],
    what: &'static str,
) -> Result<SigningKey, Error> {
    let refused = || Error::Unwrap(what.to_owned());
    let bytes =
        unwrap_secret(env.network.master_key.as_bytes(), aad, wrapped, what).map_err(|_| refused())?;
    let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| refused())?;
    SigningKey::from_bytes(bytes).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::*;
    use crate::crypto::VerifyingKey;
    use crate::vault::MasterKey;

    #[test]
    fn the_key_outlives_a_restart_and_needs_the_master_key() {
        let mut cell = Cell::new();
        let key = cell.ask(GetRotationKey {}).unwrap();
        cell.restart().unwrap();
        assert_eq!(cell.ask(GetRotationKey {}).unwrap(), key);
        let signature = cell.ask(SignPlcOperation { unsigned: ByteBuf::from(*b"operation") }).unwrap();
        VerifyingKey::from_did_key(&key).unwrap().verify(b"operation", &signature).unwrap();
        cell.network.master_key = MasterKey::from_bytes([9; 32]);
        assert!(matches!(cell.restart(), Err(Error::Unwrap(_))));
    }
}
