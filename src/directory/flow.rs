//! Changes to accounts that are under way, so that they can be gone on with after a crash. One an account.
//!
//! A change is recorded before its first step and struck off in the transaction that makes it true here
//! ([`CompleteFlow`]). A later wish takes an earlier one's place, which then completes nothing any more; only the end of
//! an account gives way to nothing. Where one gives way that its owner is told of when it is done, they are told that it may
//! be: its steps may have been taken, and nobody looks any more (with the account, its address goes).

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::account::{self, read_did};
use super::status::{self, DeleteAccount, SetStatus, StatusChange, UpdateHandle};
use super::{Error, handle_rules, mail, registry, signup};
use crate::directory::limits::FLOWS_MAX;
use crate::env::Env;
use crate::mail::{Letter, MeansChange};
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};

/// A change to an account, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow {
    /// Another name, in the DID document and here.
    UpdateHandle {
        /// The name, in lower case.
        handle: Handle,
        /// Whether it was seen to resolve to the DID.
        verified: bool,
        /// Whether it may be a name that is kept back; left out where not, as it was before there was a choice.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allow_reserved: bool,
    },
    /// Waking an account, which ends a move that was begun.
    Activate,
    /// Putting an account to rest.
    Deactivate {
        /// When its owner would like to have it deleted: microseconds since the Unix epoch.
        delete_after_us: Option<i64>,
    },
    /// A key of the owner's with power over the DID, or one that is to have none any more.
    RecoveryKey {
        /// A did:key.
        key: String,
        /// Whether it is to have power.
        is_there: bool,
    },
    /// Ending an agent and its DID.
    DeleteAgent,
    /// Taking over an agent whose repo was rebuilt here.
    FinishImport {
        /// The commit's block.
        commit: ByteBuf,
    },
}

impl Flow {
    /// What it is, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UpdateHandle { .. } => "update handle",
            Self::Activate => "activate",
            Self::Deactivate { .. } => "deactivate",
            Self::RecoveryKey { .. } => "recovery key",
            Self::DeleteAgent => "delete agent",
            Self::FinishImport { .. } => "finish import",
        }
    }
}

/// Records a change before its first step, in place of an earlier one. Answers whether there was an earlier one, or the
/// same: steps may have been taken then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeginFlow {
    /// Whose.
    pub did: Did,
    /// What.
    pub flow: Flow,
}

/// Makes a change true here and strikes it off, after its steps elsewhere; [`Error::Superseded`] when it is not recorded
/// any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteFlow {
    /// Whose.
    pub did: Did,
    /// What.
    pub flow: Flow,
}

/// Strikes a change off that can't be. Nothing happens when another has taken its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DropFlow {
    /// Whose.
    pub did: Did,
    /// What.
    pub flow: Flow,
}

/// Asks what is being done to an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetFlow {
    /// Whose.
    pub did: Did,
}

/// Asks whose changes are under way, in the order of the DIDs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListFlows {
    /// Those behind this one.
    pub after: Option<Did>,
}

