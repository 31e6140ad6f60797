//! Carries the directory's outbox to the agents' cells.
//!
//! A handler that changed an account carries at once, so that its caller finds the change made; the host carries at
//! its start and now and then, for what a crash or an error left behind. Carrying the same notice twice is harmless,
//! carrying two in the wrong order is not: one carrier at a time, in order. On a host with many routers, that one is
//! elsewhere ([`Carrier::elsewhere`]).

use futures::future::BoxFuture;
use futures::lock::Mutex;

use super::{App, XrpcError};
use crate::agent::{EmitIdentity, SetStatus};
use crate::directory::{ClearOutbox, GetAccount, Notice, OutboxEntry, ReadOutbox, Who};
use crate::host::HostError;
use crate::syntax::Did;

/// The one carrier, or the way to it.
#[derive(Default)]
pub struct Carrier {
    turn: Mutex<()>,
    elsewhere: Option<Box<Elsewhere>>,
}

/// Has notices carried, and answers whose they were.
pub type Elsewhere = dyn Fn() -> BoxFuture<'static, Result<Vec<Did>, HostError>> + Send + Sync;

impl Carrier {
    /// Asks the network's one carrier, which is not here.
    pub fn elsewhere(carry: Box<Elsewhere>) -> Self {
        Self { turn: Mutex::default(), elsewhere: Some(carry) }
    }
}

const BATCH: usize = 100;

impl App {
    /// Carries what is in the directory's outbox.
    ///
    /// # Errors
    /// Of the first notice that could not be brought; it and those behind it stay.
    pub async fn carry_notices(&self) -> Result<(), XrpcError> {
        let Some(carry) = &self.carrier.elsewhere else { return self.carry_here().await.map(|_| ()) };
        for did in carry().await? {
            self.identities.forget(&did);
            self.host.forget_cached(&did, None);
        }
        Ok(())
    }

    /// As [`App::carry_notices`], for the one carrier; answers whose notices they were.
    ///
    /// # Errors
    /// As there.
    pub async fn carry_here(&self) -> Result<Vec<Did>, XrpcError> {
        let _turn = self.carrier.turn.lock().await;
        let mut carried = Vec::new();
        loop {
            let entries = self.directory(ReadOutbox { limit: BATCH }).await?;
            let full = entries.len() == BATCH;
            for entry in entries {
                self.carry(&entry).await?;
                self.directory(ClearOutbox { up_to: entry.id }).await?;
                carried.push(entry.did);
            }
            if !full {
                return Ok(carried);
            }
        }
    }

    async fn carry(&self, entry: &OutboxEntry) -> Result<(), XrpcError> {
        match self.bring(&entry.did, &entry.notice).await {
            // Destroyed meanwhile: there is nobody left to tell, and others wait behind this one.
            Err(error) if error.name == "RepoNotFound" => {
                tracing::warn!(did = %entry.did, "a notice found no repo");
                Ok(())
            }
            brought => brought,
        }
    }

    async fn bring(&self, did: &Did, notice: &Notice) -> Result<(), XrpcError> {
        let host = &self.host;
        match notice {
            Notice::StatusChanged { status } => {
                let account = self.directory(GetAccount { who: Who::Did(did.clone()) }).await?;
                host.forget_cached(did, account.as_ref().map(|account| &account.handle));
                let handle = account.map(|account| account.handle.into_string());
                self.agent(did, SetStatus { status: status.as_str().to_owned(), handle }).await
            }
            Notice::HandleChanged { handle } => {
                self.identities.forget(did);
                host.forget_cached(did, Some(handle));
                self.agent(did, EmitIdentity { handle: Some(handle.as_str().to_owned()) }).await
            }
            Notice::Deleted => {
                host.forget_cached(did, None);
                match self.agent(did, SetStatus { status: "deleted".to_owned(), handle: None }).await {
                    // A repo that was still on its way in: nobody knew of it.
                    Err(error) if error.name == "RepoNotFound" => {}
                    told => told?,
                }
                Ok(host.destroy_agent(did.clone()).await?)
            }
            Notice::Abandoned => Ok(host.destroy_agent(did.clone()).await?),
        }
    }
}
