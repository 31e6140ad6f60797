//! Requests that no client of ours would send, byte by byte.

use std::time::Duration;

use harness::Zap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: &str = "/xrpc/com.atproto.server.createSession";
const BODY: &str = r#"{"identifier":"x","password":"y"}"#;

/// What breaks: one stranger's bytes end the requests of all others.
#[tokio::test]
async fn whatever_a_stranger_sends_is_answered_and_hurts_nobody() {
    let (_folder, zap) = super::start("warn").await;
    let length = format!("Content-Type: application/json\r\nContent-Length: {}", BODY.len());
    let heads = [
        (format!("POST {METHOD} HTTP/1.1\r\n{length}\r\nX-Odd: a\u{7f}b"), 400..=400),
        (format!("POST {METHOD} HTTP/1.1\r\n{length}\r\nX-Odd: \u{e9}\u{2603}"), 400..=401),
        (format!("PROPFIND {METHOD} HTTP/1.1\r\n{length}"), 400..=501),
        (format!("POST /xrpc/`<>{{}} HTTP/1.1\r\n{length}"), 400..=404),
        (format!("POST /xrpc/{} HTTP/1.1\r\n{length}", "a".repeat(9_000)), 400..=414),
        (format!("POST {METHOD}?x=%ff%00 HTTP/1.1\r\n{length}"), 400..=401),
        (format!("POST {METHOD} HTTP/1.1\r\n{length}"), 401..=401),
    ];
    for (head, expected) in heads {
        let status =
            status(&zap, &format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n{BODY}")).await;
        let line: String = head.lines().next().unwrap().chars().take(80).collect();
        assert!(expected.contains(&status), "{line}: {status}");
        zap.client().get("/xrpc/_health", None).await.unwrap().success().unwrap();
    }
}

async fn status(zap: &Zap, request: &str) -> u16 {
    let mut stream = TcpStream::connect(zap.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let read =
        tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}
