//! A browser between the password and what is needed beside it.
//!
//! It was given a value of its own when the password was right, and shows that with the rest: whoever watches or guesses from
//! elsewhere is nowhere. A row is made for who knows the password alone, and lives for minutes.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::super::account::read_did;
use super::super::limits::{HALF_SIGN_IN_SECONDS, HALF_SIGN_INS_MAX};
use super::super::proof::Proof;
use super::super::{Error, credentials};
use super::{passkey, totp};
use crate::env::Env;
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::Did;

/// Remembers that a password was shown in a browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeginHalfSignIn {
    /// Whose.
    pub did: Did,
    /// What it proves.
    pub proof: Proof,
    /// SHA-256 of what the browser is given.
    pub browser: [u8; 32],
}

/// Asks who has shown a password in a browser, a moment ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetHalfSignIn {
    /// SHA-256 of what the browser shows.
    pub browser: [u8; 32],
}

/// Who has shown a password, and what is needed beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfSignIn {
    /// Who.
    pub did: Did,
    /// Whether a code by time would do.
    pub totp: bool,
    /// The passkeys that would do, as their authenticators named them.
    pub passkeys: Vec<ByteBuf>,
}

pub(in super::super) fn begin(sql: &dyn Sql, env: &Env<'_>, ask: &BeginHalfSignIn) -> Result<(), Error> {
    credentials::prove(sql, &ask.did, &ask.proof)?;
    sql.execute("DELETE FROM half_sign_in WHERE expires_us <= ?", &[env.now_us.into()])?;
    let did = Value::Text(ask.did.as_str());
    sql.execute(
        "DELETE FROM half_sign_in WHERE did = ? AND browser NOT IN
           (SELECT browser FROM half_sign_in WHERE did = ? ORDER BY expires_us DESC LIMIT ?)",
        &[did, did, (HALF_SIGN_INS_MAX - 1).into()],
    )?;
    let proof = serde_ipld_dagcbor::to_vec(&ask.proof).map_err(|error| SqlError::Other(error.to_string()))?;
    let expires_us = env.now_us.saturating_add(HALF_SIGN_IN_SECONDS * 1_000_000);
    Ok(sql.execute(
        "INSERT INTO half_sign_in (browser, did, proof, expires_us) VALUES (?, ?, ?, ?)",
        &[Value::Blob(&ask.browser), did, Value::Blob(&proof), expires_us.into()],
    )?)
}

pub(in super::super) fn get(
    sql: &dyn Sql,
    env: &Env<'_>,
    ask: &GetHalfSignIn,
) -> Result<Option<HalfSignIn>, Error> {
    let Some((did, _)) = find(sql, env, &ask.browser)? else { return Ok(None) };
    let passkeys = passkey::list(sql, &did)?.into_iter().map(|passkey| passkey.id).collect();
    Ok(Some(HalfSignIn { totp: totp::is_on(sql, &did)?, passkeys, did }))
}

/// Who has shown a password in a browser, and what that proves.
pub(super) fn find(sql: &dyn Sql, env: &Env<'_>, browser: &[u8; 32]) -> Result<Option<(Did, Proof)>, Error> {
    let statement = "SELECT did, proof FROM half_sign_in WHERE browser = ? AND expires_us > ?";
    let found = query_first(sql, statement, &[Value::Blob(browser), env.now_us.into()], |row| {
        let proof = serde_ipld_dagcbor::from_slice(row.blob(1)?);
        let proof = proof.map_err(|_| SqlError::Column { column: 1, expected: "a proof".into() })?;
        Ok((read_did(row, 0)?, proof))
    })?;
    Ok(found)
}

pub(super) fn forget(sql: &dyn Sql, browser: &[u8; 32]) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM half_sign_in WHERE browser = ?", &[Value::Blob(browser)])?)
}

pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM half_sign_in WHERE did = ?", &[did.as_str().into()])?)
}
