//! agent.admin.exportAgent, importAgent and what comes between: agents as archives, and on their way between hosts.
//!
//! The steps and their order are `app::moving`'s.

use axum::extract::Request;
use axum::response::Response;
use http::Method;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::endpoint::{IntoOutput as _, Json, parse_params, read_body};
use super::repo::{MIME_BYTES_MAX, MIME_UNKNOWN, is_mime, store};
use super::{Context, Endpoint, XrpcError};
use crate::actor::Status;
use crate::app::NewExport;
use crate::auth::Access;
use crate::blobs::AddBlob;
use crate::lexicon::Bytes;
use crate::lexicon::agent::admin::{export_agent, finish_import, import_agent, import_blob, import_records};
use crate::limits::{IMPORT_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX, MANIFEST_BYTES_MAX};
use crate::moving::ImportRecords;
use crate::seam::Hidden;
use crate::syntax::{AtIdentifier, CidText};

/// A manifest as base64, and what is around it.
const MANIFEST_BODY_BYTES_MAX: usize = MANIFEST_BYTES_MAX / 3 * 4 + JSON_BODY_BYTES_MAX;

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let up_to = MANIFEST_BODY_BYTES_MAX;
    vec![
        Endpoint::procedure(export_agent::NSID, Access::Admin, export),
        Endpoint::procedure_up_to(import_agent::NSID, Access::Admin, up_to, import),
        Endpoint::raw(import_records::NSID, Method::POST, Access::Admin, records),
        Endpoint::raw(import_blob::NSID, Method::POST, Access::Admin, blob),
        Endpoint::procedure(finish_import::NSID, Access::Admin, finish),
    ]
}

/// [`export_agent::Input`], the passphrase hidden.
#[derive(Deserialize)]
struct ExportInput {
    agent: AtIdentifier,
    passphrase: Hidden<String>,
    #[serde(default, rename = "move")]
    moving: bool,
}

async fn export(context: Context, input: ExportInput) -> Result<Json<export_agent::Output>, XrpcError> {
    let ExportInput { agent, passphrase, moving } = input;
    let manifest = context.app.export_agent(NewExport { agent, passphrase, moving }).await?;
    Ok(Json(export_agent::Output { manifest: Bytes(manifest.into_vec()) }))
}

/// [`import_agent::Input`], the passphrase hidden.
#[derive(Deserialize)]
struct ImportInput {
    manifest: Bytes,
    passphrase: Hidden<String>,
}

async fn import(context: Context, input: ImportInput) -> Result<Json<import_agent::Output>, XrpcError> {
    let did = context.app.import_agent(input.manifest.0, input.passphrase).await?;
    Ok(Json(import_agent::Output { did }))
}

async fn records(context: Context, request: Request) -> Result<Response, XrpcError> {
    let params: import_records::Params = parse_params(request.uri().query().unwrap_or_default())?;
    let body = read_body(request, IMPORT_BODY_BYTES_MAX).await?;
    let records = serde_ipld_dagcbor::from_slice(&body)
        .map_err(|error| XrpcError::named("InvalidArchive", format!("not a list of records: {error}")))?;
    let imported = context.account(&params.did, ImportRecords { records }).await?;
    let imported = i64::try_from(imported).map_err(XrpcError::internal)?;
    Json(import_records::Output { imported }).into_output()
}

async fn blob(context: Context, request: Request) -> Result<Response, XrpcError> {
    let params: import_blob::Params = parse_params(request.uri().query().unwrap_or_default())?;
    let account = context.agent(AtIdentifier::Did(params.did)).await?;
    if account.status != Status::Deactivated {
        return Err(XrpcError::named("AccountExists", "the account is not deactivated"));
    }
    let mime = params.mime.filter(|mime| mime.len() <= MIME_BYTES_MAX && is_mime(mime));
    let mime = mime.unwrap_or_else(|| MIME_UNKNOWN.to_owned());
    let stored = store(&context, &account.did, request).await?;
    let add = AddBlob { cid: stored.cid, mime, bytes: stored.bytes };
    context.account(&account.did, add).await?;
    let cid = CidText::try_from(stored.cid.to_string()).map_err(XrpcError::internal)?;
    let size = i64::try_from(stored.bytes).map_err(XrpcError::internal)?;
    Json(import_blob::Output { cid, size }).into_output()
}

async fn finish(
    context: Context,
    input: finish_import::Input,
) -> Result<Json<finish_import::Output>, XrpcError> {
    let (did, token) = context.app.finish_import(input.did, ByteBuf::from(input.commit.0)).await?;
    Ok(Json(finish_import::Output { did, token: token.expose().clone() }))
}
