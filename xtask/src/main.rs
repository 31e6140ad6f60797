//! Developer tasks. `cargo xtask bench` loads servers over HTTP and compares what they cost.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks to a terminal")]

mod bench;

use anyhow::Result;
use clap::Parser;

/// Developer tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Loads servers over HTTP and prints a table of what they cost.
    Bench(bench::Options),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Bench(options) => bench::run(&options),
    }
}
