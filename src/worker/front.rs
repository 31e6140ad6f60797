//! The Worker itself: a request goes into the same router as on every host.
//!
//! An isolate serves many requests, one after another and side by side. What it keeps between them are caches and the
//! router; nothing is lost with it.

use std::cell::OnceCell;
use std::pin::{Pin, pin};
use std::task::{self, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use tower_service::Service;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use worker::wasm_bindgen_futures::spawn_local;
use worker::worker_sys::web_sys::AbortSignal;
use worker::{Context, Env, event};

use super::app::{Afar, app};
use super::settings::Settings;
use super::{console, http as message};
use crate::app::Flows;
use crate::config::RateLimits;
use crate::host::HostError;
use crate::web::may_take_password;
use crate::xrpc::{XrpcError, router};

/// How long the runtime lets a request go on without its caller.
const LINGER: Duration = Duration::from_secs(30);

/// The bindings of the runtime's rate limits, by address: of all requests, and of some.
const REQUEST_LIMIT: &str = "REQUEST_LIMIT";
const PASSWORD_LIMIT: &str = "PASSWORD_LIMIT";
/// What it counts: methods that hash a password for whoever asks.
const PASSWORD_METHODS: [&str; 4] = [
    "com.atproto.server.createSession",
    "com.atproto.server.createAccount",
    "com.atproto.server.deleteAccount",
    "com.atproto.server.resetPassword",
];

thread_local! {
    /// An isolate has one thread.
    static FRONT: OnceCell<Front> = const { OnceCell::new() };
}

/// What an isolate keeps between requests.
#[derive(Clone)]
struct Front {
    router: axum::Router,
    /// Whether limits are on.
    counts: bool,
}

/// Answers one request. What its caller alone waits for ends when that hangs up, as on every host.
#[event(fetch, respond_with_errors)]
async fn fetch(request: worker::Request, env: Env, context: Context) -> worker::Result<worker::Response> {
    console::start();
    let caller = Caller::of(&request);
    match select(pin!(serve(request, &env)), caller).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            // What goes on without a caller (see `App::detached`) is let go on as long as the runtime lets it.
            context.wait_until(worker::Delay::from(LINGER));
            worker::Response::error("nobody is there to hear this", 499)
        }
    }
}

async fn serve(request: worker::Request, env: &Env) -> worker::Result<worker::Response> {
    let Front { mut router, counts } = match FRONT.with(|front| front.get().cloned()) {
        Some(front) => front,
        None => match start(env) {
            Ok(made) => FRONT.with(|front| front.get_or_init(|| made).clone()),
            Err(error) => return message::answer(refuse(&error)).await,
        },
    };
    if counts && is_over_limit(&request, env).await {
        let refusal = XrpcError::named("RateLimitExceeded", "too many requests: try again in a minute");
        let mut answer = refusal.with_status(http::StatusCode::TOO_MANY_REQUESTS).into_response();
        answer.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("60"));
        return message::answer(answer).await;
    }
    let request = match message::read(request).await {
        Ok(request) => request,
        Err(error) => return message::answer(error.into_response()).await,
    };
    let takes_gzip = message::takes_gzip(request.headers());
    // A router never fails: its errors are answers.
    match router.call(request).await {
        Ok(response) if takes_gzip => message::answer(message::compressed(response)).await,
        Ok(response) => message::answer(response).await,
        Err(never) => match never {},
    }
}

/// Whether the address has asked too often, by the runtime's own counts, where those are bound.
async fn is_over_limit(request: &worker::Request, env: &Env) -> bool {
    let path = request.path();
    let method = path.strip_prefix("/xrpc/");
    let is_post = request.method() == worker::Method::Post;
    let is_form = is_post && may_take_password(&http::Method::POST, &path);
    if method.is_none() && !is_form {
        return false;
    }
    let address = request.headers().get(message::ADDRESS_HEADER).ok().flatten();
    let Some(address) = address.as_deref().and_then(message::net) else { return false };
    let is_call = is_post && method.is_some_and(|method| PASSWORD_METHODS.contains(&method));
    let takes_password = is_form || is_call;
    let limits = [REQUEST_LIMIT].into_iter().chain(takes_password.then_some(PASSWORD_LIMIT));
    for binding in limits {
        let Ok(limiter) = env.rate_limiter(binding) else { continue };
        match limiter.limit(address.to_string()).await {
            Ok(outcome) if !outcome.success => return true,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, binding, "the rate limit can't be asked"),
        }
    }
    false
}

/// Who waits for an answer: ends when it has hung up. The runtime says so under its flag `enable_request_signal`.
struct Caller {
    signal: AbortSignal,
    gone: oneshot::Receiver<()>,
    _hears: Closure<dyn FnMut()>,
}

impl Caller {
    fn of(request: &worker::Request) -> Self {
        let signal = request.inner().signal();
        let (sender, gone) = oneshot::channel();
        // Nobody listens any more when the answer was there first.
        let hears = Closure::once(move || sender.send(()).unwrap_or_default());
        signal.set_onabort(Some(hears.as_ref().unchecked_ref()));
        Self { signal, gone, _hears: hears }
    }
}

impl Future for Caller {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<()> {
        match self.gone.poll_unpin(context) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // Nobody will ever say.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.signal.set_onabort(None);
    }
}

fn start(env: &Env) -> Result<Front, HostError> {
    let (directory, settings) = (Settings::directory(env)?, Settings::of(env));
    let router = router(app(env, &settings, Flows::elsewhere(Box::new(spawn_local), Afar { directory }))?);
    #[cfg(feature = "testing")]
    let router = super::testing::route(router, env);
    Ok(Front { router, counts: settings.get()?.config.rate_limits != RateLimits::default() })
}

/// A deployment that is not set up says so; its operator is the one who sees it first.
fn refuse(error: &HostError) -> http::Response<Body> {
    tracing::error!(%error, "no request can be served");
    let message = format!("{error}; see docs/cloudflare.md");
    let answer = XrpcError::named("NotSetUp", message).with_status(http::StatusCode::SERVICE_UNAVAILABLE);
    answer.into_response()
}
