//! What comes in a form: parameters, each once, bounded; and whether it comes from a page of ours, in a browser that has
//! a cookie of ours.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue, header};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::oauth::{Code, Error};

/// Bytes of a form: the longest has a `request_uri`, which is a token, or a scope and an assertion.
const FORM_BYTES_MAX: usize = 24 * 1024;

/// Characters of a cookie of ours: 32 bytes.
pub(super) const COOKIE_CHARS: usize = 43;

/// Reads a form, or the same as a JSON object of texts.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Error> {
    let bad = |why: &'static str| Code::InvalidRequest.because(why);
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await;
    let body = body.map_err(|_| bad("the body is too long, or did not come whole"))?;
    match kind.as_str() {
        "application/x-www-form-urlencoded" => parameters(&body),
        "application/json" => {
            let object: BTreeMap<String, serde_json::Value> =
                serde_json::from_slice(&body).map_err(|_| bad("the body is no JSON object"))?;
            typed(object.into_iter().filter(|(_, value)| !value.is_null()))
        }
        _ => Err(bad("the body has to be application/x-www-form-urlencoded or application/json")),
    }
}

/// Reads parameters as a query or a form has them.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub(super) fn parameters<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let mut read = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(text) {
        if read.insert(name.clone().into_owned(), serde_json::Value::from(value.into_owned())).is_some() {
            return Err(Code::InvalidRequest.because(format!("{name} is there twice")));
        }
    }
    typed(read.into_iter())
}

fn typed<T: DeserializeOwned>(read: impl Iterator<Item = (String, serde_json::Value)>) -> Result<T, Error> {
    // The reason is not shown: it may repeat a value, which may be a secret.
    serde_json::from_value(serde_json::Value::Object(read.collect()))
        .map_err(|_| Code::InvalidRequest.because("a parameter is missing, or is no text"))
}

/// Whether the browser says that a form was sent by a page of `origin`. All of today's say it.
pub(super) fn is_from_here(headers: &HeaderMap, origin: &str) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    site.is_none_or(|site| site == "same-origin") && text(header::ORIGIN) == Some(origin)
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|list| list.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// A value that nobody knows.
pub(super) fn fresh_cookie(app: &App) -> String {
    BASE64URL_NOPAD.encode(&app.random::<32>())
}

/// The whole name of a cookie of ours: over TLS one that a browser takes from this host alone.
pub(super) fn cookie_name(app: &App, name: &str) -> String {
    if is_secure(app) { format!("__Host-{name}") } else { name.to_owned() }
}

/// Gives the browser a cookie, which no script sees; an empty one takes it away.
pub(super) fn give_cookie(app: &App, response: &mut Response, name: &str, value: &str, seconds: i64) {
    let name = cookie_name(app, name);
    let seconds = if value.is_empty() { 0 } else { seconds };
    let secure = if is_secure(app) { "; Secure" } else { "" };
    // Lax: a person comes from another page, a client's or one with a link. No GET changes anything.
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn is_secure(app: &App) -> bool {
    app.network.public_url.starts_with("https://")
}
