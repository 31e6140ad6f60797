//! Clients that hold what they take: connections, answers that they do not read, downloads, subscriptions.
//!
//! On the Worker all of this is the runtime's, but for what `tests/worker` tries.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::wire::{self, SUBSCRIBE, ask, status};
use harness::zap::create_account;
use harness::{Account, Zap};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Within which a connection ends that makes no progress, the slowest of its times and a little more.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Reads until the connection ends; says how many bytes came, and when it was over.
async fn drain(stream: &mut TcpStream) -> (usize, Duration) {
    let (start, mut buffer, mut bytes) = (Instant::now(), vec![0; 65_536], 0);
    let read = async {
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            bytes += read;
        }
    };
    timeout(ENDS_WITHIN, read).await.expect("the server never ends the connection");
    (bytes, start.elapsed())
}

/// So many at once, each with its number.
async fn asked(times: usize, ask: impl AsyncFn(usize) -> anyhow::Result<TcpStream>) -> Vec<TcpStream> {
    join_all((0..times).map(|number| ask(number))).await.into_iter().map(Result::unwrap).collect()
}

/// An agent with some megabytes of records.
async fn with_records(zap: &Zap, handle: &str, megabytes: usize) -> Account {
    let mut client = zap.client();
    let account = create_account(&mut client, handle).await.unwrap();
    let text = "many words ".repeat(80_000);
    for _ in 0..megabytes {
        let record =
            json!({ "repo": account.did, "collection": "test.zap.note", "record": { "text": text } });
        let own = Some(account.authorization.as_str());
        client.post("com.atproto.repo.createRecord", own, &record).await.unwrap().success().unwrap();
    }
    account
}

/// What breaks: a server on which connections never end, held by whoever has a thousand sockets.
#[tokio::test]
async fn a_connection_that_makes_no_progress_ends() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let account = with_records(&zap, "alice.test", 6).await;
    let list =
        format!("com.atproto.repo.listRecords?repo={}&collection=test.zap.note&limit=100", account.did);
    let address = zap.address;

    let silent = async { drain(&mut wire::connect(address).await.unwrap()).await };
    let idle = async {
        let mut stream = ask(address, "192.0.2.1", "com.atproto.server.describeServer").await.unwrap();
        drain(&mut stream).await
    };
    let half_a_head = async {
        drain(&mut wire::send(address, "GET /xrpc/_health HTTP/1.1\r\nhost: za").await.unwrap()).await
    };
    let a_byte_a_second = async |start: &[u8], byte: &[u8]| {
        let (mut reads, mut writes) = wire::send(address, start).await.unwrap().into_split();
        let dripping = async {
            while writes.write_all(byte).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let mut answer = Vec::new();
        let start = Instant::now();
        tokio::select! {
            () = dripping => {}
            _ = timeout(ENDS_WITHIN, reads.read_to_end(&mut answer)) => {}
        }
        (String::from_utf8_lossy(&answer).into_owned(), start.elapsed())
    };
    let head = a_byte_a_second(b"GET /xrpc/_health HTTP/1.1\r\n", b"x");
    let body = a_byte_a_second(
        b"POST /xrpc/com.atproto.server.createSession HTTP/1.1\r\nhost: zap\r\n\
          content-type: application/json\r\ncontent-length: 100000\r\n\r\n{",
        b" ",
    );
    let unread = async {
        let mut stream = ask(address, "192.0.2.2", &list).await.unwrap();
        sleep(Duration::from_secs(80)).await;
        drain(&mut stream).await
    };
    let (silent, idle, half, head, body, unread) =
        tokio::join!(silent, idle, half_a_head, head, body, unread);
    for (what, (_, took)) in [("silent", silent), ("idle", idle), ("half a head", half)] {
        assert!(took < ENDS_WITHIN, "{what}: {took:?}");
    }
    assert!(idle.1 > Duration::from_secs(60), "kept to be used again: {idle:?}");
    assert!(head.1 < ENDS_WITHIN && body.1 < ENDS_WITHIN, "{head:?} {body:?}");
    assert!(body.0.starts_with("HTTP/1.1 408") && body.0.contains("RequestTimeout"), "{body:?}");
    assert!(unread.0 < 2_000_000, "an answer that was given up is not sent on: {unread:?}");
}

