//! Changes to an account that the world hears of: its handle, its status, its end.

use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::handle_check;
use super::handle_rules::{self, Placement};
use super::mail_code;
use super::outbox::{self, Notice};
use super::{Error, credentials, session, signup};
use crate::actor::Status;
use crate::env::Env;
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::{Did, Handle};

/// Asks whether an account may have a handle, and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckHandle {
    /// The handle, in any case.
    pub handle: Handle,
    /// Who wants it; an account may have the handle it has.
    pub did: Option<Did>,
    /// Whether names that are kept back may be given.
    pub allow_reserved: bool,
}

/// Gives an account another handle. The host has changed the DID document before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateHandle {
    /// Whose.
    pub did: Did,
    /// The handle, in any case.
    pub handle: Handle,
    /// Whether the handle was seen to resolve to the DID; it must be, outside the service's domains.
    pub verified: bool,
    /// Whether names that are kept back may be given.
    pub allow_reserved: bool,
}

/// Changes an account's status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetStatus {
    /// Whose.
    pub did: Did,
    /// How.
    pub change: StatusChange,
}

/// The ways a status changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusChange {
    /// The owner wakes it.
    Activate,
    /// The owner puts it to rest.
    Deactivate {
        /// When the owner wants it removed, if at all.
        delete_after_us: Option<i64>,
    },
    /// The moderators remove it.
    TakeDown {
        /// Their reference.
        reference: Option<String>,
    },
    /// The moderators stop it for a time.
    Suspend {
        /// Their reference.
        reference: Option<String>,
    },
    /// The moderators let it go; it is as its owner left it.
    Restore,
}

/// Removes an account for good.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeleteAccount {
    /// Whose.
    pub did: Did,
    /// The code that was mailed to the owner; the operator needs none.
    pub code: Option<Hidden<String>>,
}

pub(super) fn check_handle(sql: &dyn Sql, env: &Env<'_>, ask: &CheckHandle) -> Result<Placement, Error> {
    let handle = ask.handle.normalized();
    let placement = handle_rules::place(&handle, env.network, ask.allow_reserved)?;
    handle_rules::require_free(sql, env, &handle, ask.did.as_ref())?;
    Ok(placement)
}

pub(super) fn update_handle(sql: &dyn Sql, env: &mut Env<'_>, ask: &UpdateHandle) -> Result<Account, Error> {
    let account = account::require(sql, &ask.did)?;
    let handle = ask.handle.normalized();
    let placement = handle_rules::place(&handle, env.network, ask.allow_reserved)?;
    if placement == Placement::External && !ask.verified {
        return Err(Error::UnsupportedDomain);
    }
    signup::release_stale(sql, env, &handle)?;
    handle_rules::require_free(sql, env, &handle, Some(&ask.did))?;
    sql.execute(
        "UPDATE account SET handle = ? WHERE did = ?",
        &[handle.as_str().into(), ask.did.as_str().into()],
    )?;
    handle_check::begin(sql, env, &ask.did, placement)?;
    // Also when it is the same: asking again is how an owner repairs a network that missed the last event.
    outbox::push(sql, &ask.did, &Notice::HandleChanged { handle: handle.clone() })?;
    Ok(Account { handle, handle_failed_us: None, ..account })
}

pub(super) fn set(sql: &dyn Sql, env: &Env<'_>, ask: &SetStatus) -> Result<Account, Error> {
    let account = account::require(sql, &ask.did)?;
    let did = Value::Text(ask.did.as_str());
    let by_owner = matches!(ask.change, StatusChange::Activate | StatusChange::Deactivate { .. });
    if by_owner && account.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    let status = match &ask.change {
        StatusChange::Activate => {
            sql.execute(
                "UPDATE account SET deactivated_us = NULL, delete_after_us = NULL WHERE did = ?",
                &[did],
            )?;
            Status::Active
        }
        StatusChange::Deactivate { delete_after_us } => {
            sql.execute(
                "UPDATE account SET deactivated_us = ?, delete_after_us = ? WHERE did = ?",
                &[env.now_us.into(), Value::optional_integer(*delete_after_us), did],
            )?;
            Status::Deactivated
        }
        StatusChange::TakeDown { reference } => {
            moderate(sql, &ask.did, reference.as_deref())?;
            Status::Takendown
        }
        StatusChange::Suspend { reference } => {
            moderate(sql, &ask.did, reference.as_deref())?;
            Status::Suspended
        }
        StatusChange::Restore => {
            sql.execute("UPDATE account SET takedown_reference = NULL WHERE did = ?", &[did])?;
            let deactivated =
                query_first(sql, "SELECT deactivated_us FROM account WHERE did = ?", &[did], |row| {
                    row.optional_integer(0)
                })?;
            if deactivated.flatten().is_some() { Status::Deactivated } else { Status::Active }
        }
    };
    sql.execute("UPDATE account SET status = ? WHERE did = ?", &[status.as_str().into(), did])?;
    if status != account.status {
        outbox::push(sql, &ask.did, &Notice::StatusChanged { status })?;
    }
    Ok(Account { status, ..account })
}

pub(super) fn delete(sql: &dyn Sql, env: &Env<'_>, ask: &DeleteAccount) -> Result<(), Error> {
    account::require(sql, &ask.did)?;
    if let Some(code) = &ask.code {
        mail_code::take(sql, env, &ask.did, MailPurpose::DeleteAccount, code.expose())?;
    }
    let did = [Value::Text(ask.did.as_str())];
    credentials::revoke_all(sql, &ask.did)?;
    sql.execute(
        "UPDATE account SET status = 'deleted', handle = NULL, email = NULL, email_confirmed_us = NULL,
             password_hash = NULL, deactivated_us = NULL, delete_after_us = NULL, display_name = NULL, model = NULL,
             config = NULL, handle_check_us = NULL, handle_failed_us = NULL
         WHERE did = ?",
        &did,
    )?;
    outbox::push(sql, &ask.did, &Notice::Deleted)
}

