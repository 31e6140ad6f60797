//! The event stream as a stranger reads it.

use std::collections::HashMap;
use std::time::Duration;

use harness::{Account, Client, Subscriber, Zap};
use zap::crypto::VerifyingKey;
use zap::event::Event;
use zap::event::verify::{Severity, Verifier, signer};

const SUBSCRIBE: &str = "/xrpc/com.atproto.sync.subscribeRepos";
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
        while !awaited.is_empty() {
            let next = subscriber.next().await.unwrap();
            assert!(!next.is_empty(), "the server closed the stream");
            for commit in next.iter().filter_map(|frame| commit(frame)) {
                if awaited.get(&commit.did) == Some(&commit.rev) {
                    awaited.remove(&commit.did);
                }
            }
            frames.extend(next);
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
    let mut plc = Client::new(zap.plc_address);
    let document = plc.get(&format!("/{did}"), None).await.unwrap().ok().unwrap();
    let methods = document["verificationMethod"].as_array().unwrap();
    let method = methods.iter().find(|method| method["id"].as_str().unwrap().ends_with("#atproto")).unwrap();
    VerifyingKey::from_multikey(method["publicKeyMultibase"].as_str().unwrap()).unwrap()
}
