//! What a stranger's token makes the server ask of others.

use serde_json::{Value, json};

use super::world::{Answer, World};
use crate::crypto::{SigningKey, jwt};

const CREATE_ACCOUNT: &str = "com.atproto.server.createAccount";
const ISSUER: &str = "did:web:elsewhere.example";
const DOCUMENT: &str = "https://elsewhere.example/.well-known/did.json";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]).unwrap()
}

/// A world where the issuer's document names `key`.
fn world(key: &SigningKey) -> World {
    let world = World::new();
    let multibase = key.did_key().trim_start_matches("did:key:").to_owned();
    let method =
        json!({"id": "#atproto", "type": "Multikey", "controller": ISSUER, "publicKeyMultibase": multibase});
    let document = json!({"id": ISSUER, "verificationMethod": [method]}).to_string();
    world.host.internet.documents.lock().unwrap().insert(DOCUMENT.to_owned(), document.into());
    world
}

/// A good token for createAccount, changed.
fn token(world: &World, key: &SigningKey, change: impl FnOnce(&mut Value)) -> String {
    let now_seconds = world.app.host.now_us() / 1_000_000;
    let aud = &world.app.network.service_did;
    let mut claims = json!({"iss": ISSUER, "aud": aud, "lxm": CREATE_ACCOUNT, "exp": now_seconds + 60});
    change(&mut claims);
    format!("Bearer {}", jwt::sign_es256k(&claims, key).unwrap())
}

async fn create(world: &World, token: &str) -> Answer {
    let input =
        json!({"handle": "bob.test", "did": ISSUER, "password": "correct horse", "email": "bob@example.com"});
    world.post(CREATE_ACCOUNT, token, input).await
}

/// How often the issuer's server was asked.
fn asked(world: &World) -> usize {
    world.host.internet.asked.lock().unwrap().iter().filter(|asked| asked.ends_with(DOCUMENT)).count()
}

#[tokio::test]
async fn what_is_wrong_without_its_signature_makes_nobody_ask() {
    let key = key(5);
    let world = world(&key);
    let good = token(&world, &key, |_| {});
    // Where no service token is taken.
    for path in [
        "com.atproto.server.getSession",
        "com.atproto.sync.getRepo?did=did:plc:abc",
        "agent.admin.listAgents",
    ] {
        assert!(world.get(path, &good).await.status.is_client_error(), "{path}");
    }
    let changes: [fn(&mut Value); 5] = [
        |claims| claims["aud"] = json!("did:web:other.example"),
        |claims| claims["lxm"] = json!("com.atproto.repo.uploadBlob"),
        |claims| claims["exp"] = json!(1_000_000_000),
        |claims| claims["exp"] = json!(253_370_764_800_i64),
        |claims| claims["iss"] = json!("did:example:nobody"),
    ];
    for change in changes {
        let answer = create(&world, &token(&world, &key, change)).await;
        assert!(answer.status.is_client_error(), "{}", answer.body);
    }
    assert_eq!(asked(&world), 0);
    create(&world, &good).await.ok();
    assert_eq!(asked(&world), 1);
}

#[tokio::test]
async fn a_signature_that_does_not_fit_asks_once_more_a_minute() {
    let (old, new) = (key(5), key(6));
    let world = world(&old);
    for _ in 0..3 {
        let forged = token(&world, &new, |_| {});
        assert_eq!(create(&world, &forged).await.error(), (400, "InvalidToken"));
    }
    assert_eq!(asked(&world), 2, "once for the document, and once for a newer one");
    // A key that has changed is found, when the minute is over.
    let multibase = new.did_key().trim_start_matches("did:key:").to_owned();
    let method =
        json!({"id": "#atproto", "type": "Multikey", "controller": ISSUER, "publicKeyMultibase": multibase});
    let document = json!({"id": ISSUER, "verificationMethod": [method]}).to_string();
    world.host.internet.documents.lock().unwrap().insert(DOCUMENT.to_owned(), document.into());
    world.host.now_us.fetch_add(61_000_000, std::sync::atomic::Ordering::Relaxed);
    create(&world, &token(&world, &new, |_| {})).await.ok();
    assert_eq!(asked(&world), 3);
}

/// What breaks: a document that names the promised key, and a repo that is signed with another.
#[tokio::test]
async fn an_account_that_comes_has_the_key_that_was_promised_for_it() {
    let key = key(5);
    let world = world(&key);
    let reserve = async |input: Value| {
        world.post("com.atproto.server.reserveSigningKey", "", input).await.ok()["signingKey"].clone()
    };
    let promised = reserve(json!({"did": ISSUER})).await;
    assert_eq!(reserve(json!({"did": ISSUER})).await, promised);
    assert_ne!(reserve(Value::Null).await, promised);
    let made = create(&world, &token(&world, &key, |_| {})).await.ok();
    let own = format!("Bearer {}", made["accessJwt"].as_str().unwrap());
    let wanted = world.get("com.atproto.identity.getRecommendedDidCredentials", &own).await.ok();
    assert_eq!(wanted["verificationMethods"]["atproto"], promised);
    assert_ne!(reserve(json!({"did": ISSUER})).await, promised, "it is the account's now");
}
