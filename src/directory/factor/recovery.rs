//! Codes on paper, each good once, for when the device with the other factor is lost.
//!
//! The service makes them (80 random bits), so a plain digest is as good as a slow hash: there is nothing to guess.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::super::app_password::grouped;
use super::super::doors::Doors;
use super::super::limits::RECOVERY_CODES;
use super::super::proof::Proof;
use super::super::{Error, credentials};
use crate::crypto::sha256;
use crate::env::Env;
use crate::mail::MeansChange;
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Makes codes in place of those that are left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewRecoveryCodes {
    /// Whose.
    pub did: Did,
    /// Who asks.
    pub proof: Proof,
}

/// # Errors
/// [`Error::TotpSetup`] where there is nothing that they would stand in for.
pub(in super::super) fn renew(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    doors: &mut Doors,
    ask: &RenewRecoveryCodes,
) -> Result<Hidden<Vec<String>>, Error> {
    let (account, _) = credentials::prove(sql, &ask.did, &ask.proof)?;
    if !super::has_any(sql, &ask.did)? {
        return Err(Error::TotpSetup);
    }
    super::tell(sql, env, doors, &account, MeansChange::RecoveryCodesRenewed)?;
    issue(sql, env, &ask.did)
}

/// Makes codes for an account's first factor; `None` where it has some.
pub(super) fn first(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    did: &Did,
) -> Result<Option<Hidden<Vec<String>>>, Error> {
    if count(sql, did)? > 0 { Ok(None) } else { issue(sql, env, did).map(Some) }
}

fn issue(sql: &dyn Sql, env: &mut Env<'_>, did: &Did) -> Result<Hidden<Vec<String>>, Error> {
    remove_all(sql, did)?;
    let mut codes = Vec::with_capacity(RECOVERY_CODES);
    for _ in 0..RECOVERY_CODES {
        let letters = BASE32_NOPAD.encode(&env.random::<10>()).to_ascii_lowercase();
        sql.execute(
            "INSERT INTO recovery_code (did, digest) VALUES (?, ?)",
            &[did.as_str().into(), Value::Blob(&sha256(letters.as_bytes()))],
        )?;
        codes.push(grouped(&letters, 4));
    }
    Ok(Hidden::new(codes))
}

/// Uses a code up, given without its hyphens; false where there is none such.
pub(super) fn take(sql: &dyn Sql, did: &Did, code: &str) -> Result<bool, Error> {
    let digest = sha256(code.to_ascii_lowercase().as_bytes());
    let params = [did.as_str().into(), Value::Blob(&digest)];
    let statement = "SELECT 1 FROM recovery_code WHERE did = ? AND digest = ?";
    if query_first(sql, statement, &params, |row| row.integer(0))?.is_none() {
        return Ok(false);
    }
    sql.execute("DELETE FROM recovery_code WHERE did = ? AND digest = ?", &params)?;
    Ok(true)
}

pub(super) fn count(sql: &dyn Sql, did: &Did) -> Result<i64, Error> {
    let statement = "SELECT count(*) FROM recovery_code WHERE did = ?";
    Ok(query_first(sql, statement, &[did.as_str().into()], |row| row.integer(0))?.unwrap_or(0))
}

pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM recovery_code WHERE did = ?", &[did.as_str().into()])?)
}
