//! All paths of the server: `/xrpc/…` to the dispatcher, and the few fixed pages beside it.
//!
//! Any web page may call methods and read who is who: CORS opens those paths to every origin, which is safe because
//! nothing there is done by cookies, only by an `Authorization` header that a foreign page does not have. Pages for people
//! (`web/`) are not among them: those have cookies. What is not found is said in the flat JSON of all errors.

mod coding;
mod cors;
mod pages;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{Method, StatusCode};

pub use self::coding::pays;
use super::dispatch::{Dispatcher, too_many};
use super::{App, XrpcError, aliases, endpoints, limits};
use crate::web;

/// The server's router, the same on every host.
pub fn router(app: Arc<App>) -> Router {
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&app), endpoints()));
    let counted = axum::middleware::from_fn_with_state(Arc::clone(&app), count);
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
        .merge(web::open(Arc::clone(&app)).layer(counted.clone()))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(cors::open));
    let pages = Router::new()
        .route("/", get(pages::home))
        .route("/robots.txt", get(pages::robots))
        .with_state(Arc::clone(&app))
        .merge(web::pages(app).layer(counted))
        .method_not_allowed_fallback(method_not_allowed);
    open.merge(pages).fallback(async || not_found())
}

async fn method(State(dispatcher): State<Arc<Dispatcher>>, request: Request) -> Response {
    // Not through the path extractor: an NSID has nothing that would be escaped, and its refusals are no JSON.
    let nsid = request.uri().path().strip_prefix("/xrpc/").unwrap_or_default().to_owned();
    if coding::is_coded(&request) {
        return coding::decode(request, |request| async move { dispatcher.dispatch(&nsid, request).await })
            .await;
    }
    dispatcher.dispatch(&nsid, request).await
}

/// Counts what is no method among the requests of its address.
async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let client = request.extensions().get().copied();
    match app.limits.request(request.uri().path(), client, app.host.now_us()) {
        Ok(counted) => {
            let mut response = next.run(request).await;
            if let Some(allowance) = counted {
                limits::tell(&allowance, response.headers_mut());
            }
            response
        }
        Err(allowance) => too_many(allowance).into_response(),
    }
}

fn not_found() -> Response {
    XrpcError::named("NotFound", "there is nothing at this path; methods are under /xrpc/")
        .with_status(StatusCode::NOT_FOUND)
        .into_response()
}

/// Behind it, axum says which methods there are (`Allow`).
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    XrpcError::invalid("this path does not take this HTTP method")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .into_response()
}

#[cfg(test)]
mod tests;