/// A server that may have so many files open.
async fn with_descriptors(files: usize) -> (tempfile::TempDir, Zap) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("zap");
    let script = format!("#!/bin/sh\nulimit -n {files}\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_zap"));
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let zap = Zap::start_set(&program, folder.path(), "warn", harness::zap::Settings::new()).await.unwrap();
    (folder, zap)
}

/// What breaks: connections take all descriptors, and no database opens any more; the log says nothing.
#[tokio::test]
async fn connections_leave_the_descriptors_that_databases_need() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = with_descriptors(400).await;
    let mut client = zap.client();
    create_account(&mut client, "before-it.test").await.unwrap();
    let held = join_all((0..600).map(|_| TcpStream::connect(zap.address))).await;
    sleep(Duration::from_millis(500)).await;
    for name in ["a", "b", "c"] {
        create_account(&mut client, &format!("after-{name}.test")).await.unwrap();
    }
    let refused = zap.client().get("/xrpc/_health", None).await;
    assert!(refused.as_ref().is_ok_and(|answer| answer.status == 503) || refused.is_err(), "{refused:?}");
    let log = std::fs::read_to_string(&zap.log).unwrap();
    assert!(log.contains("too many connections are open"), "{log}");
    drop(held);
    sleep(Duration::from_millis(500)).await;
    zap.client().get("/xrpc/_health", None).await.unwrap().success().unwrap();
}

/// What breaks: downloads of blobs take a descriptor each beside their connection's, and no database opens any more.
#[tokio::test]
async fn blobs_leave_the_descriptors_that_databases_need() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = with_descriptors(400).await;
    let mut client = zap.client();
    let account = create_account(&mut client, "before-it.test").await.unwrap();
    let own = Some(account.authorization.as_str());
    let upload = "/xrpc/com.atproto.repo.uploadBlob";
    let uploaded = client.send(hyper::Method::POST, upload, own, Some("text/plain"), vec![7; 4 << 20].into());
    let blob: serde_json::Value = serde_json::from_slice(&uploaded.await.unwrap().body).unwrap();
    let record =
        json!({ "repo": account.did, "collection": "test.zap.file", "record": { "file": blob["blob"] } });
    client.post("com.atproto.repo.createRecord", own, &record).await.unwrap().success().unwrap();
    let cid = blob["blob"]["ref"]["$link"].as_str().unwrap();
    let get = format!("com.atproto.sync.getBlob?did={}&cid={cid}", account.did);
    let (get, address) = (get.as_str(), zap.address);
    let mut held = asked(190, async |n| ask(address, &format!("192.0.2.{n}"), get).await).await;
    let statuses = join_all(held.iter_mut().map(status)).await;
    for name in ["a", "b", "c"] {
        create_account(&mut client, &format!("after-{name}.test")).await.unwrap();
    }
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(503)), (25, 165), "{statuses:?}");
    drop(held);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&mut ask(address, "192.0.2.1", get).await.unwrap()).await, 200, "given back");
}

