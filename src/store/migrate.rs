//! Numbered migrations, the same on every host.
//!
//! Each cell has a folder under `migrations/`; its files are embedded and applied in order, each in one transaction
//! together with the row that records it. The version lives in a table, because a Durable Object refuses
//! `PRAGMA user_version`.

use super::{Sql, SqlError, Value, in_transaction, query_first};

/// One migration: its number (from 1, without gaps), its name, its statements.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The number the file name starts with.
    pub number: i64,
    /// The rest of the file name.
    pub name: &'static str,
    /// The file's text.
    pub statements: &'static str,
}

/// Declares a cell's migrations from its folder: `migrations!("account", 1 "init", 2 "vault")`.
#[macro_export]
macro_rules! migrations {
    ($folder:literal, $($number:literal $file:literal),+ $(,)?) => {
        &[$($crate::store::migrate::Migration {
            number: $number,
            name: $file,
            statements: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $file, ".sql")),
        }),+]
    };
}

/// Applies those of `migrations` that this database does not have yet.
///
/// # Errors
/// [`SqlError`] of the first that fails (it leaves no trace), or [`SqlError::Newer`].
pub fn migrate(sql: &dyn Sql, migrations: &[Migration]) -> Result<(), SqlError> {
    sql.script(
        "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
    )?;
    let applied = applied(sql, migrations)?;
    for migration in migrations.iter().filter(|migration| migration.number > applied) {
        in_transaction(sql, || {
            sql.script(migration.statements)?;
            sql.execute(
                "INSERT INTO schema_migration (number, name) VALUES (?, ?)",
                &[Value::Integer(migration.number), Value::Text(migration.name)],
            )
        })?;
    }
    Ok(())
}

/// Whether this database has all of `migrations`: a connection that only reads can't apply them.
///
/// # Errors
/// [`SqlError`], [`SqlError::Newer`] too.
pub fn is_current(sql: &dyn Sql, migrations: &[Migration]) -> Result<bool, SqlError> {
    Ok(applied(sql, migrations)? == newest(migrations))
}

/// The number of the last migration that this database has.
fn applied(sql: &dyn Sql, migrations: &[Migration]) -> Result<i64, SqlError> {
    let statement = "SELECT coalesce(max(number), 0) FROM schema_migration";
    let found = query_first(sql, statement, &[], |row| row.integer(0))?.unwrap_or(0);
    let known = newest(migrations);
    if found > known { Err(SqlError::Newer { place: sql.place(), found, known }) } else { Ok(found) }
}

fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |last| last.number)
}
