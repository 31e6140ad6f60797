//! An old backup put back: the network knows later states than the server does.

use std::time::Duration;

use harness::zap::create_account;
use harness::{Account, Client, Subscriber, Zap};
use serde_json::json;
use zap::event::Event;

use crate::firehose::{latest_rev, subscribe};
use crate::mishaps::{copy, put_back};

const ARRIVE_WITHIN: Duration = Duration::from_secs(30);

async fn write(client: &mut Client, account: &Account) {
    let input = json!({ "repo": account.did, "collection": "com.example.note", "record":
        { "$type": "com.example.note" } });
    let created = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input);
    created.await.unwrap().success().unwrap();
}

/// What is heard of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Account { active: bool },
    Sync { rev: String },
    Commit { rev: String, since: Option<String> },
    Other,
}

fn heard(frame: &[u8]) -> (i64, String, Heard) {
    let event = Event::decode(frame).unwrap();
    let seq = event.seq().unwrap_or_else(|| panic!("{event:?}"));
    let (did, heard) = match event {
        Event::Account { body, .. } => (body.did.to_owned(), Heard::Account { active: body.active }),
        Event::Sync { body, .. } => (body.did.to_owned(), Heard::Sync { rev: body.rev.to_owned() }),
        Event::Commit { body, .. } => {
            let (rev, since) = (body.rev.to_owned(), body.since.map(str::to_owned));
            (body.repo.to_owned(), Heard::Commit { rev, since })
        }
        Event::Identity { body, .. } => (body.did.to_owned(), Heard::Other),
        other => panic!("{other:?}"),
    };
    (seq, did, heard)
}

/// Everything up to an event that `is_last`.
async fn hear(stream: &mut Subscriber, is_last: impl Fn(&str, &Heard) -> bool) -> Vec<(i64, String, Heard)> {
    let mut all = Vec::new();
    let read = async {
        loop {
            let frames = stream.next().await.unwrap();
            assert!(!frames.is_empty(), "the server closed the stream");
            for frame in frames {
                all.push(heard(&frame));
                let (_, did, what) = all.last().unwrap();
                if is_last(did, what) {
                    return;
                }
            }
        }
    };
    let done = tokio::time::timeout(ARRIVE_WITHIN, read).await;
    assert!(done.is_ok(), "not on the stream within {ARRIVE_WITHIN:?}; heard {all:?}");
    all
}

struct World {
    _folder: tempfile::TempDir,
    zap: Zap,
    alice: Account,
    bob: Account,
    backup: std::path::PathBuf,
    /// What the network knows of alice, and where it is on the stream.
    rev: String,
    cursor: i64,
}

/// Alice and Bob, a backup, and then more of Alice's; the server is stopped.
async fn world() -> Option<World> {
    let (folder, mut zap) = super::start("warn").await;
    if zap.is_worker() {
        return None; // Nobody puts an object's files back.
    }
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let bob = create_account(&mut client, "bob.test").await.unwrap();
    write(&mut client, &alice).await;
    write(&mut client, &bob).await;
    zap.stop().await.unwrap();
    let backup = folder.path().join("backup");
    copy(&zap.data, &backup);

    zap.restart().await.unwrap();
    let mut client = zap.client();
    let mut stream = subscribe(&zap, Some(0)).await.unwrap();
    write(&mut client, &alice).await;
    write(&mut client, &alice).await;
    let rev = latest_rev(&mut client, &alice.did).await;
    let all = hear(&mut stream, |_, what| matches!(what, Heard::Commit { rev: r, .. } if *r == rev)).await;
    let cursor = all.last().unwrap().0;
    zap.stop().await.unwrap();
    Some(World { _folder: folder, zap, alice, bob, backup, rev, cursor })
}

impl World {
    /// Alice says that she is there and where her repo is, by a rev that can be followed; then goes on.
    async fn alice_says_so(&self) -> Vec<(i64, String, Heard)> {
        let mut stream = subscribe(&self.zap, Some(self.cursor)).await.unwrap();
        let is_sync = |did: &str, what: &Heard| did == self.alice.did && matches!(what, Heard::Sync { .. });
        let mut all = hear(&mut stream, is_sync).await;
        let account = (&self.alice.did, &Heard::Account { active: true });
        assert!(all.iter().any(|(_, did, what)| (did, what) == account), "{all:?}");
        let Some((_, _, Heard::Sync { rev: synced })) = all.last().cloned() else { unreachable!() };
        assert!(synced > self.rev, "{synced} after {}, which the network knows", self.rev);
        let mut client = self.zap.client();
        assert_eq!(latest_rev(&mut client, &self.alice.did).await, synced);
        write(&mut client, &self.alice).await;
        all.extend(hear(&mut stream, |_, what| matches!(what, Heard::Commit { .. })).await);
        let Some((_, _, Heard::Commit { since, .. })) = all.last() else { unreachable!() };
        assert_eq!(since.as_ref(), Some(&synced), "who heard the sync can follow");
        all
    }
}

