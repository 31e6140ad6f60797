//! What the host does by itself: draining after a crash, carrying notices, letting unused blobs go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Inner, clock};
use crate::account::{Command, ExpireBlobs, Reply};
use crate::directory::ListAccounts;
use crate::host::Host;
use crate::limits::BLOB_UNREFERENCED_SECONDS;
use crate::syntax::Did;
use crate::xrpc::App;

const NOTICES_INTERVAL: Duration = Duration::from_secs(30);
const BLOBS_INTERVAL: Duration = Duration::from_secs(3600);
/// Accounts asked for at a time.
const PAGE: usize = 500;
/// Blobs let go of one account at a time.
const BLOBS_PAGE: u32 = 100;

/// Starts the tasks. After a crash every outbox is looked through.
pub(super) fn start(app: &Arc<App>, inner: &Arc<Inner>, crashed: bool) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(carry_notices(Arc::clone(app))),
        tokio::spawn(expire_blobs(Arc::clone(app), Arc::clone(inner))),
    ];
    if crashed {
        tasks.push(tokio::spawn(drain_all(Arc::clone(app), Arc::clone(inner))));
    }
    tasks
}

async fn carry_notices(app: Arc<App>) {
    if let Err(error) = app.resume_signups().await {
        tracing::warn!(%error.message, "signups that a stop cut short wait for the next try");
    }
    loop {
        if let Err(error) = app.carry_notices().await {
            tracing::warn!(%error.message, "notices of the directory wait for the next try");
        }
        tokio::time::sleep(NOTICES_INTERVAL).await;
    }
}

/// Visits every agent, those that wrote last first.
async fn drain_all(app: Arc<App>, inner: Arc<Inner>) {
    let mut agents: Vec<_> =
        all_accounts(&app).await.into_iter().map(|did| (inner.files.last_write(&did), did)).collect();
    agents.sort_by(|left, right| right.cmp(left));
    tracing::info!(agents = agents.len(), "the server was not stopped cleanly: looking through all outboxes");
    for (_, did) in agents {
        let visit = inner.on_shard(&did, |shard| shard.visit(did.clone()));
        match visit {
            Some(visit) => visit.await,
            None => return,
        }
    }
    inner.undrained.store(false, Ordering::Relaxed);
    tracing::info!("all outboxes are drained");
}

async fn expire_blobs(app: Arc<App>, inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(BLOBS_INTERVAL).await;
        let before_us = clock::now_us() - BLOB_UNREFERENCED_SECONDS * 1_000_000;
        for did in all_accounts(&app).await {
            expire_blobs_of(&inner, &did, before_us).await;
        }
    }
}

/// The cell forgets the blob first: a crash in between leaves bytes that nobody can ask for, never a hole.
async fn expire_blobs_of(inner: &Inner, did: &Did, before_us: i64) {
    loop {
        let command = Command::ExpireBlobs(ExpireBlobs { before_us, limit: BLOBS_PAGE });
        let Ok(Reply::ExpireBlobs(expired)) = inner.account(did.clone(), command).await else { return };
        for cid in &expired {
            if let Err(error) = inner.delete_blob(did.clone(), cid.clone()).await {
                tracing::warn!(%did, %cid, %error, "a blob that nothing refers to stays on disk");
            }
        }
        if expired.len() < BLOBS_PAGE as usize {
            return;
        }
    }
}

async fn all_accounts(app: &App) -> Vec<Did> {
    let mut dids = Vec::new();
    let mut cursor = None;
    loop {
        let page = match app.directory(ListAccounts { kind: None, cursor, limit: PAGE }).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error.message, "the list of accounts ends early");
                return dids;
            }
        };
        dids.extend(page.accounts.into_iter().map(|account| account.did));
        cursor = page.cursor;
        if cursor.is_none() {
            return dids;
        }
    }
}
