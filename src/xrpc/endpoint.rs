//! One method, declared as data.
//!
//! A handler is a plain async function over parsed input; adapters make it an [`Endpoint`], which the dispatcher
//! (`dispatch.rs`) finds and calls.
//!
//! A method of ours has a lexicon, and [`Endpoint::of`] takes all it needs from that: name, verb, encoding, types and
//! limits. The input is validated as it came and only then read into its type, so a handler never sees what the lexicon
//! refuses. Methods of others are declared by hand.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::{json_body, require_encoding};
use super::error::Refusal;
use super::{App, Notes, XrpcError};
use crate::app::device;
use crate::auth::{Access, Apps, Caller};
use crate::data_model::{self, Ipld};
use crate::host::Net;
use crate::lexicon::data::from_ipld;
use crate::lexicon::{self, MethodKind, catalog};
use crate::limits::JSON_BODY_BYTES_MAX;
use crate::web;

/// What a handler knows besides its input.
#[derive(Clone)]
pub struct Context {
    /// The server.
    pub app: Arc<App>,
    /// Who calls, as far as the endpoint's access asked for it.
    pub caller: Caller,
    /// From where, if its host knows.
    pub client: Option<Net>,
    /// What the client's program says it is.
    pub user_agent: Option<HeaderValue>,
    /// What the answer is to tell of limits.
    pub notes: Notes,
}

impl Context {
    /// From where, as text that goes through the seam.
    pub fn client_text(&self) -> Option<String> {
        self.client.map(|client| client.to_string())
    }

    /// What the client's program says it is, as its owner would.
    pub fn device(&self) -> Option<String> {
        self.user_agent.as_ref().and_then(device)
    }
}

impl std::ops::Deref for Context {
    type Target = Arc<App>;

    fn deref(&self) -> &Arc<App> {
        &self.app
    }
}

type Handler = Arc<dyn Fn(Context, Request) -> BoxFuture<'static, Result<Response, XrpcError>> + Send + Sync>;

/// What a handler of the method `M` answers.
pub type Answer<M> = Result<<M as lexicon::Method>::Output, Refusal<<M as lexicon::Method>::Error>>;

/// A handler of the method `M`: an async function over the context and its input `I`.
pub trait Handles<M: lexicon::Method, I>: Send + Sync + 'static {
    /// Answers one call.
    fn call(&self, context: Context, input: I) -> impl Future<Output = Answer<M>> + Send;
}

impl<M, I, H, F> Handles<M, I> for H
where
    M: lexicon::Method,
    H: Fn(Context, I) -> F + Send + Sync + 'static,
    F: Future<Output = Answer<M>> + Send + 'static,
{
    fn call(&self, context: Context, input: I) -> impl Future<Output = Answer<M>> + Send {
        self(context, input)
    }
}

/// What is uploaded to a method whose body is bytes.
#[derive(Debug)]
pub struct Upload<P> {
    /// The query string's parameters.
    pub params: P,
    /// The request, its body unread.
    pub request: Request,
}

/// What a call holds for as long as its client likes, of which a host has only so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A subscription to the event stream.
    Subscription,
    /// A snapshot of a repo, which is downloaded.
    Repo,
    /// A blob's file, which is downloaded or written.
    Blob,
    /// A place in the queue of slow computations.
    Computation,
    /// A socket to another service, to which the call goes on.
    Exchange,
}

impl Holds {
    /// What this request would hold: a call of a method, or a page's password. What is refused or answered without a look
    /// at it, as another verb than the method's and what a browser asks before it calls, holds nothing.
    pub fn at(method: &Method, path: &str) -> Option<Self> {
        static ALL: LazyLock<HashMap<&str, (Method, Option<Holds>)>> = LazyLock::new(|| {
            let endpoints = super::endpoints().into_iter();
            let own = endpoints.map(|endpoint| (endpoint.nsid, (endpoint.method, endpoint.holds)));
            own.chain([("_health", (Method::GET, None))]).collect()
        });
        if web::may_take_password(method, path) {
            return Some(Self::Computation);
        }
        let nsid = path.strip_prefix("/xrpc/")?;
        if method == Method::OPTIONS {
            return None;
        }
        match ALL.get(nsid) {
            Some((own, holds)) => holds.filter(|_| own == as_get(method)),
            None => Some(Self::Exchange),
        }
    }
}

/// The verb that a method is looked up by: HEAD asks for a GET's head.
pub(super) fn as_get(method: &Method) -> &Method {
    if method == Method::HEAD { &Method::GET } else { method }
}

/// One XRPC method.
#[derive(Clone)]
pub struct Endpoint {
    /// Its NSID.
    pub nsid: &'static str,
    /// GET for a query or subscription, POST for a procedure.
    pub method: Method,
    /// What a caller must be.
    pub access: Access,
    /// What an application needs; unless it is said, none may call.
    pub apps: Apps,
    /// What a call holds, if it lasts.
    pub holds: Option<Holds>,
    /// Bytes of a body that is read whole before the handler is asked; others are the handler's to read.
    pub(super) body_max: Option<usize>,
    /// Who answers.
    pub(super) handler: Handler,
}

