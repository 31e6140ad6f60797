//! Today's server on the data of earlier ones: `tests/fixtures/data-*/`, each written by the binary of that commit.
//!
//! What breaks: who updates loses memories, repos, events, or is locked out. Native only: a Worker's data stays where
//! it is, and its cells run the same migrations.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Account, Settings, Zap};
use serde_json::{Value, json};
use tempfile::TempDir;
use zap::event::Event;

use crate::{data_folder, firehose};

const PUBLIC_URL: &str = "http://localhost:2783";
const DANA: &str = "dana-new.test";
/// All that was ever released, oldest first. The first has agents of an account schema that readers of today can't read.
const RELEASED: [&str; 2] = ["data-72f6124", "data-cec1d87"];
/// With every kind of thing in it: people, credentials, invite codes, a deleted agent.
const FULL: &str = "data-cec1d87";

/// What the fixture's writer knew when it was done.
struct Old {
    zap: Zap,
    contents: Value,
    _folder: TempDir,
}

/// A copy of the data, and what its writer knew of it.
fn unpack(fixture: &str) -> (TempDir, Vec<u8>) {
    let fixture = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(fixture);
    let contents = std::fs::read(fixture.join("contents.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(fixture.join("data.tar.gz")).arg("-C").arg(folder.path());
    assert!(unpack.status().unwrap().success());
    (folder, contents)
}

/// What breaks: `zap repo check` finds faults in what is only old.
#[test]
fn what_was_released_is_whole() {
    for released in RELEASED {
        let (folder, _) = unpack(released);
        let mut check = Command::new(env!("CARGO_BIN_EXE_zap"));
        let checked =
            check.args(["repo", "check", "--data"]).arg(folder.path().join("data")).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{released}: {}{said}", String::from_utf8_lossy(&checked.stdout));
    }
}

impl Old {
    /// The server on a copy of the data; nothing on the Worker.
    async fn start(fixture: &str) -> Option<Self> {
        if std::env::var_os("ZAP_TEST_WORKER").is_some() {
            return None;
        }
        let (folder, contents) = unpack(fixture);
        // The sessions are this URL's; the events are older than any usual window.
        let settings = Settings::from([
            ("public-url", PUBLIC_URL.to_owned()),
            ("master-key", "07".repeat(32)),
            ("backfill-window", "5200w".to_owned()),
        ]);
        let binary = Path::new(env!("CARGO_BIN_EXE_zap"));
        let zap = Zap::start_set(binary, folder.path(), "info", settings).await.unwrap_or_else(|error| {
            let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
            panic!("{error:#}\n{log}")
        });
        Some(Self { zap, contents: serde_json::from_slice(&contents).unwrap(), _folder: folder })
    }

    fn text(&self, pointer: &str) -> &str {
        self.contents.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).as_str().unwrap()
    }

    /// The record key of a post of Alice's.
    fn post(&self) -> &str {
        let asked = "/xrpc/com.atproto.repo.listRecords?repo=alice.test&collection=app.bsky.feed.post";
        let answers = self.contents["answers"].as_array().unwrap();
        let posts = answers.iter().find(|answer| answer["path"] == asked).unwrap();
        posts["body"]["records"][0]["uri"].as_str().unwrap().rsplit('/').next().unwrap()
    }

    async fn sign_in(&self, handle: &str, password: &str) -> String {
        let input = json!({"identifier": handle, "password": password});
        let answer = self.zap.client().post("com.atproto.server.createSession", None, &input).await.unwrap();
        format!("Bearer {}", answer.ok().unwrap()["accessJwt"].as_str().unwrap())
    }

    /// The `Authorization` of one of those who asked then.
    async fn authorization(&self, who: &str) -> Option<String> {
        match who {
            "" => None,
            "admin" => Some(format!("Bearer {}", harness::zap::ADMIN_TOKEN)),
            "dana" => Some(self.sign_in(DANA, self.text("/dana/password")).await),
            agent => Some(format!("Bearer {}", self.text(&format!("/tokens/{agent}")))),
        }
    }

    async fn agent(&self, name: &str) -> Account {
        let handle = format!("{name}.test");
        let path = format!("/xrpc/com.atproto.identity.resolveHandle?handle={handle}");
        let found = self.zap.client().get(&path, None).await.unwrap().ok().unwrap();
        let authorization = self.authorization(name).await.unwrap();
        Account { did: found["did"].as_str().unwrap().to_owned(), handle, authorization }
    }
}

/// What breaks: a memory, a record, a handle or a status reads otherwise than before the update, or what was forgotten
/// or deleted is back.
#[tokio::test]
async fn what_was_answered_then_is_answered_now() {
    for released in RELEASED {
        let Some(old) = Old::start(released).await else { return };
        old.answers_as_then().await;
    }
}

/// What breaks: the same, on what an update finds before anybody has written.
#[tokio::test]
async fn an_agent_of_an_earlier_schema_is_read_before_its_next_write() {
    for released in RELEASED {
        for (method, rest) in [
            ("com.atproto.sync.getRepo", ""),
            ("com.atproto.sync.getRecord", "&collection=app.bsky.feed.post&rkey="),
            ("com.atproto.repo.listRecords", "&collection=app.bsky.feed.post"),
            ("com.atproto.repo.getRecord", "&collection=app.bsky.feed.post&rkey="),
        ] {
            // Each on a server of its own, where it is the first to ask.
            let Some(old) = Old::start(released).await else { return };
            let alice = old.agent("alice").await.did;
            let name = if method.contains(".repo.") { "repo" } else { "did" };
            let rkey = if rest.ends_with("rkey=") { old.post() } else { "" };
            let path = format!("/xrpc/{method}?{name}={alice}{rest}{rkey}");
            let answer = old.zap.client().get(&path, None).await.unwrap();
            assert_eq!(answer.status, 200, "{released} {method}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// What breaks: after a downgrade, one sees a general failure, and in the log not whose data it is.
#[tokio::test]
async fn data_of_a_newer_program_is_refused_by_name() {
    let Some(mut old) = Old::start(FULL).await else { return };
    let alice = old.agent("alice").await;
    old.zap.stop().await.unwrap();
    let agents = data_folder::all(&old.zap.data.join("agents"));
    let name = format!("{}.sqlite", alice.did.replace(':', "_"));
    let file = agents.into_iter().find(|file| file.ends_with(&name)).unwrap();
    let age = "INSERT INTO schema_migration (number, name) VALUES (9999, 'of_tomorrow')";
    rusqlite::Connection::open(&file).unwrap().execute_batch(age).unwrap();
    old.zap.restart().await.unwrap();

    let mut client = old.zap.client();
    let own = Some(alice.authorization.as_str());
    for path in ["com.atproto.sync.getLatestCommit?did=", "com.atproto.repo.describeRepo?repo="] {
        let read = client.get(&format!("/xrpc/{path}{}", alice.did), None).await.unwrap();
        assert_eq!((read.status, read.error_name()), (500, "NewerSchema".to_owned()), "{path}");
    }
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "Not yet"}});
    let written = client.post("agent.memory.remember", own, &memory).await.unwrap();
    assert_eq!((written.status, written.error_name()), (500, "NewerSchema".to_owned()));
    let bob = old.agent("bob").await;
    client.post("agent.memory.remember", Some(&bob.authorization), &memory).await.unwrap().success().unwrap();
    let said = std::fs::read_to_string(&old.zap.log).unwrap();
    assert!(said.contains(&format!("{name} has schema 9999")), "{said}");

    for cell in ["directory.sqlite", "sequencer.sqlite", "plc.sqlite"] {
        old.zap.stop().await.unwrap();
        let database = rusqlite::Connection::open(old.zap.data.join(cell)).unwrap();
        database.execute_batch(age).unwrap();
        assert!(old.zap.restart().await.is_err(), "{cell}");
        let said = std::fs::read_to_string(&old.zap.log).unwrap();
        assert!(said.lines().last().unwrap().contains(&format!("{cell} has schema 9999")), "{cell}: {said}");
        database.execute_batch("DELETE FROM schema_migration WHERE number = 9999").unwrap();
        drop(database);
        old.zap.restart().await.unwrap();
    }
}

impl Old {
    async fn answers_as_then(&self) {
        let mut client = self.zap.client();
        let answers = self.contents["answers"].as_array().unwrap();
        assert!(answers.len() > 20);
        for answer in answers {
            let path = answer["path"].as_str().unwrap();
            let authorization = self.authorization(answer["who"].as_str().unwrap()).await;
            let now = client.get(path, authorization.as_deref()).await.unwrap();
            let body = now.json().unwrap();
            assert_eq!(u64::from(now.status), answer["status"], "{path}: {body}");
            if now.status == 200 {
                assert!(holds(&body, &answer["body"]), "{path}\nthen: {}\nnow: {body}", answer["body"]);
            } else {
                assert_eq!(body["error"], answer["body"]["error"], "{path}");
            }
        }
    }
}

/// Whether the value has all that the other one has. Objects may have come by more.
fn holds(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(name, value)| now.get(name).is_some_and(|now| holds(now, value)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| holds(now, then))
        }
        _ => now == then,
    }
}

