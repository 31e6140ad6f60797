//! Reading beside the writers: a bounded pool of read-only connections, taken out for one use and put back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::files::Files;
use super::sql::Database;
use crate::agent::Error;
use crate::limits::READERS_IDLE_MAX;
use crate::syntax::Did;

/// Idle read-only connections, by agent.
#[derive(Default)]
pub(super) struct Readers {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: HashMap<Did, (u64, Vec<Database>)>,
    count: usize,
    turn: u64,
}

impl Readers {
    /// Runs `read` on a connection of `did`.
    ///
    /// # Errors
    /// [`Error::NoRepo`] when there is no database, or that of `read`.
    pub(super) fn read<T>(
        &self,
        files: &Files,
        did: &Did,
        read: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let database = match self.take(did) {
            Some(database) => database,
            None => {
                let path = files.agent(did);
                if !path.exists() {
                    return Err(Error::NoRepo);
                }
                Database::open_read_only(&path)?
            }
        };
        let answer = read(&database);
        self.put(did, database);
        answer
    }

    /// Closes the idle connections of an agent that is removed.
    pub(super) fn forget(&self, did: &Did) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connections)) = idle.connections.remove(did) {
            idle.count -= connections.len();
        }
    }

    fn take(&self, did: &Did) -> Option<Database> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, connections) = idle.connections.get_mut(did)?;
        let taken = connections.pop()?;
        idle.count -= 1;
        Some(taken)
    }

    fn put(&self, did: &Did, database: Database) {
        let mut closed = Vec::new();
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
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
