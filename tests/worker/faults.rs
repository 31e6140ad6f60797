//! A runtime that fails as it may: every alarm rings twice, side by side, and once more; the sequencer does not answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::zap::{create_account, create_agent};
use harness::{Build, Client, Conduct, Peer, Zap};
use hyper::Method;
use zap::testing::{Fault, Kind, Step};

use super::stream::{commits_until, post, subscribe};

/// The agent gives the sequencer up after ten seconds and tries again by an alarm in ten more.
const TRIED_AGAIN_WITHIN: Duration = Duration::from_secs(45);
/// More than the agent holds in memory, and more than one batch.
const POSTS: usize = 130;
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// What the alarms of a signup that was cut short take: one in thirty seconds.
const RESUMED_WITHIN: Duration = Duration::from_secs(90);

/// What breaks: relays miss what agents wrote while the sequencer was away, or get it twice when its answer was lost.
#[tokio::test]
async fn events_come_once_when_the_sequencer_does_not_answer_and_alarms_ring_twice() {
    let Some((_folder, zap)) = super::start(Build::Faulty).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "steady.test").await.unwrap();
    let mut live = subscribe(&zap, None).await;
    let mut revs = vec![post(&mut client, &account, "before").await];
    // The commit that made the account may come along.
    assert_eq!(commits_until(&mut live, &revs[0]).await.last(), revs.last());
    for (round, fault) in [Fault::Deaf, Fault::Mute].into_iter().enumerate() {
        fail(&mut client, fault).await;
        let mut sent = Vec::new();
        for number in 0..POSTS {
            let start = Instant::now();
            sent.push(post(&mut client, &account, &format!("post {number}")).await);
            assert!(start.elapsed() < ANSWERED_WITHIN, "{fault:?}: a write waits for the sequencer");
        }
        let mut come = Vec::new();
        if fault == Fault::Mute {
            // A mute sequencer takes the first, at least, and says so only to its subscribers.
            come = commits_until(&mut live, &sent[0]).await;
        }
        logged(&zap, "the sequencer does not answer", round + 1).await;
        fail(&mut client, Fault::None).await;
        if !come.contains(&sent[POSTS - 1]) {
            come.extend(commits_until(&mut live, &sent[POSTS - 1]).await);
        }
        assert_eq!(come, sent, "{fault:?}");
        revs.extend(sent);
    }
    logged(&zap, "an alarm of an agent rang twice", 2).await;
    let last = post(&mut client, &account, "after").await;
    assert_eq!(commits_until(&mut live, &last).await, std::slice::from_ref(&last), "something came twice");
    revs.push(last);
    // The first is the commit that made the account.
    let kept = commits_until(&mut subscribe(&zap, Some(0)).await, &revs[revs.len() - 1]).await;
    assert_eq!(kept[1..], revs);
}

/// What breaks: after one fault of ours nobody is answered until the runtime ends.
#[tokio::test]
async fn a_module_that_traps_starts_anew() {
    let Some((_folder, zap)) = super::start(Build::Testing).await else { return };
    let account = create_account(&mut zap.client(), "steady.test").await.unwrap();
    let mut live = subscribe(&zap, None).await;
    let (mut client, mut revs) = (zap.client(), Vec::new());
    let step = |step| Bytes::from(serde_ipld_dagcbor::to_vec(&(Kind::Account, step)).unwrap());
    let path = "/testing/TESTING/traps";
    for round in 0..3 {
        revs.push(post(&mut client, &account, &format!("round {round}")).await);
        let trapped = client.send(Method::POST, path, None, None, step(Step::Trap)).await.unwrap();
        let said = String::from_utf8_lossy(&trapped.body);
        assert!(trapped.status == 500 && !said.contains("stale"), "round {round}: {said}");
        let works = client.send(Method::POST, path, None, None, step(Step::Insert)).await.unwrap();
        assert_eq!(works.status, 200, "round {round}: {}", String::from_utf8_lossy(&works.body));
        revs.push(post(&mut client, &account, "all is well").await);
    }
    assert!(commits_until(&mut live, &revs[5]).await.ends_with(&revs), "a subscriber hears on");
    logged(&zap, "the module trapped", 3).await;
}

/// What breaks: an account that a stop cut short is made twice, or its handle is lost.
#[tokio::test]
async fn a_signup_is_finished_once_though_two_alarms_finish_it() {
    let Some((_folder, first)) = super::start(Build::Faulty).await else { return };
    let peer = Peer::start(Conduct::Forward(first.plc_address)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut zap = first.start_with_plc(folder.path(), first.host.clone(), peer.address).await.unwrap();
    create_agent(&mut zap.client(), "alice").await.unwrap();
    peer.behave(Conduct::Silent);
    let cut_short = tokio::spawn({
        let mut client = zap.client();
        async move { create_agent(&mut client, "bob").await }
    });
    let start = Instant::now();
    while peer.unanswered() == 0 {
        assert!(start.elapsed() < ANSWERED_WITHIN, "the PLC directory was not asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    zap.kill().unwrap();
    cut_short.await.unwrap().unwrap_err();
    peer.behave(Conduct::Forward(first.plc_address));
    zap.restart().await.unwrap();
    let mut live = subscribe(&zap, Some(0)).await;
    let start = Instant::now();
    let mut client = zap.client();
    let bob = loop {
        let found =
            client.get("/xrpc/com.atproto.identity.resolveHandle?handle=bob.test", None).await.unwrap();
        if found.status == 200 {
            break found.ok().unwrap()["did"].as_str().unwrap().to_owned();
        }
        assert!(start.elapsed() < RESUMED_WITHIN, "{found:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    logged(&zap, "an alarm of the directory rang twice", 1).await;
    let repos = client.get("/xrpc/com.atproto.sync.listRepos", None).await.unwrap().ok().unwrap();
    assert_eq!(repos["repos"].as_array().unwrap().len(), 2, "{repos}");
    let latest = format!("/xrpc/com.atproto.sync.getLatestCommit?did={bob}");
    let rev = client.get(&latest, None).await.unwrap().ok().unwrap()["rev"].as_str().unwrap().to_owned();
    assert_eq!(commits_until(&mut live, &rev).await.len(), 2, "one commit for each account");
}

async fn fail(client: &mut Client, fault: Fault) {
    let body = serde_ipld_dagcbor::to_vec(&fault).unwrap();
    let path = "/testing/SEQUENCER/sequencer";
    let told = client.send(hyper::Method::POST, path, None, None, body.into()).await.unwrap();
    told.success().unwrap();
}

/// Waits until the server has logged this so many times.
async fn logged(zap: &Zap, what: &str, times: usize) {
    let start = Instant::now();
    while std::fs::read_to_string(&zap.log).unwrap().matches(what).count() < times {
        assert!(start.elapsed() < TRIED_AGAIN_WITHIN, "{what} is not in the log {times} times");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
