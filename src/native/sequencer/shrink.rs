//! Gives the room of expired events back to the disk, in small steps between the log's other work.
//!
//! Free pages are used again by the next events, so some are kept. A log of an earlier program can't be shrunk in steps; it is
//! written anew once, at a start at which that is quick.

use super::super::sql::Database;
use crate::store::{Sql as _, SqlError};

/// Pages moved at a time: some milliseconds' work.
const PAGES_AT_ONCE: i64 = 500;
/// Free pages (of 4 KiB) that are kept for the next events, at least.
const KEPT_PAGES_MIN: i64 = 2_048;
/// A log of an earlier program is written anew when this many pages of it are in use: a second's work or so.
const REWRITTEN_PAGES_MAX: i64 = 32_768;

/// SQLite's name for the mode in which a file can be shrunk in steps.
const INCREMENTAL: i64 = 2;

/// Makes the log one that can be shrunk, where it is not and that is quick.
pub(super) fn prepare(database: &Database) -> Result<(), SqlError> {
    let used = database.pragma("page_count")? - database.pragma("freelist_count")?;
    if database.pragma("auto_vacuum")? == INCREMENTAL || used > REWRITTEN_PAGES_MAX {
        return Ok(());
    }
    database.script("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
}

/// Takes a step; false when there is nothing more to give back.
pub(super) fn step(database: &Database) -> Result<bool, SqlError> {
    let spare = spare(database)?;
    if spare <= 0 || database.pragma("auto_vacuum")? != INCREMENTAL {
        return Ok(false);
    }
    give_back(database, spare.min(PAGES_AT_ONCE))?;
    let left = self::spare(database)?;
    if 0 < left && left < spare {
        return Ok(true);
    }
    // The file itself is cut when the write-ahead log is brought into it.
    database.checkpoint()?;
    Ok(false)
}

/// Free pages beyond those that are kept.
fn spare(database: &Database) -> Result<i64, SqlError> {
    let kept = (database.pragma("page_count")? / 8).max(KEPT_PAGES_MIN);
    Ok(database.pragma("freelist_count")? - kept)
}

/// SQLite frees one page for each row that is read of this.
fn give_back(database: &Database, pages: i64) -> Result<(), SqlError> {
    let free = || {
        let mut statement = database.connection().prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut freed = statement.query([])?;
        while freed.next()?.is_some() {}
        Ok(())
    };
    free().map_err(failed)
}

fn failed(error: rusqlite::Error) -> SqlError {
    SqlError::Other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::sql::Durability;
    use super::*;

    /// What breaks: a transaction for each page, and a core that does nothing else.
    #[test]
    fn a_step_gives_back_what_it_says_and_the_last_one_leaves_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sequencer.sqlite");
        let database = Database::open(&path, Durability::Normal).unwrap();
        prepare(&database).unwrap();
        database.script("CREATE TABLE t (a)").unwrap();
        let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
                    INSERT INTO t SELECT zeroblob(16000) FROM n";
        database.script(&format!("{fill}; DELETE FROM t")).unwrap();
        let free = || database.pragma("freelist_count").unwrap();
        let before = free();
        assert!(before > 2 * PAGES_AT_ONCE + KEPT_PAGES_MIN, "{before}");
        assert!(step(&database).unwrap());
        assert_eq!(free(), before - PAGES_AT_ONCE);
        let mut steps = 1;
        while step(&database).unwrap() {
            steps += 1;
        }
        assert_eq!(free(), KEPT_PAGES_MIN);
        assert_eq!(steps, (before - KEPT_PAGES_MIN) / PAGES_AT_ONCE);
        let bytes = std::fs::metadata(&path).unwrap().len().cast_signed();
        assert_eq!(bytes / 4096, database.pragma("page_count").unwrap());
    }
}
