//! Carries the directory's outbox to the accounts' cells.
//!
//! Whoever changed an account carries at once, so that its caller finds the change made; the host carries at its start
//! and now and then, for what a crash or an error left behind. Carrying the same notice twice is harmless, carrying two
//! in the wrong order is not: one carrier at a time, in order, in the one place where changes are carried out
//! ([`super::flows`]).

use super::flows::Carried;
use super::{App, Error};
use crate::account::{self, EmitIdentity, SetStatus};
use crate::actor::Status;
use crate::directory::{ClearOutbox, GetAccount, Notice, OutboxEntry, ReadOutbox, Who};
use crate::moving::{Exported, NoteExport};
use crate::store::SqlError;
use crate::syntax::Did;

const BATCH: usize = 100;

impl App {
    /// Carries what is in the directory's outbox; an error when a notice of `did` did not arrive. Such a notice
    /// stays there, and is carried later.
    ///
    /// # Errors
    /// Why not.
    pub async fn carry_notices_of(&self, did: &Did) -> Result<(), Error> {
        let carried = self.carry_notices().await?;
        match carried.failed.into_iter().find(|(whose, _)| whose == did) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }

    /// Carries what is in the directory's outbox.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn carry_notices(&self) -> Result<Carried, Error> {
        let Some(there) = self.flows.there() else { return self.carry_here().await };
        let carried = there.carry().await?;
        for did in &carried.brought {
            self.identities.forget(did);
            self.accounts.forget(did, None);
        }
        Ok(carried)
    }

    /// As [`App::carry_notices`], for the one who carries out changes.
    ///
    /// # Errors
    /// As there.
    pub async fn carry_here(&self) -> Result<Carried, Error> {
        let _turn = self.flows.own()?.carrying.lock().await;
        let (mut carried, mut after) = (Carried::default(), 0);
        loop {
            let entries = self.directory(ReadOutbox { after, limit: BATCH }).await?;
            let full = entries.len() == BATCH;
            for entry in entries {
                after = entry.id;
                // In order for each: what comes behind one that failed waits with it. Only the end of an account does
                // not: it is all that is left to say.
                let is_end = matches!(entry.notice, Notice::Deleted | Notice::Abandoned);
                if !is_end && carried.failed.iter().any(|(did, _)| *did == entry.did) {
                    continue;
                }
                match self.carry(&entry).await {
                    Ok(()) => {
                        self.directory(ClearOutbox { id: entry.id }).await?;
                        carried.failed.retain(|(did, _)| !is_end || *did != entry.did);
                        carried.brought.push(entry.did);
                    }
                    Err(error) => {
                        tracing::warn!(did = %entry.did, %error, "a notice of the directory waits for the next try");
                        carried.failed.push((entry.did, error));
                    }
                }
            }
            if !full {
                return Ok(carried);
            }
        }
    }

    async fn carry(&self, entry: &OutboxEntry) -> Result<(), Error> {
        match self.bring(&entry.did, &entry.notice).await {
            // Destroyed meanwhile: there is nobody left to tell, and others wait behind this one.
            Err(Error::Account(account::Error::NoRepo)) => {
                tracing::warn!(did = %entry.did, "a notice found no repo");
                Ok(())
            }
            brought => brought,
        }
    }

    async fn bring(&self, did: &Did, notice: &Notice) -> Result<(), Error> {
        match notice {
            Notice::StatusChanged { status } => {
                let account = self.directory(GetAccount { who: Who::Did(did.clone()) }).await?;
                self.accounts.forget(did, account.as_ref().map(|account| &account.handle));
                let handle = account.map(|account| account.shown_handle());
                self.account(did, SetStatus { status: *status, handle }).await
            }
            Notice::HandleChanged { handle } => {
                self.identities.forget(did);
                self.accounts.forget(did, Some(handle));
                self.account(did, EmitIdentity { handle: Some(handle.clone()) }).await
            }
            Notice::Exported { made_us } => {
                let export = Exported { made_us: *made_us, moving: false };
                self.account(did, NoteExport { export }).await
            }
            Notice::Deleted | Notice::Abandoned => {
                self.accounts.forget(did, None);
                match self.account(did, SetStatus { status: Status::Deleted, handle: None }).await {
                    // A repo that was still on its way in: nobody knew of it.
                    Err(Error::Account(account::Error::NoRepo)) => {}
                    // Nothing can be told of it any more, and it is to go.
                    Err(Error::Account(account::Error::Sql(SqlError::Corrupt(what)))) => {
                        tracing::error!(%did, what, "a damaged agent goes without a word to the network");
                    }
                    told => told?,
                }
                Ok(self.host.destroy_account(did.clone()).await?)
            }
        }
    }
}
