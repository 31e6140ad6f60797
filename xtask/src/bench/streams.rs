//! The firehose: latency, fan-out, backfill.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::Subscriber;
use tokio::task::LocalSet;

use super::load::{Until, percentile_ms};
use super::writes::{COLLECTION, create_record_at};
use super::{ACCOUNTS, Bench};

const SUBSCRIBE: &str = "/xrpc/com.atproto.sync.subscribeRepos";
const SUBSCRIBERS: usize = 100;
const CROWD: usize = 2_000;
const WRITES_PER_SECOND: u32 = 50;
/// How long frames may take to arrive after the last write.
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);
const BACKFILLS: u32 = 10;

impl Bench<'_> {
    pub(super) async fn latency(&mut self) -> Result<()> {
        let count = WRITES_PER_SECOND as usize * self.options.seconds as usize;
        let sent = RefCell::new(HashMap::new());
        let mut latencies = Vec::with_capacity(count);
        let mut subscriber = Subscriber::connect(self.target.address, SUBSCRIBE).await?;
        let listen = async {
            while latencies.len() < count {
                let read = subscriber.read(|frame| {
                    let arrived = Instant::now();
                    if let Some(sent) = record_key(frame).and_then(|rkey| sent.borrow_mut().remove(&rkey)) {
                        latencies.push(arrived.duration_since(sent));
                    }
                });
                ensure!(read.await?, "the server closed the stream");
            }
            Ok(())
        };
        let write = async {
            let start = Instant::now();
            let writers = self.accounts.iter().enumerate().map(async |(index, account)| {
                let mut client = self.target.client();
                for number in (index..count).step_by(ACCOUNTS) {
                    let due = start + Duration::from_secs(1) * number as u32 / WRITES_PER_SECOND;
                    tokio::time::sleep_until(due.into()).await;
                    let rkey = tid(number);
                    sent.borrow_mut().insert(rkey.clone(), Instant::now());
                    create_record_at(&mut client, account, &rkey).await?;
                }
                anyhow::Ok(())
            });
            futures::future::try_join_all(writers).await?;
            anyhow::Ok(())
        };
        let limit = self.duration() + ARRIVE_WITHIN;
        tokio::time::timeout(limit, futures::future::try_join(listen, write))
            .await
            .context("frames are missing")??;
        latencies.sort_unstable();
        self.row("createRecord to frame at 50/s, p50 ms", percentile_ms(&latencies, 0.5));
        self.row("createRecord to frame at 50/s, p99 ms", percentile_ms(&latencies, 0.99));
        Ok(())
    }

    pub(super) async fn fanout(&mut self) -> Result<()> {
        let arrived: Rc<[Cell<usize>]> = (0..SUBSCRIBERS).map(|_| Cell::new(0)).collect();
        let local = LocalSet::new();
        for index in 0..SUBSCRIBERS {
            let mut subscriber = Subscriber::connect(self.target.address, SUBSCRIBE).await?;
            let arrived = Rc::clone(&arrived);
            local.spawn_local(async move {
                let count = || {
                    if let Some(arrived) = arrived.get(index) {
                        arrived.set(arrived.get() + 1);
                    }
                };
                while subscriber.read(|_| count()).await.is_ok_and(|more| more) {}
            });
        }
        let (written, cpu) = local.run_until(self.fanout_writes(&arrived)).await?;
        self.row(
            "fan-out to 100 subscribers, CPU ms per event delivered",
            cpu / (written * SUBSCRIBERS) as f64,
        );
        self.row("fan-out, events delivered", arrived.iter().map(|arrived| arrived.get() as f64).sum());
        Ok(())
    }

    /// Writes while all listen, until all have got all: the writes and the server's processor time in ms.
    async fn fanout_writes(&self, arrived: &[Cell<usize>]) -> Result<(usize, f64)> {
        // A first event shows that every subscription is live.
        let first = self.write_load(Until::Count(1)).await?.count;
        all_arrived(arrived, first).await?;
        let before = self.target.usage()?;
        let written = self.write_load(Until::Elapsed(self.duration())).await?.count;
        all_arrived(arrived, first + written).await?;
        let cpu = self.target.usage()?.cpu.saturating_sub(before.cpu);
        Ok((written, cpu.as_secs_f64() * 1e3))
    }

    pub(super) async fn crowd(&mut self) -> Result<()> {
        let mut crowd = Vec::with_capacity(CROWD);
        for number in 0..CROWD {
            // Many addresses, as a proxy on this machine would name them: one has no more than its share.
            let from = format!("x-forwarded-for: 192.0.2.{}\r\n", number % 50);
            crowd.push(Subscriber::connect_with(self.target.address, SUBSCRIBE, &from).await?);
        }
        let count = WRITES_PER_SECOND as usize * self.options.seconds as usize;
        let start = Instant::now();
        let writers = self.accounts.iter().enumerate().map(async |(index, account)| {
            let mut client = self.target.client();
            let mut latencies = Vec::with_capacity(count / ACCOUNTS + 1);
            for number in (index..count).step_by(ACCOUNTS) {
                let due = start + Duration::from_secs(1) * number as u32 / WRITES_PER_SECOND;
                tokio::time::sleep_until(due.into()).await;
                let begun = Instant::now();
                create_record_at(&mut client, account, &tid(number + (1 << 20))).await?;
                latencies.push(begun.elapsed());
            }
            anyhow::Ok(latencies)
        });
        let mut latencies = futures::future::try_join_all(writers).await?.concat();
        latencies.sort_unstable();
        self.row("createRecord at 50/s among 2,000 subscribers, p50 ms", percentile_ms(&latencies, 0.5));
        self.row("createRecord at 50/s among 2,000 subscribers, p99 ms", percentile_ms(&latencies, 0.99));
        Ok(())
    }

    pub(super) async fn backfill(&mut self) -> Result<()> {
        // The last event of the log, by which a subscriber knows that it has seen everything.
        let account = self.accounts.first().context("there is no account")?;
        let last = tid(usize::MAX >> 16);
        create_record_at(&mut self.target.client(), account, &last).await?;
        let before = self.target.usage()?;
        let start = Instant::now();
        let mut events = 0_u32;
        for _ in 0..BACKFILLS {
            let mut subscriber =
                Subscriber::connect(self.target.address, &format!("{SUBSCRIBE}?cursor=0")).await?;
            let mut complete = false;
            while !complete {
                let read = subscriber.read(|frame| {
                    events += 1;
                    complete |= contains(frame, last.as_bytes());
                });
                ensure!(read.await?, "the server closed the stream");
            }
        }
        let elapsed = start.elapsed();
        let cpu = self.target.usage()?.cpu.saturating_sub(before.cpu);
        self.row("backfill from cursor 0, CPU ms per event", cpu.as_secs_f64() * 1e3 / f64::from(events));
        self.row("backfill, events/s", f64::from(events) / elapsed.as_secs_f64());
        self.row("backfill, events in the log", f64::from(events / BACKFILLS));
        Ok(())
    }
}

