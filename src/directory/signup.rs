//! Signing up, in steps that survive a crash between any two of them.
//!
//! ```text
//! edge: make a signing key, form and sign the genesis operation: this gives the DID
//! ReserveAccount     handle, address and invite code are taken; a pending row keeps operation and key
//! edge: submit the operation, create the account cell's repo (both may be repeated)
//! CompleteAccount    the account is there; the pending part is gone
//! ```
//!
//! After a crash the host lists what is pending and goes on from there ([`ListReservations`]), or gives it up
//! ([`ReleaseReservation`]). Whoever signs up later also takes over what has been pending for ten minutes, so that a
//! handle is never lost to a signup that died. A DID that was given up stays in the PLC directory, used by nobody.

use serde::{Deserialize, Serialize};

use super::account::{self, Account, read_did, read_handle, read_kind};
use super::handle_check;
use super::handle_rules::{self, Placement};
use super::outbox::{self, Notice};
use super::rotation_key::{unwrap_key, wrap_key};
use super::{Error, invite, reserved_key};
use crate::actor::{Kind, Status};
use crate::crypto::SigningKey;
use crate::directory::limits::{
    AGENT_CONFIG_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, MODEL_BYTES_MAX, RESERVATIONS_MAX,
};
use crate::env::Env;
use crate::identity::Operation;
use crate::mail::address;
use crate::seam::Hidden;
use crate::store::{Row, Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};

/// Takes what a new account needs, for ten minutes.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReserveAccount {
    /// The DID: of the genesis operation, or one the owner brings.
    pub did: Did,
    /// The signed genesis operation, to be submitted; absent when the owner brings the DID. Such an account begins
    /// deactivated.
    pub plc_operation: Option<Operation>,
    /// The repo's private signing key.
    pub signing_key: Hidden<[u8; 32]>,
    /// The handle, in any case.
    pub handle: Handle,
    /// Whether the handle was seen to resolve to the DID; it must be, outside the service's domains.
    pub handle_verified: bool,
    /// Whether names that are kept back may be given.
    pub allow_reserved: bool,
    /// The owner's address.
    pub email: Option<String>,
    /// Argon2id string; without one nobody signs in with a password.
    pub password_hash: Option<Hidden<String>>,
    /// An invite code, used if given.
    pub invite_code: Option<String>,
    /// Whether it may come without an invite code on a network that requires them: the operator's own agents.
    pub invite_exempt: bool,
    /// Who owns it.
    pub kind: Kind,
    /// For people to read.
    pub display_name: Option<String>,
    /// The model an agent runs on.
    pub model: Option<String>,
    /// An agent's configuration, JSON.
    pub config: Option<String>,
}

/// A signup under way, with what its next steps need.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The DID.
    pub did: Did,
    /// The handle, in lower case.
    pub handle: Handle,
    /// The operation to submit, if any.
    pub plc_operation: Option<Operation>,
    /// The repo's private signing key.
    pub signing_key: Hidden<[u8; 32]>,
    /// Who owns it.
    pub kind: Kind,
    /// For people to read.
    pub display_name: Option<String>,
}

/// Makes a reservation an account. Doing so again changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteAccount {
    /// Whose.
    pub did: Did,
}

/// Gives a reservation up, with what other cells made for it. Nothing happens when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseReservation {
    /// Whose.
    pub did: Did,
}

/// Asks for a signup under way; `None` once it is completed or released.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetReservation {
    /// Whose.
    pub did: Did,
}

/// Asks whose signups are under way, the oldest first: after a crash, those to resume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListReservations {
    /// At most this many.
    pub limit: usize,
}

