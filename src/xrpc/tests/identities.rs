//! Identities as others find them here, and handles that are still to be had.

use serde_bytes::ByteBuf;
use serde_json::json;

use super::world::{ADMIN, World, bearer};
use crate::directory::SignPlcOperation;
use crate::identity::Operation;
use crate::plc;

#[tokio::test]
async fn an_identity_is_found_by_both_of_its_names() {
    let world = World::new();
    let made = world.person("alice").await;
    let did = made["did"].as_str().unwrap();
    let document = world.get(&format!("com.atproto.identity.resolveDid?did={did}"), "").await.ok();
    assert_eq!(document["didDoc"]["id"], made["did"]);
    for name in [did, "alice.test", "ALICE.test"] {
        let path = format!("com.atproto.identity.resolveIdentity?identifier={name}");
        let found = world.get(&path, "").await.ok();
        assert_eq!((&found["did"], &found["handle"]), (&made["did"], &json!("alice.test")), "{name}");
        assert_eq!(found["didDoc"]["alsoKnownAs"], json!(["at://alice.test"]));
    }
    let resolve = async |name: &str| {
        world.get(&format!("com.atproto.identity.resolveIdentity?identifier={name}"), "").await
    };
    assert_eq!(resolve("nobody.test").await.error(), (400, "HandleNotFound"));
    assert_eq!(resolve("nobody.example.com").await.error(), (400, "HandleNotFound"));
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(resolve(nobody).await.error(), (400, "DidNotFound"));
    let missing = world.get(&format!("com.atproto.identity.resolveDid?did={nobody}"), "").await;
    assert_eq!(missing.error(), (400, "DidNotFound"));
}

#[tokio::test]
async fn a_handle_that_does_not_lead_back_is_said_to_be_invalid() {
    let world = World::new();
    let made = world.person("alice").await;
    let (did, own) = (made["did"].as_str().unwrap(), bearer(&made["accessJwt"]));
    let record = ("_atproto.alice.example.com".to_owned(), vec![format!("did={did}")]);
    world.host.internet.txt.lock().unwrap().extend([record]);
    let update = json!({"handle": "alice.example.com"});
    world.post("com.atproto.identity.updateHandle", &own, update).await.ok();
    // Another's name for her leads to her, and is not hers.
    let other = ("_atproto.other.example.com".to_owned(), vec![format!("did={did}")]);
    world.host.internet.txt.lock().unwrap().extend([other]);
    let path = "com.atproto.identity.resolveIdentity?identifier=other.example.com";
    let found = world.get(path, "").await.ok();
    assert_eq!((&found["did"], &found["handle"]), (&made["did"], &json!("alice.example.com")));
    let document_names = format!("com.atproto.identity.resolveIdentity?identifier={did}");
    assert_eq!(world.get(&document_names, "").await.ok()["handle"], json!("alice.example.com"));
}

#[tokio::test]
async fn an_identity_is_asked_for_anew_for_accounts_of_the_network_only() {
    let world = World::new();
    let made = world.person("alice").await;
    let (did, own) = (made["did"].as_str().unwrap(), bearer(&made["accessJwt"]));
    let refresh = async |who: &str| {
        world.post("com.atproto.identity.refreshIdentity", who, json!({"identifier": did})).await
    };
    assert_eq!(refresh("").await.error(), (401, "AuthMissing"));
    world.host.internet.asked.lock().unwrap().clear();
    let found = refresh(&own).await.ok();
    assert_eq!((&found["did"], &found["handle"]), (&made["did"], &json!("alice.test")));
    assert!(!world.host.internet.asked.lock().unwrap().is_empty(), "the directory is asked");
}

