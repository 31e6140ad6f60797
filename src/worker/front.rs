//! The Worker itself: a request goes into the same router as on every host.
//!
//! An isolate serves many requests, one after another and side by side. What it keeps between them are caches and the
//! router; nothing is lost with it.

use std::cell::OnceCell;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::IntoResponse;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::header;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tower_service::Service;
use worker::send::{SendFuture, SendWrapper};
use worker::{Context, Env, Headers, ObjectNamespace, ResponseBody, event};

use super::host::WorkerHost;
use super::settings::Settings;
use super::{console, directory, object};
use crate::app::flows::Elsewhere;
use crate::app::{Accounts, App, Carried, Error, Flows, Identities};
use crate::directory::Flow;
use crate::host::{Download, HostError};
use crate::limits::RECORDS_BODY_BYTES_MAX;
use crate::syntax::Did;
use crate::xrpc::{XrpcError, router};
use crate::{auth, host};

/// How long an account's standing is taken for true here after another isolate may have changed it.
const ACCOUNT_CACHED_US: i64 = 5_000_000;

thread_local! {
    /// An isolate has one thread.
    static ROUTER: OnceCell<axum::Router> = const { OnceCell::new() };
}

/// Answers one request.
#[event(fetch, respond_with_errors)]
async fn fetch(request: worker::Request, env: Env, _: Context) -> worker::Result<worker::Response> {
    console::start();
    let mut router = match ROUTER.with(|router| router.get().cloned()) {
        Some(router) => router,
        None => match start(&env) {
            Ok(made) => ROUTER.with(|router| router.get_or_init(|| made).clone()),
            Err(error) => return answer(refuse(&error)).await,
        },
    };
    let request = match read(request).await {
        Ok(request) => request,
        Err(error) => return answer(error.into_response()).await,
    };
    // A router never fails: its errors are answers.
    match router.call(request).await {
        Ok(response) => answer(response).await,
        Err(never) => match never {},
    }
}

/// The request as the router takes it. By hand, not by the crate's conversions, which panic or guess at what a stranger
/// may send. A small body is read at once: the runtime's streams cost more than all else of a small request.
async fn read(mut request: worker::Request) -> Result<http::Request<Body>, XrpcError> {
    let bad = |what: &str| XrpcError::invalid(format!("the request's {what} can't be read"));
    let mut read = http::Request::new(Body::empty());
    *read.method_mut() = request.inner().method().parse().map_err(|_| bad("method"))?;
    *read.uri_mut() = request.inner().url().parse().map_err(|_| bad("URL"))?;
    for (name, value) in request.headers() {
        let name = http::HeaderName::try_from(name).map_err(|_| bad("headers"))?;
        let value = http::HeaderValue::try_from(value).map_err(|_| bad("headers"))?;
        read.headers_mut().append(name, value);
    }
    let length =
        read.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let is_small = length.is_some_and(|length: usize| length <= RECORDS_BODY_BYTES_MAX)
        && !read.headers().contains_key(header::TRANSFER_ENCODING);
    *read.body_mut() = match request.inner().body() {
        None => Body::empty(),
        Some(_) if is_small => Body::from(request.bytes().await.map_err(|_| bad("body"))?),
        Some(stream) => Body::new(worker::Body::new(stream)),
    };
    Ok(read)
}

/// An answer whose body the runtime brings to the client by itself, without a chunk of it coming through here.
pub(super) fn download(body: ResponseBody) -> Download {
    let unread = HostError::Storage("the runtime has this body".to_owned());
    let mut response = host::download(stream::iter([Err(unread)]).boxed());
    response.extensions_mut().insert(SendWrapper::new(body));
    response
}

/// The router's answer as the runtime takes it; a small one whole, as in [`read`].
async fn answer(mut response: http::Response<Body>) -> worker::Result<worker::Response> {
    let length = response.body().size_hint().exact();
    let mut download = response.extensions_mut().remove::<SendWrapper<ResponseBody>>();
    if response.body().is_end_stream()
        && let Some(SendWrapper(ResponseBody::Stream(unwanted))) = download.take()
    {
        // To HEAD, the router has taken the body off: who sends it is told, and need not hear that it was.
        let _ = unwanted.cancel();
    }
    if download.is_none() && length.is_none_or(|length| length == 0 || length > RECORDS_BODY_BYTES_MAX as u64)
    {
        return response.try_into();
    }
    let (parts, body) = response.into_parts();
    let headers = Headers::new();
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            headers.append(name.as_str(), value)?;
        }
    }
    let answer = worker::ResponseBuilder::new().with_status(parts.status.as_u16()).with_headers(headers);
    if let Some(SendWrapper(body)) = download {
        return Ok(answer.body(body));
    }
    let failed = |error: axum::Error| worker::Error::RustError(error.to_string());
    let bytes = body.collect().await.map_err(failed)?.to_bytes();
    Ok(answer.fixed(bytes.to_vec()))
}

fn start(env: &Env) -> Result<axum::Router, HostError> {
    let directory = Settings::directory(env)?;
    let router = router(app(env, &Settings::of(env), Flows::elsewhere(Afar { directory }))?);
    #[cfg(feature = "testing")]
    let router = super::testing::route(router, env);
    Ok(router)
}

/// A Worker has no state and its requests end with their callers, so the directory's object carries out changes.
struct Afar {
    directory: ObjectNamespace,
}

impl Afar {
    fn ask<T: DeserializeOwned + 'static>(
        &self,
        path: &'static str,
        question: Result<Vec<u8>, HostError>,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let namespace = self.directory.clone();
        let asked = async move {
            let directory = object::stub(&namespace, directory::NAME)?;
            let bytes = object::bytes(object::call(&directory, path, &question?).await?).await?;
            serde_ipld_dagcbor::from_slice::<Result<T, Error>>(&bytes).map_err(super::storage)
        };
        SendFuture::new(async move {
            asked.await.map_err(|error: HostError| Error::Unreachable(error.to_string()))?
        })
        .boxed()
    }
}

impl Elsewhere for Afar {
    fn run(&self, did: Did, flow: Option<Flow>) -> BoxFuture<'static, Result<(), Error>> {
        self.ask(directory::RUN, serde_ipld_dagcbor::to_vec(&(did, flow)).map_err(super::storage))
    }

    fn carry(&self) -> BoxFuture<'static, Result<Carried, Error>> {
        self.ask(directory::CARRY, Ok(Vec::new()))
    }
}

/// What handlers run on.
pub(super) fn app(env: &Env, settings: &Settings, flows: Flows) -> Result<Arc<App>, HostError> {
    let read = settings.get()?;
    let network = Arc::clone(&read.network);
    Ok(Arc::new(App {
        host: Arc::new(WorkerHost::new(env, &read.config)?) as Arc<dyn host::Host>,
        auth: auth::Authority::new(
            &network.master_key,
            network.service_did.clone(),
            Some(&read.secrets.admin_token),
        ),
        identities: Identities::new(network.plc_url.clone()),
        accounts: Accounts::kept_for(ACCOUNT_CACHED_US),
        flows,
        blob_bytes_max: read.config.blob_bytes_max.min(super::blobs::BYTES_MAX),
        network,
    }))
}

/// A deployment that is not set up says so; its operator is the one who sees it first.
fn refuse(error: &HostError) -> http::Response<Body> {
    tracing::error!(%error, "no request can be served");
    let message = format!("{error}; see docs/cloudflare.md");
    let answer = XrpcError::named("NotSetUp", message).with_status(http::StatusCode::SERVICE_UNAVAILABLE);
    answer.into_response()
}
