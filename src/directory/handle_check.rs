//! Looking again at handles on domains of their owners: a domain may be lost, sold, or set up anew, and then its name is
//! no more the account's.
//!
//! The host asks which are due ([`ListDueHandles`]), looks as everybody else would, and says what it saw
//! ([`SettleHandle`]); when each is looked at next, and what is said of it to the network, is decided here. Only a clear
//! answer changes anything: where nobody answers, what was known stays, and it is asked again soon.

use serde::{Deserialize, Serialize};

use super::account::{read_did, read_handle};
use super::handle_rules::{self, Placement};
use super::limits::{
    HANDLE_CHECK_JITTER_PART, HANDLE_CHECK_SECONDS, HANDLE_RECHECK_SECONDS, HANDLES_AT_ONCE,
    HANDLES_LOOKED_THROUGH,
};
use super::outbox::{self, Notice};
use super::{Error, flow};
use crate::env::Env;
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};

const SECOND_US: i64 = 1_000_000;

/// Asks which handles are to be looked at now, the longest due first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListDueHandles {}

/// The answer to [`ListDueHandles`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueHandles {
    /// Those to be looked at now, a few at a time.
    pub handles: Vec<(Did, Handle)>,
    /// When it is to be asked again after these; `None` when there is no handle to look at.
    pub next_us: Option<i64>,
}

/// Says what was seen of a handle; answers what it changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleHandle {
    /// Whose.
    pub did: Did,
    /// The handle that was looked at.
    pub handle: Handle,
    /// What was seen.
    pub seen: HandleSeen,
}

/// What was seen of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HandleSeen {
    /// It leads to the account, and the account's document names it.
    Leads,
    /// It leads to nobody or somebody else, or the document names another.
    Fails,
    /// Somebody who has to be asked did not answer.
    Unknown,
}

/// What became of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HandleTurn {
    /// It stays as it was.
    Same,
    /// From now on it is shown as invalid.
    Lost,
    /// It is shown again.
    Back,
}

/// Sets when a handle that an account was just given is looked at first. It was seen to lead there.
pub(super) fn begin(sql: &dyn Sql, env: &mut Env<'_>, did: &Did, placement: Placement) -> Result<(), Error> {
    let next_us = match placement {
        Placement::Service => None,
        Placement::External => Some(after(env, HANDLE_CHECK_SECONDS)),
    };
    let statement = "UPDATE account SET handle_check_us = ?, handle_failed_us = NULL WHERE did = ?";
    Ok(sql.execute(statement, &[Value::optional_integer(next_us), did.as_str().into()])?)
}

/// Which are due. Those that never have to be looked at are put aside, some at a time.
pub(super) fn due(sql: &dyn Sql, env: &Env<'_>) -> Result<DueHandles, Error> {
    let rows = query_all(
        sql,
        "SELECT did, handle, handle_check_us FROM account
         WHERE handle_check_us IS NOT NULL AND status NOT IN ('pending', 'deleted')
         ORDER BY handle_check_us, did LIMIT ?",
        &[HANDLES_LOOKED_THROUGH.into()],
        |row| Ok((read_did(row, 0)?, read_handle(row, 1)?, row.integer(2)?)),
    )?;
    let mut due = DueHandles { handles: Vec::new(), next_us: None };
    for (did, handle, check_us) in rows {
        // Where a name stands is the setting's to say, whatever it would be refused for today.
        let is_elsewhere = handle_rules::place(&handle, env.network, true) == Ok(Placement::External);
        if !is_elsewhere {
            let never = "UPDATE account SET handle_check_us = NULL, handle_failed_us = NULL WHERE did = ?";
            sql.execute(never, &[did.as_str().into()])?;
        } else if check_us > env.now_us || due.handles.len() == HANDLES_AT_ONCE {
            break;
        } else {
            due.handles.push((did, handle));
        }
    }
    due.next_us = next(sql, &due.handles)?;
    Ok(due)
}

/// When a handle beside these is due.
fn next(sql: &dyn Sql, given: &[(Did, Handle)]) -> Result<Option<i64>, SqlError> {
    let statement = "SELECT did, handle_check_us FROM account
         WHERE handle_check_us IS NOT NULL AND status NOT IN ('pending', 'deleted')
         ORDER BY handle_check_us, did LIMIT ?";
    let rows = i64::try_from(given.len()).unwrap_or(i64::MAX).saturating_add(1);
    let first = query_all(sql, statement, &[rows.into()], |row| Ok((read_did(row, 0)?, row.integer(1)?)))?;
    Ok(first.into_iter().find(|(did, _)| given.iter().all(|(other, _)| other != did)).map(|(_, us)| us))
}

