//! [`Sql`] over rusqlite.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi::{SQLITE_IOERR_FSYNC, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use super::descriptors;
use crate::store::{Row, Sql, SqlError, Value, check_params, in_transaction};

/// The longest a statement waits for another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What is written to see whether there is room: a few pages.
const PROBE_BYTES: usize = 64 << 10;

/// Where a database without a file is.
const MEMORY: &str = "a database in memory";

/// How far a database's commits are on disk when the caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is synced: cells that answer callers.
    Full,
    /// Synced at checkpoints and by the owner: the sequencer, whose source are the outboxes.
    Normal,
}

/// One open SQLite database of a cell.
pub struct Database {
    connection: Connection,
    depth: Cell<u32>,
    /// Whether what is deleted is overwritten.
    overwrites: Cell<bool>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.connection.path()).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens or creates the database for its one writer.
    ///
    /// # Errors
    /// [`SqlError`] when the file cannot be opened or is no database.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, SqlError> {
        let failed = |source| error(&path.display().to_string(), source);
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // What a cell lets go of is overwritten: it may be a key. The event log is public.
        let (synchronous, secure_delete, overwrites) = match durability {
            Durability::Full => ("FULL", "ON", true),
            Durability::Normal => ("NORMAL", "OFF", false),
        };
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA secure_delete = {secure_delete}; \
                 PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
                 PRAGMA cache_size = -1024; PRAGMA journal_size_limit = 4194304;"
            ))
            .map_err(failed)?;
        // Closing one of thousands of agents must not cost a checkpoint; what has to leave the log is cut explicitly.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        plan_once(&connection).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection, depth: Cell::new(0), overwrites: Cell::new(overwrites) })
    }

    /// Opens an existing database for reading beside its writer.
    ///
    /// # Errors
    /// [`SqlError`] when the file is not there or cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Self, SqlError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |source| error(&path.display().to_string(), source);
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.execute_batch("PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;").map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        plan_once(&connection).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, depth: Cell::new(0), overwrites: Cell::new(false) })
    }

    /// A database in memory, for tests and tools.
    ///
    /// # Errors
    /// [`SqlError`] of the database.
    pub fn in_memory() -> Result<Self, SqlError> {
        let failed = |source| error(MEMORY, source);
        let connection = Connection::open_in_memory().map_err(failed)?;
        connection.execute_batch("PRAGMA foreign_keys = ON;").map_err(failed)?;
        Ok(Self { connection, depth: Cell::new(0), overwrites: Cell::new(false) })
    }

    /// The connection itself, for what only this host does (checkpoints, backup).
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs `read` on one snapshot of the database.
    ///
    /// # Errors
    /// The error of `read`, or of beginning.
    pub fn snapshot<T, E: From<SqlError>>(&self, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.run("BEGIN DEFERRED")?;
        let result = read();
        self.run("COMMIT")?;
        result
    }

    /// Brings the write-ahead log into the database file and cuts it to nothing; false when a reader is in the way, which
    /// is not waited for.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn checkpoint(&self) -> Result<bool, SqlError> {
        let waits_ms = self.pragma("busy_timeout")?;
        self.script("PRAGMA busy_timeout = 0")?;
        let busy = self.pragma("wal_checkpoint(TRUNCATE)");
        self.script(&format!("PRAGMA busy_timeout = {waits_ms}"))?;
        Ok(busy? == 0)
    }

    /// Has on disk what `work` commits, and all before it, whatever the database's own durability is.
    ///
    /// # Errors
    /// That of `work`, or of the database.
    pub fn synced<T>(&self, work: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
        let synchronous = self.pragma("synchronous")?;
        self.script("PRAGMA synchronous = FULL")?;
        let done = work();
        self.script(&format!("PRAGMA synchronous = {synchronous}"))?;
        done
    }

    /// What a pragma says first.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn pragma(&self, pragma: &str) -> Result<i64, SqlError> {
        let said = self.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0));
        said.map_err(|source| self.error(source))
    }

    /// Has a commit checkpoint once the write-ahead log has so many pages; a page that many commits change is then written to
    /// the database once for all of them.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn checkpoint_after(&self, pages: u32) -> Result<(), SqlError> {
        self.script(&format!("PRAGMA wal_autocheckpoint = {pages}"))
    }

    /// Has what is deleted from now on overwritten in the file, or not: pages that become free are written once more for it.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn overwrite(&self, overwrites: bool) -> Result<(), SqlError> {
        if self.overwrites.replace(overwrites) == overwrites {
            return Ok(());
        }
        // Not a prepared one: the setting is made when it is compiled.
        self.script(if overwrites { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = OFF" })
    }

    /// Keeps `bytes` free in the file and as many in its write-ahead log, so that small changes find room on a full disk.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn reserve(&self, bytes: usize) -> Result<(), SqlError> {
        // What is deleted is overwritten (`secure_delete`), so both are there on disk and not only in their lengths.
        let statements = format!(
            "CREATE TABLE reserve (bytes BLOB); INSERT INTO reserve VALUES (zeroblob({bytes})); DROP TABLE reserve"
        );
        in_transaction(self, || self.script(&statements))
    }

    /// How many rows have been changed since it was opened.
    pub fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    fn begin(&self, depth: u32) -> Result<(), SqlError> {
        let statement = match depth {
            0 => "BEGIN IMMEDIATE".to_owned(),
            depth => format!("SAVEPOINT level_{depth}"),
        };
        self.run(&statement)
    }

    fn end(&self, depth: u32, keep: bool) -> Result<(), SqlError> {
        let statement = match (depth, keep) {
            (0, true) => "COMMIT".to_owned(),
            (0, false) => "ROLLBACK".to_owned(),
            (depth, true) => format!("RELEASE level_{depth}"),
            (depth, false) => format!("ROLLBACK TO level_{depth}; RELEASE level_{depth}"),
        };
        if depth == 0 || keep { self.run(&statement) } else { self.script(&statement) }
    }

    fn run(&self, statement: &str) -> Result<(), SqlError> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut s| s.execute([]))
            .map(|_| ())
            .map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> SqlError {
        error(&self.place(), source)
    }
}

