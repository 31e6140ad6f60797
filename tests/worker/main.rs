//! What only the Worker's host has to show: its storage against the native one, hibernation, moving between hosts.
//! Skipped without `ZAP_TEST_WORKER`, the folder of a built Worker: `cargo xtask worker test` sets it. The suite that
//! both hosts have in common is tests/process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod alarms;
mod busy;
mod conformance;
mod directory_script;
mod downloads;
mod faults;
mod hibernation;
mod stream;
mod subscribers;

use std::path::Path;

use harness::{Build, Host, Settings, Zap};
use tempfile::TempDir;

/// The Worker, on a folder of its own; `None` where there is none to test.
async fn start(build: Build) -> Option<(TempDir, Zap)> {
    start_set(build, Settings::new()).await
}

/// As [`start`], with other settings than those of every test.
async fn start_set(build: Build, settings: Settings) -> Option<(TempDir, Zap)> {
    let Some(worker) = std::env::var_os("ZAP_TEST_WORKER") else {
        eprintln!("SKIPPED: `cargo xtask worker test` runs this");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let host = Host::Worker(worker.into(), build);
    let binary = Path::new(env!("CARGO_BIN_EXE_zap"));
    let zap = Zap::start_host_set(binary, folder.path(), host, settings).await;
    let zap = zap.unwrap_or_else(|error| {
        let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
        panic!("{error:#}\n{log}")
    });
    Some((folder, zap))
}
