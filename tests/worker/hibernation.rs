//! Sockets outlive the memory of the object that holds them.

use std::time::Duration;

use harness::zap::create_account;
use harness::{Account, Client, Subscriber};
use serde_json::json;
use zap::sequencer::frame::Event;

/// The runtime puts an object to sleep that nothing has asked for ten seconds.
const ASLEEP_AFTER: Duration = Duration::from_secs(14);
const ARRIVE_WITHIN: Duration = Duration::from_secs(20);

/// What breaks: a relay that follows a quiet network misses the first event after the silence, or gets it twice.
#[tokio::test]
async fn a_subscriber_of_a_sleeping_sequencer_misses_nothing_and_gets_nothing_twice() {
    let Some((_folder, zap)) = super::start("wrangler.toml").await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "sleeper.test").await.unwrap();
    let mut sockets = Vec::new();
    for cursor in ["", "?cursor=0"] {
        let path = format!("/xrpc/com.atproto.sync.subscribeRepos{cursor}");
        sockets.push(Subscriber::connect(zap.address, &path).await.unwrap());
    }
    let first = post(&mut client, &account, "before").await;
    for socket in &mut sockets {
        assert_eq!(commits_until(socket, &first).await.last(), Some(&first));
    }
    // One goes without a word while the object sleeps.
    let mut vanishing =
        Subscriber::connect(zap.address, "/xrpc/com.atproto.sync.subscribeRepos").await.unwrap();
    let quiet = post(&mut client, &account, "quiet").await;
    for socket in sockets.iter_mut().chain([&mut vanishing]) {
        assert_eq!(commits_until(socket, &quiet).await, std::slice::from_ref(&quiet));
    }
    tokio::time::sleep(ASLEEP_AFTER / 2).await;
    drop(vanishing);
    tokio::time::sleep(ASLEEP_AFTER).await;
    let second = post(&mut client, &account, "after").await;
    let third = post(&mut client, &account, "and again").await;
    for socket in &mut sockets {
        assert_eq!(commits_until(socket, &third).await, [second.clone(), third.clone()]);
    }
}

/// Creates a post; answers its commit's rev.
async fn post(client: &mut Client, account: &Account, text: &str) -> String {
    let record =
        json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-01T00:00:00.000Z" });
    let input = json!({ "repo": account.did, "collection": "app.bsky.feed.post", "record": record });
    let answer = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await;
    answer.unwrap().ok().unwrap()["commit"]["rev"].as_str().unwrap().to_owned()
}

/// The revs of commits that come up to this one.
async fn commits_until(socket: &mut Subscriber, rev: &str) -> Vec<String> {
    let mut revs = Vec::new();
    let read = async {
        while revs.last().is_none_or(|last| last != rev) {
            let frames = socket.next().await.unwrap();
            assert!(!frames.is_empty(), "the server closed the stream");
            for frame in frames {
                if let Event::Commit { body, .. } = Event::decode(&frame).unwrap() {
                    revs.push(body.rev.to_owned());
                }
            }
        }
    };
    let done = tokio::time::timeout(ARRIVE_WITHIN, read).await;
    assert!(done.is_ok(), "{rev} did not come within {ARRIVE_WITHIN:?}; {revs:?} did");
    revs
}
