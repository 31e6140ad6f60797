//! The edge over a host in memory: accounts, sessions, handles and agents, as clients see them.

mod applications;
mod credentials;
mod flows;
mod handles;
mod identities;
mod lexicons;
mod limits;
mod mail;
mod memories;
mod moderation;
mod operator;
mod preferences;
mod proxy;
mod published;
mod records;
mod service_tokens;
mod transfer;
pub(super) mod world;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use world::{ADMIN, World, answer, bearer};

use crate::crypto::SigningKey;
use crate::store::SqlError;
use crate::syntax::Did;

const HOUR_US: i64 = 3_600_000_000;

#[tokio::test]
async fn a_signup_makes_a_did_a_repo_and_a_session() {
    let world = World::new();
    let made = world.person("alice").await;
    let did = made["did"].as_str().unwrap();
    assert!(did.starts_with("did:plc:"));
    assert_eq!(made["handle"], "alice.test");
    let document = world.host.document(did);
    assert_eq!(document["alsoKnownAs"][0], "at://alice.test");
    assert_eq!(document["service"][0]["serviceEndpoint"], "http://localhost:2583");
    assert_eq!(made["didDoc"], document, "the session shows the document as the directory has it");
    assert_eq!(world.host.heard(did), ["create alice.test active=true"]);

    let session = world.get("com.atproto.server.getSession", &bearer(&made["accessJwt"])).await.ok();
    assert_eq!(session["did"], made["did"]);
    assert_eq!(session["email"], "alice@example.com");
    assert_eq!(session["active"], true);
    let resolved = world.get("com.atproto.identity.resolveHandle?handle=Alice.test", "").await.ok();
    assert_eq!(resolved["did"], made["did"]);
}

#[tokio::test]
async fn a_signup_that_fails_gives_everything_back() {
    let world = World::new();
    let body = json!({"handle": "alice.test", "email": "alice@example.com", "password": "x"});
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let refused = world.post("com.atproto.server.createAccount", "", body.clone()).await;
    assert_eq!(refused.error(), (502, "UpstreamFailure"));
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    world.host.repos_fail.store(true, Ordering::Relaxed);
    let refused = world.post("com.atproto.server.createAccount", "", body.clone()).await;
    assert_eq!(refused.error(), (503, "ServiceUnavailable"));
    world.host.repos_fail.store(false, Ordering::Relaxed);
    world.post("com.atproto.server.createAccount", "", body).await.ok();
    assert_eq!(world.host.cells.lock().unwrap().len(), 1, "nothing is left of the others");
}

#[tokio::test]
async fn refused_input_is_named() {
    let world = World::new();
    let queries = [
        ("com.atproto.repo.getRecord?repo=a%20b&collection=a.b.c&rkey=self", "repo"),
        ("com.atproto.repo.getRecord?repo=alice.test&collection=nothing&rkey=self", "collection"),
        ("com.atproto.repo.getRecord?repo=alice.test&collection=a.b.c", "rkey"),
        ("com.atproto.repo.listRecords?repo=alice.test&collection=a.b.c&limit=many", "limit"),
        ("com.atproto.sync.getBlocks?did=did:web:example.com&cids=bafy&cids=nothing", "cids"),
    ];
    for (query, name) in queries {
        let refused = world.get(query, "").await;
        assert_eq!(refused.error(), (400, "InvalidRequest"), "{query}");
        let message = refused.body["message"].as_str().unwrap();
        assert!(message.contains(name), "{query}: {message}");
    }
    let alice = world.person("alice").await;
    let bodies = [
        (json!({"repo": 5, "collection": "a.b.c", "record": {}}), "repo: "),
        (json!({"repo": "alice.test", "collection": "nothing", "record": {}}), "collection: "),
        (json!({"repo": "alice.test", "collection": "a.b.c", "validate": "yes", "record": {}}), "validate: "),
        (json!({"repo": "alice.test", "record": {}}), "`collection`"),
        (json!(["alice.test", "a.b.c", null, null, {}, null]), "an object"),
    ];
    for (body, name) in bodies {
        let refused =
            world.post("com.atproto.repo.createRecord", &bearer(&alice["accessJwt"]), body.clone()).await;
        assert_eq!(refused.error(), (400, "InvalidRequest"), "{body}");
        let message = refused.body["message"].as_str().unwrap();
        assert!(message.contains(name), "{body}: {message}");
    }
}

