//! The authorization server, as far as it asks clients' servers and cells: `oauth/` decides, this carries.
//!
//! A door (`web/`) gives each request its proof of possession first ([`App::check_oauth_proof`]), then who its client is
//! ([`App::oauth_client`]); so nobody's document is fetched for whoever has not signed something with a fresh nonce.

mod bound;
mod clients;
mod sets;

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;

pub use bound::Bound;
pub use clients::{ClientCredentials, Shown};

use self::clients::Clients;
use super::{App, Error};
use crate::crypto::ct_eq;
use crate::crypto::jwt::HmacKey;
use crate::directory::{
    CloseOauthSession, Consenting, DropConsent, Exchange, GetConsent, GrantConsent, Holder, OauthSession,
    RedeemCode, RefreshOauthSession,
};
use crate::env::Network;
use crate::host::Net;
use crate::oauth::client::{Client, ClientAuth, RedirectUri};
use crate::oauth::proof::{self, Expected, Mark, Nonces, Refused, Seen};
use crate::oauth::request::{AuthorizationRequest, Parameters};
use crate::oauth::token::{AccessToken, Confirmation, RefreshToken, Tokens};
use crate::oauth::{self, ACCESS_SECONDS, Code, Scope};
use crate::seam::Hidden;
use crate::syntax::Did;

/// Proofs of strangers, and of clients at their tokens, that are remembered: a hundred a second and more.
const STRANGERS_SEEN_MAX: usize = 50_000;

/// Proofs with access tokens that are remembered: over a thousand a second, in some 10 MB.
const BOUND_SEEN_MAX: usize = 300_000;

/// What the authorization server keeps in memory: keys, and what may be forgotten.
#[derive(Debug)]
pub struct Oauth {
    tokens: Tokens,
    nonces: Nonces,
    forms: HmacKey,
    clients: Clients,
    /// Apart from those that go with tokens: strangers fill this one.
    strangers_seen: Mutex<Seen>,
    bound_seen: Mutex<Seen>,
    allow_loopback: bool,
}

/// Tokens, as a client gets them.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthTokens {
    /// For requests.
    pub access: String,
    /// For the next tokens, if the client takes any.
    pub refresh: Option<String>,
    /// Whose.
    pub did: Did,
    /// What they allow.
    pub scope: String,
    /// Seconds until the access token ends.
    pub expires_in: i64,
}

impl Oauth {
    /// Of a network; clients' documents may be on this machine, where other calls may go there too.
    #[must_use]
    pub fn new(network: &Network, allow_loopback: bool) -> Self {
        let key = |label| HmacKey::from_bytes(*network.master_key.derive(label));
        let (issuer, audience) = (network.public_url.clone(), network.service_did.clone());
        Self {
            tokens: Tokens::new(key("oauth-tokens"), issuer, audience),
            nonces: Nonces::new(key("dpop-nonces")),
            forms: key("oauth-forms"),
            clients: Clients::new(),
            strangers_seen: Mutex::new(Seen::new(STRANGERS_SEEN_MAX)),
            bound_seen: Mutex::new(Seen::new(BOUND_SEEN_MAX)),
            allow_loopback,
        }
    }
}

fn take(seen: &Mutex<Seen>, mark: Mark, now_seconds: i64, again: Code) -> Result<(), oauth::Error> {
    let taken = seen.lock().unwrap_or_else(PoisonError::into_inner).take(mark, now_seconds);
    taken.map_err(|refused| match refused {
        Refused::Again => again.because("it was used before: each has a jti of its own"),
        Refused::Full => Code::TemporarilyUnavailable.because("too many requests: try again in a minute"),
    })
}

/// The same of what strangers may send. A flood of theirs must not keep others out, so that what comes while it lasts is not
/// remembered: what it comes with is good once by itself, or opens nothing without the key.
fn take_while_there_is_room(
    seen: &Mutex<Seen>,
    mark: Mark,
    now_seconds: i64,
    again: Code,
) -> Result<(), oauth::Error> {
    match take(seen, mark, now_seconds, again) {
        Err(error) if error.code == Code::TemporarilyUnavailable => Ok(()),
        taken => taken,
    }
}

impl App {
    fn now_seconds(&self) -> i64 {
        self.host.now_us().div_euclid(1_000_000)
    }

    /// What the next proof of possession has to have.
    #[must_use]
    pub fn oauth_nonce(&self) -> String {
        self.oauth.nonces.now(self.now_seconds())
    }

