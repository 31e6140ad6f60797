//! Strangers who want the server to stop serving others: one of their ways alone, and all of them at once, while what can
//! happen to a server happens.
//!
//! `ADVERSARY_SEED` repeats what comes in which order, though not at which moment. In a round, everything comes once;
//! `ADVERSARY_SECONDS` is how long further rounds are begun.

mod faults;
mod follower;
mod honest;
mod kept;
mod misfortunes;
mod newcomers;
mod schedule;
mod strangers;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::zap::create_account;
use serde_json::json;

use self::schedule::Schedule;
use self::world::World;
use crate::random::{Random, number, seed};

/// Who signs in at once, under names that nobody has.
const SIGN_INS: usize = 300;
/// What they may make the server take on: some hashes at a time, of 19 MiB each, and their connections.
const GROWTH_BYTES_MAX: u64 = 300 * 1024 * 1024;
/// How long a write of somebody else may take meanwhile, on a machine that tests share.
const WRITE_WITHIN: Duration = Duration::from_secs(1);

/// How long rounds are begun: one on a machine of two cores, and two of the Worker's, which are shorter.
const SECONDS: u64 = 30;

/// What breaks: 500 of them take 4 GB, and hold everybody up.
#[tokio::test]
async fn a_flood_of_sign_ins_takes_no_memory_and_holds_nobody_up() {
    if super::on_worker() {
        return; // An isolate hashes one password at a time.
    }
    let (_folder, zap) = super::start("warn").await;
    let account = create_account(&mut zap.client(), "alice.test").await.unwrap();
    let before = zap.usage().unwrap().resident_bytes;
    let login = json!({ "identifier": "nobody.test", "password": "wrong horse" });
    // From so many addresses that each has its share.
    let flood = join_all((0..SIGN_INS).map(async |number| {
        let mut client = zap.client().coming_from(&format!("192.0.2.{}", number % 60));
        let answer = client.post("com.atproto.server.createSession", None, &login).await.unwrap();
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

/// What breaks: whatever holds alone and not together. An answered write that is lost when a full disk meets a kill; a
/// stranger's flood in which a restart comes to nothing; a stuck log that is taken for a backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_together_the_honest_are_answered_and_keep_what_they_were_told() {
    let seed = seed("ADVERSARY_SEED");
    let seconds = number("ADVERSARY_SECONDS").unwrap_or(SECONDS);
    let again = format!(
        "ADVERSARY_SEED={seed} ADVERSARY_SECONDS={seconds} cargo test --test process adversary -- --nocapture"
    );
    eprintln!("{again}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut diary = Diary::begin(again, folder.path().join("server.log"));
    let mut world = World::begin(folder.path(), random.fork()).await;
    let mut schedule = Schedule::new(random.fork(), world.zap.is_worker(), world.disk.is_some());
    let start = Instant::now();
    while let Some(step) = schedule.next(start.elapsed().as_secs() >= seconds) {
        diary.note(format!("{:>4} MiB  {step:?}", world.bytes() >> 20));
        world.meet(step).await;
    }
    diary.note("the end".to_owned());
    world.end().await;
    eprintln!("{} steps in {:?}", diary.steps.len() - 1, diary.start.elapsed());
}

/// What came so far: told when the test fails.
struct Diary {
    /// The command that repeats it.
    again: String,
    start: Instant,
    steps: Vec<String>,
    log: PathBuf,
}

impl Diary {
    fn begin(again: String, log: PathBuf) -> Self {
        Self { again, start: Instant::now(), steps: Vec::new(), log }
    }

    fn note(&mut self, step: String) {
        let line = format!("{:>6.1} s  {:>3}  {step}", self.start.elapsed().as_secs_f32(), self.steps.len());
        eprintln!("{line}");
        self.steps.push(line);
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let last = |lines: Vec<&str>, most: usize| lines[lines.len().saturating_sub(most)..].join("\n");
        let steps = last(self.steps.iter().map(String::as_str).collect(), 8);
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let log = last(log.lines().collect(), 25);
        eprintln!(
            "\nAfter {:.1?}, in the last of these steps:\n{steps}\n\nThe server's log ends so:\n{log}\n\n{} repeats the steps.",
            self.start.elapsed(),
            self.again
        );
    }
}
