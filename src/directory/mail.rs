//! Mail on its way: asked for here, sent by the host, and tried again until it is gone.
//!
//! A mail is a row, written in the transaction that wants it sent, so that none is lost and none is sent for what did not
//! happen. The host asks which are due ([`ListDueMail`]), sends them, and says what became of each ([`SettleMail`]); when it
//! is tried again, and when no more, is decided here. A crash between sending and saying sends a mail twice, under the same
//! id.
//!
//! A code's time begins anew when its mail has gone: a mail server that was down for an hour costs nobody their code. A new
//! code takes the place of an earlier one for the same purpose, also of its mail that still waits.

use serde::{Deserialize, Serialize};

use super::account::{self, Account, Who, read_did};
use super::{Error, mail_code};
use crate::directory::limits::{
    CODE_MAILS_WAITING_MAX, MAIL_RETRY_SECONDS, MAIL_RETRY_SECONDS_MAX, MAIL_SECONDS, MAILS_A_DAY_MAX,
    MAILS_AN_HOUR_MAX, MAILS_AT_ONCE, MAILS_WAITING_MAX,
};
use crate::env::{Env, Network};
use crate::mail::{self, Addressed, Letter, MailPurpose};
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};
use crate::vault::{unwrap_secret, wrap_secret};

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
const DAY_US: i64 = 24 * HOUR_US;

/// Mails a code to an account's address, in place of an earlier one for the same purpose. Answers whether it did: who has
/// shown nothing of the old address needs no code for another ([`MailPurpose::UpdateEmail`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendCode {
    /// Whose.
    pub who: Who,
    /// What for.
    pub purpose: MailPurpose,
}

/// Mails what the operator has to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendLetter {
    /// Whom.
    pub did: Did,
    /// One line.
    pub subject: String,
    /// HTML, or plain text where it has no markup.
    pub content: String,
}

/// Asks which mails are to be sent now, the longest due first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListDueMail {}

/// The answer to [`ListDueMail`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueMail {
    /// Those to be sent now, some at a time.
    pub mails: Vec<WaitingMail>,
    /// When the next one is due after these; `None` when none waits.
    pub next_us: Option<i64>,
}

/// A mail that is to be sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingMail {
    /// Which.
    pub id: i64,
    /// When it was asked for.
    pub created_us: i64,
    /// How often it was tried in vain.
    pub attempts: i64,
    /// What it is; `None` when its row is damaged.
    pub addressed: Option<Addressed>,
}

/// Says what became of a mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleMail {
    /// Which.
    pub id: i64,
    /// What.
    pub outcome: MailOutcome,
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MailOutcome {
    /// The mail server has it.
    Delivered,
    /// It will never be taken.
    Refused,
    /// The mail server could not be asked, or wants to be asked again.
    Later,
}

pub(super) fn send_code(sql: &dyn Sql, env: &mut Env<'_>, ask: &SendCode) -> Result<bool, Error> {
    require_mail(env.network)?;
    let account = account::get(sql, &ask.who)?.ok_or(match ask.who {
        Who::Email(_) => Error::NoEmail,
        Who::Did(_) | Who::Handle(_) => Error::AccountNotFound,
    })?;
    let to = account.email.clone().ok_or(Error::NoEmail)?;
    if ask.purpose == MailPurpose::UpdateEmail && !account.email_confirmed {
        return Ok(false);
    }
    let Account { did, handle, .. } = account;
    require_seldom(sql, env, &did, ask.purpose)?;
    cancel(sql, &did, ask.purpose)?;
    let code = mail_code::issue(sql, env, &did, ask.purpose)?;
    let letter = Letter::Code { purpose: ask.purpose, handle, code };
    post(sql, env, &did, Some(ask.purpose), &Addressed { to, letter })?;
    Ok(true)
}

pub(super) fn send_letter(sql: &dyn Sql, env: &mut Env<'_>, ask: &SendLetter) -> Result<(), Error> {
    require_mail(env.network)?;
    let account = account::require(sql, &ask.did)?;
    let to = account.email.ok_or(Error::NoEmail)?;
    if !mail::subject(&ask.subject) {
        return Err(Error::InvalidSubject);
    }
    let letter = Letter::FromOperator { subject: ask.subject.clone(), content: ask.content.clone() };
    post(sql, env, &ask.did, None, &Addressed { to, letter })
}

