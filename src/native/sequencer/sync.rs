//! Brings the event log to disk beside its writer, and tells the agents.
//!
//! The log runs with `synchronous = NORMAL`: a commit is in the write-ahead log file, but not on disk. Every 100 ms,
//! if something was appended, this thread syncs that file and then raises the marks of the agents whose events were
//! appended before the sync began. The thread also checkpoints, so that the writer seldom has to.
//!
//! Tricky bit: after a sync that failed, the kernel may have dropped the pages and report success the next time. So
//! no mark is raised any more until the process starts again: the outboxes keep everything, and are drained then. Nothing
//! but a failed sync does that. The log's file is held open for good, so that a sync needs no descriptor, and hears of every
//! write that failed since.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::super::sql::{Database, Durability};
use super::Standing;
use crate::store::SqlError;

/// How long a power cut may reach back into the log; what it takes is drained again.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// The size of the write-ahead log at which this thread checkpoints.
const CHECKPOINT_BYTES: u64 = 8 * 1024 * 1024;

/// An agent's mark and the outbox id to raise it to.
pub(super) type Mark = (Arc<AtomicI64>, i64);

pub(super) struct Syncer {
    appended: Receiver<Vec<Mark>>,
    wal: File,
    /// A connection of its own, for checkpoints.
    database: Database,
    /// Told when outboxes are kept.
    standing: Arc<Standing>,
}

impl Syncer {
    /// For the database at `path`, which is open already. The thread ends when the sender is dropped.
    pub(super) fn new(path: &Path, standing: Arc<Standing>) -> Result<(Sender<Vec<Mark>>, Self), SqlError> {
        let (sender, appended) = channel();
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let database = Database::open(path, Durability::Normal)?;
        let wal =
            File::open(&wal).map_err(|error| SqlError::Other(format!("open the event log: {error}")))?;
        // The files' names have to survive as well.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| SqlError::Other(format!("sync the data folder: {error}")))?;
        Ok((sender, Self { appended, wal, database, standing }))
    }

    pub(super) fn run(self) {
        let mut failed = false;
        while let Ok(mut marks) = self.appended.recv() {
            let ended = self.gather(&mut marks);
            if !failed {
                match self.sync() {
                    Ok(()) => raise(&marks),
                    Err(error) => {
                        failed = true;
                        self.standing.unsynced.store(true, Ordering::Relaxed);
                        self.standing.behind.store(true, Ordering::Relaxed);
                        metrics::gauge!("zap_firehose_unsynced").set(1);
                        tracing::error!(%error, "syncing the event log failed: outboxes are kept until a restart");
                    }
                }
            }
            if ended {
                break;
            }
        }
    }

    /// Takes all that is appended in the interval; true when the writer has ended.
    fn gather(&self, marks: &mut Vec<Mark>) -> bool {
        let until = std::time::Instant::now() + SYNC_INTERVAL;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.appended.recv_timeout(left) {
                Ok(more) => marks.extend(more),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return false,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    fn sync(&self) -> std::io::Result<()> {
        self.wal.sync_data()?;
        if self.wal.metadata().is_ok_and(|wal| wal.len() > CHECKPOINT_BYTES) {
            // Busy or failed: the next one, or the writer's own, does it.
            let checkpoint =
                self.database.connection().query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if let Err(error) = checkpoint {
                tracing::warn!(%error, "checkpoint of the event log failed");
            }
        }
        Ok(())
    }
}

fn raise(marks: &[Mark]) {
    for (mark, outbox_id) in marks {
        mark.fetch_max(*outbox_id, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_sync_no_mark_rises_and_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sequencer.sqlite");
        let database = Database::open(&path, Durability::Normal).unwrap();
        database.connection().execute_batch("CREATE TABLE t (a)").unwrap();
        let standing = Arc::new(Standing::default());
        let (marks, syncer) = Syncer::new(&path, Arc::clone(&standing)).unwrap();
        // A file that can't be synced.
        let syncer = Syncer { wal: File::open("/dev/null").unwrap(), ..syncer };
        let mark = Arc::new(AtomicI64::new(0));
        marks.send(vec![(Arc::clone(&mark), 7)]).unwrap();
        drop(marks);
        syncer.run();
        assert_eq!(mark.load(Ordering::Acquire), 0);
        assert!(standing.unsynced.load(Ordering::Relaxed) && standing.behind.load(Ordering::Relaxed));
    }
}
