//! An agent moves from one server to another and back, by the command line, under strangers' eyes.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use harness::zap::create_agent;
use harness::{Account, Client, Host, Zap};
use hyper::Method;
use serde_json::{Value, json};
use zap::event::Event;

use crate::firehose;

const PASSPHRASE: &str = "correct horse battery";
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\nnot much of a picture";

/// What breaks: who moves loses records, memories or name; or two servers hold the same agent.
///
/// With `ZAP_TEST_WORKER` the first server is the Worker, so that the journey goes from either host to the other.
#[tokio::test]
async fn an_agent_moves_to_another_server_and_back() {
    let (folder, old) = super::start("info").await;
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let new = old.start_beside(&elsewhere, Host::Native("info".to_owned())).await.unwrap();
    let mut agent = create_agent(&mut old.client(), "mover").await.unwrap();
    let picture = fill(&old, &agent).await;
    agent = journey(&old, &new, &agent, &picture, folder.path()).await;
    journey(&new, &old, &agent, &picture, folder.path()).await;
}

/// What breaks: whoever lost a token gives it another, and the thief has all keys half a minute later.
#[tokio::test]
async fn a_copy_that_waits_while_its_token_ends_is_not_made() {
    let (_folder, zap) = super::start("info").await;
    let mut client = zap.client();
    let agent = create_agent(&mut client, "robbed").await.unwrap();
    let own = Some(agent.authorization.as_str());
    let rotated = client.post("agent.vault.rotateToken", own, &json!({})).await.unwrap().ok().unwrap();
    let new = format!("Bearer {}", rotated["token"].as_str().unwrap());
    let ended = AtomicBool::new(false);
    // More than are computed at a time, and always as many: some wait when the token ends.
    let copies = join_all((0..8).map(async |_| {
        let export = json!({ "passphrase": PASSPHRASE });
        loop {
            let answer = zap.client().post("agent.vault.export", own, &export).await.unwrap();
            let late = ended.load(Ordering::Relaxed);
            if answer.status != 200 {
                // By whether it ended before the call or within.
                let is_ended = ["InvalidToken", "ExpiredToken"].contains(&answer.error_name().as_str());
                assert!(is_ended, "{answer:?}");
            }
            if late || answer.status != 200 {
                return (answer.status, late);
            }
        }
    }));
    let ends = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.get("/xrpc/agent.vault.status", Some(&new)).await.unwrap().success().unwrap();
        ended.store(true, Ordering::Relaxed);
    };
    let (copies, ()) = tokio::join!(copies, ends);
    let made_late = copies.iter().filter(|copy| **copy == (200, true)).count();
    assert!(copies.iter().any(|(status, late)| *late || *status != 200), "nothing was tried: {copies:?}");
    // One may have been sealed while the token ended.
    assert!(made_late <= 2, "{copies:?}");
}

/// What breaks: a copy that does not open when it is needed, or that takes an agent away from where it lives.
#[tokio::test]
async fn a_copy_is_made_beside_the_agents_work_and_kept_whole() {
    let (folder, zap) = super::start("info").await;
    let agent = create_agent(&mut zap.client(), "mover").await.unwrap();
    fill(&zap, &agent).await;
    let file = folder.path().join("copy.car");
    let path = file.to_str().unwrap();
    let copy = run(own(&zap, &agent).args(["export", "mover", "--out", path])).await;
    assert_eq!((&copy["did"], &copy["blobs"], &copy["move"]), (&json!(agent.did), &json!(1), &json!(false)));
    assert_eq!(files(folder.path()), ["copy.car"], "nothing unfinished is left");
    write(&mut zap.client(), &agent).await.success().unwrap();

    let mut again = own(&zap, &agent);
    assert_eq!(failure(again.args(["export", "mover", "--out", path])).await.0, 1, "it would be overwritten");
    let (code, error) = failure(zap.command().args(["import", path])).await;
    assert_eq!((code, &error["error"]), (1, &json!("AccountExists")));
    let mut wrong = zap.command();
    wrong.args(["import", path]).env("ZAP_PASSPHRASE", "correct horse batterz");
    assert_eq!(failure(&mut wrong).await.0, 1);
    for (who, code) in [("nobody", 3), ("mover", 4)] {
        let mut none = if who == "nobody" { own(&zap, &agent) } else { zap.command() };
        let refused = failure(none.args(["export", who, "--out", "nobody.car"])).await;
        assert_eq!(refused.0, code, "{who}: the operator alone takes no keys away");
    }

    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let (_, error) = failure(zap.command().args(["import", path])).await;
    assert!(error["message"].as_str().unwrap().contains("hash"), "{error}");
}

/// A command as the agent.
fn own(zap: &Zap, agent: &Account) -> Command {
    let mut command = zap.command();
    command.env("ZAP_TOKEN", agent.authorization.trim_start_matches("Bearer "));
    command
}

