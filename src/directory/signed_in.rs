//! Where an account is signed in, for its owner to see and to end: apps with a session, browsers, OAuth clients.

use serde::{Deserialize, Serialize};

use super::limits::SESSIONS_SHOWN_MAX;
use super::{Error, browser, credentials, oauth, session};
use crate::actor::Scope;
use crate::env::Env;
use crate::store::{Sql, query_all};
use crate::syntax::Did;

/// Asks where an account is signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListSignedIn {
    /// Which.
    pub did: Did,
}

/// The answer to [`ListSignedIn`], each list with what was begun last first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// Apps that signed in with a password. Of very many, those that were used last.
    pub apps: Vec<SignedInApp>,
    /// Browsers at the account's own pages.
    pub browsers: Vec<SignedInBrowser>,
    /// What was allowed by OAuth.
    pub clients: Vec<ConnectedClient>,
}

/// A session of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedInApp {
    /// Which.
    pub id: String,
    /// What it opens.
    pub scope: Scope,
    /// The app password that opened it, by its name.
    pub app_password: Option<String>,
    /// When it was opened, if that was kept.
    pub opened_us: Option<i64>,
    /// When it last had new tokens.
    pub used_us: Option<i64>,
    /// From where it was opened, if that is known.
    pub client: Option<String>,
}

/// A session of a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedInBrowser {
    /// Which.
    pub id: String,
    /// What it said it is.
    pub device: Option<String>,
    /// When it signed in.
    pub opened_us: i64,
    /// From where, if that is known.
    pub client: Option<String>,
}

/// What an OAuth client was allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedClient {
    /// Which session.
    pub id: String,
    /// The client, by the URL of its document.
    pub client_id: String,
    /// What it called itself.
    pub name: Option<String>,
    /// What it was granted.
    pub scope: String,
    /// When.
    pub created_us: i64,
    /// When it last had new tokens.
    pub refreshed_us: i64,
}

/// Ends what an owner does not want any more, at once. Nothing happens to what is another account's, or is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndSignedIn {
    /// Whose.
    pub did: Did,
    /// What.
    pub which: Which,
}

/// What is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// An app's session.
    App(String),
    /// A browser's.
    Browser(String),
    /// An OAuth client's.
    Client(String),
    /// The sessions of all apps and browsers but this browser's, and what OAuth clients are waiting for. What those were
    /// allowed stays.
    AllBut(String),
}

