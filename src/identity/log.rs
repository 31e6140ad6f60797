//! Which operation may follow which: signatures, order, and recovery by a more powerful key.
//!
//! A log is a chain by `prev`. An operation that names an earlier one as its `prev` forks it: the later ones are
//! nullified, if a key more powerful than the one that signed the first of them signs within 72 hours. "More
//! powerful" means nearer to the front of the rotation keys of the operation at the fork.

use super::{IdentityError, Operation};
use crate::{data_model::Cid, syntax::Did};

/// How long a more powerful key may undo an operation.
pub const RECOVERY_WINDOW_US: i64 = 72 * 3600 * 1_000_000;

/// An operation a directory has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOperation {
    /// The operation.
    pub operation: Operation,
    /// Its CID.
    pub cid: Cid,
    /// When it was accepted, microseconds since the epoch.
    pub created_at_us: i64,
}

/// What accepting an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextOperation {
    /// Its CID.
    pub cid: Cid,
    /// The operations it nullifies.
    pub nullified: Vec<Cid>,
}

/// Checks that `proposed` may follow in the log of `did`, of which `log` holds the operations that are not nullified,
/// oldest first.
///
/// # Errors
/// [`IdentityError`] with the rule that was broken.
pub fn validate_next(
    did: &Did,
    log: &[LoggedOperation],
    proposed: &Operation,
    now_us: i64,
) -> Result<NextOperation, IdentityError> {
    let cid = proposed.cid()?;
    let Some(newest) = log.last() else {
        validate_genesis(did, proposed)?;
        return Ok(NextOperation { cid, nullified: Vec::new() });
    };
    let prev = proposed.prev().ok_or(IdentityError::Misordered)?;
    let fork = log.iter().position(|entry| entry.cid.to_string() == prev).ok_or(IdentityError::Misordered)?;
    let last = log.get(fork).ok_or(IdentityError::Misordered)?;
    // Nothing follows a tombstone; undoing one forks before it.
    let state = last.operation.state().ok_or(IdentityError::Misordered)?;
    let nullified = log.get(fork + 1..).unwrap_or_default();

    let Some(disputed) = nullified.first() else {
        proposed.signer(&state.rotation_keys)?;
        return Ok(NextOperation { cid, nullified: Vec::new() });
    };
    let disputed_signer = disputed.operation.signer(&state.rotation_keys)?;
    proposed.signer(state.rotation_keys.get(..disputed_signer).unwrap_or_default())?;
    if now_us <= newest.created_at_us {
        return Err(IdentityError::Misordered);
    }
    if now_us - disputed.created_at_us > RECOVERY_WINDOW_US {
        return Err(IdentityError::LateRecovery);
    }
    Ok(NextOperation { cid, nullified: nullified.iter().map(|entry| entry.cid).collect() })
}

/// Checks a whole log without nullified operations, oldest first, as `GET /:did/log` gives it, and returns the last.
/// Trusting a directory for the order of forks is all that remains.
///
/// # Errors
/// [`IdentityError`] with the rule that was broken.
pub fn validate_log<'a>(did: &Did, log: &'a [Operation]) -> Result<&'a Operation, IdentityError> {
    let mut operations = log.iter();
    let mut last = operations.next().ok_or(IdentityError::NotFound)?;
    validate_genesis(did, last)?;
    for operation in operations {
        let state = last.state().ok_or(IdentityError::Misordered)?;
        if operation.prev() != Some(last.cid()?.to_string().as_str()) {
            return Err(IdentityError::Misordered);
        }
        operation.signer(&state.rotation_keys)?;
        last = operation;
    }
    Ok(last)
}

/// What is kept of a log that was seen, so that one that went back is told from one that goes on: each operation, and how
/// powerful the key was that signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLog(Vec<(Cid, usize)>);

impl SeenLog {
    /// Of a log that is right ([`validate_log`]).
    ///
    /// # Errors
    /// As there.
    pub fn of(log: &[Operation]) -> Result<Self, IdentityError> {
        let mut seen = Vec::with_capacity(log.len());
        let mut before: Option<&Operation> = None;
        for operation in log {
            let state = before.unwrap_or(operation).state().ok_or(IdentityError::Misordered)?;
            seen.push((operation.cid()?, operation.signer(&state.rotation_keys)?));
            before = Some(operation);
        }
        Ok(Self(seen))
    }

    /// Whether `later` may be what became of it: all of it is there still, or a more powerful key has undone the end of it.
    #[must_use]
    pub fn may_become(&self, later: &Self) -> bool {
        let fork = self.0.iter().zip(&later.0).find(|(before, after)| before.0 != after.0);
        match fork {
            Some(((_, undone), (_, signed))) => signed < undone,
            None => later.0.len() >= self.0.len(),
        }
    }

    /// Bytes that it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<(Cid, usize)>()
    }
}

fn validate_genesis(did: &Did, operation: &Operation) -> Result<(), IdentityError> {
    let state = operation.state().ok_or(IdentityError::Misordered)?;
    operation.signer(&state.rotation_keys)?;
    let expected = operation.genesis_did()?;
    if expected != *did {
        return Err(IdentityError::GenesisHash { expected: expected.into_string() });
    }
    if state.prev.is_some() {
        return Err(IdentityError::Misordered);
    }
    Ok(())
}
