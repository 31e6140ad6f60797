//! What a process has used, as Linux tells it under `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process has taken up to one moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time of all threads, ended ones too. The grain is 10 ms.
    pub cpu: Duration,
    /// Resident bytes.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_files: usize,
    /// Those of them that are sockets.
    pub sockets: usize,
    /// Calls that read from files and sockets.
    pub reads: u64,
    /// Calls that write to files and sockets.
    pub writes: u64,
    /// Bytes on their way to the disk.
    pub written_bytes: u64,
}

/// A tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux there is.
const TICK_MS: u64 = 10;

impl Usage {
    /// Of the process `id`, now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(id: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The program's name stands in parentheses and may hold spaces, so count from the last one on.
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let resident_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
            .context("/proc/PID/status has no VmRSS")?;
        // One that was closed in between leads nowhere.
        let open = fs::read_dir(format!("/proc/{id}/fd"))?.map(|entry| fs::read_link(entry?.path()));
        let open: Vec<_> = open.map(Result::unwrap_or_default).collect();
        let sockets = open.iter().filter(|file| file.to_string_lossy().starts_with("socket:")).count();
        let io = fs::read_to_string(format!("/proc/{id}/io"))?;
        let counter = |name: &str| {
            let value = io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            value.with_context(|| format!("/proc/PID/io has no {name}"))
        };
        Ok(Self {
            cpu: Duration::from_millis(ticks * TICK_MS),
            resident_bytes: resident_kib * 1024,
            open_files: open.len(),
            sockets,
            reads: counter("syscr:")?,
            writes: counter("syscw:")?,
            written_bytes: counter("write_bytes:")?,
        })
    }
}