pub(super) fn list(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<SignedIn, Error> {
    let params = [did.as_str().into(), env.now_us.into(), SESSIONS_SHOWN_MAX.into()];
    let browsers = query_all(
        sql,
        "SELECT id, device, opened_us, client FROM browser_session WHERE did = ? AND expires_us > ?
         ORDER BY opened_us DESC LIMIT ?",
        &params,
        |row| {
            Ok(SignedInBrowser {
                id: row.text(0)?.to_owned(),
                device: row.optional_text(1)?.map(str::to_owned),
                opened_us: row.integer(2)?,
                client: row.optional_text(3)?.map(str::to_owned),
            })
        },
    )?;
    let clients = query_all(
        sql,
        "SELECT id, client_id, client_name, scope, created_us, refreshed_us FROM oauth_session
         WHERE did = ? AND expires_us > ? ORDER BY created_us DESC LIMIT ?",
        &params,
        |row| {
            Ok(ConnectedClient {
                id: row.text(0)?.to_owned(),
                client_id: row.text(1)?.to_owned(),
                name: row.optional_text(2)?.map(str::to_owned),
                scope: row.text(3)?.to_owned(),
                created_us: row.integer(4)?,
                refreshed_us: row.integer(5)?,
            })
        },
    )?;
    Ok(SignedIn { apps: session::list(sql, env, did)?, browsers, clients })
}

pub(super) fn end(sql: &dyn Sql, ask: &EndSignedIn) -> Result<(), Error> {
    let did = &ask.did;
    match &ask.which {
        Which::App(id) => {
            if session::is_of(sql, did, id)? {
                session::close(sql, id)?;
                credentials::count_end(sql, did)?;
            }
        }
        Which::Browser(id) => {
            let params = [id.as_str().into(), did.as_str().into()];
            sql.execute("DELETE FROM browser_session WHERE id = ? AND did = ?", &params)?;
        }
        Which::Client(id) => oauth::close_own(sql, did, id)?,
        Which::AllBut(kept) => {
            session::close_of_apps(sql, did)?;
            oauth::forget_asked(sql, did)?;
            browser::close_all(sql, did, Some(kept))?;
            credentials::count_end(sql, did)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{OpenBrowserSession, OpenSession, Proof, RotateSession};
    use super::*;

    fn open(cell: &mut Cell, did: &Did, client: &str) -> String {
        let (proof, client) = (Proof::Generation(i64::MAX), Some(client.to_owned()));
        cell.ask(OpenSession { did: did.clone(), proof, client, device: None, allow_takendown: false })
            .unwrap()
            .id
    }

    fn browse(cell: &mut Cell, did: &Did, cookie: u8) {
        let device = Some("Firefox on Linux".to_owned());
        let (proof, cookie) = (Proof::Generation(i64::MAX), [cookie; 32]);
        let did = did.clone();
        cell.ask(OpenBrowserSession { did, proof, client: None, device, cookie, replaces: None }).unwrap();
    }

    fn listed(cell: &mut Cell, did: &Did) -> SignedIn {
        cell.ask(ListSignedIn { did: did.clone() }).unwrap()
    }

    #[test]
    fn a_session_is_one_however_often_it_was_renewed_and_says_where_it_began() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let first = open(&mut cell, &did, "192.0.2.1");
        let opened_us = cell.now_us;
        cell.now_us += 1_000_000;
        cell.ask(RotateSession { id: first.clone() }).unwrap();
        cell.ask(RotateSession { id: first }).unwrap();
        let [app] = &listed(&mut cell, &did).apps[..] else { panic!("one session") };
        assert_eq!((app.opened_us, app.used_us), (Some(opened_us), Some(opened_us + 1_000_000)));
        assert_eq!((app.client.as_deref(), app.scope), (Some("192.0.2.1"), Scope::Access));
    }

    #[test]
    fn an_owner_ends_one_or_all_others_and_nobody_elses() {
        let mut cell = Cell::new();
        let alice = cell.person("alice.test", "alice@example.com");
        let bob = cell.person("bob.test", "bob@example.com");
        let ids = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|client| open(&mut cell, &alice, client));
        let bobs = open(&mut cell, &bob, "192.0.2.9");
        for cookie in 1..=3 {
            browse(&mut cell, &alice, cookie);
        }
        browse(&mut cell, &bob, 9);
        let bobs_browser = listed(&mut cell, &bob).browsers[0].id.clone();
        let mut end = |which| cell.ask(EndSignedIn { did: alice.clone(), which }).unwrap();
        for which in
            [Which::App(bobs.clone()), Which::Browser(bobs_browser.clone()), Which::App(ids[0].clone())]
        {
            end(which);
        }
        let rotated = cell.ask(RotateSession { id: ids[0].clone() });
        assert_eq!(rotated, Err(Error::TokenRevoked));
        let left = listed(&mut cell, &alice);
        assert_eq!((left.apps.len(), left.browsers.len()), (2, 3));
        let mut end = |which| cell.ask(EndSignedIn { did: alice.clone(), which }).unwrap();
        end(Which::Browser(left.browsers[0].id.clone()));
        end(Which::AllBut(left.browsers[1].id.clone()));
        let kept = listed(&mut cell, &alice);
        assert!(kept.apps.is_empty(), "{kept:?}");
        assert_eq!(kept.browsers, [left.browsers[1].clone()]);
        let others = listed(&mut cell, &bob);
        assert_eq!((&*others.apps[0].id, &*others.browsers[0].id), (&*bobs, &*bobs_browser));
    }
}