/// What breaks: bodies that never end take all memory, also those that are a few bytes before they are decoded.
#[tokio::test]
async fn bodies_that_are_held_open_take_little_memory_and_leave_room_for_others() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let mut client = zap.client();
    let account = create_account(&mut client, "alice.test").await.unwrap();
    let before = zap.usage().unwrap().resident_bytes;
    let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let plain = [b"{\"repo\":\"", "x".repeat(990_000).as_bytes()].concat();
    coded.write_all(&plain).unwrap();
    coded.flush().unwrap();
    let coded = coded.get_ref().clone();
    let (address, own) = (zap.address, account.authorization.as_str());
    let hold = async |n: usize| {
        let (coding, body) = if n.is_multiple_of(2) { ("identity", &plain) } else { ("gzip", &coded) };
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /xrpc/com.atproto.repo.createRecord HTTP/1.1\r\nhost: zap\r\nauthorization: {own}\r\n\
             x-forwarded-for: 192.0.2.1\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n\
             content-length: {}\r\n\r\n",
            body.len() + 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut head = [0; 12];
        let told = timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await;
        (stream, told.map_or(0, |_| String::from_utf8_lossy(&head[9..]).parse().unwrap()))
    };
    let held = join_all((0..300).map(hold)).await;
    let growth = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    assert!(growth < 120 << 20, "{} MiB", growth >> 20);
    let count = |wanted| held.iter().filter(|(_, status)| *status == wanted).count();
    assert_eq!(count(0) + count(429), 300);
    assert!((20..40).contains(&count(0)), "{} wait for their end", count(0));
    // Somebody else's address is not full, and this one is not for long.
    let record = json!({ "repo": account.did, "collection": "test.zap.note", "record": { "text": "here" } });
    let written = client.post("com.atproto.repo.createRecord", Some(own), &record);
    written.await.unwrap().success().unwrap();
    drop(held);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(hold(0).await.1, 0, "given back");
}

/// What breaks: sixty clients that ask for a page and do not read it hold a gigabyte.
#[tokio::test]
async fn answers_that_nobody_reads_take_little_memory_and_leave_room_for_others() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let account = with_records(&zap, "alice.test", 6).await;
    let list =
        format!("com.atproto.repo.listRecords?repo={}&collection=test.zap.note&limit=100", account.did);
    let before = zap.usage().unwrap().resident_bytes;
    let mut readers = asked(60, |_| ask(zap.address, "192.0.2.1", &list)).await;
    sleep(Duration::from_secs(2)).await;
    let growth = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    assert!(growth < 120 << 20, "{} MiB", growth >> 20);
    let statuses = join_all(readers.iter_mut().map(status)).await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(200) + count(429), 60, "{statuses:?}");
    assert!(count(200) > 0 && count(429) > 0, "{statuses:?}");
    let mut other = ask(zap.address, "192.0.2.2", &list).await.unwrap();
    assert_eq!(status(&mut other).await, 200, "somebody else's address is not full");
    drop(readers);
}

/// What breaks: one address keeps the queue of password hashes full, and nobody else signs in.
#[tokio::test]
async fn one_address_has_its_share_of_signing_in() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let sign_in = async |from: &str| {
        let body = r#"{"identifier":"nobody.test","password":"x"}"#;
        let head = format!(
            "POST /xrpc/com.atproto.server.createSession HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {from}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        wire::send(zap.address, format!("{head}{body}")).await
    };
    let mut flood = asked(120, |_| sign_in("192.0.2.1")).await;
    assert_eq!(status(&mut sign_in("192.0.2.2").await.unwrap()).await, 401, "its address is not full");
    let statuses = join_all(flood.iter_mut().map(status)).await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(401) + count(429), 120, "{statuses:?}");
    assert!(count(401) >= 8 && count(429) > 0, "{statuses:?}");
    // Who leaves at once has what waits for it all the same.
    for _ in 0..120 {
        drop(sign_in("192.0.2.1").await.unwrap());
    }
    assert_eq!(status(&mut sign_in("192.0.2.2").await.unwrap()).await, 401, "its address is not full");
}

