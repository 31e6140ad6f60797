//! kill -9 at random moments under load, many times: what was answered is there, what was deleted stays deleted, and
//! the repos and the event stream tell the same story.
//!
//! `CRASH_ROUNDS` sets the number of kills (10), `CRASH_SEED` repeats the moments of a run.

mod settings;
mod writers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::zap::{create_account, create_agent};
use harness::{Account, Client, Zap};

use self::settings::Setter;
use self::writers::{Expected, Writer};
use crate::firehose::{self, Commit};
use crate::mishaps::verify_repo;
use crate::random::{Random, number, seed};

/// What breaks: an answered write is lost, a deleted one is back, or the firehose lacks or repeats a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_by_kill_9() {
    let rounds: u32 = number("CRASH_ROUNDS").unwrap_or(10) as u32;
    let seed = seed("CRASH_SEED");
    eprintln!("{rounds} kills, CRASH_SEED={seed}");
    let mut random = Random::new(seed);

    let (_folder, mut zap) = super::start("warn").await;
    let mut client = zap.client();
    let mut writers = Vec::new();
    for index in 0..3 {
        let account = create_account(&mut client, &format!("crash{index}.test")).await.unwrap();
        writers.push(Writer::of_posts(account, random.fork()));
    }
    for index in 0..3 {
        let agent = create_agent(&mut client, &format!("agent{index}")).await.unwrap();
        writers.push(Writer::of_memories(agent, random.fork()));
    }
    let accounts: Vec<Account> = writers.iter().map(|writer| writer.account.clone()).collect();
    let live = Arc::new(Mutex::new(BTreeMap::new()));

    for _ in 0..rounds {
        let writing: Vec<_> =
            writers.drain(..).map(|writer| tokio::spawn(writer.run(zap.client()))).collect();
        let cursor = live.lock().unwrap().last_key_value().map_or(0, |(seq, _)| *seq);
        let subscriber = firehose::subscribe(&zap, Some(cursor)).await.unwrap();
        let listening = tokio::spawn(listen(subscriber, Arc::clone(&live)));
        tokio::time::sleep(Duration::from_millis(random.between(100, 1500))).await;
        zap.kill().unwrap();
        for task in writing {
            writers.push(task.await.unwrap());
        }
        listening.await.unwrap();
        zap.restart().await.unwrap();
    }

    let frames = firehose::backfill(&zap, &accounts).await;
    firehose::verify(&zap, &frames).await;
    let commits: Vec<Commit> = frames.iter().filter_map(|frame| firehose::commit(frame)).collect();
    check_stream(&commits, &live.lock().unwrap());
    let mut answered = 0;
    for writer in &writers {
        answered += writer.expected.len();
        check_revs(&commits, writer);
        check_records(&zap, writer).await;
        verify_repo(&zap, &writer.account);
    }
    eprintln!("{answered} keys answered for, {} commits on the stream", commits.len());
    assert!(answered > rounds as usize, "the writers hardly wrote");
}

/// What breaks: a takedown or a preference that was answered is gone, or the directory and the account disagree on one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_owners_and_administrators_set_outlives_kill_9() {
    let rounds: u32 = number("CRASH_ROUNDS").unwrap_or(10) as u32;
    let seed = seed("CRASH_SEED");
    eprintln!("{rounds} kills, CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let (_folder, mut zap) = super::start("warn").await;
    let mut client = zap.client();
    let mut accounts = Vec::new();
    for name in ["down.test", "record.test", "set.test"] {
        accounts.push(create_account(&mut client, name).await.unwrap());
    }
    let [down, record, set] = <[Account; 3]>::try_from(accounts).unwrap();
    let mut setters =
        vec![Setter::account(down), Setter::record(&mut client, record).await, Setter::preferences(set)];
    for _ in 0..rounds {
        let setting: Vec<_> =
            setters.drain(..).map(|setter| tokio::spawn(setter.run(zap.client(), random.fork()))).collect();
        tokio::time::sleep(Duration::from_millis(random.between(50, 800))).await;
        zap.kill().unwrap();
        for task in setting {
            setters.push(task.await.unwrap());
        }
        zap.restart().await.unwrap();
        for setter in &mut setters {
            setter.check(&zap).await;
        }
    }
    for setter in &setters {
        setter.check_told(&zap).await;
    }
    let times: Vec<u64> = setters.iter().map(Setter::times).collect();
    assert!(times.iter().all(|times| *times > u64::from(rounds)), "hardly anything was set: {times:?}");
}

