//! Reading records: getRecord, listRecords, describeRepo.
//!
//! The answers of the first two are put together as text around each block's own JSON, without building values.

use serde::{Deserialize, Serialize};

use super::readable;
use crate::data_model::Cid;
use crate::identity::DidDocument;
use crate::repo::read::append_record;
use crate::repo::{DescribeRepo, GetRecord, ListRecords};
use crate::syntax::{AtIdentifier, CidText, Did, Handle, Nsid, RecordKey};
use crate::xrpc::endpoint::{Json, JsonText, check_limit};
use crate::xrpc::sync::available;
use crate::xrpc::{Context, XrpcError};
use crate::{account, app};

#[derive(Debug, Deserialize)]
pub(super) struct GetParams {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    cid: Option<CidText>,
}

pub(super) async fn get(context: Context, params: GetParams) -> Result<JsonText, XrpcError> {
    let GetParams { repo, collection, rkey, cid } = params;
    let not_found = || {
        let uri = format!("at://{}/{collection}/{rkey}", repo.as_str());
        XrpcError::named("RecordNotFound", format!("Could not locate record: {uri}"))
    };
    let account = readable(&context, &repo).await?.ok_or_else(not_found)?;
    // A text that is no CID names no version of anything.
    let cid = cid.map(|cid| Cid::try_from(cid.as_str())).transpose().map_err(|_| not_found())?;
    let get = GetRecord { collection: collection.clone(), rkey: rkey.clone(), cid };
    let record = match context.account(&account.did, get).await {
        Ok(record) => record.ok_or_else(not_found)?,
        Err(app::Error::Account(account::Error::NoRepo)) => return Err(not_found()),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::with_capacity(256 + record.block.len() * 5 / 4);
    let path = format!("{collection}/{rkey}");
    append_record(&mut text, &account.did, &path, &record.cid, &record.block)?;
    Ok(JsonText(text))
}

#[derive(Debug, Deserialize)]
pub(super) struct ListParams {
    repo: AtIdentifier,
    collection: Nsid,
    limit: Option<u32>,
    cursor: Option<String>,
    #[serde(default)]
    reverse: bool,
}

/// The cursor is the page's last record key.
pub(super) async fn list(context: Context, params: ListParams) -> Result<JsonText, XrpcError> {
    let limit = check_limit(params.limit, 50, 100)?;
    let repo = params.repo;
    let account = readable(&context, &repo).await?;
    let account =
        account.ok_or_else(|| XrpcError::invalid(format!("Could not find repo: {}", repo.as_str())))?;
    let wanted = ListRecords {
        did: account.did.clone(),
        collection: params.collection,
        limit,
        cursor: params.cursor.filter(|cursor| !cursor.is_empty()),
        reverse: params.reverse,
    };
    Ok(JsonText(context.account(&account.did, wanted).await?.into_vec()))
}

#[derive(Debug, Deserialize)]
pub(super) struct DescribeParams {
    repo: AtIdentifier,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepoView {
    handle: Handle,
    did: Did,
    did_doc: DidDocument,
    collections: Vec<Nsid>,
    handle_is_correct: bool,
}

pub(super) async fn describe(context: Context, params: DescribeParams) -> Result<Json<RepoView>, XrpcError> {
    let account = available(&context, params.repo).await?;
    let document =
        context.identities.document_for(&context.host, context.client, &account.did, false).await.map_err(
            |error| match error {
                app::Error::Busy => error.into(),
                error => XrpcError::invalid(format!("Could not resolve DID: {error}")),
            },
        )?;
    let collections = context.account(&account.did, DescribeRepo {}).await?;
    Ok(Json(RepoView {
        handle_is_correct: !account.handle_fails && document.handle().as_ref() == Some(&account.handle),
        handle: account.shown_handle(),
        did: account.did,
        did_doc: DidDocument::clone(&document),
        collections,
    }))
}
