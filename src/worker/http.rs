//! Requests and answers between the runtime and the router, and bodies that never come through here.

use axum::body::{Body, HttpBody};
use futures::{StreamExt, stream};
use http::header;
use http_body_util::BodyExt;
use worker::send::SendWrapper;
use worker::{Headers, ResponseBody};

use crate::host::{self, Download, HostError};
use crate::limits::RECORDS_BODY_BYTES_MAX;
use crate::xrpc::XrpcError;

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
    *read.body_mut() = match request.inner().body() {
        None => Body::empty(),
        Some(_) if is_small => Body::from(request.bytes().await.map_err(|_| bad("body"))?),
        Some(stream) => Body::new(worker::Body::new(stream)),
    };
    Ok(read)
}

/// An answer whose body the runtime brings to the client by itself, without a chunk of it coming through here.
pub(super) fn download(body: ResponseBody) -> Download {
    let unread = HostError::Storage("the runtime has this body".to_owned());
    let mut response = host::download(stream::iter([Err(unread)]).boxed());
    response.extensions_mut().insert(SendWrapper::new(body));
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