impl Endpoint {
    /// A query or procedure that has a lexicon. A JSON body has at most [`JSON_BODY_BYTES_MAX`] bytes.
    pub fn of<M: lexicon::Method>(access: Access, handler: impl Handles<M, M::Input>) -> Self {
        Self::of_up_to::<M>(access, JSON_BODY_BYTES_MAX, handler)
    }

    /// The same with a JSON body of at most `bytes_max` bytes.
    pub fn of_up_to<M: lexicon::Method>(
        access: Access,
        bytes_max: usize,
        handler: impl Handles<M, M::Input>,
    ) -> Self {
        const { assert!(!matches!(M::KIND, MethodKind::Upload { .. }), "see Endpoint::upload") };
        let handler = Arc::new(handler);
        let endpoint = Self::raw(M::NSID, verb(M::KIND), access, move |context, request: Request| {
            let handler = Arc::clone(&handler);
            async move {
                let input = match M::KIND {
                    MethodKind::Procedure => valid_body(M::NSID, request).await?,
                    MethodKind::Query | MethodKind::Upload { .. } => valid_params(M::NSID, &request)?,
                };
                answer_of::<M>(handler.call(context, typed(M::NSID, input)?).await)
            }
        });
        match M::KIND {
            MethodKind::Procedure => endpoint.reading(bytes_max),
            MethodKind::Query | MethodKind::Upload { .. } => endpoint,
        }
    }

    /// A procedure that has a lexicon and whose body is bytes.
    pub fn upload<M: lexicon::Method>(access: Access, handler: impl Handles<M, Upload<M::Input>>) -> Self {
        const { assert!(matches!(M::KIND, MethodKind::Upload { .. }), "see Endpoint::of") };
        let handler = Arc::new(handler);
        Self::raw(M::NSID, verb(M::KIND), access, move |context, request: Request| {
            let handler = Arc::clone(&handler);
            async move {
                if let MethodKind::Upload { encoding } = M::KIND {
                    require_encoding(request.headers(), encoding)?;
                }
                let params = typed(M::NSID, valid_params(M::NSID, &request)?)?;
                answer_of::<M>(handler.call(context, Upload { params, request }).await)
            }
        })
    }

    /// A query: parameters in, JSON out.
    pub fn query<P, O, F>(
        nsid: &'static str,
        access: Access,
        handler: impl Fn(Context, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        O: IntoOutput,
        F: Future<Output = Result<O, XrpcError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        Self::raw(nsid, Method::GET, access, move |context, request: Request| {
            let handler = Arc::clone(&handler);
            async move {
                let params = parse_params(request.uri().query().unwrap_or_default())?;
                handler(context, params).await?.into_output()
            }
        })
    }

    /// A procedure: a JSON body in (an absent one counts as `{}`), JSON out.
    pub fn procedure<I, O, F>(
        nsid: &'static str,
        access: Access,
        handler: impl Fn(Context, I) -> F + Send + Sync + 'static,
    ) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: IntoOutput,
        F: Future<Output = Result<O, XrpcError>> + Send + 'static,
    {
        Self::procedure_up_to(nsid, access, JSON_BODY_BYTES_MAX, handler)
    }

    /// A procedure whose body may have `bytes_max` bytes.
    pub fn procedure_up_to<I, O, F>(
        nsid: &'static str,
        access: Access,
        bytes_max: usize,
        handler: impl Fn(Context, I) -> F + Send + Sync + 'static,
    ) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: IntoOutput,
        F: Future<Output = Result<O, XrpcError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let endpoint = Self::raw(nsid, Method::POST, access, move |context, request: Request| {
            let handler = Arc::clone(&handler);
            async move {
                let body = json_body(request).await?;
                // A list would be taken for the fields in their order.
                if body.trim_ascii_start().first() != Some(&b'{') {
                    return Err(XrpcError::invalid("Invalid input: it has to be an object"));
                }
                let input = serde_json::from_slice(&body).map_err(|error| {
                    let why = refusal::<I>(&mut serde_json::Deserializer::from_slice(&body), &error);
                    XrpcError::invalid(format!("Invalid input: {why}"))
                })?;
                handler(context, input).await?.into_output()
            }
        });
        endpoint.reading(bytes_max)
    }

