//! Clients: whoever serves a document about itself, at the URL that is its name.
//!
//! There is no registration. A [`ClientId`] is an https URL whose document says how the client may be answered, or the
//! literal `http://localhost` with its answers in a query, for programs on the developer's own machine. What a document says
//! of itself (its name) is a claim: people are shown the URL.

mod redirect;

use std::fmt;

use serde::Deserialize;
use url::{Host, Url};

pub use redirect::RedirectUri;

use super::jwk::Jwks;
use super::scope::{Permission, SCOPE_BYTES_MAX, Scope};
use super::shown::shown;
use super::{Code, Error};
use crate::syntax::is_localhost;

/// Bytes of a client's document, and of its key set.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// Characters of a client's name, its URL: it is in every access token.
const CLIENT_ID_CHARS_MAX: usize = 1024;

/// Ways to answer one client: a few platforms each have theirs.
const REDIRECT_URIS_MAX: usize = 32;

/// Keys of one client that are looked at: one, and the next.
const KEYS_MAX: usize = 32;

/// Characters of a client's own name that people are shown.
const NAME_CHARS_MAX: usize = 64;

/// A client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// A program on the developer's own machine.
    Loopback {
        /// What the name says, as a document would.
        redirect_uris: Vec<RedirectUri>,
        /// The same, of its scope.
        scope: Scope,
    },
    /// Whoever serves this URL.
    Document(Url),
}

impl ClientId {
    /// Reads a client's name. Where this server may call servers on its own machine, a document's host may be there too,
    /// at any port.
    ///
    /// # Errors
    /// [`Code::InvalidClient`], saying what is wrong with it.
    pub fn parse(text: &str, allow_loopback: bool) -> Result<Self, Error> {
        let bad = |why: &'static str| Code::InvalidClient.because(why);
        if text.len() > CLIENT_ID_CHARS_MAX {
            return Err(bad("the client_id is too long"));
        }
        if text.starts_with("http://") {
            return Self::loopback(text);
        }
        let url = Url::parse(text).map_err(|_| bad("the client_id is no URL"))?;
        if url.scheme() != "https" {
            return Err(bad("the client_id is no https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(bad("the client_id has a user or a fragment"));
        }
        let Some(Host::Domain(host)) = url.host() else {
            return Err(bad("the client_id's host is an address"));
        };
        let is_here = is_localhost(host);
        if is_here && !allow_loopback {
            return Err(bad("the client_id's host is this machine"));
        }
        if !is_here && !host.contains('.') {
            return Err(bad("the client_id's host is no domain"));
        }
        if url.port().is_some() && !is_here {
            return Err(bad("the client_id has a port"));
        }
        if url.path() == "/" || url.path().ends_with('/') {
            return Err(bad("the client_id has no path to a document"));
        }
        // One client has one name: `a/../b` is no other than `b`.
        if url.as_str() != text {
            return Err(bad("the client_id is not written in its usual form"));
        }
        Ok(Self::Document(url))
    }

    fn loopback(text: &str) -> Result<Self, Error> {
        let bad = |why: &'static str| Code::InvalidClient.because(why);
        let rest =
            text.strip_prefix("http://localhost").ok_or_else(|| bad("the client_id is no https URL"))?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let query = match rest.strip_prefix('?') {
            Some(query) => query,
            None if rest.is_empty() => "",
            None => return Err(bad("a client_id of http://localhost has no port and no path")),
        };
        if text.contains('#') {
            return Err(bad("the client_id has a fragment"));
        }
        let (mut redirect_uris, mut scope) = (Vec::new(), None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "redirect_uri" => {
                    let uri = RedirectUri::parse(&value).filter(RedirectUri::is_loopback);
                    redirect_uris.push(uri.ok_or_else(|| {
                        bad("a client_id of http://localhost is answered at http://127.0.0.1 or http://[::1]")
                    })?);
                }
                "scope" if scope.is_none() => scope = Some(Scope::parse(&value)),
                _ => return Err(bad("a client_id of http://localhost has redirect_uri and one scope only")),
            }
        }
        if redirect_uris.len() > REDIRECT_URIS_MAX {
            return Err(bad("the client_id has too many redirect_uris"));
        }
        if redirect_uris.is_empty() {
            redirect_uris.extend(
                ["http://127.0.0.1/", "http://[::1]/"].iter().filter_map(|uri| RedirectUri::parse(uri)),
            );
        }
        let scope = scope.unwrap_or_else(|| [Permission::Atproto].into_iter().collect());
        Ok(Self::Loopback { redirect_uris, scope })
    }
}

/// A client, as its document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name, as text.
    pub id: String,
    /// What it calls itself.
    pub name: Option<String>,
    /// How it may be answered.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask for at most.
    pub scope: Scope,
    /// How it shows who it is.
    pub auth: ClientAuth,
    /// Whether it is given refresh tokens.
    pub may_refresh: bool,
    /// Whether it is a program on a device, or on the developer's machine: a port on the device is whichever is free.
    pub is_native: bool,
}

