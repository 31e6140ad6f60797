//! A server that can open no file for a moment.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::zap::create_account;
use harness::{Account, Client};
use hyper::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::mishaps::limit_files;

const ARRIVE_WITHIN: Duration = Duration::from_secs(10);

async fn write(client: &mut Client, account: &Account) {
    let input = json!({ "repo": account.did, "collection": "com.example.note", "record":
        { "$type": "com.example.note" } });
    let created = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input);
    created.await.unwrap().success().unwrap();
}

/// Events that wait in the outbox of the only account: the newest is in the first row that is free.
fn waiting(data: &Path) -> i64 {
    let files = std::fs::read_dir(data.join("agents")).unwrap().flatten();
    let files = files.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    let file = files.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "sqlite"));
    let cell = Connection::open_with_flags(file.unwrap(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    cell.query_row("SELECT slot FROM outbox ORDER BY id DESC LIMIT 1", [], |row| row.get(0)).unwrap()
}

/// What breaks: the log is never synced again, and every outbox grows until a restart.
#[tokio::test]
async fn a_moment_without_descriptors_leaves_nothing_behind() {
    if super::on_worker() {
        return; // The runtime's own affair.
    }
    let (_folder, zap) = super::start("warn").await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    write(&mut client, &alice).await;
    let usual = limit_files(&zap, Some(1));
    write(&mut client, &alice).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let starved = limit_files(&zap, usual.current);
    assert_eq!(starved.current, Some(1), "it was starved");

    let start = Instant::now();
    while waiting(&zap.data) > 0 {
        assert!(start.elapsed() < ARRIVE_WITHIN, "{} events wait", waiting(&zap.data));
        tokio::time::sleep(Duration::from_millis(300)).await;
        write(&mut client, &alice).await;
    }
    client.get("/xrpc/_health", None).await.unwrap().success().unwrap();
}

/// What breaks: whoever needs a file in that moment is told that the server has a fault, and gives up.
#[tokio::test]
async fn who_needs_a_file_that_cannot_be_opened_is_told_to_come_again() {
    if super::on_worker() {
        return; // The runtime's own affair.
    }
    let (_folder, mut zap) = super::start("warn").await;
    let alice = create_account(&mut zap.client(), "alice.test").await.unwrap();
    // So that her database is not open.
    zap.stop().await.unwrap();
    zap.restart().await.unwrap();
    let mut client = zap.client();
    client.get("/xrpc/_health", None).await.unwrap().success().unwrap();
    let own = Some(alice.authorization.as_str());
    let record = json!({ "repo": alice.did, "collection": "com.example.note", "record":
        { "$type": "com.example.note" } });
    let usual = limit_files(&zap, Some(1));
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let blob = client.send(Method::POST, path, own, Some("text/plain"), Bytes::from_static(b"a blob"));
    let told = [
        blob.await.unwrap(),
        client.post("com.atproto.repo.createRecord", own, &record).await.unwrap(),
        client.get(&format!("/xrpc/com.atproto.sync.getRepo?did={}", alice.did), None).await.unwrap(),
    ];
    limit_files(&zap, usual.current);
    for answer in told {
        let name = answer.error_name();
        assert_eq!(
            (answer.status, name.as_str(), answer.retry_after.is_some()),
            (503, "NotEnoughResources", true)
        );
    }
    write(&mut client, &alice).await;
}
