//! Templates, and the headers that all pages have.

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::sheet::Form;
use super::words::Words;

/// Where the stylesheet is.
pub(super) const STYLE_PATH: &str = "/assets/pages.css";

/// Where the script of passkeys is.
pub(super) const SCRIPT_PATH: &str = "/assets/passkeys.js";

const SCRIPT: &str = include_str!("../../assets/passkeys.js");

const STYLE: &str = include_str!("../../assets/pages.css");

/// A page where nothing but a form of ours may lead anywhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Who asks, as people are told: the host that serves the client's document is sure, a name is the client's own word.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) origin: String,
    pub(super) name: Option<String>,
}

/// What the forms of one request have in common.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) client_id: String,
    pub(super) request_uri: String,
    pub(super) token: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) asking: Asking,
    pub(super) server: String,
    pub(super) fields: Fields,
    pub(super) identifier: String,
    pub(super) error: Option<String>,
    /// To sign in with a passkey alone.
    pub(super) passkey: Form,
}

#[derive(Template)]
#[template(path = "second_step.html")]
pub(super) struct SecondStepPage {
    pub(super) asking: Asking,
    pub(super) title: &'static str,
    pub(super) passkey: Option<Form>,
    pub(super) form: Form,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(super) struct ConsentPage {
    pub(super) asking: Asking,
    pub(super) handle: String,
    pub(super) did: String,
    pub(super) words: Vec<Words>,
    pub(super) days: i64,
    pub(super) is_local: bool,
    pub(super) fields: Fields,
}

#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    pub(super) title: &'static str,
    pub(super) message: String,
}

/// A page; its forms may lead on to `form_action`, where a redirect goes that answers one.
pub(super) fn page(status: StatusCode, template: &impl Template, form_action: Option<&str>) -> Response {
    let text = match template.render() {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "a page can't be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Some(also) = form_action
        && let Ok(policy) = HeaderValue::from_str(&format!("{POLICY} {also}"))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Lets the script of passkeys run on a page, which has it from here.
pub(super) fn allow_script(response: &mut Response) {
    let own = response.headers().get(header::CONTENT_SECURITY_POLICY);
    let own = own.and_then(|policy| policy.to_str().ok()).unwrap_or(POLICY);
    if let Ok(policy) = HeaderValue::from_str(&format!("{own}; script-src 'self'")) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// What is wrong, where no client can be told.
pub(super) fn error(status: StatusCode, title: &'static str, message: impl Into<String>) -> Response {
    page(status, &ErrorPage { title, message: message.into() }, None)
}

/// Sends the browser on.
pub(super) fn redirect(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Err(_) => error(
            StatusCode::BAD_REQUEST,
            "This can't be answered",
            "The application's address is malformed.",
        ),
    }
}

/// The headers that all pages have, redirects too.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // None to others; without one, browsers would not say to ourselves where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The stylesheet of all pages.
pub(super) async fn style() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    let kept = HeaderValue::from_static("public, max-age=300");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], STYLE).into_response()
}

/// The script of the pages that have a form for a passkey.
pub(super) async fn script() -> Response {
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    let kept = HeaderValue::from_static("public, max-age=300");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], SCRIPT).into_response()
}
