//! Limits of a running server, as what stands before it says whose requests they are.

use harness::zap::create_account;
use harness::{Answer, Client, Settings, Zap};
use serde_json::json;

const DESCRIBE: &str = "/xrpc/com.atproto.server.describeServer";

async fn start(folder: &std::path::Path) -> Zap {
    let settings = [
        ("rate-limits", "on"),
        ("request-limit", "5/1h"),
        ("sign-in-limit", "3/1h"),
        ("write-limit", "10/1h"),
    ];
    let settings: Settings = settings.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    super::start_in(folder, "warn", settings).await
}

async fn ask(client: &mut Client) -> (u16, String) {
    let answer = client.get(DESCRIBE, None).await.unwrap();
    (answer.status, header(&answer, "ratelimit-remaining"))
}

fn header(answer: &Answer, name: &str) -> String {
    answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// What breaks: one client takes all there is, or one that is limited is not told how.
#[tokio::test]
async fn an_address_has_so_many_requests_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let zap = start(folder.path()).await;
    let mut one = zap.client().coming_from("192.0.2.1");
    for left in ["4", "3", "2", "1", "0"] {
        assert_eq!(ask(&mut one).await, (200, left.to_owned()));
    }
    let refused = one.get(DESCRIBE, None).await.unwrap();
    assert_eq!((refused.status, refused.error_name().as_str()), (429, "RateLimitExceeded"));
    assert_eq!(header(&refused, "ratelimit-policy"), "5;w=3600");
    assert!((700..=720).contains(&refused.retry_after.clone().unwrap().parse().unwrap()), "{refused:?}");
    assert_eq!(header(&refused, "access-control-expose-headers"), "*", "a page in a browser may read it");
    // An IPv6 line is one client, and others are others.
    let mut line = zap.client().coming_from("2001:db8:1:2::1");
    assert_eq!(ask(&mut line).await, (200, "4".to_owned()));
    let mut same = zap.client().coming_from("2001:db8:1:2:3:4:5:6");
    assert_eq!(ask(&mut same).await, (200, "3".to_owned()));
    // Who looks after the server is not counted, and neither is this machine.
    for _ in 0..10 {
        one.get("/xrpc/_health", None).await.unwrap().success().unwrap();
        zap.client().get(DESCRIBE, None).await.unwrap().success().unwrap();
    }
}

/// What breaks: passwords are guessed as fast as they are hashed, or a restart gives writes away.
#[tokio::test]
async fn passwords_and_writes_are_limited_on_either_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut zap = start(folder.path()).await;
    let alice = create_account(&mut zap.client(), "alice.test").await.unwrap();
    let mut guesser = zap.client().coming_from("192.0.2.7");
    let guess = json!({ "identifier": "alice.test", "password": "guess" });
    for expected in [401, 401, 401, 429] {
        let answer = guesser.post("com.atproto.server.createSession", None, &guess).await.unwrap();
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    let sign_in = json!({ "identifier": "alice.test", "password": "correct horse" });
    let mut owner = zap.client().coming_from("192.0.2.8");
    owner.post("com.atproto.server.createSession", None, &sign_in).await.unwrap().success().unwrap();

    let record = json!({ "$type": "test.zap.note", "text": "x" });
    let input = json!({ "repo": alice.did, "collection": "test.zap.note", "record": record });
    for expected in [200, 200, 200, 429] {
        let answer =
            zap.client().post("com.atproto.repo.createRecord", Some(&alice.authorization), &input).await;
        assert_eq!(answer.unwrap().status, expected);
    }
    zap.kill().unwrap();
    zap.restart().await.unwrap();
    let answer = zap.client().post("com.atproto.repo.createRecord", Some(&alice.authorization), &input).await;
    assert_eq!(answer.unwrap().error_name(), "RateLimitExceeded");
}
