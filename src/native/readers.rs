//! Reading beside the writers: a bounded pool of read-only connections, taken out for one use and put back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::files::Files;
use super::sql::Database;
use crate::account::Error;
use crate::limits::{EXPORT_OWED_SECONDS, READERS_IDLE_MAX};
use crate::syntax::Did;

/// Idle read-only connections, by agent; and who is waited for by a writer.
#[derive(Default)]
pub(super) struct Readers {
    idle: Mutex<Idle>,
    /// Agents whose log can't be cut for readers, and since when.
    hurried: Mutex<HashMap<Did, Instant>>,
}

#[derive(Default)]
struct Idle {
    connections: HashMap<Did, (u64, Vec<Database>)>,
    count: usize,
    turn: u64,
    /// Counts removals of agents, so that a connection from before one is not used after it.
    removals: u64,
}

impl Readers {
    /// Runs `read` on a connection of `did`, over one snapshot: what it reads belongs together, whatever is written
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::NoRepo`] when there is no database, or that of `read`.
    pub(super) fn read<T>(
        &self,
        files: &Files,
        did: &Did,
        read: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (taken, removals) = self.take(did);
        let database = match taken {
            Some(database) => database,
            None => {
                let path = files.account(did);
                if !path.exists() {
                    return Err(Error::NoRepo);
                }
                Database::open_read_only(&path)?
            }
        };
        let answer = database.snapshot(|| read(&database));
        // One whose transaction could not be ended would hold the log for good.
        if database.connection().is_autocommit() {
            self.put(did, database, removals);
        }
        answer
    }

    /// Tells those who read long that the agent's log is to be cut.
    pub(super) fn hurry(&self, did: &Did) {
        let mut hurried = self.hurried.lock().unwrap_or_else(PoisonError::into_inner);
        hurried.entry(did.clone()).or_insert_with(Instant::now);
    }

    /// Tells those who read long that the agent is removed: they end at once.
    pub(super) fn end(&self, did: &Did) {
        let past = Instant::now().checked_sub(Duration::from_secs(2 * EXPORT_OWED_SECONDS));
        let mut hurried = self.hurried.lock().unwrap_or_else(PoisonError::into_inner);
        hurried.insert(did.clone(), past.unwrap_or_else(Instant::now));
    }

    /// The log is cut.
    pub(super) fn settle(&self, did: &Did) {
        self.hurried.lock().unwrap_or_else(PoisonError::into_inner).remove(did);
    }

    /// How long the agent's log could not be cut, if it is to be.
    pub(super) fn hurried_for(&self, did: &Did) -> Option<Duration> {
        self.hurried.lock().unwrap_or_else(PoisonError::into_inner).get(did).map(Instant::elapsed)
    }

    /// Closes the idle connections of an agent that is removed.
    pub(super) fn forget(&self, did: &Did) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.removals += 1;
        if let Some((_, connections)) = idle.connections.remove(did) {
            idle.count -= connections.len();
        }
    }

    /// An idle connection, if there is one, and how many agents were removed so far.
    fn take(&self, did: &Did) -> (Option<Database>, u64) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle.connections.get_mut(did).and_then(|(_, connections)| connections.pop());
        idle.count -= usize::from(taken.is_some());
        (taken, idle.removals)
    }

    fn put(&self, did: &Did, database: Database, removals: u64) {
        let mut closed = Vec::new();
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.removals != removals {
                return; // The connection may be of a file that is gone, with another in its place.
            }
            idle.turn += 1;
            let turn = idle.turn;
            let (used, connections) = idle.connections.entry(did.clone()).or_default();
            *used = turn;
            connections.push(database);
            idle.count += 1;
            while idle.count > READERS_IDLE_MAX {
                let oldest = idle.connections.iter().min_by_key(|(_, (used, _))| *used);
                let Some(oldest) = oldest.map(|(did, _)| did.clone()) else { break };
                let Some((_, connections)) = idle.connections.remove(&oldest) else { break };
                idle.count -= connections.len();
                closed.extend(connections);
            }
        }
        // Closing takes system calls; not under the lock.
        drop(closed);
    }
}
