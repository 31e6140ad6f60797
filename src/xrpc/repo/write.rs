//! Writing records: createRecord, putRecord, deleteRecord, applyWrites.
//!
//! A record is read from the request's JSON straight into the data model, checked by its lexicon as `validate` asks,
//! and goes to the account's cell as the canonical block it will be stored as.

use serde::{Deserialize, Deserializer, Serialize};

use super::{check_write as check_caller, own_repo};
use crate::blobs::BlobClaim;
use crate::data_model::{Cid, Ipld, blob_refs, encode_record};
use crate::lexicon::{Data, ValidationStatus, check_write};
use crate::limits::COMMIT_OPS_MAX;
use crate::oauth::scope::RepoAction;
use crate::repo::{ApplyWrites, Swap, Write, WriteAction};
use crate::syntax::{AtIdentifier, AtUri, CidText, Did, Nsid, RecordKey, Tid};
use crate::xrpc::endpoint::Json;
use crate::xrpc::sync::CommitView;
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateInput {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: Option<RecordKey>,
    validate: Option<bool>,
    record: Data,
    swap_commit: Option<CidText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutInput {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    validate: Option<bool>,
    record: Data,
    /// `null`: there must be no record.
    #[serde(default, deserialize_with = "nullable")]
    swap_record: Option<Option<CidText>>,
    swap_commit: Option<CidText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteInput {
    repo: AtIdentifier,
    collection: Nsid,
    rkey: RecordKey,
    swap_record: Option<CidText>,
    swap_commit: Option<CidText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplyInput {
    repo: AtIdentifier,
    validate: Option<bool>,
    writes: Vec<WriteInput>,
    swap_commit: Option<CidText>,
}

/// `#create`, `#update` or `#delete`.
#[derive(Debug, Deserialize)]
struct WriteInput {
    #[serde(rename = "$type")]
    kind: String,
    collection: Nsid,
    rkey: Option<RecordKey>,
    value: Option<Data>,
}

/// A written record.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    uri: AtUri,
    cid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Deleted {
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
}

#[derive(Debug, Serialize)]
pub(super) struct Applied {
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitView>,
    results: Vec<AppliedWrite>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AppliedWrite {
    #[serde(rename = "$type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<AtUri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status: Option<&'static str>,
}

pub(super) async fn create(context: Context, input: CreateInput) -> Result<Json<Written>, XrpcError> {
    let did = own_repo(&context, &input.repo)?;
    check_caller(&context, &input.collection, &[RepoAction::Create])?;
    let target = Target { action: WriteAction::Create, collection: input.collection, rkey: input.rkey };
    write_one(&context, &did, target, input.record, input.validate, Swap::Any, input.swap_commit).await
}

pub(super) async fn put(context: Context, input: PutInput) -> Result<Json<Written>, XrpcError> {
    let did = own_repo(&context, &input.repo)?;
    // There may be a record or not.
    check_caller(&context, &input.collection, &[RepoAction::Create, RepoAction::Update])?;
    let target = Target { action: WriteAction::Put, collection: input.collection, rkey: Some(input.rkey) };
    let swap_record = match input.swap_record {
        None => Swap::Any,
        Some(None) => Swap::Nothing,
        Some(Some(cid)) => Swap::Record(swap_cid("swapRecord", &cid)?),
    };
    write_one(&context, &did, target, input.record, input.validate, swap_record, input.swap_commit).await
}

async fn write_one(
    context: &Context,
    did: &Did,
    target: Target,
    record: Data,
    validate: Option<bool>,
    swap_record: Swap,
    swap_commit: Option<CidText>,
) -> Result<Json<Written>, XrpcError> {
    let collection = target.collection.clone();
    let (mut write, status) = target.write(record, validate, context.host.now_us())?;
    write.swap_record = swap_record;
    let swap_commit = swap_commit.map(|cid| swap_cid("swapCommit", &cid)).transpose()?;
    let applied = context.account(did, ApplyWrites { writes: vec![write], swap_commit }).await?;
    context.notes.note(applied.allowance);
    let unanswered = || XrpcError::internal("a write without a result");
    let result = applied.results.into_iter().next().ok_or_else(unanswered)?;
    Ok(Json(Written {
        uri: AtUri::record(did, &collection, &result.rkey),
        cid: result.cid.ok_or_else(unanswered)?.to_string(),
        commit: applied.commit.map(CommitView::from),
        validation_status: status.map(ValidationStatus::as_str),
    }))
}

/// Deletes a record, or finds that it is not there, which is fine.
pub(super) async fn delete(context: Context, input: DeleteInput) -> Result<Json<Deleted>, XrpcError> {
    let did = own_repo(&context, &input.repo)?;
    check_caller(&context, &input.collection, &[RepoAction::Delete])?;
    let write = Write {
        action: WriteAction::DeleteIfPresent,
        collection: input.collection,
        rkey: Some(input.rkey),
        record: None,
        blobs: Vec::new(),
        swap_record: match &input.swap_record {
            None => Swap::Any,
            Some(cid) => Swap::Record(swap_cid("swapRecord", cid)?),
        },
    };
    let swap_commit = input.swap_commit.map(|cid| swap_cid("swapCommit", &cid)).transpose()?;
    let applied = context.account(&did, ApplyWrites { writes: vec![write], swap_commit }).await?;
    context.notes.note(applied.allowance);
    Ok(Json(Deleted { commit: applied.commit.map(CommitView::from) }))
}

pub(super) async fn apply(context: Context, input: ApplyInput) -> Result<Json<Applied>, XrpcError> {
    let did = own_repo(&context, &input.repo)?;
    if input.writes.len() > COMMIT_OPS_MAX {
        return Err(XrpcError::invalid(format!("Too many writes. Max: {COMMIT_OPS_MAX}")));
    }
    let now_us = context.host.now_us();
    let mut writes = Vec::with_capacity(input.writes.len());
    let mut answers = Vec::with_capacity(input.writes.len());
    for write in input.writes {
        check_caller(&context, &write.collection, &[write.repo_action()?])?;
        let collection = write.collection.clone();
        let (write, kind, status) = write.read(input.validate, now_us)?;
        writes.push(write);
        answers.push((collection, kind, status));
    }
    let swap_commit = input.swap_commit.map(|cid| swap_cid("swapCommit", &cid)).transpose()?;
    let applied = context.account(&did, ApplyWrites { writes, swap_commit }).await?;
    context.notes.note(applied.allowance);
    let results = applied.results.into_iter().zip(answers).map(|(result, (collection, kind, status))| {
        let uri = match result.cid {
            Some(_) => Some(AtUri::record(&did, &collection, &result.rkey)),
            None => None,
        };
        let validation_status = status.map(ValidationStatus::as_str);
        let cid = result.cid.map(|cid| cid.to_string());
        Ok(AppliedWrite { kind, uri, cid, validation_status })
    });
    let results = results.collect::<Result<_, XrpcError>>()?;
    Ok(Json(Applied { results, commit: applied.commit.map(CommitView::from) }))
}

impl WriteInput {
    /// What it does to a record, as permissions name it.
    fn repo_action(&self) -> Result<RepoAction, XrpcError> {
        match self.kind.as_str() {
            "com.atproto.repo.applyWrites#create" => Ok(RepoAction::Create),
            "com.atproto.repo.applyWrites#update" => Ok(RepoAction::Update),
            "com.atproto.repo.applyWrites#delete" => Ok(RepoAction::Delete),
            _ => Err(XrpcError::invalid("Action not supported: a write is a create, update or delete")),
        }
    }

    /// The write, the `$type` of its result, and what validation said.
    fn read(
        self,
        validate: Option<bool>,
        now_us: i64,
    ) -> Result<(Write, &'static str, Option<ValidationStatus>), XrpcError> {
        let missing = |name: &str| XrpcError::invalid(format!("Invalid input: a write has no {name}"));
        let (action, kind) = match self.repo_action()? {
            RepoAction::Create => (WriteAction::Create, "com.atproto.repo.applyWrites#createResult"),
            RepoAction::Update => (WriteAction::Update, "com.atproto.repo.applyWrites#updateResult"),
            RepoAction::Delete => {
                let write = Write {
                    action: WriteAction::Delete,
                    collection: self.collection,
                    rkey: Some(self.rkey.ok_or_else(|| missing("rkey"))?),
                    record: None,
                    blobs: Vec::new(),
                    swap_record: Swap::Any,
                };
                return Ok((write, "com.atproto.repo.applyWrites#deleteResult", None));
            }
        };
        if action == WriteAction::Update && self.rkey.is_none() {
            return Err(missing("rkey"));
        }
        let record = self.value.ok_or_else(|| missing("value"))?;
        let target = Target { action, collection: self.collection, rkey: self.rkey };
        let (write, status) = target.write(record, validate, now_us)?;
        Ok((write, kind, status))
    }
}

/// Where a record goes.
struct Target {
    action: WriteAction,
    collection: Nsid,
    rkey: Option<RecordKey>,
}

impl Target {
    fn write(
        self,
        Data(mut record): Data,
        validate: Option<bool>,
        now_us: i64,
    ) -> Result<(Write, Option<ValidationStatus>), XrpcError> {
        // The cell makes the key of a record that comes without; it will be a TID like this one.
        let made = || RecordKey::from(Tid::from_micros(now_us, 0));
        let rkey = self.rkey.clone().unwrap_or_else(made);
        let status = check_write(validate, &self.collection, &rkey, &mut record)
            .map_err(|error| XrpcError::invalid(error.to_string()))?;
        let write = Write {
            action: self.action,
            collection: self.collection,
            rkey: self.rkey,
            blobs: claims(&record)?,
            record: Some(
                encode_record(&record).map_err(|error| XrpcError::invalid(error.to_string()))?.into(),
            ),
            swap_record: Swap::Any,
        };
        Ok((write, status))
    }
}

/// What a record says of its blobs. The old form of references is for records of old.
fn claims(record: &Ipld) -> Result<Vec<BlobClaim>, XrpcError> {
    let claim = |blob: crate::data_model::BlobRef| match blob.size {
        Some(bytes) => Ok(BlobClaim { cid: blob.cid, mime: blob.mime_type, bytes }),
        None => Err(XrpcError::invalid(format!("Legacy blobs are not allowed ({})", blob.cid))),
    };
    blob_refs(record).into_iter().map(claim).collect()
}

/// A CID to compare with. One that is none never matches.
fn swap_cid(name: &str, text: &CidText) -> Result<Cid, XrpcError> {
    Cid::try_from(text.as_str())
        .map_err(|_| XrpcError::named("InvalidSwap", format!("{name} {text} is not a CID")))
}

/// Tells `null` from a field that is not there.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