pub(super) fn begin(sql: &dyn Sql, env: &mut Env<'_>, ask: &BeginFlow) -> Result<bool, Error> {
    let bytes = write(&ask.flow)?;
    if recorded(sql, &ask.did)?.is_some_and(|recorded| recorded == bytes) {
        return Ok(true);
    }
    // What the caller shows, the commit, is public, and what it is given opens everything.
    if matches!(ask.flow, Flow::FinishImport { .. }) && !registry::is_token_owed(sql, &ask.did)? {
        return Err(Error::NotImporting);
    }
    let handle = match &ask.flow {
        Flow::UpdateHandle { handle, .. } => Some(handle),
        Flow::Activate
        | Flow::Deactivate { .. }
        | Flow::RecoveryKey { .. }
        | Flow::DeleteAgent
        | Flow::FinishImport { .. } => None,
    };
    if let Some(handle) = &handle {
        signup::release_stale(sql, env, handle)?;
        handle_rules::require_free(sql, env, handle, Some(&ask.did))?;
    }
    let earlier = get(sql, &ask.did).ok().flatten(); // One that can't be read gives way as well.
    let was_recorded = supersede(sql, &ask.did)?;
    if let Some(Flow::RecoveryKey { key, is_there }) = earlier {
        let change = match is_there {
            true => MeansChange::RecoveryKeyMayBeAdded { key },
            false => MeansChange::RecoveryKeyMayBeRemoved { key },
        };
        tell(sql, env, &ask.did, change)?;
    }
    sql.execute(
        "INSERT INTO flow (did, flow, handle, begun_us) VALUES (?, ?, ?, ?)",
        &[
            ask.did.as_str().into(),
            Value::Blob(&bytes),
            Value::optional_text(handle.map(Handle::as_str)),
            env.now_us.into(),
        ],
    )?;
    Ok(was_recorded)
}

pub(super) fn complete(sql: &dyn Sql, env: &mut Env<'_>, ask: &CompleteFlow) -> Result<(), Error> {
    let CompleteFlow { did, flow } = ask;
    if !strike(sql, did, flow)? {
        return Err(Error::Superseded);
    }
    match flow {
        Flow::UpdateHandle { handle, verified, allow_reserved } => {
            let (did, handle) = (did.clone(), handle.clone());
            let update = UpdateHandle { did, handle, verified: *verified, allow_reserved: *allow_reserved };
            status::update_handle(sql, env, &update).map(|_| ())
        }
        Flow::Activate | Flow::FinishImport { .. } => set(sql, env, did, StatusChange::Activate),
        Flow::Deactivate { delete_after_us } => {
            set(sql, env, did, StatusChange::Deactivate { delete_after_us: *delete_after_us })
        }
        // All else of it is in the DID's log.
        Flow::RecoveryKey { key, is_there } => {
            let key = key.clone();
            let change = match is_there {
                true => MeansChange::RecoveryKeyAdded { key },
                false => MeansChange::RecoveryKeyRemoved { key },
            };
            tell(sql, env, did, change)
        }
        Flow::DeleteAgent => status::delete(sql, env, &DeleteAccount { did: did.clone(), code: None }),
    }
}

fn tell(sql: &dyn Sql, env: &mut Env<'_>, did: &Did, change: MeansChange) -> Result<(), Error> {
    let account = account::require(sql, did)?;
    mail::tell(sql, env, &account, |handle| Letter::MeansChanged { handle, change })
}

fn set(sql: &dyn Sql, env: &Env<'_>, did: &Did, change: StatusChange) -> Result<(), Error> {
    status::set(sql, env, &SetStatus { did: did.clone(), change }).map(|_| ())
}

pub(super) fn drop(sql: &dyn Sql, ask: &DropFlow) -> Result<(), Error> {
    strike(sql, &ask.did, &ask.flow).map(|_| ())
}

/// Strikes off whatever is recorded, since something else is to hold; whether there was anything.
pub(super) fn supersede(sql: &dyn Sql, did: &Did) -> Result<bool, Error> {
    match recorded(sql, did)? {
        None => Ok(false),
        Some(recorded) if recorded == write(&Flow::DeleteAgent)? => Err(Error::DeletionUnderWay),
        Some(_) => forget(sql, did).map(|()| true),
    }
}

/// Ends an account, and with it whatever else was to become of it.
pub(super) fn delete_account(sql: &dyn Sql, env: &Env<'_>, ask: &DeleteAccount) -> Result<(), Error> {
    forget(sql, &ask.did)?;
    status::delete(sql, env, ask)
}

fn forget(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM flow WHERE did = ?", &[did.as_str().into()])?)
}

pub(super) fn get(sql: &dyn Sql, did: &Did) -> Result<Option<Flow>, Error> {
    let damaged = |_| SqlError::Column { column: 0, expected: "a change".into() };
    let flow = recorded(sql, did)?.map(|bytes| serde_ipld_dagcbor::from_slice(&bytes).map_err(damaged));
    Ok(flow.transpose()?)
}

