//! Content codings: compressed bodies in, and which answers are worth compressing.

use std::io;
use std::pin::Pin;

use async_compression::futures::bufread::{GzipDecoder, ZlibDecoder};
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::{self, BoxStream, IntoAsyncRead};
use futures::{AsyncRead, AsyncReadExt as _, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::limits::ANSWER_COMPRESSED_BYTES_MIN;
use crate::xrpc::XrpcError;

/// The codings that bodies are taken in.
const TAKEN: &str = "gzip, deflate";

/// Bytes that a body decodes to at a time.
const DECODED_BYTES: usize = 16 * 1024;

/// Whether a body comes in another form than its own.
pub(super) fn is_coded(request: &Request) -> bool {
    request.headers().contains_key(header::CONTENT_ENCODING)
}

/// Answers a request whose body comes compressed. Every bound on a body is then one on what it decodes to.
pub(super) async fn decode<F: Future<Output = Response>>(
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    let coding = codings.next().and_then(|value| value.to_str().ok()).filter(|_| codings.next().is_none());
    let decoded = match coding.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "identity" => request,
        "gzip" | "x-gzip" => decoded(request, |coded| {
            let mut decoder = GzipDecoder::new(coded);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }),
        "deflate" => decoded(request, |coded| {
            let mut decoder = ZlibDecoder::new(coded);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }),
        _ => {
            let why = format!("the body's Content-Encoding is not known here: send it plain, or as {TAKEN}");
            let error = XrpcError::invalid(why).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            let mut response = error.into_response();
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(TAKEN));
            return response;
        }
    };
    answer(decoded).await
}

type Coded = IntoAsyncRead<BoxStream<'static, io::Result<Bytes>>>;

/// The request with the body that its own decodes to. All of that: what follows a first member is another, or no body.
fn decoded(request: Request, decoder: impl FnOnce(Coded) -> Pin<Box<dyn AsyncRead + Send>>) -> Request {
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    let coded = body.into_data_stream().map_err(io::Error::other).boxed().into_async_read();
    let start = (decoder(coded), vec![0; DECODED_BYTES]);
    let decoded = stream::try_unfold(start, |(mut decoder, mut buffer)| async move {
        let read = decoder.read(&mut buffer).await?;
        let chunk = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
        Ok::<_, io::Error>((read > 0).then_some((chunk, (decoder, buffer))))
    });
    Request::from_parts(head, Body::from_stream(decoded.map_err(failed).fuse()))
}

fn failed(error: io::Error) -> axum::Error {
    if error.get_ref().is_some_and(|error| error.is::<axum::Error>()) {
        return axum::Error::new(error);
    }
    let why = "the request's body ended early, or is not what its Content-Encoding says";
    axum::Error::new(XrpcError::invalid(why))
}

/// Whether an answer is worth compressing: repos and long lists are, the small answers that are asked for all the time are
/// not, and blobs have been compressed by whoever made them.
pub fn pays(headers: &HeaderMap, body: &impl HttpBody) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_ours = ["application/json", "application/vnd.ipld.car"].iter().any(|ours| kind.starts_with(ours));
    let is_large = body.size_hint().exact().is_none_or(|bytes| bytes >= ANSWER_COMPRESSED_BYTES_MIN);
    is_ours && is_large && !headers.contains_key(header::CONTENT_ENCODING)
}
