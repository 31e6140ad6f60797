//! App passwords.

use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::directory::{
    AppPassword, AppPasswordKind, CreateAppPassword, ListAppPasswords, RevokeAppPassword,
};
use crate::syntax::format_datetime_ms;
use crate::xrpc::endpoint::{Empty, Json};
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
pub(super) struct CreateInput {
    name: String,
    #[serde(default)]
    privileged: bool,
    /// Ours: the password also opens the agent's memories.
    #[serde(default)]
    vault: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct RevokeInput {
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppPasswordView {
    name: String,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    created_at: String,
    privileged: bool,
    /// Ours; there when it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    vault: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ListOutput {
    passwords: Vec<AppPasswordView>,
}

impl From<AppPassword> for AppPasswordView {
    fn from(made: AppPassword) -> Self {
        Self {
            name: made.name,
            password: None,
            created_at: format_datetime_ms(made.created_us),
            privileged: made.kind == AppPasswordKind::Privileged,
            vault: made.kind == AppPasswordKind::Vault,
        }
    }
}

pub(super) async fn create(context: Context, input: CreateInput) -> Result<Json<AppPasswordView>, XrpcError> {
    let kind = match (input.privileged, input.vault) {
        (false, false) => AppPasswordKind::Plain,
        (true, false) => AppPasswordKind::Privileged,
        (false, true) => AppPasswordKind::Vault,
        (true, true) => {
            return Err(XrpcError::invalid("an app password is privileged or for the vault: make two"));
        }
    };
    let caller = context.caller.account()?;
    let (did, proof) = (caller.account.did.clone(), caller.proof.clone());
    let made = context.directory(CreateAppPassword { did, proof, name: input.name, kind }).await?;
    let password = Some(made.password.expose().clone());
    Ok(Json(AppPasswordView { password, ..AppPasswordView::from(made.app_password) }))
}

pub(super) async fn list(context: Context, _: Nothing) -> Result<Json<ListOutput>, XrpcError> {
    let did = context.caller.did()?.clone();
    let passwords = context.directory(ListAppPasswords { did }).await?;
    Ok(Json(ListOutput { passwords: passwords.into_iter().map(AppPasswordView::from).collect() }))
}

pub(super) async fn revoke(context: Context, input: RevokeInput) -> Result<Empty, XrpcError> {
    let did = context.caller.did()?.clone();
    context.change(&did, RevokeAppPassword { did: did.clone(), name: input.name }).await?;
    Ok(Empty)
}
