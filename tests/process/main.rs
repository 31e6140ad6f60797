//! The real program as a process: what only shows when it is killed, scanned or met by strangers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod administration;
mod adversary;
mod browser;
mod bsky_sdk;
mod canary;
mod connections;
mod crash;
mod damage;
mod data_folder;
mod deletion;
mod descriptors;
mod factors;
mod firehose;
mod flows;
mod forgetting;
mod formats;
mod full_disk;
mod interop;
mod large_repo;
mod limits;
mod mail;
mod mishaps;
mod names;
mod old_backup;
mod old_data;
mod pages;
mod peers;
mod proofs;
mod proxy;
mod python;
mod random;
mod recovery_keys;
mod reference;
mod strangers;
mod stuck_log;
mod terminal;
mod transfer;

use std::path::Path;

use harness::{Build, Host, Settings, Zap};
use tempfile::TempDir;

/// Whether the suite runs on the Worker, where a test may have nothing to try: no server is started for it then.
fn on_worker() -> bool {
    std::env::var_os("ZAP_TEST_WORKER").is_some()
}

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
    let zap = start_in(folder.path(), log_filter, Settings::new()).await;
    (folder, zap)
}

/// As [`start`], in this folder and with other settings.
async fn start_in(folder: &Path, log_filter: &str, settings: Settings) -> Zap {
    let binary = Path::new(env!("CARGO_BIN_EXE_zap"));
    let mut zap = Zap::start_host_set(binary, folder, host(log_filter), settings.clone()).await;
    if zap.is_err() && on_worker() {
        // workerd says only that it failed: another test may have taken the port in between.
        zap = Zap::start_host_set(binary, folder, host(log_filter), settings).await;
    }
    zap.unwrap_or_else(|error| {
        let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        panic!("{error:#}\n{log}")
    })
}
