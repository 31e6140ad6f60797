//! An account's e-mail address: confirmed, changed.

use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::auth::Grant;
use crate::directory::{ConfirmEmail, EmailChangedBy, UpdateEmail, Who};
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::xrpc::endpoint::{Empty, Json};
use crate::xrpc::{Context, XrpcError};

pub(super) async fn request_confirmation(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    send_code(&context, MailPurpose::ConfirmEmail).await?;
    Ok(Empty)
}

#[derive(Deserialize)]
pub(super) struct ConfirmInput {
    email: String,
    token: Hidden<String>,
}

pub(super) async fn confirm(context: Context, input: ConfirmInput) -> Result<Empty, XrpcError> {
    let did = context.caller.did()?.clone();
    context.directory(ConfirmEmail { did, email: input.email, code: input.token }).await?;
    Ok(Empty)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateRequested {
    token_required: bool,
}

pub(super) async fn request_update(context: Context, _: Nothing) -> Result<Json<UpdateRequested>, XrpcError> {
    let token_required = send_code(&context, MailPurpose::UpdateEmail).await?;
    Ok(Json(UpdateRequested { token_required }))
}

#[derive(Deserialize)]
pub(super) struct UpdateInput {
    email: String,
    token: Option<Hidden<String>>,
}

pub(super) async fn update(context: Context, input: UpdateInput) -> Result<Empty, XrpcError> {
    let did = context.caller.did()?.clone();
    let code = input.token.filter(|token| !token.expose().is_empty());
    let by = match context.caller.account()?.grant {
        Grant::Own(_) => EmailChangedBy::Owner(code),
        Grant::App(_) => EmailChangedBy::App(code),
    };
    context.directory(UpdateEmail { did, email: input.email, by }).await?;
    context.app.post_soon();
    Ok(Empty)
}

/// Mails a code to the caller's address, if one is needed.
pub(super) async fn send_code(context: &Context, purpose: MailPurpose) -> Result<bool, XrpcError> {
    let who = Who::Did(context.caller.did()?.clone());
    Ok(context.app.send_code(who, purpose).await?)
}
