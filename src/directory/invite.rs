//! Invite codes: made by the operator, each good for some signups.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::Error;
use super::app_password::grouped;
use crate::directory::limits::{INVITE_CODES_MAX, INVITE_PAGE_MAX, INVITE_USES_MAX};
use crate::env::Env;
use crate::store::{INTEGER_LIMIT, Row, Sql, SqlError, query_all, query_first};
use crate::syntax::Did;

/// Makes invite codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateInviteCodes {
    /// How many for each account.
    pub count: usize,
    /// How many signups each is good for.
    pub uses: i64,
    /// For whom: DIDs, or nobody in particular.
    pub for_accounts: Vec<Did>,
}

/// The codes made for one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInviteCodes {
    /// A DID, or `admin`.
    pub account: String,
    /// The codes.
    pub codes: Vec<String>,
}

/// Asks for the codes made for an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListInviteCodes {
    /// Whose.
    pub did: Did,
    /// Codes that are used up as well.
    pub include_used: bool,
}

/// Asks for a page of all codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageInviteCodes {
    /// Which first.
    pub sort: InviteSort,
    /// The last page's cursor.
    pub cursor: Option<String>,
    /// At most this many, at most [`INVITE_PAGE_MAX`].
    pub limit: usize,
}

/// Which codes come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InviteSort {
    /// The newest.
    Recent,
    /// Those with the most signups.
    Usage,
}

/// A page of codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteCodePage {
    /// The codes.
    pub codes: Vec<InviteCode>,
    /// Where the next page begins, when there may be one.
    pub cursor: Option<String>,
}

/// An invite code and its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteCode {
    /// The code.
    pub code: String,
    /// How many signups it is good for in all.
    pub available: i64,
    /// Whether it was withdrawn.
    pub disabled: bool,
    /// For whom: a DID, or `admin`.
    pub for_account: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_us: i64,
    /// The signups so far.
    pub uses: Vec<InviteUse>,
}

/// One signup with an invite code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteUse {
    /// The account that came of it.
    pub used_by: String,
    /// When.
    pub used_us: i64,
}

/// Who makes codes, and for whom when nobody is named.
const ADMIN: &str = "admin";

pub(super) fn create(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &CreateInviteCodes,
) -> Result<Vec<AccountInviteCodes>, Error> {
    if ask.count.saturating_mul(ask.for_accounts.len().max(1)) > INVITE_CODES_MAX {
        return Err(Error::OverLimit("the number of codes".into()));
    }
    if !(1..=INVITE_USES_MAX).contains(&ask.uses) {
        return Err(Error::OverLimit("the number of uses".into()));
    }
    let mut accounts: Vec<&str> = ask.for_accounts.iter().map(Did::as_str).collect();
    if accounts.is_empty() {
        accounts.push(ADMIN);
    }
    let mut made = Vec::with_capacity(accounts.len());
    for account in accounts {
        let mut codes = Vec::with_capacity(ask.count);
        for _ in 0..ask.count {
            let code = fresh_code(env);
            // One whose account is given none any more is for the books only.
            sql.execute(
                "INSERT INTO invite_code (code, uses, for_account, created_by, created_us, disabled)
                 VALUES (?1, ?2, ?3, ?4, ?5,
                     coalesce((SELECT invites_disabled FROM account WHERE did = ?3), 0))",
                &[code.as_str().into(), ask.uses.into(), account.into(), ADMIN.into(), env.now_us.into()],
            )?;
            codes.push(code);
        }
        made.push(AccountInviteCodes { account: account.to_owned(), codes });
    }
    Ok(made)
}

/// The columns [`read`] reads, for `concat!`.
macro_rules! columns {
    () => {
        "SELECT code, uses, disabled, for_account, created_by, created_us, \
         (SELECT count(*) FROM invite_use WHERE invite_use.code = invite_code.code) AS used FROM invite_code "
    };
}

