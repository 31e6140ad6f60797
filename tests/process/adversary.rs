//! Strangers who want the server to stop serving others: each test is one of their ways.

use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::zap::create_account;
use serde_json::json;

/// Who signs in at once, under names that nobody has.
const SIGN_INS: usize = 300;
/// What they may make the server take on: some hashes at a time, of 19 MiB each, and their connections.
const GROWTH_BYTES_MAX: u64 = 300 * 1024 * 1024;
/// How long a write of somebody else may take meanwhile, on a machine that tests share.
const WRITE_WITHIN: Duration = Duration::from_secs(1);

/// What breaks: 500 of them take 4 GB, and hold everybody up.
#[tokio::test]
async fn a_flood_of_sign_ins_takes_no_memory_and_holds_nobody_up() {
    let (_folder, zap) = super::start("warn").await;
    if zap.is_worker() {
        return; // An isolate hashes one password at a time.
    }
    let account = create_account(&mut zap.client(), "alice.test").await.unwrap();
    let before = zap.usage().unwrap().resident_bytes;
    let login = json!({ "identifier": "nobody.test", "password": "wrong horse" });
    let flood = join_all((0..SIGN_INS).map(async |_| {
        let answer = zap.client().post("com.atproto.server.createSession", None, &login).await.unwrap();
        (answer.status, answer.retry_after.is_some())
    }));
    let writes = async {
        let mut client = zap.client();
        let (mut slowest, mut most) = (Duration::ZERO, 0);
        for _ in 0..20 {
            let record =
                json!({ "repo": account.did, "collection": "test.zap.note", "record": { "text": "here" } });
            let start = Instant::now();
            let own = Some(account.authorization.as_str());
            client.post("com.atproto.repo.createRecord", own, &record).await.unwrap().success().unwrap();
            slowest = slowest.max(start.elapsed());
            most = most.max(zap.usage().unwrap().resident_bytes);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (slowest, most)
    };
    let (answers, (slowest, most)) = tokio::join!(flood, writes);
    let count = |wanted: (u16, bool)| answers.iter().filter(|answer| **answer == wanted).count();
    let (refused, told_to_wait) = (count((401, false)), count((503, true)));
    assert_eq!(refused + told_to_wait, SIGN_INS, "{answers:?}");
    assert!(refused > 0 && told_to_wait > 0, "{refused} refused, {told_to_wait} told to wait");
    assert!(slowest < WRITE_WITHIN, "a write took {slowest:?}");
    assert!(most < before + GROWTH_BYTES_MAX, "from {before} to {most} bytes");
}