fn moderate(sql: &dyn Sql, did: &Did, reference: Option<&str>) -> Result<(), Error> {
    sql.execute(
        "UPDATE account SET takedown_reference = ? WHERE did = ?",
        &[Value::optional_text(reference), did.as_str().into()],
    )?;
    session::close_all(sql, did)?;
    credentials::count_end(sql, did)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cell, HOUR_US, signup};
    use super::super::{GetAccount, GetStatus, SendCode, Who};
    use super::*;

    fn set(cell: &mut Cell, did: &Did, change: StatusChange) -> Result<Status, Error> {
        cell.ask(SetStatus { did: did.clone(), change }).map(|account| account.status)
    }

    #[test]
    fn a_takedown_outranks_the_owner_and_lifting_it_restores_the_owners_choice() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.drain();
        let rest = StatusChange::Deactivate { delete_after_us: Some(9) };
        let takedown = StatusChange::TakeDown { reference: Some("case 1".to_owned()) };
        assert_eq!(set(&mut cell, &did, rest.clone()), Ok(Status::Deactivated));
        assert_eq!(set(&mut cell, &did, takedown), Ok(Status::Takendown));
        assert_eq!(set(&mut cell, &did, StatusChange::Activate), Err(Error::AccountTakedown));
        assert_eq!(set(&mut cell, &did, rest), Err(Error::AccountTakedown));
        assert_eq!(set(&mut cell, &did, StatusChange::Restore), Ok(Status::Deactivated));
        assert_eq!(set(&mut cell, &did, StatusChange::Activate), Ok(Status::Active));
        assert_eq!(set(&mut cell, &did, StatusChange::Activate), Ok(Status::Active));
        let suspend = StatusChange::Suspend { reference: None };
        assert_eq!(set(&mut cell, &did, suspend), Ok(Status::Suspended));
        assert_eq!(set(&mut cell, &did, StatusChange::Restore), Ok(Status::Active));
        let heard: Vec<_> = cell.drain().into_iter().map(|(_, notice)| notice).collect();
        let expected = ["deactivated", "takendown", "deactivated", "active", "suspended", "active"];
        assert_eq!(heard.len(), expected.len(), "no notice without a change");
        for (notice, word) in heard.iter().zip(expected) {
            assert!(matches!(notice, Notice::StatusChanged { status } if status.as_str() == word));
        }
    }

    #[test]
    fn a_handle_belongs_to_one_account() {
        let mut cell = Cell::new();
        let alice = cell.person("alice.test", "alice@example.com");
        cell.person("bob.test", "bob@example.com");
        cell.drain();
        let mut update = |handle: &str, verified| {
            let handle = Handle::try_from(handle).unwrap();
            let ask = UpdateHandle { did: alice.clone(), handle, verified, allow_reserved: false };
            cell.ask(ask).map(|account| account.handle.into_string())
        };
        assert_eq!(update("bob.test", false), Err(Error::HandleNotAvailable));
        assert_eq!(update("BOB.test", false), Err(Error::HandleNotAvailable));
        assert_eq!(update("alice.example.com", false), Err(Error::UnsupportedDomain));
        assert_eq!(update("Alice.example.com", true), Ok("alice.example.com".to_owned()));
        assert_eq!(update("alice.test", false), Ok("alice.test".to_owned()));
        assert_eq!(cell.drain().len(), 2);
    }

    #[test]
    fn a_deleted_account_leaves_its_status_and_nothing_else() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.drain();
        cell.ask(DeleteAccount { did: did.clone(), code: None }).unwrap();
        assert_eq!(cell.drain(), [(did.clone(), Notice::Deleted)]);
        assert_eq!(cell.ask(GetAccount { who: Who::Did(did.clone()) }), Ok(None));
        assert_eq!(cell.ask(GetStatus { did: did.clone() }), Ok(Some(Status::Deleted)));
        let again = cell.ask(DeleteAccount { did, code: None });
        assert_eq!(again, Err(Error::AccountNotFound));
        // Handle and address are free again.
        cell.ask(signup("alice.test", Some("alice@example.com"))).unwrap();
    }

    #[test]
    fn a_mailed_code_works_once_for_a_quarter_of_an_hour() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let code = |cell: &mut Cell| {
            let purpose = MailPurpose::DeleteAccount;
            cell.ask(SendCode { who: Who::Did(did.clone()), purpose }).unwrap();
            cell.mailed_code(purpose).to_ascii_lowercase()
        };
        let delete = |cell: &mut Cell, code: &str| {
            cell.ask(DeleteAccount { did: did.clone(), code: Some(Hidden::new(code.to_owned())) })
        };
        let first = code(&mut cell);
        let second = code(&mut cell);
        assert_eq!(delete(&mut cell, &first), Err(Error::InvalidMailCode), "replaced");
        assert_eq!(delete(&mut cell, ""), Err(Error::InvalidMailCode));
        cell.now_us += HOUR_US / 4;
        assert_eq!(delete(&mut cell, &second), Err(Error::MailCodeExpired), "too old");
        let third = code(&mut cell);
        assert_eq!(delete(&mut cell, &third), Ok(()));
    }
}