const OF_ACCOUNT: &str =
    concat!(columns!(), "WHERE for_account = ? ORDER BY created_us DESC, code LIMIT 1000");
const USED_BY: &str = concat!(
    columns!(),
    "WHERE code = (SELECT code FROM invite_use WHERE used_by = ? ORDER BY used_us LIMIT 1)"
);
const NEWEST: &str =
    concat!(columns!(), "WHERE (created_us, code) < (?, ?) ORDER BY created_us DESC, code DESC LIMIT ?");
const MOST_USED: &str = concat!(
    "SELECT * FROM (",
    columns!(),
    ") WHERE (used, code) < (?, ?) ORDER BY used DESC, code DESC LIMIT ?"
);

/// The codes made for an account, the newest first; disabled ones too.
pub(super) fn of_account(sql: &dyn Sql, did: &Did) -> Result<Vec<InviteCode>, Error> {
    with_uses(sql, query_all(sql, OF_ACCOUNT, &[did.as_str().into()], read)?)
}

/// The code that an account signed up with.
pub(super) fn used_by(sql: &dyn Sql, did: &Did) -> Result<Option<InviteCode>, Error> {
    let code = query_all(sql, USED_BY, &[did.as_str().into()], read)?;
    Ok(with_uses(sql, code)?.pop())
}

/// A page of all codes.
pub(super) fn page(sql: &dyn Sql, ask: &PageInviteCodes) -> Result<InviteCodePage, Error> {
    let limit = ask.limit.clamp(1, INVITE_PAGE_MAX);
    let (number, code) = match ask.cursor.as_deref() {
        None => (i64::try_from(INTEGER_LIMIT - 1).unwrap_or(i64::MAX), ""),
        Some(cursor) => {
            let (number, code) = cursor.split_once("::").ok_or(Error::InvalidCursor)?;
            let number = number.parse().ok().filter(|number: &i64| number.unsigned_abs() < INTEGER_LIMIT);
            (number.ok_or(Error::InvalidCursor)?, code)
        }
    };
    let statement = match ask.sort {
        InviteSort::Recent => NEWEST,
        InviteSort::Usage => MOST_USED,
    };
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let codes = query_all(sql, statement, &[number.into(), code.into(), rows.into()], read)?;
    let codes = with_uses(sql, codes)?;
    let last = codes.last().filter(|_| codes.len() == limit);
    let cursor = last.map(|last| match ask.sort {
        InviteSort::Recent => format!("{}::{}", last.created_us, last.code),
        InviteSort::Usage => format!("{}::{}", last.uses.len(), last.code),
    });
    Ok(InviteCodePage { codes, cursor })
}

fn read(row: &dyn Row) -> Result<InviteCode, SqlError> {
    Ok(InviteCode {
        code: row.text(0)?.to_owned(),
        available: row.integer(1)?,
        disabled: row.integer(2)? != 0,
        for_account: row.text(3)?.to_owned(),
        created_by: row.text(4)?.to_owned(),
        created_us: row.integer(5)?,
        uses: Vec::new(),
    })
}

fn with_uses(sql: &dyn Sql, mut codes: Vec<InviteCode>) -> Result<Vec<InviteCode>, Error> {
    for code in &mut codes {
        code.uses = query_all(
            sql,
            "SELECT used_by, used_us FROM invite_use WHERE code = ? ORDER BY used_us",
            &[code.code.as_str().into()],
            |row| Ok(InviteUse { used_by: row.text(0)?.to_owned(), used_us: row.integer(1)? }),
        )?;
    }
    Ok(codes)
}

pub(super) fn list(sql: &dyn Sql, ask: &ListInviteCodes) -> Result<Vec<InviteCode>, Error> {
    let mut codes = of_account(sql, &ask.did)?;
    let has_uses = |code: &InviteCode| code.uses.len() < usize::try_from(code.available).unwrap_or(0);
    codes.retain(|code| !code.disabled && (ask.include_used || has_uses(code)));
    Ok(codes)
}

