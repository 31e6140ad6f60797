//! The did:plc directory, as this network uses it: operations made here, signed by the directory cell, submitted.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode, header};
use serde_bytes::ByteBuf;

use super::{App, Error};
use crate::crypto::SigningKey;
use crate::directory::{GetRotationKey, SignPlcOperation};
use crate::host::ToOperatorsOrigin;
use crate::identity::{AtprotoData, Operation, PlcOperation, PlcTombstone, SeenLog, validate_log};
use crate::moving::SignMove;
use crate::syntax::{Did, Handle};

/// The signed first operation of a new account. The operation's hash is the DID.
pub(crate) async fn genesis(
    app: &App,
    handle: &Handle,
    signing_key: &SigningKey,
    recovery_key: Option<String>,
) -> Result<Operation, Error> {
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
pub(crate) async fn set_handle(app: &App, did: &Did, handle: &Handle) -> Result<(), Error> {
    let last = last_operation(app, did).await?;
    let mut next = last.successor()?;
    next.set_handle(handle);
    if last.state().is_some_and(|now| now.also_known_as == next.also_known_as) {
        return Ok(());
    }
    let signed = sign(app, Operation::Plc(next)).await?;
    submit(app, did, &signed).await
}

/// Makes the DID's document name this key for the repo. Nothing happens when it does already.
pub(super) async fn set_signing_key(app: &App, did: &Did, signing_key: &str) -> Result<(), Error> {
    let last = last_operation(app, did).await?;
    let mut next = last.successor()?;
    next.set_signing_key(signing_key);
    if last.state().is_some_and(|now| now.verification_methods == next.verification_methods) {
        return Ok(());
    }
    let signed = sign(app, Operation::Plc(next)).await?;
    submit(app, did, &signed).await
}

/// Ends the DID. Nothing happens when it has ended already, is another network's by now, or is unknown.
pub(super) async fn tombstone(app: &App, did: &Did) -> Result<(), Error> {
    let last = match last_operation(app, did).await {
        Err(Error::Refused(_)) => return Ok(()),
        last => last?,
    };
    let Some(state) = last.state() else { return Ok(()) };
    if !state.rotation_keys.contains(&app.directory(GetRotationKey {}).await?) {
        tracing::info!(%did, "the DID has moved away and stays");
        return Ok(());
    }
    let signed = sign(app, last.tombstone()?).await?;
    submit(app, did, &signed).await
}

/// Submits an operation. Submitting the same one again is fine: the directory has it. Its word alone does not count: a
/// page that a gateway serves in its place says 200 too, so that it is looked up.
///
/// # Errors
/// [`Error::Refused`] by the directory; [`Error::Unsettled`] when it is not known whether it has the operation.
pub(super) async fn submit(app: &App, did: &Did, operation: &Operation) -> Result<(), Error> {
    let body = Bytes::from(operation.to_json()?);
    let submitted = exchange(app, Method::POST, &format!("/{did}"), body).await;
    app.identities.forget(did);
    let last = last_operation(app, did).await;
    if last.as_ref().is_ok_and(|last| last == operation) {
        return Ok(());
    }
    let is_first = |last: &Operation| {
        operation.prev().is_none_or(|prev| last.cid().is_ok_and(|cid| cid.to_string() == prev))
    };
    match (submitted, last) {
        // Refused where it stands: what it follows is the last, or it is a first one.
        (Ok((status, body)), last)
            if is_refusal(status, &body) && last.as_ref().map_or(operation.prev().is_none(), is_first) =>
        {
            tracing::warn!(%did, %status, answer = %excerpt(&body), "the PLC directory refused an operation");
            Err(Error::Refused("the PLC directory refused the operation".to_owned()))
        }
        // What got no answer may still arrive, and where another operation came between, this one is made anew.
        _ => Err(Error::unanswered()),
    }
}

/// Checks that this network may change the DID's document.
pub(super) async fn require_ours(app: &App, did: &Did) -> Result<(), Error> {
    let ours = app.directory(GetRotationKey {}).await?;
    let state = last_operation(app, did).await?.state();
    match state.is_some_and(|state| state.rotation_keys.contains(&ours)) {
        true => Ok(()),
        false => Err(not_movable("the agent's DID document is not this network's to change")),
    }
}

/// Lets a move key change the document. The key ranks directly above this network's key, which so can't undo what it
/// signs, and below keys of the owner's. Nothing happens when it is there already.
pub(super) async fn admit(app: &App, did: &Did, move_key: &str) -> Result<(), Error> {
    let mut next = last_operation(app, did).await?.successor()?;
    if next.rotation_keys.iter().any(|key| key == move_key) {
        return Ok(());
    }
    let ours = app.directory(GetRotationKey {}).await?;
    let place = next.rotation_keys.iter().position(|key| *key == ours);
    let place = place.ok_or_else(|| not_movable("the DID document is not this network's to change"))?;
    next.rotation_keys.insert(place, move_key.to_owned());
    let signed = sign(app, Operation::Plc(next)).await?;
    submit(app, did, &signed).await
}

/// Takes a key out of the document, a move key or an owner's. Nothing happens when it is not there.
pub(super) async fn expel(app: &App, did: &Did, key: &str) -> Result<(), Error> {
    let mut next = last_operation(app, did).await?.successor()?;
    let before = next.rotation_keys.len();
    next.rotation_keys.retain(|other| other != key);
    if next.rotation_keys.len() == before {
        return Ok(());
    }
    let signed = sign(app, Operation::Plc(next)).await?;
    submit(app, did, &signed).await
}

/// Whether an agent may live here, by its DID, and by which name.
pub(super) struct Standing {
    /// Whether the document names another server still, and can be made to name this one: the move key has the power.
    pub(super) is_movable: bool,
    /// The handle that the document names.
    pub(super) handle: Option<Handle>,
}

/// Finds out where a DID stands. `signing_key` is a did:key, and so is `move_key`.
///
/// # Errors
/// `NotMovable` when the agent has to stay elsewhere; `InvalidArchive` when its repo is signed with another key now.
pub(super) async fn standing(
    app: &App,
    did: &Did,
    signing_key: &str,
    move_key: Option<&str>,
) -> Result<Standing, Error> {
    if did.method() == "plc" {
        let state = last_operation(app, did).await?.state();
        let state = state.ok_or_else(|| not_movable("the DID was ended"))?;
        if move_key.is_some_and(|move_key| state.rotation_keys.iter().any(|key| key == move_key)) {
            let handle = state.also_known_as.iter().find_map(|name| name.strip_prefix("at://")?.parse().ok());
            return Ok(Standing { is_movable: true, handle });
        }
    }
    let document = app.identities.did_document(&app.host, did, true).await?;
    if document.pds_endpoint() != Some(&app.network.public_url) {
        return Err(not_movable(
            "the DID document names another server, and this archive has no key to change that: export the agent \
             anew with --move from where it lives",
        ));
    }
    if document.signing_key().is_none_or(|key| key.did_key() != signing_key) {
        return Err(Error::InvalidArchive("the DID document names another signing key by now".to_owned()));
    }
    Ok(Standing { is_movable: false, handle: document.handle() })
}

/// Whether a key has power over a did:plc now; none has over one that the directory does not know.
pub(super) async fn has_rotation_key(app: &App, did: &Did, did_key: &str) -> Result<bool, Error> {
    let last = match last_operation(app, did).await {
        Err(Error::Refused(_)) => return Ok(false),
        last => last?,
    };
    Ok(last.state().is_some_and(|state| state.rotation_keys.iter().any(|key| key == did_key)))
}

/// The keys that can change a DID's document, the most powerful first.
pub(super) async fn rotation_keys(app: &App, did: &Did) -> Result<Vec<String>, Error> {
    Ok(last_operation(app, did).await?.state().map(|state| state.rotation_keys).unwrap_or_default())
}

/// Puts a key above all others. Nothing happens when it is there already.
pub(super) async fn add_rotation_key(app: &App, did: &Did, key: String) -> Result<(), Error> {
    let mut next = last_operation(app, did).await?.successor()?;
    if next.rotation_keys.contains(&key) {
        return Ok(());
    }
    next.rotation_keys.insert(0, key);
    let signed = sign(app, Operation::Plc(next)).await?;
    submit(app, did, &signed).await
}

/// Makes the document name this server, by the power of the move key, which has none from then on; nor has the network
/// that let it in, whose key comes behind it.
pub(super) async fn take_over(app: &App, did: &Did, signing_key: &str, move_key: &str) -> Result<(), Error> {
    let mut next = last_operation(app, did).await?.successor()?;
    let ours = app.directory(GetRotationKey {}).await?;
    let place = next.rotation_keys.iter().position(|key| key == move_key);
    let place = place.ok_or_else(|| not_movable("the move key has no power any more"))?;
    let above = next.rotation_keys.iter().take(place).cloned();
    let below = next.rotation_keys.iter().skip(place + 2).cloned();
    let mut keys: Vec<String> = Vec::new();
    for key in above.chain([ours]).chain(below) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    next.rotation_keys = keys;
    next.set_pds_endpoint(&app.network.public_url);
    next.set_signing_key(signing_key);
    let operation = Operation::Plc(next);
    let unsigned = ByteBuf::from(operation.to_cbor()?);
    let signature = app.account(did, SignMove { unsigned }).await?;
    submit(app, did, &signed(operation, &signature)?).await
}

fn not_movable(why: &'static str) -> Error {
    Error::NotMovable(why.to_owned())
}

/// The last operation of a DID. Its whole log is read and checked: what follows it is signed, and must not be made to
/// follow an operation of somebody else, nor one that others have followed since.
async fn last_operation(app: &App, did: &Did) -> Result<Operation, Error> {
    let (status, body) = exchange(app, Method::GET, &format!("/{did}/log"), Bytes::new()).await?;
    if status == StatusCode::NOT_FOUND && is_its_word(&body) {
        return Err(Error::Refused("the PLC directory does not know the DID".to_owned()));
    }
    if !status.is_success() {
        return Err(Error::Upstream(format!("the PLC directory answered {status}")));
    }
    let wrong = || Error::Upstream("the PLC directory's log of the DID is not right".to_owned());
    let log: Vec<Operation> = serde_json::from_slice(&body).map_err(|_| wrong())?;
    let last = validate_log(did, &log).map_err(|_| wrong())?;
    let seen = SeenLog::of(&log).map_err(|_| wrong())?;
    if !app.identities.goes_on(did, seen, app.host.now_us()) {
        tracing::warn!(%did, "the PLC directory gives a log that is older than what it gave before");
        return Err(Error::Upstream("the PLC directory's log of the DID is older than before".to_owned()));
    }
    Ok(last.clone())
}

/// Whether an answer is about what was asked, and not about how the directory fares or who may reach it.
fn is_refusal(status: StatusCode, body: &[u8]) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS && is_its_word(body)
}

