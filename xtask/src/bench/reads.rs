//! getRecord, proofs, listRecords, getRepo.

use anyhow::{Context, Result};
use harness::zap;

use super::load::{Until, load};
use super::writes::{COLLECTION, fill};
use super::{ACCOUNTS, Bench};

/// Records of the repo that is downloaded, and how often it is.
const REPO_RECORDS: usize = 10_000;
const REPO_DOWNLOADS: usize = 50;

impl Bench<'_> {
    pub(super) async fn get(&mut self) -> Result<()> {
        self.read("getRecord", "repo.getRecord?repo").await
    }

    pub(super) async fn proof(&mut self) -> Result<()> {
        self.read("proof of a record", "sync.getRecord?did").await
    }

    /// A method that answers with one record, all records of the accounts in turn.
    async fn read(&mut self, figure: &str, method: &str) -> Result<()> {
        let mut paths = Vec::new();
        for account in &self.accounts {
            for rkey in self.record_keys(&account.did).await? {
                paths.push(format!(
                    "/xrpc/com.atproto.{method}={}&collection={COLLECTION}&rkey={rkey}",
                    account.did
                ));
            }
        }
        let done = load(&self.target, 32, Until::Elapsed(self.duration()), async |client, _, number| {
            // A stride that is coprime to the count visits every record, far from the one before.
            let path = paths.get(number.wrapping_mul(7919) % paths.len()).context("there is no record")?;
            client.get(path, None).await?.success()
        })
        .await?;
        self.row(&format!("{figure}, 32 in flight, 1/s"), done.rate());
        self.row(&format!("{figure}, CPU ms"), done.cpu_ms());
        self.row(&format!("{figure}, p50 ms"), done.latency_ms(0.5));
        self.row(&format!("{figure}, p99 ms"), done.latency_ms(0.99));
        Ok(())
    }

    pub(super) async fn list(&mut self) -> Result<()> {
        let mut paths = Vec::new();
        for account in &self.accounts {
            self.record_keys(&account.did).await?;
            paths.push(list_path(&account.did));
        }
        let done = load(&self.target, 4, Until::Elapsed(self.duration()), async |client, _, number| {
            client.get(paths.get(number % ACCOUNTS).context("there is no account")?, None).await?.success()
        })
        .await?;
        self.row("listRecords(100), 4 in flight, 1/s", done.rate());
        self.row("listRecords(100), CPU ms", done.cpu_ms());
        self.row("listRecords(100), p50 ms", done.latency_ms(0.5));
        Ok(())
    }

    pub(super) async fn repo(&mut self) -> Result<()> {
        let mut client = self.target.client();
        let account = zap::create_account(&mut client, &format!("repo-{}.test", std::process::id())).await?;
        fill(&mut client, &account, REPO_RECORDS).await?;
        let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", account.did);
        let done = load(&self.target, 1, Until::Count(REPO_DOWNLOADS), async |client, _, _| {
            let answer = client.get(&path, None).await?;
            answer.success()?;
            anyhow::ensure!(
                answer.body.len() > REPO_RECORDS * 150,
                "the CAR has {} bytes only",
                answer.body.len()
            );
            Ok(())
        })
        .await?;
        self.row("getRepo of 10,000 records, records/s", done.rate() * REPO_RECORDS as f64);
        self.row("getRepo, CPU ms per 1,000 records", done.cpu_ms() * 1e3 / REPO_RECORDS as f64);
        Ok(())
    }

    /// 100 record keys of the repo, which is filled so far when it has fewer.
    async fn record_keys(&self, did: &str) -> Result<Vec<String>> {
        let mut client = self.target.client();
        loop {
            let page = client.get(&list_path(did), None).await?.ok()?;
            let records = page.get("records").and_then(|records| records.as_array()).context("no records")?;
            if records.len() < 100 {
                let account =
                    self.accounts.iter().find(|account| account.did == did).context("no such account")?;
                fill(&mut client, account, 100 - records.len()).await?;
                continue;
            }
            let uris = records.iter().filter_map(|record| record.get("uri")?.as_str()?.rsplit('/').next());
            return Ok(uris.map(str::to_owned).collect());
        }
    }
}

fn list_path(did: &str) -> String {
    format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection={COLLECTION}&limit=100")
}
