//! Accounts: what is known of one, and how to find it.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::actor::{AccountSummary, Kind, Status};
use crate::directory::limits::ACCOUNT_PAGE_MAX;
use crate::store::{INTEGER_LIMIT, Row, Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};

/// An account, as the network knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who it is, for good.
    pub did: Did,
    /// Its name, in lower case.
    pub handle: Handle,
    /// Since when the name, on a domain of its owner, leads here no more: microseconds since the Unix epoch.
    pub handle_failed_us: Option<i64>,
    /// In lower case.
    pub email: Option<String>,
    /// Whether the owner showed that mail arrives.
    pub email_confirmed: bool,
    /// Whether a person or an agent owns it.
    pub kind: Kind,
    /// Never [`Status::Pending`] or [`Status::Deleted`]: those are no accounts to anyone outside.
    pub status: Status,
    /// For people to read.
    pub display_name: Option<String>,
    /// The model an agent runs on.
    pub model: Option<String>,
    /// An agent's configuration, JSON.
    pub config: Option<String>,
    /// When it signed up.
    pub created_us: i64,
    /// Counts the ends of what proves its owner; rises.
    pub generation: i64,
}

impl Account {
    /// The name as others are told it: [`Handle::invalid`] while it leads here no more.
    pub fn shown_handle(&self) -> Handle {
        if self.handle_failed_us.is_some() { Handle::invalid() } else { self.handle.clone() }
    }

    /// What the host keeps of every account in memory.
    pub fn summary(&self) -> AccountSummary {
        AccountSummary {
            did: self.did.clone(),
            handle: self.handle.clone(),
            handle_fails: self.handle_failed_us.is_some(),
            status: self.status,
            kind: self.kind,
            generation: self.generation,
        }
    }
}

/// One account, named in one of the ways an account has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// By its DID.
    Did(Did),
    /// By its handle, in any case.
    Handle(Handle),
    /// By its e-mail address, in any case. Only for its owner.
    Email(String),
}

impl Who {
    /// Reads what a person types to sign in: a DID, an e-mail address or a handle with or without `@`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with("did:") {
            return Did::try_from(text).ok().map(Self::Did);
        }
        let text = text.strip_prefix('@').unwrap_or(text);
        if text.contains('@') {
            return Some(Self::Email(text.to_owned()));
        }
        Handle::try_from(text).ok().map(Self::Handle)
    }
}

/// Asks for an account that is neither pending nor deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetAccount {
    /// Which.
    pub who: Who,
}

/// Asks for the status of a DID that has, or had, an account here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetStatus {
    /// Which.
    pub did: Did,
}

/// Asks for a page of accounts, the oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListAccounts {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// The last page's cursor.
    pub cursor: Option<String>,
    /// At most this many, at most [`ACCOUNT_PAGE_MAX`].
    pub limit: usize,
}

/// A page of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPage {
    /// The oldest first.
    pub accounts: Vec<Account>,
    /// Where the next page begins, when there may be one.
    pub cursor: Option<String>,
}

/// Asks for a page of all accounts, the oldest first, with no more of each than its standing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListStandings {
    /// The last page's cursor.
    pub cursor: Option<String>,
    /// At most this many, at most [`ACCOUNT_PAGE_MAX`].
    pub limit: usize,
}

/// Where an account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whose.
    pub did: Did,
    /// Never [`Status::Pending`] or [`Status::Deleted`].
    pub status: Status,
}

/// A page of accounts' standings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingPage {
    /// The oldest account first.
    pub accounts: Vec<Standing>,
    /// Where the next page begins, when there may be one.
    pub cursor: Option<String>,
}

/// The columns [`read`] reads, for `concat!`.
macro_rules! columns {
    () => {
        "did, handle, email, email_confirmed_us, kind, status, display_name, model, config, created_us, \
         generation, handle_failed_us"
    };
}

/// What is an account to anyone outside, for `concat!`.
macro_rules! visible {
    () => {
        "status NOT IN ('pending', 'deleted')"
    };
}