impl Sql for Database {
    fn place(&self) -> String {
        self.connection.path().filter(|path| !path.is_empty()).unwrap_or(MEMORY).to_owned()
    }

    fn execute(&self, statement: &str, params: &[Value<'_>]) -> Result<(), SqlError> {
        self.execute_counted(statement, params).map(|_| ())
    }

    fn execute_counted(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, SqlError> {
        check_params(params)?;
        let mut prepared = self.connection.prepare_cached(statement).map_err(|source| self.error(source))?;
        let changed = prepared
            .execute(rusqlite::params_from_iter(params.iter().map(Bound)))
            .map_err(|source| self.error(source))?;
        Ok(changed as u64)
    }

    fn query(
        &self,
        statement: &str,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        check_params(params)?;
        let mut prepared = self.connection.prepare_cached(statement).map_err(|source| self.error(source))?;
        let mut rows = prepared
            .query(rusqlite::params_from_iter(params.iter().map(Bound)))
            .map_err(|source| self.error(source))?;
        while let Some(row) = rows.next().map_err(|source| self.error(source))? {
            each(&NativeRow(row))?;
        }
        Ok(())
    }

    fn script(&self, statements: &str) -> Result<(), SqlError> {
        self.connection.execute_batch(statements).map_err(|source| self.error(source))
    }

    fn transaction(&self, body: &mut dyn FnMut() -> bool) -> Result<(), SqlError> {
        let depth = self.depth.get();
        self.begin(depth)?;
        self.depth.set(depth + 1);
        let keep = body();
        self.depth.set(depth);
        let ended = self.end(depth, keep);
        if ended.is_err() && depth == 0 && !self.connection.is_autocommit() {
            // A COMMIT that failed (disk full) leaves the transaction open: undo it, so that the next can begin.
            self.run("ROLLBACK")?;
        }
        // SQLite undoes a transaction by itself on some errors (a full disk); the savepoint is then gone with it.
        if !keep && self.connection.is_autocommit() { Ok(()) } else { ended }
    }
}

/// A statement keeps its plan whatever is bound to it. Otherwise each new bound of a range is planned anew, which costs a
/// third of a page of records.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(integer),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

struct NativeRow<'a, 'b>(&'a rusqlite::Row<'b>);

impl Row for NativeRow<'_, '_> {
    fn value(&self, column: usize) -> Result<Value<'_>, SqlError> {
        let value =
            self.0.get_ref(column).map_err(|_| SqlError::Column { column, expected: "there".into() })?;
        match value {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(integer) => Ok(Value::Integer(integer)),
            ValueRef::Text(text) => std::str::from_utf8(text)
                .map(Value::Text)
                .map_err(|_| SqlError::Column { column, expected: "UTF-8 text".into() }),
            ValueRef::Blob(bytes) => Ok(Value::Blob(bytes)),
            ValueRef::Real(_) => {
                Err(SqlError::Column { column, expected: "no floating point number".into() })
            }
        }
    }
}

/// What SQLite said, with the file it said it of.
fn error(place: &str, source: rusqlite::Error) -> SqlError {
    let message = format!("{place}: {source}");
    let extended = source.sqlite_error().map_or(0, |error| error.extended_code);
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => SqlError::Full,
        // The index of the write-ahead log could not be made, which reading needs as well.
        _ if extended == SQLITE_IOERR_SHMSIZE => SqlError::Full,
        // A quota that is used up is to SQLite a write that failed as any other.
        _ if matches!(extended, SQLITE_IOERR_WRITE | SQLITE_IOERR_FSYNC) && has_no_room(Path::new(place)) => {
            SqlError::Full
        }
        Some(ErrorCode::CannotOpen) if descriptors::are_gone() => SqlError::Busy,
        Some(ErrorCode::ConstraintViolation) => SqlError::Constraint(message),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => SqlError::Corrupt(message),
        Some(ErrorCode::TooBig) => SqlError::Limit("a value is over 2 MB".into()),
        _ => SqlError::Other(message),
    }
}

