//! An event log that takes nothing: locked by another program, as by somebody who looks into it with a tool.

use std::time::{Duration, Instant};

use harness::zap::{create_account, create_agent};
use harness::{Account, Answer, Client};
use serde_json::json;

use crate::firehose::{backfill, subscribe, verify};
use crate::mishaps::lock_log;

/// Nobody waits longer than this for any answer, whatever the log does.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// More writes than may wait for the log.
const WRITES: usize = 320;

async fn within<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    answer.unwrap_or_else(|_| panic!("{what}: no answer within {ANSWER_WITHIN:?}"))
}

async fn write(client: &mut Client, account: &Account, number: usize) -> Answer {
    let input = json!({ "repo": account.did, "collection": "com.example.note", "record":
        { "$type": "com.example.note", "number": number } });
    let created = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input);
    within("createRecord", created).await.unwrap()
}

/// Writes until a write is refused; how many were acknowledged.
async fn write_until_refused(client: &mut Client, account: &Account) -> usize {
    for number in 0..WRITES {
        let answer = write(client, account, number).await;
        if answer.status != 200 {
            assert_eq!((answer.status, answer.error_name().as_str()), (503, "NotEnoughResources"));
            assert!(answer.retry_after.is_some(), "it says when to come back");
            return number;
        }
    }
    panic!("{WRITES} writes were acknowledged that nobody hears of");
}

async fn records(client: &mut Client, account: &Account) -> usize {
    let path = format!("/xrpc/com.atproto.repo.describeRepo?repo={}", account.did);
    within("describeRepo", client.get(&path, None)).await.unwrap().success().unwrap();
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let path = format!(
            "/xrpc/com.atproto.repo.listRecords?repo={}&collection=com.example.note&limit=100&cursor={cursor}",
            account.did
        );
        let page = within("listRecords", client.get(&path, None)).await.unwrap().ok().unwrap();
        count += page["records"].as_array().unwrap().len();
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return count,
        }
    }
}

/// What `_health` says.
async fn is_stuck(client: &mut Client) -> bool {
    let health = within("_health", client.get("/xrpc/_health", None)).await.unwrap();
    let stuck = health.status == 503;
    if stuck {
        assert_eq!(health.json().unwrap()["troubles"], json!(["EventLogStuck"]));
    }
    stuck
}

/// What breaks: 256 writes are acknowledged, then all hang without an error, and so does SIGTERM; a new subscriber
/// gets no answer.
#[tokio::test]
async fn a_stuck_log_refuses_in_time_and_goes_on_when_it_is_free() {
    if super::on_worker() {
        return; // Nobody can lock an object's storage.
    }
    let (_folder, mut zap) = super::start("warn").await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let bob = create_account(&mut client, "bob.test").await.unwrap();
    let robin = create_agent(&mut client, "robin").await.unwrap();
    let note = json!({ "$type": "agent.memory.note", "summary": "Tea is at four", "createdAt": "2026-11-30T00:00:00Z" });
    let remember = json!({ "memory": note });
    let remembered = client.post("agent.memory.remember", Some(&robin.authorization), &remember);
    remembered.await.unwrap().success().unwrap();
    assert!(!is_stuck(&mut client).await);

    let locked = lock_log(&zap);
    let acknowledged = write_until_refused(&mut client, &alice).await;
    assert!(acknowledged > 0, "what is committed is answered so");
    assert_eq!(records(&mut client, &alice).await, acknowledged, "a write that was refused was not made");
    assert_eq!(write(&mut client, &bob, 0).await.status, 503, "others' writes wait for the same log");
    within("subscribeRepos", subscribe(&zap, None)).await.unwrap();
    let recall = client.get("/xrpc/agent.memory.recall?q=tea", Some(&robin.authorization));
    let recalled = within("recall", recall).await.unwrap().ok().unwrap();
    assert!(recalled.to_string().contains("Tea is at four"), "{recalled}");
    let session = json!({ "identifier": "bob.test", "password": "correct horse" });
    let signed_in = client.post("com.atproto.server.createSession", None, &session);
    within("createSession", signed_in).await.unwrap().success().unwrap();
    assert!(is_stuck(&mut client).await);
    // Asked for while it is held: when it is free, one may say so before the other.
    let metrics = within("metrics", client.get("/metrics", None)).await.unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("\nzap_firehose_stuck 1"), "{metrics}");

    drop(locked);
    let start = Instant::now();
    while is_stuck(&mut client).await {
        assert!(start.elapsed() < ANSWER_WITHIN, "the log is free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    write(&mut client, &alice, acknowledged).await.success().unwrap();
    let frames = backfill(&zap, &[alice, bob, robin]).await;
    verify(&zap, &frames).await;
    zap.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_though_the_log_is_stuck_and_the_next_start_tells_all() {
    if super::on_worker() {
        return; // Nobody can lock an object's storage.
    }
    let (_folder, mut zap) = super::start("warn").await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let locked = lock_log(&zap);
    let acknowledged = write_until_refused(&mut client, &alice).await;
    let start = Instant::now();
    zap.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
    drop(locked);

    zap.restart().await.unwrap();
    assert_eq!(records(&mut zap.client(), &alice).await, acknowledged);
    let frames = backfill(&zap, &[alice]).await;
    verify(&zap, &frames).await;
    let log = std::fs::read_to_string(&zap.log).unwrap();
    assert!(!log.contains("a backup was put back"), "nothing went back: {log}");
}
