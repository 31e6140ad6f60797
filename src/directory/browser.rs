//! Browsers that are signed in to the account's own pages.
//!
//! A browser has a random value in a cookie, and a row here has its digest: whoever reads the database signs in nowhere. A
//! session has one value for all of its life, given out at the sign-in, and lives for a fixed time. For what can't be undone
//! a sign-in counts for minutes only ([`BrowserSession::is_fresh`]); signing in again makes a new session in place of the old.
//!
//! Only [`OpenBrowserSession`] makes one, and says what it rests on: of an account with a second factor never the password alone
//! (`factor`).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::Error;
use super::account::{self, Account, read_did};
use super::credentials;
use super::known_device::{self, Device};
use super::limits::{
    BROWSER_DEVICE_BYTES_MAX, BROWSER_FRESH_SECONDS, BROWSER_SESSION_SECONDS, BROWSER_SESSIONS_MAX,
};
use super::proof::Proof;
use crate::env::Env;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Signs a browser in. An app password does not, which opens less than these pages do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenBrowserSession {
    /// Whose.
    pub did: Did,
    /// With what.
    pub proof: Proof,
    /// From where, after [`GetCredentials`](super::GetCredentials) from there if that is what the proof is of.
    pub client: Option<String>,
    /// What the browser says it is.
    pub device: Option<String>,
    /// SHA-256 of what the browser is given.
    pub cookie: [u8; 32],
    /// SHA-256 of what it had, which is good for nothing any more.
    pub replaces: Option<[u8; 32]>,
}

/// Asks who is signed in with a cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBrowserSession {
    /// SHA-256 of what the browser shows.
    pub cookie: [u8; 32],
}

/// Signs a browser out. Nothing happens when nobody is signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloseBrowserSession {
    /// SHA-256 of what the browser shows.
    pub cookie: [u8; 32],
}

/// Who is signed in in a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserSession {
    /// Names the session to its owner.
    pub id: String,
    /// The account, as it is now.
    pub account: Account,
    /// Whether the sign-in was a few minutes ago, as what can't be undone asks for.
    pub is_fresh: bool,
}

pub(super) fn open(sql: &dyn Sql, env: &mut Env<'_>, ask: &OpenBrowserSession) -> Result<(), Error> {
    if account::require(sql, &ask.did)?.status.is_moderated() {
        return Err(Error::AccountTakedown);
    }
    let (account, None) = credentials::prove_sign_in(sql, &ask.did, &ask.proof)? else {
        return Err(Error::TokenRevoked);
    };
    if let Some(old) = &ask.replaces {
        sql.execute("DELETE FROM browser_session WHERE id = ?", &[id(old).as_str().into()])?;
    }
    make_room(sql, env, &ask.did)?;
    let device = ask.device.as_deref().filter(|device| device.len() <= BROWSER_DEVICE_BYTES_MAX);
    sql.execute(
        "INSERT INTO browser_session (id, did, client, device, opened_us, expires_us) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            id(&ask.cookie).as_str().into(),
            ask.did.as_str().into(),
            Value::optional_text(ask.client.as_deref()),
            Value::optional_text(device),
            env.now_us.into(),
            after(env.now_us, BROWSER_SESSION_SECONDS).into(),
        ],
    )?;
    known_device::note(
        sql,
        env,
        &account,
        &ask.proof,
        Device { client: ask.client.as_deref(), program: device },
    )
}

pub(super) fn get(
    sql: &dyn Sql,
    env: &Env<'_>,
    ask: &GetBrowserSession,
) -> Result<Option<BrowserSession>, Error> {
    let id = id(&ask.cookie);
    let statement = "SELECT did, opened_us FROM browser_session WHERE id = ? AND expires_us > ?";
    let found = query_first(sql, statement, &[id.as_str().into(), env.now_us.into()], |row| {
        Ok((read_did(row, 0)?, row.integer(1)?))
    })?;
    let Some((did, opened_us)) = found else { return Ok(None) };
    let account = account::require(sql, &did)?;
    let is_fresh = env.now_us < after(opened_us, BROWSER_FRESH_SECONDS);
    Ok(Some(BrowserSession { id, account, is_fresh }))
}

