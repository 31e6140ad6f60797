//! After a backup was put back: the network knows later states of accounts than we do, and would keep them. Each account
//! says anew where it stands (`Restate`).
//!
//! The whole folder: the event log notices by itself (`sequencer::whereabouts`), or the operator says so by a file
//! `restored` in the data folder, which stays until all have spoken, also over a crash. A part of it: the log knows the
//! newest event of each account, and who knows less of itself went back.

use std::time::Duration;

use super::Inner;
use super::sql::Database;
use crate::account::{self, Restate, SetStatus};
use crate::app::{App, Error};
use crate::directory::{GetAccount, Who};
use crate::outbox;
use crate::repo::Head;
use crate::syntax::Did;

/// Between two accounts: three events each, and relays take fifty a second of a new host.
const PAUSE: Duration = Duration::from_millis(60);
/// Between two rounds through those who could not be read, or could not speak: at first, and at most.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);

/// Has all of these speak who went back.
pub(super) async fn tell(app: &App, inner: &Inner, dids: Vec<Did>) {
    let is_whole = inner.sequencer.is_restored();
    if is_whole {
        tracing::warn!(
            accounts = dids.len(),
            "a backup was put back: telling the network where all accounts stand"
        );
    }
    let (mut unread, mut waiting, mut pause) = (dids, Vec::new(), AGAIN);
    loop {
        // All of them first: who writes meanwhile knows more of itself, and does not show any more that it went back.
        for did in std::mem::take(&mut unread) {
            match inner.went_back(&did).await {
                Ok(after) if is_whole => waiting.push((did, after.unwrap_or(0))),
                Ok(Some(after)) => {
                    tracing::warn!(%did, "an old database of the account was put back: telling the network where it stands");
                    waiting.push((did, after));
                }
                Ok(None) => {}
                Err(error) if is_lasting(&error) => {
                    tracing::error!(%did, %error, "whether an old database was put back is not known");
                }
                Err(error) => {
                    tracing::warn!(%did, %error, "whether an old database was put back is not known yet");
                    unread.push(did);
                }
            }
        }
        for (did, after) in std::mem::take(&mut waiting) {
            match restate(app, &did, after).await {
                Ok(()) => tokio::time::sleep(PAUSE).await,
                Err(Error::Stopping) => return,
                Err(error) if is_lasting(&error) => {
                    tracing::error!(%did, %error, "an account does not say where it stands");
                }
                Err(error) => {
                    tracing::warn!(%did, %error, "telling the network where an account stands has to wait");
                    waiting.push((did, after));
                }
            }
        }
        if unread.is_empty() && waiting.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_MAX);
    }
    if is_whole {
        inner.files.forget_restored();
        tracing::info!("all accounts have said where they stand");
    }
}

/// Whether an account can't speak before its database is repaired.
fn is_lasting(error: &Error) -> bool {
    matches!(error, Error::Account(error) if error.is_lasting())
}

async fn restate(app: &App, did: &Did, after: i64) -> Result<(), Error> {
    let Some(account) = app.directory(GetAccount { who: Who::Did(did.clone()) }).await? else {
        return Ok(());
    };
    let handle = Some(account.handle);
    let told = async {
        // What the directory says is so, whichever of the two went back.
        app.account(did, SetStatus { status: account.status, handle: handle.clone() }).await?;
        app.account(did, Restate { handle, after }).await
    };
    match told.await {
        Err(Error::Account(account::Error::NoRepo)) => Ok(()), // It was never made, or is on its way in.
        told => told,
    }
}

impl Inner {
    /// The newest outbox id that the log has of an account which does not know of it itself.
    async fn went_back(&self, did: &Did) -> Result<Option<i64>, Error> {
        // The log first: what the account does meanwhile takes it further, not back.
        let logged = self.sequencer.last_outbox_id(did.clone()).await;
        let logged = logged.map_err(|error| Error::Storage(error.to_string()))?;
        let path = self.files.account(did);
        let own = tokio::task::spawn_blocking(move || -> Result<_, account::Error> {
            if !path.exists() {
                return Ok(None);
            }
            let database = Database::open_read_only(&path)?;
            let Some(head) = Head::read(&database)? else { return Ok(None) };
            Ok(Some(outbox::newest(&database)?.max(head.rev.micros())))
        });
        let own = own.await.map_err(|_| Error::Stopping)?.map_err(Error::Account)?;
        Ok(own.filter(|own| *own < logged).map(|_| logged))
    }
}
