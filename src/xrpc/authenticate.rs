//! Who calls: the `Authorization` header, with what must be asked to believe it.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::{App, XrpcError};
use crate::actor::Scope;
use crate::actor::Status;
use crate::auth::{Access, AccountCaller, Caller, Error, Presented, ServiceToken};
use crate::directory::FindAgentToken;
use crate::syntax::{AtIdentifier, Did};

/// Finds the caller of method `nsid` and checks that it may call it.
///
/// # Errors
/// What the caller is to be told: see [`crate::auth::Error`]; `AccountTakedown` for a stopped account.
pub(super) async fn authenticate(
    app: &Arc<App>,
    access: Access,
    nsid: &str,
    headers: &HeaderMap,
) -> Result<Caller, XrpcError> {
    if access == Access::Public {
        return Ok(Caller::Anonymous);
    }
    let header = match headers.get(header::AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| Error::Invalid("Malformed token"))?),
        None => None,
    };
    let now_seconds = app.host.now_us().div_euclid(1_000_000);
    let caller = match app.auth.check(header, now_seconds)? {
        Presented::Nothing => Caller::Anonymous,
        Presented::Admin => Caller::Admin,
        Presented::Refresh { did, id } => Caller::Refresh { did, id },
        Presented::Session { did, scope, generation } => {
            let caller = account(app, did, scope).await?;
            // A token rests nowhere: what ended since it was made shows in the account's count alone.
            if matches!(access, Access::Vault | Access::AccountFull)
                && caller.account()?.account.generation > generation
            {
                access.permits(&caller)?;
                return Err(Error::Expired.into());
            }
            caller
        }
        Presented::AgentToken { digest } => {
            let did = app.directory(FindAgentToken { digest }).await?;
            let did = did.ok_or(Error::Invalid("the agent's token is unknown or was revoked"))?;
            account(app, did, Scope::Access).await?
        }
        Presented::Service(token) => {
            access.takes_service_tokens()?;
            service(app, &token, nsid, now_seconds).await?
        }
    };
    access.permits(&caller)?;
    Ok(caller)
}

/// The account, if it may still act: an access token outlives what happens to its account.
async fn account(app: &App, did: Did, scope: Scope) -> Result<Caller, XrpcError> {
    let account = app.find_account(&AtIdentifier::Did(did)).await?;
    let account = account.ok_or(Error::Invalid("the token's account does not exist"))?;
    match account.status {
        Status::Takendown | Status::Suspended => {
            Err(XrpcError::unauthorized("AccountTakedown", "Account has been taken down"))
        }
        Status::Pending | Status::Deleted => Err(Error::Invalid("the token's account does not exist").into()),
        Status::Active | Status::Deactivated => Ok(Caller::Account(AccountCaller { account, scope })),
    }
}

/// Checks a service token: first what costs nothing, then with its issuer's key, and when that does not fit, once more
/// with the key as it is now.
async fn service(app: &App, token: &ServiceToken, nsid: &str, now_seconds: i64) -> Result<Caller, XrpcError> {
    app.auth.check_service_claims(token, nsid, now_seconds)?;
    for refresh in [false, true] {
        let document = app.identities.document_for_stranger(&app.host, token.issuer(), refresh).await?;
        let Some(document) = document else { break };
        let key = document.signing_key().ok_or(Error::Invalid("the issuer has no signing key"))?;
        match app.auth.check_service_signature(token, &key, now_seconds) {
            Err(Error::Invalid(_)) => {}
            checked => return Ok(checked?),
        }
    }
    Err(Error::Invalid("Token could not be verified").into())
}
