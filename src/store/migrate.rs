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
/// [`SqlError`] of the first that fails (it leaves no trace), or when the database is newer than this program.
pub fn migrate(sql: &dyn Sql, migrations: &[Migration]) -> Result<(), SqlError> {
    sql.script(
        "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
    )?;
    let applied =
        query_first(sql, "SELECT coalesce(max(number), 0) FROM schema_migration", &[], |row| row.integer(0))?
            .unwrap_or(0);
    let newest = migrations.last().map_or(0, |last| last.number);
    if applied > newest {
        return Err(SqlError::Other(format!(
            "this database has schema {applied}, this program knows {newest}: use the newer program"
        )));
    }
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
