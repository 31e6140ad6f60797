//! Sessions: chains of refresh tokens.
//!
//! A refresh token is used once, then replaced. A client that lost the answer may use the old one again for two
//! hours, and gets the same successor: the chain never forks. An access token is not stored at all.
//!
//! The `jti` of a successor is that of the chain's first token, a point, and what makes it its own. So any token of a chain
//! tells the chain, also long after its row is gone.

use serde::{Deserialize, Serialize};

use super::Error;
use super::account::{self, Account, read_did};
use super::app_password::{AppPassword, AppPasswordKind};
use super::proof::Proof;
use super::signed_in::SignedInApp;
use super::{browser, oauth};
use crate::actor::Scope;
use crate::directory::limits::{REFRESH_GRACE_SECONDS, REFRESH_TOKEN_SECONDS, SESSIONS_SHOWN_MAX};
use crate::env::Env;
use crate::store::{Row, Sql, SqlError, Value, query_all, query_first};
use crate::syntax::Did;

/// Begins a session; the caller has checked the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenSession {
    /// Whose.
    pub did: Did,
    /// What it is opened with; that of an app password opens what the password does.
    pub proof: Proof,
    /// From where, after [`GetCredentials`](super::GetCredentials) from there.
    pub client: Option<String>,
    /// What the program says it is.
    pub device: Option<String>,
    /// Whether a session that opens little ([`Scope::Takendown`]) is wanted where the moderators hold the account.
    #[serde(default)]
    pub allow_takendown: bool,
}

/// Uses a refresh token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateSession {
    /// Its `jti`.
    pub id: String,
}

/// Ends a session, by whichever of its refresh tokens; answers whose it was. Nothing happens when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloseSession {
    /// The `jti` of a refresh token.
    pub id: String,
}

/// What the next pair of tokens says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub account: Account,
    /// The `jti` of the refresh token.
    pub id: String,
    /// When the refresh token ends, in seconds since the epoch.
    pub expires_seconds: i64,
    /// What the access token opens.
    pub scope: Scope,
}

pub(super) fn open(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    account: Account,
    app_password: Option<&AppPassword>,
    client: Option<&str>,
) -> Result<Session, Error> {
    let scope = match app_password.map(|app_password| app_password.kind) {
        _ if account.status.is_moderated() => Scope::Takendown,
        None => Scope::Access,
        Some(AppPasswordKind::Plain) => Scope::AppPass,
        Some(AppPasswordKind::Privileged) => Scope::AppPassPrivileged,
        Some(AppPasswordKind::Vault) => Scope::AppPassVault,
    };
    remove_expired(sql, env, &account.did)?;
    let id = fresh_id(env);
    let app_password = app_password.map(|app_password| app_password.name.clone());
    let origin =
        Origin { scope, app_password, opened_us: Some(env.now_us), client: client.map(str::to_owned) };
    insert(sql, env, account, &id, &origin)
}

pub(super) fn rotate(sql: &dyn Sql, env: &mut Env<'_>, id: &str) -> Result<Session, Error> {
    let old = find(sql, id)?.ok_or(Error::TokenRevoked)?;
    let account = account::require(sql, &old.did)?;
    if account.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    // Whoever was let in again signs in again, and then has all of the account.
    if old.expires_us <= env.now_us || old.origin.scope == Scope::Takendown {
        return Err(Error::TokenRevoked);
    }
    // A successor that is gone was closed; its chain is older than the points, which would have led here.
    if let Some(next_id) = &old.next_id
        && find(sql, next_id)?.is_none()
    {
        return Err(Error::TokenRevoked);
    }
    remove_expired(sql, env, &old.did)?;
    let next_id = old.next_id.unwrap_or_else(|| format!("{}.{}", chain(id), fresh_id(env)));
    let grace_us = env.now_us.saturating_add(REFRESH_GRACE_SECONDS.saturating_mul(1_000_000));
    sql.execute(
        "UPDATE session SET next_id = ?, expires_us = ? WHERE id = ?",
        &[next_id.as_str().into(), old.expires_us.min(grace_us).into(), id.into()],
    )?;
    insert(sql, env, account, &next_id, &old.origin)
}