#[tokio::test]
async fn signups_are_refused_by_name() {
    let world = World::new();
    world.person("alice").await;
    let key = SigningKey::from_bytes(&[3; 32]).unwrap().did_key();
    let table = [
        (json!({"handle": "alice.test", "password": "x"}), "HandleNotAvailable"),
        (json!({"handle": "admin.test", "password": "x"}), "HandleNotAvailable"),
        (json!({"handle": "al.test", "password": "x"}), "InvalidHandle"),
        (json!({"handle": "not a handle", "password": "x"}), "InvalidHandle"),
        (json!({"handle": "bob.example.com", "password": "x"}), "UnsupportedDomain"),
        (json!({"handle": "bob.test", "password": ""}), "InvalidPassword"),
        (json!({"handle": "bob.test", "password": "x".repeat(2000)}), "InvalidPassword"),
        (json!({"handle": "bob.test", "password": "x", "email": "nonsense"}), "InvalidRequest"),
        (json!({"handle": "bob.test", "password": "x", "email": "alice@example.com"}), "InvalidRequest"),
        (json!({"handle": "bob.test", "password": "x", "inviteCode": "nonsense"}), "InvalidInviteCode"),
        (json!({"handle": "bob.test", "recoveryKey": "did:key:zNonsense"}), "InvalidRecoveryKey"),
        (json!({"handle": "bob.test", "plcOp": {}}), "InvalidRequest"),
        (json!({"handle": 5}), "InvalidRequest"),
        (json!({}), "InvalidRequest"),
    ];
    for (body, name) in table {
        let refused = world.post("com.atproto.server.createAccount", "", body.clone()).await;
        assert_eq!(refused.error(), (400, name), "{body}");
    }
    let brought = json!({"handle": "bob.test", "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz"});
    let refused = world.post("com.atproto.server.createAccount", "", brought).await;
    assert_eq!(refused.error(), (401, "AuthenticationRequired"));
    let body = json!({"handle": "bob.test", "recoveryKey": key});
    world.post("com.atproto.server.createAccount", "", body).await.ok();
}

#[tokio::test]
async fn invites_are_needed_where_they_are_required() {
    let world = World::with(|network| network.invite_required = true);
    let described = world.get("com.atproto.server.describeServer", "").await.ok();
    assert_eq!(described["inviteCodeRequired"], true);
    assert_eq!(described["availableUserDomains"], json!([".test"]));
    let body = |code: &Value| json!({"handle": "alice.test", "password": "x", "inviteCode": code});
    let refused = world.post("com.atproto.server.createAccount", "", body(&Value::Null)).await;
    assert_eq!(refused.error(), (400, "InvalidInviteCode"));
    let make = "com.atproto.server.createInviteCode";
    assert_eq!(world.post(make, "", json!({"useCount": 1})).await.error(), (401, "AuthMissing"));
    let code = world.post(make, ADMIN, json!({"useCount": 1})).await.ok()["code"].clone();
    let made = world.post("com.atproto.server.createAccount", "", body(&code)).await.ok();

    let make = json!({"codeCount": 2, "useCount": 3, "forAccounts": [made["did"]]});
    let codes = world.post("com.atproto.server.createInviteCodes", ADMIN, make).await.ok();
    assert_eq!(codes["codes"][0]["codes"].as_array().unwrap().len(), 2);
    let mine = world.get("com.atproto.server.getAccountInviteCodes", &bearer(&made["accessJwt"])).await.ok();
    assert_eq!(mine["codes"].as_array().unwrap().len(), 2);
    assert_eq!(mine["codes"][0]["available"], 3);
}