const BY_DID: &str = concat!("SELECT ", columns!(), " FROM account WHERE did = ? AND ", visible!());
const BY_HANDLE: &str = concat!("SELECT ", columns!(), " FROM account WHERE handle = ? AND ", visible!());
const BY_EMAIL: &str = concat!("SELECT ", columns!(), " FROM account WHERE email = ? AND ", visible!());
const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM account WHERE (created_us, did) > (?, ?) AND ",
    visible!(),
    " ORDER BY created_us, did LIMIT ?"
);
const PAGE_OF_KIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM account WHERE kind = ? AND (created_us, did) > (?, ?) AND ",
    visible!(),
    " ORDER BY created_us, did LIMIT ?"
);
const PAGE_OF_EMAIL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM account WHERE instr(email, ?) > 0 AND (created_us, did) > (?, ?) AND ",
    visible!(),
    " ORDER BY created_us, did LIMIT ?"
);
const STANDINGS: &str = concat!(
    "SELECT did, status, created_us FROM account WHERE (created_us, did) > (?, ?) AND ",
    visible!(),
    " ORDER BY created_us, did LIMIT ?"
);

pub(super) fn get(sql: &dyn Sql, who: &Who) -> Result<Option<Account>, Error> {
    let found = match who {
        Who::Did(did) => query_first(sql, BY_DID, &[did.as_str().into()], read),
        Who::Handle(handle) => query_first(sql, BY_HANDLE, &[handle.normalized().as_str().into()], read),
        Who::Email(email) => query_first(sql, BY_EMAIL, &[email.to_ascii_lowercase().as_str().into()], read),
    };
    Ok(found?)
}

/// The account of `did`, which must be there.
pub(super) fn require(sql: &dyn Sql, did: &Did) -> Result<Account, Error> {
    get(sql, &Who::Did(did.clone()))?.ok_or(Error::AccountNotFound)
}

pub(super) fn status(sql: &dyn Sql, did: &Did) -> Result<Option<Status>, Error> {
    Ok(any_status(sql, did)?.filter(|status| *status != Status::Pending))
}

/// The status of a DID, pending ones too.
pub(super) fn any_status(sql: &dyn Sql, did: &Did) -> Result<Option<Status>, Error> {
    let statement = "SELECT status FROM account WHERE did = ?";
    Ok(query_first(sql, statement, &[did.as_str().into()], |row| read_status(row, 0))?)
}

/// A page of the accounts; any connection may ask.
///
/// # Errors
/// [`Error`].
pub fn list(sql: &dyn Sql, ask: &ListAccounts) -> Result<AccountPage, Error> {
    let limit = ask.limit.clamp(1, ACCOUNT_PAGE_MAX);
    let [us, did, rows] = page(ask.cursor.as_deref(), limit)?;
    let accounts = match ask.kind {
        None => query_all(sql, PAGE, &[us, did, rows], read),
        Some(kind) => query_all(sql, PAGE_OF_KIND, &[kind.as_str().into(), us, did, rows], read),
    }?;
    let full = accounts.len() == limit;
    let cursor = accounts.last().filter(|_| full).map(|last| write_cursor(last.created_us, &last.did));
    Ok(AccountPage { accounts, cursor })
}

/// A page of the accounts whose address contains a text; of all without one.
pub(super) fn search(
    sql: &dyn Sql,
    email: Option<&str>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<AccountPage, Error> {
    let [us, did, rows] = page(cursor, limit)?;
    let accounts = match email.map(str::to_ascii_lowercase) {
        None => query_all(sql, PAGE, &[us, did, rows], read),
        Some(email) => query_all(sql, PAGE_OF_EMAIL, &[Value::Text(&email), us, did, rows], read),
    }?;
    let full = accounts.len() == limit;
    let cursor = accounts.last().filter(|_| full).map(|last| write_cursor(last.created_us, &last.did));
    Ok(AccountPage { accounts, cursor })
}

pub(super) fn standings(sql: &dyn Sql, ask: &ListStandings) -> Result<StandingPage, Error> {
    let limit = ask.limit.clamp(1, ACCOUNT_PAGE_MAX);
    let after = page(ask.cursor.as_deref(), limit)?;
    let rows = query_all(sql, STANDINGS, &after, |row| {
        Ok((Standing { did: read_did(row, 0)?, status: read_status(row, 1)? }, row.integer(2)?))
    })?;
    let full = rows.len() == limit;
    let cursor = rows.last().filter(|_| full).map(|(last, us)| write_cursor(*us, &last.did));
    Ok(StandingPage { accounts: rows.into_iter().map(|(account, _)| account).collect(), cursor })
}

/// What a page's statement is given: after which account, and how many.
fn page(cursor: Option<&str>, limit: usize) -> Result<[Value<'_>; 3], Error> {
    let rows = Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX));
    let (us, did) = match cursor {
        None => (0, ""),
        Some(cursor) => read_cursor(cursor).ok_or(Error::InvalidCursor)?,
    };
    Ok([Value::Integer(us), Value::Text(did), rows])
}

