//! Subscribers that do not read.

use std::time::Duration;

use harness::zap::create_account;
use harness::{Account, Build, Client, Subscriber, Zap};
use serde_json::json;
use zap::event::Event;

/// What may wait on one connection.
const CONNECTION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// One page of a backfill more, or one event.
const OVER: usize = 1024 * 1024;
/// Bytes of one record; its commit's event has a little more.
const PAGE_BYTES: usize = 400_000;
/// Three connections' worth, written twice.
const PAGES: usize = 64;
/// What all together may hold, and what the runtime takes beside it.
const GROWTH_MAX: u64 = 110 * 1024 * 1024;

async fn pages(client: &mut Client, account: &Account) {
    for number in 0..PAGES {
        let record =
            json!({ "$type": "com.example.page", "text": format!("{number} {}", "x".repeat(PAGE_BYTES)) });
        let input = json!({ "repo": account.did, "collection": "com.example.page", "record": record });
        let answer = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await;
        answer.unwrap().success().unwrap();
    }
}

/// As many connections hold as much as counts as lost.
const LOST_CONNECTIONS: usize = 5;
/// There is room again within this time.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// Those that hold too much are closed one after the other, and have thirty seconds to answer.
const DROPPED_WITHIN: Duration = Duration::from_secs(100);

async fn subscribe_from(zap: &Zap, address: &str, cursor: Option<i64>) -> anyhow::Result<Subscriber> {
    let cursor = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
    let path = format!("/xrpc/com.atproto.sync.subscribeRepos{cursor}");
    Subscriber::connect_with(zap.address, &path, &format!("cf-connecting-ip: {address}\r\n")).await
}

/// Eight that read nothing of all there is, from so many addresses; fewer where the first ones hold all there may be before
/// the last one has come.
async fn hoarders(zap: &Zap, addresses: usize) -> Vec<Subscriber> {
    let mut hoarders = Vec::new();
    for number in 0..8 {
        match subscribe_from(zap, &format!("203.0.113.{}", number % addresses), Some(0)).await {
            Ok(hoarder) => hoarders.push(hoarder),
            Err(refused) => assert!(refused.to_string().contains(" 503 "), "{refused}"),
        }
    }
    hoarders
}

/// Comes until an event has come: the object that it comes to may be about to start anew, or be full for now.
async fn is_served(zap: &Zap, address: String) {
    loop {
        if let Ok(mut socket) = subscribe_from(zap, &address, Some(0)).await
            && let Ok(Ok(frames)) = tokio::time::timeout(Duration::from_secs(5), socket.next()).await
            && !frames.is_empty()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What one connection brings until it ends, or has brought nothing for five seconds: the numbers of its events, its
/// bytes, and the error it ended with.
async fn all_of(mut socket: Subscriber) -> (Vec<i64>, usize, Option<String>) {
    let (mut seqs, mut bytes, mut error) = (Vec::new(), 0, None);
    while let Ok(frames) = tokio::time::timeout(Duration::from_secs(5), socket.next()).await {
        let frames = frames.unwrap();
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            bytes += frame.len();
            match Event::decode(&frame).unwrap() {
                Event::Error { error: name, .. } => error = Some(name.to_owned()),
                event => seqs.extend(event.seq()),
            }
        }
    }
    (seqs, bytes, error)
}

/// What breaks: a few connections that nobody reads from take the memory of the object that serves everybody.
#[tokio::test]
async fn what_waits_for_subscribers_that_do_not_read_is_bounded_and_who_comes_back_misses_nothing() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "author.test").await.unwrap();
    // So that what the writes themselves take is there before.
    pages(&mut client, &account).await;
    let mut live = Vec::new();
    for number in 0..8 {
        live.push(subscribe_from(&zap, &format!("198.51.100.{number}"), None).await.unwrap());
    }
    let before = zap.usage().unwrap().resident_bytes;
    pages(&mut client, &account).await;
    let behind = hoarders(&zap, 8).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let grown = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    eprintln!("16 subscribers that do not read: {} MB more", grown / 1024 / 1024);
    assert!(grown < GROWTH_MAX, "{} MB more", grown / 1024 / 1024);
    drop(behind);
    for socket in live {
        let (seqs, bytes, error) = all_of(socket).await;
        assert!(bytes < CONNECTION_BYTES_MAX + OVER, "{bytes} bytes on one connection");
        assert_eq!(error.as_deref(), Some("ConsumerTooSlow"), "after {} events", seqs.len());
    }

    let (mut seqs, mut connections) = (Vec::new(), 0);
    loop {
        let cursor = seqs.last().copied().unwrap_or(0);
        let (more, bytes, error) =
            all_of(subscribe_from(&zap, "192.0.2.1", Some(cursor)).await.unwrap()).await;
        assert!(bytes < CONNECTION_BYTES_MAX + OVER, "{bytes} bytes on one connection");
        assert!(!more.is_empty(), "no event after {cursor}: {error:?}");
        seqs.extend(more);
        connections += 1;
        if error.is_none() {
            break;
        }
    }
    assert!(connections > 5, "all came on {connections} connections");
    assert!(seqs.is_sorted_by(|a, b| a < b), "something came twice");
    // What made the account comes along.
    assert!((2 * PAGES..2 * PAGES + 5).contains(&seqs.len()), "{} events", seqs.len());
}

/// What breaks: those who never read keep what they hold, and nobody else can subscribe any more.
#[tokio::test]
async fn when_those_who_never_read_hold_too_much_they_are_dropped_and_the_others_come_back() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "author.test").await.unwrap();
    pages(&mut client, &account).await;
    let mut reader = subscribe_from(&zap, "192.0.2.1", None).await.unwrap();
    let hoarders = hoarders(&zap, 2).await;
    assert!(hoarders.len() >= LOST_CONNECTIONS, "{} connections", hoarders.len());
    let ended =
        tokio::time::timeout(DROPPED_WITHIN, async { while reader.read(|_| {}).await.unwrap_or(false) {} });
    assert!(ended.await.is_ok(), "they hold it for good");
    let log = std::fs::read_to_string(&zap.log).unwrap();
    assert!(
        log.contains("subscribers that do not read hold too much"),
        "the reader was sent away for nothing"
    );
    // There is room again, for the reader and as many as before, who come back until they are served.
    let served = (0..8).map(|number| is_served(&zap, format!("192.0.2.{number}")));
    let all_served = futures::future::join_all(served);
    tokio::time::timeout(SERVED_WITHIN, all_served).await.expect("nobody can come back");
    drop(hoarders);
}

/// What breaks: one machine takes all subscriptions.
#[tokio::test]
async fn an_address_has_four_subscriptions_and_a_closed_one_makes_room() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(subscribe_from(&zap, "2001:db8:1:2::5", None).await.unwrap());
    }
    // The same customer's network.
    let refused = subscribe_from(&zap, "2001:db8:1:2:3:4:5:6", None).await.unwrap_err().to_string();
    assert!(refused.contains(" 503 "), "{refused}");
    subscribe_from(&zap, "2001:db8:1:3::5", None).await.unwrap();
    open.pop();
    tokio::time::sleep(Duration::from_secs(2)).await;
    subscribe_from(&zap, "2001:db8:1:2::5", None).await.unwrap();
}
