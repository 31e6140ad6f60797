//! What ends with what proves an account's owner.

use serde_json::{Value, json};

use super::world::{ADMIN, World, bearer};

const RECALL: &str = "agent.memory.recall?q=tea";

struct Agent {
    did: String,
    token: Value,
}

async fn alice(world: &World) -> Agent {
    let made = world.post("agent.admin.createAgent", ADMIN, json!({"name": "alice"})).await.ok();
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "tea at four"}});
    world.post("agent.memory.remember", &bearer(&made["token"]), memory).await.ok();
    Agent { did: made["did"].as_str().unwrap().to_owned(), token: made["token"].clone() }
}

async fn sign_in(world: &World, agent: &Agent, password: &Value) -> Value {
    let login = json!({"identifier": agent.did, "password": password});
    world.post("com.atproto.server.createSession", "", login).await.ok()
}

#[tokio::test]
async fn a_revoked_app_password_reads_no_memory_any_more() {
    let world = World::new();
    let agent = alice(&world).await;
    let own = bearer(&agent.token);
    let input = json!({"name": "reader", "vault": true});
    let made = world.post("com.atproto.server.createAppPassword", &own, input).await.ok();
    let session = sign_in(&world, &agent, &made["password"]).await;
    let access = bearer(&session["accessJwt"]);
    assert_eq!(world.get(RECALL, &access).await.ok()["results"].as_array().unwrap().len(), 1);
    world.post("com.atproto.server.revokeAppPassword", &own, json!({"name": "reader"})).await.ok();
    // As clients are told to refresh, which then fails.
    assert_eq!(world.get(RECALL, &access).await.error(), (400, "ExpiredToken"));
    let refresh = bearer(&session["refreshJwt"]);
    let refused = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
    assert_eq!(refused.error(), (400, "ExpiredToken"));
    assert_eq!(world.get(RECALL, &own).await.ok()["results"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_closed_session_opens_nothing_and_the_others_go_on() {
    let world = World::new();
    let agent = alice(&world).await;
    let [closed, other] =
        [sign_in(&world, &agent, &agent.token).await, sign_in(&world, &agent, &agent.token).await];
    let refresh = bearer(&closed["refreshJwt"]);
    world.post("com.atproto.server.deleteSession", &refresh, Value::Null).await.ok();
    for (nsid, input) in [
        ("agent.vault.export", json!({"passphrase": "correct horse battery"})),
        ("com.atproto.server.createAppPassword", json!({"name": "late"})),
    ] {
        let answer = world.post(nsid, &bearer(&closed["accessJwt"]), input).await;
        assert_eq!(answer.error(), (400, "ExpiredToken"), "{nsid}");
    }
    // What everyone may read of the account needs no question to the directory.
    world.get("com.atproto.server.getSession", &bearer(&closed["accessJwt"])).await.ok();
    let refresh = bearer(&other["refreshJwt"]);
    let next = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await.ok();
    world.get(RECALL, &bearer(&next["accessJwt"])).await.ok();
}

/// What breaks: an account that comes back gives to old tokens what they opened before.
#[tokio::test]
async fn a_token_from_before_the_account_was_replaced_opens_nothing() {
    let world = World::new();
    let agent = alice(&world).await;
    let session = sign_in(&world, &agent, &agent.token).await;
    let access = bearer(&session["accessJwt"]);
    let passphrase = "correct horse battery";
    let archive = world.post("agent.vault.export", &access, json!({"passphrase": passphrase})).await.ok();
    world.post("com.atproto.server.deactivateAccount", &access, json!({})).await.ok();
    let import = json!({"manifest": archive["manifest"], "passphrase": passphrase});
    world.post("agent.admin.importAgent", ADMIN, import).await.ok();
    assert_eq!(world.get(RECALL, &access).await.error(), (400, "ExpiredToken"));
}
