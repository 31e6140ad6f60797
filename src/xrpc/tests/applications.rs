//! What applications may, of all that is served: with a token that lacks just what a method needs, and with it.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::world::World;
use crate::auth::{Access, Apps};
use crate::testing::Program;
use crate::xrpc::endpoints;

const AUD: &str = "did:web:localhost%253A2583%23atproto_pds";

/// What a call needs that depends on its input: an input, and the scope that is just enough.
fn by_input(nsid: &str, did: &Value) -> (String, Value, &'static str) {
    let record = json!({"$type": "com.example.thing", "text": "hello"});
    let one = json!({"repo": did, "collection": "com.example.thing", "rkey": "self", "record": record});
    let create = json!({"$type": "com.atproto.repo.applyWrites#create", "collection": "com.example.thing", "value": record});
    let path = format!("/xrpc/{nsid}");
    match nsid {
        "com.atproto.repo.createRecord" => (path, one, "repo:com.example.thing?action=create"),
        "com.atproto.repo.putRecord" => (path, one, "repo:com.example.thing?action=create&action=update"),
        "com.atproto.repo.deleteRecord" => (path, one, "repo:com.example.thing?action=delete"),
        "com.atproto.repo.applyWrites" => {
            (path, json!({"repo": did, "writes": [create]}), "repo:com.example.thing?action=create")
        }
        // As JSON is sent here, that is the blob's type.
        "com.atproto.repo.uploadBlob" => (path, json!({"a": "blob"}), "blob:application/json"),
        "com.atproto.server.getServiceAuth" => (
            format!("{path}?aud=did:web:api.test%23svc&lxm=com.example.get"),
            Value::Null,
            "rpc:com.example.get?aud=did:web:api.test%23svc",
        ),
        other => panic!("{other} is open to applications by its input: say here what it needs"),
    }
}

/// What breaks: an application does what nobody granted, or can't do what was granted.
#[tokio::test]
async fn every_method_needs_what_it_says_of_an_application() {
    let all = "atproto repo:* blob:*/* account:email?action=manage account:repo?action=manage \
        account:status?action=manage identity:* transition:generic transition:email transition:chat.bsky";
    let mut tried = [0; 5];
    for endpoint in endpoints() {
        let nsid = endpoint.nsid;
        let world = World::new();
        let did = world.person("alice").await["did"].clone();
        let mut number = 0;
        let mut call = async |scope: &str, path: String, body: Value| {
            let mut program = Program::new(&world.app, scope);
            number += 1;
            program.verifier = format!("{number:0>43}");
            let tokens = program.tokens(scope, "alice.test", "correct horse").await;
            program.call(endpoint.method.clone(), &path, &tokens, body).await
        };
        let plain = || {
            (format!("/xrpc/{nsid}"), if endpoint.method == Method::POST { json!({}) } else { Value::Null })
        };
        if !matches!(endpoint.access, Access::Account | Access::AccountFull | Access::Vault) {
            // What needs no account of here may be called by anybody, or is for others.
            assert_eq!(endpoint.apps, Apps::Never, "{nsid}");
            continue;
        }
        let (path, body) = plain();
        match endpoint.apps {
            Apps::Never => {
                tried[0] += 1;
                let refused = call(all, path, body).await;
                assert_eq!(refused.error(), (403, "Forbidden".to_owned()), "{nsid}");
            }
            Apps::Any => {
                tried[1] += 1;
                let answer = call("atproto", path, body).await;
                assert!(answer.status.is_success(), "{nsid}: {}", answer.text);
            }
            Apps::With(need) => {
                tried[2] += 1;
                let enough = need.to_string();
                let less: Vec<_> =
                    all.split(' ').filter(|one| !crate::oauth::Scope::parse(one).allows(&need)).collect();
                let refused = call(&less.join(" "), path.clone(), body.clone()).await;
                assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "{nsid}");
                let answer = call(&format!("atproto {enough}"), path, body).await;
                assert_ne!(answer.status.as_u16(), 403, "{nsid} with {enough}: {}", answer.text);
            }
            Apps::ByName => {
                tried[3] += 1;
                // What is private is granted by its name alone.
                let other = "rpc:agent.memory.other?aud=* rpc:com.example.other?aud=*";
                let less = if nsid.starts_with("agent.") {
                    format!("{all} rpc:*?aud={AUD} {other}")
                } else {
                    format!("atproto repo:* account:repo?action=manage identity:* {other}")
                };
                let refused = call(&less, path.clone(), body.clone()).await;
                assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "{nsid}");
                let answer = call(&format!("atproto rpc:{nsid}?aud={AUD}"), path, body).await;
                assert!(![401, 403].contains(&answer.status.as_u16()), "{nsid}: {}", answer.text);
            }
            Apps::ByInput => {
                tried[4] += 1;
                let (path, body, enough) = by_input(nsid, &did);
                // All others that are as narrow, and nothing broad.
                let others = "repo:com.example.other repo:com.example.thing?action=delete blob:image/* \
                    rpc:com.example.other?aud=* account:email identity:handle";
                let others: Vec<_> = others.split_whitespace().filter(|one| *one != enough).collect();
                let less = format!("atproto {}", others.join(" "));
                let refused = call(&less, path.clone(), body.clone()).await;
                assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "{nsid}");
                let answer = call(&format!("atproto {enough}"), path, body).await;
                assert!(answer.status.is_success(), "{nsid} with {enough}: {}", answer.text);
            }
        }
    }
    assert!(tried.iter().all(|tried| *tried > 0), "of each kind there is one: {tried:?}");
}

