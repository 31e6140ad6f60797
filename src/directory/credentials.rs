//! All that proves an account's owner, over the files that hold each: what a sign-in is checked against, and its end.

use serde::{Deserialize, Serialize};

use super::account::{self, Account, Who};
use super::app_password::{self, AppPassword};
use super::{Error, mail_code, registry, session};
use crate::seam::Hidden;
use crate::store::{Sql, query_first};
use crate::syntax::Did;

/// Asks for what a sign-in is checked against.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetCredentials {
    /// Who wants to sign in.
    pub who: Who,
    /// SHA-256 of the password given, which may be an app password or the agent's token.
    pub digest: [u8; 32],
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
    /// Whether the digest is that of one of the agent's tokens.
    pub is_agent_token: bool,
}

pub(super) fn get(sql: &dyn Sql, ask: &GetCredentials) -> Result<Option<Credentials>, Error> {
    let Some(account) = account::get(sql, &ask.who)? else {
        return Ok(None);
    };
    let password_hash = query_first(
        sql,
        "SELECT password_hash FROM account WHERE did = ?",
        &[account.did.as_str().into()],
        |row| Ok(row.optional_text(0)?.map(|hash| Hidden::new(hash.to_owned()))),
    )?
    .flatten();
    let app_password = app_password::find(sql, &account.did, &ask.digest)?;
    let is_agent_token = registry::find_token(sql, &ask.digest)?.as_ref() == Some(&account.did);
    Ok(Some(Credentials { account, password_hash, app_password, is_agent_token }))
}

/// Removes an app password and ends the sessions it opened.
pub(super) fn revoke_app_password(sql: &dyn Sql, did: &Did, name: &str) -> Result<(), Error> {
    app_password::remove(sql, did, name)?;
    session::close_of_app_password(sql, did, name)?;
    count_end(sql, did)
}

/// Ends a session; says whose it was.
pub(super) fn close_session(sql: &dyn Sql, id: &str) -> Result<Option<Did>, Error> {
    let did = session::close(sql, id)?;
    did.as_ref().map_or(Ok(()), |did| count_end(sql, did))?;
    Ok(did)
}

/// Ends all of an agent's tokens.
pub(super) fn revoke_tokens(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    registry::revoke_tokens(sql, did)?;
    count_end(sql, did)
}

/// Ends all that could prove the account's owner but its password.
pub(super) fn revoke_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    session::close_all(sql, did)?;
    registry::revoke_tokens(sql, did)?;
    mail_code::remove_all(sql, did)?;
    app_password::remove_all(sql, did)?;
    count_end(sql, did)
}

/// Access tokens rest nowhere and can't be taken back one by one: those from before open no vault any more.
pub(super) fn count_end(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("UPDATE account SET generation = generation + 1 WHERE did = ?", &[did.as_str().into()])?)
}
