//! A disk that changes what was written: what is damaged is never served, never silent, and holds up nobody else. Native
//! only: what keeps a Worker's storage is not ours to damage.

use std::path::Path;

use harness::zap::create_agent;
use harness::{Account, Client, Zap};
use hyper::Method;
use serde_json::{Value, json};
use zap::event::Event;

use crate::data_folder::all;
use crate::firehose;
use crate::mishaps::{agent_file, destroy_page, flip_record, repair, verify_repo};

/// Two agents, of whom the first has posts of a thousand bytes.
async fn start(posts: usize) -> Option<(tempfile::TempDir, Zap, Account, Account)> {
    let (folder, zap) = super::start("info").await;
    if zap.is_worker() {
        return None;
    }
    let mut client = zap.client();
    let alice = create_agent(&mut client, "alice").await.unwrap();
    let bob = create_agent(&mut client, "bob").await.unwrap();
    for first in (0..posts).step_by(50) {
        let writes: Vec<_> = (first..posts.min(first + 50))
            .map(|number| {
                let text = format!("{number:05} {}", "x".repeat(1000));
                json!({"$type": "com.atproto.repo.applyWrites#create", "collection": "test.zap.note",
                       "rkey": format!("{number:05}"), "value": {"$type": "test.zap.note", "text": text}})
            })
            .collect();
        let input = json!({"repo": alice.did, "writes": writes});
        let own = Some(alice.authorization.as_str());
        client.post("com.atproto.repo.applyWrites", own, &input).await.unwrap().success().unwrap();
    }
    Some((folder, zap, alice, bob))
}

async fn post(client: &mut Client, agent: &Account, text: &str) {
    let record = json!({"$type": "test.zap.note", "text": text});
    let input = json!({"repo": agent.did, "collection": "test.zap.note", "record": record});
    let own = Some(agent.authorization.as_str());
    client.post("com.atproto.repo.createRecord", own, &input).await.unwrap().success().unwrap();
}

fn log(zap: &Zap) -> String {
    std::fs::read_to_string(&zap.log).unwrap()
}

/// What breaks: bytes that nobody signed go out under a signature's name.
#[tokio::test]
async fn a_record_that_the_disk_changed_is_not_served() {
    let Some((_folder, mut zap, alice, bob)) = start(20).await else { return };
    let file = agent_file(&zap, &alice);
    let did = &alice.did;
    let path = format!("/xrpc/com.atproto.repo.getRecord?repo={did}&collection=test.zap.note&rkey=00007");
    let cid = zap.client().get(&path, None).await.unwrap().ok().unwrap()["cid"].as_str().unwrap().to_owned();
    zap.stop().await.unwrap();
    flip_record(&file, "00007");
    zap.restart().await.unwrap();
    let mut client = zap.client();
    for read in [
        format!("repo.getRecord?repo={did}&collection=test.zap.note&rkey=00007"),
        format!("repo.listRecords?repo={did}&collection=test.zap.note"),
        format!("sync.getRecord?did={did}&collection=test.zap.note&rkey=00007"),
        format!("sync.getBlocks?did={did}&cids={cid}"),
        format!("sync.getRepo?did={did}"),
    ] {
        let answer = client.get(&format!("/xrpc/com.atproto.{read}"), None).await.unwrap();
        assert_eq!(answer.status, 500, "{read}");
        assert!(!answer.body.windows(5).any(|bytes| bytes == b"xxxxx"), "{read}");
    }
    let said = format!("{}: the block of {cid} has other bytes", file.display());
    assert_eq!(log(&zap).matches(&said).count(), 6, "each is in the log, the export twice: {}", log(&zap));
    let others = format!("/xrpc/com.atproto.repo.getRecord?repo={did}&collection=test.zap.note&rkey=00008");
    assert_eq!(client.get(&others, None).await.unwrap().status, 200);
    post(&mut client, &alice, "writing goes on").await;
    post(&mut client, &bob, "and so do others").await;
}

/// What breaks: a relay gets half a repo as if it were one, and nobody knows.
#[tokio::test]
async fn an_export_that_a_damaged_page_cuts_is_in_the_log_with_its_file() {
    let Some((_folder, mut zap, alice, _)) = start(400).await else { return };
    let file = agent_file(&zap, &alice);
    zap.stop().await.unwrap();
    destroy_page(&file, "record");
    zap.restart().await.unwrap();
    let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", alice.did);
    // Begun as a success, it breaks off: the connection ends before the body does.
    assert!(zap.client().get(&path, None).await.is_err());
    let said = log(&zap);
    let line = said.lines().find(|line| line.contains("an export was cut short")).expect("it is in the log");
    assert!(line.contains(file.to_str().unwrap()) && line.contains(&alice.did), "{line}");
}