/// Whether a file beside this one finds no room either.
fn has_no_room(beside: &Path) -> bool {
    let write = || {
        let mut probe = tempfile::tempfile_in(beside.parent().unwrap_or(beside))?;
        probe.write_all(&[1; PROBE_BYTES])?;
        probe.sync_all()
    };
    write().is_err_and(|error: io::Error| is_full(&error))
}

/// Whether a file could not be written for want of room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{SQL_PARAMETERS_MAX, SQL_VALUE_BYTES_MAX};
    use crate::store::query_first;
    use rustix::io::Errno;

    fn count(database: &Database) -> i64 {
        query_first(database, "SELECT count(*) FROM t", &[], |row| row.integer(0)).unwrap().unwrap()
    }

    /// What breaks: who has used up a quota hears of an unknown fault, and nobody makes room.
    #[test]
    fn a_quota_is_room_too() {
        for (errno, want) in [(Errno::DQUOT, true), (Errno::NOSPC, true), (Errno::IO, false)] {
            assert_eq!(is_full(&errno.into()), want, "{errno}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_no_room(&folder.path().join("a.sqlite")), "there is room for this test");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays");
    }

    #[test]
    fn a_failed_inner_transaction_leaves_the_outer_one_whole() {
        let database = Database::in_memory().unwrap();
        database.script("CREATE TABLE t (a INTEGER) STRICT").unwrap();
        let insert = || database.execute("INSERT INTO t VALUES (?)", &[Value::Integer(1)]);
        in_transaction(&database, || {
            insert()?;
            let inner: Result<(), SqlError> = in_transaction(&database, || {
                insert()?;
                Err(SqlError::Full)
            });
            assert_eq!(inner, Err(SqlError::Full));
            insert()
        })
        .unwrap();
        assert_eq!(count(&database), 2);
    }

    /// What breaks: after its first checkpoint a log that is held by another program is waited for longer than its writer may.
    #[test]
    fn what_a_database_was_told_stays_after_a_checkpoint_and_a_synced_commit() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("log.sqlite"), Durability::Normal).unwrap();
        database.connection().busy_timeout(Duration::from_secs(1)).unwrap();
        assert!(database.checkpoint().unwrap());
        assert_eq!(database.pragma("busy_timeout"), Ok(1_000));
        assert_eq!(database.synced(|| database.pragma("synchronous")), Ok(2), "FULL");
        assert_eq!(database.pragma("synchronous"), Ok(1), "NORMAL");
    }

    #[test]
    fn values_over_the_shared_limits_are_refused() {
        let database = Database::in_memory().unwrap();
        let long = vec![0_u8; SQL_VALUE_BYTES_MAX + 1];
        assert!(matches!(database.execute("SELECT ?", &[Value::Blob(&long)]), Err(SqlError::Limit(_))));
        let many = vec![Value::Null; SQL_PARAMETERS_MAX + 1];
        assert!(matches!(database.execute("SELECT 1", &many), Err(SqlError::Limit(_))));
    }
}
