//! Reads old events for subscribers, beside the writer and off the serving threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::super::sql::Database;
use super::websocket;
use crate::host::{Answered, Failed};
use crate::limits::FIREHOSE_WRITE_BYTES_MAX;
use crate::sequencer::{Error, for_each_event};

/// Reads that run at the same time: more would only take the processors from the writers.
const READERS_MAX: usize = 2;
/// Events in one read; the bytes bound it first unless events are tiny.
const EVENTS_MAX: u32 = 1000;

/// Old events, as messages back to back.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) last_seq: i64,
}

pub(super) struct Backfill {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Database>>>,
    permits: Semaphore,
}

impl Backfill {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), permits: Semaphore::new(READERS_MAX) }
    }

    /// The events after `cursor`, bounded; `None` when there are none.
    pub(super) async fn read(&self, cursor: i64) -> Answered<Option<Chunk>, Error> {
        let _permit = self.permits.acquire().await.map_err(|_| Failed::Stopping)?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let read = move || {
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let database = match pooled {
                Some(database) => database,
                None => Database::open_read_only(&path)?,
            };
            let chunk = read_chunk(&database, cursor)?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(database);
            Ok(chunk)
        };
        let read: Result<_, Error> = tokio::task::spawn_blocking(read).await.map_err(|_| Failed::Stopping)?;
        Ok(read?)
    }
}

fn read_chunk(database: &Database, cursor: i64) -> Result<Option<Chunk>, Error> {
    let mut bytes = Vec::with_capacity(FIREHOSE_WRITE_BYTES_MAX + FIREHOSE_WRITE_BYTES_MAX / 8);
    let mut last_seq = None;
    for_each_event(database, cursor, EVENTS_MAX, FIREHOSE_WRITE_BYTES_MAX as u64, &mut |seq, _, frame| {
        websocket::write_binary(&mut bytes, frame);
        last_seq = Some(seq);
    })?;
    Ok(last_seq.map(|last_seq| Chunk { bytes: bytes.into(), last_seq }))
}
