//! All that proves an account's owner, over the files that hold each: what a sign-in is checked against, and its end.

use serde::{Deserialize, Serialize};

use super::account::{self, Account, Who};
use super::app_password::{self, AppPassword, CreateAppPassword, CreatedAppPassword};
use super::proof::Proof;
use super::registry::{AgentToken, RotateAgentToken};
use super::session::{OpenSession, Session};
use super::{Error, browser, factor, known_device, mail, mail_code, registry, session};
use crate::actor::Scope;
use crate::crypto::sha256;
use crate::env::Env;
use crate::seam::Hidden;
use crate::store::{Sql, query_first};
use crate::syntax::Did;

/// The account that a proof opens, and the app password that it is.
///
/// # Errors
/// [`Error::TokenRevoked`] when it opens nothing any more.
pub(super) fn prove(
    sql: &dyn Sql,
    did: &Did,
    proof: &Proof,
) -> Result<(Account, Option<AppPassword>), Error> {
    let account = account::require(sql, did)?;
    let mut app_password = None;
    let holds = match proof {
        Proof::Generation(generation) => account.generation <= *generation,
        Proof::AgentToken(digest) => {
            registry::find_token(sql, digest)?.is_some_and(|token| token.did == *did)
        }
        Proof::AppPassword(digest) => {
            app_password = app_password::find(sql, did, digest)?;
            app_password.is_some()
        }
        Proof::Browser(digest) => browser::is_open(sql, did, digest)?,
        Proof::Passkey(digest) => factor::is_had(sql, did, digest)?,
        Proof::Password(digest) | Proof::TwoFactors(digest) => {
            password_hash(sql, did)?.is_some_and(|hash| sha256(hash.expose().as_bytes()) == *digest)
        }
    };
    if holds { Ok((account, app_password)) } else { Err(Error::TokenRevoked) }
}

/// As [`prove`], of what signs somebody in: where more is needed than the password, that alone does not.
///
/// # Errors
/// [`Error::FactorRequired`] as well.
pub(super) fn prove_sign_in(
    sql: &dyn Sql,
    did: &Did,
    proof: &Proof,
) -> Result<(Account, Option<AppPassword>), Error> {
    let proven = prove(sql, did, proof)?;
    match proof {
        Proof::Password(_) => factor::require_none(sql, did)?,
        Proof::TwoFactors(_)
        | Proof::Generation(_)
        | Proof::AgentToken(_)
        | Proof::AppPassword(_)
        | Proof::Passkey(_)
        | Proof::Browser(_) => {}
    }
    Ok(proven)
}

/// Opens a session.
pub(super) fn open_session(sql: &dyn Sql, env: &mut Env<'_>, ask: &OpenSession) -> Result<Session, Error> {
    if !ask.allow_takendown && account::require(sql, &ask.did)?.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    let (account, app_password) = prove_sign_in(sql, &ask.did, &ask.proof)?;
    // What opens less than all of an account does not open the way out of it either.
    if account.status.is_moderated() && app_password.is_some() {
        return Err(Error::AccountTakedown);
    }
    session::open(sql, env, account, app_password.as_ref(), ask.client.as_deref())
}

/// Makes an app password.
pub(super) fn create_app_password(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &CreateAppPassword,
) -> Result<CreatedAppPassword, Error> {
    prove(sql, &ask.did, &ask.proof)?;
    app_password::create(sql, env, ask)
}

/// Makes the token that takes the place of an agent's others.
pub(super) fn rotate_token(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &RotateAgentToken,
) -> Result<Hidden<String>, Error> {
    prove(sql, &ask.did, &ask.proof)?;
    registry::rotate_token(sql, env, &ask.did)
}

/// Asks for what a sign-in is checked against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetCredentials {
    /// Who wants to sign in.
    pub who: Who,
    /// SHA-256 of the password given, which may be an app password or the agent's token.
    pub digest: [u8; 32],
    /// From where, if its host knows: tries are counted.
    pub client: Option<String>,
}

/// The answer to [`GetCredentials`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The account named.
    pub account: Account,
    /// Argon2id string of the account's own password, for the host to check.
    pub password_hash: Option<Hidden<String>>,
    /// The app password that has the digest given.
    pub app_password: Option<AppPassword>,
    /// The agent's token that has the digest given.
    pub agent_token: Option<AgentToken>,
}

