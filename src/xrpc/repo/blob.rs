//! Uploads: uploadBlob, listMissingBlobs.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::blobs::{AddBlob, ListMissingBlobs, MissingBlob};
use crate::host::{HostError, PutBlobError, StoredBlob};
use crate::syntax::Did;
use crate::xrpc::endpoint::{IntoOutput as _, Json, check_limit};
use crate::xrpc::{Context, XrpcError};

pub(in crate::xrpc) const MIME_UNKNOWN: &str = "application/octet-stream";
/// RFC 6838 gives type and subtype 127 characters each.
pub(in crate::xrpc) const MIME_BYTES_MAX: usize = 255;

/// Streams the body into the blob store; the blob stays when a record refers to it within a day.
pub(super) async fn upload(context: Context, request: Request) -> Result<Response, XrpcError> {
    let did = context.caller.did()?.clone();
    let declared = declared_mime(request.headers())?;
    let stored = store(&context, &did, request).await?;
    let mime = declared.unwrap_or_else(|| sniff(&stored.head).to_owned());
    let add = AddBlob { cid: stored.cid, mime: mime.clone(), bytes: stored.bytes };
    context.account(&did, add).await?;
    let blob = serde_json::json!({
        "$type": "blob", "ref": {"$link": stored.cid.to_string()}, "mimeType": mime, "size": stored.bytes,
    });
    Json(serde_json::json!({ "blob": blob })).into_output()
}

/// Streams a request's body into the blob store.
pub(in crate::xrpc) async fn store(
    context: &Context,
    did: &Did,
    request: Request,
) -> Result<StoredBlob, XrpcError> {
    let bytes_max = context.blob_bytes_max;
    let too_large = || {
        XrpcError::named("BlobTooLarge", format!("the blob is over {bytes_max} bytes"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let body = request.into_body();
    if body.size_hint().exact() == Some(0) {
        return Err(XrpcError::invalid("A request body is expected but none was provided"));
    }
    if body.size_hint().lower() > bytes_max {
        return Err(too_large());
    }
    let chunks = body.into_data_stream().map_err(|error| HostError::Upstream(error.to_string()));
    let stored = context.host.put_blob(did.clone(), chunks.boxed(), bytes_max).await;
    stored.map_err(|error| match error {
        PutBlobError::TooLarge(_) => too_large(),
        // What fails upstream of an upload is its sender.
        PutBlobError::Host(HostError::Upstream(_)) => XrpcError::invalid("the request's body ended early"),
        PutBlobError::Host(error) => error.into(),
    })
}

/// The MIME type that the sender gives, without parameters; `None` when it leaves that to us.
fn declared_mime(headers: &HeaderMap) -> Result<Option<String>, XrpcError> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(XrpcError::invalid("upload the blob itself, without a Content-Encoding")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let mime = value.to_str().ok().and_then(|value| value.split(';').next()).map(str::trim);
    let mime = mime.map(str::to_ascii_lowercase).filter(|mime| mime.len() <= MIME_BYTES_MAX);
    match mime {
        Some(mime) if mime == "*/*" || mime.is_empty() => Ok(None),
        Some(mime) if is_mime(&mime) => Ok(Some(mime)),
        _ => Err(XrpcError::named("InvalidMimeType", "the Content-Type is no MIME type")),
    }
}

/// `type/subtype`, both tokens of RFC 9110.
pub(in crate::xrpc) fn is_mime(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b))
    };
    text.split_once('/').is_some_and(|(family, subtype)| is_token(family) && is_token(subtype))
}

fn sniff(head: &[u8]) -> &'static str {
    infer::get(head).map_or(MIME_UNKNOWN, |kind| kind.mime_type())
}

#[derive(Debug, Deserialize)]
pub(super) struct ListMissingParams {
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct MissingBlobs {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    blobs: Vec<MissingBlobView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MissingBlobView {
    cid: String,
    record_uri: String,
}

pub(super) async fn list_missing(
    context: Context,
    params: ListMissingParams,
) -> Result<Json<MissingBlobs>, XrpcError> {
    let limit = check_limit(params.limit, 500, 1000)?;
    let did: &Did = context.caller.did()?;
    let missing = context.account(did, ListMissingBlobs { cursor: params.cursor, limit }).await?;
    let cursor = missing.last().filter(|_| missing.len() == limit as usize).map(|last| last.cid.to_string());
    let view = |blob: MissingBlob| MissingBlobView {
        cid: blob.cid.to_string(),
        record_uri: format!("at://{did}/{}", blob.path),
    };
    Ok(Json(MissingBlobs { cursor, blobs: missing.into_iter().map(view).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn declared(value: &'static str) -> Result<Option<String>, XrpcError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        declared_mime(&headers)
    }

    #[test]
    fn a_declared_type_is_kept_without_its_parameters() {
        assert_eq!(declared("image/PNG"), Ok(Some("image/png".to_owned())));
        assert_eq!(declared("text/plain; charset=utf-8"), Ok(Some("text/plain".to_owned())));
        assert_eq!(declared("image/svg+xml"), Ok(Some("image/svg+xml".to_owned())));
        for sniffed in ["*/*", "", "; q=1"] {
            assert_eq!(declared(sniffed), Ok(None), "{sniffed:?}");
        }
        for bad in ["image", "image/", "/png", "image/*", "a b/c", "a/b/c"] {
            assert_eq!(declared(bad).unwrap_err().name, "InvalidMimeType", "{bad:?}");
        }
        assert_eq!(declared_mime(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn compressed_uploads_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(declared_mime(&headers).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn types_are_found_by_their_first_bytes() {
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png");
        assert_eq!(sniff(b"\xff\xd8\xff\xe0\0\x10JFIF"), "image/jpeg");
        assert_eq!(sniff(b"just words"), MIME_UNKNOWN);
        assert_eq!(sniff(b""), MIME_UNKNOWN);
    }
}
