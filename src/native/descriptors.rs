//! File descriptors: how many the process has, and who may have how many of them.
//!
//! A third are for connections, three eighths for agents that are open, an eighth for those who read beside them, a sixteenth
//! for blobs on their way, a thirty-second for calls that go on to other services; the rest is for the network's own databases
//! and what it asks of others. Nobody takes what is another's, so
//! a database always opens. Of its memory, a machine has an eighth for agents that are open.

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::memory;
use crate::limits::{
    AGENT_OPEN_BYTES, AGENTS_OPEN_MAX, BLOBS_OPEN_MAX, CONNECTIONS_MAX, EXCHANGES_MAX, READERS_IDLE_MAX,
    SHARDS,
};

/// The database, its write-ahead log, and that log's index.
const FILES_A_WRITER: usize = 3;
/// A reader shares the index with the writer.
const FILES_A_READER: usize = 2;

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Open connections.
    pub connections: usize,
    /// Agents that one shard holds open.
    pub agents_a_shard: usize,
    /// Idle readers.
    pub readers: usize,
    /// Blobs that are read or written.
    pub blobs: usize,
    /// Calls that go on to another service.
    pub exchanges: usize,
}

impl Descriptors {
    /// As many as the process may have: the usual soft limit of 1,024 is a desktop's, so it is raised as far as may be.
    #[must_use]
    pub fn raised() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        let soft = limit.current;
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays low: with many agents, raise it (ulimit -n)");
            limit.current = soft;
        }
        let files = limit.current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
        Self::of(files, memory::bytes().unwrap_or(usize::MAX))
    }

    fn of(files: usize, memory: usize) -> Self {
        let agents = AGENTS_OPEN_MAX.min(files / 8 * 3 / FILES_A_WRITER).min(memory / 8 / AGENT_OPEN_BYTES);
        Self {
            connections: CONNECTIONS_MAX.min(files / 3),
            agents_a_shard: (agents / SHARDS).max(1),
            readers: READERS_IDLE_MAX.min(files / 8 / FILES_A_READER),
            blobs: BLOBS_OPEN_MAX.min(files / 16),
            exchanges: EXCHANGES_MAX.min(files / 32),
        }
    }
}

/// Whether this is that no file can be opened, of this process or of the machine.
#[must_use]
pub fn is_lack(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Whether no file can be opened now: who failed at opening one does not always say why.
#[must_use]
pub fn are_gone() -> bool {
    std::fs::File::open("/dev/null").is_err_and(|error| is_lack(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_limit_some_are_left() {
        for files in [512, 1_024, 4_096, 65_536, 1 << 20] {
            let Descriptors { connections, agents_a_shard, readers, blobs, exchanges } =
                Descriptors::of(files, usize::MAX);
            let agents = SHARDS * agents_a_shard * FILES_A_WRITER;
            let taken = connections + agents + readers * FILES_A_READER + blobs + exchanges;
            assert!(taken <= files * 31 / 32, "{taken} of {files}");
        }
        let many = Descriptors::of(1 << 20, usize::MAX);
        assert_eq!(many.connections, CONNECTIONS_MAX);
        assert_eq!(many.agents_a_shard * SHARDS, AGENTS_OPEN_MAX);
        let small = Descriptors::of(1 << 20, 1 << 30);
        let agents = small.agents_a_shard * SHARDS * AGENT_OPEN_BYTES;
        assert!((1 << 26..=1 << 27).contains(&agents), "{agents} bytes of a machine with 1 GiB");
    }
}
