//! A shard over real files that are sometimes in the way.

use std::path::PathBuf;

use super::super::sequencer::Options;
use super::*;
use crate::account::{Command, CreateRepo};
use crate::event::EventKind;
use crate::repo::{self, ApplyWrites, Swap, Write, WriteAction};
use crate::seam::{Hidden, Request as _};
use crate::sequencer;
use crate::store::Sql as _;

struct World {
    _folder: tempfile::TempDir,
    shared: Arc<Shared>,
    did: Did,
}

impl World {
    /// With an agent, closed again.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let sequencer =
            SequencerHandle::start(Options::new(files.sequencer(), Duration::from_secs(3600))).unwrap();
        let network = Arc::new(crate::testing::network());
        let readers = Arc::new(Readers::new(4));
        let shared = Arc::new(Shared { files, network, sequencer, readers, agents_open_max: 4 });
        let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let create = CreateRepo {
            did: did.clone(),
            handle: "alice.test".parse().unwrap(),
            signing_key: Hidden::new([7; 32]),
            active: true,
            records: Vec::new(),
        };
        let shard = ShardHandle::start(0, Arc::clone(&shared)).unwrap();
        let Command::Change(create) = create.into_command().into() else { unreachable!() };
        shard.ask(did.clone(), create).await.unwrap();
        shard.stop();
        Self { _folder: folder, shared, did }
    }

    fn shard(&self) -> Shard {
        let (shared, open) = (Arc::clone(&self.shared), HashMap::new());
        Shard { shared, open, turn: 0, uncut: Later::default(), undrained: Later::default() }
    }

    fn path(&self) -> PathBuf {
        self.shared.files.account(&self.did)
    }

    /// Makes the database one that can't be opened for now, as with too few descriptors.
    fn obstruct(&self) {
        std::fs::rename(self.wal(), self.path().with_extension("away")).unwrap();
        std::fs::create_dir(self.wal()).unwrap();
    }

    fn clear(&self) {
        std::fs::remove_dir(self.wal()).unwrap();
        std::fs::rename(self.path().with_extension("away"), self.wal()).unwrap();
    }

    fn wal(&self) -> PathBuf {
        self.path().with_extension("sqlite-wal")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shared.sequencer.stop();
    }
}

/// What breaks: keys are left on the disk, unlinked and whole, and the last events go with the outbox.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_can_t_be_opened_now_is_removed_when_it_can_and_a_damaged_one_at_once() {
    let world = World::new().await;
    let mut shard = world.shard();
    world.obstruct();
    let refused = shard.destroy(&world.did);
    assert!(matches!(refused, Err(Failed::Cell(Error::Sql(SqlError::Other(_))))), "{refused:?}");
    assert!(world.path().exists());
    world.clear();
    assert_eq!(shard.destroy(&world.did), Ok(()));
    assert!(!world.path().exists());

    let world = World::new().await;
    std::fs::write(world.path(), [7; 8192]).unwrap();
    assert_eq!(world.shard().destroy(&world.did), Ok(()));
    assert!(!world.path().exists());
}

/// What breaks: the log keeps the key, and nobody downloads the repo, until somebody writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_can_t_be_cut_now_is_cut_later_and_keeps_nobody_from_reading() {
    let world = World::new().await;
    let mut shard = world.shard();
    let owe = Database::open(&world.path(), Durability::Full).unwrap();
    owe.script("DELETE FROM cut_owed; INSERT INTO cut_owed DEFAULT VALUES").unwrap();
    drop(owe);
    shard.uncut.add(&world.did, Instant::now());
    world.shared.readers.hurry(&world.did);
    world.obstruct();
    shard.cut(shard.uncut.all());
    assert_eq!(world.shared.readers.hurried_for(&world.did), None);
    world.clear();
    shard.cut(shard.uncut.all());
    assert_eq!(shard.open[&world.did].cut, Cut::Paid);
    assert!(shard.uncut.is_empty());
}

/// What breaks: that the disk is full is said as 500, for what it was that failed is lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn why_an_agent_does_not_open_is_told_and_it_is_tried_again() {
    let world = World::new().await;
    let shard = ShardHandle::start(0, Arc::clone(&world.shared)).unwrap();
    world.obstruct();
    let visited = shard.visit(world.did.clone()).await;
    assert!(matches!(visited, Err(Failed::Cell(Error::Sql(SqlError::Other(_))))), "{visited:?}");
    world.clear();
    assert_eq!(shard.visit(world.did.clone()).await, Ok(true));
    shard.stop();
}

/// What breaks: who is refused takes others' writes along, is answered as another, or leaves events that never come.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_leaves_those_who_wait_beside_alone() {
    let world = World::new().await;
    let mut shard = world.shard();
    let create = |rkey: &str| {
        let write = Write {
            action: WriteAction::Create,
            collection: "com.example.note".parse().unwrap(),
            rkey: Some(rkey.parse().unwrap()),
            record: Some(b"\xa1\x65$typepcom.example.note".to_vec().into()),
            blobs: Vec::new(),
            swap_record: Swap::Any,
        };
        let writes = ApplyWrites { writes: vec![write], swap_commit: None };
        let Command::Change(change) = writes.into_command().into() else { unreachable!() };
        change
    };
    let (before, mut made) = (world.shared.sequencer.last_seq(), Vec::new());
    for group in ["aab", "aabacad", "eef", "aba", "g", "a"] {
        let (changes, answers): (Vec<_>, Vec<_>) = group
            .chars()
            .map(|rkey| {
                let (sender, receiver) = oneshot::channel();
                ((create(&rkey.to_string()), sender), receiver)
            })
            .unzip();
        shard.answer(&world.did, changes);
        for (rkey, answer) in group.chars().zip(answers) {
            match answer.await.unwrap() {
                Ok(_) => {
                    assert!(!made.contains(&rkey), "{rkey} is made twice");
                    made.push(rkey);
                }
                Err(Failed::Cell(Error::Repo(repo::Error::RecordExists(path)))) => {
                    assert!(made.contains(&rkey) && path.ends_with(rkey), "{path} of {rkey}");
                }
                Err(other) => panic!("{rkey}: {other:?}"),
            }
        }
    }
    assert_eq!(made, ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
    shard.open[&world.did].await_sequencer(&world.shared.sequencer).unwrap();
    let read = sequencer::Read { cursor: before, limit: 100, bytes_max: u64::MAX };
    let told = world.shared.sequencer.call(read.into_command()).await.unwrap();
    let sequencer::Reply::Read(page) = told else { unreachable!() };
    assert_eq!(page.events.len(), made.len());
    assert!(page.events.iter().all(|event| event.kind == EventKind::Commit));
}
