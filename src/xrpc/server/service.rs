//! The server itself, and its tokens for other servers.

use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::account::SignServiceAuth;
use crate::actor::Scope;
use crate::auth::{is_privileged, is_protected};
use crate::directory::limits::{SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX, SERVICE_TOKEN_SECONDS_MAX};
use crate::syntax::{Nsid, validate_did};
use crate::xrpc::endpoint::Json;
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerView {
    did: String,
    available_user_domains: Vec<String>,
    invite_code_required: bool,
    blob_upload_limit: u64,
    links: Nowhere,
    contact: Nowhere,
}

/// An object that says nothing; some clients want it to be there.
#[derive(Debug, Serialize)]
struct Nowhere {}

pub(super) async fn describe(context: Context, _: Nothing) -> Result<Json<ServerView>, XrpcError> {
    Ok(Json(ServerView {
        did: context.network.service_did.clone(),
        available_user_domains: context.network.handle_domains.clone(),
        invite_code_required: context.network.invite_required,
        blob_upload_limit: context.blob_bytes_max,
        links: Nowhere {},
        contact: Nowhere {},
    }))
}

#[derive(Debug, Deserialize)]
pub(super) struct ServiceAuthParams {
    aud: String,
    exp: Option<i64>,
    lxm: Option<Nsid>,
}

#[derive(Debug, Serialize)]
pub(super) struct ServiceAuthView {
    token: String,
}

pub(super) async fn get_service_auth(
    context: Context,
    params: ServiceAuthParams,
) -> Result<Json<ServiceAuthView>, XrpcError> {
    let caller = context.caller.account()?;
    let (did, fragment) = params.aud.split_once('#').unwrap_or((&params.aud, "service"));
    if validate_did(did).is_err() || fragment.is_empty() {
        return Err(XrpcError::invalid("aud must be a DID, or a DID and a service's id"));
    }
    if let Some(lxm) = &params.lxm {
        check_method(lxm.as_str(), caller.scope)?;
    }
    let now_seconds = context.host.now_us().div_euclid(1_000_000);
    let exp = check_expiry(params.exp, params.lxm.is_some(), now_seconds)?;
    let sign = SignServiceAuth { aud: params.aud, lxm: params.lxm, exp };
    let token = context.account(&caller.account.did, sign).await?;
    Ok(Json(ServiceAuthView { token }))
}

fn check_method(lxm: &str, scope: Scope) -> Result<(), XrpcError> {
    if is_protected(lxm) {
        return Err(XrpcError::invalid(format!(
            "cannot request a service auth token for the following protected method: {lxm}"
        )));
    }
    let plain = match scope {
        Scope::AppPass | Scope::Refresh => true,
        Scope::AppPassPrivileged => lxm.starts_with("agent."),
        Scope::AppPassVault => !lxm.starts_with("agent."),
        Scope::Access => false,
    };
    if plain && is_privileged(lxm) {
        return Err(XrpcError::invalid(format!(
            "insufficient access to request a service auth token for the following method: {lxm}"
        )));
    }
    Ok(())
}

/// When the token is to end, in seconds: a minute from now unless asked otherwise.
fn check_expiry(exp: Option<i64>, has_method: bool, now_seconds: i64) -> Result<i64, XrpcError> {
    let bad = |message| Err(XrpcError::named("BadExpiration", message));
    let Some(exp) = exp else {
        return Ok(now_seconds.saturating_add(SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX));
    };
    match exp.saturating_sub(now_seconds) {
        ..0 => bad("expiration is in past"),
        left if left > SERVICE_TOKEN_SECONDS_MAX => {
            bad("cannot request a token with an expiration more than an hour in the future")
        }
        left if !has_method && left > SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX => {
            bad("cannot request a method-less token with an expiration more than a minute in the future")
        }
        _ => Ok(exp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_tokens_end_soon() {
        let name = |exp, has_method| {
            check_expiry(Some(exp), has_method, 1000).map_err(|error| error.name.into_owned())
        };
        assert_eq!(check_expiry(None, false, 1000), Ok(1060));
        assert_eq!(name(1060, false), Ok(1060));
        assert_eq!(name(4600, true), Ok(4600));
        for (exp, has_method) in
            [(999, true), (4601, true), (1061, false), (i64::MAX, true), (i64::MIN, true)]
        {
            assert_eq!(name(exp, has_method), Err("BadExpiration".to_owned()), "{exp}");
        }
    }

    #[test]
    fn app_passwords_get_no_service_token_beyond_their_own_reach() {
        let permitted = |lxm, scope| check_method(lxm, scope).is_ok();
        let table = [
            // method, own session, plain, privileged, vault
            ("app.bsky.feed.getTimeline", [true, true, true, true]),
            ("chat.bsky.convo.getLog", [true, false, true, false]),
            ("com.atproto.server.createAccount", [true, false, true, false]),
            ("agent.comms.deliver", [true, false, false, true]),
            ("com.atproto.server.createAppPassword", [false, false, false, false]),
        ];
        let scopes = [Scope::Access, Scope::AppPass, Scope::AppPassPrivileged, Scope::AppPassVault];
        for (lxm, row) in table {
            for (scope, expected) in scopes.into_iter().zip(row) {
                assert_eq!(permitted(lxm, scope), expected, "{lxm} {scope:?}");
            }
        }
    }
}
