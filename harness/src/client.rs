//! One HTTP/1.1 connection that is kept alive: no pool, no redirects, no cookies.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The longest wait for one answer; a server that hangs fails the test and not its runner.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// One connection; opened on first use and again after a failure. Requests on it go one after the other.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
    resets: bool,
    from: Option<String>,
}

/// What the server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header, as text.
    pub retry_after: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The body as JSON of a successful answer.
    ///
    /// # Errors
    /// When the status is not 200; the error shows the body.
    pub fn ok(&self) -> Result<Value> {
        self.success()?;
        self.json()
    }

    /// Checks that the status is 200.
    ///
    /// # Errors
    /// When it is not; the error shows the body.
    pub fn success(&self) -> Result<()> {
        if self.status != 200 {
            bail!("status {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(())
    }

    /// The error's name in the flat form, empty when the body has none.
    pub fn error_name(&self) -> String {
        self.json().ok().and_then(|body| Some(body.get("error")?.as_str()?.to_owned())).unwrap_or_default()
    }
}

impl Client {
    /// A connection to `address`, not yet opened.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: None, resets: false, from: None }
    }

    /// The same, whose connection is reset when it is dropped.
    #[must_use]
    pub fn resetting(self) -> Self {
        Self { resets: true, ..self }
    }

    /// The same, whose requests come from the client at `from`, as what stands before either host says.
    #[must_use]
    pub fn coming_from(self, from: &str) -> Self {
        Self { from: Some(from.to_owned()), ..self }
    }

    /// GET of a path with its query.
    ///
    /// # Errors
    /// When the connection fails; a refusal by the server is an [`Answer`].
    pub async fn get(&mut self, path: &str, authorization: Option<&str>) -> Result<Answer> {
        self.send(Method::GET, path, authorization, None, Bytes::new()).await
    }

    /// POST of a JSON body to an XRPC method.
    ///
    /// # Errors
    /// When the connection fails; a refusal by the server is an [`Answer`].
    pub async fn post(&mut self, nsid: &str, authorization: Option<&str>, input: &Value) -> Result<Answer> {
        let body = Bytes::from(serde_json::to_vec(input)?);
        self.send(Method::POST, &format!("/xrpc/{nsid}"), authorization, Some("application/json"), body).await
    }

    /// Any request.
    ///
    /// # Errors
    /// When the connection fails; a refusal by the server is an [`Answer`].
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Answer> {
        let authorization = authorization.map(|value| (AUTHORIZATION.as_str(), value));
        let content_type = content_type.map(|value| (CONTENT_TYPE.as_str(), value));
        let headers: Vec<_> = authorization.into_iter().chain(content_type).collect();
        self.send_with(method, path, &headers, body).await
    }

    /// Any request, with any headers.
    ///
    /// # Errors
    /// When the connection fails; a refusal by the server is an [`Answer`].
    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        if let Some(from) = &self.from {
            request = request.header("x-forwarded-for", from).header("cf-connecting-ip", from);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.exchange(request)).await;
        let answer = answer.with_context(|| format!("{path}: no answer within {ANSWER_WITHIN:?}")).flatten();
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => connect(self.address, self.resets).await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let headers = response.headers().clone();
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status, retry_after, headers, body })
    }
}

async fn connect(address: SocketAddr, resets: bool) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if resets {
        stream.set_zero_linger()?;
    }
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // The connection's end shows at the sender.
        drop(connection.await);
    });
    Ok(sender)
}
