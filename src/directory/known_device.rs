//! From where an account was signed in to before: a sign-in by its owner's own means from elsewhere is told to its owner by mail.
//!
//! A device is an address together with what program says it is there. Who has the password and only that, is seen here by
//! who owns the account; so what is noted is noted in the transaction that lets in, and the mail waits there as all others
//! do. The first sign-in has nothing to be compared with, and is no news; nor is an app password or an agent's token, which
//! are made to be used from anywhere.

use super::account::Account;
use super::limits::{KNOWN_DEVICES_MAX, SIGN_IN_MAILS_A_DAY_MAX};
use super::{Error, Proof, mail};
use crate::crypto::jwt::HmacKey;
use crate::env::Env;
use crate::mail::Letter;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// The key derived under this label tells devices apart.
const LABEL: &str = "directory/known-device";
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// From where, and what with.
#[derive(Clone, Copy)]
pub(super) struct Device<'a> {
    /// The address, if the host knows it: else nothing is told apart.
    pub(super) client: Option<&'a str>,
    /// What the program says it is.
    pub(super) program: Option<&'a str>,
}

/// Notes that an account was signed in to; tells its owner where that is news.
pub(super) fn note(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    account: &Account,
    proof: &Proof,
    device: Device<'_>,
) -> Result<(), Error> {
    let (Proof::Password(_) | Proof::TwoFactors(_) | Proof::Passkey(_), Some(client)) =
        (proof, device.client)
    else {
        return Ok(());
    };
    let (did, now_us) = (Value::Text(account.did.as_str()), Value::Integer(env.now_us));
    let mark = mark(env, &account.did, client, device.program.unwrap_or_default());
    let seen = "UPDATE known_device SET seen_us = ? WHERE did = ? AND device = ?";
    if sql.execute_counted(seen, &[now_us, did, Value::Blob(&mark)])? > 0 {
        return Ok(());
    }
    let counts = "SELECT count(*), coalesce(sum(told_us > ?), 0) FROM known_device WHERE did = ?";
    let counts = query_first(sql, counts, &[env.now_us.saturating_sub(DAY_US).into(), did], |row| {
        Ok((row.integer(0)?, row.integer(1)?))
    })?;
    let (known, told) = counts.unwrap_or_default();
    let is_told = known > 0 && told < SIGN_IN_MAILS_A_DAY_MAX;
    // Of very many, the one that was not used for longest is news again.
    sql.execute(
        "DELETE FROM known_device WHERE did = ? AND device NOT IN
           (SELECT device FROM known_device WHERE did = ? ORDER BY seen_us DESC, device LIMIT ?)",
        &[did, did, (KNOWN_DEVICES_MAX - 1).into()],
    )?;
    sql.execute(
        "INSERT INTO known_device (did, device, seen_us, told_us) VALUES (?, ?, ?, ?)",
        &[did, Value::Blob(&mark), now_us, Value::optional_integer(is_told.then_some(env.now_us))],
    )?;
    if !is_told {
        return Ok(());
    }
    let (client, program) = (client.to_owned(), device.program.map(str::to_owned));
    let at_us = env.now_us;
    mail::tell(sql, env, account, |handle| Letter::SignedIn { handle, at_us, client, program })
}

/// Forgets all of an account that ends.
pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM known_device WHERE did = ?", &[did.as_str().into()])?)
}