    /// Checks the proof of possession of a request to the authorization server: gives the key's thumbprint.
    ///
    /// # Errors
    /// What the client is told.
    pub fn check_oauth_proof(&self, text: &str, path: &str) -> Result<String, oauth::Error> {
        let now_seconds = self.now_seconds();
        let url = format!("{}{path}", self.network.public_url);
        let expected = Expected { method: "POST", url: &url, access_token: None };
        let proof = proof::check(text, expected, &self.oauth.nonces, now_seconds)?;
        take_while_there_is_room(&self.oauth.strangers_seen, proof.mark, now_seconds, Code::InvalidProof)?;
        Ok(proof.thumbprint)
    }

    /// What the forms of a request's pages have, in the browser that was given `cookie`.
    #[must_use]
    pub fn form_token(&self, cookie: &str, id: &str) -> String {
        BASE64URL_NOPAD.encode(&self.oauth.forms.tag(format!("{cookie}.{id}").as_bytes()))
    }

    /// Whether a form has it.
    #[must_use]
    pub fn is_form_token(&self, cookie: &str, id: &str, token: &str) -> bool {
        ct_eq(self.form_token(cookie, id).as_bytes(), token.as_bytes())
    }

    /// Takes what a client asks for: gives the `request_uri`. All its permission sets are there to be found.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn push_request(
        &self,
        shown: Shown,
        parameters: Parameters,
        dpop_jkt: String,
        net: Option<Net>,
    ) -> Result<String, oauth::Error> {
        let request = parameters.check(&shown.client, shown.key, dpop_jkt)?;
        self.find_sets(&request.scope, net).await?;
        self.oauth.tokens.request(&request, &self.random(), self.now_seconds())
    }

    /// Reads a `request_uri`, which is this client's: what it asks for, and the request's name.
    ///
    /// # Errors
    /// What the browser's user is told: where the answer would go is not known.
    pub fn read_request(
        &self,
        request_uri: &str,
        client_id: &str,
    ) -> Result<(AuthorizationRequest, String), oauth::Error> {
        let (request, id) = self.oauth.tokens.read_request(request_uri, self.now_seconds())?;
        if request.client_id != client_id {
            return Err(Code::InvalidRequest.because("the request is another client's"));
        }
        Ok((request, id))
    }

    /// The client of a request, and where it is answered, by its document of now.
    ///
    /// # Errors
    /// What the browser's user is told.
    pub async fn client_of_request(
        &self,
        request: &AuthorizationRequest,
        net: Option<Net>,
    ) -> Result<(Arc<Client>, RedirectUri), oauth::Error> {
        let client = self.find_client(&request.client_id, net, false).await?;
        let redirect_uri = client.redirect_uri(&request.redirect_uri);
        let gone =
            || Code::InvalidRequest.because("the client's document does not have the redirect_uri any more");
        Ok((client, redirect_uri.ok_or_else(gone)?))
    }

    /// Who is asked for consent and for what, in the browser that shows what has this digest.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn consenting(&self, id: String, browser: [u8; 32]) -> Result<Option<Consenting>, Error> {
        self.directory(GetConsent { id, browser }).await
    }

    /// The owner says yes, and the code is made; or no. `None` when nobody is asked in that browser.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn settle_consent(
        &self,
        id: String,
        browser: [u8; 32],
        is_granted: bool,
    ) -> Result<Option<Consent>, Error> {
        if is_granted {
            let code = self.directory(GrantConsent { id, browser }).await?;
            return Ok(code.map(Consent::Granted));
        }
        let was_asked = self.directory(DropConsent { id, browser }).await?;
        Ok(was_asked.then_some(Consent::Denied))
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn redeem_code(
        self: &Arc<Self>,
        shown: Shown,
        dpop_jkt: String,
        code: &str,
        redirect_uri: String,
        verifier: Hidden<String>,
    ) -> Result<OauthTokens, oauth::Error> {
        let may_refresh = shown.client.may_refresh;
        let code = crate::crypto::sha256(code.as_bytes());
        // The request has it in its one form.
        let redirect_uri = RedirectUri::parse(&redirect_uri).map_or(redirect_uri, |uri| uri.to_string());
        let ask = RedeemCode { code, holder: holder(shown, dpop_jkt), redirect_uri, verifier };
        let exchange = self.change_whose(ask, Exchange::ended).await.map_err(failed)?;
        self.exchanged(exchange, may_refresh)
    }

    /// Exchanges a refresh token for the next tokens. A confidential client whose key is gone from its document has lost
    /// its session. What permission sets open is looked at anew, before anything changes: a client that waits no longer
    /// still has the token that is good.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn refresh_session(
        self: &Arc<Self>,
        shown: Shown,
        dpop_jkt: String,
        refresh_token: &str,
        net: Option<Net>,
    ) -> Result<OauthTokens, oauth::Error> {
        let token = self.oauth.tokens.read_refresh(refresh_token, self.now_seconds())?;
        let may_refresh = shown.client.may_refresh;
        if !may_refresh {
            return Err(
                Code::UnauthorizedClient.because("grant_types of the client's document has no refresh_token")
            );
        }
        let client_keys = match &shown.client.auth {
            ClientAuth::Keys(keys) => keys.thumbprints(),
            ClientAuth::Public | ClientAuth::KeysAt(_) => Vec::new(),
        };
        let holder = holder(shown, dpop_jkt);
        let renewed = self.renew_sets(&token.sets, net).await;
        let ask = RefreshOauthSession { id: token.sid, number: token.number, holder, client_keys };
        let exchange = match self.change_whose(ask, Exchange::ended).await.map_err(failed)? {
            Exchange::Granted(session) => {
                // Sets that have grown beyond what fits stay what they were.
                let sets = if sets::fits(&session.scope, &renewed) { renewed } else { token.sets };
                Exchange::Granted(OauthSession { sets, ..session })
            }
            refused @ Exchange::Refused { .. } => refused,
        };
        self.exchanged(exchange, may_refresh)
    }

    /// Ends the session that a token is of, if it is this client's.
    ///
    /// # Errors
    /// What the client is told: not that there is no such token.
    pub async fn revoke_oauth_token(
        self: &Arc<Self>,
        client_id: &str,
        token: &str,
    ) -> Result<(), oauth::Error> {
        let Some(id) = self.oauth.tokens.session_of(token, self.now_seconds()) else { return Ok(()) };
        let ask = CloseOauthSession { id, client_id: client_id.to_owned() };
        self.change_whose(ask, Option::clone).await.map_err(failed)?;
        Ok(())
    }

    fn exchanged(&self, exchange: Exchange, may_refresh: bool) -> Result<OauthTokens, oauth::Error> {
        match exchange {
            Exchange::Granted(session) => self.tokens_of(session, may_refresh),
            Exchange::Refused { why, ended } => {
                if let Some(did) = ended {
                    tracing::warn!(%did, %why, "an OAuth session ended");
                }
                Err(Code::InvalidGrant.because(why))
            }
        }
    }

    fn tokens_of(&self, session: OauthSession, may_refresh: bool) -> Result<OauthTokens, oauth::Error> {
        let now_seconds = self.now_seconds();
        // Texts of this server: a set that was included is opened, and no other.
        let scope = Scope::parse(&session.scope).with_sets(&session.sets).to_string();
        let sets = session.sets.without_words();
        let refresh = RefreshToken { sid: session.id.clone(), number: session.number, sets };
        let refresh = may_refresh
            .then(|| self.oauth.tokens.refresh(refresh, now_seconds, session.expires_seconds))
            .transpose()?;
        let access = AccessToken {
            sub: session.did.clone(),
            scope: scope.clone(),
            client_id: session.client_id,
            sid: session.id,
            generation: session.generation,
            cnf: Confirmation { jkt: session.dpop_jkt },
        };
        let access = self.oauth.tokens.access(access, &self.random(), now_seconds)?;
        Ok(OauthTokens { access, refresh, did: session.did, scope, expires_in: ACCESS_SECONDS })
    }
}