/// Ends a session; says whose it was, and what it opened.
pub(super) fn close(sql: &dyn Sql, id: &str) -> Result<Option<(Did, Scope)>, Error> {
    let chain = chain(id);
    // Predecessors in their grace period would bring it back, and successors are it.
    let (from, to) = (format!("{chain}."), format!("{chain}/"));
    let all = [chain.into(), from.as_str().into(), to.as_str().into()];
    let closed = query_first(
        sql,
        "SELECT did, scope FROM session WHERE id = ? OR (id > ? AND id < ?)",
        &all,
        |row| Ok((read_did(row, 0)?, read_scope(row, 1)?)),
    )?;
    sql.execute("DELETE FROM session WHERE id = ? OR (id > ? AND id < ?)", &all)?;
    Ok(closed)
}

/// The `jti` of the first token of a chain.
fn chain(id: &str) -> &str {
    id.split_once('.').map_or(id, |(chain, _)| chain)
}

/// Whether a refresh token's `jti` is of a session of this account.
pub(super) fn is_of(sql: &dyn Sql, did: &Did, id: &str) -> Result<bool, Error> {
    Ok(find(sql, id)?.is_some_and(|session| session.did == *did))
}

/// Ends all sessions of an account, those of OAuth clients and browsers too.
pub(super) fn close_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    oauth::close_all(sql, did)?;
    browser::close_all(sql, did, None)?;
    close_of_apps(sql, did)
}

/// Ends all sessions that were opened with a password.
pub(super) fn close_of_apps(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    sql.execute("DELETE FROM session WHERE did = ?", &[did.as_str().into()])?;
    Ok(())
}

/// Ends the sessions that an app password opened.
pub(super) fn close_of_app_password(sql: &dyn Sql, did: &Did, name: &str) -> Result<(), Error> {
    sql.execute(
        "DELETE FROM session WHERE did = ? AND app_password = ?",
        &[did.as_str().into(), name.into()],
    )?;
    Ok(())
}

