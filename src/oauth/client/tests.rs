use serde_json::{Value, json};

use super::*;

const ID: &str = "https://app.example.com/client.json";

fn document() -> Value {
    json!({
        "client_id": ID,
        "client_name": "An \u{202e}app\nof ours",
        "client_uri": "https://app.example.com",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": ["https://app.example.com/callback", "https://www.example.com/callback?a=b"],
        "scope": "atproto transition:generic some:thing",
        "token_endpoint_auth_method": "none",
        "dpop_bound_access_tokens": true,
    })
}

fn keys() -> Value {
    json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]})
}

fn read(document: &Value) -> Result<Client, Error> {
    Client::read(&Url::parse(ID).unwrap(), document.to_string().as_bytes())
}

fn changed(changes: &[(&str, Value)]) -> Result<Client, Error> {
    let mut document = document();
    for (name, value) in changes {
        document[*name] = value.clone();
    }
    read(&document)
}

#[test]
fn names_of_clients_are_urls_of_documents() {
    let parse = |text| ClientId::parse(text, false);
    assert_eq!(parse(ID), Ok(ClientId::Document(Url::parse(ID).unwrap())));
    for bad in [
        "",
        "app",
        "app.example.com",
        "http://app.example.com/client.json",
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/client/",
        "https://app.example.com:8443/client.json",
        "https://user@app.example.com/client.json",
        "https://app.example.com/client.json#x",
        "https://app.example.com/a/../client.json",
        "https://APP.example.com/client.json",
        "https://127.0.0.1/client.json",
        "https://[::1]/client.json",
        "https://localhost/client.json",
        "https://app.localhost/client.json",
        "https://intranet/client.json",
        "javascript:alert(1)",
    ] {
        assert_eq!(parse(bad).map_err(|error| error.code), Err(Code::InvalidClient), "{bad}");
    }
    parse(&format!("https://app.example.com/{}", "x".repeat(2000))).unwrap_err();
    ClientId::parse("https://app.localhost:8443/client.json", true).unwrap();
    ClientId::parse("https://app.example.com:8443/client.json", true).unwrap_err();
}

#[test]
fn a_program_on_the_developers_machine_needs_no_document() {
    let parse = |text| ClientId::parse(text, false);
    let uris = |text| match parse(text) {
        Ok(ClientId::Loopback { redirect_uris, scope }) => {
            (redirect_uris.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), scope.to_string())
        }
        other => panic!("{text}: {other:?}"),
    };
    let usual = ("http://127.0.0.1/ http://[::1]/".to_owned(), "atproto".to_owned());
    for text in ["http://localhost", "http://localhost/", "http://localhost?"] {
        assert_eq!(uris(text), usual);
    }
    let own = uris("http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%3A80%2Fcb&scope=atproto%20repo%3A*");
    assert_eq!(own, ("http://127.0.0.1/cb".to_owned(), "atproto repo:*".to_owned()));
    for bad in [
        "http://localhost:80",
        "http://localhost/path",
        "http://localhost.evil.test",
        "http://localhost#",
        "http://127.0.0.1",
        "http://localhost?redirect_uri=http://localhost/cb",
        "http://localhost?redirect_uri=https://app.example.com/cb",
        "http://localhost?scope=atproto&scope=atproto",
        "http://localhost?name=x",
    ] {
        parse(bad).unwrap_err();
    }
}

#[test]
fn documents_are_read_and_their_rules_hold() {
    let client = read(&document()).unwrap();
    assert_eq!((client.name.as_deref(), client.is_native), (Some("An appof ours"), false));
    assert_eq!(client.origin(), "app.example.com");
    assert_eq!(client.scope.to_string(), "atproto transition:generic", "what is not known is no error here");
    let bad = [
        ("client_id", json!("https://app.example.com/other.json")),
        ("client_uri", json!("https://example.com")),
        ("grant_types", json!(["implicit"])),
        ("response_types", json!(["token"])),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(["http://app.example.com/callback"])),
        ("redirect_uris", json!(["http://127.0.0.1/callback"])),
        ("redirect_uris", json!(["com.example.app:/callback"])),
        ("redirect_uris", json!(["javascript:alert(1)"])),
        ("redirect_uris", json!(["https://app.example.com/#x"])),
        ("redirect_uris", json!(["https://user@app.example.com/"])),
        ("scope", json!("transition:generic")),
        ("scope", json!("x".repeat(5000))),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("token_endpoint_auth_method", Value::Null),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_signing_alg", json!("ES256")),
        ("dpop_bound_access_tokens", json!(false)),
        ("application_type", json!("desktop")),
    ];
    for (name, value) in bad {
        let refused = changed(&[(name, value.clone())]).unwrap_err();
        assert_eq!(refused.code, Code::InvalidClientMetadata, "{name} {value}");
    }
    Client::read(&Url::parse(ID).unwrap(), b"<html>").unwrap_err();
}