/// Whether an error is the directory's own, and not a page of something in front of it.
fn is_its_word(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|error| error.get("message").is_some_and(serde_json::Value::is_string))
}

async fn exchange(app: &App, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), Error> {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", app.network.plc_url))
        .header(header::CONTENT_TYPE, "application/json")
        .extension(ToOperatorsOrigin)
        .body(body)
        .map_err(|error| Error::Internal(error.to_string()))?;
    let response = app.host.fetch(request).await.map_err(|error| {
        tracing::warn!(%error, "the PLC directory could not be reached");
        Error::Upstream("the PLC directory could not be reached".to_owned())
    })?;
    Ok((response.status(), response.into_body()))
}

async fn sign(app: &App, operation: Operation) -> Result<Operation, Error> {
    let unsigned = ByteBuf::from(operation.to_cbor()?);
    signed(operation, &app.directory(SignPlcOperation { unsigned }).await?)
}

fn signed(operation: Operation, signature: &[u8]) -> Result<Operation, Error> {
    let sig = BASE64URL_NOPAD.encode(signature);
    Ok(match operation {
        Operation::Plc(operation) => Operation::Plc(PlcOperation { sig, ..operation }),
        Operation::Tombstone(tombstone) => Operation::Tombstone(PlcTombstone { sig, ..tombstone }),
        Operation::Create(_) => {
            return Err(Error::Internal("operations of this form are not made any more".to_owned()));
        }
    })
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}
