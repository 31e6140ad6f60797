//! Uploads: uploadBlob, listMissingBlobs.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::mime;
use crate::blobs::{AddBlob, ListMissingBlobs, MissingBlob};
use crate::host::{HostError, PutBlobError, StoredBlob};
use crate::oauth::Need;
use crate::syntax::Did;
use crate::xrpc::body::body_failed;
use crate::xrpc::endpoint::{IntoOutput as _, Json, check_limit};
use crate::xrpc::{Context, XrpcError};

/// Streams the body into the blob store; the blob stays when a record refers to it within six hours.
pub(super) async fn upload(context: Context, request: Request) -> Result<Response, XrpcError> {
    let did = context.caller.did()?.clone();
    let caller = context.caller.account()?;
    let declared = mime::declared(request.headers())?;
    match &declared {
        Some(mime) => caller.require(&Need::Blob { mime })?,
        // What it is, is seen when it is here; who may upload nothing at all uploads nothing.
        None if caller.may_upload() => {}
        None => caller.require(&Need::Blob { mime: "*/*" })?,
    }
    let stored = store(&context, &did, request).await?;
    // What it is, where nobody said so or said something else; one that is refused goes as nobody refers to it.
    let mime = mime::of_blob(declared, &stored.head);
    caller.require(&Need::Blob { mime: &mime })?;
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
    // A blob may be empty; that there is one says its length.
    let has_length = request.headers().contains_key(header::CONTENT_LENGTH);
    let body = request.into_body();
    if body.size_hint().exact() == Some(0) && !has_length {
        return Err(XrpcError::invalid("A request body is expected but none was provided"));
    }
    if body.size_hint().lower() > bytes_max {
        return Err(too_large());
    }
    let sender = Arc::new(Mutex::new(None));
    let failed = Arc::clone(&sender);
    let chunks = body.into_data_stream().map_err(move |error| {
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(body_failed(&error));
        HostError::Upstream("the sender stopped".to_owned())
    });
    let stored = context.host.put_blob(did.clone(), chunks.boxed(), bytes_max).await;
    stored.map_err(|error| match error {
        PutBlobError::TooLarge(_) => too_large(),
        // What fails upstream of an upload is its sender.
        PutBlobError::Host(error) => {
            let failed = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            failed.unwrap_or_else(|| error.into())
        }
    })
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
