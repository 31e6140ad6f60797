//! createRecord, and the fillers other scenarios need.

use anyhow::Result;
use harness::{Account, Client};
use hyper::Method;
use serde_json::{Value, json};

use super::load::{Load, Until, load};
use super::{ACCOUNTS, Bench};

/// The collection all scenarios write to.
pub(super) const COLLECTION: &str = "app.bsky.feed.post";

/// Writes of one applyWrites: the protocol's limit of operations in a commit.
const BATCH: usize = 200;

/// `["Account", "Insert"]` as CBOR: a step of `src/testing/driven.rs`.
const INSERT: &[u8] = b"\x82\x67Account\x66Insert";

/// A post of usual length.
pub(super) fn post(number: usize) -> Value {
    let text = format!(
        "Note {number}: the deploy went through, all checks are green, and the queue is empty again."
    );
    json!({ "$type": COLLECTION, "text": text, "createdAt": "2026-11-23T00:00:00.000Z" })
}

/// Creates one record.
pub(super) async fn create_record(client: &mut Client, account: &Account, number: usize) -> Result<()> {
    let input = json!({ "repo": account.did, "collection": COLLECTION, "record": post(number) });
    client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await?.success()
}

/// Creates a record of a given key.
pub(super) async fn create_record_at(client: &mut Client, account: &Account, rkey: &str) -> Result<()> {
    let input = json!({ "repo": account.did, "collection": COLLECTION, "rkey": rkey, "record": post(0) });
    client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await?.success()
}

/// Creates `count` records in large commits.
pub(super) async fn fill(client: &mut Client, account: &Account, count: usize) -> Result<()> {
    for start in (0..count).step_by(BATCH) {
        let numbers = start..count.min(start + BATCH);
        let writes: Vec<_> = numbers
            .map(|number| {
                let value = post(number);
                json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": COLLECTION, "value": value })
            })
            .collect();
        let input = json!({ "repo": account.did, "writes": writes });
        client.post("com.atproto.repo.applyWrites", Some(&account.authorization), &input).await?.success()?;
    }
    Ok(())
}

impl Bench<'_> {
    /// 16 connections write to 8 accounts.
    pub(super) async fn write_load(&self, until: Until) -> Result<Load> {
        let accounts = &self.accounts;
        load(&self.target, 2 * ACCOUNTS, until, async |client, worker, number| {
            let Some(account) = accounts.get(worker % ACCOUNTS) else { anyhow::bail!("no account {worker}") };
            create_record(client, account, number).await
        })
        .await
    }

    /// 16 connections insert into 8 objects.
    pub(super) async fn insert(&mut self) -> Result<()> {
        let done =
            load(&self.target, 2 * ACCOUNTS, Until::Elapsed(self.duration()), async |client, worker, _| {
                let path = format!("/testing/TESTING/insert{}", worker % ACCOUNTS);
                client.send(Method::POST, &path, None, None, INSERT.into()).await?.success()
            })
            .await?;
        self.row("one row, 16 in flight over 8 objects, 1/s", done.rate());
        self.row("one row, CPU ms", done.cpu_ms());
        self.row("one row, p50 ms", done.latency_ms(0.5));
        Ok(())
    }

    pub(super) async fn create(&mut self) -> Result<()> {
        let done = self.write_load(Until::Elapsed(self.duration())).await?;
        self.row("createRecord, 16 in flight over 8 accounts, 1/s", done.rate());
        self.row("createRecord, CPU ms", done.cpu_ms());
        self.row("createRecord, p50 ms", done.latency_ms(0.5));
        self.row("createRecord, p99 ms", done.latency_ms(0.99));
        self.row("createRecord, KB to the disk", done.written_kb());
        Ok(())
    }
}