async fn all_arrived(arrived: &[Cell<usize>], count: usize) -> Result<()> {
    let start = Instant::now();
    while arrived.iter().any(|arrived| arrived.get() < count) {
        if start.elapsed() > ARRIVE_WITHIN {
            let counts: Vec<_> = arrived.iter().map(Cell::get).collect();
            anyhow::bail!("{count} events were written, but the subscribers got {counts:?}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// The record key in the path of a commit's first operation.
fn record_key(frame: &[u8]) -> Option<String> {
    let marker = [COLLECTION.as_bytes(), b"/"].concat();
    let at = frame.windows(marker.len()).position(|bytes| bytes == marker)?;
    let rkey = frame.get(at + marker.len()..)?.get(..13)?;
    Some(String::from_utf8_lossy(rkey).into_owned())
}

fn contains(frame: &[u8], needle: &[u8]) -> bool {
    frame.windows(needle.len()).any(|bytes| bytes == needle)
}

/// A valid TID that no clock makes.
fn tid(number: usize) -> String {
    const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    let digit = |place: u32| ALPHABET.get((number >> (5 * place)) & 31).copied().unwrap_or(b'2');
    (0..13).rev().map(|place| if place < 12 { char::from(digit(place)) } else { '2' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_tids_are_valid_and_rise() {
        assert_eq!(tid(0), "2222222222222");
        assert_eq!(tid(33), "2222222222233");
        assert!(tid(1000) < tid(1001));
        assert_eq!(tid(usize::MAX >> 16).len(), 13);
    }

    #[test]
    fn record_keys_are_found_in_frames() {
        let frame = b"....dpath\x78\x20app.bsky.feed.post/2222222222233fprev";
        assert_eq!(record_key(frame).as_deref(), Some("2222222222233"));
        assert_eq!(record_key(b"app.bsky.feed.post/22"), None);
    }
}