/// How a client shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// It does not: anybody could say they are it, and only answers at its own URLs tell.
    Public,
    /// With a key of these.
    Keys(Jwks),
    /// With a key of those that are served there.
    KeysAt(Url),
}

#[derive(Deserialize)]
struct Document {
    client_id: String,
    #[serde(default)]
    client_name: Option<String>,
    #[serde(default)]
    client_uri: Option<String>,
    #[serde(default)]
    application_type: Option<String>,
    #[serde(default)]
    grant_types: Option<Vec<String>>,
    #[serde(default)]
    response_types: Option<Vec<String>>,
    redirect_uris: Vec<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
    #[serde(default)]
    token_endpoint_auth_signing_alg: Option<String>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
    #[serde(default)]
    jwks: Option<Jwks>,
    #[serde(default)]
    jwks_uri: Option<String>,
}

impl Client {
    /// The virtual client behind a name of `http://localhost`.
    #[must_use]
    pub fn loopback(id: &str, redirect_uris: Vec<RedirectUri>, scope: Scope) -> Self {
        Self {
            id: id.to_owned(),
            name: None,
            redirect_uris,
            scope,
            auth: ClientAuth::Public,
            may_refresh: true,
            is_native: true,
        }
    }

    /// Reads the document that was found at `id`.
    ///
    /// # Errors
    /// [`Code::InvalidClientMetadata`], saying what is wrong with it.
    pub fn read(id: &Url, document: &[u8]) -> Result<Self, Error> {
        let document: Document = serde_json::from_slice(document).map_err(|error| {
            Code::InvalidClientMetadata.because(format!("the client's document: {error}"))
        })?;
        let bad = |why: &'static str| Code::InvalidClientMetadata.because(why);
        if document.client_id != id.as_str() {
            return Err(bad("the document at the client_id is another client's"));
        }
        let has = |list: &Option<Vec<String>>, word: &str, default: bool| {
            list.as_ref().map_or(default, |list| list.iter().any(|one| one == word))
        };
        if !has(&document.grant_types, "authorization_code", true) {
            return Err(bad("grant_types has no authorization_code"));
        }
        if !has(&document.response_types, "code", true) {
            return Err(bad("response_types has no code"));
        }
        if !document.dpop_bound_access_tokens {
            return Err(bad("dpop_bound_access_tokens has to be true"));
        }
        if document.scope.len() > SCOPE_BYTES_MAX {
            return Err(bad("scope is too long"));
        }
        let scope = Scope::parse(&document.scope);
        if !scope.has(&Permission::Atproto) {
            return Err(bad("scope has no atproto"));
        }
        let is_native = match document.application_type.as_deref() {
            None | Some("web") => false,
            Some("native") => true,
            Some(_) => return Err(bad("application_type is web or native")),
        };
        if let Some(uri) = &document.client_uri {
            let is_own = Url::parse(uri).is_ok_and(|uri| uri.origin() == id.origin());
            if !is_own {
                return Err(bad("client_uri has another origin than the client_id"));
            }
        }
        let redirect_uris = Self::redirect_uris(id, &document.redirect_uris, is_native)?;
        let auth = Self::auth(&document, is_native)?;
        let name =
            document.client_name.map(|name| shown(&name, NAME_CHARS_MAX)).filter(|name| !name.is_empty());
        let may_refresh = has(&document.grant_types, "refresh_token", false);
        Ok(Self { id: document.client_id, name, redirect_uris, scope, auth, may_refresh, is_native })
    }

