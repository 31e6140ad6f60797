//! Brings the event log to disk beside its writer, and tells the agents.
//!
//! The log runs with `synchronous = NORMAL`: a commit is in the write-ahead log file, but not on disk. Every 100 ms,
//! if something was appended, this thread syncs that file and then raises the marks of the agents whose events were
//! appended before the sync began. The thread also checkpoints, so that the writer seldom has to.
//!
//! Tricky bit: after a sync that failed, the kernel may have dropped the pages and report success the next time. So
//! no mark is raised any more until the process starts again: the outboxes keep everything, and are drained then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::super::sql::{Database, Durability};
use crate::store::SqlError;

/// How long a power cut may reach back into the log; what it takes is drained again.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// The size of the write-ahead log at which this thread checkpoints.
const CHECKPOINT_BYTES: u64 = 8 * 1024 * 1024;

/// An agent's mark and the outbox id to raise it to.
pub(super) type Mark = (Arc<AtomicI64>, i64);

pub(super) struct Syncer {
    appended: Receiver<Vec<Mark>>,
    wal: PathBuf,
    /// A connection of its own, for checkpoints.
    database: Database,
    /// Raised when outboxes are kept.
    behind: Arc<AtomicBool>,
}

impl Syncer {
    /// For the database at `path`, which is open already. The thread ends when the sender is dropped.
    pub(super) fn new(path: &Path, behind: Arc<AtomicBool>) -> Result<(Sender<Vec<Mark>>, Self), SqlError> {
        let (sender, appended) = channel();
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let database = Database::open(path, Durability::Normal)?;
        // The files' names have to survive as well.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| SqlError::Other(format!("sync the data folder: {error}")))?;
        Ok((sender, Self { appended, wal: wal.into(), database, behind }))
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
                        self.behind.store(true, Ordering::Relaxed);
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
        let wal = File::open(&self.wal)?;
        wal.sync_data()?;
        if wal.metadata()?.len() > CHECKPOINT_BYTES {
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
