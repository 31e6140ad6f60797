//! Proofs of possession (DPoP, RFC 9449): each request is signed with the key that the token is bound to.
//!
//! A proof is fresh by a nonce of ours and by nothing else: a client whose clock is wrong is served as any other. A nonce is
//! the HMAC of a number that rises every minute, so no host has to keep any, and all of a network's processes know it. Good
//! are the one of now, of the minute before and of the one after (for processes whose clocks differ): three minutes at most.
//! Within those, [`Seen`] tells a proof that was used already.

use std::collections::{BTreeMap, HashSet};

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use url::Url;

use super::jwk::Jwk;
use super::{Code, Error};
use crate::crypto::jwt::{HmacKey, Typ, Unverified};
use crate::crypto::{ct_eq, sha256};

/// How long a nonce is the one of now.
const WINDOW_SECONDS: i64 = 60;

/// Bytes of a nonce: enough that none is guessed.
const NONCE_BYTES: usize = 16;

/// Characters of a proof's `jti`: libraries make some 20.
const JTI_CHARS_MAX: usize = 256;

/// What a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's URL; what is behind `?` does not count.
    pub url: &'a str,
    /// The access token that it goes with.
    pub access_token: Option<&'a str>,
}

/// A proof that holds, if it was not seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The key's thumbprint.
    pub thumbprint: String,
    /// What it is remembered by.
    pub mark: Mark,
}

/// What something is remembered by that may be seen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    digest: [u8; 16],
    window: i64,
}

impl Mark {
    /// Of `what`, which nobody would take as of `now_seconds` any more once three windows have gone by.
    #[must_use]
    pub fn of(what: &[&str], now_seconds: i64) -> Self {
        Self::in_window(what, now_seconds.div_euclid(WINDOW_SECONDS))
    }

    pub(crate) fn in_window(what: &[&str], window: i64) -> Self {
        let mut text = Vec::new();
        for part in what {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        let mut digest = [0; 16];
        digest.iter_mut().zip(sha256(&text)).for_each(|(to, from)| *to = from);
        Self { digest, window }
    }
}

/// What nonces are made with.
#[derive(Debug)]
pub struct Nonces(HmacKey);

impl Nonces {
    /// With a key of the network's.
    #[must_use]
    pub fn new(key: HmacKey) -> Self {
        Self(key)
    }

    /// The nonce of now.
    #[must_use]
    pub fn now(&self, now_seconds: i64) -> String {
        self.of(now_seconds.div_euclid(WINDOW_SECONDS))
    }

    fn of(&self, window: i64) -> String {
        let tag = self.0.tag(&window.to_be_bytes());
        BASE64URL_NOPAD.encode(tag.get(..NONCE_BYTES).unwrap_or(&tag))
    }

    /// The window of a nonce that is good now.
    fn window(&self, nonce: &str, now_seconds: i64) -> Option<i64> {
        let now = now_seconds.div_euclid(WINDOW_SECONDS);
        [now, now - 1, now + 1]
            .into_iter()
            .find(|window| ct_eq(self.of(*window).as_bytes(), nonce.as_bytes()))
    }
}

#[derive(Deserialize)]
struct Header {
    jwk: Jwk,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    #[serde(rename = "iat")]
    _iat: f64,
    #[serde(default)]
    ath: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
}

/// Checks all of a proof but whether it was seen before.
///
/// # Errors
/// [`Code::InvalidProof`], or [`Code::UseNonce`] for one that is in order but for its nonce.
pub fn check(text: &str, expected: Expected<'_>, nonces: &Nonces, now_seconds: i64) -> Result<Proof, Error> {
    let bad = |why: &'static str| Code::InvalidProof.because(why);
    let proof = Unverified::parse(text).map_err(|_| bad("the DPoP proof is malformed"))?;
    let header: Header = proof.header().map_err(|_| bad("the DPoP proof has no jwk"))?;
    let key = header.jwk.public_key().map_err(bad)?;
    proof
        .check_signature(Typ::Proof, &key.key)
        .map_err(|error| Code::InvalidProof.because(format!("DPoP: {error}")))?;
    let claims: Claims =
        proof.claims().map_err(|_| bad("the DPoP proof has not all of jti, htm, htu and iat"))?;
    if claims.jti.is_empty() || claims.jti.len() > JTI_CHARS_MAX {
        return Err(bad("the DPoP proof's jti is empty or too long"));
    }
    if claims.htm != expected.method {
        return Err(bad("the DPoP proof is for another method (htm)"));
    }
    if !is_same_url(&claims.htu, expected.url) {
        return Err(bad("the DPoP proof is for another URL (htu)"));
    }
    let ath = expected.access_token.map(|token| BASE64URL_NOPAD.encode(&sha256(token.as_bytes())));
    if claims.ath != ath {
        return Err(bad("the DPoP proof is for another access token (ath)"));
    }
    let Some(window) = claims.nonce.and_then(|nonce| nonces.window(&nonce, now_seconds)) else {
        return Err(
            Code::UseNonce.because("the DPoP proof has to have the nonce of this answer's DPoP-Nonce")
        );
    };
    let mark = Mark::in_window(&[&key.thumbprint, &claims.jti], window);
    Ok(Proof { thumbprint: key.thumbprint, mark })
}

/// `htu` names a request without query and fragment; all else has to be the same.
fn is_same_url(htu: &str, url: &str) -> bool {
    let (Ok(htu), Ok(mut url)) = (Url::parse(htu), Url::parse(url)) else { return false };
    url.set_query(None);
    url.set_fragment(None);
    htu == url
}

/// What was seen in the last minutes, so that it is not taken again; bounded.
///
/// One process remembers what came to it. On Cloudflare, where an isolate is one, a proof could be repeated to another
/// isolate, within three minutes, by somebody who has the token as well and reads what TLS hides.
#[derive(Debug)]
pub struct Seen {
    windows: BTreeMap<i64, HashSet<[u8; 16]>>,
    entries_max: usize,
}

/// Why something is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was seen before.
    Again,
    /// Too much was seen in too short a time to tell.
    Full,
}

impl Seen {
    /// Nothing yet; `entries_max` of 16 bytes each, and what a set takes besides.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { windows: BTreeMap::new(), entries_max }
    }

    /// Takes what is seen for the first time.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn take(&mut self, mark: Mark, now_seconds: i64) -> Result<(), Refused> {
        let oldest = now_seconds.div_euclid(WINDOW_SECONDS) - 1;
        self.windows = self.windows.split_off(&oldest);
        if self.windows.get(&mark.window).is_some_and(|seen| seen.contains(&mark.digest)) {
            return Err(Refused::Again);
        }
        if self.windows.values().map(HashSet::len).sum::<usize>() >= self.entries_max {
            return Err(Refused::Full);
        }
        self.windows.entry(mark.window).or_default().insert(mark.digest);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
