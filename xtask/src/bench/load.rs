//! A number of connections that ask one after the other, for a time or a count.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use harness::Client;

use super::target::Target;

/// When the load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Elapsed(Duration),
    Count(usize),
}

/// What a load did.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) count: usize,
    pub(crate) elapsed: Duration,
    /// Processor time of the server meanwhile.
    pub(crate) cpu: Duration,
    /// Bytes the server sent on their way to the disk meanwhile.
    written_bytes: u64,
    latencies: Vec<Duration>,
}

/// Keeps `in_flight` requests on their way; `ask` makes one, knowing its connection's and its own number. The first
/// failure ends it all: a figure with failures in it is none.
pub(crate) async fn load(
    target: &Target,
    in_flight: usize,
    until: Until,
    ask: impl AsyncFn(&mut Client, usize, usize) -> Result<()>,
) -> Result<Load> {
    let before = target.usage()?;
    let start = Instant::now();
    let next = Cell::new(0);
    let workers = (0..in_flight).map(async |worker| {
        let mut client = target.client();
        let mut latencies = Vec::new();
        loop {
            let number = next.get();
            let done = match until {
                Until::Elapsed(duration) => start.elapsed() >= duration,
                Until::Count(count) => number >= count,
            };
            if done {
                return anyhow::Ok(latencies);
            }
            next.set(number + 1);
            let asked = Instant::now();
            ask(&mut client, worker, number).await?;
            latencies.push(asked.elapsed());
        }
    });
    let mut latencies = try_join_all(workers).await?.concat();
    let elapsed = start.elapsed();
    let after = target.usage()?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    let written_bytes = after.written_bytes.saturating_sub(before.written_bytes);
    latencies.sort_unstable();
    Ok(Load { count: latencies.len(), elapsed, cpu, written_bytes, latencies })
}

impl Load {
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// Milliseconds of the server's processor time for one request.
    pub(crate) fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.count.max(1) as f64
    }

    /// Kilobytes that one request sent to the disk.
    pub(crate) fn written_kb(&self) -> f64 {
        self.written_bytes as f64 / 1e3 / self.count.max(1) as f64
    }

    /// Milliseconds within which this share of the requests was answered.
    pub(crate) fn latency_ms(&self, share: f64) -> f64 {
        percentile_ms(&self.latencies, share)
    }
}

/// The value below which `share` of the sorted durations lie.
pub(crate) fn percentile_ms(sorted: &[Duration], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_stay_within_the_list() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&sorted, 0.5), 51.0);
        assert_eq!(percentile_ms(&sorted, 0.99), 100.0);
        assert_eq!(percentile_ms(&sorted, 1.0), 100.0);
        assert!(percentile_ms(&[], 0.5).is_nan());
    }
}
