//! Repos and parts of them, as CARs; where they stand.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::{available, repo_not_found};
use crate::account::{self, CommitMeta, GetBlocks, GetHead, GetRecordProof};
use crate::actor::Status;
use crate::limits::GET_BLOCKS_MAX;
use crate::syntax::{AtIdentifier, CidText, Did, Nsid, RecordKey, Tid};
use crate::xrpc::endpoint::Json;
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
pub(super) struct GetParams {
    did: Did,
    since: Option<Tid>,
}

/// Streams the whole repo, or what came after a rev.
pub(super) async fn get(context: Context, params: GetParams) -> Result<Response, XrpcError> {
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let since = params.since.map(|since| since.as_str().to_owned());
    Ok(car(context.host.export(account.did, since).await?))
}

#[derive(Debug, Deserialize)]
pub(super) struct DidParams {
    did: Did,
}

/// The old name of getRepo.
pub(super) async fn get_checkout(context: Context, params: DidParams) -> Result<Response, XrpcError> {
    get(context, GetParams { did: params.did, since: None }).await
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordParams {
    did: Did,
    collection: Nsid,
    rkey: RecordKey,
}

/// Proves that a record is there, or that it is not.
pub(super) async fn get_record(context: Context, params: RecordParams) -> Result<Response, XrpcError> {
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let path = format!("{}/{}", params.collection, params.rkey);
    let proof = context.account(&account.did, GetRecordProof { path }).await?;
    Ok(car(Response::new(Body::from(proof.into_vec()))))
}

#[derive(Debug, Deserialize)]
pub(super) struct BlocksParams {
    did: Did,
    #[serde(default)]
    cids: Vec<CidText>,
}

pub(super) async fn get_blocks(context: Context, params: BlocksParams) -> Result<Response, XrpcError> {
    if params.cids.len() > GET_BLOCKS_MAX {
        return Err(XrpcError::invalid(format!("at most {GET_BLOCKS_MAX} blocks at once")));
    }
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let cids = params.cids.into_iter().map(CidText::into_string).collect();
    let blocks = context.account(&account.did, GetBlocks { cids }).await?;
    Ok(car(Response::new(Body::from(blocks.into_vec()))))
}

pub(super) async fn get_latest_commit(
    context: Context,
    params: DidParams,
) -> Result<Json<CommitMeta>, XrpcError> {
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    match context.host_account(&account.did, GetHead {}).await {
        Ok(head) => Ok(Json(CommitMeta { cid: head.commit, rev: head.rev })),
        Err(account::Error::NoRepo) => Err(repo_not_found(account.did.as_str())),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct HeadView {
    root: String,
}

/// The old form of getLatestCommit.
pub(super) async fn get_head(context: Context, params: DidParams) -> Result<Json<HeadView>, XrpcError> {
    let did = params.did.clone();
    match get_latest_commit(context, params).await {
        Ok(Json(commit)) => Ok(Json(HeadView { root: commit.cid })),
        Err(error) if error.name == "RepoNotFound" => {
            Err(XrpcError::named("HeadNotFound", format!("Could not find root for DID: {did}")))
        }
        Err(error) => Err(error),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct StatusView {
    did: Did,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<String>,
}

/// Whether the repo is served, for everyone to know; its rev only while it is.
pub(super) async fn get_status(context: Context, params: DidParams) -> Result<Json<StatusView>, XrpcError> {
    let found = context.host.find_account(AtIdentifier::Did(params.did.clone())).await?;
    let account = found.ok_or_else(|| repo_not_found(params.did.as_str()))?;
    let active = account.status == Status::Active;
    let rev = if active { Some(context.account(&account.did, GetHead {}).await?.rev) } else { None };
    let status = (!active).then_some(account.status.as_str());
    Ok(Json(StatusView { did: account.did, active, status, rev }))
}

fn car(mut response: Response) -> Response {
    let value = HeaderValue::from_static("application/vnd.ipld.car");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}
