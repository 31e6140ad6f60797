//! The one way a cell reaches its database.
//!
//! A cell owns one SQLite database: a file on the native host, the storage of a Durable Object on Cloudflare. Both
//! stand behind [`Sql`], which is synchronous and small: run a statement, read rows, wrap work in a transaction.
//!
//! Invariants
//! - Statements are constant text with bound parameters; nothing is ever spliced into one but more of their marks.
//! - At most [`crate::limits::SQL_PARAMETERS_MAX`] parameters and [`crate::limits::SQL_VALUE_BYTES_MAX`] bytes a value,
//!   on every host, so that a cell moves between hosts unchanged.
//! - Integers stay below 2^53 (they pass through JavaScript numbers on one host); a `rev` is text. A parameter may reach
//!   SQLite as a floating point number: store it in an INTEGER column, compare it, count with it, never print it in SQL.
//! - [`Sql::transaction`] nests. The host opens the outer one around a batch of commands; each command's own is then
//!   a savepoint.

pub mod migrate;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::limits::{SQL_PARAMETERS_MAX, SQL_VALUE_BYTES_MAX};

/// A bound parameter or a column's value, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A signed integer below 2^53 in magnitude.
    Integer(i64),
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Text, or NULL.
    pub fn optional_text(text: Option<&'a str>) -> Self {
        text.map_or(Value::Null, Value::Text)
    }

    /// An integer, or NULL.
    pub fn optional_integer(integer: Option<i64>) -> Self {
        integer.map_or(Value::Null, Value::Integer)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Blob(value)
    }
}

/// Why a statement or transaction failed. Serialisable, since a cell's error crosses the seam.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqlError {
    /// The disk or the object's storage quota is full. Nothing of the transaction was kept.
    #[error("storage is full")]
    Full,
    /// The host can open no file for the moment. Nothing was changed.
    #[error("no file can be opened for the moment")]
    Busy,
    /// A UNIQUE, CHECK, NOT NULL or foreign key constraint refused the row.
    #[error("constraint failed: {0}")]
    Constraint(String),
    /// A value or a statement is over the limits all hosts share.
    #[error("over a storage limit: {0}")]
    Limit(Cow<'static, str>),
    /// A column did not hold what the code reads there.
    #[error("column {column} is not {expected}")]
    Column {
        /// Position in the row, from 0.
        column: usize,
        /// The type that was wanted.
        expected: Cow<'static, str>,
    },
    /// A newer program wrote the database.
    #[error(
        "{place} has schema {found}, and this program knows {known}: run the newer program that wrote it"
    )]
    Newer {
        /// The database.
        place: String,
        /// The database's schema.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The database is not the one that belongs there, or is not there.
    #[error("{place} {reason}")]
    Misplaced {
        /// The database.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The file is damaged or is no database.
    #[error("database is damaged: {0}")]
    Corrupt(String),
    /// Anything else the database said.
    #[error("database: {0}")]
    Other(String),
}

/// One result row, valid during the callback that gets it.
pub trait Row {
    /// The value at `column`, from 0.
    ///
    /// # Errors
    /// [`SqlError::Column`] past the last column or for a floating point value.
    fn value(&self, column: usize) -> Result<Value<'_>, SqlError>;
}

impl dyn Row + '_ {
    /// An integer column.
    ///
    /// # Errors
    /// [`SqlError::Column`] when it holds something else.
    pub fn integer(&self, column: usize) -> Result<i64, SqlError> {
        match self.value(column)? {
            Value::Integer(integer) => Ok(integer),
            _ => Err(SqlError::Column { column, expected: "an integer".into() }),
        }
    }

    /// An integer column that may be NULL.
    ///
    /// # Errors
    /// [`SqlError::Column`] when it holds something else.
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, SqlError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(integer) => Ok(Some(integer)),
            _ => Err(SqlError::Column { column, expected: "an integer or NULL".into() }),
        }
    }

    /// A text column.
    ///
    /// # Errors
    /// [`SqlError::Column`] when it holds something else.
    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            _ => Err(SqlError::Column { column, expected: "text".into() }),
        }
    }

    /// A text column that may be NULL.
    ///
    /// # Errors
    /// [`SqlError::Column`] when it holds something else.
    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, SqlError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(SqlError::Column { column, expected: "text or NULL".into() }),
        }
    }

    /// A bytes column.
    ///
    /// # Errors
    /// [`SqlError::Column`] when it holds something else.
    pub fn blob(&self, column: usize) -> Result<&[u8], SqlError> {
        match self.value(column)? {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err(SqlError::Column { column, expected: "bytes".into() }),
        }
    }

    /// A bytes column that may be NULL.
    ///
    /// # Errors
    /// [`SqlError::Column`] when it holds something else.
    pub fn optional_blob(&self, column: usize) -> Result<Option<&[u8]>, SqlError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(SqlError::Column { column, expected: "bytes or NULL".into() }),
        }
    }
}

