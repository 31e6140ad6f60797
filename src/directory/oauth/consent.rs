//! From the sign-in to the code.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::super::Error;
use super::super::account::{self, read_did};
use super::super::credentials;
use super::super::known_device::{self, Device};
use super::super::limits::OAUTH_REQUESTS_MAX;
use super::super::proof::Proof;
use crate::crypto::sha256;
use crate::env::Env;
use crate::oauth::request::AuthorizationRequest;
use crate::oauth::scope::Sets;
use crate::oauth::{CHALLENGE_SECONDS, CODE_SECONDS, CONSENT_SECONDS};
use crate::seam::Hidden;
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::Did;

/// An owner has signed in for a request: remembers who, and in which browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeginConsent {
    /// The request's name.
    pub id: String,
    /// What is asked for.
    pub request: AuthorizationRequest,
    /// What the client calls itself, to be told to the owner later.
    pub client_name: Option<String>,
    /// Who signed in.
    pub did: Did,
    /// With what.
    pub proof: Proof,
    /// From where, after [`GetCredentials`](super::super::GetCredentials) from there.
    pub client: Option<String>,
    /// What the browser says it is.
    pub device: Option<String>,
    /// SHA-256 of what the browser is given.
    pub browser: [u8; 32],
}

/// Asks who is asked for consent to a request, in this browser; nobody, unless they signed in there a short while ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetConsent {
    /// The request's name.
    pub id: String,
    /// SHA-256 of what the browser shows.
    pub browser: [u8; 32],
}

/// Who is asked, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consenting {
    /// Who.
    pub did: Did,
    /// What the permission sets of the request open.
    pub sets: Sets,
}

/// The owner says yes: makes the code. `None` when nobody is asked in this browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrantConsent {
    /// The request's name.
    pub id: String,
    /// SHA-256 of what the browser shows.
    pub browser: [u8; 32],
}

/// The owner says no: the request can't be used any more. False when nobody is asked in this browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DropConsent {
    /// The request's name.
    pub id: String,
    /// SHA-256 of what the browser shows.
    pub browser: [u8; 32],
}

pub(in super::super) fn begin(sql: &dyn Sql, env: &mut Env<'_>, ask: &BeginConsent) -> Result<(), Error> {
    remove_expired(sql, env)?;
    if account::require(sql, &ask.did)?.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    let (account, _) = credentials::prove_sign_in(sql, &ask.did, &ask.proof)?;
    if is_used(sql, env, ask)? {
        return Err(Error::RequestUsed);
    }
    // Who signs in for very many at once loses the oldest.
    sql.execute(
        "DELETE FROM oauth_request WHERE did = ? AND id NOT IN
           (SELECT id FROM oauth_request WHERE did = ? ORDER BY created_us DESC LIMIT ?)",
        &[ask.did.as_str().into(), ask.did.as_str().into(), OAUTH_REQUESTS_MAX.into()],
    )?;
    sql.execute("DELETE FROM oauth_request WHERE id = ?", &[ask.id.as_str().into()])?;
    sql.execute(
        "INSERT INTO oauth_request (id, did, request, browser, proof, created_us, expires_us, client_name)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            ask.id.as_str().into(),
            ask.did.as_str().into(),
            Value::Blob(&encode(&ask.request)?),
            Value::Blob(&ask.browser),
            Value::Blob(&encode(&ask.proof)?),
            env.now_us.into(),
            after(env, CONSENT_SECONDS).into(),
            Value::optional_text(ask.client_name.as_deref()),
        ],
    )?;
    let device = Device { client: ask.client.as_deref(), program: ask.device.as_deref() };
    known_device::note(sql, env, &account, &ask.proof, device)
}

/// Whether the request was answered already, or its challenge belongs to another one.
fn is_used(sql: &dyn Sql, env: &Env<'_>, ask: &BeginConsent) -> Result<bool, Error> {
    let answered = query_first(
        sql,
        "SELECT is_over + (code IS NOT NULL) FROM oauth_request WHERE id = ?",
        &[ask.id.as_str().into()],
        |row| row.integer(0),
    )?;
    Ok(answered.is_some_and(|answered| answered > 0)
        || is_challenge_used(sql, env, &ask.request.code_challenge)?)
}

/// Whether a session of the last day began with this challenge, ended or not.
fn is_challenge_used(sql: &dyn Sql, env: &Env<'_>, challenge: &str) -> Result<bool, Error> {
    let used = "SELECT 1 FROM oauth_challenge WHERE challenge = ? AND used_us > ?";
    let params = [challenge.into(), a_day_ago(env).into()];
    Ok(query_first(sql, used, &params, |row| row.integer(0))?.is_some())
}

