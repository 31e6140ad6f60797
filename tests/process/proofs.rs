//! Proofs and blocks that are read beside writers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::zap::create_account;
use harness::{Account, Client};
use repo_mst::car::{CarLimits, read_all};
use repo_mst::commit::Commit;
use repo_mst::{MemoryBlocks, Tree};
use serde_json::json;

const COLLECTION: &str = "test.zap.note";
/// Records there are from the start: some levels of tree.
const RECORDS: usize = 200;
const WRITERS: usize = 4;
const READERS: usize = 8;
const FOR: Duration = Duration::from_secs(4);

async fn write(client: &mut Client, account: &Account, rkey: Option<&str>) {
    let record = json!({ "$type": COLLECTION, "text": "here" });
    let input = json!({ "repo": account.did, "collection": COLLECTION, "rkey": rkey, "record": record });
    let own = Some(account.authorization.as_str());
    client.post("com.atproto.repo.createRecord", own, &input).await.unwrap().success().unwrap();
}

/// What breaks: a proof whose commit is newer or older than its tree. It proves nothing, and comes with 200.
#[tokio::test]
async fn a_proof_that_is_read_beside_writers_is_whole() {
    let (_folder, zap) = super::start("warn").await;
    let account = create_account(&mut zap.client(), "alice.test").await.unwrap();
    for _ in 0..RECORDS {
        write(&mut zap.client(), &account, None).await;
    }
    write(&mut zap.client(), &account, Some("target")).await;
    let (is_over, proofs) = (AtomicBool::new(false), AtomicUsize::new(0));
    let writers = (0..WRITERS).map(async |_| {
        let mut client = zap.client();
        while !is_over.load(Ordering::Relaxed) {
            write(&mut client, &account, None).await;
        }
    });
    let readers = (0..READERS).map(async |_| {
        let (mut client, start) = (zap.client(), Instant::now());
        let did = &account.did;
        let path = format!("/xrpc/com.atproto.sync.getRecord?did={did}&collection={COLLECTION}&rkey=target");
        while start.elapsed() < FOR {
            let answer = client.get(&path, None).await.unwrap();
            answer.success().unwrap();
            verify(&answer.body);
            proofs.fetch_add(1, Ordering::Relaxed);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    tokio::join!(futures::future::join_all(writers), futures::future::join_all(readers));
    assert!(proofs.into_inner() > 100);
}

/// The commit leads to the record, by blocks that are all there.
fn verify(proof: &[u8]) {
    let limits = CarLimits { header_bytes: 999, section_bytes: 1 << 20, total_bytes: 1 << 24, blocks: 999 };
    let car = read_all(proof, limits).unwrap();
    let mut blocks = MemoryBlocks::new();
    for (cid, block) in car.blocks {
        blocks.insert(cid, block);
    }
    let commit = Commit::decode(blocks.get(&car.roots[0]).unwrap()).unwrap();
    let tree = Tree::open(&commit.data).unwrap();
    let record = tree.get(&blocks, &format!("{COLLECTION}/target")).unwrap_or_else(|error| panic!("{error}"));
    assert!(blocks.get(&record.unwrap()).is_some(), "the record is not among the blocks");
}
