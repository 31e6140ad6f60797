//! Tokens: JSON Web Signatures in compact form (RFC 7515, 7519).
//!
//! These kinds are in use, and the header's `typ` keeps them apart, so that none passes for another:
//!
//! | [`Typ`] | signed with | for |
//! |---|---|---|
//! | `at+jwt` | HS256, a key of this server | a session's access token |
//! | `refresh+jwt` | HS256, a key of this server | a session's refresh token |
//! | `JWT` | ES256K or ES256, the account's or a client's key | service auth between servers; who an OAuth client is |
//! | `dpop+jwt` | ES256, a key of the client's session | one request with a token that is bound to that key |
//! | `oauth-refresh+jwt`, `oauth-request+jwt` | HS256, another key of this server | OAuth: the next tokens; what a client asked for |
//!
//! The algorithm is decided by the key that is at hand, never by the token: `alg` must merely agree.
//! Whoever checks a service token needs its issuer to find the key, so [`Unverified::parse`] gives the
//! claims first, in a type that says what they are worth.
//!
//! Every token but a proof must carry `exp`. `iat` and `nbf` are checked where present, with [`SKEW_SECONDS`] of
//! tolerance for other people's clocks.

use super::{SigningKey, VerifyingKey};
use crate::limits::TOKEN_BYTES_MAX;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// How far ahead of ours another server's clock may be.
pub const SKEW_SECONDS: i64 = 60;

/// Why a token was not made or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not three base64url parts of JSON, JSON and bytes, or a claim of the wrong type.
    #[error("token is malformed: {0}")]
    Malformed(&'static str),
    /// The header names another algorithm than the key's.
    #[error("token is signed with another algorithm")]
    WrongAlgorithm,
    /// The header names another kind of token.
    #[error("token is of another type")]
    WrongType,
    /// The header names another key of the issuer's.
    #[error("token is signed with a key for something else")]
    WrongKey,
    /// Not signed by this key.
    #[error("token signature does not match")]
    BadSignature,
    /// `exp` has passed.
    #[error("token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("token is not valid yet")]
    NotYetValid,
    /// The claims could not be written as JSON.
    #[error("token claims could not be encoded")]
    Encode,
}

/// The header's `typ`: what the token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typ {
    /// A session's access token.
    Access,
    /// A session's refresh token.
    Refresh,
    /// A service token. Some signers leave `typ` out here, which is accepted.
    Service,
    /// An OAuth client's word on who it is (RFC 7523), signed with a key of the client's. `typ` may be absent.
    Assertion,
    /// A proof of possession (RFC 9449).
    Proof,
    /// An OAuth session's refresh token.
    OauthRefresh,
    /// What an OAuth client asked for, as this server keeps it: at the client.
    OauthRequest,
}

impl Typ {
    fn as_str(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "refresh+jwt",
            Self::Service | Self::Assertion => "JWT",
            Self::Proof => "dpop+jwt",
            Self::OauthRefresh => "oauth-refresh+jwt",
            Self::OauthRequest => "oauth-request+jwt",
        }
    }

    fn matches(self, given: Option<&str>) -> bool {
        match given {
            Some(given) => given.eq_ignore_ascii_case(self.as_str()),
            None => matches!(self, Self::Service | Self::Assertion),
        }
    }
}

/// The secret under which this server signs its own session tokens.
#[derive(Clone)]
pub struct HmacKey(Zeroizing<[u8; 32]>);

impl HmacKey {
    /// Takes 32 bytes of key, derived from the master key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The HMAC-SHA256 of `input`.
    pub fn tag(&self, input: &[u8]) -> [u8; 32] {
        self.mac(input).finalize().into_bytes().into()
    }

    fn mac(&self, input: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a short key with zeros to the block size; done here, the constructor cannot fail.
        let mut block = Zeroizing::new([0; 64]);
        for (to, from) in block.iter_mut().zip(self.0.iter()) {
            *to = *from;
        }
        Hmac::<Sha256>::new((&*block).into()).chain_update(input)
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(hidden)")
    }
}

