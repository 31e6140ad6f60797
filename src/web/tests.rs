mod account;
mod clients;
mod doors;
mod factors;
mod passkeys;
mod recovery_key;
mod sets;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::app::App;
use crate::env::Network;
use crate::oauth::metadata::paths;
use crate::testing::{Answered, Internet, Program, Randomness, Simulated, network, parameter};

const PASSWORD: &str = "correct horse";
const SCOPE: &str = "atproto repo:app.bsky.feed.post";
const SESSION: &str = "/xrpc/com.atproto.server.getSession";

struct World {
    host: Arc<Simulated>,
    app: Arc<App>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Network)) -> Self {
        let mut network = network();
        change(&mut network);
        let host = Simulated::new(network, Internet::default(), Randomness::default());
        let app = host.start();
        let world = Self { host, app };
        let code = if world.app.network.invite_required { world.invite_code().await } else { Value::Null };
        let body = json!({"handle": "alice.test", "email": "alice@example.com", "password": PASSWORD,
            "inviteCode": code});
        world.post("com.atproto.server.createAccount", "", &body).await.ok();
        world
    }

    async fn invite_code(&self) -> Value {
        let made =
            self.post("com.atproto.server.createInviteCode", "Bearer letmein", &json!({"useCount": 1})).await;
        made.ok()["code"].clone()
    }

    async fn post(&self, nsid: &str, authorization: &str, body: &Value) -> Answered {
        let mut request =
            http::Request::post(format!("/xrpc/{nsid}")).header(header::CONTENT_TYPE, "application/json");
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.program(SCOPE).send(request, Body::from(body.to_string())).await
    }

    fn program(&self, scope: &str) -> Program {
        Program::new(&self.app, scope)
    }

    fn pass(&self, seconds: i64) {
        self.host.now_us.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// Serves a client's document.
    fn serve(&self, url: &str, document: &Value) {
        let mut documents = self.host.internet.documents.lock().unwrap();
        documents.insert(url.to_owned(), document.to_string().into());
    }
}

fn post_record(did: &Value, collection: &str) -> Value {
    json!({"repo": did, "collection": collection, "record": {"$type": collection, "text": "hello",
        "createdAt": "2026-01-01T00:00:00Z"}})
}

const CREATE: &str = "/xrpc/com.atproto.repo.createRecord";

#[tokio::test]
async fn the_documents_say_where_all_is() {
    let world = World::new().await;
    let program = world.program(SCOPE);
    let get = |path: &str| program.send(http::Request::get(path.to_owned()), Body::empty());
    let resource = get(paths::RESOURCE).await;
    assert_eq!(resource.header("access-control-allow-origin"), "*");
    assert_eq!(resource.ok()["authorization_servers"], json!(["http://localhost:2583"]));
    let server = get(paths::SERVER).await.ok();
    assert_eq!(server["issuer"], "http://localhost:2583");
    for (name, path) in [
        ("authorization_endpoint", paths::AUTHORIZE),
        ("token_endpoint", paths::TOKEN),
        ("revocation_endpoint", paths::REVOKE),
        ("pushed_authorization_request_endpoint", paths::PUSH),
        ("jwks_uri", paths::KEYS),
    ] {
        assert_eq!(server[name], format!("http://localhost:2583{path}"));
    }
    for name in [
        "require_pushed_authorization_requests",
        "client_id_metadata_document_supported",
        "authorization_response_iss_parameter_supported",
    ] {
        assert_eq!(server[name], true, "{name}");
    }
    assert_eq!(get(paths::KEYS).await.ok(), json!({"keys": []}));
}

/// All of it as it should go: a record is written with what was granted, and refused with what was not.
#[tokio::test]
async fn a_program_gets_what_its_user_grants_and_no_more() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let tokens = program.tokens(SCOPE, "alice.test", PASSWORD).await;
    assert_eq!((&tokens["token_type"], &tokens["scope"]), (&json!("DPoP"), &json!(SCOPE)));
    let did = tokens["sub"].clone();
    let posted = program.call(Method::POST, CREATE, &tokens, post_record(&did, "app.bsky.feed.post")).await;
    assert!(!posted.header("dpop-nonce").is_empty());
    posted.ok();
    let refused = program.call(Method::POST, CREATE, &tokens, post_record(&did, "app.bsky.feed.like")).await;
    assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()));
    assert!(refused.text.contains("repo:app.bsky.feed.like?action=create"), "{}", refused.text);
    let session = program.call(Method::GET, SESSION, &tokens, Value::Null).await.ok();
    assert_eq!((&session["did"], &session["email"]), (&did, &Value::Null), "the address was not granted");
    // As a bearer's it is nobody's.
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let request = http::Request::get(SESSION).header(header::AUTHORIZATION, bearer);
    assert_eq!(program.send(request, Body::empty()).await.error(), (400, "InvalidToken".to_owned()));
}