/// Records, a blob and memories; gives the blob's CID.
async fn fill(zap: &Zap, agent: &Account) -> String {
    let mut client = zap.client();
    for _ in 0..40 {
        write(&mut client, agent).await.success().unwrap();
    }
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let (own, body) = (Some(agent.authorization.as_str()), Bytes::from_static(PICTURE));
    let uploaded = client.send(Method::POST, path, own, Some("image/png"), body).await.unwrap().ok().unwrap();
    let blob = uploaded["blob"].clone();
    let record = json!({"repo": agent.did, "collection": "test.zap.picture", "record": {"image": blob}});
    client.post("com.atproto.repo.createRecord", own, &record).await.unwrap().success().unwrap();
    for summary in ["the red lamp is broken", "tea at four"] {
        let memory = json!({"memory": {"$type": "agent.memory.note", "summary": summary}});
        client.post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
    }
    blob["ref"]["$link"].as_str().unwrap().to_owned()
}

/// Moves the agent and looks at it from all sides; gives it with its new token.
async fn journey(from: &Zap, to: &Zap, agent: &Account, picture: &str, folder: &Path) -> Account {
    let did = agent.did.as_str();
    let before = latest(from, did).await;
    let file = folder.join(format!("{}.car", from.address.port()));
    let path = file.to_str().unwrap();
    let exported = run(own(from, agent).args(["export", "mover", "--move", "--out", path])).await;
    assert_eq!((&exported["root"], &exported["rev"]), (&before["cid"], &before["rev"]));
    let refused = write(&mut from.client(), agent).await;
    assert_eq!((refused.status, refused.error_name().as_str()), (400, "AccountDeactivated"));

    let imported = run(to.command().args(["import", path])).await;
    assert_eq!(imported["did"], did);
    assert_eq!((&imported["root"], &imported["rev"]), (&before["cid"], &before["rev"]));
    assert_eq!(latest(to, did).await, before);
    let again = run(to.command().args(["import", path])).await;
    assert_eq!(again["root"], before["cid"], "who lost the last answer asks again");
    let document = Client::new(to.plc_address).get(&format!("/{did}"), None).await.unwrap().ok().unwrap();
    assert_eq!(document["service"][0]["serviceEndpoint"], format!("http://{}", to.authority()));
    let verified = run(to.command().args(["repo", "verify", did])).await;
    assert_eq!((&verified["verified"], &verified["repo"]["commit"]), (&json!(true), &before["cid"]));
    let recalled = run(to.command().args(["recall", "mover", "lamp"])).await;
    assert!(recalled.to_string().contains("the red lamp is broken"), "{recalled}");
    let path = format!("/xrpc/com.atproto.sync.getBlob?did={did}&cid={picture}");
    assert_eq!(to.client().get(&path, None).await.unwrap().body, PICTURE);

    // The old server is out of it: no writes, no way back to them.
    let refused = write(&mut from.client(), agent).await;
    assert_eq!(refused.error_name(), "AccountDeactivated");
    let wake = "com.atproto.server.activateAccount";
    let woken = from.client().post(wake, Some(&agent.authorization), &json!({})).await.unwrap();
    assert_eq!(woken.status, 400);

    // The new one says who came, and goes on from there.
    let token = again["token"].as_str().unwrap();
    let agent = Account { authorization: format!("Bearer {token}"), ..agent.clone() };
    write(&mut to.client(), &agent).await.success().unwrap();
    assert!(latest(to, did).await["rev"].as_str() > before["rev"].as_str());
    let frames = firehose::backfill(to, std::slice::from_ref(&agent)).await;
    let (mut identity, mut active, mut sync) = (0, 0, 0);
    for frame in &frames {
        match Event::decode(frame).unwrap() {
            Event::Identity { body, .. } if body.did == did => identity += 1,
            Event::Account { body, .. } if body.did == did && body.active => active += 1,
            Event::Sync { body, .. } if body.did == did && before["rev"] == body.rev => sync += 1,
            _ => {}
        }
    }
    assert!(identity > 0 && active > 0, "{identity} {active}");
    assert_eq!(sync, 1, "#sync names the commit that came");
    firehose::verify(to, &frames).await;
    agent
}

async fn write(client: &mut Client, agent: &Account) -> harness::Answer {
    let record = json!({"repo": agent.did, "collection": "test.zap.note", "record": {"text": "hello"}});
    client.post("com.atproto.repo.createRecord", Some(&agent.authorization), &record).await.unwrap()
}

async fn latest(zap: &Zap, did: &str) -> Value {
    let path = format!("/xrpc/com.atproto.sync.getLatestCommit?did={did}");
    zap.client().get(&path, None).await.unwrap().ok().unwrap()
}

/// Runs a command of ours to its success and gives its JSON.
async fn run(command: &mut Command) -> Value {
    let (code, stdout, stderr) = output(command).await;
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Runs a command of ours that fails: its exit code and its error.
async fn failure(command: &mut Command) -> (i32, Value) {
    let (code, stdout, stderr) = output(command).await;
    assert_ne!(code, 0, "{stdout}");
    (code, serde_json::from_str(&stderr).unwrap())
}

async fn output(command: &mut Command) -> (i32, String, String) {
    if !command.get_envs().any(|(name, _)| name == "ZAP_PASSPHRASE") {
        command.env("ZAP_PASSPHRASE", PASSPHRASE);
    }
    command.arg("--json").stdin(std::process::Stdio::null());
    let mut command = std::mem::replace(command, Command::new("true"));
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap(), text(&done.stdout), text(&done.stderr))
}

/// The files of a folder that are archives or were to be.
fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".car")).collect()
}