pub(super) fn reserve(sql: &dyn Sql, env: &mut Env<'_>, ask: &ReserveAccount) -> Result<Reservation, Error> {
    check_lengths(ask.display_name.as_ref(), ask.model.as_ref(), ask.config.as_ref())?;
    let handle = ask.handle.normalized();
    release_stale(sql, env, &handle)?;
    let placement = handle_rules::place(&handle, env.network, ask.allow_reserved)?;
    if placement == Placement::External && !ask.handle_verified {
        return Err(Error::UnsupportedDomain);
    }
    let email = ask.email.as_deref().map(|email| address(email).ok_or(Error::InvalidEmail)).transpose()?;
    handle_rules::require_free(sql, env, &handle, None)?;
    if ask.plc_operation.is_none() {
        // Who brings a DID has shown that it is theirs, so they may come back after leaving.
        sql.execute("DELETE FROM account WHERE did = ? AND status = 'deleted'", &[ask.did.as_str().into()])?;
    }
    require_unused(sql, "SELECT 1 FROM account WHERE did = ?", ask.did.as_str(), Error::DidNotAvailable)?;
    if let Some(email) = &email {
        require_unused(sql, "SELECT 1 FROM account WHERE email = ?", email, Error::EmailNotAvailable)?;
    }
    match &ask.invite_code {
        Some(code) => invite::take(sql, env, code, &ask.did)?,
        None if env.network.invite_required && !ask.invite_exempt => return Err(Error::InvalidInviteCode),
        None => {}
    }
    insert(sql, env, ask, &handle, email.as_deref())?;
    handle_check::begin(sql, env, &ask.did, placement)?;
    Ok(Reservation {
        did: ask.did.clone(),
        handle,
        plc_operation: ask.plc_operation.clone(),
        signing_key: ask.signing_key.clone(),
        kind: ask.kind,
        display_name: ask.display_name.clone(),
    })
}

fn insert(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &ReserveAccount,
    handle: &Handle,
    email: Option<&str>,
) -> Result<(), Error> {
    let did = Value::Text(ask.did.as_str());
    sql.execute(
        "INSERT INTO account (did, handle, email, password_hash, kind, status, display_name, model, config,
             invite_code, token_owed, created_us, generation)
         VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
        &[
            did,
            handle.as_str().into(),
            Value::optional_text(email),
            Value::optional_text(ask.password_hash.as_ref().map(|hash| hash.expose().as_str())),
            ask.kind.as_str().into(),
            Value::optional_text(ask.display_name.as_deref()),
            Value::optional_text(ask.model.as_deref()),
            Value::optional_text(ask.config.as_deref()),
            Value::optional_text(ask.invite_code.as_deref()),
            i64::from(ask.kind == Kind::Agent).into(),
            env.now_us.into(),
        ],
    )?;
    let key = SigningKey::from_bytes(ask.signing_key.expose())
        .map_err(|_| Error::Wrap("a signing key that is none".to_owned()))?;
    let wrapped = wrap_key(env, &aad(&ask.did), &key)?;
    let operation = ask.plc_operation.as_ref().map(Operation::to_json).transpose();
    let operation = operation.map_err(|error| Error::PlcOperation(error.to_string()))?;
    sql.execute(
        "INSERT INTO reservation (did, plc_operation, signing_key) VALUES (?, ?, ?)",
        &[did, Value::optional_text(operation.as_deref()), Value::Blob(&wrapped)],
    )?;
    Ok(())
}

pub(super) fn complete(sql: &dyn Sql, did: &Did) -> Result<Account, Error> {
    let brought = query_first(
        sql,
        "SELECT plc_operation IS NULL FROM reservation WHERE did = ?",
        &[did.as_str().into()],
        |row| Ok(row.integer(0)? != 0),
    )?;
    let Some(brought) = brought else {
        return account::require(sql, did).map_err(|error| match error {
            Error::AccountNotFound => Error::ReservationNotFound,
            other => other,
        });
    };
    let status = if brought { Status::Deactivated } else { Status::Active };
    sql.execute(
        "UPDATE account SET status = ?, deactivated_us = CASE WHEN ? THEN created_us END WHERE did = ?",
        &[status.as_str().into(), i64::from(brought).into(), did.as_str().into()],
    )?;
    sql.execute_counted("DELETE FROM reservation WHERE did = ?", &[did.as_str().into()])?;
    reserved_key::forget(sql, did)?;
    account::require(sql, did)
}

pub(super) fn release(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    let removed = sql.execute_counted(
        "DELETE FROM account WHERE did = ? AND status = 'pending'",
        &[did.as_str().into()],
    )?;
    if removed == 0 {
        return Ok(());
    }
    // Not left to ON DELETE CASCADE: a host may have foreign keys switched off.
    sql.execute("DELETE FROM reservation WHERE did = ?", &[did.as_str().into()])?;
    invite::give_back(sql, did)?;
    outbox::push(sql, did, &Notice::Abandoned)
}