pub(super) fn get(sql: &dyn Sql, ask: &GetCredentials) -> Result<Option<Credentials>, Error> {
    let Some(account) = account::get(sql, &ask.who)? else {
        return Ok(None);
    };
    let password_hash = password_hash(sql, &account.did)?;
    let app_password = app_password::find(sql, &account.did, &ask.digest)?;
    let agent_token = registry::find_token(sql, &ask.digest)?.filter(|token| token.did == account.did);
    Ok(Some(Credentials { account, password_hash, app_password, agent_token }))
}

fn password_hash(sql: &dyn Sql, did: &Did) -> Result<Option<Hidden<String>>, Error> {
    let statement = "SELECT password_hash FROM account WHERE did = ?";
    let hash = query_first(sql, statement, &[did.as_str().into()], |row| {
        Ok(row.optional_text(0)?.map(|hash| Hidden::new(hash.to_owned())))
    })?;
    Ok(hash.flatten())
}

/// Removes an app password, if there is one of the name, and ends the sessions it opened.
pub(super) fn revoke_app_password(sql: &dyn Sql, did: &Did, name: &str) -> Result<(), Error> {
    if !app_password::remove(sql, did, name)? {
        return Ok(()); // Nothing ends, so no token has to be had anew.
    }
    session::close_of_app_password(sql, did, name)?;
    count_end(sql, did)
}

/// Ends a session; says whose it was. Of one that opens no memory the refresh token alone ends: who may only write public
/// records could else, by signing in and out, have all others refresh for ever.
pub(super) fn close_session(sql: &dyn Sql, id: &str) -> Result<Option<Did>, Error> {
    let Some((did, scope)) = session::close(sql, id)? else { return Ok(None) };
    if matches!(scope, Scope::Access | Scope::AppPassVault) {
        count_end(sql, &did)?;
    }
    Ok(Some(did))
}

/// Ends all of an agent's tokens, and what browsers were signed in with by them.
pub(super) fn revoke_tokens(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    registry::revoke_tokens(sql, did)?;
    browser::close_all(sql, did, None)?;
    count_end(sql, did)
}

/// Ends what a token takes the place of: the other tokens, the sessions that any of them may have opened, and an address
/// and password that the agent had, by which whoever had the old token could come back. App passwords stay, which the agent
/// can list and revoke.
pub(super) fn settle_token(sql: &dyn Sql, digest: &[u8; 32]) -> Result<(), Error> {
    let Some(AgentToken { did, ends_others: true }) = registry::find_token(sql, digest)? else {
        return Ok(());
    };
    registry::keep_only(sql, &did, digest)?;
    session::close_all(sql, &did)?;
    let forget =
        "UPDATE account SET password_hash = NULL, email = NULL, email_confirmed_us = NULL WHERE did = ?";
    sql.execute(forget, &[did.as_str().into()])?;
    mail_code::remove_all(sql, &did)?;
    mail::cancel_codes(sql, &did)?;
    count_end(sql, &did)
}

/// Ends an account's sessions, app passwords and password, and what was needed beside that: whoever had the account may have
/// set it. An agent's token stays: nobody could make another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokeCredentials {
    /// Whose.
    pub did: Did,
}

pub(super) fn revoke(sql: &dyn Sql, ask: &RevokeCredentials) -> Result<(), Error> {
    account::require(sql, &ask.did)?;
    let did = &ask.did;
    sql.execute("UPDATE account SET password_hash = NULL WHERE did = ?", &[did.as_str().into()])?;
    session::close_all(sql, did)?;
    app_password::remove_all(sql, did)?;
    factor::remove_all(sql, did)?;
    count_end(sql, did)
}

/// Ends all that could prove the account's owner but its password.
pub(super) fn revoke_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    session::close_all(sql, did)?;
    registry::revoke_tokens(sql, did)?;
    mail_code::remove_all(sql, did)?;
    mail::remove_all(sql, did)?;
    known_device::remove_all(sql, did)?;
    factor::remove_all(sql, did)?;
    app_password::remove_all(sql, did)?;
    count_end(sql, did)
}

/// Access tokens rest nowhere and can't be taken back one by one: those from before open nothing any more.
pub(super) fn count_end(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("UPDATE account SET generation = generation + 1 WHERE did = ?", &[did.as_str().into()])?)
}
