use super::super::testing::{Cell, HOUR_US, signup};
use super::super::{CompleteAccount, DeleteAccount, FindMailCode};
use super::*;
use crate::seam::Hidden;

const PURPOSE: MailPurpose = MailPurpose::ConfirmEmail;

fn ask(cell: &mut Cell, did: &Did) -> Result<bool, Error> {
    cell.ask(SendCode { who: Who::Did(did.clone()), purpose: PURPOSE })
}

fn due(cell: &mut Cell) -> DueMail {
    cell.ask(ListDueMail {}).unwrap()
}

fn settle(cell: &mut Cell, id: i64, outcome: MailOutcome) {
    cell.ask(SettleMail { id, outcome }).unwrap();
}

fn is_good(cell: &mut Cell, code: &str) -> Result<Did, Error> {
    cell.ask(FindMailCode { purpose: PURPOSE, code: Hidden::new(code.to_owned()) })
}

#[test]
fn a_mail_that_could_not_go_is_tried_ever_less_often_for_a_day() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    ask(&mut cell, &did).unwrap();
    let began_us = cell.now_us;
    let (mut tries, mut last_us, mut pause_us) = (0, cell.now_us, 0);
    loop {
        let due = due(&mut cell);
        let Some(mail) = due.mails.first() else { break };
        assert_eq!(mail.attempts, tries);
        tries += 1;
        settle(&mut cell, mail.id, MailOutcome::Later);
        let Some(next_us) = cell.ask(ListDueMail {}).unwrap().next_us else { break };
        let pause = next_us - last_us;
        assert!(pause >= pause_us.min(MAIL_RETRY_SECONDS_MAX * SECOND_US), "{pause} after {pause_us}");
        assert!((10 * SECOND_US..=2_250 * SECOND_US).contains(&pause), "{pause}");
        (pause_us, last_us, cell.now_us) = (pause - pause / 4, next_us, next_us);
    }
    assert!((30..100).contains(&tries), "{tries}");
    assert!(cell.now_us - began_us <= DAY_US);
    assert!(cell.now_us - began_us > DAY_US - HOUR_US);
}

/// What breaks: who asked while the mail server was down gets a code that was over before it came.
#[test]
fn the_time_of_a_code_begins_when_its_mail_went() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    ask(&mut cell, &did).unwrap();
    let code = cell.mailed_code(PURPOSE);
    let id = due(&mut cell).mails[0].id;
    cell.now_us += HOUR_US;
    assert_eq!(is_good(&mut cell, &code), Err(Error::MailCodeExpired));
    settle(&mut cell, id, MailOutcome::Delivered);
    assert_eq!(is_good(&mut cell, &code), Ok(did));
    // Said once more, it begins no more.
    cell.now_us += HOUR_US;
    settle(&mut cell, id, MailOutcome::Delivered);
    assert_eq!(is_good(&mut cell, &code), Err(Error::MailCodeExpired));
    assert_eq!(due(&mut cell).mails.len(), 0);
}

#[test]
fn a_new_code_takes_the_place_of_an_earlier_mail_that_still_waits() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    ask(&mut cell, &did).unwrap();
    let first = cell.mailed_code(PURPOSE);
    ask(&mut cell, &did).unwrap();
    assert_eq!(due(&mut cell).mails.len(), 1);
    let second = cell.mailed_code(PURPOSE);
    assert_ne!(first, second);
    assert_eq!(is_good(&mut cell, &first), Err(Error::InvalidMailCode));
    assert_eq!(is_good(&mut cell, &second), Ok(did));
}

/// What breaks: whoever can ask fills somebody's mailbox.
#[test]
fn an_account_is_sent_few_mails_of_a_kind() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    for hour in 0..3 {
        for _ in 0..MAILS_AN_HOUR_MAX {
            ask(&mut cell, &did).unwrap();
        }
        assert_eq!(ask(&mut cell, &did), Err(Error::TooManyMails), "in hour {hour}");
        cell.now_us += HOUR_US;
    }
    assert_eq!(ask(&mut cell, &did), Err(Error::TooManyMails), "on this day");
    let other = SendCode { who: Who::Did(did.clone()), purpose: MailPurpose::DeleteAccount };
    cell.ask(other).unwrap();
    cell.now_us += DAY_US;
    ask(&mut cell, &did).unwrap();
}