pub(super) fn get(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Option<Reservation>, Error> {
    let statement = "SELECT did, handle, plc_operation, signing_key, kind, display_name \
                     FROM account JOIN reservation USING (did) WHERE status = 'pending' AND did = ?";
    query_first(sql, statement, &[did.as_str().into()], Wrapped::read)?.map(|row| row.unwrap(env)).transpose()
}

pub(super) fn list(sql: &dyn Sql, limit: usize) -> Result<Vec<Did>, Error> {
    let limit = i64::try_from(limit.min(RESERVATIONS_MAX)).unwrap_or(i64::MAX);
    let statement = "SELECT did FROM account WHERE status = 'pending' ORDER BY created_us LIMIT ?";
    Ok(query_all(sql, statement, &[limit.into()], |row| read_did(row, 0))?)
}

/// A reservation as it rests.
struct Wrapped {
    did: Did,
    handle: Handle,
    plc_operation: Option<Operation>,
    signing_key: Vec<u8>,
    kind: Kind,
    display_name: Option<String>,
}

impl Wrapped {
    fn read(row: &dyn Row) -> Result<Self, SqlError> {
        let operation = row.optional_text(2)?.map(|json| Operation::from_json(json.as_bytes())).transpose();
        let plc_operation =
            operation.map_err(|_| SqlError::Column { column: 2, expected: "a did:plc operation".into() })?;
        let (did, handle, kind) = (read_did(row, 0)?, read_handle(row, 1)?, read_kind(row, 4)?);
        let display_name = row.optional_text(5)?.map(str::to_owned);
        Ok(Self { did, handle, plc_operation, signing_key: row.blob(3)?.to_vec(), kind, display_name })
    }

    fn unwrap(self, env: &Env<'_>) -> Result<Reservation, Error> {
        let Self { did, handle, plc_operation, signing_key, kind, display_name } = self;
        let key = unwrap_key(env, &aad(&did), &signing_key, "a signing key")?;
        let signing_key = Hidden::new(*key.to_bytes());
        Ok(Reservation { did, handle, plc_operation, signing_key, kind, display_name })
    }
}

/// Gives back what signups hold that came to nothing, `handle` first.
pub(super) fn release_stale(sql: &dyn Sql, env: &Env<'_>, handle: &Handle) -> Result<(), Error> {
    let stale = query_all(
        sql,
        "SELECT did FROM account WHERE status = 'pending' AND created_us <= ? \
         ORDER BY handle <> ?, created_us LIMIT 100",
        &[handle_rules::stale_before_us(env).into(), handle.as_str().into()],
        |row| read_did(row, 0),
    )?;
    stale.iter().try_for_each(|did| release(sql, did))
}

fn require_unused(sql: &dyn Sql, statement: &str, text: &str, taken: Error) -> Result<(), Error> {
    match query_first(sql, statement, &[text.into()], |_| Ok(()))? {
        Some(()) => Err(taken),
        None => Ok(()),
    }
}

pub(super) fn check_lengths(
    display_name: Option<&String>,
    model: Option<&String>,
    config: Option<&String>,
) -> Result<(), Error> {
    let over = |text: Option<&String>, max| text.is_some_and(|text| text.len() > max);
    if over(display_name, DISPLAY_NAME_BYTES_MAX) {
        return Err(Error::OverLimit("the display name".into()));
    }
    if over(model, MODEL_BYTES_MAX) {
        return Err(Error::OverLimit("the model's name".into()));
    }
    if over(config, AGENT_CONFIG_BYTES_MAX) {
        return Err(Error::OverLimit("the agent's configuration".into()));
    }
    Ok(())
}

/// Binds a wrapped key to its account.
fn aad(did: &Did) -> Vec<u8> {
    [b"directory/signing-key/", did.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cell, HOUR_US, signup};
    use super::super::{DeleteAccount, GetAccount, GetStatus, Who};
    use super::*;

    fn refused(cell: &mut Cell, ask: ReserveAccount) -> Error {
        cell.ask(ask).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_reservation_holds_its_names_and_is_no_account_yet() {
        let mut cell = Cell::new();
        let ask = signup("alice.test", Some("alice@example.com"));
        let reserved = cell.ask(ask.clone()).unwrap();
        let who = Who::Did(reserved.did.clone());
        assert_eq!(cell.ask(GetAccount { who: who.clone() }), Ok(None));
        assert_eq!(cell.ask(GetStatus { did: reserved.did.clone() }), Ok(None));
        assert_eq!(refused(&mut cell, signup("Alice.test", None)), Error::HandleNotAvailable);
        let same_email = signup("bob.test", Some("ALICE@example.com"));
        assert_eq!(refused(&mut cell, same_email), Error::EmailNotAvailable);
        let same_did = ReserveAccount { did: reserved.did.clone(), ..signup("carol.test", None) };
        assert_eq!(refused(&mut cell, same_did), Error::DidNotAvailable);

        let account = cell.ask(CompleteAccount { did: reserved.did.clone() }).unwrap();
        assert_eq!(account.status, Status::Active);
        assert_eq!(cell.ask(CompleteAccount { did: reserved.did }), Ok(account.clone()), "repeatable");
        assert_eq!(cell.ask(GetAccount { who }), Ok(Some(account)));
    }

    #[test]
    fn a_signup_is_resumed_after_a_crash_with_the_same_operation_and_key() {
        let mut cell = Cell::new();
        let reserved = cell.ask(signup("alice.test", None)).unwrap();
        cell.restart().unwrap();
        assert!(cell.ask(ListReservations { limit: 10 }).unwrap() == [reserved.did.clone()]);
        cell.ask(CompleteAccount { did: reserved.did }).unwrap();
        assert!(cell.ask(ListReservations { limit: 10 }).unwrap().is_empty());
    }

    #[test]
    fn a_signup_that_died_gives_its_names_back_after_ten_minutes() {
        let mut cell = Cell::new();
        let dead = cell.ask(signup("alice.test", None)).unwrap();
        cell.now_us += HOUR_US / 6 - 1;
        assert_eq!(refused(&mut cell, signup("alice.test", None)), Error::HandleNotAvailable);
        cell.now_us += 1;
        let next = cell.ask(signup("alice.test", None)).unwrap();
        assert_ne!(next.did, dead.did);
        assert_eq!(cell.drain(), [(dead.did.clone(), Notice::Abandoned)]);
        let late = cell.ask(CompleteAccount { did: dead.did });
        assert_eq!(late, Err(Error::ReservationNotFound));
    }

    #[test]
    fn an_account_that_brings_its_did_begins_deactivated() {
        let mut cell = Cell::new();
        let ask = ReserveAccount { plc_operation: None, ..signup("alice.test", None) };
        let reserved = cell.ask(ask).unwrap();
        let account = cell.ask(CompleteAccount { did: reserved.did }).unwrap();
        assert_eq!(account.status, Status::Deactivated);
    }

    #[test]
    fn an_owner_who_left_may_come_back_and_nobody_else() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.ask(DeleteAccount { did: did.clone(), code: None }).unwrap();
        let stranger = ReserveAccount { did: did.clone(), ..signup("alice.test", None) };
        assert_eq!(refused(&mut cell, stranger.clone()), Error::DidNotAvailable);
        cell.ask(ReserveAccount { plc_operation: None, ..stranger }).unwrap();
        assert_eq!(cell.ask(CompleteAccount { did }).unwrap().status, Status::Deactivated);
    }

    #[test]
    fn releasing_a_finished_signup_does_nothing() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.ask(ReleaseReservation { did: did.clone() }).unwrap();
        assert_eq!(cell.ask(GetStatus { did }), Ok(Some(Status::Active)));
    }

    #[test]
    fn bad_addresses_domains_and_lengths_are_refused_and_leave_nothing() {
        let mut cell = Cell::new();
        let long = format!("{}@example.com", "x".repeat(65));
        for email in
            ["", "alice", "@example.com", "alice@", "a b@example.com", "a@b@c.com", "alice@host", &long]
        {
            assert_eq!(refused(&mut cell, signup("alice.test", Some(email))), Error::InvalidEmail, "{email}");
        }
        let external = signup("alice.example.com", None);
        assert_eq!(refused(&mut cell, external.clone()), Error::UnsupportedDomain);
        let config = Some("x".repeat(AGENT_CONFIG_BYTES_MAX + 1));
        let ask = ReserveAccount { config, ..signup("alice.test", None) };
        assert!(matches!(refused(&mut cell, ask), Error::OverLimit(_)));
        assert!(cell.ask(ListReservations { limit: 10 }).unwrap().is_empty());
        cell.ask(ReserveAccount { handle_verified: true, ..external }).unwrap();
    }
}
