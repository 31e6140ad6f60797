//! The did:plc directory, as this network uses it: operations made here, signed by the directory cell, submitted.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode, header};
use serde_bytes::ByteBuf;

use super::{App, XrpcError};
use crate::crypto::SigningKey;
use crate::directory::{GetRotationKey, SignPlcOperation};
use crate::identity::{AtprotoData, Operation, PlcOperation, PlcTombstone};
use crate::syntax::{Did, Handle};

/// The signed first operation of a new account. Its hash is the DID.
pub(super) async fn genesis(
    app: &App,
    handle: &Handle,
    signing_key: &SigningKey,
    recovery_key: Option<String>,
) -> Result<Operation, XrpcError> {
    let mut rotation_keys: Vec<String> = recovery_key.into_iter().collect();
    rotation_keys.push(app.directory(GetRotationKey {}).await?);
    let operation = PlcOperation::genesis(&AtprotoData {
        signing_key: &signing_key.did_key(),
        rotation_keys: &rotation_keys,
        handle,
        pds_endpoint: &app.network.public_url,
    });
    sign(app, Operation::Plc(operation)).await
}

/// Makes the DID's document name this handle. Nothing happens when it does already.
pub(super) async fn set_handle(app: &App, did: &Did, handle: &Handle) -> Result<(), XrpcError> {
    let last = last_operation(app, did).await?;
    let mut next = last.successor()?;
    next.set_handle(handle);
    if last.state().is_some_and(|now| now.also_known_as == next.also_known_as) {
        return Ok(());
    }
    let signed = sign(app, Operation::Plc(next)).await?;
    submit(app, did, &signed).await
}

/// Ends the DID. Nothing happens when it has ended already.
pub(super) async fn tombstone(app: &App, did: &Did) -> Result<(), XrpcError> {
    let last = last_operation(app, did).await?;
    if matches!(last, Operation::Tombstone(_)) {
        return Ok(());
    }
    let signed = sign(app, last.tombstone()?).await?;
    submit(app, did, &signed).await
}

/// Submits an operation. Submitting the same one again is fine: the directory has it.
pub(super) async fn submit(app: &App, did: &Did, operation: &Operation) -> Result<(), XrpcError> {
    let body = Bytes::from(operation.to_json()?);
    let (status, body) = exchange(app, Method::POST, &format!("/{did}"), body).await?;
    if status.is_success() {
        app.identities.forget(did);
        return Ok(());
    }
    // A repetition is out of order to the directory, and is what it has: not an error.
    if last_operation(app, did).await.is_ok_and(|last| last == *operation) {
        return Ok(());
    }
    tracing::warn!(%did, %status, answer = %excerpt(&body), "the PLC directory refused an operation");
    Err(XrpcError::upstream("the PLC directory refused the operation"))
}

async fn last_operation(app: &App, did: &Did) -> Result<Operation, XrpcError> {
    let (status, body) = exchange(app, Method::GET, &format!("/{did}/log/last"), Bytes::new()).await?;
    if !status.is_success() {
        return Err(XrpcError::upstream(format!("the PLC directory answered {status}")));
    }
    Ok(Operation::from_json(&body)?)
}

async fn exchange(
    app: &App,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), XrpcError> {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", app.network.plc_url))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(XrpcError::internal)?;
    let response = app.host.fetch(request).await.map_err(|error| {
        tracing::warn!(%error, "the PLC directory could not be reached");
        XrpcError::upstream("the PLC directory could not be reached")
    })?;
    Ok((response.status(), response.into_body()))
}

async fn sign(app: &App, operation: Operation) -> Result<Operation, XrpcError> {
    let unsigned = ByteBuf::from(operation.to_cbor()?);
    let sig = BASE64URL_NOPAD.encode(&app.directory(SignPlcOperation { unsigned }).await?);
    Ok(match operation {
        Operation::Plc(operation) => Operation::Plc(PlcOperation { sig, ..operation }),
        Operation::Tombstone(tombstone) => Operation::Tombstone(PlcTombstone { sig, ..tombstone }),
        Operation::Create(_) => {
            return Err(XrpcError::internal("operations of this form are not made any more"));
        }
    })
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}