/// What breaks: people and agents are locked out by an update, or let in where they were not.
#[tokio::test]
async fn credentials_of_then_open_what_they_opened() {
    let Some(old) = Old::start(FULL).await else { return };
    let mut client = old.zap.client();
    let phone = old.sign_in(DANA, old.text("/dana/app_password")).await;
    let memories = client.get("/xrpc/agent.memory.list", Some(&phone)).await.unwrap().ok().unwrap();
    assert_eq!(memories["memories"][0]["memory"]["summary"], "Dana takes her tea at four");
    let codes = "/xrpc/com.atproto.server.getAccountInviteCodes";
    assert_ne!(client.get(codes, Some(&phone)).await.unwrap().status, 200, "an app password opens not all");

    let refresh = format!("Bearer {}", old.text("/dana/refresh"));
    let refreshed =
        client.post("com.atproto.server.refreshSession", Some(&refresh), &json!({})).await.unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    if now < old.contents["dana"]["refresh_expires"].as_u64().unwrap() {
        assert_eq!(refreshed.ok().unwrap()["handle"], DANA);
    } else {
        assert_eq!(refreshed.error_name(), "ExpiredToken", "the fixture is older than its session");
    }

    let input = json!({
        "handle": "felix.test", "email": "felix@example.com", "password": "correct horse",
        "inviteCode": old.text("/dana/invite"),
    });
    client.post("com.atproto.server.createAccount", None, &input).await.unwrap().success().unwrap();
    let dana = old.authorization("dana").await;
    let given = client.get(codes, dana.as_deref()).await.unwrap().ok().unwrap();
    assert_eq!(given["codes"][0]["uses"].as_array().unwrap().len(), 1, "{given}");

    // Erin comes back.
    let erin = old.sign_in("erin.test", old.text("/dana/password")).await;
    let wake = "com.atproto.server.activateAccount";
    client.post(wake, Some(&erin), &json!({})).await.unwrap().success().unwrap();
    verify_repo(&old.zap, "erin.test").await;

    let wrong = json!({"identifier": DANA, "password": "correct house"});
    assert_eq!(client.post("com.atproto.server.createSession", None, &wrong).await.unwrap().status, 401);
}

