//! An account's life: created, put to rest, woken, deleted.

use std::sync::Once;

use serde::{Deserialize, Serialize};

use super::session::check_password;
use super::{Nothing, SessionView};
use crate::account::{Counts, GetHead, GetSigningKey, ListMissingBlobs};
use crate::actor::Kind;
use crate::auth::Caller;
use crate::crypto::VerifyingKey;
use crate::directory::{
    DeleteAccount, IssueMailCode, MailPurpose, OpenSession, SetStatus, StatusChange, Who,
};
use crate::identity::DidDocument;
use crate::seam::Hidden;
use crate::syntax::{Datetime, Did, Handle, parse_datetime_us};
use crate::xrpc::endpoint::{Empty, Json};
use crate::xrpc::signup::NewAccount;
use crate::xrpc::{App, Context, XrpcError, transfer};

#[derive(Debug, Deserialize)]
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
    let account = context.sign_up(new).await?;
    let session = context.directory(OpenSession { did: account.did, app_password: None }).await?;
    let view = SessionView::of_session(&context, session).await?;
    Ok(Json(CreateOutput {
        handle: view.handle,
        did: view.did,
        did_doc: view.did_doc,
        access_jwt: view.access_jwt.unwrap_or_default(),
        refresh_jwt: view.refresh_jwt.unwrap_or_default(),
    }))
}

/// A recovery key must be one the protocol can verify with, or it would recover nothing.
pub(in crate::xrpc) fn check_recovery_key(did_key: String) -> Result<String, XrpcError> {
    match VerifyingKey::from_did_key(&did_key) {
        Ok(_) => Ok(did_key),
        Err(error) => Err(XrpcError::named("InvalidRecoveryKey", format!("recovery key: {error}"))),
    }
}

pub(super) async fn activate(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    let did = context.caller.did()?.clone();
    let document = context.identities.did_document(&context.host, &did, true).await?;
    if document.pds_endpoint() != Some(&context.network.public_url) {
        return Err(XrpcError::invalid("DID document pds endpoint does not match service endpoint"));
    }
    // A repo that is still on its way in is none yet.
    context.account(&did, GetHead {}).await?;
    if !names_our_key(&context, &did, &document).await? {
        return Err(XrpcError::invalid(
            "DID document verification method does not match expected signing key: \
             com.atproto.identity.getRecommendedDidCredentials says which it should have",
        ));
    }
    transfer::cancel(&context, &did).await?;
    context.directory(SetStatus { did: did.clone(), change: StatusChange::Activate }).await?;
    context.carry_notices_of(&did).await?;
    Ok(Empty)
}

/// Whether what is signed here verifies elsewhere.
async fn names_our_key(app: &App, did: &Did, document: &DidDocument) -> Result<bool, XrpcError> {
    let ours = app.account(did, GetSigningKey {}).await?;
    Ok(document.signing_key().is_some_and(|key| key.did_key() == ours))
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
    let did = context.caller.did()?.clone();
    let change = StatusChange::Deactivate { delete_after_us };
    context.directory(SetStatus { did: did.clone(), change }).await?;
    context.carry_notices_of(&did).await?;
    Ok(Empty)
}

pub(super) async fn request_delete(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "mail can't be sent: no mailer is configured. Operators delete accounts with com.atproto.admin.deleteAccount"
        );
    });
    let did = context.caller.did()?.clone();
    context.directory(IssueMailCode { did, purpose: MailPurpose::DeleteAccount }).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
pub(super) struct DeleteInput {
    did: Did,
    password: Hidden<String>,
    token: Hidden<String>,
}

pub(super) async fn delete(context: Context, input: DeleteInput) -> Result<Empty, XrpcError> {
    let signed_in = check_password(&context, Some(Who::Did(input.did)), input.password).await?;
    let Some(sign_in) = signed_in.filter(|sign_in| sign_in.app_password.is_none()) else {
        return Err(XrpcError::unauthorized("AuthenticationRequired", "Invalid did or password"));
    };
    let did = sign_in.account.did;
    context.directory(DeleteAccount { did: did.clone(), code: Some(input.token) }).await?;
    context.carry_notices_of(&did).await?;
    Ok(Empty)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView {
    activated: bool,
    valid_did: bool,
    repo_commit: String,
    repo_rev: String,
    repo_blocks: u64,
    indexed_records: u64,
    private_state_values: u64,
    expected_blobs: u64,
    imported_blobs: u64,
}

pub(super) async fn check_status(context: Context, _: Nothing) -> Result<Json<StatusView>, XrpcError> {
    let account = &context.caller.account()?.account;
    let document = context.identities.did_document(&context.host, &account.did, true).await;
    let head = context.account(&account.did, GetHead {}).await?;
    let counts = context.account(&account.did, Counts {}).await?;
    let missing = count_missing_blobs(&context, &account.did).await?;
    let valid_did = match document {
        Ok(document) if document.pds_endpoint() == Some(&context.network.public_url) => {
            names_our_key(&context, &account.did, &document).await?
        }
        _ => false,
    };
    Ok(Json(StatusView {
        activated: account.status.is_active(),
        valid_did,
        repo_commit: head.commit,
        repo_rev: head.rev,
        repo_blocks: counts.records.saturating_add(counts.nodes).saturating_add(1),
        indexed_records: counts.records,
        private_state_values: 0,
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
        cursor = page.last().map(|last| last.cid.clone());
        if page.len() < PAGE as usize {
            return Ok(missing);
        }
    }
}
