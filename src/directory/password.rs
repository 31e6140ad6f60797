//! An account's password: set anew by its owner, with a mailed code, or by the operator.

use serde::{Deserialize, Serialize};

use super::account;
use super::proof::Proof;
use super::{Error, credentials, mail, mail_code, session};
use crate::env::Env;
use crate::mail::{Letter, MailPurpose};
use crate::seam::Hidden;
use crate::store::Sql;
use crate::syntax::Did;

/// Sets another password, with a code that was mailed to the owner; answers whose it is. All sessions end; app passwords
/// stay.
#[derive(Clone, Serialize, Deserialize)]
pub struct ResetPassword {
    /// The code, which says whose.
    pub code: Hidden<String>,
    /// Argon2id string of the new password.
    pub password_hash: Hidden<String>,
}

/// Sets another password, by the operator. All sessions end; app passwords stay.
#[derive(Clone, Serialize, Deserialize)]
pub struct SetPassword {
    /// Whose.
    pub did: Did,
    /// Argon2id string of the new password.
    pub password_hash: Hidden<String>,
}

/// Sets another password, by its owner who has just shown the old one. All sessions end; app passwords stay.
#[derive(Clone, Serialize, Deserialize)]
pub struct ChangePassword {
    /// Whose.
    pub did: Did,
    /// What the owner showed.
    pub proof: Proof,
    /// Argon2id string of the new password.
    pub password_hash: Hidden<String>,
}

pub(super) fn change(sql: &dyn Sql, env: &mut Env<'_>, ask: &ChangePassword) -> Result<(), Error> {
    credentials::prove(sql, &ask.did, &ask.proof)?;
    set(sql, env, &SetPassword { did: ask.did.clone(), password_hash: ask.password_hash.clone() })
}

pub(super) fn reset(sql: &dyn Sql, env: &mut Env<'_>, ask: &ResetPassword) -> Result<Did, Error> {
    let did = mail_code::find(sql, env, MailPurpose::ResetPassword, ask.code.expose())?;
    mail_code::take(sql, env, &did, MailPurpose::ResetPassword, ask.code.expose())?;
    set(sql, env, &SetPassword { did: did.clone(), password_hash: ask.password_hash.clone() })?;
    Ok(did)
}

pub(super) fn set(sql: &dyn Sql, env: &mut Env<'_>, ask: &SetPassword) -> Result<(), Error> {
    let account = account::require(sql, &ask.did)?;
    sql.execute(
        "UPDATE account SET password_hash = ? WHERE did = ?",
        &[ask.password_hash.expose().as_str().into(), ask.did.as_str().into()],
    )?;
    session::close_all(sql, &ask.did)?;
    credentials::count_end(sql, &ask.did)?;
    mail::tell(sql, env, &account, |handle| Letter::PasswordChanged { handle })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cell, HOUR_US};
    use super::super::{GetCredentials, OpenSession, Proof, RotateSession, SendCode, Who};
    use super::*;

    fn reset(cell: &mut Cell, code: &str) -> Result<Did, Error> {
        let password_hash = Hidden::new("another hash".to_owned());
        cell.ask(ResetPassword { code: Hidden::new(code.to_owned()), password_hash })
    }

    #[test]
    fn a_code_sets_a_password_once_and_ends_all_sessions() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.person("bob.test", "bob@example.com");
        let open = OpenSession {
            did: did.clone(),
            proof: Proof::Generation(i64::MAX),
            client: None,
            device: None,
            allow_takendown: false,
        };
        let session = cell.ask(open).unwrap();
        let ask =
            |email: &str| SendCode { who: Who::Email(email.to_owned()), purpose: MailPurpose::ResetPassword };
        assert_eq!(cell.ask(ask("nobody@example.com")), Err(Error::NoEmail));
        cell.ask(ask("ALICE@example.com")).unwrap();
        let code = cell.mailed_code(MailPurpose::ResetPassword);
        assert_eq!(reset(&mut cell, "AAAAA-BBBBB"), Err(Error::InvalidMailCode));
        cell.now_us += HOUR_US / 4;
        assert_eq!(reset(&mut cell, &code), Err(Error::MailCodeExpired));
        cell.ask(ask("alice@example.com")).unwrap();
        let code = cell.mailed_code(MailPurpose::ResetPassword);
        assert_eq!(reset(&mut cell, &code), Ok(did.clone()));
        assert_eq!(reset(&mut cell, &code), Err(Error::InvalidMailCode));
        assert_eq!(cell.ask(RotateSession { id: session.id }), Err(Error::TokenRevoked));
        let credentials =
            cell.ask(GetCredentials { who: Who::Did(did), digest: [0; 32], client: None }).unwrap().unwrap();
        assert_eq!(credentials.password_hash.unwrap().expose(), "another hash");
        assert!(credentials.account.generation > session.account.generation);
    }
}