#[tokio::test]
async fn sessions_begin_refresh_and_end() {
    let world = World::new();
    world.person("alice").await;
    let create = |identifier: &str, password: &str| json!({"identifier": identifier, "password": password});
    let sign_in = "com.atproto.server.createSession";
    for wrong in [create("alice.test", "wrong"), create("bob.test", "correct horse"), create("", "")] {
        assert_eq!(world.post(sign_in, "", wrong).await.error(), (401, "AuthenticationRequired"));
    }
    let mut session = Value::Null;
    for identifier in ["alice.test", "@Alice.test", "alice@example.com"] {
        session = world.post(sign_in, "", create(identifier, "correct horse")).await.ok();
    }
    let refresh = "com.atproto.server.refreshSession";
    let wrong_kind = world.post(refresh, &bearer(&session["accessJwt"]), Value::Null).await;
    assert_eq!(wrong_kind.error(), (400, "InvalidToken"));
    let next = world.post(refresh, &bearer(&session["refreshJwt"]), Value::Null).await.ok();
    assert_ne!(next["refreshJwt"], session["refreshJwt"]);
    let get = "com.atproto.server.getSession";
    assert_eq!(world.get(get, &bearer(&next["refreshJwt"])).await.error(), (400, "InvalidToken"));

    world.host.now_us.fetch_add(2 * HOUR_US, Ordering::Relaxed);
    assert_eq!(world.get(get, &bearer(&session["accessJwt"])).await.error(), (400, "ExpiredToken"));
    let reused = world.post(refresh, &bearer(&session["refreshJwt"]), Value::Null).await;
    assert_eq!(reused.error(), (400, "ExpiredToken"));
    let last = world.post(refresh, &bearer(&next["refreshJwt"]), Value::Null).await.ok();
    world.post("com.atproto.server.deleteSession", &bearer(&last["refreshJwt"]), Value::Null).await.ok();
    let closed = world.post(refresh, &bearer(&last["refreshJwt"]), Value::Null).await;
    assert_eq!(closed.error(), (400, "ExpiredToken"));
}

#[tokio::test]
async fn app_passwords_open_less_than_the_account() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let make = "com.atproto.server.createAppPassword";
    let made = world.post(make, &own, json!({"name": "phone"})).await.ok();
    assert_eq!(made["privileged"], false);
    let body = json!({"identifier": "alice.test", "password": made["password"]});
    let session = world.post("com.atproto.server.createSession", "", body.clone()).await.ok();
    let phone = bearer(&session["accessJwt"]);
    world.get("com.atproto.server.getSession", &phone).await.ok();
    for method in [make, "com.atproto.server.deactivateAccount", "com.atproto.identity.updateHandle"] {
        let refused = world.post(method, &phone, json!({"name": "x", "handle": "x.test"})).await;
        assert_eq!(refused.error(), (400, "InvalidToken"), "{method}");
    }
    world.post(make, &own, json!({"name": "memory", "vault": true})).await.ok();
    let both = json!({"name": "both", "vault": true, "privileged": true});
    assert_eq!(world.post(make, &own, both).await.error(), (400, "InvalidRequest"));
    let listed = world.get("com.atproto.server.listAppPasswords", &own).await.ok();
    assert_eq!(listed["passwords"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(made["password"].as_str().unwrap()));
    world.post("com.atproto.server.revokeAppPassword", &own, json!({"name": "phone"})).await.ok();
    let refused = world.post("com.atproto.server.createSession", "", body).await;
    assert_eq!(refused.error(), (401, "AuthenticationRequired"));
}

