//! Reading records: getRecord, listRecords, describeRepo.
//!
//! The answers of the first two are put together as text around each block's own JSON, without building values.

use serde::{Deserialize, Serialize};

use super::readable;
use crate::data_model::{Cid, cbor_to_json};
use crate::identity::DidDocument;
use crate::limits::PAGE_BYTES_MAX;
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
    append_record(&mut text, &account.did, &collection, &rkey, &record.cid, &record.block)?;
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
        collection: params.collection.clone(),
        limit,
        cursor: params.cursor.filter(|cursor| !cursor.is_empty()),
        reverse: params.reverse,
    };
    let records = context.account(&account.did, wanted).await?;
    let bytes: usize = records.iter().map(|record| 256 + record.block.len() * 5 / 4).sum();
    let mut text = Vec::with_capacity(64 + bytes);
    text.extend_from_slice(br#"{"records":["#);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        append_record(&mut text, &account.did, &params.collection, &record.rkey, &record.cid, &record.block)?;
    }
    text.push(b']');
    let is_cut = records.iter().map(|record| record.block.len()).sum::<usize>() >= PAGE_BYTES_MAX;
    let last = records.last().filter(|_| is_cut || records.len() == limit as usize);
    if let Some(last) = last {
        append(&mut text, &[r#","cursor":""#, last.rkey.as_str(), "\""]);
    }
    text.push(b'}');
    Ok(JsonText(text))
}

/// `{"uri": …, "cid": …, "value": …}`. DIDs, NSIDs, record keys and CIDs have no characters that JSON would escape.
fn append_record(
    text: &mut Vec<u8>,
    did: &Did,
    collection: &Nsid,
    rkey: &RecordKey,
    cid: &Cid,
    block: &[u8],
) -> Result<(), XrpcError> {
    let uri = [r#"{"uri":"at://"#, did.as_str(), "/", collection.as_str(), "/", rkey.as_str()];
    append(text, &uri);
    append(text, &[r#"","cid":""#, &cid.to_string(), r#"","value":"#]);
    cbor_to_json(block, text).map_err(XrpcError::internal)?;
    text.push(b'}');
    Ok(())
}

fn append(text: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        text.extend_from_slice(part.as_bytes());
    }
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
    let document = context
        .identities
        .did_document(&context.host, &account.did, false)
        .await
        .map_err(|error| XrpcError::invalid(format!("Could not resolve DID: {error}")))?;
    let collections = context.account(&account.did, DescribeRepo {}).await?;
    Ok(Json(RepoView {
        handle_is_correct: document.handle().as_ref() == Some(&account.handle),
        handle: account.handle,
        did: account.did,
        did_doc: DidDocument::clone(&document),
        collections,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_model::encode_record;

    #[test]
    fn records_are_written_as_json_around_their_blocks() {
        let record = ipld_core::ipld!({"$type": "com.example.note", "text": "a \"quote\""});
        let did = Did::try_from("did:plc:abc").unwrap();
        let collection = Nsid::try_from("com.example.note").unwrap();
        let mut text = Vec::new();
        let rkey = RecordKey::try_from("self").unwrap();
        let block = encode_record(&record).unwrap();
        let cid = repo_mst::cid_for_cbor(&block);
        append_record(&mut text, &did, &collection, &rkey, &cid, &block).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = serde_json::json!({
            "uri": "at://did:plc:abc/com.example.note/self",
            "cid": cid.to_string(),
            "value": {"$type": "com.example.note", "text": "a \"quote\""},
        });
        assert_eq!(read, expected);
    }
}
