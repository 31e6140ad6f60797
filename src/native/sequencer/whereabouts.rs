//! Whether the data folder is the one that was left: when a backup was put in its place, the network knows later states
//! than we do, and has to be told.
//!
//! At each start and each stop a file beside the log is made anew, and its inode and the time of its last change, which no
//! copy keeps, are noted in the log. Where the two don't agree, one of them is of another time. A folder that is moved to
//! another disk looks the same as a backup, which costs each account some events and nothing else.
//!
//! The file has two names by turns: the one that the log knows goes when the other one is noted, and that is on disk. So a
//! full disk, a log that takes nothing, or a power cut leaves the two agreeing.
//!
//! What copies whole volumes keeps both. Then it is the operator who knows (see `super::super::restored`).

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::files;
use crate::store::{Sql, SqlError, Value, query_first};

const FILES: [&str; 2] = ["here", "here.other"];

/// Whether the folder is another than the log knows.
pub(super) fn have_changed(sql: &dyn Sql, folder: &Path) -> Result<bool, SqlError> {
    let found: Vec<_> = FILES.iter().filter_map(|name| of(&folder.join(name))).collect();
    Ok(match noted(sql)? {
        Some(noted) => !found.contains(&noted),
        // Neither is there before the first start of a program that knows of them.
        None => !found.is_empty(),
    })
}

/// Notes that it is this folder, now. The caller sees to it that a commit is on disk.
pub(super) fn note(sql: &dyn Sql, folder: &Path) -> Result<(), SqlError> {
    let [here, other] = FILES.map(|name| folder.join(name));
    let (new, old) =
        if of(&here).is_some() && of(&here) == noted(sql)? { (other, here) } else { (here, other) };
    remove(&new)?;
    files::note(&new)?;
    let now = of(&new);
    sql.execute("UPDATE head SET whereabouts = ? WHERE id = 1", &[Value::optional_text(now.as_deref())])?;
    remove(&old)
}

fn noted(sql: &dyn Sql) -> Result<Option<String>, SqlError> {
    let noted = query_first(sql, "SELECT whereabouts FROM head WHERE id = 1", &[], |row| {
        Ok(row.optional_text(0)?.map(str::to_owned))
    })?;
    Ok(noted.flatten())
}

fn remove(file: &Path) -> Result<(), SqlError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(SqlError::Other(format!("{}: {error}", file.display())))
        }
        _ => Ok(()),
    }
}

fn of(file: &Path) -> Option<String> {
    let file = std::fs::metadata(file).ok()?;
    Some(format!("{} {}.{:09}", file.ino(), file.ctime(), file.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::Sequencer;
    use crate::testing::{Disk, DiskFault};

    /// What breaks: all accounts say anew where they stand, more than a relay takes of a new host in a day.
    #[test]
    fn a_note_that_fails_or_is_cut_short_leaves_log_and_file_agreeing() {
        for fault in [DiskFault::Full, DiskFault::Io, DiskFault::CrashBefore, DiskFault::CrashAfter] {
            let (folder, disk) = (tempfile::tempdir().unwrap(), Disk::default());
            Sequencer::load(&disk).unwrap();
            for _ in 0..3 {
                note(&disk, folder.path()).unwrap();
                assert!(!have_changed(&disk, folder.path()).unwrap());
                disk.fail_after(0, fault);
                note(&disk, folder.path()).unwrap_err();
                disk.power_on();
                assert!(!have_changed(&disk, folder.path()).unwrap(), "{fault:?}");
            }
        }
    }

    #[test]
    fn a_copy_or_an_older_log_is_noticed_whichever_name_the_file_has() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sql = Disk::default();
        Sequencer::load(&sql).unwrap();
        for _ in 0..2 {
            note(&sql, folder.path()).unwrap();
            let older = noted(&sql).unwrap();
            for name in FILES {
                let _ = std::fs::copy(folder.path().join(name), copy.path().join(name));
            }
            assert!(have_changed(&sql, copy.path()).unwrap());
            note(&sql, folder.path()).unwrap();
            assert!(!have_changed(&sql, folder.path()).unwrap());
            let statement = "UPDATE head SET whereabouts = ?";
            sql.execute(statement, &[Value::optional_text(older.as_deref())]).unwrap();
            assert!(have_changed(&sql, folder.path()).unwrap(), "an older log with the file of today");
            note(&sql, folder.path()).unwrap();
            assert!(!have_changed(&sql, folder.path()).unwrap());
        }
    }
}
