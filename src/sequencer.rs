//! The sequencer cell: the network's one event log, behind `com.atproto.sync.subscribeRepos`.

pub mod frame;