/// How an owner answered.
pub enum Consent {
    /// Yes: the code.
    Granted(Hidden<String>),
    /// No.
    Denied,
}

fn holder(shown: Shown, dpop_jkt: String) -> Holder {
    Holder { client_id: shown.client.id.clone(), client_key: shown.key, dpop_jkt }
}

/// A failure of ours, in OAuth's words; detail goes to the log.
fn failed(error: Error) -> oauth::Error {
    match error {
        Error::Busy => Code::TemporarilyUnavailable.because("the server is busy: try again in a moment"),
        Error::Stopping | Error::Unreachable(_) | Error::Full => {
            tracing::error!(%error, "the authorization server can't do its work");
            Code::TemporarilyUnavailable.because("the server can't do this now: try again in a moment")
        }
        error => {
            tracing::error!(%error, "internal error of the authorization server");
            Code::ServerError.because("internal server error")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: fifty thousand proofs of strangers, and nobody signs in for two minutes.
    #[test]
    fn a_flood_of_strangers_keeps_nobody_out_and_replays_with_tokens_are_refused_all_the_same() {
        let mark = |jti: &str| Mark::in_window(&["key", jti], 0);
        let seen = Mutex::new(Seen::new(2));
        let stranger = |jti| take_while_there_is_room(&seen, mark(jti), 0, Code::InvalidProof);
        stranger("1").unwrap();
        assert_eq!(stranger("1").unwrap_err().code, Code::InvalidProof);
        stranger("2").unwrap();
        stranger("3").unwrap();
        assert_eq!(stranger("2").unwrap_err().code, Code::InvalidProof, "what is remembered stays so");
        let with_token = take(&seen, mark("4"), 0, Code::InvalidProof);
        assert_eq!(with_token.unwrap_err().code, Code::TemporarilyUnavailable);
    }
}