#[test]
fn mails_are_given_out_some_at_a_time_the_longest_due_first() {
    let mut cell = Cell::new();
    let mut dids = Vec::new();
    for number in 0..MAILS_AT_ONCE + 2 {
        let did = cell.person(&format!("person-{number}.test"), &format!("p{number}@example.com"));
        ask(&mut cell, &did).unwrap();
        cell.now_us += 1;
        dids.push(did);
    }
    let first = due(&mut cell);
    assert_eq!(first.mails.len(), MAILS_AT_ONCE);
    assert!(first.next_us.is_some_and(|next_us| next_us <= cell.now_us), "there are more");
    for mail in first.mails {
        settle(&mut cell, mail.id, MailOutcome::Delivered);
    }
    let rest = due(&mut cell);
    assert_eq!((rest.mails.len(), rest.next_us), (2, None));
    let to: Vec<_> = rest.mails.iter().map(|mail| mail.addressed.as_ref().unwrap().to.as_str()).collect();
    assert_eq!(to, ["p4@example.com", "p5@example.com"]);
    assert_eq!(next_mail_us(&cell.disk).unwrap().map(|us| us < cell.now_us), Some(true));
}

#[test]
fn what_a_mail_says_rests_sealed_and_goes_with_its_account() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    ask(&mut cell, &did).unwrap();
    let code = cell.mailed_code(PURPOSE);
    let sealed = "SELECT sealed FROM mail";
    let sealed = query_first(&cell.disk, sealed, &[], |row| Ok(row.blob(0)?.to_vec())).unwrap().unwrap();
    assert!(memchr::memmem::find(&sealed, code.as_bytes()).is_none());
    // A damaged one holds up no other.
    let bob = cell.person("bob.test", "bob@example.com");
    cell.disk.execute("UPDATE mail SET sealed = zeroblob(60)", &[]).unwrap();
    ask(&mut cell, &bob).unwrap();
    let due = due(&mut cell);
    let opens: Vec<_> = due.mails.iter().map(|mail| mail.addressed.is_some()).collect();
    assert_eq!(opens, [false, true]);
    settle(&mut cell, due.mails[0].id, MailOutcome::Refused);
    cell.ask(DeleteAccount { did: bob, code: None }).unwrap();
    assert_eq!(cell.ask(ListDueMail {}).unwrap().mails.len(), 0);
}

#[test]
fn nobody_is_told_that_a_mail_went_where_none_can_go() {
    let mut cell = Cell::new();
    let ask_agent = signup("agent.test", None);
    let agent = cell.ask(ask_agent).unwrap().did;
    cell.ask(CompleteAccount { did: agent.clone() }).unwrap();
    assert_eq!(ask(&mut cell, &agent), Err(Error::NoEmail));
    let letter = |did: &Did, subject: &str| SendLetter {
        did: did.clone(),
        subject: subject.to_owned(),
        content: "Hello".to_owned(),
    };
    assert_eq!(cell.ask(letter(&agent, "Hello")), Err(Error::NoEmail));
    let did = cell.person("alice.test", "alice@example.com");
    assert_eq!(cell.ask(letter(&did, "a\r\nBcc: eve@example.com")), Err(Error::InvalidSubject));
    cell.ask(letter(&did, "Hello")).unwrap();
    cell.network.sends_mail = false;
    assert_eq!(ask(&mut cell, &did), Err(Error::NoMail));
    assert_eq!(cell.ask(letter(&did, "Hello")), Err(Error::NoMail));
}

/// What breaks: a thousand notices wait for a mail server that is slow, and nobody gets a code.
#[test]
fn whatever_waits_there_is_room_for_codes() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let (subject, content) = ("News".to_owned(), "All is well.".to_owned());
    let letter = SendLetter { did: did.clone(), subject, content };
    let mut waiting = 0;
    while cell.ask(letter.clone()).is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, MAILS_WAITING_MAX - CODE_MAILS_WAITING_MAX);
    assert_eq!(cell.ask(letter), Err(Error::MailQueueFull));
    assert_eq!(ask(&mut cell, &did), Ok(true));
}