/// What breaks: one address takes all subscriptions in a second.
#[tokio::test]
async fn one_address_has_its_share_of_subscriptions() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let mut flood = asked(400, |_| ask(zap.address, "192.0.2.1", SUBSCRIBE)).await;
    let statuses = join_all(flood.iter_mut().map(status)).await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(101) + count(429), 400, "{statuses:?}");
    assert_eq!(count(101), 250, "{statuses:?}");
    assert_eq!(status(&mut ask(zap.address, "192.0.2.2", SUBSCRIBE).await.unwrap()).await, 101);
    // Gone is gone, also when nobody said goodbye.
    drop(flood);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&mut ask(zap.address, "192.0.2.1", SUBSCRIBE).await.unwrap()).await, 101);
}

/// What breaks: three hundred downloads that stand still make the next one wait for two minutes, and hold 400 MB.
#[tokio::test]
async fn downloads_that_stand_still_give_way() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let account = with_records(&zap, "alice.test", 20).await;
    let get = format!("com.atproto.sync.getRepo?did={}", account.did);
    let (get, address) = (get.as_str(), zap.address);
    let before = zap.usage().unwrap().resident_bytes;
    let stalled = asked(300, async |n| ask(address, &format!("192.0.2.{}", n % 8), get).await).await;
    sleep(Duration::from_secs(2)).await;
    let growth = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    eprintln!("300 downloads that stand still take {} MiB", growth >> 20);
    assert!(growth < 250 << 20, "{growth} bytes more");
    let start = Instant::now();
    let repo = zap.client().get(&format!("/xrpc/{get}"), None).await.unwrap();
    assert_eq!(repo.status, 200, "{}", String::from_utf8_lossy(&repo.body));
    assert!(repo.body.len() > 20 * 880_000, "{} bytes", repo.body.len());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    drop(stalled);
}

/// What breaks: one address takes all turns, by whichever name, and relays are told to come back for a quarter of an hour.
#[tokio::test]
async fn one_address_has_its_part_of_the_downloads_by_either_name() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    let account = with_records(&zap, "alice.test", 6).await;
    let [get, checkout] =
        ["getRepo", "getCheckout"].map(|name| format!("com.atproto.sync.{name}?did={}", account.did));
    let mut held = asked(70, |_| ask(zap.address, "192.0.2.1", &checkout)).await;
    let statuses = join_all(held.iter_mut().map(status)).await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(429)), (8, 62), "{statuses:?}");
    assert_eq!(status(&mut ask(zap.address, "192.0.2.1", &get).await.unwrap()).await, 429);
    assert_eq!(status(&mut ask(zap.address, "192.0.2.2", &get).await.unwrap()).await, 200);
    drop(held);
}

/// What breaks: repos and long lists go over the wire several times as large as they need to, or small answers cost time.
#[tokio::test]
async fn repos_and_long_lists_are_compressed_for_who_asks() {
    let (_folder, zap) = super::start("warn").await;
    let account = with_records(&zap, "alice.test", 1).await;
    let did = &account.did;
    let large = [
        format!("com.atproto.sync.getRepo?did={did}"),
        format!("com.atproto.repo.listRecords?repo={did}&collection=test.zap.note"),
    ];
    let heads = async |path: &str, taken: &str| {
        let head = format!(
            "GET /xrpc/{path} HTTP/1.1\r\nhost: zap\r\naccept-encoding: {taken}\r\nconnection: close\r\n\r\n"
        );
        let mut stream = wire::send(zap.address, head).await.unwrap();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        (String::from_utf8_lossy(&answer[..head]).to_lowercase(), answer.len())
    };
    for path in &large {
        let (head, bytes) = heads(path, "gzip").await;
        assert!(head.starts_with("http/1.1 200") && head.contains("content-encoding: gzip"), "{head}");
        assert!(bytes < 100_000, "{bytes} bytes of {path}");
        let (head, bytes) = heads(path, "identity").await;
        assert!(!head.contains("content-encoding") && bytes > 880_000, "{head}");
    }
    let (head, _) = heads("com.atproto.server.describeServer", "gzip").await;
    assert!(!head.contains("content-encoding"), "{head}");
}
