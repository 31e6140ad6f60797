//! com.atproto.admin.*: all invite codes, and who may have more.

use serde::{Deserialize, Serialize};

use crate::directory::{DisableInviteCodes, InviteSort, PageInviteCodes, SetInvitesDisabled};
use crate::syntax::Did;
use crate::xrpc::endpoint::{Empty, Json, check_limit};
use crate::xrpc::server::invite::InviteView;
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
pub(super) struct PageParams {
    sort: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct PageView {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    codes: Vec<InviteView>,
}

pub(super) async fn page(context: Context, params: PageParams) -> Result<Json<PageView>, XrpcError> {
    let sort = match params.sort.as_deref() {
        None | Some("recent") => InviteSort::Recent,
        Some("usage") => InviteSort::Usage,
        Some(other) => return Err(XrpcError::invalid(format!("unknown sort method: {other}"))),
    };
    let limit = check_limit(params.limit, 100, 500)? as usize;
    let page = context.directory(PageInviteCodes { sort, cursor: params.cursor, limit }).await?;
    let codes = page.codes.into_iter().map(InviteView::from).collect();
    Ok(Json(PageView { cursor: page.cursor, codes }))
}

#[derive(Debug, Deserialize)]
pub(super) struct AccountInput {
    account: Did,
}

pub(super) async fn enable(context: Context, input: AccountInput) -> Result<Empty, XrpcError> {
    context.directory(SetInvitesDisabled { did: input.account, disabled: false }).await?;
    Ok(Empty)
}

pub(super) async fn disable(context: Context, input: AccountInput) -> Result<Empty, XrpcError> {
    context.directory(SetInvitesDisabled { did: input.account, disabled: true }).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
pub(super) struct CodesInput {
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    accounts: Vec<String>,
}

pub(super) async fn disable_codes(context: Context, input: CodesInput) -> Result<Empty, XrpcError> {
    if input.accounts.iter().any(|account| account == "admin") {
        return Err(XrpcError::invalid("cannot disable admin invite codes"));
    }
    let accounts = input.accounts.into_iter().map(Did::try_from).collect::<Result<_, _>>();
    let accounts = accounts.map_err(|error| XrpcError::invalid(error.to_string()))?;
    context.directory(DisableInviteCodes { codes: input.codes, accounts }).await?;
    Ok(Empty)
}
