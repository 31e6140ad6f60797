//! Methods of other services: what is no method of ours goes on to the service that its caller names (`atproto-proxy`), or
//! to the one that is set for it, with a token in the account's name.
//!
//! Invariants
//! - Who calls and what for is known before anybody else is asked anything.
//! - A protected method never goes on, whoever asks.
//! - Of headers go on, either way, those named here and no others: no credential of the caller, no address.
//! - Both bodies are streams. The host bounds what an answer may take; a service that fails is `UpstreamFailure`.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::TryFutureExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

use super::endpoint::parse_params;
use super::upstream::{REPO_REV, is_json, query_of};
use super::{App, XrpcError, read_after_write};
use crate::account::SignServiceAuth;
use crate::app::{APPVIEW, Target};
use crate::auth::{AccountCaller, RpcRefused};
use crate::directory::limits::SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX;
use crate::host::{BodyLimit, BodyRoom, Net, ToOperatorsOrigin};
use crate::limits::{DID_DOCUMENT_BYTES_MAX, PROXIED_HEADERS_BYTES_MAX};
use crate::oauth::methods::is_protected;
use crate::syntax::{AtUri, Did, Nsid, validate_nsid};

/// Names the service, as `did:web:api.example.com#bsky_appview`.
pub(super) const PROXY: HeaderName = HeaderName::from_static("atproto-proxy");

/// Headers of a question that go on.
const ASKED: [HeaderName; 4] = [
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    HeaderName::from_static("atproto-accept-labelers"),
    HeaderName::from_static("x-bsky-topics"),
];
/// Those that describe its body.
const ASKED_WITH_BODY: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_LENGTH];
/// Headers of an answer that come back.
const ANSWERED: [HeaderName; 7] = [
    REPO_REV,
    HeaderName::from_static("atproto-content-labelers"),
    header::RETRY_AFTER,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
];
/// What services agree on among themselves goes on and comes back.
const AGREED: &str = "x-atproto-";

const GET_FEED: &str = "app.bsky.feed.getFeed";
const GET_FEED_SKELETON: &str = "app.bsky.feed.getFeedSkeleton";

/// Where a call is to go, as far as that is known without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To a service that is set.
    Usual(Target),
    /// To one that the caller names: whose, and which of theirs.
    Named(Did, String),
}

/// Where a call of method `nsid` is to go.
///
/// # Errors
/// `MethodNotImplemented` when nobody is named and none is set; `InvalidToken` for a protected method, `InvalidRequest` for
/// a header that names nothing.
pub(super) fn way(app: &App, nsid: &str, head: &Parts) -> Result<Way, XrpcError> {
    validate_nsid(nsid).map_err(|_| {
        XrpcError::invalid("the path after /xrpc/ is not an NSID").with_status(StatusCode::NOT_FOUND)
    })?;
    let mut named = head.headers.get_all(PROXY).iter();
    let way = match (named.next(), named.next()) {
        (Some(_), Some(_)) => return Err(XrpcError::invalid("there is more than one proxy header")),
        (Some(named), None) => {
            let (did, id) = read_service(named.to_str().unwrap_or_default())?;
            Way::Named(did, id)
        }
        (None, _) => {
            Way::Usual(app.services.usual(nsid).filter(|_| !is_protected(nsid)).ok_or_else(|| {
                XrpcError::named("MethodNotImplemented", "Method Not Implemented")
                    .with_status(StatusCode::NOT_IMPLEMENTED)
            })?)
        }
    };
    if is_protected(nsid) {
        return Err(XrpcError::named("InvalidToken", "Bad token method"));
    }
    if ![Method::GET, Method::HEAD, Method::POST].contains(&head.method) {
        return Err(XrpcError::invalid("methods are called with GET or POST")
            .with_status(StatusCode::METHOD_NOT_ALLOWED));
    }
    Ok(way)
}

/// `did#service`.
fn read_service(text: &str) -> Result<(Did, String), XrpcError> {
    let bad = |why: &'static str| XrpcError::invalid(why);
    let (did, id) = text.split_once('#').ok_or_else(|| bad("no service id specified in proxy header"))?;
    if did.is_empty() {
        return Err(bad("no did specified in proxy header"));
    }
    let did = Did::try_from(did).map_err(|_| bad("the proxy header names no DID"))?;
    if id.is_empty() {
        return Err(bad("no service id specified in proxy header"));
    }
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        return Err(bad("invalid proxy header format"));
    }
    Ok((did, id.to_owned()))
}