#[tokio::test]
async fn an_account_rests_wakes_and_ends() {
    let world = World::new();
    let made = world.person("alice").await;
    let (did, own) = (made["did"].as_str().unwrap(), bearer(&made["accessJwt"]));
    world.post("com.atproto.server.deactivateAccount", &own, json!({})).await.ok();
    let session = world.get("com.atproto.server.getSession", &own).await.ok();
    assert_eq!((&session["active"], &session["status"]), (&json!(false), &json!("deactivated")));
    world.post("com.atproto.server.activateAccount", &own, Value::Null).await.ok();
    let status = world.get("com.atproto.server.checkAccountStatus", &own).await.ok();
    assert_eq!((&status["activated"], &status["validDid"]), (&json!(true), &json!(true)));

    world.post("com.atproto.server.requestAccountDelete", &own, Value::Null).await.ok();
    let code = world.mailed_code().await;
    let body = json!({"did": did, "password": "correct horse", "token": "AAAAA-AAAAA"});
    let refused = world.post("com.atproto.server.deleteAccount", "", body).await;
    assert_eq!(refused.error(), (400, "InvalidToken"));
    let body = |password: &str| json!({"did": did, "password": password, "token": code});
    let refused = world.post("com.atproto.server.deleteAccount", "", body("wrong")).await;
    assert_eq!(refused.error(), (401, "AuthenticationRequired"));
    assert_eq!(
        world.host.heard(did),
        ["create alice.test active=true", "status deactivated", "status active"]
    );
    world.post("com.atproto.server.deleteAccount", "", body("correct horse")).await.ok();
    assert!(!world.host.has_cell(did));
    let refused = world.get("com.atproto.server.getSession", &own).await;
    assert_eq!(refused.error(), (400, "InvalidToken"), "a signed token of nobody");
}

#[tokio::test]
async fn a_handle_changes_in_the_document_and_here() {
    let world = World::new();
    let made = world.person("alice").await;
    let (did, own) = (made["did"].as_str().unwrap(), bearer(&made["accessJwt"]));
    let update = "com.atproto.identity.updateHandle";
    world.person("bob").await;
    let taken = world.post(update, &own, json!({"handle": "bob.test"})).await;
    assert_eq!(taken.error(), (400, "HandleNotAvailable"));
    world.post(update, &own, json!({"handle": "Alicia.test"})).await.ok();
    assert_eq!(world.host.document(did)["alsoKnownAs"], json!(["at://alicia.test"]));
    assert_eq!(world.host.heard(did).last().unwrap(), "identity alicia.test");
    let gone = world.get("com.atproto.identity.resolveHandle?handle=alice.test", "").await;
    assert_eq!(gone.error(), (400, "HandleNotFound"));

    let external = json!({"handle": "alice.example.com"});
    assert_eq!(world.post(update, &own, external.clone()).await.error(), (400, "InvalidRequest"));
    let record = ("_atproto.alice.example.com".to_owned(), vec![format!("did={did}")]);
    world.host.internet.txt.lock().unwrap().extend([record]);
    world.post(update, &own, external).await.ok();
    let resolved = world.get("com.atproto.identity.resolveHandle?handle=alice.example.com", "").await.ok();
    assert_eq!(resolved["did"], did);

    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let refused = world.post(update, &own, json!({"handle": "alice.test"})).await;
    assert_eq!(refused.error(), (502, "UpstreamFailure"));
    let session = world.get("com.atproto.server.getSession", &own).await.ok();
    assert_eq!(session["handle"], "alice.example.com", "nothing changed here either");
}

