//! A repo that is larger than what a server may hold in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::zap::{create_account, create_agent};
use harness::{Account, Client, Zap};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zap::limits::EXPORT_READER_SECONDS;

const RECORDS: usize = 300;
const RECORD_BYTES: usize = 480_000;
/// What the server may take on while it sends the repo, whatever the repo's size: buffers on their way, and in `workerd`
/// those that its garbage collector has not looked at yet (30 MB were seen, for repos of 96 and of 288 MB).
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
const READER_RESTS: Duration = Duration::from_secs(6);
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
const WRITE_AFTER: Duration = Duration::from_secs(1);

/// What breaks: one reader that stops reading, or one large repo, takes the server's memory.
#[tokio::test]
async fn a_large_repo_is_sent_at_its_readers_pace_and_held_by_nobody() {
    let (_folder, zap) = super::start("warn").await;
    let mut client = zap.client();
    let account = create_account(&mut client, "large.test").await.unwrap();
    for _ in 0..RECORDS {
        write(&mut client, &account).await;
    }
    // A small one before, so that what any export needs is there. Not the large one: what it takes would not show again.
    let small = create_account(&mut client, "small.test").await.unwrap();
    assert!(read(&zap, &small.did, Duration::ZERO).await > 0);
    let before = resident(&zap);
    let most = AtomicU64::new(before);
    let watching = async {
        loop {
            most.fetch_max(resident(&zap), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reading = async {
        tokio::join!(read(&zap, &account.did, READER_RESTS), async {
            tokio::time::sleep(WRITE_AFTER).await;
            // Who writes meanwhile does not wait for the reader.
            let start = Instant::now();
            write(&mut client, &account).await;
            assert!(start.elapsed() < READER_RESTS - WRITE_AFTER, "a write took {:?}", start.elapsed());
        })
    };
    let (bytes, ()) = tokio::select! { done = reading => done, () = watching => return };
    let grown = most.into_inner() - before;
    eprintln!("while {bytes} bytes were sent, the server grew by {grown} from {before}");
    assert!(bytes > RECORDS * RECORD_BYTES);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more for {bytes} sent");
}

/// What breaks: strangers who read nothing take the server's threads, one each, hold up an agent that forgets, and keep what
/// it forgot in the write-ahead log for good.
#[tokio::test]
async fn an_export_that_nobody_reads_ends_and_does_not_look_whole() {
    if super::on_worker() {
        return; // The export holds no thread there, and no snapshot.
    }
    let (_folder, zap) = super::start("warn").await;
    let mut client = zap.client();
    let agent = create_agent(&mut client, "stalled").await.unwrap();
    for _ in 0..60 {
        write(&mut client, &agent).await;
    }
    let stall = Duration::from_secs(EXPORT_READER_SECONDS + 5);
    let forgetting = async {
        tokio::time::sleep(WRITE_AFTER).await;
        let own = Some(agent.authorization.as_str());
        let memory = json!({ "memory": { "$type": "agent.memory.note", "summary": "to be forgotten" } });
        let kept = client.post("agent.memory.remember", own, &memory).await.unwrap().ok().unwrap();
        let start = Instant::now();
        let forget = json!({ "uris": [kept["uri"]] });
        client.post("agent.memory.forget", own, &forget).await.unwrap().success().unwrap();
        assert!(start.elapsed() < Duration::from_secs(3), "forgetting took {:?}", start.elapsed());
        assert!(logged_bytes(&zap, &agent) > 0, "nothing held the log");
    };
    let ((bytes, end), ()) = tokio::join!(receive(&zap, &agent.did, stall), forgetting);
    assert!(!end.ends_with(LAST_CHUNK), "{bytes} bytes look like a whole export");
    assert!(bytes < 60 * RECORD_BYTES, "{bytes} bytes waited for their reader");
    let start = Instant::now();
    while logged_bytes(&zap, &agent) > 0 {
        assert!(start.elapsed() < READER_RESTS, "what was forgotten stays in the log");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The size of the agent's write-ahead log.
fn logged_bytes(zap: &Zap, agent: &Account) -> u64 {
    let name = agent.did.rsplit(':').next().unwrap();
    let mut folders = vec![zap.data.join("agents")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if file.contains(name) && file.ends_with("-wal") {
                return path.metadata().unwrap().len();
            }
        }
    }
    0
}

fn resident(zap: &Zap) -> u64 {
    zap.usage().unwrap().resident_bytes
}

async fn write(client: &mut Client, account: &Account) {
    let record = json!({ "$type": "test.zap.large", "text": "x".repeat(RECORD_BYTES) });
    let input = json!({ "repo": account.did, "collection": "test.zap.large", "record": record });
    let answer = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await;
    answer.unwrap().success().unwrap();
}

/// Reads the repo, with a rest after its first bytes; how many there were.
async fn read(zap: &Zap, did: &str, rest: Duration) -> usize {
    let (bytes, end) = receive(zap, did, rest).await;
    assert!(end.ends_with(LAST_CHUNK), "the answer was cut short");
    bytes
}

/// What [`read`] reads, and its last bytes; whole or not.
async fn receive(zap: &Zap, did: &str, rest: Duration) -> (usize, Vec<u8>) {
    let mut stream = TcpStream::connect(zap.address).await.unwrap();
    let request = format!(
        "GET /xrpc/com.atproto.sync.getRepo?did={did} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        zap.authority()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = stream.read(&mut buffer).await.unwrap();
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..bytes]));
    let mut end = buffer[..bytes].to_vec();
    tokio::time::sleep(rest).await;
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return (bytes, end);
        }
        bytes += read;
        end.extend_from_slice(&buffer[..read]);
        end.drain(..end.len().saturating_sub(LAST_CHUNK.len()));
    }
}
