//! What the host does by itself: draining after a crash, going on with changes, carrying notices, letting unused blobs go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Inner, clock};
use crate::app::App;
use crate::blobs::ExpireBlobs;
use crate::directory::ListAccounts;
use crate::host::Host;
use crate::limits::BLOB_UNREFERENCED_SECONDS;
use crate::syntax::Did;

const GO_ON_INTERVAL: Duration = Duration::from_secs(30);
const BLOBS_INTERVAL: Duration = Duration::from_secs(3600);
/// Accounts asked for at a time.
const PAGE: usize = 500;
/// Blobs let go of one account at a time.
const BLOBS_PAGE: u32 = 100;

/// Starts the tasks. After a crash every outbox is looked through.
pub(super) fn start(app: &Arc<App>, inner: &Arc<Inner>, crashed: bool) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(go_on(Arc::clone(app))),
        tokio::spawn(expire_blobs(Arc::clone(app), Arc::clone(inner))),
    ];
    if crashed {
        tasks.push(tokio::spawn(drain_all(Arc::clone(app), Arc::clone(inner))));
    }
    tasks
}

async fn go_on(app: Arc<App>) {
    loop {
        // Side by side: changes may wait long for a directory that does not answer.
        let (resumed, carried) = tokio::join!(app.resume_flows(), app.carry_notices());
        if let Err(error) = resumed {
            tracing::warn!(%error, "changes that were cut short wait for the next try");
        }
        if let Err(error) = carried {
            tracing::warn!(%error, "notices of the directory wait for the next try");
        }
        tokio::time::sleep(GO_ON_INTERVAL).await;
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
            expire_blobs_of(&*inner, &did, before_us).await;
        }
    }
}

/// The cell forgets the blob first: a crash in between leaves bytes that nobody can ask for, never a hole.
async fn expire_blobs_of(inner: &dyn Host, did: &Did, before_us: i64) {
    loop {
        let expire = ExpireBlobs { before_us, limit: BLOBS_PAGE };
        let Ok(expired) = crate::host::account(inner, did, expire).await else { return };
        for cid in &expired {
            if let Err(error) = inner.delete_blob(did.clone(), *cid).await {
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
                tracing::warn!(%error, "the list of accounts ends early");
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