/// What breaks: relays find repos that do not verify, a stream that begins anew, or nothing after what they know.
#[tokio::test]
async fn repos_and_the_stream_go_on_where_they_were() {
    let Some(old) = Old::start(FULL).await else { return };
    let zap = &old.zap;
    let mut client = zap.client();
    let (alice, bob) = (old.agent("alice").await, old.agent("bob").await);
    for handle in ["alice.test", "bob.test", DANA] {
        verify_repo(zap, handle).await;
    }
    let path = format!("/xrpc/com.atproto.sync.getBlob?did={}&cid={}", alice.did, old.text("/picture"));
    let picture = client.get(&path, None).await.unwrap();
    assert!(picture.body.starts_with(b"\x89PNG"));

    let events = old.contents["events"].as_array().unwrap();
    let mut subscriber = firehose::subscribe(zap, Some(0)).await.unwrap();
    let mut frames = Vec::new();
    while frames.len() < events.len() {
        let next = tokio::time::timeout(Duration::from_secs(30), subscriber.next()).await;
        frames.extend(next.expect("events are missing").unwrap());
    }
    let found: Vec<_> = frames.iter().map(|frame| summary(frame)).collect();
    assert_eq!(&found, events);

    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "The update went well"}});
    for agent in [&alice, &bob] {
        let own = Some(agent.authorization.as_str());
        client.post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
        let recalled = client.get("/xrpc/agent.memory.recall?q=update", own).await.unwrap().ok().unwrap();
        assert_eq!(recalled["results"][0]["memory"]["summary"], memory["memory"]["summary"], "{recalled}");
        verify_repo(zap, &agent.handle).await;
    }
    let mut newer = firehose::backfill(zap, &[alice, bob]).await.split_off(events.len());
    let last = events.last().unwrap()["seq"].as_i64();
    assert!(newer.iter().all(|frame| Event::decode(frame).unwrap().seq() > last));
    frames.append(&mut newer);
    let deleted = deleted(&frames);
    frames.retain(|frame| Some(&summary(frame)["did"]) != deleted.as_ref());
    firehose::verify(zap, &frames).await;
}

/// An event as the fixture's writer noted it.
fn summary(frame: &[u8]) -> Value {
    let event = Event::decode(frame).unwrap();
    let seq = event.seq();
    match event {
        Event::Commit { body, .. } => {
            json!({"seq": seq, "kind": "commit", "did": body.repo, "rev": body.rev})
        }
        Event::Sync { body, .. } => json!({"seq": seq, "kind": "sync", "did": body.did, "rev": body.rev}),
        Event::Identity { body, .. } => json!({"seq": seq, "kind": "identity", "did": body.did, "rev": null}),
        Event::Account { body, .. } => json!({"seq": seq, "kind": "account", "did": body.did, "rev": null}),
        _ => panic!("{event:?}"),
    }
}

/// The DID of who was deleted: the directory has its key no more, so that nobody can check its commits.
fn deleted(frames: &[Vec<u8>]) -> Option<Value> {
    frames.iter().find_map(|frame| match Event::decode(frame).unwrap() {
        Event::Account { body, .. } if body.status == Some("deleted") => Some(json!(body.did)),
        _ => None,
    })
}

async fn verify_repo(zap: &Zap, handle: &str) {
    let mut command = zap.command();
    command.args(["repo", "verify", handle, "--json"]);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(done.status.success(), "{handle}: {}", String::from_utf8_lossy(&done.stderr));
    let verified: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(verified["verified"], true, "{verified}");
}
