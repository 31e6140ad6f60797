//! Accounts that come from an archive.

use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::signup::{self, check_lengths};
use super::{Error, credentials, flow, handle_check, handle_rules};
use crate::actor::{Kind, Status};
use crate::env::Env;
use crate::store::{Sql, Value};
use crate::syntax::{Did, Handle};

/// Makes a deactivated account of a DID whose keys the caller has, and owes it a token. A deactivated one is replaced and
/// loses its tokens, and a deleted one comes back; what the cell of either holds is the caller's to destroy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportAccount {
    /// Whose.
    pub did: Did,
    /// Its handle, in any case. The handle is in the DID document already, so it may be under any domain.
    pub handle: Handle,
    /// Who owns it.
    pub kind: Kind,
    /// For people to read.
    pub display_name: Option<String>,
    /// The model an agent runs on.
    pub model: Option<String>,
    /// An agent's configuration, JSON.
    pub config: Option<String>,
}

pub(super) fn import(sql: &dyn Sql, env: &mut Env<'_>, ask: &ImportAccount) -> Result<Account, Error> {
    check_lengths(ask.display_name.as_ref(), ask.model.as_ref(), ask.config.as_ref())?;
    let handle = ask.handle.normalized();
    let placement = handle_rules::place(&handle, env.network, true)?;
    signup::release_stale(sql, env, &handle)?;
    handle_rules::require_free(sql, env, &handle, Some(&ask.did))?;
    match account::any_status(sql, &ask.did)? {
        None | Some(Status::Deactivated | Status::Deleted) => {}
        Some(_) => return Err(Error::DidNotAvailable),
    }
    flow::supersede(sql, &ask.did)?;
    let did = Value::Text(ask.did.as_str());
    credentials::revoke_all(sql, &ask.did)?;
    sql.execute("DELETE FROM account WHERE did = ?", &[did])?;
    sql.execute(
        "INSERT INTO account (did, handle, kind, status, deactivated_us, display_name, model, config, token_owed,
             created_us, generation)
         VALUES (?1, ?2, ?3, 'deactivated', ?4, ?5, ?6, ?7, 1, ?4, ?4)",
        &[
            did,
            handle.as_str().into(),
            ask.kind.as_str().into(),
            env.now_us.into(),
            Value::optional_text(ask.display_name.as_deref()),
            Value::optional_text(ask.model.as_deref()),
            Value::optional_text(ask.config.as_deref()),
        ],
    )?;
    handle_check::begin(sql, env, &ask.did, placement)?;
    account::require(sql, &ask.did)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cell, signup};
    use super::super::{
        CompleteAccount, DeleteAccount, FindAgentToken, IssueAgentToken, SetStatus, StatusChange,
    };
    use super::*;
    use crate::crypto::sha256;

    fn import(did: &Did, handle: &str) -> ImportAccount {
        ImportAccount {
            did: did.clone(),
            handle: Handle::try_from(handle).unwrap(),
            kind: Kind::Agent,
            display_name: Some("Alice".to_owned()),
            model: None,
            config: None,
        }
    }

    #[test]
    fn an_account_at_rest_is_replaced_and_one_at_work_is_not() {
        let mut cell = Cell::new();
        let did = cell.agent("alice.test");
        let token = cell.ask(IssueAgentToken { did: did.clone() }).unwrap();
        let digest = sha256(token.expose().as_bytes());
        assert_eq!(cell.ask(import(&did, "alice.test")).unwrap_err(), Error::DidNotAvailable);
        let change = StatusChange::TakeDown { reference: None };
        cell.ask(SetStatus { did: did.clone(), change }).unwrap();
        assert_eq!(cell.ask(import(&did, "alice.test")).unwrap_err(), Error::DidNotAvailable);
        cell.ask(SetStatus { did: did.clone(), change: StatusChange::Restore }).unwrap();
        let change = StatusChange::Deactivate { delete_after_us: None };
        cell.ask(SetStatus { did: did.clone(), change }).unwrap();
        for _ in 0..2 {
            let account = cell.ask(import(&did, "Alice.test")).unwrap();
            assert_eq!((account.status, account.handle.as_str()), (Status::Deactivated, "alice.test"));
            assert_eq!(account.display_name.as_deref(), Some("Alice"));
        }
        assert_eq!(cell.ask(FindAgentToken { digest }), Ok(None), "its tokens went with it");
        cell.ask(DeleteAccount { did: did.clone(), code: None }).unwrap();
        assert_eq!(cell.ask(import(&did, "alice.test")).unwrap().status, Status::Deactivated);
    }

    #[test]
    fn a_stranger_comes_with_a_handle_that_is_free() {
        let mut cell = Cell::new();
        cell.agent("alice.test");
        let did = Did::try_from("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap();
        assert_eq!(cell.ask(import(&did, "alice.test")).unwrap_err(), Error::HandleNotAvailable);
        let account = cell.ask(import(&did, "alice.example.com")).unwrap();
        assert_eq!((account.did, account.status), (did, Status::Deactivated));
        let pending = cell.ask(signup("bob.test", None)).unwrap().did;
        assert_eq!(cell.ask(import(&pending, "bob.test")).unwrap_err(), Error::DidNotAvailable);
        cell.ask(CompleteAccount { did: pending }).unwrap();
    }
}
