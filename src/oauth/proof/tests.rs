use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_700_000_000;
const URL: &str = "https://pds.test/oauth/par";

fn nonces() -> Nonces {
    Nonces::new(HmacKey::from_bytes([9; 32]))
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn jwk(key: &SigningKey) -> Value {
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |range| BASE64URL_NOPAD.encode(&point.as_bytes()[range]);
    json!({"kty": "EC", "crv": "P-256", "x": coordinate(1..33), "y": coordinate(33..65)})
}

fn signed(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let signature: p256::ecdsa::Signature = key.sign(text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn header() -> Value {
    json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(&key(1))})
}

fn claims() -> Value {
    json!({"jti": "1", "htm": "POST", "htu": URL, "iat": NOW, "nonce": nonces().now(NOW)})
}

fn check_at(text: &str, access_token: Option<&str>, now_seconds: i64) -> Result<Proof, Error> {
    let expected = Expected { method: "POST", url: "https://pds.test/oauth/par?a=b", access_token };
    check(text, expected, &nonces(), now_seconds)
}

fn code(header: &Value, claims: &Value) -> Result<String, Code> {
    let checked = check_at(&signed(header, claims, &key(1)), None, NOW);
    checked.map(|proof| proof.thumbprint).map_err(|error| error.code)
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    value[name] = new;
    value
}

#[test]
fn a_proof_holds_for_its_key_its_request_and_its_minutes() {
    let thumbprint = code(&header(), &claims()).unwrap();
    let other = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(&key(2))});
    let proof = check_at(&signed(&other, &claims(), &key(2)), None, NOW).unwrap();
    assert_ne!(proof.thumbprint, thumbprint);
    // Whatever the client's clock says.
    code(&header(), &with(claims(), "iat", json!(0))).unwrap();
    for (later, expected) in [(0, true), (60, true), (121, false), (-60, true), (-121, false)] {
        let checked = check_at(&signed(&header(), &claims(), &key(1)), None, NOW + later);
        assert_eq!(checked.is_ok(), expected, "{later}");
        assert!(checked.is_ok() || checked.is_err_and(|error| error.code == Code::UseNonce), "{later}");
    }
}

#[test]
fn what_is_forged_or_for_another_request_is_refused() {
    let mut without_nonce = claims();
    without_nonce.as_object_mut().unwrap().remove("nonce");
    assert_eq!(code(&header(), &without_nonce), Err(Code::UseNonce));
    assert_eq!(code(&header(), &with(claims(), "nonce", json!("made-up"))), Err(Code::UseNonce));
    for (name, value) in [
        ("jti", json!("")),
        ("jti", json!("x".repeat(1000))),
        ("jti", Value::Null),
        ("htm", json!("GET")),
        ("htm", json!("post")),
        ("htu", json!("https://pds.test/oauth/token")),
        ("htu", json!("https://pds.test/oauth/par?a=b")),
        ("htu", json!("https://pds.test/oauth/par#a")),
        ("htu", json!("https://pds.test:444/oauth/par")),
        ("htu", json!("http://pds.test/oauth/par")),
        ("htu", json!("https://pds.test.evil.test/oauth/par")),
        ("htu", json!("https://pds.test@evil.test/oauth/par")),
        ("htu", json!("https://evil@pds.test/oauth/par")),
        ("htu", json!("https://pds.test/oauth/par/")),
        ("htu", json!("/oauth/par")),
        ("iat", Value::Null),
        ("ath", json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo")),
    ] {
        assert_eq!(
            code(&header(), &with(claims(), name, value.clone())),
            Err(Code::InvalidProof),
            "{name} {value}"
        );
    }
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("jwk", jwk(&key(2))),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("jwk", with(jwk(&key(1)), "d", json!("AAAA"))),
        ("jwk", Value::Null),
        ("crit", json!(["b64"])),
    ] {
        assert_eq!(
            code(&with(header(), name, value.clone()), &claims()),
            Err(Code::InvalidProof),
            "{name} {value}"
        );
    }
    // The usual form of a URL is the same URL.
    code(&header(), &with(claims(), "htu", json!("https://PDS.test:443/oauth/par"))).unwrap();
}

#[test]
fn a_proof_goes_with_one_access_token() {
    let ath = |token: &str| BASE64URL_NOPAD.encode(&sha256(token.as_bytes()));
    let text = signed(&header(), &with(claims(), "ath", json!(ath("token"))), &key(1));
    check_at(&text, Some("token"), NOW).unwrap();
    for other in [Some("another"), None] {
        assert_eq!(check_at(&text, other, NOW).unwrap_err().code, Code::InvalidProof);
    }
    let bare = signed(&header(), &claims(), &key(1));
    assert_eq!(check_at(&bare, Some("token"), NOW).unwrap_err().code, Code::InvalidProof);
}

#[test]
fn what_was_seen_is_taken_once_for_as_long_as_its_nonce_is_good() {
    let mut seen = Seen::new(10);
    let proof = check_at(&signed(&header(), &claims(), &key(1)), None, NOW).unwrap();
    for (now, expected) in [(NOW, Ok(())), (NOW, Err(Refused::Again)), (NOW + 60, Err(Refused::Again))] {
        assert_eq!(seen.take(proof.mark, now), expected, "{now}");
    }
    let window = |window| Mark::in_window(&["x"], window);
    let now = NOW.div_euclid(WINDOW_SECONDS);
    let mut full = Seen::new(2);
    full.take(window(now), NOW).unwrap();
    full.take(Mark::in_window(&["y"], now), NOW).unwrap();
    assert_eq!(full.take(Mark::in_window(&["z"], now), NOW), Err(Refused::Full));
    assert_eq!(full.take(window(now), NOW), Err(Refused::Again));
    let later = NOW + 3 * WINDOW_SECONDS;
    full.take(window(now + 3), later).unwrap();
    assert_eq!(full.windows.len(), 1, "what nobody would take any more is forgotten");
    assert_ne!(Mark::in_window(&["ab", "c"], now), Mark::in_window(&["a", "bc"], now));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        prop_assert!(check_at(&text, None, NOW).is_err());
    }
}
