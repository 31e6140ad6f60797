//! com.atproto.temp.*: what clients ask of every server and no specification has yet.

use serde::{Deserialize, Serialize};

use super::endpoint::{Empty, Json};
use super::{Context, Endpoint, XrpcError, server};
use crate::app::Error;
use crate::auth::Access;
use crate::directory::{self, CheckHandle, Placement};
use crate::mail;
use crate::syntax::{AtIdentifier, Handle};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::query("com.atproto.temp.checkHandleAvailability", Access::Public, check_handle),
        Endpoint::query("com.atproto.temp.dereferenceScope", Access::Public, dereference_scope),
        Endpoint::query("com.atproto.temp.checkSignupQueue", Access::Account, check_queue),
        Endpoint::procedure(
            "com.atproto.temp.revokeAccountCredentials",
            Access::Admin,
            revoke_account_credentials,
        ),
    ]
}

/// Handles offered in place of one that is taken, at most.
const SUGGESTIONS_MAX: usize = 3;

#[derive(Debug, Deserialize)]
struct HandleParams {
    handle: String,
    email: Option<String>,
}

#[derive(Debug, Serialize)]
struct Availability {
    handle: Handle,
    result: AvailabilityResult,
}

#[derive(Debug, Serialize)]
#[serde(tag = "$type")]
enum AvailabilityResult {
    #[serde(rename = "com.atproto.temp.checkHandleAvailability#resultAvailable")]
    Available,
    #[serde(rename = "com.atproto.temp.checkHandleAvailability#resultUnavailable")]
    Unavailable { suggestions: Vec<Suggestion> },
}

#[derive(Debug, Serialize)]
struct Suggestion {
    handle: Handle,
    method: &'static str,
}

/// Whether somebody could sign up with a handle. One that breaks a rule is an error, which says the rule; one that is taken
/// or reserved is not available.
async fn check_handle(context: Context, params: HandleParams) -> Result<Json<Availability>, XrpcError> {
    if params.email.filter(|email| !email.is_empty()).is_some_and(|email| mail::address(&email).is_none()) {
        return Err(XrpcError::named("InvalidEmail", "Invalid email"));
    }
    let handle = Handle::try_from(params.handle.trim())
        .map_err(|error| XrpcError::named("InvalidHandle", error.to_string()))?
        .normalized();
    if is_free(&context, &handle).await? {
        return Ok(Json(Availability { handle, result: AvailabilityResult::Available }));
    }
    let mut suggestions = Vec::new();
    for handle in alternatives(&context, &handle) {
        if suggestions.len() < SUGGESTIONS_MAX && is_free(&context, &handle).await.unwrap_or(false) {
            suggestions.push(Suggestion { handle, method: "numbered" });
        }
    }
    Ok(Json(Availability { handle, result: AvailabilityResult::Unavailable { suggestions } }))
}

async fn is_free(context: &Context, handle: &Handle) -> Result<bool, XrpcError> {
    use directory::Error::{HandleNotAvailable, HandleReserved};
    let check = CheckHandle { handle: handle.clone(), did: None, allow_reserved: false };
    match context.directory(check).await {
        Ok(Placement::Service) => Ok(true),
        Ok(Placement::External) => Err(Error::UnsupportedDomain.into()),
        Err(Error::Directory(HandleNotAvailable | HandleReserved(_))) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The same name with numbers behind it.
fn alternatives(context: &Context, handle: &Handle) -> Vec<Handle> {
    let Some((label, domain)) = handle.as_str().split_once('.') else { return Vec::new() };
    let random: [u8; 2] = context.random();
    let numbers = [1, 2, 3, 10 + u32::from(random[0]) % 90, 100 + u32::from(random[1])];
    numbers.iter().filter_map(|number| Handle::try_from(format!("{label}{number}.{domain}")).ok()).collect()
}

#[derive(Debug, Serialize)]
struct Queue {
    activated: bool,
}

/// Nobody waits here.
async fn check_queue(_: Context, _: server::Nothing) -> Result<Json<Queue>, XrpcError> {
    Ok(Json(Queue { activated: true }))
}

#[derive(Debug, Deserialize)]
struct ScopeParams {
    scope: String,
}

/// What a reference in a token's scope stands for. Tokens of this server say what they allow themselves, so there is no
/// reference that it made; the scope's text is not a reference.
async fn dereference_scope(_: Context, params: ScopeParams) -> Result<Empty, XrpcError> {
    let why =
        format!("{:?} is no reference of this server: its tokens say in full what they allow", params.scope);
    Err(XrpcError::named("InvalidScopeReference", why))
}

#[derive(Debug, Deserialize)]
struct AccountInput {
    account: AtIdentifier,
}

async fn revoke_account_credentials(context: Context, input: AccountInput) -> Result<Empty, XrpcError> {
    let account = context.find_account(&input.account).await?;
    let account = account.ok_or(Error::Directory(directory::Error::AccountNotFound))?;
    context.app.revoke_credentials(&account.did).await?;
    Ok(Empty)
}
