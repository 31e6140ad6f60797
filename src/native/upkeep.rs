//! What the host does by itself: draining after a crash, going on with changes, carrying notices, letting unused blobs go,
//! looking at handles again, asking relays to crawl.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::{ACCOUNTS_PAGE, Inner, clock, restored, telemetry};
use crate::account;
use crate::app::{App, Error, Relays};
use crate::blobs::{ExpireBlobs, ListUnknownBlobs};
use crate::directory::ListStandings;
use crate::host::Failed;
use crate::limits::BLOB_UNREFERENCED_SECONDS;
use crate::sequencer::GetHead;
use crate::syntax::Did;

const GO_ON_INTERVAL: Duration = Duration::from_secs(30);
/// Between two rounds of the mail that waits at least.
const POST_PAUSE_MIN: Duration = Duration::from_secs(1);
/// How often is looked whether a handle is due: each is once a day, or once an hour.
const HANDLES_INTERVAL: Duration = Duration::from_secs(60);
const BLOBS_INTERVAL: Duration = Duration::from_secs(3600);
/// Between two rounds through outboxes that could not be drained: at first, and at most.
const VISIT_AGAIN: Duration = Duration::from_secs(1);
const VISIT_AGAIN_MAX: Duration = Duration::from_secs(60);
/// Between two tries to list all accounts.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// A relay that is asked looks at once whether there is a server, so that requests have to be answered by then.
const RELAYS_FIRST: Duration = Duration::from_secs(3);
/// How often is looked whether it is a relay's turn.
const RELAYS_INTERVAL: Duration = Duration::from_secs(60);
/// How often a long work tells how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// Blobs let go of one account at a time.
const BLOBS_PAGE: u32 = 100;
/// Every so many rounds all files are looked at: an hour after the start, and then once a day.
const SWEEP_ROUNDS: usize = 24;

/// Starts the tasks. After a crash every outbox is looked through.
pub(super) fn start(
    app: &Arc<App>,
    inner: &Arc<Inner>,
    crashed: bool,
    relays: Relays,
) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(go_on(Arc::clone(app))),
        tokio::spawn(post(Arc::clone(app))),
        tokio::spawn(check_handles(Arc::clone(app))),
        tokio::spawn(expire_blobs(Arc::clone(app), Arc::clone(inner))),
        tokio::spawn(tell_restored(Arc::clone(app), Arc::clone(inner))),
        tokio::spawn(ask_relays(Arc::clone(inner), relays)),
    ];
    if crashed {
        tasks.push(tokio::spawn(drain_all(Arc::clone(app), Arc::clone(inner))));
    }
    tasks
}

async fn tell_restored(app: Arc<App>, inner: Arc<Inner>) {
    let dids = every_account(&app).await;
    restored::tell(&app, &inner, dids).await;
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

/// Sends the mail that waits, at the start and whenever some is due again; what is asked for meanwhile is sent at once, by
/// a task of its own.
async fn post(app: Arc<App>) {
    loop {
        let next_us = app.post().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "mail waits for the next try");
            None
        });
        let until = next_us.map(|next_us| (next_us - clock::now_us()).max(0).unsigned_abs());
        let pause = until.map_or(GO_ON_INTERVAL, Duration::from_micros);
        tokio::time::sleep(pause.clamp(POST_PAUSE_MIN, GO_ON_INTERVAL)).await;
    }
}

/// Looks at handles on domains of their owners, whenever some are due.
async fn check_handles(app: Arc<App>) {
    loop {
        tokio::time::sleep(HANDLES_INTERVAL).await;
        if let Err(error) = app.check_handles().await {
            tracing::warn!(%error, "handles are looked at later");
        }
    }
}