    fn redirect_uris(id: &Url, texts: &[String], is_native: bool) -> Result<Vec<RedirectUri>, Error> {
        let bad = |why: &'static str| Code::InvalidClientMetadata.because(why);
        if texts.is_empty() || texts.len() > REDIRECT_URIS_MAX {
            return Err(bad("redirect_uris has none, or too many"));
        }
        let read = |text: &String| {
            let uri =
                RedirectUri::parse(text).ok_or_else(|| bad("redirect_uris has one that is not taken"))?;
            match (&uri, is_native) {
                (RedirectUri::Web(_), false) => Ok(uri),
                (RedirectUri::Web(web), true) if web.origin() == id.origin() => Ok(uri),
                (RedirectUri::Web(_), true) => {
                    Err(bad("a native client's https redirect_uri is not at its client_id's"))
                }
                (RedirectUri::Loopback(_), true) => Ok(uri),
                (RedirectUri::Private { scheme, .. }, true)
                    if is_reversed(scheme, id.host_str().unwrap_or_default()) =>
                {
                    Ok(uri)
                }
                (RedirectUri::Private { .. }, true) => {
                    Err(bad("a private scheme has to be the client_id's host, reversed"))
                }
                (RedirectUri::Loopback(_) | RedirectUri::Private { .. }, false) => {
                    Err(bad("a web client's redirect_uri is an https URL"))
                }
            }
        };
        texts.iter().map(read).collect()
    }

    fn auth(document: &Document, is_native: bool) -> Result<ClientAuth, Error> {
        let bad = |why: &'static str| Code::InvalidClientMetadata.because(why);
        match document.token_endpoint_auth_method.as_deref() {
            Some("none") if document.token_endpoint_auth_signing_alg.is_none() => Ok(ClientAuth::Public),
            Some("none") => Err(bad("token_endpoint_auth_signing_alg says nothing with the method none")),
            Some("private_key_jwt") if is_native => {
                Err(bad("a native client keeps no secret: its token_endpoint_auth_method is none"))
            }
            Some("private_key_jwt") => {
                if document.token_endpoint_auth_signing_alg.as_deref().is_none_or(|alg| alg != "ES256") {
                    return Err(bad("token_endpoint_auth_signing_alg has to be ES256"));
                }
                match (&document.jwks, &document.jwks_uri) {
                    (Some(keys), None) => check_keys(keys.clone()).map(ClientAuth::Keys),
                    (None, Some(uri)) => {
                        let uri = Url::parse(uri).ok().filter(|uri| uri.scheme() == "https");
                        uri.map(ClientAuth::KeysAt).ok_or_else(|| bad("jwks_uri is no https URL"))
                    }
                    _ => Err(bad("private_key_jwt goes with one of jwks and jwks_uri")),
                }
            }
            _ => Err(bad("token_endpoint_auth_method is none or private_key_jwt")),
        }
    }

    /// The way to answer that a request names, if it is one of the client's.
    #[must_use]
    pub fn redirect_uri(&self, text: &str) -> Option<RedirectUri> {
        let asked = RedirectUri::parse(text)?;
        self.redirect_uris.iter().any(|own| own.is_met_by(&asked)).then_some(asked)
    }

    /// Who people are told it is: the host that its document comes from.
    #[must_use]
    pub fn origin(&self) -> String {
        let url = Url::parse(&self.id).ok();
        let host = url.as_ref().filter(|url| url.scheme() == "https").and_then(Url::host_str);
        host.map_or_else(|| "a program on this device".to_owned(), str::to_owned)
    }
}

/// A set that is small enough, and has a key to check a signature with.
///
/// # Errors
/// [`Code::InvalidClientMetadata`].
pub fn check_keys(mut keys: Jwks) -> Result<Jwks, Error> {
    if keys.keys.len() > KEYS_MAX {
        return Err(Code::InvalidClientMetadata.because("the client's key set has too many keys"));
    }
    keys.keys.retain(|key| key.kid.is_some() && key.public_key().is_ok());
    if keys.keys.is_empty() {
        return Err(
            Code::InvalidClientMetadata.because("the client's key set has no named public key for ES256")
        );
    }
    Ok(keys)
}

/// Whether `com.example.app` is of `app.example.com`.
fn is_reversed(scheme: &str, host: &str) -> bool {
    scheme.split('.').eq(host.split('.').rev())
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

#[cfg(test)]
mod tests;
