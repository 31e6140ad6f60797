//! Signing in, staying in, signing out.

use serde::Deserialize;

use super::{Nothing, SessionView};
use crate::auth::Caller;
use crate::directory::{
    self, CloseSession, GetAccount, Given, Half, OpenSession, PassFactor, RotateSession, Who,
};
use crate::oauth::Need;
use crate::oauth::scope::{AccountAction, AccountAttr};
use crate::seam::Hidden;
use crate::xrpc::endpoint::{Empty, Json};
use crate::xrpc::{Context, XrpcError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateSession {
    identifier: String,
    password: Hidden<String>,
    auth_factor_token: Option<Hidden<String>>,
    #[serde(default)]
    allow_takendown: Option<bool>,
}

pub(super) async fn create(context: Context, input: CreateSession) -> Result<Json<SessionView>, XrpcError> {
    let wrong = || XrpcError::unauthorized("AuthenticationRequired", "Invalid identifier or password");
    let who = Who::parse(input.identifier.trim());
    let allow_takendown = input.allow_takendown.unwrap_or(false);
    let client = context.client_text();
    let sign_in = context.check_password(who, client.clone(), input.password).await?.ok_or_else(wrong)?;
    let did = sign_in.account.did;
    let proof = match input.auth_factor_token.filter(|code| !code.expose().is_empty()) {
        Some(code) => {
            let half = Half::Now { did: did.clone(), proof: sign_in.proof };
            let passed = context.directory(PassFactor { half, given: Given::Code(code) }).await?;
            passed.ok_or(directory::Error::InvalidFactor)?.proof
        }
        None => sign_in.proof,
    };
    let open = OpenSession { did, proof, client, device: context.device(), allow_takendown };
    let session = context.directory(open).await?;
    Ok(Json(SessionView::of_session(&context, session).await?))
}

pub(super) async fn get(context: Context, _: Nothing) -> Result<Json<SessionView>, XrpcError> {
    let who = Who::Did(context.caller.did()?.clone());
    let account = context.directory(GetAccount { who }).await?;
    let account = account.ok_or_else(|| XrpcError::named("AccountNotFound", "account not found"))?;
    let sees_email = Need::Account { attr: AccountAttr::Email, action: AccountAction::Read };
    let sees_email = context.caller.account()?.may(&sees_email);
    let view = SessionView::of_account(&context, account).await;
    Ok(Json(if sees_email { view } else { view.without_email() }))
}

pub(super) async fn refresh(context: Context, _: Nothing) -> Result<Json<SessionView>, XrpcError> {
    let id = refresh_token_id(&context)?;
    let session = context.directory(RotateSession { id }).await?;
    Ok(Json(SessionView::of_session(&context, session).await?))
}

pub(super) async fn delete(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    let id = refresh_token_id(&context)?;
    context.change_whose(CloseSession { id }, Option::clone).await?;
    Ok(Empty)
}

fn refresh_token_id(context: &Context) -> Result<String, XrpcError> {
    match &context.caller {
        Caller::Refresh { id, .. } => Ok(id.clone()),
        _ => Err(crate::auth::Error::Missing.into()),
    }
}
