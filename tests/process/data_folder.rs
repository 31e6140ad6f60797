//! The data folder: what lies in it, and who may look.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::zap::{create_account, create_agent};

/// Everything in a folder, and itself.
pub(crate) fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// Those that others may read.
fn open_to_others(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |path: PathBuf| {
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777;
        (path, mode)
    };
    all(folder).into_iter().map(mode).filter(|(_, mode)| mode & 0o077 != 0).collect()
}

/// What breaks: whoever has an account on the machine reads the databases.
#[tokio::test]
async fn the_data_folder_is_its_owner_s_alone() {
    if super::on_worker() {
        return; // There is none.
    }
    let (_folder, mut zap) = super::start("warn").await;
    create_agent(&mut zap.client(), "alice").await.unwrap();
    let log = zap.log.clone();
    let open = || open_to_others(&zap.data).into_iter().filter(|(path, _)| *path != log).collect::<Vec<_>>();
    assert_eq!(open(), [], "as it is made");

    // One from before, or from a backup.
    zap.stop().await.unwrap();
    for path in all(&zap.data) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        let is_key = path.extension().is_some_and(|extension| extension == "key" || extension == "token");
        if !is_key {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    zap.restart().await.unwrap();
    create_agent(&mut zap.client(), "bob").await.unwrap();
    let open = open_to_others(&zap.data).into_iter().filter(|(path, _)| *path != log).collect::<Vec<_>>();
    assert_eq!(open, [], "as it is mended");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("was open to other users (mode 755); it is closed now"), "{said}");
}

/// What breaks: what is lost begins anew and empty, a wrong master key is written over the loss, and the repair from a
/// backup comes too late.
#[tokio::test]
async fn a_network_with_a_part_missing_is_refused_and_nothing_is_begun_in_its_place() {
    if super::on_worker() {
        return;
    }
    let (folder, mut zap) = super::start("info").await;
    let mut client = zap.client();
    let alice = create_agent(&mut client, "alice").await.unwrap();
    zap.stop().await.unwrap();
    for part in ["directory.sqlite", "sequencer.sqlite", "agents", "blobs", "master.key", "plc.sqlite"] {
        let (place, away) = (zap.data.join(part), folder.path().join("away"));
        std::fs::rename(&place, &away).unwrap();
        for round in ["missing", "empty"] {
            let refused = zap.restart().await.unwrap_err();
            let said = std::fs::read_to_string(&zap.log).unwrap();
            let last = said.lines().last().unwrap();
            assert!(last.contains(place.to_str().unwrap()), "{part} {round}: {last} ({refused:#})");
            assert_eq!(place.exists(), round == "empty", "{part}: {last}");
            match round {
                "missing" if part == "agents" => std::fs::create_dir(&place).unwrap(),
                "missing" if part != "blobs" => drop(std::fs::File::create(&place).unwrap()),
                _ => break,
            }
        }
        if place.is_dir() {
            std::fs::remove_dir(&place).unwrap();
        } else if place.exists() {
            std::fs::remove_file(&place).unwrap();
        }
        std::fs::rename(&away, &place).unwrap();
    }
    // Of one account alone: the others go on, and the log says which it is.
    zap.restart().await.unwrap();
    create_agent(&mut zap.client(), "bob").await.unwrap();
    zap.stop().await.unwrap();
    let name = alice.did.rsplit(':').next().unwrap();
    let hers = crate::forgetting::database(&zap.data.join("agents"), name).unwrap();
    let away = folder.path().join("away");
    std::fs::rename(&hers, &away).unwrap();
    zap.restart().await.unwrap();
    assert!(std::fs::read_to_string(&zap.log).unwrap().contains(hers.to_str().unwrap()));
    zap.stop().await.unwrap();
    std::fs::rename(&away, &hers).unwrap();

    zap.restart().await.unwrap();
    let memory = serde_json::json!({"memory": {"$type": "agent.memory.note", "summary": "All is back"}});
    let own = Some(alice.authorization.as_str());
    zap.client().post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
}

