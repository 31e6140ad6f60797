//! A disk that fails when a test wants it to: a real SQLite database in memory behind [`Sql`].
//!
//! Writes are counted: each statement that writes, and each commit of an outermost transaction. A test says which one
//! fails and how. After a crash nothing goes any more until [`Disk::power_on`]; what was not committed is gone.

use std::cell::Cell;

use crate::native::sql::Database;
use crate::store::{Row, Sql, SqlError, Value};

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// It is not done: no space is left.
    Full,
    /// It is not done: the disk can't.
    Io,
    /// It is not done, for the machine stops.
    CrashBefore,
    /// It is done, and the machine stops before anybody hears so.
    CrashAfter,
}

impl DiskFault {
    fn error(self) -> SqlError {
        match self {
            Self::Full => SqlError::Full,
            Self::Io => SqlError::Other("disk I/O error".to_owned()),
            Self::CrashBefore | Self::CrashAfter => SqlError::Other("the machine has stopped".to_owned()),
        }
    }
}

/// The disk of one cell; a new one is empty.
pub struct Disk {
    database: Database,
    /// How many writes go well, and what becomes of the one after them.
    fault: Cell<Option<(u64, DiskFault)>>,
    is_off: Cell<bool>,
    writes: Cell<u64>,
    rows: Cell<u64>,
    depth: Cell<u32>,
}

impl Default for Disk {
    fn default() -> Self {
        Self::over(Database::in_memory().unwrap())
    }
}

impl Disk {
    /// One that holds a database.
    pub fn over(database: Database) -> Self {
        Self {
            database,
            fault: Cell::default(),
            is_off: Cell::default(),
            writes: Cell::default(),
            rows: Cell::default(),
            depth: Cell::default(),
        }
    }

    /// The database itself, which never fails.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// How many writes were tried so far.
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// How many rows were read so far.
    pub fn rows(&self) -> u64 {
        self.rows.get()
    }

    /// After so many more writes, the next one meets a fault; those behind it go well, but for a crash.
    pub fn fail_after(&self, writes: u64, fault: DiskFault) {
        self.fault.set(Some((writes, fault)));
    }

    /// Takes a fault back that has not happened yet, and starts the machine if it has stopped.
    pub fn power_on(&self) {
        self.fault.set(None);
        self.is_off.set(false);
    }

    fn check(&self) -> Result<(), SqlError> {
        if self.is_off.get() { Err(DiskFault::CrashBefore.error()) } else { Ok(()) }
    }

    /// Counts a write; answers what becomes of it, when that is not what it should.
    fn next_fault(&self) -> Option<DiskFault> {
        self.writes.set(self.writes.get() + 1);
        let (left, fault) = self.fault.get()?;
        self.fault.set(left.checked_sub(1).map(|left| (left, fault)));
        (left == 0).then_some(fault)
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
        self.check()?;
        let Some(fault) = self.next_fault() else { return write() };
        if fault == DiskFault::CrashAfter {
            write()?;
        }
        self.is_off.set(matches!(fault, DiskFault::CrashBefore | DiskFault::CrashAfter));
        Err(fault.error())
    }
}

impl Sql for Disk {
    fn execute(&self, statement: &str, params: &[Value<'_>]) -> Result<(), SqlError> {
        self.write(|| self.database.execute(statement, params))
    }

    fn execute_counted(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, SqlError> {
        self.write(|| self.database.execute_counted(statement, params))
    }

    fn query(
        &self,
        statement: &str,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let mut each = |row: &dyn Row| {
            self.rows.set(self.rows.get() + 1);
            each(row)
        };
        if statement.contains("RETURNING") {
            return self.write(|| self.database.query(statement, params, &mut each));
        }
        self.check()?;
        self.database.query(statement, params, &mut each)
    }

    fn script(&self, statements: &str) -> Result<(), SqlError> {
        self.write(|| self.database.script(statements))
    }

    fn transaction(&self, body: &mut dyn FnMut() -> bool) -> Result<(), SqlError> {
        self.check()?;
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        let mut fault = None;
        let ended = self.database.transaction(&mut || {
            let keep = body() && !self.is_off.get();
            if keep && depth == 0 {
                fault = self.next_fault();
            }
            keep && matches!(fault, None | Some(DiskFault::CrashAfter))
        });
        self.depth.set(depth);
        if let Some(fault) = fault {
            self.is_off.set(matches!(fault, DiskFault::CrashBefore | DiskFault::CrashAfter));
            return Err(fault.error());
        }
        ended.and_then(|()| self.check())
    }
}