#[tokio::test]
async fn an_application_writes_nothing_into_the_vault_and_overwrites_nothing_unasked() {
    let world = World::new();
    let did = world.person("alice").await["did"].clone();
    let mut program = Program::new(&world.app, "atproto repo:* repo:agent.vault.sealed transition:generic");
    let tokens = program
        .tokens("atproto repo:* repo:agent.vault.sealed transition:generic", "alice.test", "correct horse")
        .await;
    for nsid in
        ["com.atproto.repo.createRecord", "com.atproto.repo.putRecord", "com.atproto.repo.deleteRecord"]
    {
        let body = json!({"repo": did, "collection": "agent.vault.sealed", "rkey": "a", "record": {"$type": "agent.vault.sealed"}});
        let refused = program.call(Method::POST, &format!("/xrpc/{nsid}"), &tokens, body).await;
        assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "{nsid}");
    }
    let mut program = Program::new(&world.app, "atproto repo:com.example.thing?action=create");
    program.verifier = "x".repeat(43);
    let scope = "atproto repo:com.example.thing?action=create";
    let tokens = program.tokens(scope, "alice.test", "correct horse").await;
    let body = json!({"repo": did, "collection": "com.example.thing", "rkey": "self", "record": {"$type": "com.example.thing"}});
    let refused = program.call(Method::POST, "/xrpc/com.atproto.repo.putRecord", &tokens, body.clone()).await;
    assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "it could overwrite");
    program.call(Method::POST, "/xrpc/com.atproto.repo.createRecord", &tokens, body).await.ok();
    // Before a byte of it is kept, whatever it may be.
    let refused = program.call(Method::POST, "/xrpc/com.atproto.repo.uploadBlob", &tokens, Value::Null).await;
    assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "no blob at all is its");
}

#[tokio::test]
async fn an_address_is_seen_by_those_who_were_granted_it() {
    let world = World::new();
    world.person("alice").await;
    for (number, (scope, expected)) in [
        ("atproto", Value::Null),
        ("atproto account:email", json!("alice@example.com")),
        ("atproto transition:email", json!("alice@example.com")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut program = Program::new(&Arc::clone(&world.app), scope);
        program.verifier = format!("{number:0>43}");
        let tokens = program.tokens(scope, "alice.test", "correct horse").await;
        let path = "/xrpc/com.atproto.server.getSession";
        let session = program.call(Method::GET, path, &tokens, Value::Null).await.ok();
        assert_eq!(session["email"], expected, "{scope}");
    }
}
