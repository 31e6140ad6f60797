//! Downloads and their readers.

use std::time::Duration;

use harness::zap::create_account;
use harness::{Build, wire};
use repo_mst::car::{CarLimits, read_all};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

/// More than all sockets and buffers on the way hold.
const RECORDS: usize = 40;
const RECORD_BYTES: usize = 900_000;
const LIMITS: CarLimits =
    CarLimits { header_bytes: 999, section_bytes: 1 << 20, total_bytes: 1 << 26, blocks: 999 };
/// Longer than a chunk may be left, half a minute.
const STANDS_STILL: Duration = Duration::from_secs(40);

/// What breaks: a stranger keeps an object awake, and its owner pays for that, by reading nothing.
#[tokio::test]
async fn a_download_that_nobody_reads_ends_and_does_not_look_whole() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "large.test").await.unwrap();
    let (text, own) = ("x".repeat(RECORD_BYTES), Some(account.authorization.as_str()));
    for _ in 0..RECORDS {
        let record =
            json!({ "repo": account.did, "collection": "test.zap.note", "record": { "text": text } });
        client.post("com.atproto.repo.createRecord", own, &record).await.unwrap().success().unwrap();
    }
    let get = format!("com.atproto.sync.getRepo?did={}", account.did);
    let mut stream = wire::ask(zap.address, "192.0.2.1", &get).await.unwrap();
    assert_eq!(wire::status(&mut stream).await, 200);
    sleep(STANDS_STILL).await;
    let mut rest = Vec::new();
    // How it ends is the runtime's affair.
    drop(timeout(STANDS_STILL, stream.read_to_end(&mut rest)).await.expect("it goes on"));
    eprintln!("{} bytes came", rest.len());
    assert!(rest.len() < RECORDS * RECORD_BYTES, "{} bytes waited for their reader", rest.len());
    let part = dechunked(&rest);
    read_all(&part, LIMITS).unwrap_err();
    // Whoever reads gets all of it.
    let whole = zap.client().get(&format!("/xrpc/{get}"), None).await.unwrap().body;
    assert!(whole.len() > RECORDS * RECORD_BYTES && whole.starts_with(&part));
    read_all(&whole, LIMITS).unwrap();
}

/// The body in the chunks of `Transfer-Encoding: chunked`, as far as it came.
fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = memchr::memmem::find(bytes, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let rest = &bytes[end + 2..];
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    body
}
