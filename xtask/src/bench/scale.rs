//! Large repos and many agents.

use anyhow::{Context, Result};
use harness::{Account, Client, zap};

use super::Bench;
use super::load::{Until, load};
use super::writes::{create_record, fill};

const SMALL: usize = 1_000;
const WRITES: usize = 2_000;

impl Bench<'_> {
    /// The cost of a commit in a repo of 1,000 records and in one of `--records`.
    pub(super) async fn flat(&mut self) -> Result<()> {
        let mut client = self.target.client();
        let account = zap::create_account(&mut client, &format!("flat-{}.test", std::process::id())).await?;
        fill(&mut client, &account, SMALL).await?;
        let small = self.commits(&account).await?;
        fill(&mut client, &account, self.options.records.saturating_sub(SMALL + WRITES)).await?;
        let large = self.commits(&account).await?;
        self.row("commit at 1,000 records, CPU ms", small.0);
        self.row(&format!("commit at {} records, CPU ms", self.options.records), large.0);
        self.row("commit at 1,000 records, p50 ms", small.1);
        self.row(&format!("commit at {} records, p50 ms", self.options.records), large.1);
        Ok(())
    }

    async fn commits(&self, account: &Account) -> Result<(f64, f64)> {
        let write = async |client: &mut Client, _, number| create_record(client, account, number).await;
        let done = load(&self.target, 4, Until::Count(WRITES), write).await?;
        Ok((done.cpu_ms(), done.latency_ms(0.5)))
    }

    /// Many agents are made and write once each.
    pub(super) async fn agents(&mut self) -> Result<()> {
        let count = self.options.agents;
        let agents = std::cell::RefCell::new(Vec::with_capacity(count));
        let made = load(&self.target, 16, Until::Count(count), async |client, _, number| {
            let agent = zap::create_agent(client, &format!("a{number}-{}", std::process::id())).await?;
            agents.borrow_mut().push(agent);
            Ok(())
        })
        .await?;
        let agents = agents.into_inner();
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
}
