//! Sessions: chains of refresh tokens.
//!
//! A refresh token is used once, then replaced. A client that lost the answer may use the old one again for two
//! hours, and gets the same successor: the chain never forks. An access token is not stored at all.

use serde::{Deserialize, Serialize};

use super::Error;
use super::account::{self, Account, read_did};
use super::app_password::{self, AppPasswordKind};
use crate::actor::Scope;
use crate::directory::limits::{REFRESH_GRACE_SECONDS, REFRESH_TOKEN_SECONDS};
use crate::env::Env;
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::Did;

/// Begins a session; the caller has checked the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenSession {
    /// Whose.
    pub did: Did,
    /// The name of the app password it is opened with; without one it is the account's own.
    pub app_password: Option<String>,
}

/// Uses a refresh token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateSession {
    /// Its `jti`.
    pub id: String,
}

/// Ends a session; answers whose it was. Nothing happens when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloseSession {
    /// The `jti` of its refresh token.
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

pub(super) fn open(sql: &dyn Sql, env: &mut Env<'_>, ask: &OpenSession) -> Result<Session, Error> {
    let account = account::require(sql, &ask.did)?;
    if account.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    let scope = match &ask.app_password {
        None => Scope::Access,
        Some(name) => match app_password::kind(sql, &ask.did, name)?.ok_or(Error::TokenRevoked)? {
            AppPasswordKind::Plain => Scope::AppPass,
            AppPasswordKind::Privileged => Scope::AppPassPrivileged,
            AppPasswordKind::Vault => Scope::AppPassVault,
        },
    };
    remove_expired(sql, env, &ask.did)?;
    let id = fresh_id(env);
    insert(sql, env, account, &id, scope, ask.app_password.as_deref())
}

pub(super) fn rotate(sql: &dyn Sql, env: &mut Env<'_>, id: &str) -> Result<Session, Error> {
    let old = find(sql, id)?.ok_or(Error::TokenRevoked)?;
    let account = account::require(sql, &old.did)?;
    if account.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    if old.expires_us <= env.now_us {
        return Err(Error::TokenRevoked);
    }
    remove_expired(sql, env, &old.did)?;
    let next_id = old.next_id.unwrap_or_else(|| fresh_id(env));
    let grace_us = env.now_us.saturating_add(REFRESH_GRACE_SECONDS.saturating_mul(1_000_000));
    sql.execute(
        "UPDATE session SET next_id = ?, expires_us = ? WHERE id = ?",
        &[next_id.as_str().into(), old.expires_us.min(grace_us).into(), id.into()],
    )?;
    insert(sql, env, account, &next_id, old.scope, old.app_password.as_deref())
}

pub(super) fn close(sql: &dyn Sql, id: &str) -> Result<Option<Did>, Error> {
    let did = find(sql, id)?.map(|session| session.did);
    // Predecessors in their grace period would bring it back, one after the other, so they go too.
    sql.execute(
        "WITH RECURSIVE line (id) AS (SELECT ? UNION SELECT session.id FROM session JOIN line ON next_id = line.id) \
         DELETE FROM session WHERE id IN (SELECT id FROM line)",
        &[id.into()],
    )?;
    Ok(did)
}

/// Ends all sessions of an account.
pub(super) fn close_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
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

struct Stored {
    did: Did,
    scope: Scope,
    app_password: Option<String>,
    expires_us: i64,
    next_id: Option<String>,
}

fn find(sql: &dyn Sql, id: &str) -> Result<Option<Stored>, Error> {
    Ok(query_first(
        sql,
        "SELECT did, scope, app_password, expires_us, next_id FROM session WHERE id = ?",
        &[id.into()],
        |row| {
            let scope = Scope::parse(row.text(1)?)
                .ok_or(SqlError::Column { column: 1, expected: "a scope".into() })?;
            Ok(Stored {
                did: read_did(row, 0)?,
                scope,
                app_password: row.optional_text(2)?.map(str::to_owned),
                expires_us: row.integer(3)?,
                next_id: row.optional_text(4)?.map(str::to_owned),
            })
        },
    )?)
}

fn insert(
    sql: &dyn Sql,
    env: &Env<'_>,
    account: Account,
    id: &str,
    scope: Scope,
    app_password: Option<&str>,
) -> Result<Session, Error> {
    let expires_seconds = env.now_seconds().saturating_add(REFRESH_TOKEN_SECONDS);
    // A successor that exists keeps its own life: a repeated rotation makes it neither longer nor new.
    sql.execute(
        "INSERT INTO session (id, did, scope, app_password, expires_us) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
        &[
            id.into(),
            account.did.as_str().into(),
            scope.as_str().into(),
            Value::optional_text(app_password),
            expires_seconds.saturating_mul(1_000_000).into(),
        ],
    )?;
    Ok(Session { account, id: id.to_owned(), expires_seconds, scope })
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
    use super::super::{SetStatus, StatusChange};
    use super::*;

    fn open(cell: &mut Cell, did: &Did) -> Session {
        let ask = OpenSession { did: did.clone(), app_password: None };
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

    #[test]
    fn a_closed_session_does_not_come_back_through_those_before_its_predecessor() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let mut line = vec![open(&mut cell, &did).id];
        for _ in 0..3 {
            let last = line.last().unwrap().clone();
            line.push(cell.ask(RotateSession { id: last }).unwrap().id);
        }
        let other = open(&mut cell, &did);
        cell.ask(CloseSession { id: line[3].clone() }).unwrap();
        for id in line {
            assert_eq!(cell.ask(RotateSession { id }), Err(Error::TokenRevoked));
        }
        assert!(cell.ask(RotateSession { id: other.id }).is_ok());
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
        let ask = OpenSession { did, app_password: None };
        assert_eq!(cell.ask(ask), Err(Error::AccountTakedown));
    }
}
