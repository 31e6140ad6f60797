//! com.atproto.admin.*: accounts as the operator sees them, and what the operator may set of them.

use serde::{Deserialize, Serialize};

use crate::directory::{
    AccountInfo, EmailChangedBy, ListAccountInfos, SearchAccounts, SendLetter, UpdateEmail,
};
use crate::seam::Hidden;
use crate::syntax::{AtIdentifier, Did, Handle, format_datetime_ms};
use crate::xrpc::endpoint::{Empty, Json, check_limit};
use crate::xrpc::server::invite::InviteView;
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountView {
    did: Did,
    handle: Handle,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    indexed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_by: Option<InviteView>,
    invites: Vec<InviteView>,
    invites_disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated_at: Option<String>,
    /// Ours, beside what the lexicon has: who lists accounts would have to ask for each.
    status: &'static str,
    /// Ours too: `agent` or `person`.
    kind: &'static str,
}

impl From<AccountInfo> for AccountView {
    fn from(info: AccountInfo) -> Self {
        Self {
            status: info.account.status.as_str(),
            kind: info.account.kind.as_str(),
            handle: info.account.shown_handle(),
            did: info.account.did,
            email: info.account.email,
            indexed_at: format_datetime_ms(info.account.created_us),
            email_confirmed_at: info.email_confirmed_us.map(format_datetime_ms),
            invited_by: info.invited_by.map(InviteView::from),
            invites: info.invites.into_iter().map(InviteView::from).collect(),
            invites_disabled: info.invites_disabled,
            deactivated_at: info.deactivated_us.map(format_datetime_ms),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct DidInput {
    pub(super) did: Did,
}

pub(super) async fn info(context: Context, params: DidInput) -> Result<Json<AccountView>, XrpcError> {
    let info = context.directory(ListAccountInfos { dids: vec![params.did] }).await?.pop();
    let info = info.ok_or_else(|| XrpcError::named("NotFound", "Account not found"))?;
    Ok(Json(info.into()))
}

#[derive(Debug, Deserialize)]
pub(super) struct DidsParams {
    dids: Vec<Did>,
}

#[derive(Debug, Serialize)]
pub(super) struct InfosView {
    infos: Vec<AccountView>,
}

pub(super) async fn infos(context: Context, params: DidsParams) -> Result<Json<InfosView>, XrpcError> {
    let infos = context.directory(ListAccountInfos { dids: params.dids }).await?;
    Ok(Json(InfosView { infos: infos.into_iter().map(AccountView::from).collect() }))
}

#[derive(Debug, Deserialize)]
pub(super) struct SearchParams {
    email: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct SearchView {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    accounts: Vec<AccountView>,
}

pub(super) async fn search(context: Context, params: SearchParams) -> Result<Json<SearchView>, XrpcError> {
    let limit = check_limit(params.limit, 50, 100)? as usize;
    let search = SearchAccounts { email: params.email, cursor: params.cursor, limit };
    let page = context.directory(search).await?;
    let accounts = page.accounts.into_iter().map(AccountView::from).collect();
    Ok(Json(SearchView { cursor: page.cursor, accounts }))
}

/// Any account, without its owner. The DID stays: it is the owner's, who may go elsewhere with it.
pub(super) async fn delete(context: Context, input: DidInput) -> Result<Empty, XrpcError> {
    context.delete_account(&input.did, None).await?;
    Ok(Empty)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendInput {
    recipient_did: Did,
    content: String,
    subject: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SentView {
    sent: bool,
}

/// Answers when the mail is sure to go, not when it went.
pub(super) async fn send_email(context: Context, input: SendInput) -> Result<Json<SentView>, XrpcError> {
    let subject = input.subject.unwrap_or_else(|| "Message via your PDS".to_owned());
    context.directory(SendLetter { did: input.recipient_did, subject, content: input.content }).await?;
    context.app.post_soon();
    Ok(Json(SentView { sent: true }))
}

#[derive(Deserialize)]
pub(super) struct EmailInput {
    account: AtIdentifier,
    email: String,
}

pub(super) async fn update_email(context: Context, input: EmailInput) -> Result<Empty, XrpcError> {
    let name = input.account.as_str();
    let missing = || XrpcError::invalid(format!("Account does not exist: {name}"));
    let did = context.find_account(&input.account).await?.ok_or_else(missing)?.did;
    context.app.require_closed_to_operator(&did).await?;
    context.directory(UpdateEmail { did, email: input.email, by: EmailChangedBy::Operator }).await?;
    context.app.post_soon();
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
pub(super) struct HandleInput {
    did: Did,
    handle: String,
}

/// Also to a name that is reserved.
pub(super) async fn update_handle(context: Context, input: HandleInput) -> Result<Empty, XrpcError> {
    let handle = Handle::try_from(input.handle.as_str())
        .map_err(|error| XrpcError::named("InvalidHandle", error.to_string()))?;
    context.app.update_handle_by_operator(&input.did, &handle).await?;
    Ok(Empty)
}

#[derive(Deserialize)]
pub(super) struct PasswordInput {
    did: Did,
    password: Hidden<String>,
}

pub(super) async fn update_password(context: Context, input: PasswordInput) -> Result<Empty, XrpcError> {
    context.app.require_closed_to_operator(&input.did).await?;
    context.app.set_password(&input.did, input.password).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SigningKeyInput {
    did: Did,
    signing_key: Did,
}

/// To the key that the account has: this mends a document, and gives no account another key.
pub(super) async fn update_signing_key(context: Context, input: SigningKeyInput) -> Result<Empty, XrpcError> {
    context.app.update_signing_key(&input.did, input.signing_key.as_str()).await?;
    Ok(Empty)
}
