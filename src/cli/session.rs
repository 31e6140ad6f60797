//! A client's view of one server: where it is, which token opens what, and the calls.
//!
//! A running server leaves `server.json` (its URL, its PLC directory) in its data folder, and there are the admin token
//! and the tokens of agents made from here. So commands on the same machine need no settings but the folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::LocalError;
use zap::config::admin_token_file;
use zap::config::secrets::replace_private_file;
use zap::native::fetch;

mod error;

use error::ADMINISTRATOR;
pub(crate) use error::SessionError;

/// Where a server is that nobody names.
const DEFAULT_URL: &str = "http://localhost:2583";

/// How long a server may take to accept; its answer, which may be a large repo, may take any time.
const CONNECT_SECONDS: u64 = 10;

/// How to find the server and what to show it; the same for all client commands.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// The server [default: what runs on --data, else http://localhost:2583]
    #[arg(long, env = "ZAP_URL", hide_env_values = true, global = true, help_heading = "Connection")]
    pub(crate) url: Option<String>,
    /// Token to use instead of the one kept in --data
    #[arg(long, env = "ZAP_TOKEN", hide_env_values = true, global = true, help_heading = "Connection")]
    pub(crate) token: Option<String>,
    /// Send tokens over plain http to another machine, where everyone on the way reads them
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) plain_http: bool,
}

/// What a running server says of itself in its data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerFile {
    /// Where clients reach it.
    pub(crate) url: String,
    /// Where it listens, as a URL.
    #[serde(default)]
    pub(crate) listen: Option<String>,
    /// The PLC directory it registers DIDs in.
    pub(crate) plc_url: String,
}

impl ServerFile {
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join("server.json")
    }

    /// Writes it for client commands to find.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
    }

    fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data)).ok()?).ok()
    }
}

/// Whom a call is made as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum As<'a> {
    /// Nobody.
    Anyone,
    /// The network's administrator.
    Admin,
    /// The owner of this token.
    Token(&'a str),
}

/// The account that a token is of.
#[derive(Debug, Deserialize)]
pub(crate) struct Owner {
    pub(crate) did: String,
    pub(crate) handle: String,
}

/// A server, and what is known of it.
#[derive(Debug)]
pub(crate) struct Session {
    http: reqwest::Client,
    /// Scheme and authority.
    pub(crate) url: String,
    /// The PLC directory, where known.
    pub(crate) plc_url: Option<String>,
    pub(crate) data: PathBuf,
    token: Option<String>,
    /// The administrator's token, where it was given apart.
    admin_token: Option<String>,
    /// The URLs of the server whose data folder this is.
    own: Vec<String>,
    plain_http: bool,
}

