//! Forgetting: the keys of what is gone are in no file any more, whoever reads meanwhile and whenever the server dies.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::zap::create_agent;
use harness::{Account, Client, Zap};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use zap::limits::EXPORT_OWED_SECONDS;
use zap::native::sql::Database;
use zap::store::query_all;

/// Larger than what sockets and channels hold for a reader that does not read.
const RECORDS: usize = 40;
const RECORD_BYTES: usize = 480_000;
/// How long a key may stay that a reader holds.
const GONE_WITHIN: Duration = Duration::from_secs(EXPORT_OWED_SECONDS + 5);

/// An agent with a large repo, and what it knows.
struct Agent {
    account: Account,
    database: PathBuf,
}

impl Agent {
    async fn new(zap: &Zap, name: &str) -> Self {
        let mut client = zap.client();
        let account = create_agent(&mut client, name).await.unwrap();
        for _ in 0..RECORDS {
            let record = json!({ "$type": "test.zap.note", "text": "x".repeat(RECORD_BYTES) });
            let input = json!({ "repo": account.did, "collection": "test.zap.note", "record": record });
            let own = Some(account.authorization.as_str());
            client.post("com.atproto.repo.createRecord", own, &input).await.unwrap().success().unwrap();
        }
        let database = database(&zap.data.join("agents"), account.did.rsplit(':').next().unwrap()).unwrap();
        Self { account, database }
    }

    async fn ask(&self, client: &mut Client, nsid: &str, input: &Value) -> Value {
        let own = Some(self.account.authorization.as_str());
        let answer = client.post(nsid, own, input).await.unwrap();
        answer.success().unwrap();
        answer.json().unwrap_or_default()
    }

    async fn remember(&self, client: &mut Client, memory: &Value) -> String {
        let kept = self.ask(client, "agent.memory.remember", &json!({ "memory": memory })).await;
        kept["uri"].as_str().unwrap().to_owned()
    }

    /// The wrapped keys that the vault has now.
    fn keys(&self) -> Vec<Vec<u8>> {
        let database = Database::open_read_only(&self.database).unwrap();
        query_all(&database, "SELECT wrapped FROM keyring", &[], |row| Ok(row.blob(0)?.to_vec())).unwrap()
    }

    /// Those of `keys` that stand in a file.
    fn found(&self, keys: &[Vec<u8>]) -> usize {
        found(&self.database, keys)
    }

    async fn until_gone(&self, keys: &[Vec<u8>], what: &str) {
        let start = Instant::now();
        while self.found(keys) > 0 {
            assert!(start.elapsed() < GONE_WITHIN, "{what}: {} keys are in a file", self.found(keys));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A stranger who downloads the repo, a little each second, as long as the server lets him.
    async fn slow_reader(&self, zap: &Zap) -> JoinHandle<()> {
        let mut stream = TcpStream::connect(zap.address).await.unwrap();
        let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", self.account.did);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", zap.authority());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut some = vec![0; 64 * 1024];
        stream.read_exact(&mut some).await.unwrap();
        tokio::spawn(async move {
            while stream.read(&mut some).await.is_ok_and(|bytes| bytes > 0) {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }
}

/// The database of the account whose DID ends so.
pub(crate) fn database(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return database(&path, name);
        }
        path.to_str().is_some_and(|path| path.ends_with(&format!("{name}.sqlite"))).then_some(path)
    })
}

fn found(database: &Path, keys: &[Vec<u8>]) -> usize {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let files = [database.to_owned(), log.into()].map(|file| std::fs::read(file).unwrap_or_default());
    let is_there = |key: &&Vec<u8>| files.iter().any(|file| memchr::memmem::find(file, key).is_some());
    keys.iter().filter(is_there).count()
}

/// What breaks: a stranger who downloads slowly, or a crash, keeps what was forgotten readable for whoever has the disk.
#[tokio::test]
async fn what_was_forgotten_is_in_no_file() {
    if super::on_worker() {
        return; // Its files are Cloudflare's; see docs/cloudflare.md.
    }
    let (_folder, mut zap) = super::start("warn").await;
    let mut client = zap.client();
    let agent = Agent::new(&zap, "alice").await;
    let fact = |tag: &str| {
        json!({ "$type": "agent.memory.fact", "subject": "tea", "predicate": "is at", "object": "four",
            "tags": [tag] })
    };
    let note = |text: &str| json!({ "$type": "agent.memory.note", "summary": text });

    // One right after the other, while nobody reads.
    let mut uris = Vec::new();
    for text in ["one", "two", "three"] {
        uris.push(agent.remember(&mut client, &note(text)).await);
    }
    for uri in uris {
        let before = agent.keys();
        agent.ask(&mut client, "agent.memory.forget", &json!({ "uris": [uri] })).await;
        let left = agent.keys();
        let ended: Vec<_> = before.into_iter().filter(|key| !left.contains(key)).collect();
        assert_eq!(ended.len(), 1);
        agent.until_gone(&ended, "without a reader").await;
    }

    // Forgotten, deleted as a record, overwritten: each while somebody reads.
    let forgotten = agent.remember(&mut client, &note("one")).await;
    let deleted = agent.remember(&mut client, &note("two")).await;
    agent.remember(&mut client, &fact("first")).await;
    let ended = agent.keys();
    assert_eq!((ended.len(), agent.found(&ended)), (3, 3));
    let reader = agent.slow_reader(&zap).await;
    agent.ask(&mut client, "agent.memory.forget", &json!({ "uris": [forgotten] })).await;
    let rkey = deleted.rsplit('/').next().unwrap();
    let record = json!({ "repo": agent.account.did, "collection": "agent.vault.sealed", "rkey": rkey });
    agent.ask(&mut client, "com.atproto.repo.deleteRecord", &record).await;
    // Also while the log could not be cut since the last time.
    for tag in ["second", "third"] {
        agent.remember(&mut client, &fact(tag)).await;
    }
    assert!(agent.found(&ended) > 0, "nobody held the log");
    agent.until_gone(&ended, "with a slow reader").await;
    reader.abort();

    // Killed while somebody reads: the next start pays.
    let before = agent.keys();
    let forgotten = agent.remember(&mut client, &note("three")).await;
    let ended: Vec<_> = agent.keys().into_iter().filter(|key| !before.contains(key)).collect();
    let reader = agent.slow_reader(&zap).await;
    agent.ask(&mut client, "agent.memory.forget", &json!({ "uris": [forgotten] })).await;
    assert_eq!(agent.found(&ended), 1, "nobody held the log");
    zap.kill().unwrap();
    reader.abort();
    assert_eq!(agent.found(&ended), 1, "it was paid before the kill");
    zap.restart().await.unwrap();
    agent.until_gone(&ended, "after a kill").await;

    // A whole agent, whose files somebody holds.
    let mut client = zap.client();
    agent.remember(&mut client, &note("four")).await;
    let ended = agent.keys();
    let held = zap.data.join("held.sqlite");
    std::fs::hard_link(&agent.database, &held).unwrap();
    let log = |of: &Path| PathBuf::from(format!("{}-wal", of.display()));
    std::fs::hard_link(log(&agent.database), log(&held)).unwrap();
    assert_eq!(found(&held, &ended), 2);
    let reader = agent.slow_reader(&zap).await;
    let admin = format!("Bearer {}", harness::zap::ADMIN_TOKEN);
    let input = json!({ "agent": agent.account.did });
    client.post("agent.admin.deleteAgent", Some(&admin), &input).await.unwrap().success().unwrap();
    assert!(!agent.database.exists());
    assert_eq!(found(&held, &ended), 0, "only the names of its files are gone");
    reader.abort();
}
