//! What a domain of an account's cell is given to answer a command with: no more than it needs.

use crate::actor::Status;
use crate::crypto::SigningKey;
use crate::env::Env;
use crate::event::{EventKind, Frame};
use crate::outbox::Outbox;
use crate::store::{Sql, SqlError};
use crate::syntax::Did;
use crate::vault::{self, unwrap_secret, wrap_secret};

/// One command's work: the database, what comes in, whose account it is, and the way out.
pub struct Work<'a, 'e> {
    /// The cell's database, in the command's transaction.
    pub sql: &'a dyn Sql,
    /// Time, randomness, the network.
    pub env: &'a mut Env<'e>,
    /// Whose cell this is.
    pub account: &'a Owner,
    /// What leaves the cell.
    pub out: &'a mut Outbox,
}

impl Work<'_, '_> {
    /// Puts an event into the outbox.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn emit(&mut self, kind: EventKind, frame: Frame) -> Result<(), SqlError> {
        self.out.emit(self.sql, self.env.now_us, kind, frame)
    }
}

/// The account that lives in a cell, as all its domains know it.
pub struct Owner {
    /// Who it is.
    pub did: Did,
    /// Whether it may act.
    pub status: Status,
    /// Signs commits and tokens for other services.
    pub key: SigningKey,
    /// Distinguishes this writer's TIDs from another's in the same microsecond.
    pub clock_id: u16,
}

/// The key derived under this label wraps signing keys.
const LABEL_WRAP_SIGNING_KEY: &str = "wrap-signing-key";

/// Wraps a private signing key under the master key.
///
/// # Errors
/// [`vault::Error`].
pub fn wrap_signing_key(env: &mut Env<'_>, did: &Did, key: &SigningKey) -> Result<Vec<u8>, vault::Error> {
    let wrapping = env.network.master_key.derive(LABEL_WRAP_SIGNING_KEY);
    wrap_secret(&wrapping, did.as_str().as_bytes(), key.to_bytes().as_slice(), env.rng)
}

/// Unwraps what [`wrap_signing_key`] wrapped.
///
/// # Errors
/// [`vault::Error::Unwrap`] with another master key.
pub fn unwrap_signing_key(env: &Env<'_>, did: &Did, wrapped: &[u8]) -> Result<SigningKey, vault::Error> {
    const WHAT: &str = "signing key";
    let wrapping = env.network.master_key.derive(LABEL_WRAP_SIGNING_KEY);
    let key = unwrap_secret(&wrapping, did.as_str().as_bytes(), wrapped, WHAT)?;
    let key = key.as_slice().try_into().map_err(|_| vault::Error::Unwrap(WHAT))?;
    SigningKey::from_bytes(key).map_err(|_| vault::Error::Unwrap(WHAT))
}