/// Visits every agent, those that wrote last first.
async fn drain_all(app: Arc<App>, inner: Arc<Inner>) {
    let mut agents: Vec<_> =
        every_account(&app).await.into_iter().map(|did| (inner.files.last_write(&did), did)).collect();
    agents.sort_by(|left, right| right.cmp(left));
    tracing::info!(agents = agents.len(), "the server was not stopped cleanly: looking through all outboxes");
    let mut waiting: Vec<Did> = agents.into_iter().map(|(_, did)| did).collect();
    let mut pause = VISIT_AGAIN;
    // Again while some are left: the event log may be stuck meanwhile, or the disk full.
    while !waiting.is_empty() {
        let (all, mut left, mut told) = (waiting.len(), Vec::new(), Instant::now());
        for (number, did) in waiting.into_iter().enumerate() {
            if told.elapsed() >= PROGRESS_INTERVAL {
                told = Instant::now();
                tracing::info!("looked through the outboxes of {number} agents of {all}");
            }
            let Some(visit) = inner.on_shard(&did, |shard| shard.visit(did.clone())) else { return };
            match visit.await {
                Ok(true) | Err(Failed::Cell(account::Error::NoRepo)) => {}
                Err(Failed::Stopping) => return,
                Err(Failed::Cell(error)) if error.is_lasting() => {
                    tracing::error!(%did, %error, "an outbox can't be drained");
                }
                Ok(false) | Err(_) => left.push(did),
            }
        }
        waiting = left;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(VISIT_AGAIN_MAX);
    }
    inner.undrained.store(false, Ordering::Relaxed);
    tracing::info!("all outboxes are drained");
}

async fn ask_relays(inner: Arc<Inner>, mut relays: Relays) {
    tokio::time::sleep(RELAYS_FIRST).await;
    loop {
        match crate::host::sequencer(&*inner, GetHead {}).await {
            Ok(head) => {
                for (relay, answer) in relays.ask(&*inner, head.last_seq).await {
                    let labels = [("relay", relay), ("answer", answer.to_string())];
                    metrics::counter!(telemetry::RELAY_REQUESTS, &labels).increment(1);
                }
            }
            Err(error) => tracing::warn!(%error, "relays are not asked: the event log does not answer"),
        }
        tokio::time::sleep(RELAYS_INTERVAL).await;
    }
}

async fn expire_blobs(app: Arc<App>, inner: Arc<Inner>) {
    for round in 0_usize.. {
        tokio::time::sleep(BLOBS_INTERVAL).await;
        let before_us = clock::now_us() - BLOB_UNREFERENCED_SECONDS * 1_000_000;
        for did in every_account(&app).await {
            expire_blobs_of(&inner, &did, before_us).await;
        }
        if round.is_multiple_of(SWEEP_ROUNDS) {
            sweep_blobs(&inner, &every_account(&app).await, before_us).await;
        }
    }
}

/// The cell forgets the blob first: a crash in between leaves bytes that nobody can ask for, never a hole. Bytes that come
/// again in between are newer, and stay.
async fn expire_blobs_of(inner: &Inner, did: &Did, before_us: i64) {
    loop {
        let expire = ExpireBlobs { before_us, limit: BLOBS_PAGE };
        let Ok(expired) = crate::host::account(inner, did, expire).await else { return };
        for cid in &expired {
            if let Err(error) = inner.blobs.delete_older(did, cid, before_us).await {
                tracing::warn!(%did, %cid, %error, "a blob that nothing refers to stays on disk");
            }
        }
        if expired.len() < BLOBS_PAGE as usize {
            return;
        }
    }
}

/// Removes old files that no account knows: their senders hung up before it was told, or it was deleted meanwhile. An
/// account that the directory does not know, as after a backup of that alone, keeps what it has.
async fn sweep_blobs(inner: &Inner, dids: &[Did], before_us: i64) {
    for did in dids {
        if let Err(error) = sweep_blobs_of(inner, did, before_us).await {
            tracing::warn!(%did, %error, "blobs that nobody knows may stay on disk");
        }
    }
    let Some(others) = inner.files.folders_with_others(dids) else { return };
    let swept = inner.blobs.delete_of_others(dids, before_us, move |folder| others.contains(folder));
    if let Err(error) = swept.await {
        tracing::warn!(%error, "blobs of deleted accounts may stay on disk");
    }
}

