//! The server itself, and its tokens for other servers.

use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::account::SignServiceAuth;
use crate::auth::RpcRefused;
use crate::directory::ReserveSigningKey;
use crate::directory::limits::{SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX, SERVICE_TOKEN_SECONDS_MAX};
use crate::syntax::{Did, Nsid, validate_did};
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
    if !is_audience(&params.aud) {
        return Err(XrpcError::invalid("aud must be a DID, or a DID and a service's id"));
    }
    let lxm = params.lxm.as_ref().map(Nsid::as_str);
    caller.require_rpc(&params.aud, lxm).map_err(|why| refused(lxm.unwrap_or("*"), why))?;
    let now_seconds = context.host.now_us().div_euclid(1_000_000);
    let exp = check_expiry(params.exp, params.lxm.is_some(), now_seconds)?;
    let sign = SignServiceAuth { aud: params.aud, lxm: params.lxm, exp };
    let token = context.account(&caller.account.did, sign).await?;
    Ok(Json(ServiceAuthView { token }))
}

#[derive(Debug, Deserialize)]
pub(super) struct ReserveInput {
    did: Option<Did>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReservedView {
    signing_key: String,
}

pub(super) async fn reserve_signing_key(
    context: Context,
    input: ReserveInput,
) -> Result<Json<ReservedView>, XrpcError> {
    let signing_key = context.directory(ReserveSigningKey { did: input.did }).await?;
    Ok(Json(ReservedView { signing_key }))
}

/// Why no token is made for a method.
fn refused(lxm: &str, refused: RpcRefused) -> XrpcError {
    XrpcError::invalid(match refused {
        RpcRefused::NotGranted(missing) => return missing.into(),
        RpcRefused::Protected => {
            format!("cannot request a service auth token for the following protected method: {lxm}")
        }
        RpcRefused::Insufficient => {
            format!("insufficient access to request a service auth token for the following method: {lxm}")
        }
    })
}

/// Whether a text is a DID, or a DID and the id of one of its services.
fn is_audience(text: &str) -> bool {
    let (did, id) = text.split_once('#').unwrap_or((text, "id"));
    let is_id =
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    is_id && validate_did(did).is_ok()
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
    fn an_audience_is_a_did_or_one_of_its_services() {
        for good in ["did:web:api.test", "did:web:api.test#bsky_appview", "did:plc:abc#a-b.c"] {
            assert!(is_audience(good), "{good}");
        }
        for bad in [
            "",
            "api.test",
            "did:web:api.test#",
            "#bsky_appview",
            "did:web:api.test#a#b",
            "did:web:a.test#a b",
        ] {
            assert!(!is_audience(bad), "{bad}");
        }
    }
}
