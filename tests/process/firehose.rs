//! The event stream as a stranger reads it.

use std::collections::HashMap;
use std::time::Duration;

use harness::{Account, Client, Subscriber, Zap};
use zap::crypto::VerifyingKey;
use zap::event::Event;
use zap::event::verify::{Severity, Verifier, signer};

pub(crate) const SUBSCRIBE: &str = "/xrpc/com.atproto.sync.subscribeRepos";
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);

/// A commit on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) seq: i64,
    pub(crate) did: String,
    pub(crate) rev: String,
    pub(crate) since: Option<String>,
}

/// The commit in a frame; `None` for other events.
pub(crate) fn commit(frame: &[u8]) -> Option<Commit> {
    match Event::decode(frame).unwrap() {
        Event::Commit { seq, body, .. } => Some(Commit {
            seq,
            did: body.repo.to_owned(),
            rev: body.rev.to_owned(),
            since: body.since.map(str::to_owned),
        }),
        Event::Error { error, .. } => panic!("the stream ends with {error}"),
        _ => None,
    }
}

/// Whether a frame says of an account that it is active; `None` for all else.
pub(crate) fn is_active(frame: &[u8], of: &str) -> Option<bool> {
    match Event::decode(frame).unwrap() {
        Event::Account { body, .. } => (body.did == of).then_some(body.active),
        _ => None,
    }
}

pub(crate) async fn subscribe(zap: &Zap, cursor: Option<i64>) -> anyhow::Result<Subscriber> {
    let cursor = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
    Subscriber::connect(zap.address, &format!("{SUBSCRIBE}{cursor}")).await
}

/// All frames from cursor 0 until each of these repos has come to its newest revision.
pub(crate) async fn backfill(zap: &Zap, accounts: &[Account]) -> Vec<Vec<u8>> {
    let mut client = zap.client();
    let mut awaited = HashMap::new();
    for account in accounts {
        awaited.insert(account.did.clone(), latest_rev(&mut client, &account.did).await);
    }
    let mut frames = Vec::new();
    let mut subscriber = subscribe(zap, Some(0)).await.unwrap();
    let read = async {
        let mut last_seq = None;
        while !awaited.is_empty() {
            let next = subscriber.next().await.unwrap();
            assert!(!next.is_empty(), "the server closed the stream");
            for frame in next {
                let event = Event::decode(&frame).unwrap();
                last_seq = event.seq().or(last_seq);
                let (did, rev) = match event {
                    Event::Commit { body, .. } => (body.repo, body.rev),
                    Event::Sync { body, .. } => (body.did, body.rev),
                    // The Worker says so to everybody after some megabytes.
                    Event::Error { error: "ConsumerTooSlow", .. } if last_seq.is_some() => {
                        subscriber = subscribe(zap, last_seq).await.unwrap();
                        break;
                    }
                    Event::Error { error, .. } => panic!("the stream ends with {error}"),
                    _ => ("", ""),
                };
                if awaited.get(did).is_some_and(|awaited| awaited == rev) {
                    awaited.remove(did);
                }
                frames.push(frame);
            }
        }
    };
    let done = tokio::time::timeout(ARRIVE_WITHIN, read).await;
    assert!(done.is_ok(), "not on the stream within {ARRIVE_WITHIN:?}: {awaited:?}");
    frames
}

pub(crate) async fn latest_rev(client: &mut Client, did: &str) -> String {
    let path = format!("/xrpc/com.atproto.sync.getLatestCommit?did={did}");
    let latest = client.get(&path, None).await.unwrap().ok().unwrap();
    latest["rev"].as_str().unwrap().to_owned()
}

/// Holds the whole stream against the protocol: encodings, signatures, proofs, and that events follow on one another.
pub(crate) async fn verify(zap: &Zap, frames: &[Vec<u8>]) {
    let now_us = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
    let mut verifier = Verifier::new();
    let mut keys = HashMap::new();
    for (index, frame) in frames.iter().enumerate() {
        let event = Event::decode(frame).unwrap();
        let key = match signer(&event) {
            Some(did) => {
                if !keys.contains_key(did) {
                    keys.insert(did.to_owned(), signing_key(zap, did).await);
                }
                Ok(&keys[did])
            }
            None => Err("not asked for"),
        };
        let findings = verifier.check(frame, now_us, key);
        let violations: Vec<_> =
            findings.iter().filter(|finding| finding.severity() == Severity::Violation).collect();
        assert!(violations.is_empty(), "frame {index}, seq {:?}: {violations:?}", event.seq());
    }
}

async fn signing_key(zap: &Zap, did: &str) -> VerifyingKey {
    find_signing_key(&mut Client::new(zap.plc_address), did).await.unwrap().unwrap()
}

/// The key that the PLC directory names; `None` when it does not know the account.
pub(crate) async fn find_signing_key(plc: &mut Client, did: &str) -> anyhow::Result<Option<VerifyingKey>> {
    let answer = plc.get(&format!("/{did}"), None).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    let document = answer.ok()?;
    let methods = document["verificationMethod"].as_array().unwrap();
    let method = methods.iter().find(|method| method["id"].as_str().unwrap().ends_with("#atproto")).unwrap();
    Ok(Some(VerifyingKey::from_multikey(method["publicKeyMultibase"].as_str().unwrap()).unwrap()))
}

/// What breaks: a question about the stream takes a place of those who read it, and nobody reads there.
#[tokio::test]
async fn only_a_get_opens_the_stream() {
    let (_folder, zap) = super::start("warn").await;
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (method, status) in [(http::Method::HEAD, 426), (http::Method::GET, 101)] {
        let answer = zap.client().send_with(method.clone(), SUBSCRIBE, &headers, "").await.unwrap();
        assert_eq!(answer.status, status, "{method}");
    }
}
