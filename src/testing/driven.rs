//! A cell that is driven through the bytes of the seam with a given clock and given randomness, so that two hosts can be
//! compared answer by answer and row by row.

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Cell, network};
use crate::account::Account;
use crate::directory::Directory;
use crate::env::{Env, Network};
use crate::limits::{SQL_PARAMETERS_MAX, SQL_VALUE_BYTES_MAX};
use crate::sequencer::Sequencer;
use crate::store::{Row, Sql, SqlError, Value, in_transaction, query_all};

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// One account.
    Account,
    /// The network's directory.
    Directory,
    /// The event log.
    Sequencer,
}

/// One step of a script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Asks the cell: a `Command` as DAG-CBOR, at this time, with randomness from this seed.
    Ask(i64, u64, ByteBuf),
    /// Drops the cell from memory; the next command opens it from its database.
    Reopen,
    /// All events of an account's outbox have arrived: it is emptied, as this host's is at rest.
    Arrived,
    /// All rows of all tables.
    Dump,
    /// One row into a table of nothing else: what any write costs on this host.
    Insert,
    /// The rows read and written so far, on a host that bills them.
    Rows,
    /// Traps, on a host whose module starts anew then.
    Trap,
    /// What the SQL adapter does with odd statements.
    Sql,
}

/// What a sequencer does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Nothing.
    None,
    /// It takes no command and answers none.
    Deaf,
    /// It does what it is asked and does not answer.
    Mute,
}

/// A cell on any host.
pub struct Driven {
    kind: Kind,
    cell: Option<Box<dyn Answers>>,
    network: Network,
    has_table: bool,
}

/// An open cell, whichever it is, asked in bytes.
trait Answers: Send {
    fn answer(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: &[u8]) -> Result<Vec<u8>, String>;
}

impl<C: Cell + Send> Answers for C {
    fn answer(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: &[u8]) -> Result<Vec<u8>, String> {
        let command = serde_ipld_dagcbor::from_slice(command).map_err(text)?;
        let answer = self.handle(sql, env, command);
        self.drop_effects();
        serde_ipld_dagcbor::to_vec(&answer).map_err(text)
    }
}

fn open<C: Cell + Send + 'static>(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Box<dyn Answers>, String> {
    Ok(Box::new(C::load(sql, env).map_err(text)?))
}

impl Driven {
    /// A cell that is opened by its first command.
    pub fn new(kind: Kind) -> Self {
        Self { kind, cell: None, network: network(), has_table: false }
    }

    /// Runs a step; answers bytes to compare.
    ///
    /// # Errors
    /// A text, when the step itself could not be run.
    pub fn run(&mut self, sql: &dyn Sql, step: &Step) -> Result<Vec<u8>, String> {
        match step {
            Step::Ask(now_us, seed, command) => self.ask(sql, *now_us, *seed, command),
            Step::Reopen => {
                self.cell = None;
                Ok(Vec::new())
            }
            Step::Arrived => crate::outbox::clear(sql, i64::MAX >> 11).map(|()| Vec::new()).map_err(text),
            Step::Dump => dump(sql).map(String::into_bytes).map_err(|error| error.to_string()),
            Step::Insert => self.insert(sql).map(|()| Vec::new()).map_err(text),
            Step::Rows | Step::Trap => Ok(Vec::new()),
            Step::Sql => Ok(odd_statements(sql).into_bytes()),
        }
    }

    fn insert(&mut self, sql: &dyn Sql) -> Result<(), SqlError> {
        if !self.has_table {
            sql.script(
                "CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
            )?;
            self.has_table = true;
        }
        sql.execute("INSERT INTO plain (text) VALUES (?)", &[Value::Text("a row")]).map(|_| ())
    }

    fn ask(&mut self, sql: &dyn Sql, now_us: i64, seed: u64, command: &[u8]) -> Result<Vec<u8>, String> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut env = Env { now_us, rng: &mut rng, network: &self.network };
        let opened = match self.cell.take() {
            Some(cell) => cell,
            None => match self.kind {
                Kind::Account => open::<Account>(sql, &mut env)?,
                Kind::Directory => open::<Directory>(sql, &mut env)?,
                Kind::Sequencer => open::<Sequencer>(sql, &mut env)?,
            },
        };
        self.cell.insert(opened).answer(sql, &mut env, command)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Every row of every table of ours, a line each, sorted.
///
/// # Errors
/// [`SqlError`].
pub fn dump(sql: &dyn Sql) -> Result<String, SqlError> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
                  AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name";
    let tables = query_all(sql, tables, &[], |row| Ok(row.text(0)?.to_owned()))?;
    let mut dumped = String::new();
    for table in tables {
        // The one place where a name is put into a statement: it comes from the schema itself.
        let mut rows = query_all(sql, &format!("SELECT * FROM \"{table}\""), &[], |row| Ok(line(row)))?;
        rows.sort();
        for row in rows {
            dumped.push_str(&format!("{table}{row}\n"));
        }
    }
    Ok(dumped)
}