/// The key in its owner's DID document that signs service tokens, and that signs those without `kid`.
pub const SERVICE_KEY: &str = "#atproto";

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    typ: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    alg: std::borrow::Cow<'a, str>,
    /// Which of the issuer's keys signed, of a service token.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    kid: Option<std::borrow::Cow<'a, str>>,
    /// Extensions that must be understood; we understand none.
    #[serde(default, skip_serializing)]
    crit: Option<serde::de::IgnoredAny>,
}

/// The claims that say when a token holds. RFC 7519 allows fractions.
#[derive(Deserialize)]
struct Times {
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
}

/// Signs a session token with this server's key.
///
/// # Errors
/// [`Error::Encode`] when `claims` is not JSON.
pub fn sign_hs256<C: Serialize>(typ: Typ, claims: &C, key: &HmacKey) -> Result<String, Error> {
    sign_with(typ, "HS256", claims, |input| key.mac(input).finalize().into_bytes().to_vec())
}

/// Checks a session token and gives its claims.
///
/// # Errors
/// Each variant but [`Error::Encode`]. The signature is checked before the times, so [`Error::Expired`]
/// is only ever said of a token of ours.
pub fn verify_hs256<C: DeserializeOwned>(
    token: &str,
    typ: Typ,
    key: &HmacKey,
    now_seconds: i64,
) -> Result<C, Error> {
    let parts = Unverified::parse(token)?;
    parts.check_header(typ, "HS256")?;
    key.mac(parts.signed.as_bytes()).verify_slice(&parts.signature).map_err(|_| Error::BadSignature)?;
    parts.check_times(now_seconds)?;
    parts.claims()
}

/// Signs a service token with an account's key.
///
/// # Errors
/// [`Error::Encode`] when `claims` is not JSON.
pub fn sign_es256k<C: Serialize>(claims: &C, key: &SigningKey) -> Result<String, Error> {
    sign_with(Typ::Service, "ES256K", claims, |input| key.sign(input).to_vec())
}

