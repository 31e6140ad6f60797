use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::crypto::jwt::HmacKey;
use crate::oauth::token::Tokens;

const NOW: i64 = 1_700_000_000;

fn many_sets() -> String {
    (0..=SETS_MAX).map(|number| format!("include:com.example.set{number}")).collect::<Vec<_>>().join(" ")
}

fn client() -> Client {
    let id = "https://app.example.com/client.json";
    let document = json!({
        "client_id": id, "redirect_uris": ["https://app.example.com/cb"], "dpop_bound_access_tokens": true,
        "scope": format!("atproto transition:generic transition:chat.bsky repo:app.bsky.feed.post {}", many_sets()),
        "token_endpoint_auth_method": "none",
    });
    Client::read(&Url::parse(id).unwrap(), document.to_string().as_bytes()).unwrap()
}

fn parameters() -> Value {
    json!({
        "response_type": "code", "redirect_uri": "https://app.example.com/cb", "scope": "repo:app.bsky.feed.post atproto",
        "state": "xyz", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
    })
}

fn check(parameters: Value) -> Result<AuthorizationRequest, Error> {
    serde_json::from_value::<Parameters>(parameters).unwrap().check(&client(), None, "key".to_owned())
}

#[test]
fn a_request_in_order_is_taken_in_its_one_form() {
    let request = check(parameters()).unwrap();
    assert_eq!(request.scope, "atproto repo:app.bsky.feed.post");
    assert_eq!((request.prompt, request.in_fragment, &*request.dpop_jkt), (Prompt::Pages, false, "key"));
    let mut bare = parameters();
    bare.as_object_mut().unwrap().remove("redirect_uri");
    assert_eq!(check(bare).unwrap(), request, "there is only one");
}

#[test]
fn what_breaks_a_rule_is_refused_by_name() {
    let table = [
        ("response_type", json!("token"), Code::UnsupportedResponseType),
        ("response_type", Value::Null, Code::UnsupportedResponseType),
        ("response_mode", json!("form_post"), Code::InvalidRequest),
        ("redirect_uri", json!("https://app.example.com/cb2"), Code::InvalidRequest),
        ("redirect_uri", json!("https://evil.test/cb"), Code::InvalidRequest),
        ("state", Value::Null, Code::InvalidRequest),
        ("state", json!(""), Code::InvalidRequest),
        ("state", json!("x".repeat(2000)), Code::InvalidRequest),
        ("code_challenge", Value::Null, Code::InvalidRequest),
        ("code_challenge", json!("short"), Code::InvalidRequest),
        ("code_challenge_method", json!("plain"), Code::InvalidRequest),
        ("code_challenge_method", Value::Null, Code::InvalidRequest),
        ("scope", Value::Null, Code::InvalidScope),
        ("scope", json!("repo:app.bsky.feed.post"), Code::InvalidScope),
        ("scope", json!("atproto repo:*"), Code::InvalidScope),
        ("scope", json!("atproto some:thing"), Code::InvalidScope),
        ("scope", json!("atproto transition:chat.bsky"), Code::InvalidScope),
        ("scope", json!("atproto include:app.bsky.authFull"), Code::InvalidScope),
        ("scope", json!(format!("atproto {}", many_sets())), Code::InvalidScope),
        ("scope", json!("x".repeat(5000)), Code::InvalidScope),
        ("prompt", json!("create"), Code::InvalidRequest),
        ("login_hint", json!("x".repeat(5000)), Code::InvalidRequest),
        ("dpop_jkt", json!("another"), Code::InvalidProof),
        ("request", json!("e30.e30."), Code::InvalidRequest),
        ("request_uri", json!("urn:x"), Code::InvalidRequest),
    ];
    for (name, value, code) in table {
        let mut changed = parameters();
        changed[name] = value.clone();
        assert_eq!(check(changed).map_err(|error| error.code), Err(code), "{name} {value}");
    }
}

/// What breaks: somebody asks a page for consent to what no client pushed.
#[test]
fn a_request_uri_is_read_again_for_ten_minutes_and_can_not_be_made_by_others() {
    let tokens = |key| {
        Tokens::new(
            HmacKey::from_bytes([key; 32]),
            "https://pds.test".to_owned(),
            "did:web:pds.test".to_owned(),
        )
    };
    let request = check(parameters()).unwrap();
    let uri = tokens(1).request(&request, &[7; 16], NOW).unwrap();
    let (read, id) = tokens(1).read_request(&uri, NOW + 599).unwrap();
    assert_eq!((read, id.len()), (request.clone(), 43));
    let other = tokens(1).request(&request, &[8; 16], NOW).unwrap();
    assert_ne!(tokens(1).read_request(&other, NOW).unwrap().1, id, "each is one of its own");
    for (uri, tokens, now) in [
        (uri.clone(), tokens(1), NOW + 600),
        (uri.clone(), tokens(2), NOW),
        (format!("{uri}A"), tokens(1), NOW),
        (uri.replace(URN, ""), tokens(1), NOW),
        (String::new(), tokens(1), NOW),
    ] {
        assert_eq!(tokens.read_request(&uri, now).map_err(|error| error.code), Err(Code::InvalidRequest));
    }
}
