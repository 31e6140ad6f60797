//! All paths of the server: `/xrpc/…` to the dispatcher, and the few fixed pages beside it.
//!
//! Any web page may call methods and read who is who: CORS opens those paths to every origin, which is safe because
//! nothing there is done by cookies, only by an `Authorization` header that a foreign page does not have. Pages for people
//! are not among them: those will have cookies. What is not found is said in the flat JSON of all errors.

mod cors;
mod pages;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::StatusCode;

use super::endpoint::Dispatcher;
use super::{App, XrpcError, aliases, endpoints};

/// The server's router, the same on every host.
pub fn router(app: Arc<App>) -> Router {
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&app), endpoints()));
    let known = Router::new()
        .route("/xrpc/_health", get(pages::health))
        .route("/.well-known/did.json", get(pages::did_document))
        .route("/.well-known/atproto-did", get(pages::did_of_host))
        .with_state(Arc::clone(&app));
    let open = Router::new()
        .route("/xrpc/{nsid}", any(method))
        .with_state(Arc::clone(&dispatcher))
        .merge(known)
        .merge(aliases(dispatcher))
        .method_not_allowed_fallback(async || method_not_allowed())
        .layer(axum::middleware::from_fn(cors::open));
    let pages = Router::new()
        .route("/", get(pages::home))
        .route("/robots.txt", get(pages::robots))
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(app);
    open.merge(pages).fallback(async || not_found())
}

async fn method(State(dispatcher): State<Arc<Dispatcher>>, request: Request) -> Response {
    // Not through the path extractor: an NSID has nothing that would be escaped, and its refusals are no JSON.
    let nsid = request.uri().path().strip_prefix("/xrpc/").unwrap_or_default().to_owned();
    dispatcher.dispatch(&nsid, request).await
}

fn not_found() -> Response {
    XrpcError::named("NotFound", "there is nothing at this path; methods are under /xrpc/")
        .with_status(StatusCode::NOT_FOUND)
        .into_response()
}

fn method_not_allowed() -> Response {
    XrpcError::invalid("this path does not take this HTTP method")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .into_response()
}

#[cfg(test)]
mod tests;
