//! App passwords: what an owner gives to a program instead of the account's password.
//!
//! The service makes them (80 random bits), so a plain digest is as good as a slow hash: there is nothing to guess.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::Error;
use super::proof::Proof;
use crate::crypto::sha256;
use crate::directory::limits::{APP_PASSWORD_NAME_BYTES_MAX, APP_PASSWORDS_MAX};
use crate::env::Env;
use crate::seam::Hidden;
use crate::store::{Row, Sql, SqlError, Value, query_all, query_first};
use crate::syntax::Did;

/// What an app password opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppPasswordKind {
    /// Public records.
    Plain,
    /// Direct messages of other services, and creating accounts elsewhere, as well.
    Privileged,
    /// The agent's memories as well.
    Vault,
}

impl AppPasswordKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Privileged => "privileged",
            Self::Vault => "vault",
        }
    }

    fn read(row: &dyn Row, column: usize) -> Result<Self, SqlError> {
        let text = row.text(column)?;
        [Self::Plain, Self::Privileged, Self::Vault]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(SqlError::Column { column, expected: "a kind of app password".into() })
    }
}

/// An app password, without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPassword {
    /// The owner's name for it, unique in the account.
    pub name: String,
    /// What it opens.
    pub kind: AppPasswordKind,
    /// When it was made.
    pub created_us: i64,
}

/// Makes an app password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateAppPassword {
    /// Whose.
    pub did: Did,
    /// Who asks: the password outlives what it is made with.
    pub proof: Proof,
    /// Its name.
    pub name: String,
    /// What it opens.
    pub kind: AppPasswordKind,
}

/// An app password, this once with the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedAppPassword {
    /// What is kept of it.
    pub app_password: AppPassword,
    /// `xxxx-xxxx-xxxx-xxxx`.
    pub password: Hidden<String>,
}

/// Asks for an account's app passwords.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListAppPasswords {
    /// Whose.
    pub did: Did,
}

/// Removes an app password and ends the sessions it opened. Nothing happens when there is none of that name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokeAppPassword {
    /// Whose.
    pub did: Did,
    /// Its name.
    pub name: String,
}

pub(super) fn create(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &CreateAppPassword,
) -> Result<CreatedAppPassword, Error> {
    if ask.name.is_empty() || ask.name.len() > APP_PASSWORD_NAME_BYTES_MAX {
        return Err(Error::OverLimit("the app password's name".into()));
    }
    let all = list(sql, &ask.did)?;
    if all.iter().any(|made| made.name == ask.name) {
        return Err(Error::DuplicateAppPassword);
    }
    if all.len() >= APP_PASSWORDS_MAX {
        return Err(Error::OverLimit("the number of app passwords".into()));
    }
    let letters = BASE32_NOPAD.encode(&env.random::<10>()).to_ascii_lowercase();
    let password = grouped(&letters, 4);
    sql.execute(
        "INSERT INTO app_password (did, name, digest, kind, created_us) VALUES (?, ?, ?, ?, ?)",
        &[
            ask.did.as_str().into(),
            ask.name.as_str().into(),
            Value::Blob(&sha256(password.as_bytes())),
            ask.kind.as_str().into(),
            env.now_us.into(),
        ],
    )?;
    Ok(CreatedAppPassword {
        app_password: AppPassword { name: ask.name.clone(), kind: ask.kind, created_us: env.now_us },
        password: Hidden::new(password),
    })
}

pub(super) fn list(sql: &dyn Sql, did: &Did) -> Result<Vec<AppPassword>, Error> {
    Ok(query_all(
        sql,
        "SELECT name, kind, created_us FROM app_password WHERE did = ? ORDER BY created_us, name",
        &[did.as_str().into()],
        read,
    )?)
}

/// Removes one; says whether there was one.
pub(super) fn remove(sql: &dyn Sql, did: &Did, name: &str) -> Result<bool, Error> {
    let named = [did.as_str().into(), name.into()];
    Ok(sql.execute_counted("DELETE FROM app_password WHERE did = ? AND name = ?", &named)? > 0)
}

pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM app_password WHERE did = ?", &[did.as_str().into()])?)
}