fn sign_with<C: Serialize>(
    typ: Typ,
    algorithm: &str,
    claims: &C,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<String, Error> {
    let kid = (typ == Typ::Service).then_some(SERVICE_KEY.into());
    let header = Header { typ: Some(typ.as_str().into()), alg: algorithm.into(), kid, crit: None };
    let header = serde_json::to_vec(&header).map_err(|_| Error::Encode)?;
    let claims = serde_json::to_vec(claims).map_err(|_| Error::Encode)?;
    let mut token = BASE64URL_NOPAD.encode(&header);
    token.push('.');
    BASE64URL_NOPAD.encode_append(&claims, &mut token);
    let signature = sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    Ok(token)
}

/// A token taken apart, its signature not yet checked.
#[derive(Debug)]
pub struct Unverified<'a> {
    signed: &'a str,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a compact token apart.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(token: &'a str) -> Result<Self, Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Malformed("too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed("not three parts"))?;
        let (header, payload) = signed.split_once('.').ok_or(Error::Malformed("not three parts"))?;
        let decode = |part: &str| {
            BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Error::Malformed("not base64url"))
        };
        Ok(Self { signed, header: decode(header)?, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// The claims **as anyone may have written them**: good for finding the key, and for nothing else.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn claims<C: DeserializeOwned>(&self) -> Result<C, Error> {
        serde_json::from_slice(&self.payload).map_err(|_| Error::Malformed("claims"))
    }

    /// Checks a service token against the issuer's key and gives the claims.
    ///
    /// # Errors
    /// Each variant but [`Error::Encode`].
    pub fn verify<C: DeserializeOwned>(&self, key: &VerifyingKey, now_seconds: i64) -> Result<C, Error> {
        self.check_signature(Typ::Service, key)?;
        self.check_times(now_seconds)?;
        self.claims()
    }

    /// Checks that it is of this kind and signed with this key, and nothing else of it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::WrongAlgorithm`], [`Error::WrongType`] or [`Error::BadSignature`].
    pub fn check_signature(&self, typ: Typ, key: &VerifyingKey) -> Result<(), Error> {
        self.check_header(typ, key.jws_algorithm())?;
        key.verify_jws(self.signed.as_bytes(), &self.signature).map_err(|_| Error::BadSignature)
    }

    /// What the header says besides kind and algorithm, **as anyone may have written it**.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn header<H: DeserializeOwned>(&self) -> Result<H, Error> {
        serde_json::from_slice(&self.header).map_err(|_| Error::Malformed("header"))
    }

    fn check_header(&self, typ: Typ, algorithm: &str) -> Result<(), Error> {
        let header: Header<'_> =
            serde_json::from_slice(&self.header).map_err(|_| Error::Malformed("header"))?;
        if header.crit.is_some() {
            return Err(Error::Malformed("critical extension"));
        }
        if header.alg != algorithm {
            return Err(Error::WrongAlgorithm);
        }
        if !typ.matches(header.typ.as_deref()) {
            return Err(Error::WrongType);
        }
        // Another key of the issuer's is for something else.
        if typ == Typ::Service && header.kid.is_some_and(|kid| kid != SERVICE_KEY) {
            return Err(Error::WrongKey);
        }
        Ok(())
    }

    // Seconds of any real date are exact in an f64.
    #[expect(clippy::cast_precision_loss)]
    /// Checks `exp`, `nbf` and `iat`.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::NotYetValid`], [`Error::Malformed`].
    pub fn check_times(&self, now_seconds: i64) -> Result<(), Error> {
        let times: Times = self.claims()?;
        let expires = times.exp.ok_or(Error::Malformed("no exp"))?;
        if expires <= now_seconds as f64 {
            return Err(Error::Expired);
        }
        let latest = now_seconds.saturating_add(SKEW_SECONDS) as f64;
        if [times.nbf, times.iat].into_iter().flatten().any(|from| from > latest) {
            return Err(Error::NotYetValid);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_700_000_000;

    fn key() -> HmacKey {
        HmacKey::from_bytes([3; 32])
    }

    fn claims() -> Value {
        json!({"sub": "did:plc:abc", "iat": NOW, "exp": NOW + 60, "scope": "com.atproto.access"})
    }

    fn raw(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = key().mac(signed.as_bytes()).finalize().into_bytes();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn check(token: &str) -> Result<Value, Error> {
        verify_hs256(token, Typ::Access, &key(), NOW)
    }

    #[test]
    fn session_tokens_go_round() {
        let token = sign_hs256(Typ::Access, &claims(), &key()).unwrap();
        assert_eq!(check(&token), Ok(claims()));
        let other = HmacKey::from_bytes([4; 32]);
        assert_eq!(verify_hs256::<Value>(&token, Typ::Access, &other, NOW), Err(Error::BadSignature));
        assert_eq!(verify_hs256::<Value>(&token, Typ::Refresh, &key(), NOW), Err(Error::WrongType));
    }

    /// Breaks if our own zero padding of the key is not the standard's.
    #[test]
    fn mac_is_the_standard_hmac() {
        let expected = Hmac::<Sha256>::new_from_slice(&[3; 32]).unwrap().chain_update(b"input").finalize();
        assert_eq!(key().mac(b"input").finalize().into_bytes(), expected.into_bytes());
    }

    #[test]
    fn header_is_strict() {
        let good = json!({"typ": "at+jwt", "alg": "HS256"});
        assert!(check(&raw(&good, &claims())).is_ok());
        for (header, error) in [
            (json!({"typ": "at+jwt", "alg": "none"}), Error::WrongAlgorithm),
            (json!({"typ": "at+jwt", "alg": "ES256K"}), Error::WrongAlgorithm),
            (json!({"typ": "JWT", "alg": "HS256"}), Error::WrongType),
            (json!({"alg": "HS256"}), Error::WrongType),
            (json!({"typ": "at+jwt"}), Error::Malformed("header")),
            (
                json!({"typ": "at+jwt", "alg": "HS256", "crit": ["b64"]}),
                Error::Malformed("critical extension"),
            ),
            (json!([]), Error::Malformed("header")),
        ] {
            assert_eq!(check(&raw(&header, &claims())), Err(error), "{header}");
        }
    }

    #[test]
    fn times_are_checked() {
        let header = json!({"typ": "at+jwt", "alg": "HS256"});
        for (times, expected) in [
            (json!({"exp": NOW + 1}), Ok(())),
            (json!({"exp": 1_700_000_000.5}), Ok(())),
            (json!({"exp": NOW}), Err(Error::Expired)),
            (json!({"exp": NOW - 1}), Err(Error::Expired)),
            (json!({}), Err(Error::Malformed("no exp"))),
            (json!({"exp": "soon"}), Err(Error::Malformed("claims"))),
            (json!({"exp": NOW + 1, "nbf": NOW + SKEW_SECONDS}), Ok(())),
            (json!({"exp": NOW + 1, "nbf": NOW + SKEW_SECONDS + 1}), Err(Error::NotYetValid)),
            (json!({"exp": NOW + 1, "iat": NOW + SKEW_SECONDS + 1}), Err(Error::NotYetValid)),
        ] {
            assert_eq!(check(&raw(&header, &times)).map(drop), expected, "{times}");
        }
    }

    #[test]
    fn service_tokens_of_both_curves() {
        let key = SigningKey::from_bytes(&[5; 32]).unwrap();
        let token = sign_es256k(&claims(), &key).unwrap();
        let parts = Unverified::parse(&token).unwrap();
        assert_eq!(parts.claims::<Value>().unwrap(), claims());
        assert_eq!(parts.verify::<Value>(&key.verifying_key(), NOW), Ok(claims()));
        let other = SigningKey::from_bytes(&[6; 32]).unwrap().verifying_key();
        assert_eq!(parts.verify::<Value>(&other, NOW), Err(Error::BadSignature));

        let p256 = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let public = VerifyingKey::P256(*p256.verifying_key());
        assert_eq!(parts.verify::<Value>(&public, NOW), Err(Error::WrongAlgorithm));
        let token = sign_with(Typ::Service, "ES256", &claims(), |input| {
            let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&p256, input);
            signature.to_vec()
        });
        assert_eq!(Unverified::parse(&token.unwrap()).unwrap().verify::<Value>(&public, NOW), Ok(claims()));
    }

    #[test]
    fn a_service_token_names_its_key_and_is_of_no_other() {
        let key = SigningKey::from_bytes(&[5; 32]).unwrap();
        let signed = |header: Value| {
            let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            let signed = format!("{}.{}", part(&header), part(&claims()));
            let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()));
            let token = format!("{signed}.{signature}");
            Unverified::parse(&token).unwrap().verify::<Value>(&key.verifying_key(), NOW).map(drop)
        };
        assert_eq!(signed(json!({"typ": "JWT", "alg": "ES256K"})), Ok(()));
        assert_eq!(signed(json!({"typ": "JWT", "alg": "ES256K", "kid": "#atproto"})), Ok(()));
        let labels = json!({"typ": "JWT", "alg": "ES256K", "kid": "#atproto_label"});
        assert_eq!(signed(labels), Err(Error::WrongKey));
        let ours = sign_es256k(&claims(), &key).unwrap();
        let header = BASE64URL_NOPAD.decode(ours.split('.').next().unwrap().as_bytes()).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&header).unwrap(),
            json!({"typ": "JWT", "alg": "ES256K", "kid": "#atproto"})
        );
    }

    #[test]
    fn session_token_is_no_service_token() {
        let token = sign_hs256(Typ::Access, &claims(), &key()).unwrap();
        let public = SigningKey::from_bytes(&[5; 32]).unwrap().verifying_key();
        let parts = Unverified::parse(&token).unwrap();
        assert_eq!(parts.verify::<Value>(&public, NOW), Err(Error::WrongAlgorithm));
    }

    #[test]
    fn malformed_tokens() {
        for token in
            ["", ".", "..", "a.b", "a.b.c.d", "!!!.e30.AA", "e30=.e30.AA", &"a".repeat(TOKEN_BYTES_MAX + 1)]
        {
            assert!(matches!(check(token), Err(Error::Malformed(_))), "{token}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let token = sign_hs256(Typ::Access, &claims(), &key()).unwrap();
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            prop_assert!(check(&changed).is_err());
        }

        #[test]
        fn garbage_never_panics(token in "\\PC*") {
            prop_assert!(check(&token).is_err());
        }
    }
}