#[tokio::test]
async fn a_handle_that_is_taken_gets_free_ones_beside_it() {
    let world = World::new();
    world.person("alice").await;
    let check =
        async |query: &str| world.get(&format!("com.atproto.temp.checkHandleAvailability?{query}"), "").await;
    let free = check("handle=Bob.test&email=bob@example.com").await.ok();
    let available = "com.atproto.temp.checkHandleAvailability#resultAvailable";
    assert_eq!(free, json!({"handle": "bob.test", "result": {"$type": available}}));
    for taken in ["alice.test", "support.test"] {
        let answer = check(&format!("handle={taken}")).await.ok();
        let unavailable = "com.atproto.temp.checkHandleAvailability#resultUnavailable";
        assert_eq!(answer["result"]["$type"], json!(unavailable), "{taken}");
        let suggestions = answer["result"]["suggestions"].as_array().unwrap();
        assert_eq!(suggestions.len(), 3, "{taken}");
        for suggestion in suggestions {
            let handle = suggestion["handle"].as_str().unwrap();
            assert!(check(&format!("handle={handle}")).await.ok()["result"]["$type"] == json!(available));
        }
    }
    assert_eq!(check("handle=a.test").await.error(), (400, "InvalidHandle"));
    assert_eq!(check("handle=alice.example.com").await.error(), (400, "UnsupportedDomain"));
    assert_eq!(check("handle=bob.test&email=bob").await.error(), (400, "InvalidEmail"));
}

#[tokio::test]
async fn nobody_waits_to_sign_up() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let answer = world.get("com.atproto.temp.checkSignupQueue", &own).await.ok();
    assert_eq!(answer, json!({"activated": true}));
}

/// What breaks: a document that came to name another key stays so, and all that the account writes is worthless to others;
/// or the operator makes it so.
#[tokio::test]
async fn the_operator_mends_the_key_of_a_document_and_gives_it_no_other() {
    const METHOD: &str = "com.atproto.admin.updateAccountSigningKey";
    const OTHER: &str = "did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w";
    let world = World::new();
    let made = world.person("alice").await;
    let did = made["did"].as_str().unwrap();
    let key = |world: &World| world.host.document(did)["verificationMethod"][0]["publicKeyMultibase"].clone();
    let own = key(&world);
    // Somebody with a rotation key of the document does this.
    let log: Vec<Operation> = serde_json::from_value(world.host.ask_plc(&format!("/{did}/log"))).unwrap();
    let mut next = log.last().unwrap().successor().unwrap();
    next.set_signing_key(OTHER);
    let unsigned = ByteBuf::from(Operation::Plc(next.clone()).to_cbor().unwrap());
    let signature = world.app.directory(SignPlcOperation { unsigned }).await.unwrap();
    next.sig = data_encoding::BASE64URL_NOPAD.encode(&signature);
    let body = Operation::Plc(next).to_json().unwrap();
    let path = format!("/{did}");
    let request = plc::Request { method: "POST", path: &path, query: "", body: body.as_bytes() };
    let now_us = world.host.now_us.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.host.internet.ask_plc(now_us, &request).status, 200);
    assert_ne!(key(&world), own);

    let ask =
        async |did: &str, key: &str| world.post(METHOD, ADMIN, json!({"did": did, "signingKey": key})).await;
    assert_eq!(ask(did, OTHER).await.error(), (400, "InvalidRequest"));
    assert_ne!(key(&world), own, "nothing was done");
    let own_key = format!("did:key:{}", own.as_str().unwrap());
    assert_eq!(ask("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", &own_key).await.error(), (400, "AccountNotFound"));
    world.host.internet.plc_is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(ask(did, &own_key).await.error(), (502, "UpstreamFailure"));
    world.host.internet.plc_is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    ask(did, &own_key).await.ok();
    assert_eq!(key(&world), own);
    assert_eq!(world.host.heard(did).last().unwrap(), "identity alice.test");
    let length = || world.host.ask_plc(&format!("/{did}/log")).as_array().unwrap().len();
    assert_eq!(length(), 3);
    ask(did, &own_key).await.ok();
    assert_eq!(length(), 3, "nothing was left to do");
    let body = json!({"did": did, "signingKey": own_key});
    assert_eq!(world.post(METHOD, &bearer(&made["accessJwt"]), body).await.status.as_u16(), 401);
}
