//! Signing keys that are promised for accounts still to come, so that their DID documents can name them before.
//!
//! Anybody may ask for one, so they are bounded: the oldest go first, and none outlives a week.

use serde::{Deserialize, Serialize};

use super::Error;
use super::rotation_key::{unwrap_key, wrap_key};
use crate::crypto::SigningKey;
use crate::directory::limits::{RESERVED_KEY_SECONDS, RESERVED_KEYS_MAX};
use crate::env::Env;
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Promises a signing key; answers its public half, a did:key. For a DID it is the same until the account is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReserveSigningKey {
    /// For whom, if that is known.
    pub did: Option<Did>,
}

/// Asks for the key that was promised for a DID, if any.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetReservedKey {
    /// For whom.
    pub did: Did,
}

pub(super) fn reserve(sql: &dyn Sql, env: &mut Env<'_>, ask: &ReserveSigningKey) -> Result<String, Error> {
    let old_us = env.now_us.saturating_sub(RESERVED_KEY_SECONDS * 1_000_000);
    sql.execute("DELETE FROM reserved_key WHERE created_us < ?", &[old_us.into()])?;
    if let Some(did) = &ask.did
        && let Some(key) = find(sql, env, did)?
    {
        return Ok(key.did_key());
    }
    let key = SigningKey::generate(env.rng);
    let did_key = key.did_key();
    let subject = ask.did.as_ref().map_or(&*did_key, Did::as_str);
    let wrapped = wrap_key(env, &aad(subject), &key)?;
    sql.execute(
        "DELETE FROM reserved_key WHERE subject IN
             (SELECT subject FROM reserved_key ORDER BY created_us DESC LIMIT -1 OFFSET ?)",
        &[RESERVED_KEYS_MAX.saturating_sub(1).into()],
    )?;
    sql.execute(
        "INSERT INTO reserved_key (subject, wrapped, created_us) VALUES (?, ?, ?)",
        &[subject.into(), Value::Blob(&wrapped), env.now_us.into()],
    )?;
    Ok(did_key)
}

pub(super) fn get(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Option<Hidden<[u8; 32]>>, Error> {
    Ok(find(sql, env, did)?.map(|key| Hidden::new(*key.to_bytes())))
}

/// Forgets what was promised for a DID: its account is there.
pub(super) fn forget(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM reserved_key WHERE subject = ?", &[did.as_str().into()])?)
}

fn find(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Option<SigningKey>, Error> {
    let statement = "SELECT wrapped FROM reserved_key WHERE subject = ?";
    let wrapped = query_first(sql, statement, &[did.as_str().into()], |row| Ok(row.blob(0)?.to_vec()))?;
    wrapped.map(|wrapped| unwrap_key(env, &aad(did.as_str()), &wrapped, "a reserved key")).transpose()
}

/// Binds a wrapped key to whom it is for.
fn aad(subject: &str) -> Vec<u8> {
    [b"directory/reserved-key/", subject.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::*;

    #[test]
    fn a_key_is_promised_to_a_did_for_a_week_and_to_nobody_as_often_as_asked() {
        let mut cell = Cell::new();
        let did = Did::try_from("did:plc:alice").unwrap();
        let ask =
            |cell: &mut Cell, did: Option<&Did>| cell.ask(ReserveSigningKey { did: did.cloned() }).unwrap();
        let key = ask(&mut cell, Some(&did));
        assert_eq!(ask(&mut cell, Some(&did)), key);
        assert_ne!(ask(&mut cell, None), ask(&mut cell, None));
        let secret = cell.ask(GetReservedKey { did: did.clone() }).unwrap().unwrap();
        assert_eq!(SigningKey::from_bytes(secret.expose()).unwrap().did_key(), key);
        cell.now_us += RESERVED_KEY_SECONDS * 1_000_000 + 1;
        assert_ne!(ask(&mut cell, Some(&did)), key);
    }

    /// What breaks: whoever asks often enough fills the disk.
    #[test]
    fn the_oldest_promises_go_first() {
        let mut cell = Cell::new();
        for _ in 0..RESERVED_KEYS_MAX + 3 {
            cell.now_us += 1;
            cell.ask(ReserveSigningKey { did: None }).unwrap();
        }
        let count = "SELECT count(*) FROM reserved_key";
        let count = query_first(&cell.disk, count, &[], |row| row.integer(0)).unwrap();
        assert_eq!(count, Some(RESERVED_KEYS_MAX));
    }
}