impl Session {
    pub(crate) fn new(connection: &Connection, data: &Path) -> Result<Self, SessionError> {
        let running = ServerFile::read(data);
        let plc_url = running.as_ref().filter(|_| connection.url.is_none()).map(|file| file.plc_url.clone());
        let given = connection.url.as_deref().map(server_url).transpose()?;
        let own: Vec<String> = match running {
            Some(file) => std::iter::once(file.url).chain(file.listen).collect(),
            None => vec![DEFAULT_URL.to_owned()],
        };
        let url = given.or(own.first().cloned()).unwrap_or_default();
        let http = fetch::client(|builder| builder.connect_timeout(Duration::from_secs(CONNECT_SECONDS)))?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            plc_url,
            data: data.to_owned(),
            token: connection.token.clone(),
            admin_token: None,
            own,
            plain_http: connection.plain_http,
        })
    }

    /// Acts as the administrator with this token, if there is one, and as others with theirs.
    pub(crate) fn administered_with(self, admin_token: Option<&str>) -> Self {
        Self { admin_token: admin_token.map(str::to_owned), ..self }
    }

    /// Calls a query.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        r#as: As<'_>,
        nsid: &str,
        params: &[(&str, &str)],
    ) -> Result<T, SessionError> {
        let request = self.http.request(Method::GET, self.method_url(nsid, params)?);
        self.answer(nsid, self.authorized(request, r#as)?).await
    }

    /// Calls a procedure.
    pub(crate) async fn procedure<T: DeserializeOwned>(
        &self,
        r#as: As<'_>,
        nsid: &str,
        input: &Value,
    ) -> Result<T, SessionError> {
        let request = self.http.request(Method::POST, self.method_url(nsid, &[])?).json(input);
        self.answer(nsid, self.authorized(request, r#as)?).await
    }

    /// Calls a query whose answer is not JSON; the body is still to be read.
    pub(crate) async fn download(
        &self,
        r#as: As<'_>,
        nsid: &str,
        params: &[(&str, &str)],
    ) -> Result<reqwest::Response, SessionError> {
        let request = self.http.request(Method::GET, self.method_url(nsid, params)?);
        self.send(self.authorized(request, r#as)?).await
    }

    /// Calls a procedure whose input is not JSON, as the administrator.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        nsid: &str,
        params: &[(&str, &str)],
        content_type: &str,
        body: bytes::Bytes,
    ) -> Result<T, SessionError> {
        let request = self.http.request(Method::POST, self.method_url(nsid, params)?);
        let request = request.header(reqwest::header::CONTENT_TYPE, content_type).body(body);
        self.answer(nsid, self.authorized(request, As::Admin)?).await
    }

    /// Fetches a DID document from where its method keeps it.
    pub(crate) async fn did_document(&self, url: &str) -> Result<Value, SessionError> {
        let failed = |reason, missing| SessionError::NoDocument { url: url.to_owned(), reason, missing };
        let unreachable = |error| failed(fetch::reason(&error), false);
        let answer = self.http.get(url).send().await.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            let missing = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
            return Err(failed(format!("the answer is {status}"), missing));
        }
        answer.json().await.map_err(unreachable)
    }

    /// The DID of an agent named by name, handle or DID.
    pub(crate) async fn did(&self, agent: &str) -> Result<String, SessionError> {
        if agent.starts_with("did:") {
            return Ok(agent.to_owned());
        }
        let handle = self.handle(agent).await?;
        let resolved: Result<Value, _> =
            self.query(As::Anyone, "com.atproto.identity.resolveHandle", &[("handle", &handle)]).await;
        match resolved {
            Ok(answer) => text_field(&answer, "did").map(str::to_owned).ok_or_else(|| SessionError::Answer {
                nsid: "com.atproto.identity.resolveHandle".to_owned(),
                reason: "it has no did".to_owned(),
            }),
            Err(SessionError::Refused { status: 400 | 404, .. }) => Err(SessionError::NoAgent(handle)),
            Err(error) => Err(error),
        }
    }

    /// A name as a handle or DID: `alice` is `alice.test` where handles end in `.test`.
    pub(crate) async fn handle(&self, agent: &str) -> Result<String, SessionError> {
        if agent.contains('.') || agent.starts_with("did:") {
            return Ok(agent.to_owned());
        }
        let server: Value = self.query(As::Anyone, "com.atproto.server.describeServer", &[]).await?;
        let domain = server.get("availableUserDomains").and_then(|domains| domains.get(0));
        let domain = domain.and_then(Value::as_str).unwrap_or(".test");
        Ok(format!("{agent}{domain}"))
    }

    /// The token to act as an agent with: the one given, or the one kept under its name.
    pub(crate) fn agent_token(&self, agent: &str) -> Result<String, SessionError> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let path = self.token_file(agent)?;
        self.kept(agent, path)
    }

    /// A token that is kept here, if it is for this server.
    fn kept(&self, who: &str, path: PathBuf) -> Result<String, SessionError> {
        let token = match std::fs::read_to_string(&path) {
            Ok(token) => token.trim().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SessionError::NoToken { who: who.to_owned(), path });
            }
            Err(source) => return Err(LocalError::File { path, source }.into()),
        };
        // One without an origin is of the server whose folder this is.
        let origin = std::fs::read_to_string(origin_file(&path)).ok().map(|origin| origin.trim().to_owned());
        let is_own = |url: &str| self.own.iter().any(|own| is_same_origin(own, url));
        let is_for_this = match &origin {
            Some(origin) => is_same_origin(origin, &self.url) || (is_own(origin) && is_own(&self.url)),
            None => is_own(&self.url),
        };
        if is_for_this {
            return Ok(token);
        }
        let origin = origin.or(self.own.first().cloned()).unwrap_or_default();
        Err(SessionError::ForAnotherServer { who: who.to_owned(), path, origin, url: self.url.clone() })
    }

    /// The token to act as an agent with, by a command's name for the agent. The token must be that agent's, whether it
    /// was given or kept (alice.test and alice.example.com are kept under one name): whoever says `bob` is not to write
    /// into alice's memory.
    pub(crate) async fn token_of(&self, agent: &str) -> Result<String, SessionError> {
        let token = self.agent_token(agent)?;
        let owner = self.owner(&token).await?;
        let named = self.handle(agent).await?;
        let is_named = |own: &str| own.eq_ignore_ascii_case(&named);
        // By its names first: an agent at rest does not resolve.
        if !is_named(&owner.did) && !is_named(&owner.handle) && owner.did != self.did(agent).await? {
            return Err(SessionError::OtherToken { agent: agent.to_owned(), owner: owner.handle });
        }
        Ok(token)
    }

    /// Whose a token is.
    pub(crate) async fn owner(&self, token: &str) -> Result<Owner, SessionError> {
        self.query(As::Token(token), "com.atproto.server.getSession", &[]).await
    }

    /// Where an agent's token is kept; `None` when the one in use was given.
    pub(crate) fn kept_token(&self, agent: &str) -> Result<Option<PathBuf>, LocalError> {
        if self.token.is_some() { Ok(None) } else { self.token_file(agent).map(Some) }
    }

    /// Keeps an agent's token where [`Session::agent_token`] finds it, by its handle's first label and by its DID.
    pub(crate) fn keep_token(&self, agent: &str, did: &str, token: &str) -> Result<PathBuf, LocalError> {
        let path = self.token_file(agent)?;
        for path in [&path, &self.token_file(did)?] {
            let write = || {
                std::fs::create_dir_all(path.parent().unwrap_or(&self.data))?;
                // First, so that no token is ever without it.
                replace_private_file(&origin_file(path), &format!("{}\n", self.url))?;
                replace_private_file(path, &format!("{token}\n"))
            };
            write().map_err(|source| LocalError::File { path: path.clone(), source })?;
        }
        Ok(path)
    }

    /// Forgets kept tokens. Tokens that are not there are fine.
    pub(crate) fn drop_tokens(&self, names: &[&str]) {
        for name in names {
            if let Ok(path) = self.token_file(name) {
                let _ = std::fs::remove_file(origin_file(&path));
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// `DATA/tokens/alice` for `alice` and `alice.test`; `DATA/tokens/did_plc_...` for a DID.
    fn token_file(&self, agent: &str) -> Result<PathBuf, LocalError> {
        let name = if agent.starts_with("did:") {
            agent.replace([':', '%'], "_")
        } else {
            agent.split('.').next().unwrap_or_default().to_ascii_lowercase()
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.starts_with('.') || name.len() > 200 || !name.bytes().all(plain) {
            return Err(LocalError::Usage(format!(
                "`{agent}` is neither an agent's name, nor a handle, nor a DID"
            )));
        }
        Ok(self.data.join("tokens").join(name))
    }

    fn admin_token(&self) -> Result<String, SessionError> {
        if let Some(token) = self.admin_token.as_ref().or(self.token.as_ref()) {
            return Ok(token.clone());
        }
        if let Some(token) = std::env::var("ZAP_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()) {
            return Ok(token);
        }
        let path = admin_token_file(&self.data);
        self.kept(ADMINISTRATOR, path)
    }

    /// Refuses to send a secret where everybody on the way reads it. Of tokens it is asked by itself.
    pub(crate) fn require_private(&self) -> Result<(), SessionError> {
        if self.plain_http || is_private(&self.url) {
            Ok(())
        } else {
            Err(SessionError::PlainHttp(self.url.clone()))
        }
    }

    fn authorized(
        &self,
        request: reqwest::RequestBuilder,
        r#as: As<'_>,
    ) -> Result<reqwest::RequestBuilder, SessionError> {
        if !matches!(r#as, As::Anyone) {
            self.require_private()?;
        }
        Ok(match r#as {
            As::Anyone => request,
            As::Admin => request.bearer_auth(self.admin_token()?),
            As::Token(token) => request.bearer_auth(token),
        })
    }

    fn method_url(&self, nsid: &str, params: &[(&str, &str)]) -> Result<reqwest::Url, LocalError> {
        let mut url = reqwest::Url::parse(&format!("{}/xrpc/{nsid}", self.url))
            .map_err(|error| LocalError::Usage(format!("--url {}: {error}", self.url)))?;
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        Ok(url)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        nsid: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, SessionError> {
        let body = self.send(request).await?.bytes().await.map_err(|error| unreachable(&self.url, &error))?;
        // A procedure without output answers with nothing.
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body)
            .map_err(|error| SessionError::Answer { nsid: nsid.to_owned(), reason: error.to_string() })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, SessionError> {
        let answer = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body: Value = answer.json().await.unwrap_or_default();
        // Every XRPC error has a name. What answers without one is something else: a proxy, a PLC directory.
        let Some(name) = text_field(&body, "error") else {
            return Err(SessionError::NotXrpc { url: self.url.clone(), status: status.to_string() });
        };
        Err(SessionError::Refused {
            status: status.as_u16(),
            name: name.to_owned(),
            message: text_field(&body, "message").unwrap_or(name).to_owned(),
        })
    }
}

/// The file beside a kept token that says which server it is for. No token's own name has a dot.
fn origin_file(token: &Path) -> PathBuf {
    token.with_added_extension("origin")
}

/// Whether two URLs name the same server: scheme, host and port.
fn is_same_origin(one: &str, other: &str) -> bool {
    let origin = |url: &str| reqwest::Url::parse(url).ok().map(|url| url.origin());
    origin(one).is_some_and(|one| one.is_tuple() && Some(one) == origin(other))
}

/// Whether nobody on the way can read what is sent: TLS, or this very machine.
fn is_private(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host.parse::<std::net::IpAddr>().map_or_else(
        |_| host == "localhost" || host.ends_with(".localhost"),
        |address| address.is_loopback(),
    );
    url.scheme() == "https" || is_here
}

/// A text of an object.
pub(crate) fn text_field<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// A server's URL as somebody typed it; what lacks its scheme would be refused later, by other words.
fn server_url(text: &str) -> Result<String, LocalError> {
    let parsed = reqwest::Url::parse(text).ok();
    match parsed.filter(|url| matches!(url.scheme(), "http" | "https")) {
        Some(_) => Ok(text.to_owned()),
        None => Err(LocalError::Usage(format!(
            "--url: `{text}` is not a server's URL; write it as http://localhost:2583"
        ))),
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> SessionError {
    let reason = fetch::reason(error);
    SessionError::Unreachable { url: url.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(data: &Path, url: Option<&str>) -> Session {
        let url = url.map(str::to_owned);
        Session::new(&Connection { url, token: None, plain_http: false }, data).unwrap()
    }

    #[test]
    fn a_token_is_found_by_name_handle_and_did_and_by_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let session = session(folder.path(), None);
        session.keep_token("alice", "did:plc:abc", "zap_secret").unwrap();
        for agent in ["alice", "Alice", "alice.test", "did:plc:abc"] {
            assert_eq!(session.agent_token(agent).unwrap(), "zap_secret");
        }
        assert!(matches!(session.agent_token("bob"), Err(SessionError::NoToken { .. })));
        for odd in ["", "..", "../alice", "a/b", ".hidden", "did:plc:a/b", &"x".repeat(300)] {
            assert!(
                matches!(session.agent_token(odd), Err(SessionError::Local(LocalError::Usage(_)))),
                "{odd}"
            );
        }
        session.drop_tokens(&["alice", "did:plc:abc"]);
        assert!(session.agent_token("alice").is_err());
    }

    #[test]
    fn the_running_server_is_found_through_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(session(folder.path(), None).url, "http://localhost:2583");
        let text = r#"{"url":"http://localhost:9","plcUrl":"http://localhost:8"}"#;
        std::fs::write(ServerFile::path(folder.path()), text).unwrap();
        let found = session(folder.path(), None);
        assert_eq!(
            (found.url.as_str(), found.plc_url.as_deref()),
            ("http://localhost:9", Some("http://localhost:8"))
        );
        let given = session(folder.path(), Some("https://example.com/"));
        assert_eq!((given.url.as_str(), given.plc_url), ("https://example.com", None));
    }

    #[test]
    fn a_url_without_its_scheme_is_refused() {
        for bad in ["localhost:2583", "localhost", "", "ftp://localhost", "http://"] {
            assert!(matches!(server_url(bad), Err(LocalError::Usage(_))), "{bad}");
        }
        assert!(server_url("http://[::1]:2583").is_ok());
    }
}
