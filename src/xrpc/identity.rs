//! com.atproto.identity.*: handles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::endpoint::{Empty, Json};
use super::{Context, Endpoint, XrpcError, server};
use crate::account::GetSigningKey;
use crate::app::Error;
use crate::auth::{Access, Apps};
use crate::directory::GetRotationKey;
use crate::identity::{AtprotoData, DidDocument, PlcOperation, PlcService};
use crate::oauth::Need;
use crate::oauth::scope::IdentityAttr;
use crate::syntax::{AtIdentifier, Did, Handle};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::query("com.atproto.identity.resolveHandle", Access::Public, resolve_handle),
        Endpoint::query("com.atproto.identity.resolveDid", Access::Public, resolve_did),
        Endpoint::query("com.atproto.identity.resolveIdentity", Access::Public, resolve_identity),
        Endpoint::procedure("com.atproto.identity.refreshIdentity", Access::Account, refresh_identity)
            .open_to(Apps::ByName),
        Endpoint::procedure("com.atproto.identity.updateHandle", Access::AccountFull, update_handle)
            .open_to(Apps::With(Need::Identity { attr: IdentityAttr::Handle })),
        Endpoint::query(
            "com.atproto.identity.getRecommendedDidCredentials",
            Access::AccountFull,
            recommended_credentials,
        )
        .open_to(Apps::Any),
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
    // One that led here once is asked for as any other, as everybody else does.
    let account = context.find_account(&AtIdentifier::Handle(handle.clone())).await?;
    if let Some(account) = account.filter(|account| !account.handle_fails) {
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
    match context.identities.did_for(&context.host, context.client, &handle).await {
        Ok(did) => Ok(Json(DidView { did })),
        Err(Error::Busy) => Err(Error::Busy.into()),
        Err(_) => Err(not_found()),
    }
}

#[derive(Debug, Deserialize)]
struct DidParams {
    did: Did,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentView {
    did_doc: DidDocument,
}

async fn resolve_did(context: Context, params: DidParams) -> Result<Json<DocumentView>, XrpcError> {
    let document = context.find_document(context.client, &params.did, false).await?;
    Ok(Json(DocumentView { did_doc: DidDocument::clone(&document) }))
}

#[derive(Debug, Deserialize)]
struct IdentifierInput {
    identifier: AtIdentifier,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityView {
    did: Did,
    handle: Handle,
    did_doc: DidDocument,
}

async fn resolve_identity(
    context: Context,
    params: IdentifierInput,
) -> Result<Json<IdentityView>, XrpcError> {
    identity_view(&context, &params.identifier, false).await
}

/// For an account of this network only: everybody is asked again for it.
async fn refresh_identity(context: Context, input: IdentifierInput) -> Result<Json<IdentityView>, XrpcError> {
    identity_view(&context, &input.identifier, true).await
}

async fn identity_view(
    context: &Context,
    identifier: &AtIdentifier,
    fresh: bool,
) -> Result<Json<IdentityView>, XrpcError> {
    let found = context.find_identity(context.client, identifier, fresh).await?;
    let did_doc = DidDocument::clone(&found.document);
    Ok(Json(IdentityView { did: found.did, handle: found.handle, did_doc }))
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
    let _turn = context.identities.turn(context.client)?;
    context.app.update_handle(context.caller.did()?, &handle).await?;
    Ok(Empty)
}