/// Tells an account's owner of a change, where the server sends mail at all. Nothing of the change hangs on it.
pub(super) fn tell(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    account: &Account,
    letter: impl FnOnce(Handle) -> Letter,
) -> Result<(), Error> {
    let Some(to) = account.email.clone().filter(|_| env.network.sends_mail) else { return Ok(()) };
    let addressed = Addressed { to, letter: letter(account.handle.clone()) };
    match post(sql, env, &account.did, None, &addressed) {
        Err(Error::MailQueueFull) => Ok(()),
        posted => posted,
    }
}

/// Which mails are due.
///
/// # Errors
/// [`SqlError`].
pub(super) fn due(sql: &dyn Sql, env: &Env<'_>) -> Result<DueMail, Error> {
    let limit = i64::try_from(MAILS_AT_ONCE).unwrap_or(i64::MAX);
    let rows = query_all(
        sql,
        "SELECT id, did, created_us, attempts, sealed, due_us FROM mail WHERE sealed IS NOT NULL
         ORDER BY due_us, id LIMIT ?",
        &[limit.saturating_add(1).into()],
        |row| {
            let (did, created_us) = (read_did(row, 1)?, row.integer(2)?);
            let addressed = open(env, &did, created_us, row.blob(4)?);
            let mail = WaitingMail { id: row.integer(0)?, created_us, attempts: row.integer(3)?, addressed };
            Ok((row.integer(5)?, mail))
        },
    )?;
    let mut due = DueMail { mails: Vec::new(), next_us: None };
    for (due_us, mail) in rows {
        if due_us > env.now_us || due.mails.len() == MAILS_AT_ONCE {
            due.next_us = Some(due_us);
            break;
        }
        due.mails.push(mail);
    }
    Ok(due)
}

/// When the next mail is to be sent, for a host that sleeps otherwise; `None` when none waits.
///
/// # Errors
/// [`SqlError`].
pub fn next_mail_us(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    let next = "SELECT min(due_us) FROM mail WHERE sealed IS NOT NULL";
    Ok(query_first(sql, next, &[], |row| row.optional_integer(0))?.flatten())
}

pub(super) fn settle(sql: &dyn Sql, env: &mut Env<'_>, ask: &SettleMail) -> Result<(), Error> {
    let mail = "SELECT did, purpose, created_us, attempts FROM mail WHERE id = ? AND sealed IS NOT NULL";
    let found = query_first(sql, mail, &[ask.id.into()], |row| {
        let purpose = row.optional_text(1)?.and_then(MailPurpose::parse);
        Ok((read_did(row, 0)?, purpose, row.integer(2)?, row.integer(3)?))
    })?;
    // Said twice, or another code took its place meanwhile.
    let Some((did, purpose, created_us, attempts)) = found else { return Ok(()) };
    let due_us = env.now_us.saturating_add(pause_us(env, attempts));
    let is_over = due_us.saturating_sub(created_us) > MAIL_SECONDS * SECOND_US;
    if ask.outcome == MailOutcome::Later && !is_over {
        let attempts = attempts.saturating_add(1);
        let again = "UPDATE mail SET attempts = ?, due_us = ? WHERE id = ?";
        return Ok(sql.execute(again, &[attempts.into(), due_us.into(), ask.id.into()])?);
    }
    sql.execute("UPDATE mail SET sealed = NULL WHERE id = ?", &[ask.id.into()])?;
    if let (MailOutcome::Delivered, Some(purpose)) = (ask.outcome, purpose) {
        mail_code::begin(sql, env, &did, purpose)?;
    }
    Ok(())
}

/// Ten seconds, then three times as long each time; of many that failed at once not all at the same moment.
fn pause_us(env: &mut Env<'_>, attempts: i64) -> i64 {
    let steps = u32::try_from(attempts.clamp(0, 16)).unwrap_or(16);
    let seconds = MAIL_RETRY_SECONDS.saturating_mul(3_i64.saturating_pow(steps)).min(MAIL_RETRY_SECONDS_MAX);
    let quarter_us = seconds * SECOND_US / 4;
    let jitter_us = i64::from(u32::from_be_bytes(env.random())).rem_euclid(quarter_us.max(1));
    seconds * SECOND_US + jitter_us
}

