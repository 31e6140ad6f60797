//! Clients that are what their documents say, and show who they are.

use http::StatusCode;
use p256::ecdsa::SigningKey;
use serde_json::{Value, json};

use super::{PASSWORD, World};
use crate::oauth::metadata::paths;
use crate::testing::{Program, jwk};

const WEB: &str = "https://app.example.com/client.json";

fn web_document(more: &Value) -> Value {
    let mut document = json!({
        "client_id": WEB, "client_name": "An app",
        "redirect_uris": ["https://app.example.com/cb", "https://app.example.com"],
        "grant_types": ["authorization_code", "refresh_token"], "scope": "atproto transition:generic",
        "dpop_bound_access_tokens": true, "token_endpoint_auth_method": "none",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        document[name] = value.clone();
    }
    document
}

fn web_program(world: &World) -> Program {
    let mut program = world.program("atproto");
    program.client_id = WEB.to_owned();
    program.redirect_uri = "https://app.example.com/cb".to_owned();
    program
}

#[tokio::test]
async fn a_web_client_is_what_its_document_says() {
    let world = World::new().await;
    let mut program = web_program(&world);
    let refused = program.push("atproto", &[]).await;
    assert_eq!(refused.error(), (400, "invalid_client_metadata".to_owned()), "it serves none");
    world.serve(WEB, &web_document(&json!({})));
    for (name, value, code) in [
        ("scope", "atproto repo:*", "invalid_scope"),
        ("redirect_uri", "https://app.example.com/other", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
    ] {
        let scope = if name == "scope" { value } else { "atproto" };
        let refused = program.push(scope, &[(name, value)]).await;
        assert_eq!(refused.error(), (400, code.to_owned()), "{name}");
    }
    let tokens = program.tokens("atproto transition:generic", "alice.test", PASSWORD).await;
    let page = program.open(&program.page_of("x")).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    // Written as no URL parser writes it, and so at both its ends.
    program.redirect_uri = "https://app.example.com".to_owned();
    program.verifier = "y".repeat(43);
    program.tokens("atproto", "alice.test", PASSWORD).await;
    // Its document is asked for again after ten minutes, and is another one.
    world.pass(601);
    world.serve(WEB, &web_document(&json!({"grant_types": ["authorization_code"]})));
    assert_eq!(program.refresh(&tokens).await.error(), (400, "unauthorized_client".to_owned()));
    // A server that is away for a while leaves the client what it was.
    world.host.internet.documents.lock().unwrap().clear();
    world.pass(601);
    assert_eq!(program.refresh(&tokens).await.error(), (400, "unauthorized_client".to_owned()));
}

#[tokio::test]
async fn a_confidential_client_shows_who_it_is_each_time() {
    let world = World::new().await;
    let key = |seed| SigningKey::from_slice(&[seed; 32]).unwrap();
    let named = |seed, kid: &str| {
        let mut jwk = jwk(&key(seed));
        jwk["kid"] = kid.into();
        jwk
    };
    let document = |keys: Value| {
        web_document(&json!({"token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256", "jwks": {"keys": keys}}))
    };
    world.serve(WEB, &document(json!([named(21, "a")])));
    let mut program = web_program(&world);
    assert_eq!(
        program.push("atproto", &[]).await.error(),
        (401, "invalid_client".to_owned()),
        "nothing shown"
    );
    program.client_key = Some((key(22), "a".to_owned()));
    assert_eq!(program.push("atproto", &[]).await.error(), (401, "invalid_client".to_owned()), "another key");
    program.client_key = Some((key(21), "a".to_owned()));
    let tokens = program.tokens("atproto", "alice.test", PASSWORD).await;
    let tokens = program.refresh(&tokens).await.ok();
    // The same assertion is not taken twice.
    let assertion = program.assertion(&key(21), "a");
    program.client_key = None;
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let again = [("token", "x"), ("client_assertion", &assertion), ("client_assertion_type", kind)];
    program.post(paths::REVOKE, &again).await.ok();
    assert_eq!(program.post(paths::REVOKE, &again).await.error(), (401, "invalid_client".to_owned()));
    // A key more changes nothing; the first one gone ends the session.
    program.client_key = Some((key(22), "b".to_owned()));
    world.pass(61);
    world.serve(WEB, &document(json!([named(21, "a"), named(22, "b")])));
    assert_eq!(program.refresh(&tokens).await.error(), (400, "invalid_grant".to_owned()), "not its key");
    program.client_key = Some((key(21), "a".to_owned()));
    let tokens = program.refresh(&tokens).await.ok();
    world.pass(601);
    world.serve(WEB, &document(json!([named(22, "b")])));
    program.client_key = Some((key(22), "b".to_owned()));
    assert_eq!(program.refresh(&tokens).await.error(), (400, "invalid_grant".to_owned()));
    world.serve(WEB, &document(json!([named(21, "a")])));
    program.client_key = Some((key(21), "a".to_owned()));
    world.pass(601);
    assert_eq!(program.refresh(&tokens).await.error(), (400, "invalid_grant".to_owned()), "it has ended");
}
