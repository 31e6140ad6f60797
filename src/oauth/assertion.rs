//! How a confidential client shows who it is: a token signed with a key of its document (`private_key_jwt`, RFC 7523).

use serde::Deserialize;

use super::jwk::{Jwks, PublicKey};
use super::proof::Mark;
use super::{Code, Error};
use crate::crypto::jwt::{SKEW_SECONDS, Typ, Unverified};

/// The only kind there is.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How old an assertion may be: one is made for each request. Three windows of [`Mark`]s are longer.
const ASSERTION_SECONDS: i64 = 60;

const JTI_CHARS_MAX: usize = 256;

#[derive(Deserialize)]
struct Header {
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    jti: String,
    iat: f64,
    exp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Checks all of an assertion but whether it was seen before: with which key it is signed, and what it is remembered by.
///
/// # Errors
/// [`Code::InvalidClient`].
#[expect(clippy::cast_precision_loss, reason = "seconds of any real date are exact in an f64")]
pub fn check(
    text: &str,
    client_id: &str,
    issuer: &str,
    keys: &Jwks,
    now_seconds: i64,
) -> Result<(PublicKey, Mark), Error> {
    let bad = |why: &'static str| Code::InvalidClient.because(why);
    let assertion = Unverified::parse(text).map_err(|_| bad("the client assertion is malformed"))?;
    let Header { kid } = assertion.header().map_err(|_| bad("the client assertion's header is malformed"))?;
    let kid = kid.ok_or_else(|| bad("the client assertion names no key (kid)"))?;
    let named = keys.keys.iter().filter(|key| key.kid.as_deref() == Some(&kid));
    let key = named.filter_map(|key| key.public_key().ok()).next();
    let key = key.ok_or_else(|| bad("the client's document has no such key for ES256"))?;
    assertion
        .check_signature(Typ::Assertion, &key.key)
        .map_err(|_| bad("the client assertion is not signed with the key it names"))?;
    let claims: Claims = assertion
        .claims()
        .map_err(|_| bad("the client assertion has not all of iss, sub, aud, jti and iat"))?;
    if claims.iss != client_id || claims.sub != client_id {
        return Err(bad("the client assertion is another client's"));
    }
    let is_for_us = match &claims.aud {
        Audience::One(aud) => aud == issuer,
        Audience::Many(all) => all.len() == 1 && all.iter().all(|aud| aud == issuer),
    };
    if !is_for_us {
        return Err(bad("the client assertion is for another server (aud)"));
    }
    let (oldest, newest) = (now_seconds - ASSERTION_SECONDS, now_seconds + SKEW_SECONDS);
    let is_fresh = claims.iat >= oldest as f64 && claims.iat <= newest as f64;
    if !is_fresh || claims.exp.is_some_and(|exp| exp <= now_seconds as f64) {
        return Err(bad("the client assertion is not of the last minute"));
    }
    if claims.jti.is_empty() || claims.jti.len() > JTI_CHARS_MAX {
        return Err(bad("the client assertion's jti is empty or too long"));
    }
    // One from a clock that is ahead is good for longer.
    let mark = Mark::of(&[client_id, &claims.jti], now_seconds + SKEW_SECONDS);
    Ok((key, mark))
}