/// What breaks: an import that is cut short before the agent has a file, on a server with no other, keeps it from starting.
#[tokio::test]
async fn an_account_that_is_deactivated_may_have_no_database() {
    if super::on_worker() {
        return;
    }
    let (_folder, mut zap) = super::start("info").await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let own = Some(alice.authorization.as_str());
    let input = serde_json::json!({});
    let deactivated = client.post("com.atproto.server.deactivateAccount", own, &input).await.unwrap();
    deactivated.success().unwrap();
    zap.stop().await.unwrap();
    std::fs::remove_dir_all(zap.data.join("agents")).unwrap();
    std::fs::create_dir(zap.data.join("agents")).unwrap();
    zap.restart().await.unwrap();
}

/// What breaks: after a mix-up of files, one agent's repo is served under another's name, or another network's log goes
/// out as this one's.
#[tokio::test]
async fn a_database_of_another_part_or_network_is_refused() {
    let (_folder, mut zap) = super::start("info").await;
    let (_other_folder, mut other) = super::start("info").await;
    if zap.is_worker() {
        return;
    }
    let mut client = zap.client();
    let (alice, bob) =
        (create_agent(&mut client, "alice").await.unwrap(), create_agent(&mut client, "bob").await.unwrap());
    zap.stop().await.unwrap();
    other.stop().await.unwrap();

    for (part, what) in [("sequencer.sqlite", "sequencer"), ("plc.sqlite", "PLC directory")] {
        let [here, there] = [&zap, &other].map(|zap| zap.data.join(part));
        swap(&here, &there);
        assert!(zap.restart().await.is_err());
        let said = std::fs::read_to_string(&zap.log).unwrap();
        let last = said.lines().last().unwrap();
        assert!(last.contains(&format!("{part} is the {what} of another network")), "{last}");
        swap(&here, &there);
    }

    let file = |did: &str| {
        let name = format!("{}.sqlite", did.replace(':', "_"));
        all(&zap.data).into_iter().find(|path| path.ends_with(&name)).unwrap()
    };
    let (a, b) = (file(&alice.did), file(&bob.did));
    swap(&a, &b);
    zap.restart().await.unwrap();
    let mut client = zap.client();
    let read = format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", alice.did);
    assert_eq!(client.get(&read, None).await.unwrap().status, 500);
    let memory = serde_json::json!({"memory": {"$type": "agent.memory.note", "summary": "Whose?"}});
    let own = Some(alice.authorization.as_str());
    assert_eq!(client.post("agent.memory.remember", own, &memory).await.unwrap().status, 500);
    let said = std::fs::read_to_string(&zap.log).unwrap();
    assert!(said.contains(&format!("{} is the account {}", a.display(), bob.did)), "{said}");
    zap.stop().await.unwrap();
    swap(&a, &b);
    zap.restart().await.unwrap();
    zap.client().post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
}

/// Exchanges two databases with their companions.
fn swap(left: &Path, right: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let [left, right] = [left, right].map(|path| PathBuf::from(format!("{}{suffix}", path.display())));
        let between = left.with_extension("between");
        for (from, to) in [(&left, &between), (&right, &left), (&between, &right)] {
            if from.exists() {
                std::fs::rename(from, to).unwrap();
            }
        }
    }
}

/// What breaks: two servers write one folder.
#[tokio::test]
async fn a_second_server_is_refused_whatever_is_deleted() {
    if super::on_worker() {
        return;
    }
    let (_folder, zap) = super::start("warn").await;
    for file in all(&zap.data).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "lock"))
    {
        std::fs::remove_file(file).unwrap();
    }
    let mut second = zap.command();
    second.args(["serve", "--listen", "127.0.0.1:0", "--public-url", "http://localhost:9"]);
    let mut second = second.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while second.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            second.kill().unwrap();
            panic!("it runs beside the first");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = second.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("is in use by another zap"), "{said}");
}
