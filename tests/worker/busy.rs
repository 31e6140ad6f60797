//! Clients that want too much at once: each is told to come again, and the others are served.

use std::time::{Duration, Instant};

use harness::zap::{create_account, create_agent};
use harness::{Build, wire};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::stream::post;

/// Sign-ins at the same time.
const SIGN_INS: usize = 150;
/// A write beside them. Hashing all their passwords takes longer.
const SERVED_WITHIN: Duration = Duration::from_secs(4);
/// What a stalled upload has sent, of the 16 MiB that it announces.
const UPLOADED_BYTES: usize = 12 * 1024 * 1024;
/// What a stalled record has sent.
const BODY_BYTES: usize = 990_000;
/// Who has stopped sending is told so.
const TOLD_WITHIN: Duration = Duration::from_secs(45);
/// The room for uploads, and what the runtime takes beside it.
const GROWTH_MAX: u64 = 130 * 1024 * 1024;

/// What breaks: whoever sends made-up passwords stops everybody's writes.
#[tokio::test]
async fn a_flood_of_sign_ins_is_sent_away_and_holds_up_no_write() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "writer.test").await.unwrap();
    post(&mut client, &account, "before").await;
    let address = zap.address;
    let sign_ins: Vec<_> = (0..SIGN_INS)
        .map(|number| {
            tokio::spawn(async move {
                let input = json!({ "identifier": format!("nobody{number}.test"), "password": "made up" });
                harness::Client::new(address)
                    .post("com.atproto.server.createSession", None, &input)
                    .await
                    .unwrap()
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut slowest = Duration::ZERO;
    for number in 0..5 {
        let start = Instant::now();
        // The runtime closes connections that were idle for some seconds.
        post(&mut zap.client(), &account, &format!("post {number}")).await;
        slowest = slowest.max(start.elapsed());
    }
    let mut statuses = Vec::new();
    for sign_in in sign_ins {
        let answer = sign_in.await.unwrap();
        if answer.status == 503 {
            assert_eq!(
                (answer.error_name().as_str(), answer.retry_after.is_some()),
                ("NotEnoughResources", true)
            );
        }
        statuses.push(answer.status);
    }
    let told = |status| statuses.iter().filter(|told| **told == status).count();
    eprintln!(
        "the slowest write took {slowest:?}; {} sign-ins were refused, {} sent away",
        told(401),
        told(503)
    );
    assert!(slowest < SERVED_WITHIN, "a write took {slowest:?}");
    assert_eq!(told(401) + told(503), SIGN_INS, "{statuses:?}");
    assert!(told(401) > 0 && told(503) > 0, "{statuses:?}");
}

/// What breaks: one address tries passwords as fast as it can.
#[tokio::test]
async fn an_address_tries_thirty_passwords_a_minute() {
    // The runtime's count alone, and not the directory's.
    let settings = [("rate-limits", "on".to_owned()), ("sign-in-limit", "off".to_owned())].into();
    let Some((_folder, zap)) = super::start_set(Build::Deployed, settings).await else { return };
    let body = json!({ "identifier": "nobody.test", "password": "made up" }).to_string();
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let request = format!(
            "POST /xrpc/com.atproto.server.createSession HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             cf-connecting-ip: 203.0.113.9\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        statuses.push(wire::status(&mut wire::send(zap.address, request).await.unwrap()).await);
    }
    assert!(statuses.contains(&401) && statuses[35..].iter().all(|status| *status == 429), "{statuses:?}");
}

/// What breaks: a few uploads that are held open take the memory of everybody's isolate, for ever.
#[tokio::test]
async fn uploads_that_are_held_open_are_bounded_together_and_ended() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let agent = create_agent(&mut zap.client(), "uploader").await.unwrap();
    let before = zap.usage().unwrap().resident_bytes;
    let start = Instant::now();
    let uploads: Vec<_> = (0..10)
        .map(|_| {
            let (address, authorization) = (zap.address, agent.authorization.clone());
            tokio::spawn(async move {
                let head = format!(
                    "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nhost: localhost\r\n\
                     authorization: {authorization}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
                    16 * 1024 * 1024
                );
                let (mut reads, mut writes) = wire::send(address, head).await.unwrap().into_split();
                // A refusal may come before all is sent.
                let sends = tokio::spawn(async move {
                    let sent = writes.write_all(&vec![7; UPLOADED_BYTES]).await;
                    (writes, sent.is_ok())
                });
                let told = tokio::time::timeout(TOLD_WITHIN, wire::head(&mut reads)).await;
                drop(sends);
                told.map(|(status, head)| (status, head.contains("retry-after")))
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let grown = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    eprintln!("10 uploads held open: {} MB more", grown / 1024 / 1024);
    assert!(grown < GROWTH_MAX, "{} MB more", grown / 1024 / 1024);
    let mut told = Vec::new();
    for upload in uploads {
        told.push(upload.await.unwrap().expect("an upload that stalls is ended"));
    }
    eprintln!("all were told within {:?}: {told:?}", start.elapsed());
    assert!(told.iter().all(|(status, retry)| *status == 408 || (*status == 503 && *retry)), "{told:?}");
    assert!(told.iter().any(|(status, _)| *status == 503), "{told:?}");
    // The room is free again.
    let blob = vec![7; UPLOADED_BYTES];
    let uploaded = zap
        .client()
        .send(
            hyper::Method::POST,
            "/xrpc/com.atproto.repo.uploadBlob",
            Some(&agent.authorization),
            Some("text/plain"),
            blob.into(),
        )
        .await;
    uploaded.unwrap().success().unwrap();
}

/// What breaks: bodies that say no length, or are small before they are decoded, go past what bodies may take.
#[tokio::test]
async fn bodies_without_a_length_are_bounded_together_and_ended_too() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let agent = create_agent(&mut zap.client(), "writer").await.unwrap();
    let start = Instant::now();
    let bodies: Vec<_> = (0..60)
        .map(|_| {
            let (address, authorization) = (zap.address, agent.authorization.clone());
            tokio::spawn(async move {
                let head = format!(
                    "POST /xrpc/com.atproto.repo.createRecord HTTP/1.1\r\nhost: localhost\r\n\
                     authorization: {authorization}\r\ncontent-type: application/json\r\n\
                     transfer-encoding: chunked\r\n\r\n{BODY_BYTES:x}\r\n"
                );
                let stream = wire::send(address, head).await.unwrap();
                let (mut reads, mut writes) = stream.into_split();
                let sends = tokio::spawn(async move {
                    let sent = writes.write_all(&[b" ".repeat(BODY_BYTES), b"\r\n".to_vec()].concat()).await;
                    (writes, sent.is_ok())
                });
                let told = tokio::time::timeout(TOLD_WITHIN, wire::head(&mut reads)).await;
                drop(sends);
                told.map(|(status, head)| (status, head.contains("retry-after")))
            })
        })
        .collect();
    let mut told = Vec::new();
    for body in bodies {
        told.push(body.await.unwrap().expect("a body that stalls is ended"));
    }
    eprintln!("all were told within {:?}: {told:?}", start.elapsed());
    assert!(told.iter().all(|(status, retry)| *status == 408 || (*status == 503 && *retry)), "{told:?}");
    assert!(told.iter().any(|(status, _)| *status == 503), "{told:?}");
    assert!(told.iter().filter(|(status, _)| *status == 408).count() > 20, "{told:?}");
}
