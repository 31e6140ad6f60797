//! Requests that no client of ours would send, byte by byte.

use harness::wire;

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
        let request = format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n{BODY}");
        let status = wire::status(&mut wire::send(zap.address, request).await.unwrap()).await;
        let line: String = head.lines().next().unwrap().chars().take(80).collect();
        assert!(expected.contains(&status), "{line}: {status}");
        zap.client().get("/xrpc/_health", None).await.unwrap().success().unwrap();
    }
}
