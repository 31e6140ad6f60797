//! Other services that do not answer, never end, or answer too much, while somebody's calls go on to them.

use std::time::{Duration, Instant};

use harness::zap::create_account;
use harness::{Conduct, Peer, Settings, Zap};
use zap::limits::{EXCHANGE_ANSWER_SECONDS, EXCHANGE_BODY_BYTES_MAX, FETCH_TIMEOUT_SECONDS};

const GRACE: Duration = Duration::from_secs(15);

/// A server whose app view behaves like this.
async fn start(conduct: Conduct, folder: &std::path::Path) -> (Zap, Peer) {
    let peer = Peer::start(conduct).await.unwrap();
    let port = peer.address.port();
    let settings = Settings::from([
        ("appview-url", format!("http://{}", peer.address)),
        ("appview-did", format!("did:web:localhost%3A{port}")),
    ]);
    (super::start_in(folder, "info", settings).await, peer)
}

/// What breaks: an app view that hangs takes a socket and a task of ours for each call, for as long as it likes.
#[tokio::test]
async fn a_service_that_does_not_answer_is_a_failure_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let (zap, peer) = start(Conduct::Silent, folder.path()).await;
    let alice = create_account(&mut zap.client(), "alice.test").await.unwrap();
    let start = Instant::now();
    let path = "/xrpc/app.bsky.feed.getTimeline";
    let answer = zap.client().get(path, Some(&alice.authorization)).await.unwrap();
    assert_eq!((answer.status, answer.error_name().as_str()), (502, "UpstreamFailure"), "{answer:?}");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(FETCH_TIMEOUT_SECONDS) + GRACE, "refused after {took:?}");
    until_gone(&peer).await;
}

/// What breaks: the same, by answers that begin and never end; or they are held in memory.
#[tokio::test]
async fn an_answer_that_never_ends_is_cut_and_held_by_nobody() {
    for conduct in [Conduct::Flooding, Conduct::Dripping] {
        let folder = tempfile::tempdir().unwrap();
        let (zap, peer) = start(conduct, folder.path()).await;
        let alice = create_account(&mut zap.client(), "alice.test").await.unwrap();
        let before = zap.usage().unwrap().resident_bytes;
        let (start, path) = (Instant::now(), "/xrpc/app.bsky.feed.getLikes");
        let cut = zap.client().get(path, Some(&alice.authorization)).await;
        // The Worker's runtime ends every answer in order: there it is one that can't be read.
        let is_whole = cut.is_ok_and(|answer| !super::on_worker() || answer.json().is_ok());
        assert!(!is_whole, "{conduct:?}: a whole answer");
        let took = start.elapsed();
        assert!(
            took < Duration::from_secs(EXCHANGE_ANSWER_SECONDS) + GRACE,
            "{conduct:?}: cut after {took:?}"
        );
        until_gone(&peer).await;
        let grown = zap.usage().unwrap().resident_bytes.saturating_sub(before);
        // workerd collects what went through it when it likes.
        let held_max = EXCHANGE_BODY_BYTES_MAX * if super::on_worker() { 10 } else { 1 };
        assert!(grown < held_max, "{conduct:?}: {grown} bytes");
        zap.client().get("/xrpc/_health", None).await.unwrap().success().unwrap();
    }
}

/// What breaks: who hangs up leaves the service working for nobody.
#[tokio::test]
async fn a_call_whose_caller_leaves_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (zap, peer) = start(Conduct::Silent, folder.path()).await;
    let alice = create_account(&mut zap.client(), "alice.test").await.unwrap();
    let mut client = zap.client().resetting();
    let call = tokio::spawn(async move {
        client.get("/xrpc/app.bsky.feed.getTimeline", Some(&alice.authorization)).await
    });
    until(|| peer.unanswered() > 0).await;
    call.abort();
    until_gone(&peer).await;
}

async fn until_gone(peer: &Peer) {
    until(|| peer.open() == 0).await;
}

async fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < GRACE, "not within {GRACE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