/// The account's app password with this digest.
pub(super) fn find(sql: &dyn Sql, did: &Did, digest: &[u8; 32]) -> Result<Option<AppPassword>, Error> {
    Ok(query_first(
        sql,
        "SELECT name, kind, created_us FROM app_password WHERE did = ? AND digest = ?",
        &[did.as_str().into(), Value::Blob(digest)],
        read,
    )?)
}

/// Text in groups with hyphens between them, for people to read.
pub(super) fn grouped(text: &str, group: usize) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && index % group == 0 {
            out.push('-');
        }
        out.push(letter);
    }
    out
}

fn read(row: &dyn Row) -> Result<AppPassword, SqlError> {
    Ok(AppPassword {
        name: row.text(0)?.to_owned(),
        kind: AppPasswordKind::read(row, 1)?,
        created_us: row.integer(2)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{GetCredentials, OpenSession, RotateSession, Who};
    use super::*;
    use crate::actor::Scope;

    fn create(cell: &mut Cell, did: &Did, name: &str, kind: AppPasswordKind) -> CreatedAppPassword {
        let proof = Proof::Generation(i64::MAX);
        cell.ask(CreateAppPassword { did: did.clone(), proof, name: name.to_owned(), kind }).unwrap()
    }

    #[test]
    fn each_kind_opens_its_scope_and_only_at_its_account() {
        let mut cell = Cell::new();
        let alice = cell.person("alice.test", "alice@example.com");
        let bob = cell.person("bob.test", "bob@example.com");
        for (kind, scope) in [
            (AppPasswordKind::Plain, Scope::AppPass),
            (AppPasswordKind::Privileged, Scope::AppPassPrivileged),
            (AppPasswordKind::Vault, Scope::AppPassVault),
        ] {
            let made = create(&mut cell, &alice, scope.as_str(), kind);
            let password = made.password.expose();
            assert_eq!(password.len(), 19, "four groups of four");
            let digest = sha256(password.as_bytes());
            let own = cell
                .ask(GetCredentials { who: Who::Did(alice.clone()), digest, client: None })
                .unwrap()
                .unwrap();
            assert_eq!(own.app_password, Some(made.app_password.clone()));
            let other = cell
                .ask(GetCredentials { who: Who::Did(bob.clone()), digest, client: None })
                .unwrap()
                .unwrap();
            assert_eq!(other.app_password, None);
            let ask = OpenSession {
                did: alice.clone(),
                proof: Proof::AppPassword(digest),
                client: None,
                device: None,
                allow_takendown: false,
            };
            assert_eq!(cell.ask(ask).unwrap().scope, scope);
        }
        assert_eq!(cell.ask(ListAppPasswords { did: alice }).unwrap().len(), 3);
    }

    #[test]
    fn revoking_ends_the_sessions_it_opened_and_no_others() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let made = create(&mut cell, &did, "phone", AppPasswordKind::Plain);
        let proof = Proof::AppPassword(sha256(made.password.expose().as_bytes()));
        let mut open = |proof| {
            cell.ask(OpenSession {
                did: did.clone(),
                proof,
                client: None,
                device: None,
                allow_takendown: false,
            })
            .unwrap()
            .id
        };
        let (own, phone) = (open(Proof::Generation(i64::MAX)), open(proof.clone()));
        let phone = cell.ask(RotateSession { id: phone }).unwrap().id;
        cell.ask(RevokeAppPassword { did: did.clone(), name: "phone".to_owned() }).unwrap();
        assert_eq!(cell.ask(RotateSession { id: phone }), Err(Error::TokenRevoked));
        assert!(cell.ask(RotateSession { id: own }).is_ok());
        assert_eq!(
            cell.ask(OpenSession { did, proof, client: None, device: None, allow_takendown: false }),
            Err(Error::TokenRevoked)
        );
    }

    #[test]
    fn names_are_unique_and_bounded() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        create(&mut cell, &did, "phone", AppPasswordKind::Plain);
        let ask = |name: &str| CreateAppPassword {
            did: did.clone(),
            proof: Proof::Generation(i64::MAX),
            name: name.to_owned(),
            kind: AppPasswordKind::Plain,
        };
        assert_eq!(cell.ask(ask("phone")).err(), Some(Error::DuplicateAppPassword));
        assert!(matches!(cell.ask(ask("")), Err(Error::OverLimit(_))));
        assert!(matches!(cell.ask(ask(&"x".repeat(1000))), Err(Error::OverLimit(_))));
    }
}