/// Notes that a session begins with this challenge; false where one has.
pub(super) fn use_challenge(sql: &dyn Sql, env: &Env<'_>, challenge: &str) -> Result<bool, Error> {
    if is_challenge_used(sql, env, challenge)? {
        return Ok(false);
    }
    sql.execute("DELETE FROM oauth_challenge WHERE used_us <= ?", &[a_day_ago(env).into()])?;
    let insert = "INSERT INTO oauth_challenge (challenge, used_us) VALUES (?, ?)";
    sql.execute(insert, &[challenge.into(), env.now_us.into()])?;
    Ok(true)
}

fn a_day_ago(env: &Env<'_>) -> i64 {
    env.now_us.saturating_sub(CHALLENGE_SECONDS.saturating_mul(1_000_000))
}

pub(in super::super) fn get(
    sql: &dyn Sql,
    env: &Env<'_>,
    ask: &GetConsent,
) -> Result<Option<Consenting>, Error> {
    let asked = find(sql, env, &ask.id, &ask.browser)?;
    Ok(asked.map(|asked| Consenting { did: asked.did, sets: asked.request.sets }))
}

pub(in super::super) fn grant(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &GrantConsent,
) -> Result<Option<Hidden<String>>, Error> {
    let Some(asked) = find(sql, env, &ask.id, &ask.browser)? else { return Ok(None) };
    // What they signed in with may have ended meanwhile.
    credentials::prove(sql, &asked.did, &asked.proof)?;
    let code = BASE64URL_NOPAD.encode(&env.random::<32>());
    sql.execute(
        "UPDATE oauth_request SET code = ?, expires_us = ? WHERE id = ?",
        &[Value::Blob(&sha256(code.as_bytes())), after(env, CODE_SECONDS).into(), ask.id.as_str().into()],
    )?;
    Ok(Some(Hidden::new(code)))
}

pub(in super::super) fn drop(sql: &dyn Sql, env: &Env<'_>, ask: &DropConsent) -> Result<bool, Error> {
    if find(sql, env, &ask.id, &ask.browser)?.is_none() {
        return Ok(false);
    }
    sql.execute(
        "UPDATE oauth_request SET is_over = 1, expires_us = ? WHERE id = ?",
        &[after(env, crate::oauth::REQUEST_SECONDS).into(), ask.id.as_str().into()],
    )?;
    Ok(true)
}

struct Asked {
    did: Did,
    request: AuthorizationRequest,
    proof: Proof,
}

fn find(sql: &dyn Sql, env: &Env<'_>, id: &str, browser: &[u8; 32]) -> Result<Option<Asked>, Error> {
    let found = query_first(
        sql,
        "SELECT did, request, proof FROM oauth_request
         WHERE id = ? AND browser = ? AND code IS NULL AND is_over = 0 AND expires_us > ?",
        &[id.into(), Value::Blob(browser), env.now_us.into()],
        |row| Ok((read_did(row, 0)?, row.blob(1)?.to_vec(), row.blob(2)?.to_vec())),
    )?;
    let read = |(did, request, proof): (Did, Vec<u8>, Vec<u8>)| {
        Ok(Asked { did, request: decode(&request, 1)?, proof: decode(&proof, 2)? })
    };
    found.map(read).transpose()
}

/// What an owner granted.
pub(super) struct Granted {
    pub(super) did: Did,
    pub(super) request: AuthorizationRequest,
    pub(super) client_name: Option<String>,
}

/// A request that was granted with this code and not exchanged yet; it is over with that.
pub(super) fn take(sql: &dyn Sql, env: &Env<'_>, code: &[u8; 32]) -> Result<Option<Granted>, Error> {
    let found = query_first(
        sql,
        "SELECT did, request, id, client_name FROM oauth_request WHERE code = ? AND is_over = 0 AND expires_us > ?",
        &[Value::Blob(code), env.now_us.into()],
        |row| {
            let client_name = row.optional_text(3)?.map(str::to_owned);
            Ok((read_did(row, 0)?, row.blob(1)?.to_vec(), row.text(2)?.to_owned(), client_name))
        },
    )?;
    let Some((did, request, id, client_name)) = found else { return Ok(None) };
    sql.execute(
        "UPDATE oauth_request SET is_over = 1, expires_us = ? WHERE id = ?",
        &[after(env, crate::oauth::REQUEST_SECONDS).into(), id.as_str().into()],
    )?;
    Ok(Some(Granted { did, request: decode(&request, 1)?, client_name }))
}

fn remove_expired(sql: &dyn Sql, env: &Env<'_>) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM oauth_request WHERE expires_us <= ?", &[env.now_us.into()])?)
}

pub(super) fn after(env: &Env<'_>, seconds: i64) -> i64 {
    env.now_us.saturating_add(seconds.saturating_mul(1_000_000))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_ipld_dagcbor::to_vec(value).map_err(|error| SqlError::Other(error.to_string()).into())
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8], column: usize) -> Result<T, Error> {
    let read = serde_ipld_dagcbor::from_slice(bytes);
    read.map_err(|_| SqlError::Column { column, expected: "a value in DAG-CBOR".into() }.into())
}
