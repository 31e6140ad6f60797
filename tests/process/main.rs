//! The real program as a process: what only shows when it is killed, scanned or met by strangers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod adversary;
mod canary;
mod crash;
mod data_folder;
mod deletion;
mod firehose;
mod flows;
mod forgetting;
mod interop;
mod large_repo;
mod old_data;
mod peers;
mod proofs;
mod strangers;
mod transfer;

use std::path::Path;

use harness::{Build, Host, Zap};
use tempfile::TempDir;

fn host(log_filter: &str) -> Host {
    match std::env::var_os("ZAP_TEST_WORKER") {
        Some(folder) => Host::Worker(folder.into(), Build::Deployed),
        None => Host::Native(log_filter.to_owned()),
    }
}

/// A server on a data folder of its own, which goes when the returned folder is dropped. With `ZAP_TEST_WORKER`, the
/// folder of a built Worker, it is that: one suite for both hosts.
async fn start(log_filter: &str) -> (TempDir, Zap) {
    let folder = tempfile::tempdir().unwrap();
    let zap = Zap::start(Path::new(env!("CARGO_BIN_EXE_zap")), folder.path(), host(log_filter)).await;
    let zap = zap.unwrap_or_else(|error| {
        let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
        panic!("{error:#}\n{log}")
    });
    (folder, zap)
}