pub(super) fn close(sql: &dyn Sql, ask: &CloseBrowserSession) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM browser_session WHERE id = ?", &[id(&ask.cookie).as_str().into()])?)
}

/// Whether an account is signed in to with this cookie.
pub(super) fn is_open(sql: &dyn Sql, did: &Did, cookie: &[u8; 32]) -> Result<bool, Error> {
    let statement = "SELECT 1 FROM browser_session WHERE id = ? AND did = ?";
    let id = id(cookie);
    let params = [id.as_str().into(), did.as_str().into()];
    Ok(query_first(sql, statement, &params, |row| row.integer(0))?.is_some())
}

/// Signs out all browsers of an account but one.
pub(super) fn close_all(sql: &dyn Sql, did: &Did, kept: Option<&str>) -> Result<(), Error> {
    let params = [did.as_str().into(), kept.unwrap_or_default().into()];
    Ok(sql.execute("DELETE FROM browser_session WHERE did = ? AND id <> ?", &params)?)
}

/// Signs out all browsers of an account but the one that asks.
pub(super) fn close_others(sql: &dyn Sql, did: &Did, asks: &Proof) -> Result<(), Error> {
    match asks {
        Proof::Browser(cookie) => close_all(sql, did, Some(&id(cookie))),
        _ => close_all(sql, did, None),
    }
}

/// A session's name, from the digest of its cookie.
fn id(cookie: &[u8; 32]) -> String {
    BASE64URL_NOPAD.encode(cookie)
}

fn after(from_us: i64, seconds: i64) -> i64 {
    from_us.saturating_add(seconds.saturating_mul(1_000_000))
}

