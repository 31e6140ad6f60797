//! An account's database, rebuilt beside the old one, whose place it takes whole. Read is what can be read: rows from both
//! ends of a table up to the damage, and by name what else the tree knows of.

use std::path::PathBuf;

use repo_mst::Walk;
use rusqlite::types::Value as Cell;

use super::RepairError;
use super::place::{failed, remove, take_place};
use crate::account::MIGRATIONS;
use crate::account::rebuild::{rebuild_tree, sign_anew};
use crate::env::{Env, Network};
use crate::native::clock::{now_us, system_random};
use crate::native::files::Files;
use crate::native::label::{self, Part};
use crate::native::sql::{Database, Durability};
use crate::repo::{Head, Nodes};
use crate::store::migrate::migrate;
use crate::store::{SqlError, in_transaction};
use crate::syntax::Did;

/// What a rebuilt repo came to.
#[derive(Debug)]
pub struct Rebuilt {
    /// Records in it.
    pub records: u64,
    /// Records that are gone.
    pub lost: Vec<String>,
    /// Sealed records that no key opens any more.
    pub keyless: u64,
    /// Where the damaged database went. It holds keys: it has to be removed.
    pub damaged: PathBuf,
}

/// The tables of an account, each with its key, those that others refer to first. Nodes and references are made anew.
const TABLES: [(&str, &str); 14] = [
    ("account", "id"),
    ("head", "id"),
    ("key_root", "id"),
    ("key_epoch", "id"),
    ("keyring", "rkey"),
    ("move_key", "id"),
    ("export", "id"),
    ("outbox", "slot"),
    ("blob", "cid"),
    ("record", "path"),
    ("blob_reference", "path, cid"),
    ("preferences", "id"),
    ("record_takedown", "path"),
    ("blob_takedown", "cid"),
];

/// Rebuilds an account's database. Where records are lost, a commit is signed over the others with `network`'s master key,
/// if it is given, and nothing is changed if not.
///
/// # Errors
/// [`RepairError`]; then the database is as it was.
pub fn rebuild_account(files: &Files, did: &Did, network: Option<&Network>) -> Result<Rebuilt, RepairError> {
    let file = files.account(did);
    // A database whose log was not brought into it yet is read with it; a writer's connection may bring it in.
    let old = Database::open_read_only(&file)?;
    let half_made = file.with_extension("rebuilt");
    remove(&half_made)?;
    let new = Database::open(&half_made, Durability::Full)?;
    migrate(&new, MIGRATIONS)?;
    label::claim(&new, files.network(), Part::Account(None))?;
    let known = known_records(&old);
    let mut rebuilt = in_transaction(&new, || -> Result<Rebuilt, RepairError> {
        for (table, key) in TABLES {
            salvage(&old, &new, table, key)?;
        }
        for path in &known {
            copy_row(&old, &new, "record", "path", path);
            if let Some(rkey) = path.strip_prefix(&format!("{}/", crate::vault::COLLECTION)) {
                copy_row(&old, &new, "keyring", "rkey", rkey);
            }
        }
        for (table, what) in
            [("account", "its signing key"), ("key_root", "the key above its memories' keys")]
        {
            if count(&new, table)? == 0 {
                return Err(RepairError::Hopeless { file: file.clone(), what });
            }
        }
        let tree = rebuild_tree(&new)?;
        let mut lost = tree.left_out;
        lost.extend(known.iter().filter(|path| !has_record(&new, path)).cloned());
        lost.sort();
        lost.dedup();
        if !tree.is_committed {
            let Some(network) = network else { return Err(RepairError::Lost { lost }) };
            let mut rng = system_random();
            let mut env = Env { now_us: now_us(), rng: &mut rng, network };
            sign_anew(&new, &mut env, did, tree.data)?;
        }
        Ok(Rebuilt { records: tree.records, lost, keyless: keyless(&new)?, damaged: PathBuf::new() })
    })
    .inspect_err(|_| drop(remove(&half_made)))?;
    new.checkpoint()?;
    drop((old, new));
    rebuilt.damaged = take_place(&half_made, &file)?;
    Ok(rebuilt)
}

/// The paths that the tree names, as far as it can be read.
fn known_records(old: &Database) -> Vec<String> {
    let Ok(Some(head)) = Head::read(old) else { return Vec::new() };
    let nodes = Nodes(old);
    let Ok(walk) = Walk::new(&nodes, &head.data) else { return Vec::new() };
    walk.records().map_while(Result::ok).map(|(path, _)| path.to_string()).collect()
}