    /// A method that reads the request and writes the answer by itself: streams, uploads, sockets.
    pub fn raw<F>(
        nsid: &'static str,
        method: Method,
        access: Access,
        handler: impl Fn(Context, Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Response, XrpcError>> + Send + 'static,
    {
        Self {
            nsid,
            method,
            access,
            apps: Apps::Never,
            holds: None,
            body_max: None,
            handler: Arc::new(move |context, request| Box::pin(handler(context, request))),
        }
    }

    /// The same, over bodies of at most `bytes_max` bytes that are there as a whole.
    #[must_use]
    pub fn reading(self, bytes_max: usize) -> Self {
        Self { body_max: Some(bytes_max), ..self }
    }

    /// The same, open to applications that were granted what it takes.
    #[must_use]
    pub fn open_to(self, apps: Apps) -> Self {
        Self { apps, ..self }
    }

    /// The same, whose calls hold something.
    #[must_use]
    pub fn holding(self, holds: Holds) -> Self {
        Self { holds: Some(holds), ..self }
    }
}

/// What a handler may return.
pub trait IntoOutput {
    /// The answer, status 200.
    ///
    /// # Errors
    /// An internal error when the value has no JSON form.
    fn into_output(self) -> Result<Response, XrpcError>;
}

/// A value, as JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// JSON text that is ready.
#[derive(Debug)]
pub struct JsonText(pub Vec<u8>);

/// An empty answer, as procedures without output have.
#[derive(Debug)]
pub struct Empty;

impl<T: Serialize> IntoOutput for Json<T> {
    fn into_output(self) -> Result<Response, XrpcError> {
        JsonText(serde_json::to_vec(&self.0).map_err(XrpcError::internal)?).into_output()
    }
}

impl IntoOutput for JsonText {
    fn into_output(self) -> Result<Response, XrpcError> {
        let mut response = Response::new(Body::from(self.0));
        let value = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, value);
        Ok(response)
    }
}

impl IntoOutput for Empty {
    fn into_output(self) -> Result<Response, XrpcError> {
        Ok(Response::new(Body::empty()))
    }
}

impl IntoOutput for Response {
    fn into_output(self) -> Result<Response, XrpcError> {
        Ok(self)
    }
}

/// Reads `a=1&b=2`, lists as repeated names. A parameter that is there but empty is one that was left out: clients write
/// `cursor=` for none.
///
/// # Errors
/// `InvalidRequest`, naming the parameter.
pub fn parse_params<P: DeserializeOwned>(query: &str) -> Result<P, XrpcError> {
    let query = &*without_empty(query);
    serde_html_form::from_str(query).map_err(|error| {
        let why = refusal::<P>(serde_html_form::Deserializer::from_bytes(query.as_bytes()), &error);
        XrpcError::invalid(format!("Invalid parameters: {why}"))
    })
}

fn without_empty(query: &str) -> Cow<'_, str> {
    let has_value = |pair: &&str| pair.split_once('=').is_some_and(|(_, value)| !value.is_empty());
    if query.split('&').all(|pair| has_value(&pair)) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.split('&').filter(has_value).collect::<Vec<_>>().join("&"))
}

/// What is wrong with an input, after the name it is wrong at. Reads it once more, so that only a refusal pays for that.
fn refusal<'de, T: serde::Deserialize<'de>>(
    input: impl serde::Deserializer<'de>,
    first: &dyn std::error::Error,
) -> String {
    match serde_path_to_error::deserialize::<_, T>(input) {
        Err(error) => error.to_string(),
        // Nothing is wrong but what follows it.
        Ok(_) => first.to_string(),
    }
}

/// A page's length: as asked for, `default` unless asked.
///
/// # Errors
/// `InvalidRequest` when it is not 1 to `max`.
pub fn check_limit(limit: Option<u32>, default: u32, max: u32) -> Result<u32, XrpcError> {
    match limit.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(XrpcError::invalid(format!("Invalid parameters: limit must be 1 to {max}"))),
    }
}

/// The HTTP method of a kind.
fn verb(kind: MethodKind) -> Method {
    match kind {
        MethodKind::Query => Method::GET,
        MethodKind::Procedure | MethodKind::Upload { .. } => Method::POST,
    }
}

/// The query string of a request, as its lexicon takes it.
fn valid_params(nsid: &str, request: &Request) -> Result<Ipld, XrpcError> {
    let pairs: Vec<(String, String)> = parse_params(request.uri().query().unwrap_or_default())?;
    let pairs = pairs.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    catalog().read_params(nsid, pairs).map_err(|error| XrpcError::invalid(error.to_string()))
}

/// The JSON body of a request (an absent one counts as `{}`), as its lexicon takes it.
async fn valid_body(nsid: &str, request: Request) -> Result<Ipld, XrpcError> {
    let body = json_body(request).await?;
    let input = data_model::from_json(&body)
        .map_err(|error| XrpcError::invalid(format!("Invalid input: {error}")))?;
    catalog().read_body(nsid, input).map_err(|error| XrpcError::invalid(error.to_string()))
}

/// Reads a value that its lexicon takes. The reason why that fails is not shown: it would repeat the value, which may
/// be a secret.
fn typed<T: DeserializeOwned>(nsid: &str, value: Ipld) -> Result<T, XrpcError> {
    from_ipld(value).map_err(|_| {
        tracing::warn!(nsid, "a valid input is not of its type");
        XrpcError::invalid(format!("Invalid input: not of the shape that {nsid} takes"))
    })
}

fn answer_of<M: lexicon::Method>(answer: Answer<M>) -> Result<Response, XrpcError> {
    Json(answer.map_err(Refusal::into_error)?).into_output()
}
