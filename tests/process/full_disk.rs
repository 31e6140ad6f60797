//! A disk that is full: a small file system of its own, where the machine allows a test to have one.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::zap::{create_account, create_agent};
use harness::{Account, Answer, Client, Settings, Zap};
use hyper::Method;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::data_folder;
use crate::mishaps::Disk;

/// Those who could not say where they stand try again every five seconds.
const TELLS_WITHIN: Duration = Duration::from_secs(30);
/// Room for a server at rest and some more.
pub(crate) const DISK_BYTES: u64 = 48 << 20;

async fn write(client: &mut Client, account: &Account) -> Answer {
    let input = json!({ "repo": account.did, "collection": "com.example.note", "record":
        { "$type": "com.example.note", "text": "x".repeat(20_000) } });
    client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await.unwrap()
}

async fn call(client: &mut Client, nsid: &str, account: &Account, input: Value) -> Answer {
    client.post(nsid, Some(&account.authorization), &input).await.unwrap()
}

async fn get(client: &mut Client, path: &str, account: &Account) -> Answer {
    client.get(&format!("/xrpc/{path}"), Some(&account.authorization)).await.unwrap()
}

async fn sign_in(client: &mut Client) -> Answer {
    let input = json!({ "identifier": "alice.test", "password": "correct horse" });
    client.post("com.atproto.server.createSession", None, &input).await.unwrap()
}

async fn take_down(client: &mut Client, admin: &str, subject: &Value) -> Answer {
    let input = json!({ "subject": subject, "takedown": { "applied": true } });
    client.post("com.atproto.admin.updateSubjectStatus", Some(admin), &input).await.unwrap()
}

fn says_full(answer: &Answer) {
    assert_eq!((answer.status, answer.error_name().as_str()), (507, "StorageFull"), "{answer:?}");
}

/// Takes what the newest migration gave an account.
fn make_older(zap: &Zap, account: &Account) {
    let name = format!("{}.sqlite", account.did.replace(':', "_"));
    let file = data_folder::all(&zap.data).into_iter().find(|path| path.ends_with(&name)).unwrap();
    let older = "DROP TABLE outbox; DELETE FROM schema_migration WHERE number = 12; CREATE TABLE outbox \
         (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, seq_at INTEGER NOT NULL, frame BLOB NOT NULL) STRICT";
    let database = rusqlite::Connection::open(file).unwrap();
    // The files beside it stay: making them anew would need room as well.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    database.execute_batch(older).unwrap();
}

/// Writes until the disk is full, on which other writers may find a page left.
pub(crate) async fn fill(disk: &Disk, client: &mut Client, accounts: &[&Account]) {
    for account in accounts {
        for tries in 0.. {
            disk.fill();
            let answer = write(client, account).await;
            if answer.status != 200 {
                says_full(&answer);
                break;
            }
            assert!(tries < 400, "the disk is not full");
        }
    }
}

