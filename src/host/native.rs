//! The native host: one process, SQLite files, threads, sockets.

pub mod blobs;
pub mod dns;
pub mod fetch;
pub mod limits;
pub mod plc;
pub mod sequencer;
pub mod sql;
pub mod telemetry;
