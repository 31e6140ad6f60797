//! Clients' documents, fetched and remembered; and whether a client is who it says.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use url::Url;

use super::super::{App, Error};
use super::take_while_there_is_room;
use crate::host::{BodyLimit, Net};
use crate::identity::{Cache, Lookup};
use crate::oauth::client::{Client, ClientAuth, ClientId, DOCUMENT_BYTES_MAX, check_keys};
use crate::oauth::{self, Code, assertion};

/// How long a document is taken for true. What a client takes out of it ends its sessions, so not for long.
const KEPT_US: i64 = 10 * 60 * 1_000_000;

/// Before that, it is asked for again when it lacks a key: a client that has a new one should not wait.
const KEPT_WITHOUT_KEY_US: i64 = 60 * 1_000_000;

/// Clients remembered.
const CLIENTS_MAX: usize = 2_000;

/// Bytes of them.
const CLIENTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Clients that were seen.
#[derive(Debug)]
pub(super) struct Clients {
    /// With when each was fetched.
    known: Mutex<Cache<String, (i64, Arc<Client>)>>,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(Cache::new(CLIENTS_MAX, CLIENTS_BYTES_MAX)) }
    }

    fn get(&self, id: &str, now_us: i64) -> Option<(i64, Arc<Client>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(id, now_us) {
            Lookup::Fresh(known) => Some(known.clone()),
            Lookup::Stale(_) | Lookup::Miss => None,
        }
    }

    fn keep(&self, client: &Arc<Client>, bytes: usize, now_us: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(client.id.clone(), (now_us, Arc::clone(client)), bytes, now_us);
    }
}

/// What a client says of itself with a request.
#[derive(Clone, Debug, Default)]
pub struct ClientCredentials {
    /// Which it is.
    pub client_id: Option<String>,
    /// Of which kind its assertion is.
    pub assertion_type: Option<String>,
    /// That it is the one.
    pub assertion: Option<String>,
}

/// A client that is who it says, as far as it can show it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which.
    pub client: Arc<Client>,
    /// The thumbprint of a confidential client's key.
    pub key: Option<String>,
}

impl App {
    /// The client of a request, checked.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn oauth_client(
        &self,
        credentials: ClientCredentials,
        net: Option<Net>,
    ) -> Result<Shown, oauth::Error> {
        let ClientCredentials { client_id, assertion_type, assertion } = credentials;
        let client_id = client_id.ok_or_else(|| Code::InvalidRequest.because("client_id is missing"))?;
        let client = self.find_client(&client_id, net, false).await?;
        let Some(assertion) = assertion else {
            return match client.auth {
                ClientAuth::Public => Ok(Shown { client, key: None }),
                ClientAuth::Keys(_) | ClientAuth::KeysAt(_) => {
                    Err(Code::InvalidClient
                        .because("the client has to show who it is with a client_assertion"))
                }
            };
        };
        if assertion_type.as_deref() != Some(assertion::ASSERTION_TYPE) {
            return Err(Code::InvalidClient.because("client_assertion_type is not the one for JWTs"));
        }
        let now_seconds = self.now_seconds();
        let check = |client: &Client| match &client.auth {
            ClientAuth::Keys(keys) => {
                assertion::check(&assertion, &client_id, &self.network.public_url, keys, now_seconds)
            }
            ClientAuth::Public | ClientAuth::KeysAt(_) => {
                Err(Code::InvalidClient.because("the client's document says that it shows no assertion"))
            }
        };
        let (client, (key, mark)) = match check(&client) {
            Ok(checked) => (client, checked),
            // It may have a new key.
            Err(_) => {
                let client = self.find_client(&client_id, net, true).await?;
                let checked = check(&client)?;
                (client, checked)
            }
        };
        take_while_there_is_room(&self.oauth.strangers_seen, mark, now_seconds, Code::InvalidClient)?;
        Ok(Shown { client, key: Some(key.thumbprint) })
    }

    /// A client by its name, its keys at hand. With `again` it is fetched unless that was just done.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) async fn find_client(
        &self,
        id: &str,
        net: Option<Net>,
        again: bool,
    ) -> Result<Arc<Client>, oauth::Error> {
        let url = match ClientId::parse(id, self.oauth.allow_loopback)? {
            ClientId::Loopback { redirect_uris, scope } => {
                return Ok(Arc::new(Client::loopback(id, redirect_uris, scope)));
            }
            ClientId::Document(url) => url,
        };
        let now_us = self.host.now_us();
        let kept_us = if again { KEPT_WITHOUT_KEY_US } else { KEPT_US };
        let known = self.oauth.clients.get(id, now_us);
        if let Some((fetched_us, client)) = &known
            && now_us.saturating_sub(*fetched_us) < kept_us
        {
            return Ok(Arc::clone(client));
        }
        match self.fetch_client(&url, net).await {
            Ok((client, bytes)) => {
                let client = Arc::new(client);
                self.oauth.clients.keep(&client, bytes, now_us);
                Ok(client)
            }
            // A client whose server is away for a while stays who it was; one that says something wrong does not.
            Err(error) if error.code == Code::TemporarilyUnavailable => known
                .map(|(_, client)| client)
                .ok_or_else(|| Code::InvalidClientMetadata.because(error.description)),
            Err(error) => Err(error),
        }
    }

    /// Fetches a client's document and, where they stand elsewhere, its keys; with the bytes that were read.
    async fn fetch_client(&self, url: &Url, net: Option<Net>) -> Result<(Client, usize), oauth::Error> {
        let _turn = self.identities.turn(net).map_err(|_| {
            Code::InvalidClientMetadata
                .because("too many clients are looked up just now: try again in a moment")
        })?;
        let document = self.fetch_json(url, "the client's document").await?;
        let mut client = Client::read(url, &document)?;
        let mut bytes = document.len();
        if let ClientAuth::KeysAt(at) = &client.auth {
            let keys = self.fetch_json(at, "the client's key set").await?;
            bytes += keys.len();
            let keys = serde_json::from_slice(&keys).map_err(|error| {
                Code::InvalidClientMetadata.because(format!("the client's key set: {error}"))
            })?;
            client.auth = ClientAuth::Keys(check_keys(keys)?);
        }
        Ok((client, bytes))
    }

    /// A JSON document of 200 and the right type; the host follows no redirects.
    ///
    /// # Errors
    /// [`Code::TemporarilyUnavailable`] when its server can't be reached or fails; else [`Code::InvalidClientMetadata`].
    async fn fetch_json(&self, url: &Url, what: &str) -> Result<Bytes, oauth::Error> {
        let bad = |why: String| Code::InvalidClientMetadata.because(format!("{what}: {why}"));
        let request = http::Request::get(url.as_str()).header(http::header::ACCEPT, "application/json");
        let mut request = request.body(Bytes::new()).map_err(|error| bad(error.to_string()))?;
        request.extensions_mut().insert(BodyLimit(DOCUMENT_BYTES_MAX));
        let answer = self.host.fetch(request).await.map_err(|error| {
            let why = Error::from(error).to_string();
            Code::TemporarilyUnavailable.because(format!("{what}: {why}"))
        })?;
        let status = answer.status();
        if status.is_server_error() {
            return Err(Code::TemporarilyUnavailable.because(format!("{what}: its server answers {status}")));
        }
        if status != http::StatusCode::OK {
            return Err(bad(format!("its server answers {status}")));
        }
        let kind = answer.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/json" && !kind.ends_with("+json") {
            return Err(bad(format!("is served as {kind:?}, not as application/json")));
        }
        Ok(answer.into_body())
    }
}
