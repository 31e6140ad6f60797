//! OAuth in the directory: what an owner is asked, and the sessions of clients that were granted something.
//!
//! A request becomes a row when an owner signs in for it ([`BeginConsent`]): so whoever fills this table has a password.
//! Granted, it has a code; exchanged, it is a session; and it stays until it expires, so that it is used once.
//!
//! Whether a code or a refresh token is right is decided here, in one transaction with its use. One that is shown again ends
//! its session, and that is kept: so such a refusal is an answer ([`Exchange::Refused`]) and no error, which would undo it.

mod consent;
mod session;
#[cfg(test)]
mod tests;

pub use consent::{BeginConsent, Consenting, DropConsent, GetConsent, GrantConsent};
pub use session::{CloseOauthSession, Exchange, Holder, OauthSession, RedeemCode, RefreshOauthSession};

pub(super) use consent::{begin, drop, get, grant};
pub(super) use session::{close, close_own, redeem, refresh};

use super::Error;
use crate::store::Sql;
use crate::syntax::Did;

/// Ends all that an account's owner is being asked, and codes that were not exchanged.
pub(super) fn forget_asked(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM oauth_request WHERE did = ?", &[did.as_str().into()])?)
}

/// Ends all that clients have of an account, and all that its owner is being asked.
pub(super) fn close_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    forget_asked(sql, did)?;
    sql.execute("DELETE FROM oauth_session WHERE did = ?", &[did.as_str().into()])?;
    Ok(())
}