#[tokio::test]
async fn service_tokens_prove_an_account_to_another_server() {
    let (here, there) = (World::new(), World::new());
    let made = here.person("alice").await;
    let (did, own) = (made["did"].as_str().unwrap(), bearer(&made["accessJwt"]));
    let ask = "com.atproto.server.getServiceAuth?aud=did:web:localhost%253A2583";
    let lxm = "com.atproto.server.createAccount";
    let token = here.get(&format!("{ask}&lxm={lxm}"), &own).await.ok()["token"].clone();
    for (query, name) in [
        ("&exp=1", "BadExpiration"),
        ("&exp=1700009999", "BadExpiration"),
        ("&lxm=com.atproto.server.getSession", "InvalidRequest"),
        ("&lxm=nonsense", "InvalidRequest"),
    ] {
        let refused = here.get(&format!("{ask}{query}"), &own).await;
        assert_eq!(refused.error(), (400, name), "{query}");
    }
    // There, the DID is found in the same PLC directory.
    let last = format!("/{did}/log/last");
    let operation = here.app.host.fetch(plc_request("GET", &last, "")).await.unwrap().into_body();
    let operation = String::from_utf8(operation.to_vec()).unwrap();
    there.app.host.fetch(plc_request("POST", &format!("/{did}"), &operation)).await.unwrap();
    // So that both worlds' randomness does not give the same keys.
    there.person("bob").await;
    let body = json!({"handle": "alice-moved.test", "did": did, "password": "x"});
    let moved = there.post(lxm, &bearer(&token), body.clone()).await.ok();
    assert_eq!(there.host.heard(did), ["create alice-moved.test active=false"]);
    let session = there.get("com.atproto.server.getSession", &bearer(&moved["accessJwt"])).await.ok();
    assert_eq!(session["status"], "deactivated");
    // Its document names the key of the old server: commits signed here would be nobody's.
    let new = bearer(&moved["accessJwt"]);
    let refused = there.post("com.atproto.server.activateAccount", &new, json!({})).await;
    assert_eq!(refused.error(), (400, "InvalidRequest"));
    let status = there.get("com.atproto.server.checkAccountStatus", &new).await.ok();
    assert_eq!(status["validDid"], false);
    let wanted = there.get("com.atproto.identity.getRecommendedDidCredentials", &new).await.ok();
    let now = here.get("com.atproto.identity.getRecommendedDidCredentials", &own).await.ok();
    let data = here.host.ask_plc(&format!("/{did}/data"));
    for field in ["rotationKeys", "alsoKnownAs", "verificationMethods", "services"] {
        assert_eq!(now[field], data[field], "{field}: at home, all is as it should be");
    }
    assert_eq!(wanted["alsoKnownAs"], json!(["at://alice-moved.test"]));
    assert_ne!(wanted["verificationMethods"], now["verificationMethods"]);
    let status = here.get("com.atproto.server.checkAccountStatus", &own).await.ok();
    assert_eq!(status["validDid"], true);
    // For another method, or of someone else's DID, it proves nothing.
    let other = here.get(&format!("{ask}&lxm=com.atproto.repo.importRepo"), &own).await.ok();
    assert_eq!(there.post(lxm, &bearer(&other["token"]), body).await.error(), (400, "InvalidToken"));
}