/// When the next handle is to be looked at, for a host that sleeps otherwise; `None` when there is none.
///
/// # Errors
/// [`SqlError`].
pub fn next_handle_check_us(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    next(sql, &[])
}

pub(super) fn settle(sql: &dyn Sql, env: &mut Env<'_>, ask: &SettleHandle) -> Result<HandleTurn, Error> {
    let SettleHandle { did, handle, seen } = ask;
    let account =
        "SELECT handle_failed_us FROM account WHERE did = ? AND handle = ? AND handle_check_us IS NOT NULL";
    let params = [did.as_str().into(), handle.as_str().into()];
    let found = query_first(sql, account, &params, |row| row.optional_integer(0))?;
    // It has another name meanwhile, or is gone.
    let Some(failed_us) = found else { return Ok(HandleTurn::Same) };
    // A change of names is under way, and document and handle differ for as long as it takes.
    let is_changing = flow::get(sql, did)?.is_some();
    let (failed_us, turn, pause) = match (seen, failed_us) {
        _ if is_changing => (failed_us, HandleTurn::Same, HANDLE_RECHECK_SECONDS),
        (HandleSeen::Leads, None) => (None, HandleTurn::Same, HANDLE_CHECK_SECONDS),
        (HandleSeen::Leads, Some(_)) => (None, HandleTurn::Back, HANDLE_CHECK_SECONDS),
        (HandleSeen::Fails, None) => (Some(env.now_us), HandleTurn::Lost, HANDLE_RECHECK_SECONDS),
        (HandleSeen::Fails, Some(_)) | (HandleSeen::Unknown, _) => {
            (failed_us, HandleTurn::Same, HANDLE_RECHECK_SECONDS)
        }
    };
    let next_us = after(env, pause);
    let statement = "UPDATE account SET handle_check_us = ?, handle_failed_us = ? WHERE did = ?";
    sql.execute(statement, &[next_us.into(), Value::optional_integer(failed_us), did.as_str().into()])?;
    let told = match turn {
        HandleTurn::Same => return Ok(turn),
        HandleTurn::Lost => Handle::invalid(),
        HandleTurn::Back => handle.clone(),
    };
    outbox::push(sql, did, &Notice::HandleChanged { handle: told })?;
    Ok(turn)
}