fn write_cursor(created_us: i64, did: &Did) -> String {
    format!("{created_us}~{did}")
}

/// Reads `microseconds~did`.
fn read_cursor(cursor: &str) -> Option<(i64, &str)> {
    let (us, did) = cursor.split_once('~')?;
    Some((us.parse().ok().filter(|us: &i64| us.unsigned_abs() < INTEGER_LIMIT)?, did))
}

fn read(row: &dyn Row) -> Result<Account, SqlError> {
    let owned = |column| Ok::<_, SqlError>(row.optional_text(column)?.map(str::to_owned));
    Ok(Account {
        did: read_did(row, 0)?,
        handle: read_handle(row, 1)?,
        email: owned(2)?,
        email_confirmed: row.optional_integer(3)?.is_some(),
        kind: read_kind(row, 4)?,
        status: read_status(row, 5)?,
        display_name: owned(6)?,
        model: owned(7)?,
        config: owned(8)?,
        created_us: row.integer(9)?,
        generation: row.integer(10)?,
        handle_failed_us: row.optional_integer(11)?,
    })
}

pub(super) fn read_did(row: &dyn Row, column: usize) -> Result<Did, SqlError> {
    Did::try_from(row.text(column)?).map_err(|_| SqlError::Column { column, expected: "a DID".into() })
}

pub(super) fn read_handle(row: &dyn Row, column: usize) -> Result<Handle, SqlError> {
    Handle::try_from(row.text(column)?).map_err(|_| SqlError::Column { column, expected: "a handle".into() })
}

pub(super) fn read_kind(row: &dyn Row, column: usize) -> Result<Kind, SqlError> {
    Kind::parse(row.text(column)?).ok_or(SqlError::Column { column, expected: "a kind".into() })
}

fn read_status(row: &dyn Row, column: usize) -> Result<Status, SqlError> {
    Status::parse(row.text(column)?).ok_or(SqlError::Column { column, expected: "a status".into() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::*;

    #[test]
    fn an_account_is_found_by_each_of_its_names() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "Alice@Example.com");
        for name in [did.as_str(), "alice.test", "@ALICE.test", "alice@example.com", "ALICE@EXAMPLE.COM"] {
            let found = cell.ask(GetAccount { who: Who::parse(name).unwrap() }).unwrap();
            assert_eq!(found.map(|account| account.did), Some(did.clone()), "{name}");
        }
        let stranger = cell.ask(GetAccount { who: Who::parse("bob.test").unwrap() });
        assert_eq!(stranger, Ok(None));
        for nonsense in ["", "alice", "did:x", "@", "a b.test"] {
            assert_eq!(Who::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn pages_cover_each_account_once() {
        let mut cell = Cell::new();
        let mut make = |number: i64| {
            cell.now_us += number / 3; // some are of one age
            cell.agent(&format!("agent-{number}.test"))
        };
        let dids: Vec<Did> = (0..7).map(&mut make).collect();
        cell.person("alice.test", "alice@example.com");
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = cell.ask(ListAccounts { kind: Some(Kind::Agent), cursor, limit: 3 }).unwrap();
            assert!(page.accounts.len() <= 3);
            seen.extend(page.accounts.into_iter().map(|account| account.did));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, dids);
        let all = cell.ask(ListAccounts { limit: 100, ..ListAccounts::default() }).unwrap();
        assert_eq!(all.accounts.len(), 8);
        let cursor = Some("nonsense".to_owned());
        let refused = cell.ask(ListAccounts { kind: None, cursor, limit: 1 });
        assert_eq!(refused, Err(Error::InvalidCursor));
    }
}
