//! Codes that are sent by mail to show that the owner wants what was asked.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::Error;
use super::account::read_did;
use super::app_password::grouped;
use crate::crypto::sha256;
use crate::directory::limits::MAIL_CODE_SECONDS;
use crate::env::Env;
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Asks whose a code is, which stays good: before what is slow is begun.
#[derive(Clone, Serialize, Deserialize)]
pub struct FindMailCode {
    /// What for.
    pub purpose: MailPurpose,
    /// As its owner gave it.
    pub code: Hidden<String>,
}

/// Makes a code, in place of an earlier one for the same purpose.
pub(super) fn issue(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    did: &Did,
    purpose: MailPurpose,
) -> Result<Hidden<String>, Error> {
    let letters: String = BASE32_NOPAD.encode(&env.random::<7>()).chars().take(10).collect();
    let code = grouped(&letters, 5);
    sql.execute(
        "INSERT INTO mail_code (did, purpose, digest, created_us) VALUES (?, ?, ?, ?)
         ON CONFLICT (did, purpose) DO UPDATE SET digest = excluded.digest, created_us = excluded.created_us",
        &[did.as_str().into(), purpose.as_str().into(), Value::Blob(&digest(&code)), env.now_us.into()],
    )?;
    Ok(Hidden::new(code))
}

/// A code's time begins now: its mail went.
pub(super) fn begin(sql: &dyn Sql, env: &Env<'_>, did: &Did, purpose: MailPurpose) -> Result<(), Error> {
    let statement = "UPDATE mail_code SET created_us = ? WHERE did = ? AND purpose = ?";
    Ok(sql.execute(statement, &[env.now_us.into(), did.as_str().into(), purpose.as_str().into()])?)
}

/// Whose a code is.
///
/// # Errors
/// [`Error::InvalidMailCode`], [`Error::MailCodeExpired`].
pub(super) fn find(sql: &dyn Sql, env: &Env<'_>, purpose: MailPurpose, code: &str) -> Result<Did, Error> {
    let statement = "SELECT did, created_us FROM mail_code WHERE purpose = ? AND digest = ?";
    let params = [purpose.as_str().into(), Value::Blob(&digest(code))];
    let found = query_first(sql, statement, &params, |row| Ok((read_did(row, 0)?, row.integer(1)?)))?;
    let (did, created_us) = found.ok_or(Error::InvalidMailCode)?;
    let age_us = env.now_us.saturating_sub(created_us);
    if age_us >= MAIL_CODE_SECONDS * 1_000_000 { Err(Error::MailCodeExpired) } else { Ok(did) }
}

/// Uses a code up. People may type it in lower case.
pub(super) fn take(
    sql: &dyn Sql,
    env: &Env<'_>,
    did: &Did,
    purpose: MailPurpose,
    code: &str,
) -> Result<(), Error> {
    if find(sql, env, purpose, code)? != *did {
        return Err(Error::InvalidMailCode);
    }
    let statement = "DELETE FROM mail_code WHERE did = ? AND purpose = ?";
    Ok(sql.execute(statement, &[did.as_str().into(), purpose.as_str().into()])?)
}

/// Forgets all codes of an account.
pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    sql.execute("DELETE FROM mail_code WHERE did = ?", &[did.as_str().into()])?;
    Ok(())
}

fn digest(code: &str) -> [u8; 32] {
    sha256(code.trim().to_ascii_uppercase().as_bytes())
}
