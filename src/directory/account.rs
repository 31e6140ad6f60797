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
    /// What the host keeps of every account in memory.
    pub fn summary(&self) -> AccountSummary {
        AccountSummary {
            did: self.did.clone(),
            handle: self.handle.clone(),
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

/// Asks how large the network is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetCounts {}

/// How large the network is; pending and deleted accounts do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCounts {
    /// Accounts of people.
    pub people: i64,
    /// Accounts of agents.
    pub agents: i64,
}

/// The columns [`read`] reads, for `concat!`.
macro_rules! columns {
    () => {
        "did, handle, email, email_confirmed_us, kind, status, display_name, model, config, created_us, \
         generation"
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
const COUNTS: &str = concat!("SELECT kind, count(*) FROM account WHERE ", visible!(), " GROUP BY kind");

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

pub(super) fn list(sql: &dyn Sql, ask: &ListAccounts) -> Result<AccountPage, Error> {
    let limit = ask.limit.clamp(1, ACCOUNT_PAGE_MAX);
    let rows = Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX));
    let (us, did) = match &ask.cursor {
        None => (0, ""),
        Some(cursor) => read_cursor(cursor).ok_or(Error::InvalidCursor)?,
    };
    let after = [Value::Integer(us), Value::Text(did), rows];
    let accounts = match (ask.kind, after) {
        (None, after) => query_all(sql, PAGE, &after, read),
        (Some(kind), [us, did, rows]) => {
            query_all(sql, PAGE_OF_KIND, &[kind.as_str().into(), us, did, rows], read)
        }
    }?;
    let full = accounts.len() == limit;
    let cursor = accounts.last().filter(|_| full).map(|last| format!("{}~{}", last.created_us, last.did));
    Ok(AccountPage { accounts, cursor })
}

/// Reads `microseconds~did`.
fn read_cursor(cursor: &str) -> Option<(i64, &str)> {
    let (us, did) = cursor.split_once('~')?;
    Some((us.parse().ok().filter(|us: &i64| us.unsigned_abs() < INTEGER_LIMIT)?, did))
}

pub(super) fn counts(sql: &dyn Sql) -> Result<NetworkCounts, Error> {
    let mut counts = NetworkCounts { people: 0, agents: 0 };
    sql.query(COUNTS, &[], &mut |row| {
        match read_kind(row, 0)? {
            Kind::Person => counts.people = row.integer(1)?,
            Kind::Agent => counts.agents = row.integer(1)?,
        }
        Ok(())
    })?;
    Ok(counts)
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
    })
}

pub(super) fn read_did(row: &dyn Row, column: usize) -> Result<Did, SqlError> {
    Did::try_from(row.text(column)?).map_err(|_| SqlError::Column { column, expected: "a DID".into() })
}

pub(super) fn read_handle(row: &dyn Row, column: usize) -> Result<Handle, SqlError> {
    Handle::try_from(row.text(column)?).map_err(|_| SqlError::Column { column, expected: "a handle".into() })
}

fn read_kind(row: &dyn Row, column: usize) -> Result<Kind, SqlError> {
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
        assert_eq!(cell.ask(GetCounts {}), Ok(NetworkCounts { people: 1, agents: 7 }));
    }
}
