//! The Worker itself: a request goes into the same router as on every host.
//!
//! An isolate serves many requests, one after another and side by side. What it keeps between them are caches and the
//! router; nothing is lost with it.

use std::cell::OnceCell;

use axum::body::Body;
use axum::response::IntoResponse;
use tower_service::Service;
use worker::{Context, Env, event};

use super::app::{Afar, app};
use super::settings::Settings;
use super::{console, http as message};
use crate::app::Flows;
use crate::host::HostError;
use crate::xrpc::{XrpcError, router};

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
            Err(error) => return message::answer(refuse(&error)).await,
        },
    };
    let request = match message::read(request).await {
        Ok(request) => request,
        Err(error) => return message::answer(error.into_response()).await,
    };
    // A router never fails: its errors are answers.
    match router.call(request).await {
        Ok(response) => message::answer(response).await,
        Err(never) => match never {},
    }
}

fn start(env: &Env) -> Result<axum::Router, HostError> {
    let directory = Settings::directory(env)?;
    let router = router(app(env, &Settings::of(env), Flows::elsewhere(Afar { directory }))?);
    #[cfg(feature = "testing")]
    let router = super::testing::route(router, env);
    Ok(router)
}

/// A deployment that is not set up says so; its operator is the one who sees it first.
fn refuse(error: &HostError) -> http::Response<Body> {
    tracing::error!(%error, "no request can be served");
    let message = format!("{error}; see docs/cloudflare.md");
    let answer = XrpcError::named("NotSetUp", message).with_status(http::StatusCode::SERVICE_UNAVAILABLE);
    answer.into_response()
}