/// Copies what can be read of a table: from its beginning up to the damage, and from its end back to it.
pub(super) fn salvage(old: &Database, new: &Database, table: &str, key: &str) -> Result<(), SqlError> {
    let there = "SELECT count(*) FROM sqlite_master WHERE name = ?";
    let there: i64 = old.connection().query_row(there, [table], |row| row.get(0)).map_err(failed)?;
    if there == 0 {
        return Ok(()); // Of an earlier schema.
    }
    // Before its rows were written over: the slot of a row of its own is its id.
    let is_older = table == "outbox" && old.connection().prepare("SELECT slot FROM outbox").is_err();
    let columns = if is_older { "id AS slot, *" } else { "*" };
    let key = if is_older { "id" } else { key };
    for order in ["ASC", "DESC"] {
        let keys: Vec<_> = key.split(", ").map(|key| format!("{key} {order}")).collect();
        let select = format!("SELECT {columns} FROM {table} ORDER BY {}", keys.join(", "));
        let Ok(mut rows) = old.connection().prepare(&select) else { continue };
        let columns = rows.column_count();
        let insert = insert(&rows, table);
        let Ok(mut rows) = rows.query([]) else { continue };
        loop {
            match rows.next() {
                Ok(Some(row)) => put(new, &insert, row, columns),
                Ok(None) => return Ok(()),
                Err(_) => break,
            }
        }
    }
    Ok(())
}

/// Copies one row by its key, if it can be read and is not there yet.
fn copy_row(old: &Database, new: &Database, table: &str, key: &str, value: &str) {
    let select = format!("SELECT * FROM {table} WHERE {key} = ?");
    let Ok(mut statement) = old.connection().prepare_cached(&select) else { return };
    let columns = statement.column_count();
    let insert = insert(&statement, table);
    if let Ok(mut rows) = statement.query([value])
        && let Ok(Some(row)) = rows.next()
    {
        put(new, &insert, row, columns);
    }
}

fn insert(rows: &rusqlite::Statement<'_>, table: &str) -> String {
    let names: Vec<_> = rows.column_names().collect();
    let marks = vec!["?"; names.len()].join(", ");
    format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", names.join(", "))
}

/// A row that can't be put is one that damage made: it is lost, and what lacks it says so.
fn put(new: &Database, insert: &str, row: &rusqlite::Row<'_>, columns: usize) {
    let cells: rusqlite::Result<Vec<Cell>> = (0..columns).map(|column| row.get(column)).collect();
    if let Ok(cells) = cells
        && let Ok(mut statement) = new.connection().prepare_cached(insert)
    {
        let _ = statement.execute(rusqlite::params_from_iter(cells));
    }
}

fn count(database: &Database, table: &str) -> Result<i64, SqlError> {
    let statement = format!("SELECT count(*) FROM {table}");
    database.connection().query_row(&statement, [], |row| row.get(0)).map_err(failed)
}

fn has_record(database: &Database, path: &str) -> bool {
    database.connection().query_row("SELECT 1 FROM record WHERE path = ?", [path], |_| Ok(())).is_ok()
}

/// Sealed records without a key.
fn keyless(database: &Database) -> Result<u64, SqlError> {
    let prefix = format!("{}/", crate::vault::COLLECTION);
    let statement = "SELECT count(*) FROM record WHERE path > ?1 AND path < ?2 \
                     AND substr(path, length(?1) + 1) NOT IN (SELECT rkey FROM keyring)";
    let end = format!("{}0", crate::vault::COLLECTION);
    let count = database.connection().query_row(statement, [&prefix, &end], |row| row.get::<_, i64>(0));
    Ok(count.map_err(failed)?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sql as _;

    /// What breaks: events that the program before left are gone without a word.
    #[test]
    fn an_outbox_of_the_schema_before_is_salvaged() {
        let (old, new) = (Database::in_memory().unwrap(), Database::in_memory().unwrap());
        migrate(&old, &MIGRATIONS[..11]).unwrap();
        migrate(&new, MIGRATIONS).unwrap();
        old.script(
            "INSERT INTO outbox (id, kind, seq_at, frame) VALUES (7000, 1, 3, x'07'), (8000, 1, 3, x'08')",
        )
        .unwrap();
        salvage(&old, &new, "outbox", "slot").unwrap();
        let rows = "SELECT count(*), sum(slot = id), sum(id) FROM outbox";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: (i64, i64, i64) = new.connection().query_row(rows, [], read).unwrap();
        assert_eq!(found, (2, 2, 15_000));
    }
}