/// What tells a device from others to whoever has the key, and to nobody else.
fn mark(env: &Env<'_>, did: &Did, client: &str, program: &str) -> [u8; 32] {
    let key = HmacKey::from_bytes(*env.network.master_key.derive(LABEL));
    // None of the parts has a line break in it, so that no two devices come to the same text.
    key.tag(format!("{did}\n{client}\n{program}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{
        DeleteAccount, ListDueMail, MailOutcome, OpenBrowserSession, OpenSession, SetPassword, SettleMail,
    };
    use super::*;
    use crate::crypto::sha256;
    use crate::seam::Hidden;
    use crate::store::query_all;

    const FIREFOX: Option<&str> = Some("Firefox on Linux");

    fn proof() -> Proof {
        Proof::Password(sha256(b"hash"))
    }

    fn alice(cell: &mut Cell) -> Did {
        let did = cell.person("alice.test", "alice@example.com");
        let password_hash = Hidden::new("hash".to_owned());
        cell.ask(SetPassword { did: did.clone(), password_hash }).unwrap();
        news(cell);
        did
    }

    fn open(cell: &mut Cell, did: &Did, proof: Proof, client: &str, device: Option<&str>) {
        let (client, device) = (Some(client.to_owned()), device.map(str::to_owned));
        cell.ask(OpenSession { did: did.clone(), proof, client, device, allow_takendown: false }).unwrap();
    }

    fn sign_in(cell: &mut Cell, did: &Did, client: &str) {
        open(cell, did, proof(), client, FIREFOX);
    }

    /// From where the mails that wait say that somebody signed in; they are sent.
    fn news(cell: &mut Cell) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let mails = cell.ask(ListDueMail {}).unwrap().mails;
            if mails.is_empty() {
                return told;
            }
            for mail in mails {
                if let Letter::SignedIn { client, .. } = mail.addressed.unwrap().letter {
                    told.push(client);
                }
                cell.ask(SettleMail { id: mail.id, outcome: MailOutcome::Delivered }).unwrap();
            }
        }
    }

    #[test]
    fn a_sign_in_from_a_new_device_is_told_once_and_the_first_is_no_news() {
        let mut cell = Cell::new();
        let did = alice(&mut cell);
        sign_in(&mut cell, &did, "192.0.2.1");
        assert!(news(&mut cell).is_empty());
        for _ in 0..3 {
            cell.now_us += DAY_US;
            sign_in(&mut cell, &did, "192.0.2.1");
        }
        assert!(news(&mut cell).is_empty());
        sign_in(&mut cell, &did, "192.0.2.2");
        sign_in(&mut cell, &did, "192.0.2.2");
        assert_eq!(news(&mut cell), ["192.0.2.2"]);
        open(&mut cell, &did, proof(), "192.0.2.1", Some("curl"));
        assert_eq!(news(&mut cell), ["192.0.2.1"], "another program");
        cell.restart().unwrap();
        let browser = OpenBrowserSession {
            did: did.clone(),
            proof: proof(),
            client: Some("192.0.2.1".to_owned()),
            device: FIREFOX.map(str::to_owned),
            cookie: [1; 32],
            replaces: None,
        };
        cell.ask(browser.clone()).unwrap();
        assert!(news(&mut cell).is_empty(), "an app and a browser of one kind are one device");
        cell.ask(OpenBrowserSession { client: Some("192.0.2.3".to_owned()), cookie: [2; 32], ..browser })
            .unwrap();
        assert_eq!(news(&mut cell), ["192.0.2.3"]);
    }

    #[test]
    fn what_is_made_to_be_used_anywhere_is_no_news_and_without_mail_nothing_waits() {
        let mut cell = Cell::new();
        let did = alice(&mut cell);
        sign_in(&mut cell, &did, "192.0.2.1");
        open(&mut cell, &did, Proof::Generation(i64::MAX), "192.0.2.2", None);
        cell.ask(OpenSession {
            did: did.clone(),
            proof: proof(),
            client: None,
            device: None,
            allow_takendown: false,
        })
        .unwrap();
        assert!(news(&mut cell).is_empty());
        cell.network.sends_mail = false;
        sign_in(&mut cell, &did, "192.0.2.3");
        cell.network.sends_mail = true;
        assert!(news(&mut cell).is_empty());
        let agent = cell.agent("agent.test");
        open(&mut cell, &agent, Proof::Generation(i64::MAX), "192.0.2.1", None);
        assert!(news(&mut cell).is_empty());
    }

    /// What breaks: whoever has a password fills its owner's mailbox, or the database.
    #[test]
    fn an_owner_is_told_of_few_a_day_and_few_are_kept_unreadable_for_as_long_as_the_account_is() {
        let mut cell = Cell::new();
        let did = alice(&mut cell);
        for number in 0..=SIGN_IN_MAILS_A_DAY_MAX + 5 {
            sign_in(&mut cell, &did, &format!("192.0.2.{number}"));
        }
        assert_eq!(i64::try_from(news(&mut cell).len()), Ok(SIGN_IN_MAILS_A_DAY_MAX));
        cell.now_us += DAY_US + 1;
        for number in 0..KNOWN_DEVICES_MAX {
            cell.now_us += 1;
            sign_in(&mut cell, &did, &format!("198.51.100.{number}"));
        }
        assert_eq!(i64::try_from(news(&mut cell).len()), Ok(SIGN_IN_MAILS_A_DAY_MAX));
        let rows = |cell: &Cell| {
            query_all(&cell.disk, "SELECT device FROM known_device", &[], |row| Ok(row.blob(0)?.to_vec()))
                .unwrap()
        };
        let kept = rows(&cell);
        assert_eq!(i64::try_from(kept.len()), Ok(KNOWN_DEVICES_MAX));
        let plain = sha256(format!("{did}\n198.51.100.1\nFirefox on Linux").as_bytes());
        assert!(kept.iter().all(|device| device.len() == 32 && device[..] != plain));
        cell.ask(DeleteAccount { did, code: None }).unwrap();
        assert!(rows(&cell).is_empty());
    }
}
