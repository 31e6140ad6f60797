//! What a sign-in needs beside an account's password, or in its place, where its owner wants that: codes by time, passkeys, and
//! codes on paper for when their device is lost.
//!
//! | file | |
//! |---|---|
//! | `totp` | codes by time: turning them on and off |
//! | `passkey` | passkeys: adding and removing them, signing in |
//! | `recovery` | codes on paper |
//! | `half` | a browser between the password and the rest |
//!
//! Whatever signs somebody in asks [`require_none`] of a password alone; [`pass`] takes what is shown beside it, and is the
//! only way on. Every code is good once. Who tries codes knows the password already, so tries are counted by account, from
//! wherever they come.

mod half;
mod passkey;
mod recovery;
mod totp;

use serde::{Deserialize, Serialize};

pub use half::{BeginHalfSignIn, GetHalfSignIn, HalfSignIn};
pub use passkey::{AddPasskey, Assertion, Challenge, Passkey, RemovePasskey, UsePasskey};
pub use recovery::RenewRecoveryCodes;
pub use totp::{BeginTotp, ConfirmTotp, StopTotp};

pub(super) use half::{begin, get as half};
pub(super) use passkey::{add, drop as drop_passkey, is_had, sign_in};
pub(super) use recovery::renew;
pub(super) use totp::{begin as begin_totp, confirm, stop};

use super::account::Account;
use super::doors::Doors;
use super::proof::Proof;
use super::{Error, credentials, mail};
use crate::crypto::totp::DIGITS;
use crate::env::Env;
use crate::mail::{Letter, MeansChange};
use crate::seam::Hidden;
use crate::store::Sql;
use crate::syntax::Did;

/// Asks which factors an account has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetFactors {
    /// Whose.
    pub did: Did,
}

/// The factors of an account, beside its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// Whether codes by time are on.
    pub totp: bool,
    /// Codes on paper that are left.
    pub recovery_codes: i64,
    /// Its passkeys.
    pub passkeys: Vec<Passkey>,
    /// What authenticators know the account by.
    pub passkey_user: [u8; 32],
}

/// Shows what is needed beside a password. A code that fits is used up. `None` when a passkey's counter has gone back.
#[derive(Clone, Serialize, Deserialize)]
pub struct PassFactor {
    /// The password, as it was shown.
    pub half: Half,
    /// The rest.
    pub given: Given,
}

/// A password that was shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Half {
    /// Just now, with this.
    Now {
        /// Whose.
        did: Did,
        /// What it proves.
        proof: Proof,
    },
    /// A moment ago, in this browser ([`BeginHalfSignIn`]).
    Before {
        /// SHA-256 of what the browser shows.
        browser: [u8; 32],
    },
}

/// What is shown beside a password.
#[derive(Clone, Serialize, Deserialize)]
pub enum Given {
    /// A code by time, or one on paper, as people type it.
    Code(Hidden<String>),
    /// A passkey.
    Passkey(Assertion),
}

/// Who has shown all that is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Who.
    pub did: Did,
    /// What all of it proves.
    pub proof: Proof,
}

pub(super) fn get(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Factors, Error> {
    Ok(Factors {
        totp: totp::is_on(sql, did)?,
        recovery_codes: recovery::count(sql, did)?,
        passkeys: passkey::list(sql, did)?,
        passkey_user: passkey::user_handle(env, did),
    })
}

/// Whether a password alone signs nobody in.
fn has_any(sql: &dyn Sql, did: &Did) -> Result<bool, Error> {
    Ok(totp::is_on(sql, did)? || !passkey::list(sql, did)?.is_empty())
}

/// What an app is told: its user has to be asked for a code.
pub(super) fn needed(by_code: bool) -> &'static str {
    if by_code {
        "a code is needed beside the password: that of the authenticator app, or a recovery code"
    } else {
        "this account signs in with a passkey, which an app can't ask for: use a recovery code, or an app password"
    }
}

/// # Errors
/// [`Error::FactorRequired`] where something is needed beside the password.
pub(super) fn require_none(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    if has_any(sql, did)? { Err(Error::FactorRequired { by_code: totp::is_on(sql, did)? }) } else { Ok(()) }
}

/// Takes what is shown beside a password.
///
/// # Errors
/// [`Error::InvalidFactor`], [`Error::InvalidPasskey`], [`Error::TooOften`]; [`Error::TokenRevoked`] where the password is over, or nobody has shown one.
pub(super) fn pass(
    sql: &dyn Sql,
    env: &Env<'_>,
    doors: &mut Doors,
    ask: &PassFactor,
) -> Result<Option<Passed>, Error> {
    let (did, proof) = match &ask.half {
        Half::Now { did, proof } => (did.clone(), proof.clone()),
        Half::Before { browser } => half::find(sql, env, browser)?.ok_or(Error::TokenRevoked)?,
    };
    credentials::prove(sql, &did, &proof)?;
    let proof = match proof {
        Proof::Password(digest) if has_any(sql, &did)? => {
            match &ask.given {
                Given::Code(code) => take_code(sql, env, doors, &did, code.expose())?,
                Given::Passkey(shown) => {
                    if passkey::take(sql, env, shown, Some(&did))?.is_none() {
                        return Ok(None);
                    }
                }
            }
            Proof::TwoFactors(digest)
        }
        proof => proof,
    };
    if let Half::Before { browser } = &ask.half {
        half::forget(sql, browser)?;
    }
    Ok(Some(Passed { did, proof }))
}

/// Uses a code up, of either kind.
fn take_code(sql: &dyn Sql, env: &Env<'_>, doors: &mut Doors, did: &Did, typed: &str) -> Result<(), Error> {
    doors.try_code(env, did)?;
    let code: String = typed.chars().filter(|char| !char.is_whitespace() && *char != '-').collect();
    let code = Hidden::new(code);
    let is_by_time = code.expose().len() == DIGITS;
    let fits = if is_by_time {
        totp::take(sql, env, did, code.expose())?
    } else {
        recovery::take(sql, did, code.expose())?
    };
    if !fits {
        return Err(Error::InvalidFactor);
    }
    doors.code_fits(did);
    Ok(())
}

/// Tells an account's owner that its means have changed.
///
/// # Errors
/// [`Error::TooOften`], which undoes the change.
fn tell(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    doors: &mut Doors,
    account: &Account,
    change: MeansChange,
) -> Result<(), Error> {
    doors.change_means(env, &account.did)?;
    mail::tell(sql, env, account, |handle| Letter::MeansChanged { handle, change })
}

/// Codes on paper go with the last of what they stand in for.
fn tidy(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    if has_any(sql, did)? { Ok(()) } else { recovery::remove_all(sql, did) }
}

/// Removes all factors of an account.
pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    totp::remove(sql, did)?;
    passkey::remove_all(sql, did)?;
    recovery::remove_all(sql, did)?;
    half::remove_all(sql, did)
}

#[cfg(test)]
mod tests;
