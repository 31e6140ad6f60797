//! The Worker itself: a request goes into the same router as on every host.
//!
//! An isolate serves many requests, one after another and side by side. What it keeps between them are caches and the
//! router; nothing is lost with it.

use std::cell::OnceCell;
use std::sync::Arc;

use axum::body::Body;
use futures::FutureExt;
use tower_service::Service;
use worker::send::SendFuture;
use worker::{Context, Env, HttpRequest, event};

use super::host::WorkerHost;
use super::settings::Settings;
use super::{console, directory, object};
use crate::host::HostError;
use crate::xrpc::{App, Carrier, Identities, XrpcError, router};
use crate::{auth, host};

thread_local! {
    /// An isolate has one thread.
    static ROUTER: OnceCell<axum::Router> = const { OnceCell::new() };
}

/// Answers one request.
#[event(fetch, respond_with_errors)]
async fn fetch(request: HttpRequest, env: Env, _: Context) -> worker::Result<http::Response<Body>> {
    console::start();
    #[cfg(feature = "testing")]
    if let Some(name) = request.uri().path().strip_prefix(super::testing::PATH) {
        let name = name.to_owned();
        let body = http_body_util::BodyExt::collect(request.into_body()).await?.to_bytes();
        return Ok(http::Response::new(Body::from(super::testing::forward(&env, &name, &body).await?)));
    }
    let mut router = match ROUTER.with(|router| router.get().cloned()) {
        Some(router) => router,
        None => match start(&env) {
            Ok(made) => ROUTER.with(|router| router.get_or_init(|| made).clone()),
            Err(error) => return Ok(refuse(&error)),
        },
    };
    // A router never fails: its errors are answers.
    match router.call(request.map(Body::new)).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

fn start(env: &Env) -> Result<axum::Router, HostError> {
    let namespace = Settings::directory(env)?;
    let carry = move || {
        let namespace = namespace.clone();
        let carried = async move {
            let directory = object::stub(&namespace, directory::NAME)?;
            let mut response = object::call(&directory, directory::CARRY, &[]).await?;
            let bytes = response.bytes().await.map_err(super::storage)?;
            let carried: Result<_, String> =
                serde_ipld_dagcbor::from_slice(&bytes).map_err(super::storage)?;
            carried.map_err(HostError::Storage)
        };
        SendFuture::new(carried).boxed()
    };
    Ok(router(app(env, &Settings::of(env), Carrier::elsewhere(Box::new(carry)))?))
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
