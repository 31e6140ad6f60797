//! Requests with an access token that is bound to a key: the token, the proof, and that both belong together.

use super::super::App;
use super::take;
use crate::crypto::ct_eq;
use crate::oauth::proof::{self, Expected};
use crate::oauth::token::AccessToken;
use crate::oauth::{self, Code};

/// A request's token and what goes with it, as text.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The access token.
    pub token: &'a str,
    /// The proof of possession, if there is one and only one.
    pub proof: Option<&'a str>,
    /// The request's method.
    pub method: &'a str,
    /// The request's path.
    pub path: &'a str,
}

impl App {
    /// Checks a token and its proof, which is used with that. The token's account may be gone or stopped meanwhile.
    ///
    /// # Errors
    /// What the client is told.
    pub fn check_bound(&self, bound: Bound<'_>) -> Result<AccessToken, oauth::Error> {
        let now_seconds = self.now_seconds();
        let token = self.oauth.tokens.read_access(bound.token, now_seconds)?;
        let missing = || Code::InvalidProof.because("the request has to have one DPoP header with a proof");
        let proof = bound.proof.ok_or_else(missing)?;
        let url = format!("{}{}", self.network.public_url, bound.path);
        let expected = Expected { method: bound.method, url: &url, access_token: Some(bound.token) };
        let proof = proof::check(proof, expected, &self.oauth.nonces, now_seconds)?;
        if !ct_eq(proof.thumbprint.as_bytes(), token.cnf.jkt.as_bytes()) {
            return Err(Code::InvalidProof.because("the access token is bound to another key"));
        }
        take(&self.oauth.bound_seen, proof.mark, now_seconds, Code::InvalidProof)?;
        Ok(token)
    }
}