/// What breaks: relays keep the rev they know, which is newer, or get a commit that they can't follow; and their cursor is
/// in the future.
#[tokio::test]
async fn a_whole_backup_that_was_put_back_says_so() {
    let Some(mut world) = world().await else { return };
    put_back(&world.backup, &world.zap.data);
    world.zap.restart().await.unwrap();
    let all = world.alice_says_so().await;
    let mut stream = subscribe(&world.zap, Some(world.cursor)).await.unwrap();
    let is_bobs = |did: &str, what: &Heard| did == world.bob.did && matches!(what, Heard::Sync { .. });
    if !all.iter().any(|(_, did, what)| is_bobs(did, what)) {
        hear(&mut stream, is_bobs).await;
    }
    let before = syncs(&world).await;
    world.zap.stop().await.unwrap();
    world.zap.restart().await.unwrap();
    assert_eq!(syncs(&world).await, before, "it is said once");
}

#[tokio::test]
async fn one_agent_s_old_database_put_back_says_so() {
    let Some(mut world) = world().await else { return };
    let name = format!("{}.sqlite", world.alice.did.replace(':', "_"));
    let agents = std::fs::read_dir(world.backup.join("agents")).unwrap();
    let folder = agents.map(|entry| entry.unwrap().path()).find(|path| path.join(&name).exists()).unwrap();
    let to = world.zap.data.join("agents").join(folder.file_name().unwrap());
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(to.join(format!("{name}{suffix}")));
        let from = folder.join(format!("{name}{suffix}"));
        if from.exists() {
            std::fs::copy(from, to.join(format!("{name}{suffix}"))).unwrap();
        }
    }
    world.zap.restart().await.unwrap();
    let all = world.alice_says_so().await;
    assert!(all.iter().all(|(_, did, _)| *did == world.alice.did), "Bob did not go back: {all:?}");
}

/// What breaks: what can't be read for a moment is taken for told, and the network keeps the state that it knows.
#[tokio::test]
async fn who_can_t_be_read_when_a_backup_was_put_back_says_so_later() {
    let Some(mut world) = world().await else { return };
    std::fs::remove_dir_all(&world.zap.data).unwrap();
    copy(&world.backup, &world.zap.data);
    let name = format!("{}.sqlite", world.alice.did.replace(':', "_"));
    let file =
        super::data_folder::all(&world.zap.data).into_iter().find(|path| path.ends_with(&name)).unwrap();
    let away = world.backup.join("away");
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    world.zap.restart().await.unwrap();
    let mut stream = subscribe(&world.zap, Some(world.cursor)).await.unwrap();
    hear(&mut stream, |did, what| did == world.bob.did && matches!(what, Heard::Sync { .. })).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.zap.data.join("restored").exists(), "not all have spoken");
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    world.alice_says_so().await;
}

/// A snapshot of the volume looks like a pause; so does nothing at all.
#[tokio::test]
async fn a_server_that_did_not_go_back_says_so_only_when_it_is_told() {
    let Some(mut world) = world().await else { return };
    world.zap.restart().await.unwrap();
    assert_eq!(syncs(&world).await, 1, "when she was made");
    world.zap.kill().unwrap();
    world.zap.restart().await.unwrap();
    assert_eq!(syncs(&world).await, 1);
    world.zap.stop().await.unwrap();
    let told = world.zap.data.join("restored");
    std::fs::write(&told, "").unwrap();
    world.zap.restart().await.unwrap();
    world.alice_says_so().await;
    let start = std::time::Instant::now();
    while told.exists() {
        assert!(start.elapsed() < ARRIVE_WITHIN, "it is told once");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often Alice's repo has said where it stands, in all.
async fn syncs(world: &World) -> usize {
    // Longer than those take who say it at a start.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut client = world.zap.client();
    write(&mut client, &world.alice).await;
    let newest = latest_rev(&mut client, &world.alice.did).await;
    let mut stream = subscribe(&world.zap, Some(0)).await.unwrap();
    let is_last = |_: &str, what: &Heard| matches!(what, Heard::Commit { rev, .. } if *rev == newest);
    let all = hear(&mut stream, is_last).await;
    let is_hers = |(_, did, what): &&(i64, String, Heard)| {
        *did == world.alice.did && matches!(what, Heard::Sync { .. })
    };
    all.iter().filter(is_hers).count()
}
