//! The Worker itself: a request goes into the same router as on every host.
//!
//! An isolate serves many requests, one after another and side by side. What it keeps between them are caches and the
//! router; nothing is lost with it.

use std::cell::OnceCell;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use futures::FutureExt;
use http_body_util::BodyExt;
use tower_service::Service;
use worker::send::SendFuture;
use worker::{Context, Env, Headers, HttpRequest, event};

use super::host::WorkerHost;
use super::settings::Settings;
use super::{console, directory, object};
use crate::host::HostError;
use crate::limits::RECORDS_BODY_BYTES_MAX;
use crate::xrpc::{App, Carrier, Identities, XrpcError, router};
use crate::{auth, host};

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
            Err(error) => return refuse(&error).try_into(),
        },
    };
    // A router never fails: its errors are answers.
    match router.call(whole_if_small(request).await?).await {
        Ok(response) => whole_answer_if_small(response).await,
        Err(never) => match never {},
    }
}

/// A small body is read at once; the runtime's streams cost more than all else of a small request.
async fn whole_if_small(request: worker::Request) -> worker::Result<http::Request<Body>> {
    let length = request.headers().get("content-length")?.and_then(|length| length.parse::<usize>().ok());
    let mut request = request;
    if length.is_some_and(|length| length > 0 && length <= RECORDS_BODY_BYTES_MAX) {
        // By hand: the crate's conversion wants the stream, which is used up then.
        let mut whole = http::Request::new(Body::from(request.bytes().await?));
        let failed = |error: http::Error| worker::Error::RustError(error.to_string());
        *whole.method_mut() =
            request.method().as_ref().parse().map_err(|error| failed(http::Error::from(error)))?;
        *whole.uri_mut() =
            request.inner().url().parse().map_err(|error: http::uri::InvalidUri| failed(error.into()))?;
        *whole.headers_mut() = http::HeaderMap::from(request.headers());
        return Ok(whole);
    }
    let request: HttpRequest = request.try_into()?;
    Ok(request.map(Body::new))
}

/// As [`whole_if_small`], on the way out.
async fn whole_answer_if_small(response: http::Response<Body>) -> worker::Result<worker::Response> {
    let length = response.body().size_hint().exact();
    let small = length.is_some_and(|length| length > 0 && length <= RECORDS_BODY_BYTES_MAX as u64);
    if !small {
        return response.try_into();
    }
    let (parts, body) = response.into_parts();
    let failed = |error: axum::Error| worker::Error::RustError(error.to_string());
    let bytes = body.collect().await.map_err(failed)?.to_bytes();
    let answer = worker::ResponseBuilder::new().with_status(parts.status.as_u16());
    Ok(answer.with_headers(Headers::from(&parts.headers)).fixed(bytes.to_vec()))
}

fn start(env: &Env) -> Result<axum::Router, HostError> {
    let namespace = Settings::directory(env)?;
    let carry = move || {
        let namespace = namespace.clone();
        let carried = async move {
            let directory = object::stub(&namespace, directory::NAME)?;
            let bytes = object::bytes(object::call(&directory, directory::CARRY, &[]).await?).await?;
            let carried: Result<_, String> =
                serde_ipld_dagcbor::from_slice(&bytes).map_err(super::storage)?;
            carried.map_err(HostError::Storage)
        };
        SendFuture::new(carried).boxed()
    };
    let router = router(app(env, &Settings::of(env), Carrier::elsewhere(Box::new(carry)))?);
    #[cfg(feature = "testing")]
    let router = super::testing::route(router, env);
    Ok(router)
}

/// What handlers run on.
pub(super) fn app(env: &Env, settings: &Settings, carrier: Carrier) -> Result<Arc<App>, HostError> {
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
        carrier,
        blob_bytes_max: read.config.blob_bytes_max.min(super::blobs::BYTES_MAX),
        network,
    }))
}

/// A deployment that is not set up says so; its operator is the one who sees it first.
fn refuse(error: &HostError) -> http::Response<Body> {
    tracing::error!(%error, "no request can be served");
    let message = format!("{error}; see docs/cloudflare.md");
    let answer = XrpcError::named("NotSetUp", message).with_status(http::StatusCode::SERVICE_UNAVAILABLE);
    axum::response::IntoResponse::into_response(answer)
}
