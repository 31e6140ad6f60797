//! Large repos and many agents.

use anyhow::{Context, Result};
use harness::{Account, Client, zap};

use super::Bench;
use super::load::{Load, Until, load};
use super::writes::{create_record, fill};

const SMALL: usize = 1_000;
const WRITES: usize = 5_000;
/// Agents that write by turns; a twentieth of them first.
const ACTIVE: usize = 2_000;

/// What one commit took.
struct Commits {
    cpu_ms: f64,
    p50_ms: f64,
    reads: f64,
    writes: f64,
    written_kb: f64,
}

impl Bench<'_> {
    /// The cost of a commit in a repo of 1,000 records and in one of `--records`.
    pub(super) async fn flat(&mut self) -> Result<()> {
        let mut client = self.target.client();
        let account = zap::create_account(&mut client, &format!("flat-{}.test", std::process::id())).await?;
        fill(&mut client, &account, SMALL).await?;
        let small = self.commits(&account).await?;
        fill(&mut client, &account, self.options.records.saturating_sub(SMALL + WRITES)).await?;
        let large = self.commits(&account).await?;
        for (figure, small, large) in [
            ("CPU ms", small.cpu_ms, large.cpu_ms),
            ("p50 ms", small.p50_ms, large.p50_ms),
            ("calls that read", small.reads, large.reads),
            ("calls that write", small.writes, large.writes),
            ("KB to the disk", small.written_kb, large.written_kb),
        ] {
            self.row(&format!("commit at 1,000 records, {figure}"), small);
            self.row(&format!("commit at {} records, {figure}", self.options.records), large);
        }
        Ok(())
    }

    async fn commits(&self, account: &Account) -> Result<Commits> {
        let write = async |client: &mut Client, _, number| create_record(client, account, number).await;
        let before = self.target.usage()?;
        let done = load(&self.target, 4, Until::Count(WRITES), write).await?;
        let after = self.target.usage()?;
        let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / WRITES as f64;
        Ok(Commits {
            cpu_ms: done.cpu_ms(),
            p50_ms: done.latency_ms(0.5),
            reads: each(before.reads, after.reads),
            writes: each(before.writes, after.writes),
            written_kb: each(before.written_bytes, after.written_bytes) / 1e3,
        })
    }

    /// Many agents are made and write once each.
    pub(super) async fn agents(&mut self) -> Result<()> {
        let count = self.options.agents;
        let (made, agents) = self.make_agents(count).await?;
        let wrote = load(&self.target, 16, Until::Count(count), async |client, _, number| {
            create_record(client, agents.get(number).context("there is no such agent")?, number).await
        })
        .await?;
        let used = self.target.usage()?;
        self.row(&format!("{count} agents created, 1/s"), made.rate());
        self.row("creating an agent, CPU ms", made.cpu_ms());
        self.row(&format!("{count} agents write once each, 1/s"), wrote.rate());
        self.row("first write of an agent, CPU ms", wrote.cpu_ms());
        self.row("files open after that", used.open_files as f64);
        self.row("memory after that, MB", used.resident_bytes as f64 / 1e6);
        Ok(())
    }

    /// Few agents write by turns, again and again, and then many: what it costs that not all are at hand.
    pub(super) async fn active(&mut self) -> Result<()> {
        let (_, agents) = self.make_agents(ACTIVE).await?;
        for count in [ACTIVE / 20, ACTIVE] {
            let write = async |client: &mut Client, _, number: usize| {
                // A stride that is coprime to the count: the next is never the one before.
                let agent =
                    agents.get(number.wrapping_mul(7919) % count).context("there is no such agent")?;
                create_record(client, agent, number).await
            };
            // Once each before it counts.
            load(&self.target, 16, Until::Count(count), write).await?;
            let done = load(&self.target, 16, Until::Elapsed(self.duration()), write).await?;
            self.row(&format!("createRecord, {count} agents active, 1/s"), done.rate());
            self.row(&format!("createRecord, {count} agents active, CPU ms"), done.cpu_ms());
            self.row(&format!("createRecord, {count} agents active, p99 ms"), done.latency_ms(0.99));
            self.row(&format!("createRecord, {count} agents active, KB to the disk"), done.written_kb());
        }
        let used = self.target.usage()?;
        self.row(&format!("memory with {ACTIVE} agents active, MB"), used.resident_bytes as f64 / 1e6);
        Ok(())
    }

    async fn make_agents(&self, count: usize) -> Result<(Load, Vec<Account>)> {
        let agents = std::cell::RefCell::new(Vec::with_capacity(count));
        let made = load(&self.target, 16, Until::Count(count), async |client, _, number| {
            let agent = zap::create_agent(client, &format!("a{number}-{}", std::process::id())).await?;
            agents.borrow_mut().push(agent);
            Ok(())
        })
        .await?;
        Ok((made, agents.into_inner()))
    }
}
