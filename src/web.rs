//! The door for browsers: the authorization server's pages for people, its documents and endpoints for clients, and the
//! account's own pages.
//!
//! | module | |
//! |---|---|
//! | `endpoints` | documents, pushed requests, tokens: JSON, for programs of any origin |
//! | `authorize` | sign in, consent: HTML, for a person in a browser |
//! | `account` | the account's own pages: signing in and up, what an owner sees, makes and ends |
//! | `visit` | a browser at those: its cookies, and who is signed in there |
//! | `passkey` | passkeys in forms |
//! | `second_step` | what is asked for after a password, at both sign-ins |
//! | `qr` | a text as a picture that a camera reads |
//! | `sheet` `problem` | what they are made of; what is wrong with a form, and at which field |
//! | `form` | what comes in a form, and that it comes from our own page |
//! | `page` | templates, and the headers that all pages have |
//! | `words` | what each permission opens, in plain words |
//!
//! Invariants
//! - A page is read without scripts, has nothing inline, loads nothing from elsewhere, and is in nobody's frame. What a browser
//!   does by script alone, passkeys, is one file of ours, on the pages that have such a form and on no other.
//! - What a page changes, it changes by a form of our own in the browser that was given the page: a token in the form fits a
//!   cookie of that browser, and the browser says that it comes from here.
//! - A browser is sent only to a URI of the client's document. What is wrong before that is known is said on a page.
//! - Pages answer no other origin; endpoints answer all, and know no cookies.

mod account;
mod authorize;
mod endpoints;
mod form;
mod page;
mod passkey;
mod problem;
mod qr;
mod second_step;
mod sheet;
mod visit;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode};

use crate::app::{self, App};
use crate::oauth::metadata::paths;

/// Whether this request may bring a password, which costs a computation: a form that is sent. Whoever opens the page of one,
/// or ends sessions, is never kept from it by passwords that are looked at.
pub fn may_take_password(method: &Method, path: &str) -> bool {
    let is_form = path == paths::SIGN_IN || path.starts_with("/account/");
    is_form && method == Method::POST && !account::paths::WITHOUT_PASSWORD.contains(&path)
}

/// What programs of any origin may ask.
pub fn open(app: Arc<App>) -> Router {
    Router::new()
        .route(paths::SERVER, get(endpoints::server))
        .route(paths::RESOURCE, get(endpoints::resource))
        .route(paths::KEYS, get(endpoints::keys))
        .route(paths::PUSH, post(endpoints::push))
        .route(paths::TOKEN, post(endpoints::token))
        .route(paths::REVOKE, post(endpoints::revoke))
        .with_state(app)
}

/// What a person sees.
pub fn pages(app: Arc<App>) -> Router {
    Router::new()
        .route(paths::AUTHORIZE, get(authorize::show))
        .route(paths::SIGN_IN, post(authorize::sign_in))
        .route(paths::CONSENT, post(authorize::consent))
        .merge(account::routes(Arc::clone(&app)))
        .with_state(app)
        .route(page::STYLE_PATH, get(page::style))
        .route(page::SCRIPT_PATH, get(page::script))
        .layer(axum::middleware::from_fn(page::headers))
}

const EXPIRED: &str = "This page is too old, or was opened in another browser.";

/// A URL without its scheme.
fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

/// A reason as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = chars.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}

/// A failure of ours; detail goes to the log.
fn failed(error: app::Error) -> Response {
    let (title, message) = ("The server can’t do this now", "Try again in a moment.");
    match error {
        app::Error::Busy => page::error(StatusCode::SERVICE_UNAVAILABLE, "The server is busy", message),
        error if error.is_full() => {
            tracing::error!(%error, "a page's change is refused");
            let why = "Its disk is full. Nothing was changed.";
            page::error(StatusCode::INSUFFICIENT_STORAGE, title, why)
        }
        error => {
            tracing::error!(%error, "a page can't be shown");
            page::error(StatusCode::SERVICE_UNAVAILABLE, title, message)
        }
    }
}

#[cfg(test)]
mod tests;