pub(super) fn list(sql: &dyn Sql, ask: &ListFlows) -> Result<Vec<Did>, Error> {
    let after = ask.after.as_ref().map_or("", Did::as_str);
    let limit = i64::try_from(FLOWS_MAX).unwrap_or(i64::MAX);
    let statement = "SELECT did FROM flow WHERE did > ? ORDER BY did LIMIT ?";
    Ok(query_all(sql, statement, &[after.into(), limit.into()], |row| read_did(row, 0))?)
}

fn recorded(sql: &dyn Sql, did: &Did) -> Result<Option<Vec<u8>>, Error> {
    let statement = "SELECT flow FROM flow WHERE did = ?";
    Ok(query_first(sql, statement, &[did.as_str().into()], |row| Ok(row.blob(0)?.to_vec()))?)
}

/// Whether it was recorded.
fn strike(sql: &dyn Sql, did: &Did, flow: &Flow) -> Result<bool, Error> {
    let params = [did.as_str().into(), Value::Blob(&write(flow)?)];
    Ok(sql.execute_counted("DELETE FROM flow WHERE did = ? AND flow = ?", &params)? > 0)
}

fn write(flow: &Flow) -> Result<Vec<u8>, Error> {
    serde_ipld_dagcbor::to_vec(flow).map_err(|_| Error::OverLimit("the change".into()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{GetAccount, ImportAccount, ListDueMail, Who};
    use super::*;
    use crate::actor::{Kind, Status};

    fn rename(handle: &str) -> Flow {
        Flow::UpdateHandle {
            handle: Handle::try_from(handle).unwrap(),
            verified: false,
            allow_reserved: false,
        }
    }

    fn begin(cell: &mut Cell, did: &Did, flow: &Flow) -> Result<bool, Error> {
        cell.ask(BeginFlow { did: did.clone(), flow: flow.clone() })
    }

    fn complete(cell: &mut Cell, did: &Did, flow: &Flow) -> Result<(), Error> {
        cell.ask(CompleteFlow { did: did.clone(), flow: flow.clone() })
    }

    #[test]
    fn an_account_has_one_change_at_a_time_and_it_outlives_a_restart() {
        let mut cell = Cell::new();
        let did = cell.agent("alice.test");
        assert_eq!(begin(&mut cell, &did, &Flow::Activate), Ok(false));
        assert_eq!(begin(&mut cell, &did, &Flow::Activate), Ok(true), "the same again is the same");
        cell.restart().unwrap();
        assert_eq!(cell.ask(ListFlows { after: None }), Ok(vec![did.clone()]));
        assert_eq!(cell.ask(ListFlows { after: Some(did.clone()) }), Ok(vec![]));
        assert_eq!(cell.ask(GetFlow { did: did.clone() }), Ok(Some(Flow::Activate)));
        complete(&mut cell, &did, &Flow::Activate).unwrap();
        assert_eq!(cell.ask(GetFlow { did: did.clone() }), Ok(None));
        assert_eq!(begin(&mut cell, &did, &Flow::DeleteAgent), Ok(false));
    }

    #[test]
    fn a_later_wish_takes_the_place_of_an_earlier_one() {
        let mut cell = Cell::new();
        let did = cell.agent("alice.test");
        let rest = Flow::Deactivate { delete_after_us: None };
        begin(&mut cell, &did, &rest).unwrap();
        assert_eq!(begin(&mut cell, &did, &Flow::Activate), Ok(true));
        assert_eq!(complete(&mut cell, &did, &rest), Err(Error::Superseded));
        cell.ask(DropFlow { did: did.clone(), flow: rest }).unwrap();
        assert_eq!(
            cell.ask(GetFlow { did: did.clone() }),
            Ok(Some(Flow::Activate)),
            "it strikes off itself only"
        );
        begin(&mut cell, &did, &Flow::DeleteAgent).unwrap();
        assert_eq!(begin(&mut cell, &did, &Flow::Activate), Err(Error::DeletionUnderWay));
        let import = ImportAccount {
            did: did.clone(),
            handle: Handle::try_from("alice.test").unwrap(),
            kind: Kind::Agent,
            display_name: None,
            model: None,
            config: None,
        };
        let change = StatusChange::Deactivate { delete_after_us: None };
        cell.ask(SetStatus { did: did.clone(), change }).unwrap();
        assert_eq!(cell.ask(import.clone()).unwrap_err(), Error::DeletionUnderWay);
        cell.ask(DropFlow { did: did.clone(), flow: Flow::DeleteAgent }).unwrap();
        begin(&mut cell, &did, &Flow::Activate).unwrap();
        cell.ask(import).unwrap();
        assert_eq!(complete(&mut cell, &did, &Flow::Activate), Err(Error::Superseded));
        let account = cell.ask(GetAccount { who: Who::Did(did) }).unwrap().unwrap();
        assert_eq!(account.status, Status::Deactivated);
    }

    /// What breaks: whoever has the account puts a key of theirs above all others, hangs up, renames the account, and nobody
    /// is told of the key.
    #[test]
    fn an_owner_is_told_of_a_key_whose_change_gives_way() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let told = |cell: &mut Cell| {
            let mails = cell.ask(ListDueMail {}).unwrap().mails;
            let mails = mails.into_iter().filter_map(|mail| match mail.addressed?.letter {
                Letter::MeansChanged { change, .. } => Some(change),
                _ => None,
            });
            mails.collect::<Vec<_>>()
        };
        let key = "did:key:zQ3sh".to_owned();
        let flow = |is_there| Flow::RecoveryKey { key: "did:key:zQ3sh".to_owned(), is_there };
        begin(&mut cell, &did, &flow(true)).unwrap();
        begin(&mut cell, &did, &flow(true)).unwrap();
        cell.ask(DropFlow { did: did.clone(), flow: flow(true) }).unwrap();
        assert_eq!(told(&mut cell), [], "it came to nothing");
        begin(&mut cell, &did, &flow(true)).unwrap();
        begin(&mut cell, &did, &flow(false)).unwrap();
        assert_eq!(told(&mut cell), [MeansChange::RecoveryKeyMayBeAdded { key: key.clone() }]);
        begin(&mut cell, &did, &rename("alicia.test")).unwrap();
        let removed = MeansChange::RecoveryKeyMayBeRemoved { key };
        assert_eq!(told(&mut cell).last(), Some(&removed));
    }

    #[test]
    fn a_handle_that_is_on_its_way_is_taken() {
        let mut cell = Cell::new();
        let (alice, bob) = (cell.agent("alice.test"), cell.agent("bob.test"));
        begin(&mut cell, &alice, &rename("carol.test")).unwrap();
        assert_eq!(begin(&mut cell, &bob, &rename("carol.test")), Err(Error::HandleNotAvailable));
        let signup = super::super::testing::signup("carol.test", None);
        assert!(matches!(cell.ask(signup.clone()), Err(Error::HandleNotAvailable)));
        assert_eq!(begin(&mut cell, &alice, &rename("bob.test")), Err(Error::HandleNotAvailable));
        assert_eq!(
            cell.ask(GetFlow { did: alice.clone() }),
            Ok(Some(rename("carol.test"))),
            "what was refused ends nothing"
        );
        begin(&mut cell, &alice, &rename("dora.test")).unwrap();
        cell.ask(signup).unwrap();
        complete(&mut cell, &alice, &rename("dora.test")).unwrap();
        let who = Who::Handle(Handle::try_from("dora.test").unwrap());
        assert_eq!(cell.ask(GetAccount { who }).unwrap().unwrap().did, alice);
    }
}
