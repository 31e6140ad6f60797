//! Codes by time of an account. The secret rests sealed, and is shown until a code of it was, which turns it on.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::doors::Doors;
use super::super::limits::TOTP_SETUP_SECONDS;
use super::super::proof::Proof;
use super::super::{Error, browser, credentials};
use super::recovery;
use crate::crypto::totp::{SECRET_LEN, step_of};
use crate::env::Env;
use crate::mail::MeansChange;
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;
use crate::vault::{unwrap_secret, wrap_secret};

/// Asks for the secret of codes that are to be turned on: the same one until then, for minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeginTotp {
    /// Whose.
    pub did: Did,
    /// Who asks.
    pub proof: Proof,
}

/// Turns codes on with one of them, and signs out all other browsers, which have shown none. Answers the codes on paper that
/// were made with that, unless there are some.
#[derive(Clone, Serialize, Deserialize)]
pub struct ConfirmTotp {
    /// Whose.
    pub did: Did,
    /// Who asks.
    pub proof: Proof,
    /// A code of now.
    pub code: Hidden<String>,
}

/// Turns codes off, with one of either kind.
#[derive(Clone, Serialize, Deserialize)]
pub struct StopTotp {
    /// Whose.
    pub did: Did,
    /// Who asks.
    pub proof: Proof,
    /// A code.
    pub code: Hidden<String>,
}

/// The key derived under this label seals secrets.
const LABEL: &str = "directory/totp";

struct Stored {
    sealed: Vec<u8>,
    is_on: bool,
    last_step: i64,
    created_us: i64,
}

type Secret = Zeroizing<[u8; SECRET_LEN]>;

/// # Errors
/// [`Error::TotpSetup`] where codes are on.
pub(in super::super) fn begin(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &BeginTotp,
) -> Result<Hidden<[u8; SECRET_LEN]>, Error> {
    let (account, _) = credentials::prove(sql, &ask.did, &ask.proof)?;
    // An agent has no password that something could be beside.
    if account.kind == crate::actor::Kind::Agent {
        return Err(Error::TotpSetup);
    }
    match find(sql, &ask.did)? {
        Some(stored) if stored.is_on => return Err(Error::TotpSetup),
        Some(stored) if is_recent(env, &stored) => {
            return Ok(Hidden::new(*open(env, &ask.did, &stored.sealed)?));
        }
        _ => {}
    }
    let secret: Secret = Zeroizing::new(env.random());
    let key = env.network.master_key.derive(LABEL);
    let sealed = wrap_secret(&key, &aad(&ask.did), &*secret, env.rng)
        .map_err(|error| Error::Wrap(error.to_string()))?;
    sql.execute(
        "INSERT INTO totp (did, sealed, created_us) VALUES (?, ?, ?)
         ON CONFLICT (did) DO UPDATE SET sealed = excluded.sealed, created_us = excluded.created_us",
        &[ask.did.as_str().into(), Value::Blob(&sealed), env.now_us.into()],
    )?;
    Ok(Hidden::new(*secret))
}

/// # Errors
/// [`Error::InvalidFactor`]; [`Error::TotpSetup`] where nothing waits to be turned on.
pub(in super::super) fn confirm(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    doors: &mut Doors,
    ask: &ConfirmTotp,
) -> Result<Option<Hidden<Vec<String>>>, Error> {
    let (account, _) = credentials::prove(sql, &ask.did, &ask.proof)?;
    let stored = find(sql, &ask.did)?.filter(|stored| !stored.is_on && is_recent(env, stored));
    let stored = stored.ok_or(Error::TotpSetup)?;
    let code: String = ask.code.expose().chars().filter(|char| !char.is_whitespace()).collect();
    if !use_up(sql, env, &ask.did, &stored, &code)? {
        return Err(Error::InvalidFactor);
    }
    sql.execute("UPDATE totp SET is_on = 1 WHERE did = ?", &[ask.did.as_str().into()])?;
    browser::close_others(sql, &ask.did, &ask.proof)?;
    super::tell(sql, env, doors, &account, MeansChange::TotpOn)?;
    recovery::first(sql, env, &ask.did)
}

pub(in super::super) fn stop(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    doors: &mut Doors,
    ask: &StopTotp,
) -> Result<(), Error> {
    let (account, _) = credentials::prove(sql, &ask.did, &ask.proof)?;
    if is_on(sql, &ask.did)? {
        super::take_code(sql, env, doors, &ask.did, ask.code.expose())?;
        remove(sql, &ask.did)?;
        super::tidy(sql, &ask.did)?;
        super::tell(sql, env, doors, &account, MeansChange::TotpOff)?;
    }
    Ok(())
}

/// Uses a code up; false where it is none, was used, or codes are off.
pub(super) fn take(sql: &dyn Sql, env: &Env<'_>, did: &Did, code: &str) -> Result<bool, Error> {
    match find(sql, did)? {
        Some(stored) if stored.is_on => use_up(sql, env, did, &stored, code),
        _ => Ok(false),
    }
}

pub(super) fn is_on(sql: &dyn Sql, did: &Did) -> Result<bool, Error> {
    Ok(find(sql, did)?.is_some_and(|stored| stored.is_on))
}

pub(super) fn remove(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM totp WHERE did = ?", &[did.as_str().into()])?)
}

fn use_up(sql: &dyn Sql, env: &Env<'_>, did: &Did, stored: &Stored, code: &str) -> Result<bool, Error> {
    let secret = open(env, did, &stored.sealed)?;
    let Some(step) = step_of(&secret, code, env.now_seconds(), stored.last_step) else { return Ok(false) };
    sql.execute("UPDATE totp SET last_step = ? WHERE did = ?", &[step.into(), did.as_str().into()])?;
    Ok(true)
}

fn find(sql: &dyn Sql, did: &Did) -> Result<Option<Stored>, Error> {
    let statement = "SELECT sealed, is_on, last_step, created_us FROM totp WHERE did = ?";
    Ok(query_first(sql, statement, &[did.as_str().into()], |row| {
        Ok(Stored {
            sealed: row.blob(0)?.to_vec(),
            is_on: row.integer(1)? != 0,
            last_step: row.integer(2)?,
            created_us: row.integer(3)?,
        })
    })?)
}

fn is_recent(env: &Env<'_>, stored: &Stored) -> bool {
    env.now_us.saturating_sub(stored.created_us) < TOTP_SETUP_SECONDS * 1_000_000
}

fn open(env: &Env<'_>, did: &Did, sealed: &[u8]) -> Result<Secret, Error> {
    let refused = || Error::Unwrap("a secret of sign-in codes".to_owned());
    let key = env.network.master_key.derive(LABEL);
    let bytes = unwrap_secret(&key, &aad(did), sealed, "a secret").map_err(|_| refused())?;
    let bytes: &[u8; SECRET_LEN] = bytes.as_slice().try_into().map_err(|_| refused())?;
    Ok(Zeroizing::new(*bytes))
}

/// Binds a secret to its account.
fn aad(did: &Did) -> Vec<u8> {
    format!("directory/totp/{did}").into_bytes()
}
