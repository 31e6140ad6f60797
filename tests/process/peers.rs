//! Other servers that do not answer, never end, or answer too much.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use harness::zap::{create_account, create_agent};
use harness::{Account, Answer, Client, Conduct, Peer, Zap};
use serde_json::{Value, json};
use zap::limits::FETCH_TIMEOUT_SECONDS;

/// What one exchange with another server may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(FETCH_TIMEOUT_SECONDS);
/// What else a refusal may take, on a busy machine.
const GRACE: Duration = Duration::from_secs(15);

/// What breaks: somebody else's server holds requests and connections of ours for as long as it likes.
#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let (_folder, zap) = super::start("info").await;
    let mut client = zap.client();
    let account = create_account(&mut client, "alice.test").await.unwrap();
    for conduct in [Conduct::Silent, Conduct::Dripping, Conduct::Flooding] {
        let peer = Peer::start(conduct).await.unwrap();
        let start = Instant::now();
        let asked = tokio::spawn(ask_about(zap.client(), zap.authority(), peer.address.port()));
        until(|| peer.unanswered() > 0).await;
        // Who waits for it keeps nobody else waiting.
        post(&mut client, &account).await.ok().unwrap();
        let was_waited_for = !asked.is_finished();
        let answer = asked.await.unwrap();
        let took = start.elapsed();
        assert_eq!(
            (answer.status, answer.error_name().as_str()),
            (502, "UpstreamFailure"),
            "{conduct:?}: {answer:?}"
        );
        assert!(took < FETCH_TIMEOUT + GRACE, "{conduct:?}: refused after {took:?}");
        if conduct != Conduct::Flooding {
            assert!(was_waited_for && took >= FETCH_TIMEOUT, "{conduct:?}: refused after {took:?} already");
        }
        until(|| peer.open() == 0).await;
    }
}

/// What breaks: a PLC directory that hangs leaves half an account, and the name can't be had again.
#[tokio::test]
async fn a_signup_that_the_plc_directory_does_not_answer_leaves_nothing() {
    let (_folder, first) = super::start("info").await;
    let peer = Peer::start(Conduct::Forward(first.plc_address)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let zap = first.start_with_plc(folder.path(), super::host("info"), peer.address).await.unwrap();
    let mut client = zap.client();
    let alice = create_agent(&mut client, "alice").await.unwrap();
    for (name, conduct) in [("bob", Conduct::Silent), ("carol", Conduct::Mute(first.plc_address))] {
        peer.behave(conduct);
        let start = Instant::now();
        let refused = tokio::spawn({
            let mut client = zap.client();
            async move { create_agent(&mut client, name).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        post(&mut client, &alice).await.ok().unwrap();
        assert!(!refused.is_finished(), "{name}: the directory was not asked");
        let refused = refused.await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("502") && refused.contains("UpstreamFailure"), "{name}: {refused}");
        assert!(start.elapsed() < 2 * FETCH_TIMEOUT + GRACE, "{name}: refused after {:?}", start.elapsed());
        let gone = client.get(&resolve(name), None).await.unwrap();
        assert_eq!(gone.status, 400, "{name} is there: {gone:?}");
        peer.behave(Conduct::Forward(first.plc_address));
        let agent = create_agent(&mut client, name).await.unwrap();
        let found = client.get(&resolve(name), None).await.unwrap().ok().unwrap();
        assert_eq!(found["did"], agent.did.as_str());
        let mut directory = Client::new(first.plc_address);
        directory.get(&format!("/{}", agent.did), None).await.unwrap().success().unwrap();
    }
    let repos = repos(&zap).await;
    assert_eq!(repos.len(), 3, "{repos:?}");
}

/// Has the server look up a did:web at this port: whose key a token is said to be signed with.
async fn ask_about(mut client: Client, host: String, port: u16) -> Answer {
    let issuer = format!("did:web:localhost%3A{port}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": issuer,
        "aud": format!("did:web:{}", host.replace(':', "%3A")),
        "lxm": "com.atproto.server.createAccount",
        "exp": now + 60,
    });
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(json!({ "alg": "ES256K", "typ": "JWT" }));
    let token = format!("Bearer {header}.{}.{}", part(claims), BASE64URL_NOPAD.encode(&[1; 64]));
    let input = json!({ "handle": "mallory.test", "did": issuer });
    client.post("com.atproto.server.createAccount", Some(&token), &input).await.unwrap()
}

async fn post(client: &mut Client, account: &Account) -> Answer {
    let record = json!({
        "$type": "app.bsky.feed.post", "text": "still here", "createdAt": "2026-01-01T00:00:00.000Z",
    });
    let input = json!({ "repo": account.did, "collection": "app.bsky.feed.post", "record": record });
    client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await.unwrap()
}

fn resolve(name: &str) -> String {
    format!("/xrpc/com.atproto.identity.resolveHandle?handle={name}.test")
}

async fn repos(zap: &Zap) -> Vec<Value> {
    let listed = zap.client().get("/xrpc/com.atproto.sync.listRepos", None).await.unwrap().ok().unwrap();
    listed["repos"].as_array().unwrap().clone()
}

/// Waits until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < GRACE, "not within {GRACE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