#[tokio::test]
async fn tokens_end_are_renewed_and_are_given_back() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let tokens = program.tokens(SCOPE, "alice.test", PASSWORD).await;
    world.pass(5 * 60);
    let late = program.call(Method::GET, SESSION, &tokens, Value::Null).await;
    assert_eq!(late.error(), (401, "invalid_token".to_owned()));
    assert!(
        late.header("www-authenticate").starts_with("DPoP ")
            && late.header("www-authenticate").contains("error=\"invalid_token\"")
    );
    let next = program.refresh(&tokens).await.ok();
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);
    program.call(Method::GET, SESSION, &next, Value::Null).await.ok();

    let revoked = program.post(paths::REVOKE, &[("token", next["access_token"].as_str().unwrap())]).await;
    revoked.ok();
    let ended = program.call(Method::GET, SESSION, &next, Value::Null).await;
    assert_eq!(ended.error(), (401, "invalid_token".to_owned()), "at once");
    assert_eq!(program.refresh(&next).await.error(), (400, "invalid_grant".to_owned()));
    // Who has no such token hears the same.
    program.post(paths::REVOKE, &[("token", "nonsense")]).await.ok();
}

/// What breaks: whoever steals a code or a refresh token goes on beside its owner, unseen.
#[tokio::test]
async fn what_is_used_twice_ends_the_session() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let code = program.code(SCOPE, "alice.test", PASSWORD).await;
    let tokens = program.redeem(&code).await.ok();
    assert_eq!(program.redeem(&code).await.error(), (400, "invalid_grant".to_owned()));
    let ended = program.call(Method::GET, SESSION, &tokens, Value::Null).await;
    assert_eq!(ended.error(), (401, "invalid_token".to_owned()));
    assert_eq!(program.refresh(&tokens).await.error(), (400, "invalid_grant".to_owned()));

    program.verifier = "x".repeat(43);
    let first = program.tokens(SCOPE, "alice.test", PASSWORD).await;
    let second = program.refresh(&first).await.ok();
    assert_eq!(program.refresh(&first).await.error(), (400, "invalid_grant".to_owned()));
    let ended = program.call(Method::GET, SESSION, &second, Value::Null).await;
    assert_eq!(ended.error(), (401, "invalid_token".to_owned()));
    assert_eq!(program.refresh(&second).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn tokens_are_worth_nothing_without_their_key() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let tokens = program.tokens(SCOPE, "alice.test", PASSWORD).await;
    let token = tokens["access_token"].as_str().unwrap().to_owned();
    let call = |proofs: Vec<String>| {
        let mut request = http::Request::get(SESSION).header(header::AUTHORIZATION, format!("DPoP {token}"));
        for proof in proofs {
            request = request.header("dpop", proof);
        }
        request
    };
    let mut proof = |change: fn(&mut Value)| program.proof("GET", SESSION, Some(&token), change);
    let good = proof(|_| {});
    let cases = [
        (vec![], "invalid_dpop_proof"),
        (vec![proof(|_| {}), proof(|_| {})], "invalid_dpop_proof"),
        (vec![proof(|claims| claims["htm"] = json!("POST"))], "invalid_dpop_proof"),
        (
            vec![proof(|claims| claims["htu"] = json!("http://localhost:2583/xrpc/other"))],
            "invalid_dpop_proof",
        ),
        (vec![proof(|claims| claims["ath"] = json!("AAAA"))], "invalid_dpop_proof"),
        (vec![proof(|claims| claims["nonce"] = json!("old"))], "use_dpop_nonce"),
        (vec!["nonsense".to_owned()], "invalid_dpop_proof"),
    ];
    for (proofs, name) in cases {
        let refused = program.send(call(proofs.clone()), Body::empty()).await;
        assert_eq!(refused.error(), (401, name.to_owned()), "{proofs:?}");
        assert!(refused.header("www-authenticate").contains(&format!("error=\"{name}\"")));
        assert!(!refused.header("dpop-nonce").is_empty());
    }
    program.send(call(vec![good.clone()]), Body::empty()).await.ok();
    let replayed = program.send(call(vec![good]), Body::empty()).await;
    assert_eq!(replayed.error(), (401, "invalid_dpop_proof".to_owned()));
    program.change_key(12);
    let stolen = program.call(Method::GET, SESSION, &tokens, Value::Null).await;
    assert_eq!(stolen.error(), (401, "invalid_dpop_proof".to_owned()));
    assert_eq!(program.refresh(&tokens).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn the_endpoints_ask_for_a_proof_with_a_nonce() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    for path in [paths::PUSH, paths::TOKEN] {
        let form = "application/x-www-form-urlencoded";
        let bare = http::Request::post(path).header(header::CONTENT_TYPE, form);
        let refused = program.send(bare, Body::empty()).await;
        assert_eq!(refused.error(), (400, "invalid_dpop_proof".to_owned()));
        let proof = program.proof("POST", path, None, |claims| {
            claims.as_object_mut().unwrap().remove("nonce");
        });
        let request = http::Request::post(path).header(header::CONTENT_TYPE, form).header("dpop", proof);
        let refused = program.send(request, Body::empty()).await;
        assert_eq!(refused.error(), (400, "use_dpop_nonce".to_owned()));
        assert_eq!(refused.header("dpop-nonce"), world.app.oauth_nonce());
        assert_eq!(refused.header("access-control-allow-origin"), "*");
    }
    let twice = program.post(paths::TOKEN, &[("grant_type", "x"), ("grant_type", "y")]).await;
    assert_eq!(twice.error(), (400, "invalid_request".to_owned()));
    let other = program.post(paths::TOKEN, &[("grant_type", "password")]).await;
    assert_eq!(other.error(), (400, "unsupported_grant_type".to_owned()));
    let long = "x".repeat(100_000);
    let long = program.post(paths::PUSH, &[("state", &long)]).await;
    assert_eq!(long.error(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn pages_have_nothing_inline_no_frames_and_no_strangers() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let pushed = program.push(SCOPE, &[("login_hint", "<b>alice.test\"")]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let page = program.open(&path).await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://127.0.0.1:4000",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    account::check_loads(&page);
    assert!(page.text.contains("&#60;b&#62;alice.test&#34;"), "{}", page.text);
    let cookie = page.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let style = program.open("/assets/pages.css").await;
    assert_eq!((style.status, style.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    for path in [paths::SIGN_IN, paths::CONSENT] {
        let bare = program.send(http::Request::post(path), Body::empty()).await;
        assert_eq!(
            (bare.status, bare.header("x-frame-options")),
            (StatusCode::BAD_REQUEST, "DENY"),
            "{path}"
        );
    }
}

/// What breaks: another page, or another browser, answers in the owner's place.
#[tokio::test]
async fn only_the_page_in_its_browser_signs_in_and_consents() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let pushed = program.push(SCOPE, &[]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let page = program.open(&path).await;
    let filled = [("identifier", "alice.test"), ("password", PASSWORD)];
    for origin in ["https://evil.test", "null", "http://localhost:2584"] {
        let foreign = program.submit_from(origin, &page, "sign-in", &filled).await;
        assert_eq!(foreign.status, StatusCode::BAD_REQUEST, "{origin}");
    }
    let before = program.cookies.clone();
    program.cookies.clear();
    assert_eq!(program.submit(&page, "sign-in", &filled).await.status, StatusCode::BAD_REQUEST);
    // A cookie that somebody else set does not fit the form's token.
    program.cookies = before.keys().map(|name| (name.clone(), "A".repeat(43))).collect();
    assert_eq!(program.submit(&page, "sign-in", &filled).await.status, StatusCode::BAD_REQUEST);

    program.cookies = before.clone();
    let wrong =
        program.submit(&page, "sign-in", &[("identifier", "alice.test"), ("password", "wrong")]).await;
    assert!(wrong.status == StatusCode::BAD_REQUEST && wrong.text.contains("is wrong"), "{}", wrong.text);
    assert_eq!(program.submit(&page, "sign-in", &filled).await.status, StatusCode::SEE_OTHER);
    let after = std::mem::replace(&mut program.cookies, before.clone());
    assert_ne!(after, before, "the browser is given another value");
    // Whoever knew the first value sees a sign-in page, and can't answer.
    let page = program.open(&path).await;
    assert!(page.text.contains("password"), "{}", page.text);
    program.cookies = after.clone();
    let page = program.open(&path).await;
    assert!(page.text.contains("alice.test") && page.text.contains("app.bsky.feed.post"), "{}", page.text);
    program.cookies = before;
    assert_eq!(program.submit(&page, "allow", &[]).await.status, StatusCode::BAD_REQUEST);
    program.cookies = after;
    assert_eq!(
        program.submit_from("https://evil.test", &page, "allow", &[]).await.status,
        StatusCode::BAD_REQUEST
    );
    let answer = program.submit(&page, "allow", &[]).await;
    let location = answer.header("location");
    assert!(location.starts_with("http://127.0.0.1:4000/cb?"), "{location}");
    assert_eq!(parameter(location, "iss").as_deref(), Some("http://localhost:2583"));
    assert_eq!(parameter(location, "state").as_deref(), Some("xyz"));
    assert_eq!(program.submit(&page, "allow", &[]).await.status, StatusCode::BAD_REQUEST, "once");
}

#[tokio::test]
async fn a_user_may_say_no_at_each_step() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let pushed = program.push(SCOPE, &[("response_mode", "fragment")]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let page = program.open(&path).await;
    let answer = program.submit(&page, "cancel", &[]).await;
    let location = answer.header("location");
    assert!(location.contains("#iss=") && location.contains("error=access_denied"), "{location}");

    let pushed = program.push(SCOPE, &[]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let page = program.open(&path).await;
    program.submit(&page, "sign-in", &[("identifier", "alice.test"), ("password", PASSWORD)]).await;
    let page = program.open(&path).await;
    let answer = program.submit(&page, "deny", &[]).await;
    assert_eq!(parameter(answer.header("location"), "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(answer.header("location"), "code"), None);
    let pushed = program.push(SCOPE, &[("prompt", "none")]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let answer = program.open(&path).await;
    assert_eq!(parameter(answer.header("location"), "error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn an_agents_token_signs_in_and_an_app_password_does_not() {
    let world = World::new().await;
    let agent = world.post("agent.admin.createAgent", "Bearer letmein", &json!({"name": "robot"})).await.ok();
    let mut program = world.program(SCOPE);
    let tokens = program.tokens(SCOPE, "robot.test", agent["token"].as_str().unwrap()).await;
    assert_eq!(tokens["sub"], agent["did"]);

    let body = json!({"identifier": "alice.test", "password": PASSWORD});
    let session = world.post("com.atproto.server.createSession", "", &body).await.ok();
    let own = format!("Bearer {}", session["accessJwt"].as_str().unwrap());
    let made = world.post("com.atproto.server.createAppPassword", &own, &json!({"name": "phone"})).await.ok();
    let mut program = world.program(SCOPE);
    program.verifier = "x".repeat(43);
    let pushed = program.push(SCOPE, &[]).await.ok();
    let page = program.open(&program.page_of(pushed["request_uri"].as_str().unwrap())).await;
    let filled = [("identifier", "alice.test"), ("password", made["password"].as_str().unwrap())];
    let refused = program.submit(&page, "sign-in", &filled).await;
    assert!(refused.text.contains("app password"), "{}", refused.text);
}

#[tokio::test]
async fn what_is_no_request_of_this_server_leads_nowhere() {
    let world = World::new().await;
    let mut program = world.program(SCOPE);
    let pushed = program.push(SCOPE, &[]).await.ok();
    let uri = pushed["request_uri"].as_str().unwrap().to_owned();
    let other = world.program("atproto");
    for path in [
        paths::AUTHORIZE.to_owned(),
        format!("{}?client_id=https://evil.test/c.json&redirect_uri=https://evil.test/", paths::AUTHORIZE),
        program.page_of("urn:ietf:params:oauth:request_uri:made-up"),
        program.page_of(&format!("{uri}x")),
        other.page_of(&uri),
    ] {
        let page = program.open(&path).await;
        assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""), "{path}");
    }
    let path = program.page_of(&uri);
    assert_eq!(program.open(&path).await.status, StatusCode::OK);
    world.pass(600);
    assert_eq!(program.open(&path).await.status, StatusCode::BAD_REQUEST);
}
