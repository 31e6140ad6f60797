//! Passkeys of an account: two factors in one, so each signs in by itself, and stands in for a code after the password.
//!
//! A challenge is the edge's own, bound to the browser that was given it; here it is seen to that none is answered twice. A
//! counter that goes back says that somebody has a copy: that is refused, kept, and shown to the owner.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::super::account::read_did;
use super::super::doors::Doors;
use super::super::limits::{PASSKEY_NAME_BYTES_MAX, PASSKEYS_MAX};
use super::super::proof::Proof;
use super::super::{Error, browser, credentials};
use super::{Passed, recovery};
use crate::actor::Kind;
use crate::crypto::webauthn::{self, Expected, PublicKey};
use crate::crypto::{ct_eq, sha256};
use crate::env::Env;
use crate::mail::MeansChange;
use crate::seam::Hidden;
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::Did;

/// A passkey, as its owner is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// As its authenticator named it.
    pub id: ByteBuf,
    /// As its owner named it.
    pub name: String,
    /// When it was added.
    pub created_us: i64,
    /// When it last signed in.
    pub used_us: Option<i64>,
    /// When it was last refused, for its counter had gone back.
    pub refused_us: Option<i64>,
}

/// What was to be answered, which the edge has seen to be of its own for this browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// The challenge.
    pub bytes: ByteBuf,
    /// When it ends.
    pub ends_us: i64,
}

/// Adds a passkey, and signs out all other browsers if it is the account's first factor beside its password. Answers the
/// codes on paper that were made with that, unless there are some.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddPasskey {
    /// Whose.
    pub did: Did,
    /// Who asks.
    pub proof: Proof,
    /// As its owner names it.
    pub name: String,
    /// What was to be answered.
    pub challenge: Challenge,
    /// What the browser says.
    pub client_data: ByteBuf,
    /// What the authenticator says.
    pub attestation: ByteBuf,
}

/// Removes a passkey. Nothing happens when there is none of that name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemovePasskey {
    /// Whose.
    pub did: Did,
    /// Who asks.
    pub proof: Proof,
    /// Which.
    pub id: ByteBuf,
}

/// Signs in with a passkey alone: whose it is it says itself. `None` when its counter has gone back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsePasskey {
    /// What is shown.
    pub assertion: Assertion,
}

/// What is shown of a passkey.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assertion {
    /// Which.
    pub id: ByteBuf,
    /// What was to be answered.
    pub challenge: Challenge,
    /// What the browser says.
    pub client_data: ByteBuf,
    /// What the authenticator says.
    pub authenticator_data: ByteBuf,
    /// DER.
    pub signature: ByteBuf,
    /// Whose the authenticator says it is, if it does.
    pub user: Option<ByteBuf>,
}

struct Stored {
    did: Did,
    key: PublicKey,
    sign_count: i64,
    may_be_copied: bool,
}

pub(in super::super) fn add(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    doors: &mut Doors,
    ask: &AddPasskey,
) -> Result<Option<Hidden<Vec<String>>>, Error> {
    let (account, _) = credentials::prove(sql, &ask.did, &ask.proof)?;
    if account.kind == Kind::Agent {
        return Err(Error::TotpSetup);
    }
    if ask.name.is_empty() || ask.name.len() > PASSKEY_NAME_BYTES_MAX {
        return Err(Error::OverLimit("the passkey's name".into()));
    }
    let is_first = !super::has_any(sql, &ask.did)?;
    if list(sql, &ask.did)?.len() >= PASSKEYS_MAX {
        return Err(Error::OverLimit("the number of passkeys".into()));
    }
    take_challenge(sql, env, &ask.challenge)?;
    let new = webauthn::check_new(expected(env, &ask.challenge), &ask.client_data, &ask.attestation)
        .map_err(refused)?;
    if find(sql, &new.id)?.is_some() {
        return Err(Error::InvalidPasskey("it was added before".into()));
    }
    sql.execute(
        "INSERT INTO passkey (id, did, name, public_key, sign_count, may_be_copied, created_us)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            Value::Blob(&new.id),
            ask.did.as_str().into(),
            ask.name.as_str().into(),
            new.public_key.multikey().as_str().into(),
            i64::from(new.sign_count).into(),
            i64::from(new.backup_eligible).into(),
            env.now_us.into(),
        ],
    )?;
    if is_first {
        browser::close_others(sql, &ask.did, &ask.proof)?;
    }
    super::tell(sql, env, doors, &account, MeansChange::PasskeyAdded)?;
    recovery::first(sql, env, &ask.did)
}

pub(in super::super) fn drop(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    doors: &mut Doors,
    ask: &RemovePasskey,
) -> Result<(), Error> {
    let (account, _) = credentials::prove(sql, &ask.did, &ask.proof)?;
    let params = [ask.did.as_str().into(), Value::Blob(&ask.id)];
    if sql.execute_counted("DELETE FROM passkey WHERE did = ? AND id = ?", &params)? == 0 {
        return Ok(());
    }
    super::tidy(sql, &ask.did)?;
    super::tell(sql, env, doors, &account, MeansChange::PasskeyRemoved)
}