/// Removes what has expired, and of very many the oldest.
fn make_room(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<(), Error> {
    let did = Value::Text(did.as_str());
    sql.execute("DELETE FROM browser_session WHERE did = ? AND expires_us <= ?", &[did, env.now_us.into()])?;
    sql.execute(
        "DELETE FROM browser_session WHERE did = ? AND id NOT IN
           (SELECT id FROM browser_session WHERE did = ? ORDER BY opened_us DESC LIMIT ?)",
        &[did, did, (BROWSER_SESSIONS_MAX - 1).into()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{
        AppPasswordKind, ChangePassword, CreateAppPassword, SetPassword, SetStatus, StatusChange,
    };
    use super::*;
    use crate::crypto::sha256;
    use crate::seam::Hidden;

    const SECOND_US: i64 = 1_000_000;

    fn open(cell: &mut Cell, did: &Did, proof: Proof, cookie: u8) -> Result<(), Error> {
        cell.ask(OpenBrowserSession {
            did: did.clone(),
            proof,
            client: None,
            device: None,
            cookie: [cookie; 32],
            replaces: None,
        })
    }

    fn signed_in(cell: &mut Cell, cookie: u8) -> Option<BrowserSession> {
        cell.ask(GetBrowserSession { cookie: [cookie; 32] }).unwrap()
    }

    fn owner(cell: &mut Cell) -> Did {
        let did = cell.person("alice.test", "alice@example.com");
        open(cell, &did, Proof::Generation(i64::MAX), 1).unwrap();
        did
    }

    #[test]
    fn a_browser_stays_signed_in_for_a_week_and_counts_as_just_signed_in_for_ten_minutes() {
        let mut cell = Cell::new();
        let did = owner(&mut cell);
        let session = signed_in(&mut cell, 1).unwrap();
        assert!(session.is_fresh && session.account.did == did);
        assert_eq!(signed_in(&mut cell, 2), None);
        cell.now_us += 600 * SECOND_US;
        assert!(!signed_in(&mut cell, 1).unwrap().is_fresh);
        cell.now_us += (7 * 24 * 3_600 - 601) * SECOND_US;
        assert!(signed_in(&mut cell, 1).is_some());
        cell.now_us += SECOND_US;
        assert_eq!(signed_in(&mut cell, 1), None);
    }

    #[test]
    fn signing_in_again_leaves_nothing_of_the_old_value() {
        let mut cell = Cell::new();
        let did = owner(&mut cell);
        let ask = OpenBrowserSession {
            did: did.clone(),
            proof: Proof::Browser([1; 32]),
            client: None,
            device: Some("x".repeat(65)),
            cookie: [2; 32],
            replaces: Some([1; 32]),
        };
        cell.ask(ask.clone()).unwrap();
        assert_eq!(signed_in(&mut cell, 1), None);
        assert!(signed_in(&mut cell, 2).is_some());
        assert_eq!(cell.ask(ask), Err(Error::TokenRevoked), "what it rests on is over");
        cell.ask(CloseBrowserSession { cookie: [2; 32] }).unwrap();
        assert_eq!(signed_in(&mut cell, 2), None);
    }

    #[test]
    fn of_very_many_browsers_the_oldest_is_signed_out() {
        let mut cell = Cell::new();
        let did = owner(&mut cell);
        for cookie in 2..=51 {
            cell.now_us += 1;
            open(&mut cell, &did, Proof::Generation(i64::MAX), cookie).unwrap();
        }
        assert_eq!(signed_in(&mut cell, 1), None);
        assert!((2..=51).all(|cookie| signed_in(&mut cell, cookie).is_some()));
    }

    /// What breaks: an app password, made for one program, changes the account's own.
    #[test]
    fn an_app_password_signs_no_browser_in() {
        let mut cell = Cell::new();
        let did = owner(&mut cell);
        let ask = CreateAppPassword {
            did: did.clone(),
            proof: Proof::Browser([1; 32]),
            name: "phone".to_owned(),
            kind: AppPasswordKind::Vault,
        };
        let made = cell.ask(ask.clone()).unwrap();
        let proof = Proof::AppPassword(sha256(made.password.expose().as_bytes()));
        assert_eq!(open(&mut cell, &did, proof, 2), Err(Error::TokenRevoked));
        cell.ask(CloseBrowserSession { cookie: [1; 32] }).unwrap();
        let late = CreateAppPassword { name: "laptop".to_owned(), ..ask };
        assert_eq!(cell.ask(late).err(), Some(Error::TokenRevoked), "its browser is signed out");
    }

    /// What breaks: whoever has the account's cookie keeps it after the owner changed the password, or the moderators
    /// stepped in.
    #[test]
    fn what_ends_all_credentials_signs_browsers_out() {
        let mut cell = Cell::new();
        let did = owner(&mut cell);
        let old = Hidden::new("old hash".to_owned());
        cell.ask(SetPassword { did: did.clone(), password_hash: old }).unwrap();
        assert_eq!(signed_in(&mut cell, 1), None, "the operator's word");
        let proof = Proof::Password(sha256(b"old hash"));
        open(&mut cell, &did, proof.clone(), 1).unwrap();
        let password_hash = Hidden::new("another hash".to_owned());
        let change = ChangePassword { did: did.clone(), proof, password_hash };
        cell.ask(change.clone()).unwrap();
        assert_eq!(signed_in(&mut cell, 1), None);
        assert_eq!(cell.ask(change), Err(Error::TokenRevoked), "the old password is over");
        open(&mut cell, &did, Proof::Password(sha256(b"another hash")), 2).unwrap();
        let change = StatusChange::TakeDown { reference: None };
        cell.ask(SetStatus { did: did.clone(), change }).unwrap();
        assert_eq!(signed_in(&mut cell, 2), None);
        let refused = open(&mut cell, &did, Proof::Password(sha256(b"another hash")), 3);
        assert_eq!(refused, Err(Error::AccountTakedown));
    }
}
