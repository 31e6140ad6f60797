//! An account's life: created, put to rest, woken, deleted.

use serde::{Deserialize, Serialize};

use super::email::send_code;
use super::{Nothing, SessionView};
use crate::actor::Kind;
use crate::app;
use crate::app::{NewAccount, check_recovery_key};
use crate::auth::Caller;
use crate::blobs::ListMissingBlobs;
use crate::directory::{OpenSession, Proof, Who};
use crate::identity::DidDocument;
use crate::mail::MailPurpose;
use crate::repo::{Counts, GetHead};
use crate::seam::Hidden;
use crate::syntax::{Datetime, Did, Handle, Tid, parse_datetime_us};
use crate::xrpc::endpoint::{Empty, Json};
use crate::xrpc::{App, Context, XrpcError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateInput {
    /// Text, so that what is wrong with it gets its own error's name.
    handle: String,
    did: Option<Did>,
    email: Option<String>,
    password: Option<Hidden<String>>,
    invite_code: Option<String>,
    recovery_key: Option<String>,
    plc_op: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateOutput {
    handle: Handle,
    did: Did,
    #[serde(skip_serializing_if = "Option::is_none")]
    did_doc: Option<DidDocument>,
    access_jwt: String,
    refresh_jwt: String,
}

pub(super) async fn create(context: Context, input: CreateInput) -> Result<Json<CreateOutput>, XrpcError> {
    // Its document and handle are its server's to say, which may be anybody's.
    let _turn = input.did.is_some().then(|| context.identities.turn(context.client)).transpose()?;
    if input.plc_op.is_some() {
        return Err(XrpcError::invalid("Unsupported input: \"plcOp\""));
    }
    let handle = Handle::try_from(input.handle.trim())
        .map_err(|error| XrpcError::named("InvalidHandle", error.to_string()))?;
    if let Some(did) = &input.did
        && !matches!(&context.caller, Caller::Service { did: caller } if caller == did)
    {
        let message = format!("Missing auth to create account with did: {did}");
        return Err(XrpcError::unauthorized("AuthenticationRequired", message));
    }
    let new = NewAccount {
        handle,
        kind: Kind::Person,
        existing_did: input.did,
        recovery_key: input.recovery_key.map(check_recovery_key).transpose()?,
        email: input.email.filter(|email| !email.is_empty()),
        password: input.password,
        invite_code: input.invite_code.filter(|code| !code.is_empty()),
        invite_exempt: false,
        display_name: None,
        model: None,
        config: None,
    };
    let account = context.app.sign_up(new).await?;
    let open = OpenSession {
        did: account.did,
        proof: Proof::Generation(account.generation),
        client: None,
        device: None,
        allow_takendown: false,
    };
    let session = context.directory(open).await?;
    let view = SessionView::of_session(&context, session).await?;
    Ok(Json(CreateOutput {
        handle: view.handle,
        did: view.did,
        did_doc: view.did_doc,
        access_jwt: view.access_jwt.unwrap_or_default(),
        refresh_jwt: view.refresh_jwt.unwrap_or_default(),
    }))
}

pub(super) async fn activate(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    let _turn = context.identities.turn(context.client)?;
    context.app.activate(context.caller.did()?).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeactivateInput {
    delete_after: Option<Datetime>,
}

pub(super) async fn deactivate(context: Context, input: DeactivateInput) -> Result<Empty, XrpcError> {
    let delete_after_us = match &input.delete_after {
        Some(time) => {
            Some(parse_datetime_us(time.as_str()).map_err(|error| XrpcError::invalid(error.to_string()))?)
        }
        None => None,
    };
    context.app.deactivate(context.caller.did()?, delete_after_us).await?;
    Ok(Empty)
}

pub(super) async fn request_delete(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    send_code(&context, MailPurpose::DeleteAccount).await?;
    Ok(Empty)
}

#[derive(Deserialize)]
pub(super) struct DeleteInput {
    did: Did,
    password: Hidden<String>,
    token: Hidden<String>,
}

pub(super) async fn delete(context: Context, input: DeleteInput) -> Result<Empty, XrpcError> {
    let client = context.client_text();
    let signed_in = context.check_password(Some(Who::Did(input.did)), client, input.password).await?;
    let Some(sign_in) = signed_in.filter(|sign_in| !matches!(sign_in.proof, Proof::AppPassword(_))) else {
        return Err(XrpcError::unauthorized("AuthenticationRequired", "Invalid did or password"));
    };
    context.delete_account(&sign_in.account.did, Some(input.token)).await?;
    Ok(Empty)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView {
    activated: bool,
    valid_did: bool,
    repo_commit: String,
    repo_rev: Tid,
    repo_blocks: u64,
    indexed_records: u64,
    private_state_values: u64,
    expected_blobs: u64,
    imported_blobs: u64,
}

pub(super) async fn check_status(context: Context, _: Nothing) -> Result<Json<StatusView>, XrpcError> {
    let account = &context.caller.account()?.account;
    let document = context.identities.document_for(&context.host, context.client, &account.did, true).await;
    let head = context.account(&account.did, GetHead {}).await?;
    let counts = context.account(&account.did, Counts {}).await?;
    let missing = count_missing_blobs(&context, &account.did).await?;
    let valid_did = match document {
        Err(app::Error::Busy) => return Err(app::Error::Busy.into()),
        Ok(document) if document.pds_endpoint() == Some(&context.network.public_url) => {
            context.names_our_key(&account.did, &document).await?
        }
        _ => false,
    };
    Ok(Json(StatusView {
        activated: account.status.is_active(),
        valid_did,
        repo_commit: head.commit.to_string(),
        repo_rev: head.rev,
        repo_blocks: counts.records.saturating_add(counts.nodes).saturating_add(1),
        indexed_records: counts.records,
        private_state_values: counts.preferences,
        expected_blobs: counts.blobs.saturating_add(missing),
        imported_blobs: counts.blobs,
    }))
}

async fn count_missing_blobs(app: &App, did: &Did) -> Result<u64, XrpcError> {
    const PAGE: u32 = 500;
    let mut missing = 0_u64;
    let mut cursor = None;
    loop {
        let page = app.account(did, ListMissingBlobs { cursor, limit: PAGE }).await?;
        missing = missing.saturating_add(page.len() as u64);
        cursor = page.last().map(|last| last.cid.to_string());
        if page.len() < PAGE as usize {
            return Ok(missing);
        }
    }
}