/// Collects what a live subscriber sees until the server dies.
async fn listen(mut subscriber: harness::Subscriber, seen: Arc<Mutex<BTreeMap<i64, Commit>>>) {
    while let Ok(frames) = subscriber.next().await {
        if frames.is_empty() {
            return;
        }
        for commit in frames.iter().filter_map(|frame| firehose::commit(frame)) {
            let mut seen = seen.lock().unwrap();
            let last = seen.last_key_value().map_or(0, |(seq, _)| *seq);
            assert!(commit.seq > last, "seq {} came after {last}", commit.seq);
            seen.insert(commit.seq, commit);
        }
    }
}

/// The log from the start: each revision once, each after the one it names, under rising numbers, and the same
/// numbers that the live subscriber saw.
fn check_stream(commits: &[Commit], live: &BTreeMap<i64, Commit>) {
    let mut last_seq = 0;
    let mut last_rev: HashMap<&str, &str> = HashMap::new();
    for commit in commits {
        assert!(commit.seq > last_seq, "seq {} after {last_seq}", commit.seq);
        last_seq = commit.seq;
        let before = last_rev.insert(&commit.did, &commit.rev);
        assert_eq!(commit.since.as_deref(), before, "{commit:?} does not follow on what came before");
        assert!(before.is_none_or(|before| before < commit.rev.as_str()), "{commit:?} after {before:?}");
    }
    let log: BTreeMap<i64, &Commit> = commits.iter().map(|commit| (commit.seq, commit)).collect();
    for (seq, commit) in live {
        assert_eq!(log.get(seq), Some(&commit), "seq {seq} was another commit before a restart");
    }
}

/// Every answered commit is on the stream.
fn check_revs(commits: &[Commit], writer: &Writer) {
    let revs: Vec<&str> = commits
        .iter()
        .filter(|commit| commit.did == writer.account.did)
        .map(|commit| commit.rev.as_str())
        .collect();
    for rev in &writer.revs {
        assert!(revs.binary_search(&rev.as_str()).is_ok(), "{} was answered at {rev}", writer.account.handle);
    }
}

/// Every record is as it was answered, and beyond those there are only the ones whose answer was lost.
async fn check_records(zap: &Zap, writer: &Writer) {
    let mut client = zap.client();
    let present = list(&mut client, writer).await;
    for (rkey, expected) in &writer.expected {
        let found = present.get(rkey);
        let holds = match expected {
            Expected::Present(cid) => found == Some(cid),
            Expected::Absent => found.is_none(),
            // The answer to the last write was lost: either state is right, nothing in between.
            Expected::Unsure(before) => found.is_none_or(|cid| cid == before) || writer.updates(rkey),
        };
        assert!(holds, "{}: {rkey} should be {expected:?}, is {found:?}", writer.account.handle);
        if writer.keeps_memories {
            let uri = format!("at://{}/{}/{rkey}", writer.account.did, writer.collection());
            let path = format!("/xrpc/agent.memory.get?uri={uri}");
            let opened = client.get(&path, Some(&writer.account.authorization)).await.unwrap().status == 200;
            assert_eq!(opened, found.is_some(), "{rkey} is {found:?}, but opens: {opened}");
        }
    }
    let strangers = present.keys().filter(|rkey| !writer.expected.contains_key(*rkey)).count();
    assert!(strangers <= writer.lost_creates, "{strangers} records nobody wrote");
}

async fn list(client: &mut Client, writer: &Writer) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!(
            "/xrpc/com.atproto.repo.listRecords?repo={}&collection={}&limit=100{cursor}",
            writer.account.did,
            writer.collection()
        );
        let page = client.get(&path, None).await.unwrap().ok().unwrap();
        for record in page["records"].as_array().unwrap() {
            let rkey = record["uri"].as_str().unwrap().rsplit('/').next().unwrap();
            found.insert(rkey.to_owned(), record["cid"].as_str().unwrap().to_owned());
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}
