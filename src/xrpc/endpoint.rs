//! One method, declared as data, and the dispatch over all of them.
//!
//! The dispatcher finds the endpoint by its NSID, checks verb and credentials, bounds and reads the body, and only
//! then calls the handler. A handler is a plain async function over parsed input; adapters make it an [`Endpoint`].

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{App, XrpcError};
use crate::auth::{Access, Caller};
use crate::limits::JSON_BODY_BYTES_MAX;

/// What a handler knows besides its input.
#[derive(Clone)]
pub struct Context {
    /// The server.
    pub app: Arc<App>,
    /// Who calls, as far as the endpoint's access asked for it.
    pub caller: Caller,
    /// The request's headers.
    pub headers: Arc<HeaderMap>,
}

impl std::ops::Deref for Context {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

type Handler = Arc<dyn Fn(Context, Request) -> BoxFuture<'static, Result<Response, XrpcError>> + Send + Sync>;

/// One XRPC method.
#[derive(Clone)]
pub struct Endpoint {
    /// Its NSID.
    pub nsid: &'static str,
    /// GET for a query or subscription, POST for a procedure.
    pub method: Method,
    /// What a caller must be.
    pub access: Access,
    handler: Handler,
}

impl Endpoint {
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
        Self::raw(nsid, Method::POST, access, move |context, request: Request| {
            let handler = Arc::clone(&handler);
            async move {
                let body = read_json_body(request, bytes_max).await?;
                let input = serde_json::from_slice(&body).map_err(|error| {
                    let why = refusal::<I>(&mut serde_json::Deserializer::from_slice(&body), &error);
                    XrpcError::invalid(format!("Invalid input: {why}"))
                })?;
                handler(context, input).await?.into_output()
            }
        })
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
            handler: Arc::new(move |context, request| Box::pin(handler(context, request))),
        }
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

/// All endpoints, by NSID.
pub struct Dispatcher {
    app: Arc<App>,
    endpoints: HashMap<&'static str, Endpoint>,
}

impl Dispatcher {
    /// Over these endpoints.
    pub fn new(app: Arc<App>, endpoints: Vec<Endpoint>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| (endpoint.nsid, endpoint)).collect();
        Self { app, endpoints }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Answers one request to `/xrpc/{nsid}`.
    pub async fn dispatch(&self, nsid: &str, request: Request) -> Response {
        self.answer(nsid, request).await.unwrap_or_else(XrpcError::into_response)
    }

    async fn answer(&self, nsid: &str, request: Request) -> Result<Response, XrpcError> {
        let Some(endpoint) = self.endpoints.get(nsid) else {
            if crate::syntax::validate_nsid(nsid).is_err() {
                return Err(XrpcError::invalid("the path after /xrpc/ is not an NSID")
                    .with_status(StatusCode::NOT_FOUND));
            }
            return Err(XrpcError::named("MethodNotImplemented", "Method Not Implemented")
                .with_status(StatusCode::NOT_IMPLEMENTED));
        };
        let method = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
        if method != endpoint.method {
            return Err(XrpcError::invalid(format!("{nsid} is called with {}", endpoint.method))
                .with_status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let caller =
            super::authenticate::authenticate(&self.app, endpoint.access, nsid, request.headers()).await?;
        let headers = Arc::new(request.headers().clone());
        let context = Context { app: Arc::clone(&self.app), caller, headers };
        (endpoint.handler)(context, request).await
    }
}

/// Reads `a=1&b=2`, lists as repeated names.
///
/// # Errors
/// `InvalidRequest`, naming the parameter.
pub fn parse_params<P: DeserializeOwned>(query: &str) -> Result<P, XrpcError> {
    serde_html_form::from_str(query).map_err(|error| {
        let why = refusal::<P>(serde_html_form::Deserializer::from_bytes(query.as_bytes()), &error);
        XrpcError::invalid(format!("Invalid parameters: {why}"))
    })
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

/// Reads a body of at most `bytes_max` bytes.
///
/// # Errors
/// `PayloadTooLarge` with 413, or `InvalidRequest` when the client stopped in the middle.
pub async fn read_body(request: Request, bytes_max: usize) -> Result<Bytes, XrpcError> {
    axum::body::to_bytes(request.into_body(), bytes_max).await.map_err(|error| {
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = source {
            if error.is::<http_body_util::LengthLimitError>() {
                return XrpcError::named("PayloadTooLarge", format!("the body is over {bytes_max} bytes"))
                    .with_status(StatusCode::PAYLOAD_TOO_LARGE);
            }
            source = error.source();
        }
        XrpcError::invalid("the request's body ended early")
    })
}

async fn read_json_body(request: Request, bytes_max: usize) -> Result<Bytes, XrpcError> {
    let is_json =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(
            |value| value.split(';').next().is_some_and(|mime| mime.trim() == "application/json"),
        );
    let body = read_body(request, bytes_max).await?;
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if !is_json {
        return Err(XrpcError::invalid("Wrong request encoding (Content-Type): use application/json"));
    }
    Ok(body)
}
