//! Posts, and their commits on the event stream.

use std::time::Duration;

use harness::{Account, Client, Subscriber, Zap};
use serde_json::json;
use zap::event::Event;

const ARRIVE_WITHIN: Duration = Duration::from_secs(40);

pub(crate) async fn subscribe(zap: &Zap, cursor: Option<i64>) -> Subscriber {
    let cursor = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
    let path = format!("/xrpc/com.atproto.sync.subscribeRepos{cursor}");
    Subscriber::connect(zap.address, &path).await.unwrap()
}

/// Creates a post; answers its commit's rev.
pub(crate) async fn post(client: &mut Client, account: &Account, text: &str) -> String {
    let record =
        json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-01T00:00:00.000Z" });
    let input = json!({ "repo": account.did, "collection": "app.bsky.feed.post", "record": record });
    let answer = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await;
    answer.unwrap().ok().unwrap()["commit"]["rev"].as_str().unwrap().to_owned()
}

/// The revs of commits that come up to this one, and what comes along with it.
pub(crate) async fn commits_until(socket: &mut Subscriber, rev: &str) -> Vec<String> {
    let mut revs = Vec::new();
    let read = async {
        while !revs.iter().any(|come| come == rev) {
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
