//! What the operator sees of an account, and may do to its invites.

use serde::{Deserialize, Serialize};

use super::Error;
use super::account::{self, Account};
use super::invite::{self, InviteCode};
use crate::directory::limits::{ACCOUNT_INFOS_MAX, ACCOUNT_PAGE_MAX, INVITE_CODES_MAX};
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Asks for all that the operator may know of some accounts; those that are not there are left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListAccountInfos {
    /// Which, at most [`ACCOUNT_INFOS_MAX`].
    pub dids: Vec<Did>,
}

/// Asks for a page of accounts whose address contains a text, the oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SearchAccounts {
    /// In any case; all accounts without one.
    pub email: Option<String>,
    /// The last page's cursor.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: usize,
}

/// A page of [`AccountInfo`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfoPage {
    /// The oldest account first.
    pub accounts: Vec<AccountInfo>,
    /// Where the next page begins, when there may be one.
    pub cursor: Option<String>,
}

/// All that the operator may know of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// The account.
    pub account: Account,
    /// When its address was confirmed.
    pub email_confirmed_us: Option<i64>,
    /// When it was put to rest.
    pub deactivated_us: Option<i64>,
    /// The moderators' reference, when they took it down.
    pub takedown: Option<String>,
    /// Whether it is given no invite codes.
    pub invites_disabled: bool,
    /// The code it signed up with.
    pub invited_by: Option<InviteCode>,
    /// The codes made for it.
    pub invites: Vec<InviteCode>,
}

/// Whether the codes made for an account are good, and further ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetInvitesDisabled {
    /// Whose.
    pub did: Did,
    /// Whether they are not.
    pub disabled: bool,
}

/// Withdraws invite codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DisableInviteCodes {
    /// These.
    pub codes: Vec<String>,
    /// And all that were made for these.
    pub accounts: Vec<Did>,
}

pub(super) fn infos(sql: &dyn Sql, ask: &ListAccountInfos) -> Result<Vec<AccountInfo>, Error> {
    if ask.dids.len() > ACCOUNT_INFOS_MAX {
        return Err(Error::OverLimit("the number of accounts".into()));
    }
    let found = ask.dids.iter().map(|did| account::get(sql, &account::Who::Did(did.clone())));
    found.filter_map(Result::transpose).map(|account| info(sql, account?)).collect()
}

pub(super) fn search(sql: &dyn Sql, ask: &SearchAccounts) -> Result<AccountInfoPage, Error> {
    let limit = ask.limit.clamp(1, ACCOUNT_PAGE_MAX.min(ACCOUNT_INFOS_MAX));
    let page = account::search(sql, ask.email.as_deref(), ask.cursor.as_deref(), limit)?;
    let accounts = page.accounts.into_iter().map(|account| info(sql, account)).collect::<Result<_, _>>()?;
    Ok(AccountInfoPage { accounts, cursor: page.cursor })
}

fn info(sql: &dyn Sql, account: Account) -> Result<AccountInfo, Error> {
    let more = "SELECT email_confirmed_us, deactivated_us, takedown_reference, invites_disabled FROM account
                WHERE did = ?";
    let did = [Value::Text(account.did.as_str())];
    let more = query_first(sql, more, &did, |row| {
        let takedown = row.optional_text(2)?.map(str::to_owned);
        Ok((row.optional_integer(0)?, row.optional_integer(1)?, takedown, row.integer(3)? != 0))
    })?;
    let (email_confirmed_us, deactivated_us, takedown, invites_disabled) =
        more.ok_or(Error::AccountNotFound)?;
    // Moderators need not give one.
    let takedown = account.status.is_moderated().then(|| takedown.unwrap_or_default());
    Ok(AccountInfo {
        email_confirmed_us,
        deactivated_us,
        takedown,
        invites_disabled,
        invited_by: invite::used_by(sql, &account.did)?,
        invites: invite::of_account(sql, &account.did)?,
        account,
    })
}

pub(super) fn set_invites_disabled(sql: &dyn Sql, ask: &SetInvitesDisabled) -> Result<(), Error> {
    account::require(sql, &ask.did)?;
    let statement = "UPDATE account SET invites_disabled = ? WHERE did = ?";
    Ok(sql.execute(statement, &[i64::from(ask.disabled).into(), ask.did.as_str().into()])?)
}

pub(super) fn disable_codes(sql: &dyn Sql, ask: &DisableInviteCodes) -> Result<(), Error> {
    if ask.codes.len().saturating_add(ask.accounts.len()) > INVITE_CODES_MAX {
        return Err(Error::OverLimit("the number of codes".into()));
    }
    for code in &ask.codes {
        sql.execute("UPDATE invite_code SET disabled = 1 WHERE code = ?", &[Value::Text(code)])?;
    }
    for did in &ask.accounts {
        let statement = "UPDATE invite_code SET disabled = 1 WHERE for_account = ?";
        sql.execute(statement, &[did.as_str().into()])?;
    }
    Ok(())
}