/// Has the service answer.
///
/// # Errors
/// `InvalidToken` where the caller may not have it called; `UpstreamFailure`; as [`App::service`].
pub(super) async fn pass_on(
    app: &Arc<App>,
    caller: &AccountCaller,
    client: Option<Net>,
    nsid: &str,
    way: Way,
    head: &Parts,
    body: Body,
) -> Result<Response, XrpcError> {
    let audience = match &way {
        Way::Usual(target) => target.audience(),
        Way::Named(did, id) => format!("{did}#{id}"),
    };
    for method in std::iter::once(nsid).chain((nsid == GET_FEED).then_some(GET_FEED_SKELETON)) {
        caller.require_rpc(&audience, Some(method)).map_err(|refused| match refused {
            RpcRefused::NotGranted(missing) => missing.into(),
            _ => XrpcError::named("InvalidToken", "Bad token method"),
        })?;
    }
    let target = match way {
        Way::Usual(target) => target,
        Way::Named(did, id) => app.service(client, did, &id).await?,
    };
    let did = &caller.account.did;
    let token = if nsid == GET_FEED {
        // The token is for who makes the feed, whom the app view asks in turn.
        let generator = feed_generator(app, &target, head.uri.query().unwrap_or_default()).await?;
        token(app, did, generator, GET_FEED_SKELETON).await?
    } else {
        token(app, did, target.did.clone(), nsid).await?
    };
    let mut question = question(&target, nsid, head, &token, body)?;
    // What the caller wrote a moment ago is put in, which takes an answer that can be read.
    let is_read = target.is_operators && target.id == APPVIEW && read_after_write::concerns(nsid);
    if is_read {
        let coding = read_after_write::coding(head.headers.get(header::ACCEPT_ENCODING));
        question.headers_mut().insert(header::ACCEPT_ENCODING, coding);
    }
    let answer = answered(app.host.exchange(question).await?)?;
    if !is_read || head.method != Method::GET {
        return Ok(answer);
    }
    let query = head.uri.query().unwrap_or_default();
    Ok(read_after_write::apply(app, caller, &target, nsid, query, answer).await)
}

/// A token for one call, in an account's name. Its audience is a bare DID: not all services know of their ids yet.
async fn token(app: &App, did: &Did, aud: Did, lxm: &str) -> Result<HeaderValue, XrpcError> {
    let now_seconds = app.host.now_us().div_euclid(1_000_000);
    let sign = SignServiceAuth {
        aud: aud.into_string(),
        lxm: Nsid::try_from(lxm).ok(),
        exp: now_seconds.saturating_add(SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX),
    };
    let token = app.account(did, sign).await?;
    HeaderValue::try_from(format!("Bearer {token}")).map_err(XrpcError::internal)
}