fn plc_request(method: &str, path: &str, body: &str) -> http::Request<bytes::Bytes> {
    let url = format!("{}{path}", world::PLC);
    http::Request::builder().method(method).uri(url).body(bytes::Bytes::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn agents_are_made_listed_shown_and_ended_by_the_operator() {
    let world = World::new();
    let create = "agent.admin.createAgent";
    assert_eq!(world.post(create, "", json!({"name": "alice"})).await.error(), (401, "AuthMissing"));
    let key = SigningKey::from_bytes(&[3; 32]).unwrap().did_key();
    let body =
        json!({"name": "Alice", "model": "some/model", "config": {"prompt": "be kind"}, "recoveryKey": key});
    let alice = world.post(create, ADMIN, body).await.ok();
    assert_eq!((&alice["handle"], &alice["recoveryKey"]), (&json!("alice.test"), &json!(key)));
    assert_eq!(world.post(create, ADMIN, json!({"name": "a b"})).await.error(), (400, "InvalidName"));
    assert_eq!(world.post(create, ADMIN, json!({"name": "ab"})).await.error(), (400, "InvalidName"));
    assert_eq!(
        world.post(create, ADMIN, json!({"name": "alice"})).await.error(),
        (400, "HandleNotAvailable")
    );
    let reserved = world.post(create, ADMIN, json!({"name": "admin"})).await;
    assert_eq!(reserved.body["message"], "the name admin is reserved: choose another");
    world.post(create, ADMIN, json!({"name": "bot"})).await.ok();
    world.post("agent.admin.deleteAgent", ADMIN, json!({"agent": "bot.test"})).await.ok();
    world.person("carol").await;

    // Its token is a full session, also in place of a password.
    let own = bearer(&alice["token"]);
    let session = world.get("com.atproto.server.getSession", &own).await.ok();
    assert_eq!(session["did"], alice["did"]);
    assert_eq!(
        world.post(create, &own, json!({"name": "bob"})).await.error(),
        (401, "AuthenticationRequired")
    );
    let body = json!({"identifier": "alice.test", "password": alice["token"]});
    world.post("com.atproto.server.createSession", "", body).await.ok();
    let body = json!({"identifier": "carol.test", "password": alice["token"]});
    let refused = world.post("com.atproto.server.createSession", "", body).await;
    assert_eq!(refused.error(), (401, "AuthenticationRequired"));

    world.post(create, ADMIN, json!({"name": "bob"})).await.ok();
    let page = world.get("agent.admin.listAgents?limit=1", ADMIN).await.ok();
    assert_eq!(page["agents"][0]["handle"], "alice.test");
    assert_eq!(page["agents"][0]["memoryCount"], 0);
    let cursor = page["cursor"].as_str().unwrap();
    let page = world.get(&format!("agent.admin.listAgents?limit=5&cursor={cursor}"), ADMIN).await.ok();
    assert_eq!(page["agents"].as_array().unwrap().len(), 1, "people are no agents");
    let shown = world.get("agent.admin.getAgent?agent=alice.test", ADMIN).await.ok();
    assert_eq!(shown["model"], "some/model");
    let person = world.get("agent.admin.getAgent?agent=carol.test", ADMIN).await;
    assert_eq!(person.error(), (400, "AgentNotFound"));

    let delete = "agent.admin.deleteAgent";
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let refused = world.post(delete, ADMIN, json!({"agent": "alice.test"})).await;
    assert_eq!(refused.error(), (502, "UpstreamFailure"));
    assert_eq!(world.get("com.atproto.server.getSession", &own).await.error(), (400, "InvalidToken"));
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    world.post(delete, ADMIN, json!({"agent": "alice.test"})).await.ok();
    assert!(!world.host.has_cell(alice["did"].as_str().unwrap()));
    assert!(
        world.host.document(alice["did"].as_str().unwrap())["message"]
            .as_str()
            .unwrap()
            .contains("not available")
    );
    let gone = world.post(delete, ADMIN, json!({"agent": alice["did"]})).await;
    assert_eq!(gone.error(), (400, "AgentNotFound"));

    let carol = world.get("com.atproto.identity.resolveHandle?handle=carol.test", "").await.ok();
    world.post("com.atproto.admin.deleteAccount", ADMIN, carol.clone()).await.ok();
    assert!(!world.host.has_cell(carol["did"].as_str().unwrap()));
    let again = world.post("com.atproto.admin.deleteAccount", ADMIN, carol).await;
    assert_eq!(again.error(), (400, "AccountNotFound"));
}

#[tokio::test]
async fn plain_paths_lead_to_the_same_methods() {
    use tower::ServiceExt as _;
    let world = World::new();
    let call = |request: http::request::Builder, authorization: &str, body: String| {
        let router = super::aliases(std::sync::Arc::clone(&world.dispatcher));
        let request =
            request.header("authorization", authorization).header("content-type", "application/json");
        let request = request.body(axum::body::Body::from(body)).unwrap();
        async move { answer(router.oneshot(request).await.unwrap()).await }
    };
    let body = json!({"name": "alice", "model": "m"}).to_string();
    let post = || http::Request::post("/agents/create");
    assert_eq!(call(post(), "Bearer wrong", body.clone()).await.error(), (400, "InvalidToken"));
    let made = call(post(), ADMIN, body).await.ok();
    let page = call(http::Request::get("/agents?limit=5"), ADMIN, String::new()).await.ok();
    assert_eq!(page["agents"][0]["did"], made["did"]);
    for name in ["alice", "alice.test", made["did"].as_str().unwrap()] {
        let shown = call(http::Request::get(format!("/agents/{name}")), ADMIN, String::new()).await.ok();
        assert_eq!(shown["did"], made["did"], "{name}");
    }
    for odd in ["bob", "a%20b", "%ff", "a%26agent=alice.test"] {
        let answer = call(http::Request::get(format!("/agents/{odd}")), ADMIN, String::new()).await;
        assert!(!answer.status.is_success(), "{odd}");
    }
}

#[tokio::test]
async fn signups_that_a_crash_interrupted_are_resumed() {
    let world = World::new();
    let key = SigningKey::from_bytes(&[3; 32]).unwrap();
    let handle = crate::syntax::Handle::try_from("alice.test").unwrap();
    let operation = crate::app::plc::genesis(&world.app, &handle, &key, None).await.unwrap();
    let did = operation.genesis_did().unwrap();
    let reserve = crate::directory::ReserveAccount {
        did: did.clone(),
        plc_operation: Some(operation),
        signing_key: crate::seam::Hidden::new(*key.to_bytes()),
        handle,
        handle_verified: false,
        allow_reserved: false,
        email: None,
        password_hash: None,
        invite_code: None,
        invite_exempt: false,
        kind: crate::actor::Kind::Agent,
        display_name: None,
        model: None,
        config: None,
    };
    world.app.directory(reserve).await.unwrap();
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    world.app.resume_flows().await.unwrap();
    assert!(world.get("agent.admin.getAgent?agent=alice.test", ADMIN).await.status.is_client_error());
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    let world = world.restarted();
    world.app.resume_flows().await.unwrap();
    let shown = world.get("agent.admin.getAgent?agent=alice.test", ADMIN).await.ok();
    assert_eq!(shown["did"], did.as_str());
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_in_nobodys_way() {
    let world = World::new();
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let made = world.post("agent.admin.createAgent", ADMIN, json!({"name": "carol"})).await.ok();
    let carol = Did::try_from(made["did"].as_str().unwrap()).unwrap();
    let broken = |did: &Did, error: SqlError| {
        world.host.broken.lock().unwrap().insert(did.clone(), error.into());
    };
    let alice_did = Did::try_from(alice["did"].as_str().unwrap()).unwrap();
    broken(&alice_did, SqlError::Other("disk I/O error".to_owned()));
    broken(&carol, SqlError::Corrupt("malformed".to_owned()));

    let rest = "com.atproto.server.deactivateAccount";
    let refused = world.post(rest, &bearer(&alice["accessJwt"]), json!({})).await;
    assert_eq!(refused.error(), (500, "InternalServerError"), "hers is not told yet");
    world.post(rest, &bearer(&bob["accessJwt"]), json!({})).await.ok();
    let bob_did = bob["did"].as_str().unwrap();
    assert_eq!(world.host.heard(bob_did).last().unwrap(), "status deactivated");
    world.post("com.atproto.server.activateAccount", &bearer(&bob["accessJwt"]), json!({})).await.ok();
    let listed = world.get("com.atproto.sync.listRepos", "").await.ok();
    assert_eq!(listed["repos"].as_array().unwrap().len(), 3, "nobody is asked for it: {listed}");

    world.post("agent.admin.deleteAgent", ADMIN, json!({"agent": carol})).await.ok();
    world.host.broken.lock().unwrap().clear();
    let gone = world.get(&format!("agent.admin.getAgent?agent={}", carol.as_str()), ADMIN).await;
    assert_eq!(gone.status, 400);
    world.app.carry_notices().await.unwrap();
    assert_eq!(world.host.heard(alice_did.as_str()).last().unwrap(), "status deactivated", "told in the end");
}
