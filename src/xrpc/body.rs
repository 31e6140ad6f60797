//! A request's body: read whole into memory, for as much as there is room, or why it did not come to its end.

use std::io;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;

use super::XrpcError;
use crate::host::BodyRoom;

/// Reads a body of at most `bytes_max` bytes, for which there has to be room.
///
/// # Errors
/// `PayloadTooLarge` with 413, `RequestTimeout` with 408, `InvalidRequest` when the client stopped in the middle; as
/// [`BodyRoom::take`].
pub(super) async fn read_body(
    body: Body,
    bytes_max: usize,
    room: Option<&dyn BodyRoom>,
) -> Result<Bytes, XrpcError> {
    let too_large = || {
        XrpcError::named("PayloadTooLarge", format!("the body is over {bytes_max} bytes"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    // Copied: a small chunk may keep a large buffer alive.
    let mut read = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| body_failed(&error))?;
        if read.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        room.map_or(Ok(()), |room| room.take(chunk.len()))?;
        read.extend_from_slice(&chunk);
    }
    Ok(read.into())
}

/// A body that comes to its end only if a check passes when all has come; else it fails with what the check says.
pub(super) fn checked_at_end(
    body: Body,
    check: impl Future<Output = Result<(), XrpcError>> + Send + 'static,
) -> Body {
    // What comes after the data are trailers: none, or the failure.
    let checked = check.map(|checked| checked.err().map(|error| Err(axum::Error::new(error))));
    Body::new(body.with_trailers(checked.boxed()).fuse())
}

/// The body of a request whose endpoint is one for whole bodies.
///
/// # Errors
/// None, but for an endpoint that is not.
pub(super) async fn whole_body(request: Request) -> Result<Bytes, XrpcError> {
    axum::body::to_bytes(request.into_body(), usize::MAX).await.map_err(|error| body_failed(&error))
}

/// Why a body did not come to its end: its client was too slow, or stopped.
pub(super) fn body_failed(error: &(dyn std::error::Error + 'static)) -> XrpcError {
    let is_slow = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    if let Some(told) = causes(error).find_map(|error| error.downcast_ref::<XrpcError>()) {
        return told.clone();
    }
    if causes(error).any(is_slow) {
        return XrpcError::named("RequestTimeout", "the request's body came too slowly")
            .with_status(StatusCode::REQUEST_TIMEOUT);
    }
    XrpcError::invalid("the request's body ended early")
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The JSON body of such a request; an absent one counts as `{}`.
///
/// # Errors
/// `InvalidRequest` for another content type.
pub(super) async fn json_body(request: Request) -> Result<Bytes, XrpcError> {
    let is_json = require_encoding(request.headers(), "application/json");
    let body = whole_body(request).await?;
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    is_json.map(|()| body)
}

/// Whether the body is said to be of this kind.
///
/// # Errors
/// `InvalidRequest`.
pub(super) fn require_encoding(headers: &HeaderMap, encoding: &str) -> Result<(), XrpcError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split(';').next()).map(str::trim);
    if encoding == "*/*" || given == Some(encoding) {
        Ok(())
    } else {
        Err(XrpcError::invalid(format!("Wrong request encoding (Content-Type): use {encoding}")))
    }
}
