//! Reads old events for subscribers, beside the writer and off the serving threads.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::super::sql::Database;
use super::websocket;
use crate::host::{Answered, Failed};
use crate::limits::FIREHOSE_WRITE_BYTES_MAX;
use crate::sequencer::{self, Error, Query, Reply, after_damage, for_each_event, last_outbox_id};
use crate::syntax::Did;

/// Reads that run at the same time: more would only take the processors from the writers.
const READERS_MAX: usize = 2;
/// Events in one read; the bytes bound it first unless events are tiny.
const EVENTS_MAX: u32 = 1000;
/// What all who are behind hold of old events together, about, while they do not read; each at least so much.
const HELD_BYTES: usize = 32 * 1024 * 1024;
const READ_BYTES_MIN: usize = 32 * 1024;

/// Damaged places that are told in the log, each once: a reader comes by as often as it likes.
const TOLD_MAX: usize = 1000;

/// What is there after a cursor.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Old events, as messages back to back.
    Events { bytes: Bytes, last_seq: i64 },
    /// A damaged part of the log, which can be read again after `resume`.
    Damaged { resume: i64 },
    /// Nothing.
    End,
}

pub(super) struct Backfill {
    path: PathBuf,
    behind: AtomicUsize,
    idle: Arc<Mutex<Vec<Database>>>,
    told: Arc<Mutex<HashSet<i64>>>,
    permits: Semaphore,
}

/// One who is behind.
pub(super) struct Behind<'a>(&'a AtomicUsize);

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Backfill {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            behind: AtomicUsize::new(0),
            idle: Arc::default(),
            told: Arc::default(),
            permits: Semaphore::new(READERS_MAX),
        }
    }

    /// Counts one who is behind, until this is dropped.
    pub(super) fn fall_behind(&self) -> Behind<'_> {
        self.behind.fetch_add(1, Ordering::Relaxed);
        Behind(&self.behind)
    }

    /// The events after `cursor`, bounded. The log has no others than these up to `through`.
    pub(super) async fn read(&self, cursor: i64, through: i64) -> Answered<Chunk, Error> {
        let (path, told) = (self.path.clone(), Arc::clone(&self.told));
        let bytes_max = read_bytes(self.behind.load(Ordering::Relaxed));
        self.on_a_connection(move |database| {
            let error = match read_chunk(database, cursor, bytes_max) {
                Err(error) => error,
                chunk => return chunk,
            };
            let resume = after_damage(database, cursor, through);
            if resume == cursor {
                return read_chunk(database, cursor, bytes_max);
            }
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < TOLD_MAX && told.insert(resume) {
                let file = path.display();
                tracing::error!(
                    %file, after = cursor, resume, %error,
                    "the event log is damaged: who reads it is led past and told OutdatedCursor"
                );
            }
            Ok(Chunk::Damaged { resume })
        })
        .await
    }

    pub(super) async fn last_outbox_id(&self, did: Did) -> Answered<i64, Error> {
        self.on_a_connection(move |database| Ok(last_outbox_id(database, &did)?)).await
    }

    /// Answers a command that only reads.
    pub(super) async fn ask(&self, query: Query) -> Answered<Reply, Error> {
        self.on_a_connection(move |database| sequencer::read(database, query)).await
    }

    async fn on_a_connection<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Database) -> Result<T, Error> + Send + 'static,
    ) -> Answered<T, Error> {
        let _permit = self.permits.acquire().await.map_err(|_| Failed::Stopping)?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let read = move || {
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let database = match pooled {
                Some(database) => database,
                None => Database::open_read_only(&path)?,
            };
            let answer = ask(&database)?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
            Ok(answer)
        };
        let read: Result<_, Error> = tokio::task::spawn_blocking(read).await.map_err(|_| Failed::Stopping)?;
        Ok(read?)
    }
}

/// Bytes of one read, while so many are behind.
fn read_bytes(behind: usize) -> usize {
    (HELD_BYTES / behind.max(1)).clamp(READ_BYTES_MIN, FIREHOSE_WRITE_BYTES_MAX)
}

fn read_chunk(database: &Database, cursor: i64, bytes_max: usize) -> Result<Chunk, Error> {
    let mut bytes = Vec::with_capacity(bytes_max + bytes_max / 8);
    let mut last = None;
    let read = for_each_event(database, cursor, EVENTS_MAX, bytes_max as u64, &mut |seq, _, frame| {
        websocket::write_binary(&mut bytes, frame);
        last = Some(seq);
    });
    match (last, read) {
        // What can be read before a damaged place goes out; the next read begins at it.
        (Some(last_seq), _) => Ok(Chunk::Events { bytes: bytes.into(), last_seq }),
        (None, Ok(())) => Ok(Chunk::End),
        (None, Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FIREHOSE_SUBSCRIBERS_MAX;

    #[test]
    fn who_is_behind_with_many_others_is_read_less_at_a_time() {
        assert_eq!([0, 1, 100].map(read_bytes), [FIREHOSE_WRITE_BYTES_MAX; 3]);
        assert!(FIREHOSE_SUBSCRIBERS_MAX * read_bytes(FIREHOSE_SUBSCRIBERS_MAX) <= 2 * HELD_BYTES);
        let backfill = Backfill::new(PathBuf::new());
        drop((backfill.fall_behind(), backfill.fall_behind()));
        assert_eq!(backfill.behind.into_inner(), 0);
    }
}
