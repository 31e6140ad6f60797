//! Reading beside the writers: a bounded pool of read-only connections, taken out for one use and put back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::files::Files;
use super::label::{self, Part};
use super::sql::Database;
use crate::account::{Error, MIGRATIONS};
use crate::limits::EXPORT_OWED_SECONDS;
use crate::store::migrate::is_current;
use crate::syntax::Did;

/// Idle read-only connections, by agent; and who is waited for by a writer.
pub(super) struct Readers {
    idle_max: usize,
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

/// A connection that was taken out.
pub(super) struct Reader<'a> {
    readers: &'a Readers,
    did: &'a Did,
    database: Database,
    removals: u64,
}

impl Reader<'_> {
    /// Runs `read` over one snapshot: what it reads belongs together, whatever is written meanwhile.
    ///
    /// # Errors
    /// That of `read`.
    pub(super) fn read<T>(self, read: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        let answer = self.database.snapshot(|| read(&self.database));
        self.keep();
        answer
    }

    /// Puts it back.
    pub(super) fn keep(self) {
        // One whose transaction could not be ended would hold the log for good.
        if self.database.connection().is_autocommit() {
            self.readers.put(self.did, self.database, self.removals);
        }
    }
}

impl Readers {
    /// None yet, and never more idle ones than `idle_max`.
    pub(super) fn new(idle_max: usize) -> Self {
        Self { idle_max, idle: Mutex::default(), hurried: Mutex::default() }
    }

    /// A connection to the account of `did`; `None` when its database is of an earlier version, which the writer has to
    /// bring up to date first.
    ///
    /// # Errors
    /// [`Error::NoRepo`] when there is no database, or that of opening it.
    pub(super) fn connect<'a>(&'a self, files: &Files, did: &'a Did) -> Result<Option<Reader<'a>>, Error> {
        let (taken, removals) = self.take(did);
        let database = match taken {
            Some(database) => database,
            None => {
                let path = files.account(did);
                if !path.exists() {
                    return Err(Error::NoRepo);
                }
                let database = Database::open_read_only(&path)?;
                let part = Part::Account(Some(did));
                if !is_current(&database, MIGRATIONS)? || !label::has(&database, files.network(), part)? {
                    return Ok(None);
                }
                database
            }
        };
        Ok(Some(Reader { readers: self, did, database, removals }))
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
            while idle.count > self.idle_max {
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
