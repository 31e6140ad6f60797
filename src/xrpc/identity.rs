//! com.atproto.identity.*: handles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::endpoint::{Empty, Json};
use super::{Context, Endpoint, XrpcError, server};
use crate::account::GetSigningKey;
use crate::auth::Access;
use crate::directory::GetRotationKey;
use crate::identity::{AtprotoData, PlcOperation, PlcService};
use crate::syntax::{AtIdentifier, Did, Handle};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::query("com.atproto.identity.resolveHandle", Access::Public, resolve_handle),
        Endpoint::procedure("com.atproto.identity.updateHandle", Access::AccountFull, update_handle),
        Endpoint::query(
            "com.atproto.identity.getRecommendedDidCredentials",
            Access::AccountFull,
            recommended_credentials,
        ),
    ]
}

/// A handle as it comes, so that what is wrong with it gets its own error's name.
#[derive(Debug, Deserialize)]
struct HandleInput {
    handle: String,
}

#[derive(Debug, Serialize)]
struct DidView {
    did: Did,
}

async fn resolve_handle(context: Context, params: HandleInput) -> Result<Json<DidView>, XrpcError> {
    let handle = Handle::try_from(params.handle.as_str())
        .map_err(|error| XrpcError::invalid(format!("Error: handle must be a valid handle: {error}")))?
        .normalized();
    let not_found = || XrpcError::named("HandleNotFound", "Unable to resolve handle");
    if let Some(account) = context.find_account(&AtIdentifier::Handle(handle.clone())).await? {
        // As `/.well-known/atproto-did` says it.
        return if account.status.is_active() {
            Ok(Json(DidView { did: account.did }))
        } else {
            Err(not_found())
        };
    }
    // Nobody else answers for the service's own domains.
    if context.network.handle_domains.iter().any(|domain| handle.as_str().ends_with(domain.as_str())) {
        return Err(not_found());
    }
    let did = context.identities.did_of_handle(&context.host, &handle, false).await;
    Ok(Json(DidView { did: did.map_err(|_| not_found())? }))
}

/// What a did:plc document should say of an account of this server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CredentialsView {
    rotation_keys: Vec<String>,
    also_known_as: Vec<String>,
    verification_methods: BTreeMap<String, String>,
    services: BTreeMap<String, PlcService>,
}

async fn recommended_credentials(
    context: Context,
    _: server::Nothing,
) -> Result<Json<CredentialsView>, XrpcError> {
    let account = &context.caller.account()?.account;
    let signing_key = context.account(&account.did, GetSigningKey {}).await?;
    let rotation_keys = vec![context.directory(GetRotationKey {}).await?];
    let wanted = PlcOperation::genesis(&AtprotoData {
        signing_key: &signing_key,
        rotation_keys: &rotation_keys,
        handle: &account.handle,
        pds_endpoint: &context.network.public_url,
    });
    Ok(Json(CredentialsView {
        rotation_keys: wanted.rotation_keys,
        also_known_as: wanted.also_known_as,
        verification_methods: wanted.verification_methods,
        services: wanted.services,
    }))
}

async fn update_handle(context: Context, input: HandleInput) -> Result<Empty, XrpcError> {
    let handle = Handle::try_from(input.handle.as_str())
        .map_err(|error| XrpcError::named("InvalidHandle", error.to_string()))?;
    context.app.update_handle(context.caller.did()?, &handle).await?;
    Ok(Empty)
}