/// A cell's database.
pub trait Sql {
    /// What an operator knows the database by, for messages: its file, where it has one.
    fn place(&self) -> String {
        "the database".to_owned()
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// [`SqlError`]; the enclosing transaction, if any, stays open.
    fn execute(&self, statement: &str, params: &[Value<'_>]) -> Result<(), SqlError>;

    /// As [`Sql::execute`]; answers how many rows it changed, which costs one host a statement more.
    ///
    /// # Errors
    /// As there.
    fn execute_counted(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, SqlError>;

    /// Runs one query and hands each row to `each`, which may stop it with an error.
    ///
    /// # Errors
    /// [`SqlError`] of the database or of `each`.
    fn query(
        &self,
        statement: &str,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError>;

    /// Runs several statements without parameters: a migration.
    ///
    /// # Errors
    /// [`SqlError`] of the first statement that fails; those before it stand unless a transaction encloses them.
    fn script(&self, statements: &str) -> Result<(), SqlError>;

    /// Runs `body` in a transaction that is kept when it returns true and undone when it returns false. Nests.
    /// Use [`in_transaction`], which carries a result.
    ///
    /// # Errors
    /// [`SqlError`] of beginning, committing or undoing.
    fn transaction(&self, body: &mut dyn FnMut() -> bool) -> Result<(), SqlError>;
}

/// Refuses what some host could not take, so that every host refuses the same.
///
/// # Errors
/// [`SqlError::Limit`].
pub fn check_params(params: &[Value<'_>]) -> Result<(), SqlError> {
    if params.len() > SQL_PARAMETERS_MAX {
        return Err(SqlError::Limit("too many parameters".into()));
    }
    for value in params {
        let bytes = match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null => 0,
            Value::Integer(integer) if integer.unsigned_abs() < INTEGER_LIMIT => 0,
            Value::Integer(_) => return Err(SqlError::Limit("an integer is over 2^53".into())),
        };
        if bytes > SQL_VALUE_BYTES_MAX {
            return Err(SqlError::Limit("a value is over 2 MB".into()));
        }
    }
    Ok(())
}

/// Integers are smaller in magnitude: they pass through JavaScript numbers on one host.
pub const INTEGER_LIMIT: u64 = 1 << 53;

/// Runs `body` in a transaction: kept on `Ok`, undone on `Err`.
///
/// # Errors
/// The error of `body`, or the database's when it could not begin or commit; then nothing is kept either.
pub fn in_transaction<T, E: From<SqlError>>(
    sql: &dyn Sql,
    body: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let mut body = Some(body);
    let mut outcome = None;
    sql.transaction(&mut || {
        let result = body.take().map(|run| run());
        let keep = matches!(result, Some(Ok(_)));
        outcome = result;
        keep
    })?;
    outcome.unwrap_or_else(|| Err(SqlError::Other("the transaction did not run".to_owned()).into()))
}

/// The first row of a query, read by `read`; `None` when there is none.
///
/// # Errors
/// [`SqlError`] of the query or of `read`.
pub fn query_first<T>(
    sql: &dyn Sql,
    statement: &str,
    params: &[Value<'_>],
    mut read: impl FnMut(&dyn Row) -> Result<T, SqlError>,
) -> Result<Option<T>, SqlError> {
    let mut first = None;
    sql.query(statement, params, &mut |row| {
        if first.is_none() {
            first = Some(read(row)?);
        }
        Ok(())
    })?;
    Ok(first)
}

/// All rows of a query, read by `read`. For queries with a LIMIT.
///
/// # Errors
/// [`SqlError`] of the query or of `read`.
pub fn query_all<T>(
    sql: &dyn Sql,
    statement: &str,
    params: &[Value<'_>],
    mut read: impl FnMut(&dyn Row) -> Result<T, SqlError>,
) -> Result<Vec<T>, SqlError> {
    let mut all = Vec::new();
    sql.query(statement, params, &mut |row| {
        all.push(read(row)?);
        Ok(())
    })?;
    Ok(all)
}