/// Takes back what waits to be sent of an account.
pub(super) fn remove_all(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM mail WHERE did = ?", &[did.as_str().into()])?)
}

fn require_mail(network: &Network) -> Result<(), Error> {
    if network.sends_mail { Ok(()) } else { Err(Error::NoMail) }
}

/// Not many of one kind: whoever can ask may fill somebody's mailbox.
fn require_seldom(sql: &dyn Sql, env: &Env<'_>, did: &Did, purpose: MailPurpose) -> Result<(), Error> {
    let statement = "SELECT count(*), coalesce(sum(created_us > ?), 0) FROM mail
                     WHERE did = ? AND purpose = ? AND created_us > ?";
    let (hour_us, day_us) = (env.now_us.saturating_sub(HOUR_US), env.now_us.saturating_sub(DAY_US));
    let params = [hour_us.into(), did.as_str().into(), purpose.as_str().into(), day_us.into()];
    let counts = query_first(sql, statement, &params, |row| Ok((row.integer(0)?, row.integer(1)?)))?;
    match counts.unwrap_or_default() {
        (day, hour) if day >= MAILS_A_DAY_MAX || hour >= MAILS_AN_HOUR_MAX => Err(Error::TooManyMails),
        _ => Ok(()),
    }
}

/// What still waits for this purpose has the code that ends now. It stays counted.
fn cancel(sql: &dyn Sql, did: &Did, purpose: MailPurpose) -> Result<(), Error> {
    let statement = "UPDATE mail SET sealed = NULL WHERE did = ? AND purpose = ?";
    Ok(sql.execute(statement, &[did.as_str().into(), purpose.as_str().into()])?)
}

/// All codes of an account end, with the mails that would bring them.
pub(super) fn cancel_codes(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    let statement = "UPDATE mail SET sealed = NULL WHERE did = ? AND purpose IS NOT NULL";
    Ok(sql.execute(statement, &[did.as_str().into()])?)
}

fn post(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    did: &Did,
    purpose: Option<MailPurpose>,
    addressed: &Addressed,
) -> Result<(), Error> {
    let old_us = env.now_us.saturating_sub(DAY_US);
    sql.execute("DELETE FROM mail WHERE created_us < ? AND sealed IS NULL", &[old_us.into()])?;
    let waiting = "SELECT count(*) FROM mail WHERE sealed IS NOT NULL";
    let reserved = if purpose.is_none() { CODE_MAILS_WAITING_MAX } else { 0 };
    if query_first(sql, waiting, &[], |row| row.integer(0))?.unwrap_or(0) >= MAILS_WAITING_MAX - reserved {
        return Err(Error::MailQueueFull);
    }
    let bytes = serde_ipld_dagcbor::to_vec(addressed).map_err(|error| Error::Wrap(error.to_string()))?;
    let key = env.network.master_key.derive(LABEL);
    let sealed = wrap_secret(&key, &aad(did, env.now_us), &bytes, env.rng)
        .map_err(|error| Error::Wrap(error.to_string()))?;
    sql.execute(
        "INSERT INTO mail (did, purpose, sealed, created_us, due_us) VALUES (?1, ?2, ?3, ?4, ?4)",
        &[
            did.as_str().into(),
            Value::optional_text(purpose.map(MailPurpose::as_str)),
            Value::Blob(&sealed),
            env.now_us.into(),
        ],
    )?;
    Ok(())
}

/// The key derived under this label seals mails.
const LABEL: &str = "directory/mail";

fn open(env: &Env<'_>, did: &Did, created_us: i64, sealed: &[u8]) -> Option<Addressed> {
    let key = env.network.master_key.derive(LABEL);
    let bytes = unwrap_secret(&key, &aad(did, created_us), sealed, "a mail").ok()?;
    serde_ipld_dagcbor::from_slice(&bytes).ok()
}

/// Binds a mail to its account and time.
fn aad(did: &Did, created_us: i64) -> Vec<u8> {
    format!("directory/mail/{did}/{created_us}").into_bytes()
}

#[cfg(test)]
mod tests;