/// What breaks: one bad page of the log, and nobody who is behind it ever gets the stream again.
#[tokio::test]
async fn a_damaged_part_of_the_event_log_is_led_past_and_told() {
    let Some((_folder, mut zap, alice, bob)) = start(20).await else { return };
    let mut client = zap.client();
    for number in 0..120 {
        post(&mut client, &bob, &format!("{number} {}", "y".repeat(500))).await;
    }
    let all = firehose::backfill(&zap, &[alice.clone(), bob.clone()]).await;
    let file = zap.data.join("sequencer.sqlite");
    zap.stop().await.unwrap();
    destroy_page(&file, "event");
    zap.restart().await.unwrap();
    post(&mut zap.client(), &bob, "after the damage").await;
    let newest = firehose::latest_rev(&mut zap.client(), &bob.did).await;

    for _ in 0..2 {
        let mut subscriber = firehose::subscribe(&zap, Some(0)).await.unwrap();
        let (mut seqs, mut told, mut is_done) = (Vec::new(), 0, false);
        while !is_done {
            let frames = subscriber.next().await.unwrap();
            assert!(!frames.is_empty(), "the server closed the stream after {} events", seqs.len());
            for frame in frames {
                match Event::decode(&frame).unwrap() {
                    Event::Info { name, .. } => {
                        assert_eq!(name, "OutdatedCursor");
                        told += 1;
                    }
                    event => {
                        seqs.extend(event.seq());
                        is_done = matches!(event, Event::Commit { body, .. } if body.rev == newest);
                    }
                }
            }
        }
        assert_eq!(told, 1);
        assert!(seqs.is_sorted());
        let lost = all.len() + 1 - seqs.len();
        assert!((1..20).contains(&lost), "{lost} of {} events are lost", all.len());
    }
    let said = log(&zap);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("the event log is damaged")).collect();
    assert!(lines.len() == 1 && lines[0].contains(file.to_str().unwrap()), "{lines:?}");
}

/// What breaks: a server that does not start, and does not say why.
#[tokio::test]
async fn a_start_that_damage_ends_names_the_file() {
    let Some((_folder, mut zap, ..)) = start(0).await else { return };
    zap.stop().await.unwrap();
    for cell in ["directory.sqlite", "sequencer.sqlite", "plc.sqlite"] {
        let file = zap.data.join(cell);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, vec![0xa5; whole.len()]).unwrap();
        let _ = std::fs::remove_file(format!("{}-wal", file.display()));
        assert!(zap.restart().await.is_err(), "{cell}");
        assert!(log(&zap).lines().last().unwrap().contains(file.to_str().unwrap()), "{}", log(&zap));
        std::fs::write(&file, whole).unwrap();
    }
    let health: Value = {
        zap.restart().await.unwrap();
        zap.client().get("/xrpc/_health", None).await.unwrap().ok().unwrap()
    };
    assert!(health.is_object());
}

/// What breaks: a repo whose records are all there is given up, or comes back as another.
#[tokio::test]
async fn a_repo_that_lost_its_tree_comes_back_as_it_was() {
    let Some((_folder, mut zap, alice, _)) = start(400).await else { return };
    let rev = firehose::latest_rev(&mut zap.client(), &alice.did).await;
    let (code, _, said) = repair(&zap, &["check"]);
    assert!(code == 1 && said.contains("in use by another zap"), "a running server is left alone: {said}");
    zap.stop().await.unwrap();
    let (code, found, said) = repair(&zap, &["check"]);
    assert_eq!((code, &found["accounts"], &found["records"]), (0, &json!(2), &json!(402)), "{said} {found}");

    destroy_page(&agent_file(&zap, &alice), "node");
    let (code, found, _) = repair(&zap, &["check", "alice"]);
    assert_eq!((code, &found["damaged"][0]["did"]), (1, &json!(alice.did)), "{found}");
    let (code, rebuilt, said) = repair(&zap, &["rebuild", "alice"]);
    assert_eq!((code, &rebuilt["records"], &rebuilt["lost"]), (0, &json!(401), &json!([])), "{said}");
    let (code, found, said) = repair(&zap, &["check"]);
    assert_eq!(code, 0, "{said} {found}");

    zap.restart().await.unwrap();
    assert_eq!(firehose::latest_rev(&mut zap.client(), &alice.did).await, rev);
    verify_repo(&zap, &alice);
    post(&mut zap.client(), &alice, "and goes on").await;
    verify_repo(&zap, &alice);
}

/// What breaks: a picture that the disk has changed or lost is found by whoever wanted to see it.
#[tokio::test]
async fn blobs_are_held_against_their_cids() {
    let Some((_folder, mut zap, alice, _)) = start(0).await else { return };
    let mut kept = Vec::new();
    for number in 0..3 {
        let own = Some(alice.authorization.as_str());
        let (path, bytes) = ("/xrpc/com.atproto.repo.uploadBlob", format!("blob {number}").into());
        let uploaded = zap.client().send(Method::POST, path, own, Some("text/plain"), bytes).await.unwrap();
        kept.push(uploaded.ok().unwrap()["blob"]["ref"]["$link"].as_str().unwrap().to_owned());
    }
    zap.stop().await.unwrap();
    let (code, found, said) = repair(&zap, &["check"]);
    assert_eq!((code, &found["blobs"]), (0, &json!(3)), "{said} {found}");
    let files = all(&zap.data.join("blobs"));
    let file = |cid: &str| files.iter().find(|file| file.ends_with(cid)).expect("it has a file");
    std::fs::write(file(&kept[0]), "Blob 0").unwrap();
    std::fs::write(file(&kept[1]), "blob").unwrap();
    std::fs::remove_file(file(&kept[2])).unwrap();
    let (code, found, _) = repair(&zap, &["check", "alice"]);
    let findings = found["damaged"][0]["findings"].to_string();
    assert_eq!(code, 1, "{found}");
    for (cid, fault) in kept.iter().zip(["has other bytes", "has 4 of 6 bytes", "is missing"]) {
        assert!(findings.contains(&format!("blob {cid} {fault}")), "{findings}");
    }
}

