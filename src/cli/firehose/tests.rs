//! Following a real sequencer over loopback, with a PLC directory beside it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::*;
use zap::crypto::SigningKey;
use zap::event::EventKind;
use zap::event::verify::testing::{DID, Repo, TIME};
use zap::event::{AccountEvent, Frame, IdentityEvent};
use zap::native::sequencer::{Options, Outgoing, SequencerHandle};
use zap::sequencer::OutboxEvent;

#[test]
fn a_stream_is_found_by_name_url_and_whole_address() {
    let found = |host| stream_url(host).unwrap();
    assert_eq!(found("bsky.network"), "wss://bsky.network/xrpc/com.atproto.sync.subscribeRepos");
    assert_eq!(found("http://localhost:2583/"), "ws://localhost:2583/xrpc/com.atproto.sync.subscribeRepos");
    assert_eq!(found("localhost:2583"), "ws://localhost:2583/xrpc/com.atproto.sync.subscribeRepos");
    assert_eq!(found("127.0.0.1:2583"), "ws://127.0.0.1:2583/xrpc/com.atproto.sync.subscribeRepos");
    assert_eq!(found("wss://a.test/stream"), "wss://a.test/stream");
    for bad in ["", "ftp://a.test", "https://", "a.test?cursor=1"] {
        assert!(stream_url(bad).is_err(), "{bad}");
    }
}

struct Host {
    sequencer: SequencerHandle,
    key: SigningKey,
}

/// The stream, and the account's document as the PLC directory gives it.
async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response {
    if request.uri().path() == format!("/{DID}") {
        let method = serde_json::json!({
            "id": format!("{DID}#atproto"), "type": "Multikey", "controller": DID,
            "publicKeyMultibase": host.key.verifying_key().multikey(),
        });
        return axum::Json(serde_json::json!({ "id": DID, "verificationMethod": [method] })).into_response();
    }
    let cursor = request.uri().query().map(|query| query["cursor=".len()..].parse().unwrap());
    host.sequencer.subscribe(cursor, request).await.unwrap()
}

/// Follows a stream of these events with `--verify --count`.
async fn verified(key: SigningKey, events: Vec<(EventKind, Frame)>) -> (Result<(), CliError>, Tally) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().join("sequencer.sqlite"), Duration::from_secs(60));
    let sequencer = SequencerHandle::start(options).unwrap();
    let count = events.len() as u64;
    let outgoing = events.into_iter().zip(1..).map(|((kind, frame), outbox_id)| {
        let event = OutboxEvent { did: DID.parse().unwrap(), outbox_id, kind, frame };
        Outgoing { event, synced: Arc::default() }
    });
    sequencer.send(sequencer.reserve().unwrap(), outgoing.collect()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer).with_state(Arc::new(Host { sequencer, key }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut follower = Follower {
        url: stream_url(&url).unwrap(),
        cursor: Some(0),
        left: Some(count),
        check: Some((Keys::new(&url).unwrap(), Verifier::new())),
        out: Out::new(false),
        progress: Progress::beside_lines(),
        tally: Tally::default(),
    };
    let followed = tokio::time::timeout(Duration::from_secs(20), follower.follow()).await.expect("in time");
    follower.summary().unwrap();
    (followed, follower.tally)
}

/// An account's creation and some posts.
fn stream(repo: &mut Repo) -> Vec<(EventKind, Frame)> {
    let first = repo.commit(&[("app.bsky.actor.profile/self", Some("hello"))]);
    let mut events = vec![
        (EventKind::Identity, IdentityEvent { did: DID, time: TIME, handle: None }.encode()),
        (EventKind::Account, AccountEvent { did: DID, time: TIME, active: true, status: None }.encode()),
        (EventKind::Commit, first.event()),
        (EventKind::Sync, repo.sync()),
    ];
    for number in 0..20 {
        let path = format!("app.bsky.feed.post/{number}");
        events.push((EventKind::Commit, repo.commit(&[(&path, Some("a post"))]).event()));
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_stream_is_followed_without_a_finding() {
    // Revs are of a fixed time that has to be in the past.
    assert!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > 1_790_000_000);
    let mut repo = Repo::new();
    let events = stream(&mut repo);
    let (followed, tally) = verified(SigningKey::from_bytes(&repo.key.to_bytes()).unwrap(), events).await;
    followed.unwrap();
    assert_eq!((tally.events, tally.violations, tally.warnings), (24, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_event_and_a_foreign_key_are_violations() {
    let mut repo = Repo::new();
    let mut events = stream(&mut repo);
    events.remove(10);
    let key = SigningKey::from_bytes(&repo.key.to_bytes()).unwrap();
    let (followed, tally) = verified(key, events).await;
    followed.unwrap();
    assert_eq!(tally.violations, 2, "since and prevData");

    let (_, tally) = verified(SigningKey::from_bytes(&[9; 32]).unwrap(), stream(&mut Repo::new())).await;
    assert_eq!(tally.violations, 22, "each commit and the sync");
}

#[test]
fn one_sees_how_far_behind_the_stream_one_is() {
    let now_us = 1_790_000_000_000_000;
    let line = progress(100_000, 1, now_us - 90_000_000, now_us);
    assert_eq!(line, "100000 events, 1 violation, 90 seconds behind");
    // A relay counts from one.
    assert_eq!(progress(1, 0, 4711, now_us), "1 event, 0 violations");
}
