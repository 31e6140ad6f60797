//! Invite codes.

use serde::{Deserialize, Serialize};

use crate::directory::{AccountInviteCodes, CreateInviteCodes, InviteCode, ListInviteCodes};
use crate::syntax::{Did, format_datetime_ms};
use crate::xrpc::endpoint::Json;
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateOne {
    use_count: i64,
    for_account: Option<Did>,
}

#[derive(Debug, Serialize)]
pub(super) struct CodeView {
    code: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    #[serde(default = "one")]
    code_count: usize,
    use_count: i64,
    #[serde(default)]
    for_accounts: Vec<Did>,
}

#[derive(Debug, Serialize)]
pub(super) struct CodesView {
    codes: Vec<AccountInviteCodes>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListParams {
    #[serde(default = "yes")]
    include_used: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct InvitesView {
    codes: Vec<InviteView>,
}

/// An invite code with its history.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::xrpc) struct InviteView {
    code: String,
    available: i64,
    disabled: bool,
    for_account: String,
    created_by: String,
    created_at: String,
    uses: Vec<UseView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UseView {
    used_by: String,
    used_at: String,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl From<InviteCode> for InviteView {
    fn from(code: InviteCode) -> Self {
        let uses = code.uses.into_iter();
        Self {
            code: code.code,
            available: code.available,
            disabled: code.disabled,
            for_account: code.for_account,
            created_by: code.created_by,
            created_at: format_datetime_ms(code.created_us),
            uses: uses
                .map(|used| UseView { used_by: used.used_by, used_at: format_datetime_ms(used.used_us) })
                .collect(),
        }
    }
}

pub(super) async fn create_one(context: Context, input: CreateOne) -> Result<Json<CodeView>, XrpcError> {
    let for_accounts = input.for_account.into_iter().collect();
    let make = CreateInviteCodes { count: 1, uses: input.use_count, for_accounts };
    let made = context.directory(make).await?;
    let code = made.into_iter().flat_map(|made| made.codes).next();
    Ok(Json(CodeView { code: code.ok_or_else(|| XrpcError::internal("no invite code was made"))? }))
}

pub(super) async fn create(context: Context, input: Create) -> Result<Json<CodesView>, XrpcError> {
    let make = CreateInviteCodes {
        count: input.code_count,
        uses: input.use_count,
        for_accounts: input.for_accounts,
    };
    Ok(Json(CodesView { codes: context.directory(make).await? }))
}

pub(super) async fn list(context: Context, params: ListParams) -> Result<Json<InvitesView>, XrpcError> {
    let did = context.caller.did()?.clone();
    let codes = context.directory(ListInviteCodes { did, include_used: params.include_used }).await?;
    Ok(Json(InvitesView { codes: codes.into_iter().map(InviteView::from).collect() }))
}
