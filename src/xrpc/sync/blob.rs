//! Blobs that records refer to: getBlob, listBlobs.

use axum::response::Response;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::available;
use crate::blobs::{GetBlobMeta, ListBlobs};
use crate::data_model::Cid;
use crate::syntax::{AtIdentifier, CidText, Did, Tid};
use crate::xrpc::endpoint::{Json, check_limit};
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
pub(super) struct GetParams {
    did: Did,
    cid: CidText,
}

/// Streams a blob. Strangers choose its bytes and its type, so a browser is told to do nothing with it but keep it.
pub(super) async fn get(context: Context, params: GetParams) -> Result<Response, XrpcError> {
    let not_found = || XrpcError::named("BlobNotFound", "Blob not found");
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let cid = Cid::try_from(params.cid.as_str()).map_err(|_| not_found())?;
    let meta = context.account(&account.did, GetBlobMeta { cid }).await?.ok_or_else(not_found)?;
    let (bytes, mut response) = context.host.get_blob(account.did, cid).await?.ok_or_else(not_found)?;
    let mime = HeaderValue::from_str(&meta.mime);
    let mime = mime.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{cid}\""));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, mime);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_DISPOSITION, disposition.map_err(XrpcError::internal)?);
    let nothing = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    Ok(response)
}

#[derive(Debug, Deserialize)]
pub(super) struct ListParams {
    did: Did,
    since: Option<Tid>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct BlobPage {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    cids: Vec<String>,
}

pub(super) async fn list(context: Context, params: ListParams) -> Result<Json<BlobPage>, XrpcError> {
    let limit = check_limit(params.limit, 500, 1000)?;
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let cids = context
        .account(&account.did, ListBlobs { since: params.since, cursor: params.cursor, limit })
        .await?;
    let cids: Vec<String> = cids.iter().map(Cid::to_string).collect();
    let cursor = cids.last().filter(|_| cids.len() == limit as usize).cloned();
    Ok(Json(BlobPage { cursor, cids }))
}