/// What breaks: 507, 500 or a cut body, each by its place; nobody can sign in; an agent that has to leave can't.
#[tokio::test]
async fn a_full_disk_has_one_name_and_signing_in_reading_and_leaving_go_on() {
    if super::on_worker() {
        return; // The runtime's own affair.
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("data"), DISK_BYTES) else { return };
    let mut zap = super::start_in(folder.path(), "warn", Settings::new()).await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let bot = create_agent(&mut client, "robin").await.unwrap();
    let first = write(&mut client, &alice).await.ok().unwrap();
    let remember = |summary: &str| {
        let created_at = "2026-11-30T00:00:00Z";
        json!({ "memory": { "$type": "agent.memory.note", "summary": summary, "createdAt": created_at } })
    };
    call(&mut client, "agent.memory.remember", &bot, remember("Tea is at four")).await.success().unwrap();

    fill(&disk, &mut client, &[&alice, &bot]).await;
    says_full(&call(&mut client, "agent.memory.remember", &bot, remember("Supper is at eight")).await);
    let upload = client.send(
        Method::POST,
        "/xrpc/com.atproto.repo.uploadBlob",
        Some(&alice.authorization),
        Some("application/octet-stream"),
        Bytes::from(vec![7; 300_000]),
    );
    says_full(&upload.await.unwrap());
    let made = create_agent(&mut client, "late").await.unwrap_err().to_string();
    assert!(made.contains("507") && made.contains("StorageFull"), "{made}");

    let health = client.get("/xrpc/_health", None).await.unwrap();
    assert_eq!((health.status, &health.json().unwrap()["troubles"]), (503, &json!(["StorageFull"])));

    for _ in 0..40 {
        sign_in(&mut client).await.success().unwrap();
    }
    let recall = get(&mut client, "agent.memory.recall?q=tea", &bot).await.ok().unwrap();
    assert!(recall.to_string().contains("Tea is at four"), "{recall}");
    for did in [&alice.did, &bot.did] {
        let repo = get(&mut client, &format!("com.atproto.sync.getRepo?did={did}"), &alice).await;
        repo.success().unwrap();
        assert!(repo.body.len() > 100);
    }
    let export = json!({ "passphrase": "a passphrase of the test" });
    call(&mut client, "agent.vault.export", &bot, export).await.success().unwrap();

    // Nothing of a change is done, where the directory has room for its part.
    let admin = format!("Bearer {}", harness::zap::ADMIN_TOKEN);
    let input = json!({ "agent": bot.did });
    says_full(&client.post("agent.admin.deleteAgent", Some(&admin), &input).await.unwrap());
    let moving = json!({ "passphrase": "a passphrase of the test", "move": true });
    says_full(&call(&mut client, "agent.vault.export", &bot, moving).await);
    says_full(&call(&mut client, "com.atproto.server.deactivateAccount", &alice, json!({})).await);
    let renamed = json!({ "handle": "elsewhere.test" });
    says_full(&call(&mut client, "com.atproto.identity.updateHandle", &alice, renamed).await);
    let (post, preferences) = (
        first["uri"].as_str().unwrap(),
        json!({ "preferences": [
        { "$type": "app.bsky.actor.defs#adultContentPref", "enabled": true }] }),
    );
    says_full(&call(&mut client, "app.bsky.actor.putPreferences", &alice, preferences.clone()).await);
    let none = get(&mut client, "app.bsky.actor.getPreferences", &alice).await.ok().unwrap();
    assert_eq!(none["preferences"], json!([]));
    let of_account = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": alice.did });
    let of_record = json!({ "$type": "com.atproto.repo.strongRef", "uri": post, "cid": first["cid"] });
    for subject in [of_account, of_record.clone()] {
        says_full(&take_down(&mut client, &admin, &subject).await);
    }
    let rkey = post.rsplit('/').next().unwrap();
    let record =
        format!("com.atproto.repo.getRecord?repo={}&collection=com.example.note&rkey={rkey}", alice.did);
    get(&mut client, &record, &alice).await.success().unwrap();
    for did in [&alice.did, &bot.did] {
        let path = format!("com.atproto.sync.getRepoStatus?did={did}");
        let status = get(&mut client, &path, &alice).await.ok().unwrap();
        assert_eq!(status["active"], true, "{status}");
    }
    let session = get(&mut client, "com.atproto.server.getSession", &alice).await.ok().unwrap();
    assert_eq!(session["handle"], "alice.test");

    // So it is for a server that is started on it, also where an earlier program wrote the database.
    zap.stop().await.unwrap();
    make_older(&zap, &alice);
    disk.fill();
    zap.restart_unwell().await.unwrap();
    let mut client = zap.client();
    sign_in(&mut client).await.success().unwrap();
    get(&mut client, "agent.memory.recall?q=tea", &bot).await.success().unwrap();
    let path = format!("com.atproto.repo.describeRepo?repo={}", alice.did);
    says_full(&get(&mut client, &path, &alice).await);

    disk.empty();
    get(&mut client, &path, &alice).await.success().unwrap();
    write(&mut client, &alice).await.success().unwrap();
    call(&mut client, "agent.memory.remember", &bot, remember("Supper is at eight")).await.success().unwrap();
    call(&mut client, "app.bsky.actor.putPreferences", &alice, preferences).await.success().unwrap();
    take_down(&mut client, &admin, &of_record).await.success().unwrap();
    assert_eq!(get(&mut client, &record, &alice).await.error_name(), "RecordNotFound");
    // Whatever is told next takes along what waits.
    let renamed = json!({ "handle": "alicia.test" });
    call(&mut client, "com.atproto.identity.updateHandle", &alice, renamed).await.success().unwrap();
    let status = get(&mut client, "agent.vault.status", &bot).await.ok().unwrap();
    assert_eq!(status["exports"].as_array().map(Vec::len), Some(1), "{status}");
    zap.stop().await.unwrap();
}

/// What was written there before would be room of its own. The files stay, as the server leaves them.
pub(crate) fn empty_write_ahead_log(database: &Path) {
    let database = Connection::open(database).unwrap();
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

/// What breaks: a backup is put back where there is no room, or the disk fills up before all have said where they stand,
/// and the server does not come up any more.
#[tokio::test]
async fn a_server_that_went_back_starts_on_a_full_disk_too() {
    if super::on_worker() {
        return; // The runtime's own affair.
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("data"), DISK_BYTES) else { return };
    let mut zap = super::start_in(folder.path(), "warn", Settings::new()).await;
    create_account(&mut zap.client(), "alice.test").await.unwrap();
    zap.stop().await.unwrap();
    empty_write_ahead_log(&zap.data.join("sequencer.sqlite"));
    let told = zap.data.join("restored");
    std::fs::write(&told, "").unwrap();
    disk.fill();
    let started = zap.restart_unwell().await;
    assert!(started.is_ok(), "{started:?}: {}", std::fs::read_to_string(&zap.log).unwrap());
    sign_in(&mut zap.client()).await.success().unwrap();

    disk.empty();
    let start = Instant::now();
    while told.exists() {
        assert!(start.elapsed() < TELLS_WITHIN, "she does not say where she stands");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    zap.stop().await.unwrap();
}
