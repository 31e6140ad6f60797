//! An account's e-mail address: confirmed, changed.

use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::{Error, mail, mail_code};
use crate::env::Env;
use crate::mail::{Letter, MailPurpose, address};
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Shows that mail arrives at an account's address.
#[derive(Clone, Serialize, Deserialize)]
pub struct ConfirmEmail {
    /// Whose.
    pub did: Did,
    /// The address that is meant, in any case.
    pub email: String,
    /// The code that was mailed there.
    pub code: Hidden<String>,
}

/// Gives an account another address, of which nothing is shown yet. Codes that went to the old one end.
#[derive(Clone, Serialize, Deserialize)]
pub struct UpdateEmail {
    /// Whose.
    pub did: Did,
    /// The new address, in any case.
    pub email: String,
    /// Who wants it.
    pub by: EmailChangedBy,
}

/// Who changes an address.
#[derive(Clone, Serialize, Deserialize)]
pub enum EmailChangedBy {
    /// The account's owner, with a code where mail was seen to arrive at the old address.
    Owner(Option<Hidden<String>>),
    /// An application for the owner: with a code from the old address only. Who sets the address sets the password by it,
    /// and so opens all of the account.
    App(Option<Hidden<String>>),
    /// The operator.
    Operator,
}

pub(super) fn confirm(sql: &dyn Sql, env: &Env<'_>, ask: &ConfirmEmail) -> Result<(), Error> {
    let account = account::require(sql, &ask.did)?;
    if account.email != Some(ask.email.to_ascii_lowercase()) {
        return Err(Error::WrongEmail);
    }
    mail_code::take(sql, env, &ask.did, MailPurpose::ConfirmEmail, ask.code.expose())?;
    let statement = "UPDATE account SET email_confirmed_us = ? WHERE did = ?";
    Ok(sql.execute(statement, &[env.now_us.into(), ask.did.as_str().into()])?)
}

pub(super) fn update(sql: &dyn Sql, env: &mut Env<'_>, ask: &UpdateEmail) -> Result<Account, Error> {
    let account = account::require(sql, &ask.did)?;
    let email = address(&ask.email).ok_or(Error::InvalidEmail)?;
    match &ask.by {
        EmailChangedBy::Owner(code) | EmailChangedBy::App(code) if account.email_confirmed => {
            let code = code.as_ref().ok_or(Error::MailCodeRequired)?;
            mail_code::take(sql, env, &ask.did, MailPurpose::UpdateEmail, code.expose())?;
        }
        EmailChangedBy::App(_) => return Err(Error::EmailNotConfirmed),
        EmailChangedBy::Owner(_) | EmailChangedBy::Operator => {}
    }
    let taken = "SELECT 1 FROM account WHERE email = ? AND did <> ?";
    if query_first(sql, taken, &[email.as_str().into(), ask.did.as_str().into()], |_| Ok(()))?.is_some() {
        return Err(Error::EmailNotAvailable);
    }
    sql.execute(
        "UPDATE account SET email = ?, email_confirmed_us = NULL WHERE did = ?",
        &[Value::Text(&email), ask.did.as_str().into()],
    )?;
    mail_code::remove_all(sql, &ask.did)?;
    mail::cancel_codes(sql, &ask.did)?;
    if account.email.as_ref() != Some(&email) {
        mail::tell(sql, env, &account, |handle| Letter::EmailChanged { handle })?;
    }
    Ok(Account { email: Some(email), email_confirmed: false, ..account })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{GetAccount, SendCode, Who};
    use super::*;

    fn update(cell: &mut Cell, did: &Did, email: &str, code: Option<&str>) -> Result<Account, Error> {
        let by = EmailChangedBy::Owner(code.map(|code| Hidden::new(code.to_owned())));
        cell.ask(UpdateEmail { did: did.clone(), email: email.to_owned(), by })
    }

    fn confirm(cell: &mut Cell, did: &Did, email: &str, code: &str) -> Result<(), Error> {
        let (email, code) = (email.to_owned(), Hidden::new(code.to_owned()));
        cell.ask(ConfirmEmail { did: did.clone(), email, code })
    }

    fn code(cell: &mut Cell, did: &Did, purpose: MailPurpose) -> String {
        assert!(cell.ask(SendCode { who: Who::Did(did.clone()), purpose }).unwrap());
        cell.mailed_code(purpose)
    }

    #[test]
    fn an_address_is_confirmed_with_the_code_that_went_there_and_no_other() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let other = code(&mut cell, &did, MailPurpose::DeleteAccount);
        let right = code(&mut cell, &did, MailPurpose::ConfirmEmail);
        let refused = confirm(&mut cell, &did, "bob@example.com", &right);
        assert_eq!(refused, Err(Error::WrongEmail));
        assert_eq!(confirm(&mut cell, &did, "alice@example.com", &other), Err(Error::InvalidMailCode));
        assert_eq!(confirm(&mut cell, &did, "Alice@example.com", &right.to_lowercase()), Ok(()));
        assert_eq!(
            confirm(&mut cell, &did, "alice@example.com", &right),
            Err(Error::InvalidMailCode),
            "used"
        );
        let account = cell.ask(GetAccount { who: Who::Did(did) }).unwrap().unwrap();
        assert!(account.email_confirmed);
    }

    #[test]
    fn a_confirmed_address_is_changed_with_a_code_and_then_nothing_of_it_is_good_any_more() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.person("bob.test", "bob@example.com");
        // Nothing is shown of the address: none is asked for.
        let purpose = MailPurpose::UpdateEmail;
        assert!(!cell.ask(SendCode { who: Who::Did(did.clone()), purpose }).unwrap());
        update(&mut cell, &did, "Alice@example.net", None).unwrap();
        let right = code(&mut cell, &did, MailPurpose::ConfirmEmail);
        confirm(&mut cell, &did, "alice@example.net", &right).unwrap();
        let refused = update(&mut cell, &did, "alice@example.org", None);
        assert_eq!(refused, Err(Error::MailCodeRequired));
        let reset = code(&mut cell, &did, MailPurpose::ResetPassword);
        let right = code(&mut cell, &did, purpose);
        for (email, error) in [
            ("bob@example.com", Error::EmailNotAvailable),
            ("a@b.c\r\nBcc: eve@example.com", Error::InvalidEmail),
        ] {
            assert_eq!(update(&mut cell, &did, email, Some(&right)), Err(error), "{email}");
        }
        let by = EmailChangedBy::App(None);
        let ask = UpdateEmail { did: did.clone(), email: "eve@example.com".to_owned(), by };
        assert_eq!(cell.ask(ask.clone()), Err(Error::MailCodeRequired), "an application has no code either");
        let changed = update(&mut cell, &did, "alice@example.org", Some(&right)).unwrap();
        assert_eq!(cell.ask(ask), Err(Error::EmailNotConfirmed), "and mail was not seen to arrive there");
        assert_eq!((changed.email.as_deref(), changed.email_confirmed), (Some("alice@example.org"), false));
        let code = Hidden::new(reset);
        let found = cell.ask(super::super::FindMailCode { purpose: MailPurpose::ResetPassword, code });
        assert_eq!(found, Err(Error::InvalidMailCode), "it went to the old address");
    }
}
