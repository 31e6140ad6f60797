//! Codes that are sent by mail to show that the owner wants what was asked.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::app_password::grouped;
use super::{Error, account};
use crate::crypto::sha256;
use crate::directory::limits::MAIL_CODE_SECONDS;
use crate::env::Env;
use crate::seam::Hidden;
use crate::store::{Sql, Value};
use crate::syntax::Did;

/// What a code is for; an account has at most one for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MailPurpose {
    /// To delete the account for good.
    DeleteAccount,
}

impl MailPurpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::DeleteAccount => "delete-account",
        }
    }
}

/// Makes a code, in place of an earlier one for the same purpose.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssueMailCode {
    /// Whose.
    pub did: Did,
    /// What for.
    pub purpose: MailPurpose,
}

pub(super) fn issue(sql: &dyn Sql, env: &mut Env<'_>, ask: &IssueMailCode) -> Result<Hidden<String>, Error> {
    account::require(sql, &ask.did)?;
    let letters: String = BASE32_NOPAD.encode(&env.random::<7>()).chars().take(10).collect();
    let code = grouped(&letters, 5);
    sql.execute(
        "INSERT INTO mail_code (did, purpose, digest, created_us) VALUES (?, ?, ?, ?)
         ON CONFLICT (did, purpose) DO UPDATE SET digest = excluded.digest, created_us = excluded.created_us",
        &[
            ask.did.as_str().into(),
            ask.purpose.as_str().into(),
            Value::Blob(&sha256(code.as_bytes())),
            env.now_us.into(),
        ],
    )?;
    Ok(Hidden::new(code))
}

/// Uses a code up. People may type it in lower case.
pub(super) fn take(
    sql: &dyn Sql,
    env: &Env<'_>,
    did: &Did,
    purpose: MailPurpose,
    code: &str,
) -> Result<(), Error> {
    let oldest_us = env.now_us.saturating_sub(MAIL_CODE_SECONDS.saturating_mul(1_000_000));
    let digest = sha256(code.trim().to_ascii_uppercase().as_bytes());
    let taken = sql.execute_counted(
        "DELETE FROM mail_code WHERE did = ? AND purpose = ? AND digest = ? AND created_us > ?",
        &[did.as_str().into(), purpose.as_str().into(), Value::Blob(&digest), oldest_us.into()],
    )?;
    if taken == 1 { Ok(()) } else { Err(Error::InvalidMailCode) }
}

/// Forgets all codes of an account.
pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    sql.execute("DELETE FROM mail_code WHERE did = ?", &[did.as_str().into()])?;
    Ok(())
}
