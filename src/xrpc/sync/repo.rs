//! Repos and parts of them, as CARs; where they stand.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::{CommitView, available, repo_not_found};
use crate::actor::Status;
use crate::data_model::Cid;
use crate::limits::GET_BLOCKS_MAX;
use crate::repo::{CommitMeta, GetBlocks, GetHead, GetRecordProof};
use crate::syntax::{AtIdentifier, CidText, Did, Nsid, RecordKey, Tid};
use crate::xrpc::endpoint::Json;
use crate::xrpc::{Context, XrpcError};
use crate::{account, app};

#[derive(Debug, Deserialize)]
pub(super) struct GetParams {
    did: Did,
    since: Option<Tid>,
}

/// Streams the whole repo, or what came after a rev.
pub(super) async fn get(context: Context, params: GetParams) -> Result<Response, XrpcError> {
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let export = context.host.export(account.did, params.since).await;
    Ok(car(export.map_err(app::Error::from)?))
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
    let account = available(&context, AtIdentifier::Did(params.did.clone())).await?;
    let RecordParams { collection, rkey, .. } = params;
    let proof = context.account(&account.did, GetRecordProof { collection, rkey }).await?;
    Ok(car(Response::new(Body::from(proof.into_vec()))))
}

#[derive(Debug, Deserialize)]
pub(super) struct BlocksParams {
    did: Did,
    cids: Vec<CidText>,
}

pub(super) async fn get_blocks(context: Context, params: BlocksParams) -> Result<Response, XrpcError> {
    if params.cids.len() > GET_BLOCKS_MAX {
        return Err(XrpcError::invalid(format!("at most {GET_BLOCKS_MAX} blocks at once")));
    }
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    let cids = params.cids.iter().map(block_cid).collect::<Result<_, _>>()?;
    let blocks = context.account(&account.did, GetBlocks { cids }).await?;
    Ok(car(Response::new(Body::from(blocks.into_vec()))))
}

/// A text that is no CID names a block that is not there.
fn block_cid(text: &CidText) -> Result<Cid, XrpcError> {
    let not_found = |_| XrpcError::named("BlockNotFound", format!("Could not find block: {text}"));
    Cid::try_from(text.as_str()).map_err(not_found)
}

pub(super) async fn get_latest_commit(
    context: Context,
    params: DidParams,
) -> Result<Json<CommitView>, XrpcError> {
    let account = available(&context, AtIdentifier::Did(params.did)).await?;
    match context.account(&account.did, GetHead {}).await {
        Ok(head) => Ok(Json(CommitMeta { cid: head.commit, rev: head.rev }.into())),
        Err(app::Error::Account(account::Error::NoRepo)) => Err(repo_not_found(account.did.as_str())),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct HeadView {
    root: String,
}

/// The old form of getLatestCommit.
pub(super) async fn get_head(context: Context, params: DidParams) -> Result<Json<HeadView>, XrpcError> {
    let not_found =
        |did: &Did| XrpcError::named("HeadNotFound", format!("Could not find root for DID: {did}"));
    let did = params.did.clone();
    if context.find_account(&AtIdentifier::Did(did.clone())).await?.is_none() {
        return Err(not_found(&did));
    }
    let account = available(&context, AtIdentifier::Did(did)).await?;
    match context.account(&account.did, GetHead {}).await {
        Ok(head) => Ok(Json(HeadView { root: head.commit.to_string() })),
        Err(app::Error::Account(account::Error::NoRepo)) => Err(not_found(&account.did)),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct StatusView {
    did: Did,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<Tid>,
}

/// Whether the repo is served, for everyone to know; its rev only while it is.
pub(super) async fn get_status(context: Context, params: DidParams) -> Result<Json<StatusView>, XrpcError> {
    let found = context.find_account(&AtIdentifier::Did(params.did.clone())).await?;
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