fn line(row: &dyn Row) -> String {
    let mut line = String::new();
    let mut column = 0;
    while let Ok(value) = row.value(column) {
        line.push_str(" | ");
        match value {
            Value::Null => line.push_str("NULL"),
            Value::Integer(integer) => line.push_str(&integer.to_string()),
            Value::Text(text) => line.push_str(text),
            Value::Blob(bytes) => line.push_str(&data_encoding::HEXLOWER.encode(bytes)),
        }
        column += 1;
    }
    line
}

/// What an adapter does at the edges, as text: limits, types, constraints, nested transactions.
fn odd_statements(sql: &dyn Sql) -> String {
    let mut lines = Vec::new();
    let mut note = |what: &str, outcome: Result<u64, SqlError>| {
        // Messages are each SQLite's own; kinds are ours.
        let outcome = match outcome {
            Ok(changed) => format!("changed {changed}"),
            Err(SqlError::Constraint(_)) => "constraint".to_owned(),
            Err(SqlError::Other(_)) => "other".to_owned(),
            Err(error) => error.to_string(),
        };
        lines.push(format!("{what}: {outcome}"));
    };
    let create =
        "CREATE TABLE IF NOT EXISTS odd (a INTEGER PRIMARY KEY, b TEXT, c BLOB) STRICT; DELETE FROM odd;";
    note("script", sql.script(create).map(|()| 0));
    let insert = "INSERT INTO odd (a, b, c) VALUES (?, ?, ?)";
    let row = |a, b, c| sql.execute_counted(insert, &[Value::Integer(a), b, c]);
    note("insert", row(1, Value::Text("one"), Value::Blob(b"\x00\xff")));
    note("the largest integer", row((1 << 53) - 1, Value::Null, Value::Null));
    note("an integer too large", row(1 << 53, Value::Null, Value::Null));
    note("the same key", row(1, Value::Null, Value::Null));
    note("a text in a BLOB column", row(2, Value::Null, Value::Text("text")));
    note("bytes in a TEXT column", row(2, Value::Blob(b"bytes"), Value::Null));
    note("empty values", row(3, Value::Text(""), Value::Blob(b"")));
    let (fits, over) = (vec![7; SQL_VALUE_BYTES_MAX - 1_000], vec![7; SQL_VALUE_BYTES_MAX + 1]);
    note("a large value", row(4, Value::Null, Value::Blob(&fits)));
    note("a value too large", row(5, Value::Null, Value::Blob(&over)));
    let many = vec![Value::Null; SQL_PARAMETERS_MAX + 1];
    note("too many parameters", sql.execute_counted("SELECT 1", &many));
    note("an update of two", sql.execute_counted("UPDATE odd SET b = 'x' WHERE a < ?", &[Value::Integer(4)]));
    note("a delete of none", sql.execute_counted("DELETE FROM odd WHERE a = ?", &[Value::Integer(99)]));
    note("nonsense", sql.execute_counted("SELEKT 1", &[]));
    let undone = in_transaction(sql, || {
        row(10, Value::Null, Value::Null)?;
        let inner = in_transaction(sql, || {
            row(11, Value::Null, Value::Null)?;
            Err::<u64, _>(SqlError::Full)
        });
        row(12, Value::Null, Value::Null)?;
        if inner == Err(SqlError::Full) { Ok(1) } else { inner }
    });
    note("an inner transaction undone", undone);
    let undone = in_transaction(sql, || {
        row(13, Value::Null, Value::Null)?;
        row(13, Value::Null, Value::Null)
    });
    note("a transaction undone", undone);
    let mut read = |what: &str, statement: &str, params: &[Value<'_>]| {
        let rows = query_all(sql, statement, params, |row| Ok(line(row)));
        let rows = rows.map_or_else(|_| "error".to_owned(), |rows| rows.join(";"));
        lines.push(format!("{what}: {rows}"));
    };
    read("rows", "SELECT a, b, length(c) FROM odd ORDER BY a", &[]);
    read("a limit", "SELECT a FROM odd ORDER BY a LIMIT ?", &[Value::Integer(2)]);
    read("numbered parameters", "SELECT ?1 + 1, ?1 = 5, max(?1, 3)", &[Value::Integer(5)]);
    read("booleans and nulls", "SELECT 1 = 1, NULL, EXISTS (SELECT 1 FROM odd)", &[]);
    read("a floating point number", "SELECT 1.5", &[]);
    lines.push(format!("end: {}", sql.script("DROP TABLE odd").is_ok()));
    lines.join("\n")
}
