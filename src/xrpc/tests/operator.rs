//! What the operator's token opens: agents, and nobody's memories.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{ADMIN, World, bearer};
use crate::archive::Manifest;
use crate::auth::Access;
use crate::lexicon::Bytes;

const PASSPHRASE: &str = "correct horse battery";
const RECALL: &str = "agent.memory.recall?q=canary";
const CANARY: &str = "canary in the coal mine";

/// An agent that knows the canary.
struct Agent {
    did: String,
    own: String,
}

async fn agent(world: &World, name: &str) -> Agent {
    let made = world.post("agent.admin.createAgent", ADMIN, json!({"name": name})).await.ok();
    let agent = Agent { did: made["did"].as_str().unwrap().to_owned(), own: bearer(&made["token"]) };
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": CANARY}});
    world.post("agent.memory.remember", &agent.own, memory).await.ok();
    agent
}

/// Every text in an answer, wherever it is.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Whether anything in an answer opens the agent's memories: said outright, as a token, or as an archive under a
/// passphrase that the operator chose.
async fn opens(world: &World, agent: &Agent, answer: &Value) -> bool {
    for text in texts(answer) {
        if text.contains(CANARY) {
            return true;
        }
        let authorization = format!("Bearer {text}");
        let is_a_header = http::HeaderValue::try_from(&authorization).is_ok();
        if is_a_header && world.get(RECALL, &authorization).await.body.to_string().contains(CANARY) {
            return true;
        }
    }
    let manifest = serde_json::from_value(answer["manifest"].clone()).ok();
    let manifest = manifest.and_then(|Bytes(block)| Manifest::decode(&block).ok());
    manifest.is_some_and(|manifest| {
        let key = manifest.kdf.derive(PASSPHRASE).unwrap();
        manifest.did.as_str() == agent.did && manifest.open(&key).is_ok()
    })
}

/// What the operator may ask of each method that knows the operator. A new one has to be added.
fn asked(agent: &Agent, archive: &Value) -> BTreeMap<&'static str, Value> {
    let did = &agent.did;
    BTreeMap::from([
        ("agent.admin.createAgent", json!({"name": "alice"})),
        ("agent.admin.listAgents", json!({})),
        ("agent.admin.getAgent", json!({"agent": did})),
        ("agent.admin.importAgent", json!({"manifest": archive, "passphrase": PASSPHRASE})),
        ("agent.admin.importRecords", json!({"did": did})),
        ("agent.admin.importBlob", json!({"did": did})),
        ("agent.admin.finishImport", json!({"did": did, "commit": {"$bytes": "oA"}})),
        ("agent.admin.deleteAgent", json!({"agent": did})),
        ("com.atproto.admin.deleteAccount", json!({"did": did})),
        ("com.atproto.admin.getAccountInfo", json!({"did": did})),
        ("com.atproto.admin.getAccountInfos", json!({"dids": did})),
        ("com.atproto.admin.searchAccounts", json!({})),
        ("com.atproto.admin.sendEmail", json!({"recipientDid": did, "content": "hello"})),
        ("com.atproto.admin.updateAccountEmail", json!({"account": did, "email": "eve@example.com"})),
        ("com.atproto.admin.updateAccountHandle", json!({"did": did, "handle": "alicia.test"})),
        ("com.atproto.admin.updateAccountPassword", json!({"did": did, "password": PASSPHRASE})),
        (
            "com.atproto.admin.updateAccountSigningKey",
            json!({"did": did, "signingKey": "did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w"}),
        ),
        ("com.atproto.admin.getSubjectStatus", json!({"did": did})),
        (
            "com.atproto.admin.updateSubjectStatus",
            json!({
                "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": did}, "deactivated": {"applied": false},
            }),
        ),
        ("com.atproto.admin.getInviteCodes", json!({})),
        ("com.atproto.admin.enableAccountInvites", json!({"account": did})),
        ("com.atproto.admin.disableAccountInvites", json!({"account": did})),
        ("com.atproto.admin.disableInviteCodes", json!({"accounts": [did]})),
        ("com.atproto.temp.revokeAccountCredentials", json!({"account": did})),
        ("com.atproto.server.createInviteCode", json!({"useCount": 1, "forAccount": did})),
        (
            "com.atproto.server.createInviteCodes",
            json!({"codeCount": 1, "useCount": 1, "forAccounts": [did]}),
        ),
    ])
}

#[tokio::test]
async fn the_operator_opens_nobodys_memories() {
    for endpoint in crate::xrpc::endpoints() {
        let nsid = endpoint.nsid;
        let world = World::new();
        let (alice, bob) = (agent(&world, "alice").await, agent(&world, "bob").await);
        let archive = json!({"passphrase": PASSPHRASE});
        let archive = world.post("agent.vault.export", &bob.own, archive).await.ok();
        assert!(opens(&world, &bob, &archive).await, "the test sees what an archive opens");
        let inputs = asked(&alice, &archive["manifest"]);
        assert_eq!(
            inputs.contains_key(nsid),
            endpoint.access == Access::Admin,
            "{nsid} in the list of this test"
        );
        let everything = json!({
            "agent": alice.did, "did": alice.did, "repo": alice.did, "identifier": alice.did, "q": "canary",
            "passphrase": PASSPHRASE, "collection": "agent.vault.sealed", "name": "alice", "password": "letmein",
        });
        let input = inputs.get(nsid).unwrap_or(&everything);
        let query: Vec<String> = match input {
            Value::Object(fields) => fields
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
                .collect(),
            _ => Vec::new(),
        };
        let path = format!("{nsid}?{}", query.join("&").replace(' ', "%20"));
        let answer = match endpoint.method {
            http::Method::GET => world.get(&path, ADMIN).await,
            _ => world.post(nsid, ADMIN, input.clone()).await,
        };
        assert!(!opens(&world, &alice, &answer.body).await, "{nsid} opens: {}", answer.body);
        if nsid != "agent.admin.deleteAgent" && nsid != "com.atproto.admin.deleteAccount" {
            let own = world.get(RECALL, &alice.own).await.ok();
            assert!(opens(&world, &alice, &own).await, "{nsid}: hers is still there, and the test sees it");
        }
    }
}

#[tokio::test]
async fn an_agent_is_told_of_each_archive() {
    let world = World::new();
    let alice = agent(&world, "alice").await;
    let status = async || world.get("agent.vault.status", &alice.own).await.ok();
    assert_eq!(status().await, json!({"epoch": 1, "keys": 1, "exports": []}));
    for moving in [false, true] {
        let input = json!({"passphrase": PASSPHRASE, "move": moving});
        world.post("agent.vault.export", &alice.own, input).await.ok();
    }
    let exports = status().await["exports"].clone();
    let moves: Vec<_> = exports.as_array().unwrap().iter().map(|export| export["move"].clone()).collect();
    assert_eq!(moves, [json!(true), json!(false)], "the newest first");
}

#[tokio::test]
async fn every_method_declares_itself_once_and_refuses_strangers() {
    let world = World::new();
    let mut seen = std::collections::HashSet::new();
    for endpoint in crate::xrpc::endpoints() {
        assert!(seen.insert(endpoint.nsid), "{} is there twice", endpoint.nsid);
        if matches!(endpoint.access, Access::Public | Access::Optional | Access::OptionalService) {
            continue;
        }
        let answer = if endpoint.method == http::Method::GET {
            world.get(endpoint.nsid, "").await
        } else {
            world.post(endpoint.nsid, "", Value::Null).await
        };
        assert_eq!(answer.error(), (401, "AuthMissing"), "{}", endpoint.nsid);
    }
}