/// The sessions of an account, as their last refresh tokens stand.
pub(super) fn list(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Vec<SignedInApp>, Error> {
    Ok(query_all(
        sql,
        "SELECT id, scope, app_password, opened_us, used_us, client FROM session
         WHERE did = ? AND next_id IS NULL AND expires_us > ? ORDER BY expires_us DESC LIMIT ?",
        &[did.as_str().into(), env.now_us.into(), SESSIONS_SHOWN_MAX.into()],
        |row| {
            Ok(SignedInApp {
                id: row.text(0)?.to_owned(),
                scope: read_scope(row, 1)?,
                app_password: row.optional_text(2)?.map(str::to_owned),
                opened_us: row.optional_integer(3)?,
                used_us: row.optional_integer(4)?,
                client: row.optional_text(5)?.map(str::to_owned),
            })
        },
    )?)
}

/// How a session began: what all tokens of its chain have.
struct Origin {
    scope: Scope,
    app_password: Option<String>,
    opened_us: Option<i64>,
    client: Option<String>,
}

struct Stored {
    did: Did,
    origin: Origin,
    expires_us: i64,
    next_id: Option<String>,
}

fn find(sql: &dyn Sql, id: &str) -> Result<Option<Stored>, Error> {
    Ok(query_first(
        sql,
        "SELECT did, scope, app_password, expires_us, next_id, opened_us, client FROM session WHERE id = ?",
        &[id.into()],
        |row| {
            Ok(Stored {
                did: read_did(row, 0)?,
                origin: Origin {
                    scope: read_scope(row, 1)?,
                    app_password: row.optional_text(2)?.map(str::to_owned),
                    opened_us: row.optional_integer(5)?,
                    client: row.optional_text(6)?.map(str::to_owned),
                },
                expires_us: row.integer(3)?,
                next_id: row.optional_text(4)?.map(str::to_owned),
            })
        },
    )?)
}

fn read_scope(row: &dyn Row, column: usize) -> Result<Scope, SqlError> {
    Scope::parse(row.text(column)?).ok_or(SqlError::Column { column, expected: "a scope".into() })
}

fn insert(
    sql: &dyn Sql,
    env: &Env<'_>,
    account: Account,
    id: &str,
    origin: &Origin,
) -> Result<Session, Error> {
    let expires_seconds = env.now_seconds().saturating_add(REFRESH_TOKEN_SECONDS);
    // A successor that exists keeps its own life: a repeated rotation makes it neither longer nor new.
    sql.execute(
        "INSERT INTO session (id, did, scope, app_password, expires_us, opened_us, used_us, client)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
        &[
            id.into(),
            account.did.as_str().into(),
            origin.scope.as_str().into(),
            Value::optional_text(origin.app_password.as_deref()),
            expires_seconds.saturating_mul(1_000_000).into(),
            Value::optional_integer(origin.opened_us),
            env.now_us.into(),
            Value::optional_text(origin.client.as_deref()),
        ],
    )?;
    Ok(Session { account, id: id.to_owned(), expires_seconds, scope: origin.scope })
}

fn remove_expired(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<(), Error> {
    sql.execute(
        "DELETE FROM session WHERE did = ? AND expires_us <= ?",
        &[did.as_str().into(), env.now_us.into()],
    )?;
    Ok(())
}

fn fresh_id(env: &mut Env<'_>) -> String {
    data_encoding::BASE64URL_NOPAD.encode(&env.random::<32>())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cell, HOUR_US};
    use super::super::{
        CreateAppPassword, GetAccount, GetCredentials, RotateAgentToken, SetStatus, SettleAgentToken,
        StatusChange, Who,
    };
    use super::*;
    use crate::crypto::sha256;

    fn open(cell: &mut Cell, did: &Did) -> Session {
        let ask = OpenSession {
            did: did.clone(),
            proof: Proof::Generation(i64::MAX),
            client: None,
            device: None,
            allow_takendown: false,
        };
        cell.ask(ask).unwrap()
    }

    #[test]
    fn a_used_token_works_for_two_hours_and_leads_to_the_same_successor() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let first = open(&mut cell, &did);
        assert_eq!(first.scope, Scope::Access);
        let second = cell.ask(RotateSession { id: first.id.clone() }).unwrap();
        assert_ne!(first.id, second.id);
        cell.now_us += HOUR_US;
        let again = cell.ask(RotateSession { id: first.id.clone() }).unwrap();
        assert_eq!(again.id, second.id);
        cell.now_us += HOUR_US; // the repetition did not extend the grace
        assert_eq!(cell.ask(RotateSession { id: first.id }), Err(Error::TokenRevoked));
        assert!(cell.ask(RotateSession { id: second.id }).is_ok());
    }

    #[test]
    fn a_closed_session_does_not_come_back_through_its_predecessor() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let first = open(&mut cell, &did);
        let other = open(&mut cell, &did);
        let second = cell.ask(RotateSession { id: first.id.clone() }).unwrap();
        cell.ask(CloseSession { id: second.id.clone() }).unwrap();
        assert_eq!(cell.ask(RotateSession { id: second.id }), Err(Error::TokenRevoked));
        assert_eq!(cell.ask(RotateSession { id: first.id }), Err(Error::TokenRevoked));
        assert!(cell.ask(RotateSession { id: other.id }).is_ok());
    }

    /// What breaks: who signs out with a token that was already used, by a thief for one, leaves the thief's alive.
    #[test]
    fn a_session_is_closed_with_whichever_of_its_tokens() {
        for (closed_with, hours) in [(0, 0), (1, 0), (3, 0), (0, 3), (1, 3), (0, 80 * 24)] {
            let mut cell = Cell::new();
            let did = cell.person("alice.test", "alice@example.com");
            let mut line = vec![open(&mut cell, &did).id];
            for _ in 0..3 {
                let last = line.last().unwrap().clone();
                line.push(cell.ask(RotateSession { id: last }).unwrap().id);
            }
            let other = open(&mut cell, &did);
            cell.now_us += hours * HOUR_US;
            // Signing in removes what has expired.
            open(&mut cell, &did);
            let close = CloseSession { id: line[closed_with].clone() };
            assert_eq!(
                cell.ask(close.clone()).unwrap().as_ref(),
                Some(&did),
                "{closed_with} after {hours} h"
            );
            for id in line {
                assert_eq!(cell.ask(RotateSession { id }), Err(Error::TokenRevoked), "{closed_with}");
            }
            assert_eq!(cell.ask(close).unwrap(), None);
            assert!(cell.ask(RotateSession { id: other.id }).is_ok());
        }
    }

    /// What breaks: of a refresh and a sign-out that meet, what the refresh gave lives on.
    #[test]
    fn a_refresh_that_meets_a_sign_out_gives_nothing_that_lasts() {
        for refresh_is_first in [true, false] {
            let mut cell = Cell::new();
            let did = cell.person("alice.test", "alice@example.com");
            let first = open(&mut cell, &did);
            let (rotate, close) =
                (RotateSession { id: first.id.clone() }, CloseSession { id: first.id.clone() });
            let mut given = None;
            if refresh_is_first {
                given = cell.ask(rotate.clone()).ok();
            }
            cell.ask(close).unwrap();
            assert_eq!(cell.ask(rotate), Err(Error::TokenRevoked));
            if let Some(Session { id, account, .. }) = given {
                assert_eq!(cell.ask(RotateSession { id }), Err(Error::TokenRevoked));
                let now = cell.ask(GetAccount { who: Who::Did(did) }).unwrap().unwrap();
                assert!(now.generation > account.generation, "its access token ended");
            }
        }
    }

    #[test]
    fn a_session_ends_after_ninety_days() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let session = open(&mut cell, &did);
        cell.now_us += 90 * 24 * HOUR_US;
        assert_eq!(cell.ask(RotateSession { id: session.id }), Err(Error::TokenRevoked));
    }

    #[test]
    fn a_takedown_ends_all_sessions_and_refuses_new_ones() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let session = open(&mut cell, &did);
        let change = StatusChange::TakeDown { reference: None };
        cell.ask(SetStatus { did: did.clone(), change }).unwrap();
        assert_eq!(cell.ask(RotateSession { id: session.id }), Err(Error::TokenRevoked));
        let ask = OpenSession {
            did,
            proof: Proof::Generation(i64::MAX),
            client: None,
            device: None,
            allow_takendown: false,
        };
        assert_eq!(cell.ask(ask), Err(Error::AccountTakedown));
    }

    /// What breaks: who signs in just while all sessions end has one that nothing ends any more.
    #[test]
    fn what_ended_since_it_was_checked_opens_no_session() {
        let mut cell = Cell::new();
        let did = cell.agent("alice.test");
        let digest = |cell: &mut Cell| {
            let token = cell.ask(RotateAgentToken { did: did.clone(), proof: Proof::Generation(i64::MAX) });
            sha256(token.unwrap().expose().as_bytes())
        };
        let old = digest(&mut cell);
        cell.ask(SettleAgentToken { digest: old }).unwrap();
        let seen = cell
            .ask(GetCredentials { who: Who::Did(did.clone()), digest: old, client: None })
            .unwrap()
            .unwrap();
        let new = digest(&mut cell);
        cell.ask(SettleAgentToken { digest: new }).unwrap();
        for proof in [
            Proof::AgentToken(old),
            Proof::Generation(seen.account.generation),
            Proof::AppPassword(old),
            Proof::Password(old),
        ] {
            let ask = OpenSession {
                did: did.clone(),
                proof: proof.clone(),
                client: None,
                device: None,
                allow_takendown: false,
            };
            assert_eq!(cell.ask(ask), Err(Error::TokenRevoked), "{proof:?}");
            let ask = RotateAgentToken { did: did.clone(), proof: proof.clone() };
            assert_eq!(cell.ask(ask).err(), Some(Error::TokenRevoked), "{proof:?}");
            let (name, kind) = ("late".to_owned(), AppPasswordKind::Vault);
            let ask = CreateAppPassword { did: did.clone(), proof: proof.clone(), name, kind };
            assert_eq!(cell.ask(ask).err(), Some(Error::TokenRevoked), "{proof:?}");
        }
        cell.ask(OpenSession {
            did,
            proof: Proof::AgentToken(new),
            client: None,
            device: None,
            allow_takendown: false,
        })
        .unwrap();
    }
}
