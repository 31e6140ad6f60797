//! Requests and answers between the runtime and the router, and bodies that never come through here.

use std::io;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use worker::send::{SendFuture, SendWrapper};
use worker::{Headers, ResponseBody};

use super::room::{Pace, Room, TooSlow};
use crate::host::{self, BodyRoom, Download, HostError, Net};
use crate::limits::RECORDS_BODY_BYTES_MAX;
use crate::xrpc::{XrpcError, pays};

/// The request as the router takes it. By hand, not by the crate's conversions, which panic or guess at what a stranger
/// may send. A small body is read at once: the runtime's streams cost more than all else of a small request.
pub(super) async fn read(mut request: worker::Request) -> Result<http::Request<Body>, XrpcError> {
    let bad = |what: &str| XrpcError::invalid(format!("the request's {what} can't be read"));
    let mut read = http::Request::new(Body::empty());
    *read.method_mut() = request.inner().method().parse().map_err(|_| bad("method"))?;
    *read.uri_mut() = request.inner().url().parse().map_err(|_| bad("URL"))?;
    for (name, value) in request.headers() {
        let name = http::HeaderName::try_from(name).map_err(|_| bad("headers"))?;
        let value = http::HeaderValue::try_from(value).map_err(|_| bad("headers"))?;
        read.headers_mut().append(name, value);
    }
    let length =
        read.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let is_small = length.is_some_and(|length: usize| length <= RECORDS_BODY_BYTES_MAX)
        && !read.headers().contains_key(header::TRANSFER_ENCODING);
    let (room, body) = match request.inner().body() {
        None => (Room::default(), Body::empty()),
        Some(_) if is_small => {
            let room = Room::ahead(length.unwrap_or_default())?;
            let slow = |TooSlow| {
                XrpcError::named("RequestTimeout", "the request's body came too slowly")
                    .with_status(http::StatusCode::REQUEST_TIMEOUT)
            };
            let bytes = Pace::new().next(request.bytes()).await.map_err(slow)?.map_err(|_| bad("body"))?;
            (room, Body::from(bytes))
        }
        Some(stream) => (Room::default(), Body::from_stream(paced(worker::Body::new(stream)).fuse())),
    };
    *read.body_mut() = body;
    let room: Arc<dyn BodyRoom> = Arc::new(room);
    read.extensions_mut().insert(room);
    if let Some(net) = address(read.headers()) {
        read.extensions_mut().insert(net);
    }
    Ok(read)
}

/// A body as it comes, if that is fast enough. What is kept of it takes room where it is kept.
fn paced(body: worker::Body) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some((body, Pace::new())), |coming| {
        SendFuture::new(async move {
            let (mut body, mut pace) = coming?;
            match pace.next(body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    pace.received(chunk.len());
                    Some((Ok(chunk), Some((body, pace))))
                }
                Ok(Some(Err(error))) => Some((Err(io::Error::other(error.to_string())), None)),
                Ok(None) => None,
                Err(TooSlow) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
            }
        })
    })
}

/// Where Cloudflare's edge says whom a request is from.
pub(super) const ADDRESS_HEADER: &str = "cf-connecting-ip";

/// Whom a request is from, as Cloudflare's edge says.
fn address(headers: &HeaderMap) -> Option<Net> {
    net(headers.get(ADDRESS_HEADER)?.to_str().ok()?)
}

/// What stands for an address where addresses have shares.
pub(super) fn net(address: &str) -> Option<Net> {
    Some(Net::of(address.parse().ok()?))
}

/// An answer whose body the runtime brings to the client by itself, without a chunk of it coming through here.
pub(super) fn download(body: ResponseBody) -> Download {
    let unread = HostError::Storage("the runtime has this body".to_owned());
    let mut response = host::download(stream::iter([Err(unread)]).boxed());
    response.extensions_mut().insert(SendWrapper::new(body));
    response
}

/// Whether a client takes answers as gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.split(',').any(|coding| coding.trim() == "gzip"))
}

/// The answer, as gzip where that pays: the runtime encodes a body by what its header says.
pub(super) fn compressed(mut response: http::Response<Body>) -> http::Response<Body> {
    if pays(response.headers(), response.body()) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.remove(header::CONTENT_LENGTH);
    }
    response
}

/// The router's answer as the runtime takes it; a small one whole, as in [`read`].
pub(super) async fn answer(mut response: http::Response<Body>) -> worker::Result<worker::Response> {
    let length = response.body().size_hint().exact();
    let mut download = response.extensions_mut().remove::<SendWrapper<ResponseBody>>();
    if response.body().is_end_stream()
        && let Some(SendWrapper(ResponseBody::Stream(unwanted))) = download.take()
    {
        // To HEAD, the router has taken the body off: who sends it is told, and need not hear that it was.
        let _ = unwanted.cancel();
    }
    if download.is_none() && length.is_none_or(|length| length == 0 || length > RECORDS_BODY_BYTES_MAX as u64)
    {
        return response.try_into();
    }
    let (parts, body) = response.into_parts();
    let headers = Headers::new();
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            headers.append(name.as_str(), value)?;
        }
    }
    let answer = worker::ResponseBuilder::new().with_status(parts.status.as_u16()).with_headers(headers);
    if let Some(SendWrapper(body)) = download {
        return Ok(answer.body(body));
    }
    let failed = |error: axum::Error| worker::Error::RustError(error.to_string());
    let bytes = body.collect().await.map_err(failed)?.to_bytes();
    Ok(answer.fixed(bytes.to_vec()))
}