async fn sweep_blobs_of(inner: &Inner, did: &Did, before_us: i64) -> Result<(), Error> {
    let older = inner.blobs.list_older(did, before_us).await?;
    for cids in older.chunks(BLOBS_PAGE as usize) {
        let unknown = crate::host::account(inner, did, ListUnknownBlobs { cids: cids.to_vec() }).await?;
        for cid in &unknown {
            // One that comes again in between is newer, and stays.
            inner.blobs.delete_older(did, cid, before_us).await?;
        }
    }
    Ok(())
}

/// All accounts, as soon as the directory lists them: whoever is not looked at is forgotten.
async fn every_account(app: &App) -> Vec<Did> {
    loop {
        match all_accounts(app).await {
            Ok(dids) => return dids,
            Err(error) => tracing::warn!(%error, "the accounts can't be listed: trying again"),
        }
        tokio::time::sleep(LIST_AGAIN).await;
    }
}

async fn all_accounts(app: &App) -> Result<Vec<Did>, Error> {
    let (mut dids, mut cursor) = (Vec::new(), None);
    loop {
        let page = app.directory(ListStandings { cursor, limit: ACCOUNTS_PAGE }).await?;
        dids.extend(page.accounts.into_iter().map(|account| account.did));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(dids);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use rusqlite::Connection;

    use super::*;
    use crate::account::CreateRepo;
    use crate::blobs::AddBlob;
    use crate::native::NativeHost;
    use crate::native::testing::start;
    use crate::seam::Hidden;

    /// What breaks: an upload whose sender hangs up, or whose account is deleted meanwhile, takes room for ever.
    #[tokio::test(flavor = "multi_thread")]
    async fn old_blobs_that_nobody_knows_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let host: Arc<NativeHost> = start(folder.path()).await;
        let inner = &host.inner;
        let [alice, gone, unlisted]: [Did; 3] =
            ["did:plc:alice", "did:plc:gone", "did:plc:unlisted"].map(|did| did.parse().unwrap());
        for did in [&alice, &unlisted] {
            let handle = "alice.test".parse().unwrap();
            let signing_key = Hidden::new([3; 32]);
            let create =
                CreateRepo { did: did.clone(), handle, signing_key, active: true, records: Vec::new() };
            crate::host::account(&**inner, did, create).await.unwrap();
        }
        let put = async |did: &Did, text: &'static str| {
            let body = futures::stream::iter([Ok(text.into())]).boxed();
            inner.blobs.put(did, body, 10).await.unwrap().cid
        };
        let known = put(&alice, "known").await;
        let add = AddBlob { cid: known, mime: "text/plain".to_owned(), bytes: 5 };
        crate::host::account(&**inner, &alice, add).await.unwrap();
        let unknown = put(&alice, "unknown").await;
        let (left, kept) = (put(&gone, "left").await, put(&unlisted, "kept").await);
        let is_there = async |did: &Did, cid| inner.blobs.get(did, cid).await.unwrap().is_some();
        sweep_blobs(inner, std::slice::from_ref(&alice), 0).await;
        for (did, cid) in [(&alice, &known), (&alice, &unknown), (&gone, &left), (&unlisted, &kept)] {
            assert!(is_there(did, cid).await, "it is new");
        }
        sweep_blobs(inner, std::slice::from_ref(&alice), i64::MAX).await;
        assert!(is_there(&alice, &known).await);
        assert!(!is_there(&alice, &unknown).await);
        assert!(!is_there(&gone, &left).await);
        assert!(is_there(&unlisted, &kept).await, "it has a database");
        host.stop().await;
    }

    /// What breaks: accounts that are not listed do not say that they went back, and their outboxes wait for the next crash.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_directory_that_fails_ends_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let host: Arc<NativeHost> = start(folder.path()).await;
        let directory = Connection::open(folder.path().join("directory.sqlite")).unwrap();
        directory.execute_batch("ALTER TABLE account RENAME TO away").unwrap();
        let app = host.app();
        let mut listed = std::pin::pin!(every_account(&app));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut listed).await;
        assert!(early.is_err(), "{early:?}");
        directory.execute_batch("ALTER TABLE away RENAME TO account").unwrap();
        let listed = tokio::time::timeout(Duration::from_secs(10), listed).await;
        assert_eq!(listed, Ok(Vec::new()));
        host.stop().await;
    }
}
