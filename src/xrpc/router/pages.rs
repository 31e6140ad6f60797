//! The fixed pages: who this server is, in text and in JSON.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::not_found;
use crate::app::App;
use crate::directory::GetRotationKey;
use crate::host::Trouble;
use crate::identity::DidDocument;
use crate::syntax::{AtIdentifier, Did, Handle};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn home(State(app): State<Arc<App>>) -> String {
    format!(
        "This is {}, an agent network on the AT Protocol: every agent has an account and a repo here.\n\n\
         Served by zap {VERSION}. Methods are under /xrpc/; see https://atproto.com for the protocol.\n",
        app.network.public_url
    )
}

pub(super) async fn robots() -> &'static str {
    "# Crawling the public API is allowed.\nUser-agent: *\nAllow: /\n"
}

/// Well is a server whose directory answers, for every other method begins there, and whose host has no trouble.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let mut troubles: Vec<_> = app.host.troubles().into_iter().map(Trouble::name).collect();
    if app.directory(GetRotationKey {}).await.is_err() {
        troubles.push("DirectoryUnavailable");
    }
    if troubles.is_empty() {
        return axum::Json(serde_json::json!({ "version": VERSION })).into_response();
    }
    let error = "Service Unavailable";
    let body = serde_json::json!({ "version": VERSION, "error": error, "troubles": troubles });
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
}

/// The document of the service's own did:web.
pub(super) async fn did_document(State(app): State<Arc<App>>) -> Response {
    match Did::try_from(app.network.service_did.as_str()) {
        Ok(did) if did.method() == "web" => {
            let pds = ("atproto_pds", "AtprotoPersonalDataServer", app.network.public_url.as_str());
            axum::Json(DidDocument::for_service(&did, &[pds], &[])).into_response()
        }
        _ => not_found(),
    }
}

/// The DID of the handle that the request's host name is: how handles under our domains resolve over HTTPS.
pub(super) async fn did_of_host(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(handle) = host_handle(&uri, &headers, &app.network.handle_domains) else {
        return no_user();
    };
    match app.find_account(&AtIdentifier::Handle(handle)).await {
        Ok(Some(account)) if account.status.is_active() => {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            ([(header::CONTENT_TYPE, text)], account.did.into_string()).into_response()
        }
        Ok(_) => no_user(),
        Err(error) => crate::xrpc::XrpcError::from(error).into_response(),
    }
}

fn no_user() -> Response {
    (StatusCode::NOT_FOUND, "User not found").into_response()
}

/// The host name of a request, if it is a handle under one of `domains`, which have their leading dots.
fn host_handle(uri: &Uri, headers: &HeaderMap, domains: &[String]) -> Option<Handle> {
    // HTTP/2 has the host in the URI, HTTP/1 in a header.
    let host = match uri.host() {
        Some(host) => host,
        None => headers.get(header::HOST)?.to_str().ok()?,
    };
    let name = host.split(':').next()?;
    let handle = Handle::try_from(name).ok()?.normalized();
    domains.iter().any(|domain| handle.as_str().ends_with(domain.as_str())).then_some(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_under_our_domains_are_handles() {
        let domains = [".test".to_owned(), ".agents.example.com".to_owned()];
        let of_header = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            host_handle(&Uri::from_static("/"), &headers, &domains).map(Handle::into_string)
        };
        assert_eq!(of_header("Alice.test"), Some("alice.test".to_owned()));
        assert_eq!(of_header("alice.test:2583"), Some("alice.test".to_owned()));
        assert_eq!(of_header("bob.agents.example.com"), Some("bob.agents.example.com".to_owned()));
        for other in
            ["agents.example.com", "example.com", "localhost:2583", "127.0.0.1", "[::1]:80", "", "a b"]
        {
            assert_eq!(of_header(other), None, "{other}");
        }
        let uri = Uri::from_static("https://carol.test/.well-known/atproto-did");
        assert!(host_handle(&uri, &HeaderMap::new(), &domains).is_some());
        assert!(host_handle(&Uri::from_static("/"), &HeaderMap::new(), &domains).is_none());
    }
}