/// Takes one use of a code for a signup.
pub(super) fn take(sql: &dyn Sql, env: &Env<'_>, code: &str, did: &Did) -> Result<(), Error> {
    let left = query_first(
        sql,
        "SELECT uses - (SELECT count(*) FROM invite_use WHERE invite_use.code = invite_code.code)
         FROM invite_code WHERE code = ? AND disabled = 0 AND NOT EXISTS
             (SELECT 1 FROM account WHERE did = for_account AND status IN ('takendown', 'suspended'))",
        &[code.into()],
        |row| row.integer(0),
    )?;
    if left.unwrap_or_default() < 1 {
        return Err(Error::InvalidInviteCode);
    }
    sql.execute(
        "INSERT INTO invite_use (code, used_by, used_us) VALUES (?, ?, ?)",
        &[code.into(), did.as_str().into(), env.now_us.into()],
    )?;
    Ok(())
}

/// Gives back the use of a code by a signup that came to nothing.
pub(super) fn give_back(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    sql.execute("DELETE FROM invite_use WHERE used_by = ?", &[did.as_str().into()])?;
    Ok(())
}

/// The service's host name with hyphens, then ten random letters: `pds-example-com-abcde-fghij`.
fn fresh_code(env: &mut Env<'_>) -> String {
    let host = env.network.public_url.split_once("://").map_or("", |(_, authority)| authority);
    let host: String =
        host.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let letters = BASE32_NOPAD.encode(&env.random::<7>()).to_ascii_lowercase();
    let letters: String = letters.chars().take(10).collect();
    format!("{host}-{}", grouped(&letters, 5))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cell, signup};
    use super::super::{ReleaseReservation, ReserveAccount};
    use super::*;

    fn invited(handle: &str, code: Option<&str>) -> ReserveAccount {
        ReserveAccount { invite_code: code.map(str::to_owned), invite_exempt: false, ..signup(handle, None) }
    }

    #[test]
    fn a_code_is_good_for_its_uses_and_no_more() {
        let mut cell = Cell::new();
        cell.network.invite_required = true;
        let owner = Did::try_from("did:plc:owner").unwrap();
        let ask = CreateInviteCodes { count: 2, uses: 2, for_accounts: vec![owner.clone()] };
        let made = cell.ask(ask).unwrap().remove(0);
        assert_eq!((made.account.as_str(), made.codes.len()), (owner.as_str(), 2));
        let code = made.codes[0].as_str();
        assert!(code.starts_with("localhost-2583-"), "{code}");

        for missing in [None, Some("nonsense")] {
            let refused = cell.ask(invited("alice.test", missing));
            assert_eq!(refused.map(|_| ()), Err(Error::InvalidInviteCode));
        }
        cell.ask(invited("alice.test", Some(code))).unwrap();
        let second = cell.ask(invited("bob.test", Some(code))).unwrap();
        let refused = cell.ask(invited("carol.test", Some(code)));
        assert_eq!(refused.map(|_| ()), Err(Error::InvalidInviteCode));
        // A signup that came to nothing gives its use back.
        cell.ask(ReleaseReservation { did: second.did }).unwrap();
        cell.ask(invited("carol.test", Some(code))).unwrap();

        let mut list =
            |include_used| cell.ask(ListInviteCodes { did: owner.clone(), include_used }).unwrap().len();
        assert_eq!((list(true), list(false)), (2, 1));
    }

    #[test]
    fn counts_are_bounded() {
        let mut cell = Cell::new();
        for (count, uses) in [(100_000, 1), (1, 0), (1, i64::MAX), (usize::MAX, 1)] {
            let ask = CreateInviteCodes { count, uses, for_accounts: Vec::new() };
            assert!(matches!(cell.ask(ask), Err(Error::OverLimit(_))));
        }
        let ask = CreateInviteCodes { count: 1, uses: 1, for_accounts: Vec::new() };
        assert_eq!(cell.ask(ask).unwrap()[0].account, "admin");
    }
}