pub(in super::super) fn sign_in(
    sql: &dyn Sql,
    env: &Env<'_>,
    ask: &UsePasskey,
) -> Result<Option<Passed>, Error> {
    // Where nobody was named before, the authenticator has to say whose it is.
    if ask.assertion.user.is_none() {
        return Err(Error::InvalidPasskey("it does not say whose it is".into()));
    }
    let did = take(sql, env, &ask.assertion, None)?;
    let proof = Proof::Passkey(sha256(&ask.assertion.id));
    Ok(did.map(|did| Passed { did, proof }))
}

/// Takes what is shown of a passkey, of this account where it is known; whose it is. `None` when its counter has gone back:
/// that is kept.
pub(super) fn take(
    sql: &dyn Sql,
    env: &Env<'_>,
    shown: &Assertion,
    of: Option<&Did>,
) -> Result<Option<Did>, Error> {
    let unknown = || Error::InvalidPasskey("it is not known here".into());
    let stored = find(sql, &shown.id)?.filter(|stored| of.is_none_or(|did| stored.did == *did));
    let Stored { did, key, sign_count, may_be_copied } = stored.ok_or_else(unknown)?;
    if shown.user.as_ref().is_some_and(|user| !ct_eq(user, &user_handle(env, &did))) {
        return Err(Error::InvalidPasskey("it is another account's".into()));
    }
    take_challenge(sql, env, &shown.challenge)?;
    let signed = webauthn::check_signed(
        expected(env, &shown.challenge),
        &key,
        &shown.client_data,
        &shown.authenticator_data,
        &shown.signature,
    )
    .map_err(refused)?;
    if signed.backup_eligible != may_be_copied {
        return Err(refused(webauthn::Error::Contradiction));
    }
    let new_count = i64::from(signed.sign_count);
    if (new_count, sign_count) != (0, 0) && new_count <= sign_count {
        let statement = "UPDATE passkey SET refused_us = ? WHERE id = ?";
        sql.execute(statement, &[env.now_us.into(), Value::Blob(&shown.id)])?;
        return Ok(None);
    }
    let statement = "UPDATE passkey SET sign_count = ?, used_us = ? WHERE id = ?";
    sql.execute(statement, &[new_count.into(), env.now_us.into(), Value::Blob(&shown.id)])?;
    Ok(Some(did))
}

/// The passkeys of an account, the newest last.
pub(super) fn list(sql: &dyn Sql, did: &Did) -> Result<Vec<Passkey>, Error> {
    let statement = "SELECT id, name, created_us, used_us, refused_us FROM passkey WHERE did = ?
                     ORDER BY created_us, id";
    Ok(query_all(sql, statement, &[did.as_str().into()], |row| {
        Ok(Passkey {
            id: ByteBuf::from(row.blob(0)?),
            name: row.text(1)?.to_owned(),
            created_us: row.integer(2)?,
            used_us: row.optional_integer(3)?,
            refused_us: row.optional_integer(4)?,
        })
    })?)
}

/// Whether an account has the passkey whose name has this digest.
pub(in super::super) fn is_had(sql: &dyn Sql, did: &Did, digest: &[u8; 32]) -> Result<bool, Error> {
    Ok(list(sql, did)?.iter().any(|passkey| sha256(&passkey.id) == *digest))
}

pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM passkey WHERE did = ?", &[did.as_str().into()])?)
}

/// What an authenticator knows an account by: nothing that others know it by.
pub(super) fn user_handle(env: &Env<'_>, did: &Did) -> [u8; 32] {
    let key = env.network.master_key.derive("directory/passkey-user");
    sha256(&[&key[..], did.as_str().as_bytes()].concat())
}

fn find(sql: &dyn Sql, id: &[u8]) -> Result<Option<Stored>, Error> {
    let statement = "SELECT did, public_key, sign_count, may_be_copied FROM passkey WHERE id = ?";
    Ok(query_first(sql, statement, &[Value::Blob(id)], |row| {
        let key = PublicKey::from_multikey(row.text(1)?);
        let key = key.ok_or(SqlError::Column { column: 1, expected: "a key".into() })?;
        let (did, sign_count) = (read_did(row, 0)?, row.integer(2)?);
        Ok(Stored { did, key, sign_count, may_be_copied: row.integer(3)? != 0 })
    })?)
}

/// Uses a challenge up. What fails after it undoes that: only an answer that is good uses one.
fn take_challenge(sql: &dyn Sql, env: &Env<'_>, challenge: &Challenge) -> Result<(), Error> {
    if challenge.ends_us <= env.now_us {
        return Err(Error::InvalidPasskey("it took too long".into()));
    }
    sql.execute("DELETE FROM passkey_challenge WHERE expires_us <= ?", &[env.now_us.into()])?;
    let bytes = Value::Blob(&challenge.bytes);
    let used = "SELECT 1 FROM passkey_challenge WHERE challenge = ?";
    if query_first(sql, used, &[bytes], |row| row.integer(0))?.is_some() {
        return Err(Error::InvalidPasskey("the challenge was answered before".into()));
    }
    let keep = "INSERT INTO passkey_challenge (challenge, expires_us) VALUES (?, ?)";
    Ok(sql.execute(keep, &[bytes, challenge.ends_us.into()])?)
}

fn expected<'a>(env: &'a Env<'_>, challenge: &'a Challenge) -> Expected<'a> {
    let origin = env.network.public_url.as_str();
    Expected { challenge: &challenge.bytes, origin, rp_id: webauthn::rp_id(origin) }
}

fn refused(error: webauthn::Error) -> Error {
    Error::InvalidPasskey(error.to_string().into())
}

#[cfg(test)]
mod tests;
