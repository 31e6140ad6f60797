//! What ends with what proves an account's owner.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::Bytes;
use futures::channel::mpsc;
use http::{Method, header};
use serde_json::{Value, json};

use super::world::{ADMIN, World, bearer};
use crate::auth::Access::{Account, AccountFull, Vault};
use crate::xrpc::Endpoint;

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

/// What breaks: each call for a name that is none has all apps of the account refresh their tokens.
#[tokio::test]
async fn revoking_what_is_not_there_ends_no_token() {
    let world = World::new();
    let alice = world.person("alice").await;
    let own = bearer(&alice["accessJwt"]);
    let revoke = "com.atproto.server.revokeAppPassword";
    world.post("com.atproto.server.createAppPassword", &own, json!({"name": "phone"})).await.ok();
    world.post(revoke, &own, json!({"name": "none"})).await.ok();
    world.get("com.atproto.server.getSession", &own).await.ok();
    world.post(revoke, &own, json!({"name": "phone"})).await.ok();
    assert_eq!(world.get("com.atproto.server.getSession", &own).await.error(), (400, "ExpiredToken"));
}

/// What breaks: a credential that was taken back destroys the keys of memories, and acts at other servers.
#[tokio::test]
async fn what_was_revoked_writes_nothing_and_makes_no_service_token() {
    let world = World::new();
    let agent = alice(&world).await;
    let own = bearer(&agent.token);
    let input = json!({"name": "writer", "vault": true});
    let made = world.post("com.atproto.server.createAppPassword", &own, input).await.ok();
    let access = bearer(&sign_in(&world, &agent, &made["password"]).await["accessJwt"]);
    world.post("com.atproto.server.revokeAppPassword", &own, json!({"name": "writer"})).await.ok();

    let list = format!("com.atproto.repo.listRecords?repo={}&collection=agent.vault.sealed", agent.did);
    let sealed = world.get(&list, "").await.ok();
    let rkey = sealed["records"][0]["uri"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
    let delete = json!({"repo": agent.did, "collection": "agent.vault.sealed", "rkey": rkey});
    let note = json!({"repo": agent.did, "collection": "com.example.note", "record": {"text": "not mine"}});
    for (nsid, input) in [("com.atproto.repo.deleteRecord", delete), ("com.atproto.repo.createRecord", note)]
    {
        assert_eq!(world.post(nsid, &access, input).await.error(), (400, "ExpiredToken"), "{nsid}");
    }
    let elsewhere = "com.atproto.server.getServiceAuth?aud=did:web:b.test&lxm=agent.comms.deliver";
    for path in [elsewhere, "com.atproto.server.getSession"] {
        assert_eq!(world.get(path, &access).await.error(), (400, "ExpiredToken"), "{path}");
    }
    assert_eq!(world.get(RECALL, &own).await.ok()["results"].as_array().unwrap().len(), 1);
}

/// What breaks: who only writes public records signs in and out, and everybody else of the account has to refresh for ever.
#[tokio::test]
async fn signing_out_what_opens_no_memory_ends_nothing_of_others() {
    let world = World::new();
    let agent = alice(&world).await;
    let own = bearer(&sign_in(&world, &agent, &agent.token).await["accessJwt"]);
    let input = json!({"name": "poster"});
    let made = world.post("com.atproto.server.createAppPassword", &own, input).await.ok();
    let poster = sign_in(&world, &agent, &made["password"]).await;
    let refresh = bearer(&poster["refreshJwt"]);
    world.post("com.atproto.server.deleteSession", &refresh, Value::Null).await.ok();
    world.get(RECALL, &own).await.ok();
    let refused = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
    assert_eq!(refused.error(), (400, "ExpiredToken"));
}

/// What breaks: whoever has a token that leaked holds a request open until it was changed, and makes a lasting one with it,
/// or leaves a file.
#[tokio::test]
async fn a_body_that_comes_after_its_token_ended_does_nothing() {
    let world = Arc::new(World::new());
    let agent = alice(&world).await;
    let old = bearer(&agent.token);
    let new = bearer(&world.post(ROTATE, &old, json!({})).await.ok()["token"]);
    let blobs = world.host.blobs();
    let mut held = Vec::new();
    for Endpoint { nsid, method, access, .. } in crate::xrpc::endpoints() {
        if method != Method::POST || !matches!(access, Account | AccountFull | Vault) {
            continue;
        }
        let (mut rest, body) = mpsc::unbounded::<Result<Bytes, std::io::Error>>();
        rest.start_send(Ok("{".into())).unwrap();
        let (world, old) = (Arc::clone(&world), old.clone());
        let asked = tokio::spawn(async move {
            let request = http::Request::post(format!("/xrpc/{nsid}"));
            let request = request.header(header::CONTENT_TYPE, "application/json");
            world.send(nsid, request, &old, Body::from_stream(body)).await
        });
        held.push((nsid, rest, asked));
    }
    assert!(held.iter().any(|(nsid, ..)| *nsid == "com.atproto.repo.uploadBlob"));
    tokio::task::yield_now().await;
    world.get(RECALL, &new).await.ok();
    for (nsid, mut rest, asked) in held {
        rest.start_send(Ok("}".into())).unwrap();
        drop(rest);
        assert_eq!(asked.await.unwrap().error(), (400, "InvalidToken"), "{nsid}");
    }
    assert_eq!(world.host.blobs(), blobs);
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

const ROTATE: &str = "agent.vault.rotateToken";

#[tokio::test]
async fn an_agent_changes_its_token_and_the_old_one_ends_with_the_first_use_of_the_new() {
    let world = World::new();
    let agent = alice(&world).await;
    let old = bearer(&agent.token);
    let session = sign_in(&world, &agent, &agent.token).await;
    let address = json!({"email": "eve@example.com"});
    world.post("com.atproto.server.updateEmail", &old, address).await.ok();
    world.post(ROTATE, &old, json!({})).await.ok();
    // That answer was lost: nothing has ended, and it is asked for again.
    world.get(RECALL, &old).await.ok();
    let new = bearer(&world.post(ROTATE, &old, Value::Null).await.ok()["token"]);
    world.get(RECALL, &bearer(&session["accessJwt"])).await.ok();

    world.get(RECALL, &new).await.ok();
    assert_eq!(world.get(RECALL, &old).await.error(), (400, "InvalidToken"));
    assert_eq!(world.get(RECALL, &bearer(&session["accessJwt"])).await.error(), (400, "ExpiredToken"));
    let refresh = bearer(&session["refreshJwt"]);
    let refused = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
    assert_eq!(refused.error(), (400, "ExpiredToken"));
    world.get(RECALL, &new).await.ok();
    let now = world.get("com.atproto.server.getSession", &new).await.ok();
    assert!(now["email"].is_null(), "whoever had the old token would set a password by mail: {now}");
}

#[tokio::test]
async fn signing_in_with_a_new_token_is_its_first_use_too() {
    let world = World::new();
    let agent = alice(&world).await;
    let old = bearer(&agent.token);
    let new = world.post(ROTATE, &old, json!({})).await.ok()["token"].clone();
    let session = sign_in(&world, &agent, &new).await;
    assert_eq!(world.get(RECALL, &old).await.error(), (400, "InvalidToken"));
    world.get(RECALL, &bearer(&session["accessJwt"])).await.ok();
}

/// What breaks: an agent's token opens its memories, so whoever can have one made can read them.
#[tokio::test]
async fn nobody_but_the_agent_makes_it_a_new_token() {
    let world = World::new();
    let agent = alice(&world).await;
    let own = bearer(&agent.token);
    assert_eq!(world.post(ROTATE, ADMIN, json!({})).await.error(), (403, "Forbidden"));
    assert_eq!(world.post(ROTATE, "", json!({})).await.error(), (401, "AuthMissing"));
    let input = json!({"name": "reader", "vault": true});
    let made = world.post("com.atproto.server.createAppPassword", &own, input).await.ok();
    let session = sign_in(&world, &agent, &made["password"]).await;
    let refused = world.post(ROTATE, &bearer(&session["accessJwt"]), json!({})).await;
    assert_eq!(refused.error(), (400, "InvalidToken"));
    let person = world.person("carol").await;
    let refused = world.post(ROTATE, &bearer(&person["accessJwt"]), json!({})).await;
    assert_eq!(refused.error(), (400, "AgentNotFound"));
}

/// Asks, and hangs up after so many looks for the answer; whether it was hung up.
async fn hang_up_after(looks: usize, asked: impl Future) -> bool {
    let mut asked = Box::pin(asked);
    for _ in 0..looks {
        if futures::poll!(&mut asked).is_ready() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    drop(asked);
    // What goes on without its caller comes to its end.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    true
}

/// What breaks: the directory has ended a credential, but its caller hung up before that was noted, and it opens memories on.
#[tokio::test]
async fn what_ends_has_ended_though_its_caller_hung_up() {
    const LIST: &str = "com.atproto.server.listAppPasswords";
    let world = World::new();
    world.host.directory_is_far.store(true, Ordering::Relaxed);
    let world = world.restarted();
    let agent = alice(&world).await;
    let mut token = agent.token.clone();
    let (mut hung_up, mut ended) = (0, 0);
    let mut count = |was_hung_up: bool, has_ended: bool| {
        hung_up += usize::from(was_hung_up);
        ended += usize::from(was_hung_up && has_ended);
    };
    for looks in 1..10 {
        let own = bearer(&token);
        let input = json!({"name": format!("reader {looks}"), "vault": true});
        let made = world.post("com.atproto.server.createAppPassword", &own, input).await.ok();
        let session = sign_in(&world, &agent, &made["password"]).await;
        let access = bearer(&session["accessJwt"]);
        world.get(RECALL, &access).await.ok();
        let input = json!({"name": format!("reader {looks}")});
        let left =
            hang_up_after(looks, world.post("com.atproto.server.revokeAppPassword", &own, input)).await;
        let login = json!({"identifier": agent.did, "password": made["password"]});
        let revoked = !world.post("com.atproto.server.createSession", "", login).await.status.is_success();
        assert_eq!(world.get(RECALL, &access).await.status.is_success(), !revoked, "{looks}: app password");
        count(left, revoked);

        let session = sign_in(&world, &agent, &token).await;
        let (access, refresh) = (bearer(&session["accessJwt"]), bearer(&session["refreshJwt"]));
        world.get(RECALL, &access).await.ok();
        let close = world.post("com.atproto.server.deleteSession", &refresh, Value::Null);
        let left = hang_up_after(looks, close).await;
        let again = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
        let closed = !again.status.is_success();
        assert_eq!(world.get(RECALL, &access).await.status.is_success(), !closed, "{looks}: session");
        count(left, closed);

        let new = world.post(ROTATE, &own, json!({})).await.ok()["token"].clone();
        world.get(LIST, &own).await.ok();
        let left = hang_up_after(looks, world.get(LIST, &bearer(&new))).await;
        let login = json!({"identifier": agent.did, "password": token});
        let rotated = !world.post("com.atproto.server.createSession", "", login).await.status.is_success();
        assert_eq!(world.get(LIST, &own).await.status.is_success(), !rotated, "{looks}: token");
        count(left, rotated);
        world.get(LIST, &bearer(&new)).await.ok();
        token = new;
    }
    assert!(ended > 0 && hung_up > ended, "{ended} of {hung_up} had ended when their callers hung up");
}