/// So many seconds from now and a part more: what began together is not looked at together for ever.
fn after(env: &mut Env<'_>, seconds: i64) -> i64 {
    let jitter_us = (seconds / HANDLE_CHECK_JITTER_PART).max(1) * SECOND_US;
    let part_us = i64::from(u32::from_be_bytes(env.random())) * 1_000 % jitter_us;
    env.now_us.saturating_add(seconds * SECOND_US).saturating_add(part_us)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{BeginFlow, DeleteAccount, Flow, GetAccount, UpdateHandle, Who};
    use super::*;

    const OWN: &str = "alice.example.com";

    fn due(cell: &mut Cell) -> DueHandles {
        cell.ask(ListDueHandles {}).unwrap()
    }

    fn settle(cell: &mut Cell, did: &Did, seen: HandleSeen) -> HandleTurn {
        cell.ask(SettleHandle { did: did.clone(), handle: OWN.parse().unwrap(), seen }).unwrap()
    }

    fn shown(cell: &mut Cell, did: &Did) -> String {
        let account = cell.ask(GetAccount { who: Who::Did(did.clone()) }).unwrap().unwrap();
        account.shown_handle().into_string()
    }

    /// With a handle of its own domain.
    fn alice(cell: &mut Cell) -> Did {
        let did = cell.person("alice.test", "alice@example.com");
        let handle = OWN.parse().unwrap();
        cell.ask(UpdateHandle { did: did.clone(), handle, verified: true, allow_reserved: false }).unwrap();
        cell.drain();
        did
    }

    #[test]
    fn a_handle_of_an_own_domain_is_due_each_day_and_one_of_the_service_never() {
        let mut cell = Cell::new();
        cell.person("bob.test", "bob@example.com");
        assert_eq!(due(&mut cell), DueHandles { handles: vec![], next_us: None });
        let did = alice(&mut cell);
        let next_us = due(&mut cell).next_us.unwrap();
        assert!((24 * 3_600..=27 * 3_600).contains(&((next_us - cell.now_us) / SECOND_US)));
        assert_eq!(next_handle_check_us(&cell.disk), Ok(Some(next_us)));
        cell.now_us = next_us;
        let due_now = due(&mut cell);
        assert_eq!(due_now, DueHandles { handles: vec![(did.clone(), OWN.parse().unwrap())], next_us: None });
        assert_eq!(settle(&mut cell, &did, HandleSeen::Leads), HandleTurn::Same);
        assert!(due(&mut cell).next_us.unwrap() >= cell.now_us + 24 * 3_600 * SECOND_US);
        assert!(cell.drain().is_empty());
        cell.ask(DeleteAccount { did, code: None }).unwrap();
        assert_eq!(due(&mut cell).next_us, None);
    }

    #[test]
    fn what_clearly_fails_is_shown_as_invalid_until_it_leads_back_and_silence_changes_nothing() {
        let mut cell = Cell::new();
        let did = alice(&mut cell);
        let named = |name: &str| vec![(did.clone(), Notice::HandleChanged { handle: name.parse().unwrap() })];
        assert_eq!(settle(&mut cell, &did, HandleSeen::Unknown), HandleTurn::Same);
        assert_eq!((shown(&mut cell, &did).as_str(), cell.drain()), (OWN, vec![]));
        assert_eq!(settle(&mut cell, &did, HandleSeen::Fails), HandleTurn::Lost);
        assert_eq!(
            (shown(&mut cell, &did).as_str(), cell.drain()),
            ("handle.invalid", named("handle.invalid"))
        );
        let within_us = due(&mut cell).next_us.unwrap() - cell.now_us;
        assert!(within_us <= 2 * 3_600 * SECOND_US, "an owner who sets it right does not wait for a day");
        for seen in [HandleSeen::Fails, HandleSeen::Unknown] {
            assert_eq!(settle(&mut cell, &did, seen), HandleTurn::Same);
            assert_eq!((shown(&mut cell, &did).as_str(), cell.drain()), ("handle.invalid", vec![]));
        }
        assert_eq!(settle(&mut cell, &did, HandleSeen::Leads), HandleTurn::Back);
        assert_eq!((shown(&mut cell, &did).as_str(), cell.drain()), (OWN, named(OWN)));
    }

    /// What breaks: a look from before a change speaks of the name from after it.
    #[test]
    fn what_was_seen_of_a_name_says_nothing_of_another_or_of_one_that_is_changing() {
        let mut cell = Cell::new();
        let did = alice(&mut cell);
        let handle: Handle = "alice.test".parse().unwrap();
        let flow = Flow::UpdateHandle { handle: handle.clone(), verified: false, allow_reserved: false };
        cell.ask(BeginFlow { did: did.clone(), flow }).unwrap();
        assert_eq!(settle(&mut cell, &did, HandleSeen::Fails), HandleTurn::Same);
        cell.ask(UpdateHandle { did: did.clone(), handle, verified: false, allow_reserved: false }).unwrap();
        cell.drain();
        assert_eq!(settle(&mut cell, &did, HandleSeen::Fails), HandleTurn::Same);
        assert_eq!((shown(&mut cell, &did).as_str(), cell.drain()), ("alice.test", vec![]));
    }

    /// What breaks: thousands of accounts from before this was looked at hold it up, or all are asked about at once.
    #[test]
    fn a_few_are_given_out_at_a_time_and_those_of_the_service_are_put_aside() {
        let mut cell = Cell::new();
        for number in 0..10 {
            cell.agent(&format!("agent-{number}.test"));
        }
        let did = alice(&mut cell);
        for number in 0..6 {
            let other = cell.agent(&format!("other-{number}.test"));
            let handle = format!("other-{number}.example.com").parse().unwrap();
            cell.ask(UpdateHandle { did: other, handle, verified: true, allow_reserved: false }).unwrap();
        }
        cell.disk.execute("UPDATE account SET handle_check_us = 0", &[]).unwrap();
        let first = due(&mut cell);
        assert_eq!((first.handles.len(), first.next_us), (HANDLES_AT_ONCE, Some(0)));
        let mut seen = Vec::new();
        while let DueHandles { handles, .. } = due(&mut cell)
            && !handles.is_empty()
        {
            for (did, handle) in handles {
                cell.ask(SettleHandle { did: did.clone(), handle, seen: HandleSeen::Leads }).unwrap();
                seen.push(did);
            }
        }
        assert!(seen.len() == 7 && seen.contains(&did), "{seen:?}");
        let left = "SELECT count(*) FROM account WHERE handle_check_us IS NOT NULL";
        assert_eq!(query_first(&cell.disk, left, &[], |row| row.integer(0)), Ok(Some(7)));
    }
}