/// What breaks: records vanish without anybody being asked, or the memories that are left do not open.
#[tokio::test]
async fn records_are_given_up_only_when_that_is_asked_for() {
    let Some((_folder, mut zap, alice, _)) = start(400).await else { return };
    let own = Some(alice.authorization.as_str());
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "The ladder is in the shed"}});
    zap.client().post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
    let rev = firehose::latest_rev(&mut zap.client(), &alice.did).await;
    zap.stop().await.unwrap();
    destroy_page(&agent_file(&zap, &alice), "record");
    let (code, _, said) = repair(&zap, &["rebuild", "alice"]);
    assert!(code == 1 && said.contains("--drop-lost") && said.contains("test.zap.note/"), "{said}");
    assert_eq!(repair(&zap, &["check", "alice"]).0, 1, "nothing has changed");

    let (code, rebuilt, said) = repair(&zap, &["rebuild", "alice", "--drop-lost"]);
    assert_eq!(code, 0, "{said}");
    let lost = rebuilt["lost"].as_array().unwrap().len();
    assert!((1..20).contains(&lost) && rebuilt["records"] == json!(402 - lost), "{rebuilt}");
    assert!(Path::new(rebuilt["damaged"].as_str().unwrap()).exists());
    let (code, found, said) = repair(&zap, &["check"]);
    assert_eq!(code, 0, "its commit is on its way to the log: {said} {found}");

    zap.restart().await.unwrap();
    let newest = firehose::latest_rev(&mut zap.client(), &alice.did).await;
    assert!(newest > rev);
    verify_repo(&zap, &alice);
    let listed = zap.client().get("/xrpc/agent.memory.list", own).await.unwrap().ok().unwrap();
    assert_eq!(listed["memories"][0]["memory"]["summary"], memory["memory"]["summary"]);
    let mut subscriber = firehose::subscribe(&zap, Some(0)).await.unwrap();
    let mut is_told = false;
    while !is_told {
        let frames = subscriber.next().await.unwrap();
        assert!(!frames.is_empty(), "the server closed the stream");
        is_told = frames.iter().any(
            |frame| matches!(Event::decode(frame).unwrap(), Event::Sync { body, .. } if body.rev == newest),
        );
    }
}

/// What breaks: a log that is damaged or lost ends the network, since no server starts on it.
#[tokio::test]
async fn a_damaged_log_is_rebuilt_and_a_lost_one_begun_anew() {
    let Some((_folder, mut zap, alice, bob)) = start(0).await else { return };
    for number in 0..120 {
        post(&mut zap.client(), &bob, &format!("{number} {}", "y".repeat(500))).await;
    }
    let all = firehose::backfill(&zap, &[alice.clone(), bob.clone()]).await.len();
    let last = Event::decode(firehose::backfill(&zap, std::slice::from_ref(&bob)).await.last().unwrap())
        .unwrap()
        .seq();
    let file = zap.data.join("sequencer.sqlite");
    zap.stop().await.unwrap();
    destroy_page(&file, "event");
    let (code, found, _) = repair(&zap, &["check"]);
    assert_eq!((code, found["log"]["findings"].as_array().unwrap().len()), (1, 1), "{found}");
    let (code, rebuilt, said) = repair(&zap, &["rebuild", "--log"]);
    assert_eq!((code, rebuilt["lost"].as_array().unwrap().len()), (0, 1), "{said} {rebuilt}");
    let events = usize::try_from(rebuilt["events"].as_u64().unwrap()).unwrap();
    assert!((1..20).contains(&(all - events)), "{events} of {all}");
    let (code, found, said) = repair(&zap, &["check"]);
    assert_eq!(code, 0, "{said} {found}");

    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
    assert!(zap.restart().await.is_err());
    let (code, rebuilt, said) = repair(&zap, &["rebuild", "--log"]);
    assert_eq!((code, &rebuilt["events"]), (0, &json!(0)), "{said}");
    zap.restart().await.unwrap();
    post(&mut zap.client(), &bob, "the first of the new log").await;
    let frames = firehose::backfill(&zap, std::slice::from_ref(&bob)).await;
    assert!(Event::decode(&frames[0]).unwrap().seq() > last, "numbers do not go back");
}
