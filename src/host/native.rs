//! The native host: one process, SQLite files, threads, sockets.

pub mod sql;