#[test]
fn a_native_client_is_answered_on_its_device() {
    let native =
        |uri: &str| changed(&[("application_type", json!("native")), ("redirect_uris", json!([uri]))]);
    for good in [
        "com.example.app:/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:80/callback",
        "https://app.example.com/callback",
    ] {
        native(good).unwrap();
    }
    for bad in [
        "com.example.app://callback",
        "com.example.app:callback",
        "com.example.other:/callback",
        "app.example.com:/callback",
        "https://www.example.com/callback",
        "http://localhost/callback",
        "http://127.0.0.2/callback",
    ] {
        native(bad).unwrap_err();
    }
    let keys = [
        ("application_type", json!("native")),
        ("redirect_uris", json!(["com.example.app:/callback"])),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_signing_alg", json!("ES256")),
        ("jwks", keys()),
    ];
    changed(&keys).unwrap_err();
}

#[test]
fn a_confidential_client_has_keys_in_one_place() {
    let method = ("token_endpoint_auth_method", json!("private_key_jwt"));
    let alg = ("token_endpoint_auth_signing_alg", json!("ES256"));
    let at = ("jwks_uri", json!("https://app.example.com/keys.json"));
    let keys = ("jwks", keys());
    let (here, there) =
        ([method.clone(), alg.clone(), keys.clone()], [method.clone(), alg.clone(), at.clone()]);
    assert!(matches!(changed(&here).unwrap().auth, ClientAuth::Keys(_)));
    assert!(matches!(changed(&there).unwrap().auth, ClientAuth::KeysAt(_)));
    changed(&[method.clone(), alg.clone(), keys.clone(), at]).unwrap_err();
    changed(&[method.clone(), keys]).unwrap_err();
    changed(&[method.clone(), alg.clone(), ("jwks", json!({"keys": []}))]).unwrap_err();
    changed(&[method, alg, ("jwks_uri", json!("http://app.example.com/keys.json"))]).unwrap_err();
}

/// What breaks: a code goes to a page that is nearly the client's.
#[test]
fn only_the_clients_own_redirect_uris_are_met() {
    let client = read(&document()).unwrap();
    assert!(client.redirect_uri("https://app.example.com/callback").is_some());
    for near in [
        "https://app.example.com/callback/",
        "https://app.example.com/callback?x=y",
        "https://app.example.com/Callback",
        "https://app.example.com:8443/callback",
        "https://app.example.com.evil.test/callback",
        "https://app.example.com@evil.test/callback",
        "https://app.example.com/callback#x",
        "https://www.example.com/callback",
        "http://app.example.com/callback",
        "//app.example.com/callback",
        "",
    ] {
        assert_eq!(client.redirect_uri(near), None, "{near}");
    }
    let ClientId::Loopback { redirect_uris, scope } =
        ClientId::parse("http://localhost?redirect_uri=http://127.0.0.1/cb", false).unwrap()
    else {
        panic!("not a loopback client");
    };
    let local = Client::loopback("http://localhost", redirect_uris, scope);
    assert!(local.redirect_uri("http://127.0.0.1:4321/cb").is_some());
    for near in [
        "http://127.0.0.1:4321/",
        "http://[::1]:4321/cb",
        "http://127.0.0.1:4321/cb?x",
        "https://127.0.0.1/cb",
    ] {
        assert_eq!(local.redirect_uri(near), None, "{near}");
    }
}

#[test]
fn answers_are_added_to_what_a_redirect_uri_has() {
    let uri = RedirectUri::parse("https://app.example.com/cb?a=b").unwrap();
    assert_eq!(uri.answer(false, &[("code", "x y")]), "https://app.example.com/cb?a=b&code=x+y");
    assert_eq!(uri.answer(true, &[("code", "x")]), "https://app.example.com/cb?a=b#code=x");
    assert_eq!(uri.form_action(), "https://app.example.com");
    let here = |text| RedirectUri::parse(text).unwrap().form_action();
    assert_eq!(here("http://127.0.0.1:8080/cb"), "http://127.0.0.1:8080");
    assert_eq!(here("http://[::1]:8080/cb"), "http:", "browsers know no source with an IPv6 address");
    let private = RedirectUri::parse("com.example.app:/cb").unwrap();
    assert_eq!(private.answer(false, &[("code", "x")]), "com.example.app:/cb?code=x");
    assert_eq!(private.form_action(), "com.example.app:");
}
