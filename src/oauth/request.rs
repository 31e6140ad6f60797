//! What a client asks for, and the text that stands for it until somebody signs in.
//!
//! A pushed request (RFC 9126) is kept at the client: the `request_uri` that it is given is the request itself, signed. So
//! strangers, who may push as many as they like, fill nothing here, and every process of a network can read one. It becomes
//! a row of the directory when an owner signs in for it, which is also what keeps it from being used twice.

use serde::{Deserialize, Serialize};

use super::client::{Client, ClientAuth};
use super::scope::{Permission, SCOPE_BYTES_MAX, SETS_MAX, Scope, Sets};
use super::{Code, Error};

/// What a `request_uri` begins with.
pub const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// Characters of what a client gives to have it back: clients put a key of their own store there.
const STATE_CHARS_MAX: usize = 1024;

const LOGIN_HINT_CHARS_MAX: usize = 2048;

/// Characters of a SHA-256 in base64url.
const CHALLENGE_CHARS: usize = 43;

/// A request that is in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Whose.
    pub client_id: String,
    /// Where it is answered.
    pub redirect_uri: String,
    /// Whether the answer stands behind `#`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_fragment: bool,
    /// What is asked for, in its one form.
    pub scope: String,
    /// What the client wants back.
    pub state: String,
    /// SHA-256 of what the client shows with the code (PKCE), base64url.
    pub code_challenge: String,
    /// Whom the client thinks it has to do with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// What is to be shown.
    #[serde(default)]
    pub prompt: Prompt,
    /// The key that the tokens are to be bound to.
    pub dpop_jkt: String,
    /// The key of a confidential client that showed who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// What the permission sets of the scope open: found when somebody signs in for it, so that they get what they saw.
    #[serde(default, skip_serializing_if = "Sets::is_empty")]
    pub sets: Sets,
}

/// What is to be shown. Whatever it is, the owner signs in and is asked: nobody stays signed in here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prompt {
    /// Whatever it takes.
    #[default]
    Pages,
    /// Nothing: then there is nothing that could be granted.
    None,
}

/// The parameters of a pushed request that are looked at.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    response_type: Option<String>,
    response_mode: Option<String>,
    redirect_uri: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    login_hint: Option<String>,
    prompt: Option<String>,
    dpop_jkt: Option<String>,
    request: Option<String>,
    request_uri: Option<String>,
}

impl Parameters {
    /// Checks what a client asks for, which has shown a key, and who it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(
        self,
        client: &Client,
        client_key: Option<String>,
        dpop_jkt: String,
    ) -> Result<AuthorizationRequest, Error> {
        let bad = |why: &'static str| Code::InvalidRequest.because(why);
        if self.request.is_some() || self.request_uri.is_some() {
            return Err(bad(
                "a pushed request has its parameters as they are, not in request or request_uri",
            ));
        }
        match self.response_type.as_deref() {
            Some("code") => {}
            _ => return Err(Code::UnsupportedResponseType.because("response_type has to be code")),
        }
        let in_fragment = match self.response_mode.as_deref() {
            None | Some("query") => false,
            Some("fragment") => true,
            Some(_) => return Err(bad("response_mode is query or fragment")),
        };
        let redirect_uri = match (&self.redirect_uri, &client.redirect_uris[..]) {
            (Some(asked), _) => client.redirect_uri(asked),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        };
        let redirect_uri = redirect_uri.ok_or_else(|| bad("redirect_uri is none of the client's"))?;
        let state = self.state.filter(|state| !state.is_empty()).ok_or_else(|| bad("state is missing"))?;
        if state.len() > STATE_CHARS_MAX {
            return Err(bad("state is too long"));
        }
        if self.code_challenge_method.as_deref() != Some("S256") {
            return Err(bad("code_challenge_method has to be S256"));
        }
        let is_digest = |text: &String| {
            text.len() == CHALLENGE_CHARS && data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).is_ok()
        };
        let code_challenge = self.code_challenge.filter(is_digest);
        let code_challenge =
            code_challenge.ok_or_else(|| bad("code_challenge is no SHA-256 in base64url"))?;
        let scope = check_scope(self.scope.as_deref().unwrap_or_default(), client)?;
        if self.dpop_jkt.is_some_and(|named| named != dpop_jkt) {
            return Err(Code::InvalidProof.because("dpop_jkt is not the key of the DPoP proof"));
        }
        if client_key.is_none() && client.auth != ClientAuth::Public {
            return Err(
                Code::InvalidClient.because("the client has to show who it is with a client_assertion")
            );
        }
        let prompt = match self.prompt.as_deref() {
            None | Some("login" | "consent" | "select_account") => Prompt::Pages,
            Some("none") => Prompt::None,
            Some(_) => return Err(bad("prompt is none, login, consent or select_account")),
        };
        let login_hint = self.login_hint.filter(|hint| !hint.is_empty());
        if login_hint.as_ref().is_some_and(|hint| hint.len() > LOGIN_HINT_CHARS_MAX) {
            return Err(bad("login_hint is too long"));
        }
        Ok(AuthorizationRequest {
            client_id: client.id.clone(),
            redirect_uri: redirect_uri.to_string(),
            in_fragment,
            scope,
            state,
            code_challenge,
            login_hint,
            prompt,
            dpop_jkt,
            client_key,
            sets: Sets::default(),
        })
    }
}

/// What is asked for, in its one form: all of it understood, and in the client's document.
fn check_scope(text: &str, client: &Client) -> Result<String, Error> {
    let bad = |why: String| Code::InvalidScope.because(why);
    if text.len() > SCOPE_BYTES_MAX {
        return Err(bad("scope is too long".to_owned()));
    }
    let scope = Scope::parse_all(text)
        .map_err(|part| bad(format!("{part:?} is no permission that is known here")))?;
    if !scope.has(&Permission::Atproto) {
        return Err(bad("scope has no atproto".to_owned()));
    }
    let has = |permission| scope.has(&permission);
    if has(Permission::TransitionChat) && !has(Permission::TransitionGeneric) {
        return Err(bad("transition:chat.bsky goes with transition:generic".to_owned()));
    }
    if scope.includes().count() > SETS_MAX {
        return Err(bad(format!("scope has more than {SETS_MAX} permission sets")));
    }
    if let Some(beyond) = scope.first_beyond(&client.scope) {
        return Err(bad(format!("{beyond} is not in the scope of the client's document")));
    }
    Ok(scope.to_string())
}

#[cfg(test)]
mod tests;
