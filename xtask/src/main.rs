//! Developer tasks. `cargo xtask bench` loads servers over HTTP and compares what they cost; `cargo xtask worker` builds,
//! runs and tests the host on Cloudflare.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks to a terminal")]

mod bench;
mod worker;

use anyhow::Result;
use clap::Parser;

/// Developer tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Loads servers over HTTP and prints a table of what they cost.
    Bench(bench::Options),
    /// Builds, runs and tests the Worker.
    #[command(subcommand)]
    Worker(worker::Task),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Bench(options) => bench::run(&options),
        Task::Worker(task) => worker::run(&task),
    }
}