/// The question as the service gets it.
fn question(
    target: &Target,
    nsid: &str,
    head: &Parts,
    token: &HeaderValue,
    body: Body,
) -> Result<http::Request<Body>, XrpcError> {
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut question = http::Request::builder()
        .method(head.method.clone())
        .uri(format!("{}/xrpc/{nsid}{query}", target.url))
        .header(header::AUTHORIZATION, token);
    let has_body = head.method == Method::POST;
    let described: &[HeaderName] = if has_body { &ASKED_WITH_BODY } else { &[] };
    for (name, value) in &head.headers {
        if ASKED.contains(name) || described.contains(name) || name.as_str().starts_with(AGREED) {
            question = question.header(name, value);
        }
    }
    if !head.headers.contains_key(header::ACCEPT_ENCODING) {
        question = question.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if target.is_operators {
        question = question.extension(ToOperatorsOrigin);
    }
    // Where the body is held in memory after all, it takes room.
    if let Some(room) = head.extensions.get::<Arc<dyn BodyRoom>>() {
        question = question.extension(Arc::clone(room));
    }
    let body = if has_body { body } else { Body::empty() };
    question.body(body).map_err(|error| XrpcError::upstream(error.to_string()))
}

/// The answer as the caller gets it. What is no answer of a method is a failure of the service.
fn answered(answer: http::Response<Body>) -> Result<Response, XrpcError> {
    let status = answer.status();
    let said = |what: &str| Err(XrpcError::upstream(format!("the service answered {status}{what}")));
    if !(status.is_success() || status.is_client_error() || status.is_server_error()) {
        return said("");
    }
    let (head, body) = answer.into_parts();
    let headers = brought_back(&head.headers)?;
    if !status.is_success() && !is_json(&headers) {
        return said(", and no error that could be read");
    }
    let mut response = Response::new(body);
    // That the service broke is not that this one did.
    *response.status_mut() =
        if status == StatusCode::INTERNAL_SERVER_ERROR { StatusCode::BAD_GATEWAY } else { status };
    *response.headers_mut() = headers;
    Ok(response)
}

fn brought_back(headers: &HeaderMap) -> Result<HeaderMap, XrpcError> {
    let (mut brought, mut bytes) = (HeaderMap::new(), 0);
    for (name, value) in headers {
        if ANSWERED.contains(name) || name.as_str().starts_with(AGREED) {
            bytes += name.as_str().len() + value.len();
            if bytes > PROXIED_HEADERS_BYTES_MAX {
                return Err(XrpcError::upstream("the service's headers are too long"));
            }
            brought.append(name, value.clone());
        }
    }
    Ok(brought)
}

#[derive(Deserialize)]
struct FeedParams {
    feed: AtUri,
}

/// Who makes a feed, as the service has its record.
async fn feed_generator(app: &App, target: &Target, query: &str) -> Result<Did, XrpcError> {
    let FeedParams { feed } = parse_params(query)?;
    let unknown = || XrpcError::named("UnknownFeed", "could not resolve feed did");
    let (Some(collection), Some(rkey)) = (feed.collection(), feed.record_key()) else {
        return Err(unknown());
    };
    let record = query_of(&[("repo", feed.authority()), ("collection", collection), ("rkey", rkey)]);
    let record = format!("{}/xrpc/com.atproto.repo.getRecord?{record}", target.url);
    let mut question = http::Request::get(record).extension(BodyLimit(DID_DOCUMENT_BYTES_MAX));
    if target.is_operators {
        question = question.extension(ToOperatorsOrigin);
    }
    let question = question.body(Bytes::new()).map_err(|_| unknown())?;
    let answer = app.host.fetch(question).err_into::<XrpcError>().await?;
    let record: serde_json::Value = serde_json::from_slice(answer.body()).map_err(|_| unknown())?;
    let did = record.pointer("/value/did").and_then(serde_json::Value::as_str);
    did.and_then(|did| Did::try_from(did).ok()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_header_names_a_did_and_one_of_its_services() {
        let read =
            |text| read_service(text).map(|(did, id)| format!("{did}#{id}")).map_err(|error| error.message);
        assert_eq!(read("did:web:api.test#bsky_appview").unwrap(), "did:web:api.test#bsky_appview");
        for (text, says) in [
            ("", "no service id"),
            ("did:web:api.test", "no service id"),
            ("did:web:api.test#", "no service id"),
            ("#bsky_appview", "no did"),
            ("api.test#bsky_appview", "no DID"),
            ("did:web:api.test#a#b", "invalid"),
            ("did:web:api.test#a b", "invalid"),
            ("did:web:api.test #a", "no DID"),
            ("did:web:api.test#a/../b", "invalid"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_comes_back_is_an_answer_of_a_method_or_a_failure() {
        let answer = |status: u16, kind: &str| {
            let answer = http::Response::builder().status(status).header(header::CONTENT_TYPE, kind);
            let answer =
                answer.header("set-cookie", "a=b").header("x-atproto-thing", "1").body(Body::empty());
            answered(answer.unwrap()).map(|response| (response.status().as_u16(), response.headers().clone()))
        };
        let (status, headers) = answer(200, "video/mp4").unwrap();
        assert_eq!((status, headers.len()), (200, 2), "{headers:?}");
        assert_eq!(answer(404, "application/json; charset=utf-8").unwrap().0, 404);
        assert_eq!(answer(500, "application/json").unwrap().0, 502);
        for (status, kind) in
            [(302, "application/json"), (404, "text/html"), (503, ""), (101, "application/json")]
        {
            assert_eq!(answer(status, kind).unwrap_err().name, "UpstreamFailure", "{status} {kind}");
        }
        let long = http::Response::builder().header("x-atproto-long", "x".repeat(PROXIED_HEADERS_BYTES_MAX));
        assert_eq!(answered(long.body(Body::empty()).unwrap()).unwrap_err().name, "UpstreamFailure");
    }
}
