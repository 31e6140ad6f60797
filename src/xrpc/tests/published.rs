//! Lexicons that are published here, and references to scopes.

use serde_json::{Value, json};

use super::world::{World, bearer};

const RESOLVE: &str = "com.atproto.lexicon.resolveLexicon?nsid=com.example.auth";

async fn publish(world: &World, made: &Value, record: &Value) -> Value {
    let body = json!({"repo": made["did"], "collection": "com.atproto.lexicon.schema", "rkey": "com.example.auth",
        "record": record});
    world.post("com.atproto.repo.putRecord", &bearer(&made["accessJwt"]), body).await.ok()
}

/// What breaks: who asks for a lexicon gets another one, or none while there is one.
#[tokio::test]
async fn a_lexicon_is_found_where_its_domain_says() {
    let world = World::new();
    let made = world.person("alice").await;
    let did = made["did"].as_str().unwrap();
    assert_eq!(world.get(RESOLVE, "").await.error(), (400, "LexiconNotFound"));
    let bad = world.get("com.atproto.lexicon.resolveLexicon?nsid=x", "").await;
    assert_eq!(bad.error(), (400, "InvalidRequest"));
    world
        .host
        .internet
        .txt
        .lock()
        .unwrap()
        .insert("_lexicon.example.com".to_owned(), vec![format!("did={did}")]);
    let schema = json!({"$type": "com.atproto.lexicon.schema", "lexicon": 1, "id": "com.example.auth",
        "defs": {"main": {"type": "token"}}});
    let put = publish(&world, &made, &schema).await;
    // What was not there is not asked for again for a minute.
    assert_eq!(world.get(RESOLVE, "").await.error(), (400, "LexiconNotFound"));
    world.host.now_us.fetch_add(61_000_000, std::sync::atomic::Ordering::Relaxed);
    let found = world.get(RESOLVE, "").await.ok();
    assert_eq!(found, json!({"uri": put["uri"], "cid": put["cid"], "schema": schema}));
}

/// What breaks: a taken down account goes on saying what a namespace is.
#[tokio::test]
async fn who_is_not_active_publishes_nothing() {
    let world = World::new();
    let made = world.person("alice").await;
    let did = made["did"].as_str().unwrap();
    world
        .host
        .internet
        .txt
        .lock()
        .unwrap()
        .insert("_lexicon.example.com".to_owned(), vec![format!("did={did}")]);
    let schema =
        json!({"$type": "com.atproto.lexicon.schema", "lexicon": 1, "id": "com.example.auth", "defs": {}});
    publish(&world, &made, &schema).await;
    let deactivate = "com.atproto.server.deactivateAccount";
    world.post(deactivate, &bearer(&made["accessJwt"]), json!({})).await.ok();
    assert_eq!(world.get(RESOLVE, "").await.error(), (400, "LexiconNotFound"));
    let asked = world.host.internet.asked.lock().unwrap();
    assert!(
        !asked.iter().any(|asked| asked.contains("sync.getRecord")),
        "nor is it asked of itself: {asked:?}"
    );
}

/// Tokens of here say what they allow themselves.
#[tokio::test]
async fn there_are_no_references_to_scopes() {
    let world = World::new();
    let answer = world.get("com.atproto.temp.dereferenceScope?scope=ref:abc", "").await;
    assert_eq!(answer.error(), (400, "InvalidScopeReference"));
}
