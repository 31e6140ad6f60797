//! What else accounts ask for: signing in, and what is not this server's to answer.

use anyhow::{Context, Result};
use futures::future::try_join;
use serde_json::json;

use super::load::{Until, load};
use super::{ACCOUNTS, Bench};

/// What all accounts of the harness have.
const PASSWORD: &str = "correct horse";

impl Bench<'_> {
    /// Whether those who write feel those who sign in.
    pub(super) async fn sign_ins(&mut self) -> Result<()> {
        let until = Until::Elapsed(self.duration());
        let alone = self.write_load(until).await?;
        let accounts = &self.accounts;
        let signing_in = load(&self.target, ACCOUNTS, until, async |client, worker, _| {
            let account = accounts.get(worker % ACCOUNTS).context("there is no account")?;
            let input = json!({ "identifier": account.did, "password": PASSWORD });
            client.post("com.atproto.server.createSession", None, &input).await?.success()
        });
        let (beside, signed_in) = try_join(self.write_load(until), signing_in).await?;
        self.row("createRecord alone, 1/s", alone.rate());
        self.row("createRecord beside 8 sign-ins in flight, 1/s", beside.rate());
        self.row("createRecord beside them, p50 ms", beside.latency_ms(0.5));
        self.row("createRecord beside them, p99 ms", beside.latency_ms(0.99));
        self.row("signing in beside writes, 1/s", signed_in.rate());
        Ok(())
    }

    pub(super) async fn proxy(&mut self) -> Result<()> {
        let accounts = &self.accounts;
        let done = load(&self.target, 32, Until::Elapsed(self.duration()), async |client, worker, _| {
            let account = accounts.get(worker % ACCOUNTS).context("there is no account")?;
            let path = "/xrpc/app.bsky.actor.getSuggestions";
            client.get(path, Some(&account.authorization)).await?.success()
        })
        .await?;
        self.row("a call through to the app view, 32 in flight, 1/s", done.rate());
        self.row("a call through to the app view, CPU ms", done.cpu_ms());
        self.row("a call through to the app view, p50 ms", done.latency_ms(0.5));
        Ok(())
    }
}
