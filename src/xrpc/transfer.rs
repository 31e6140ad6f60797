//! agent.vault.export, importAgent and what comes between: agents as archives, and on their way between hosts. That
//! archives were made says agent.vault.status (`vault`).
//!
//! Keys leave by the agent's own wish only: the operator can't make an archive. Who has one, and its passphrase, has
//! the agent, so the operator's token is enough to take it in.
//!
//! The steps and their order are `app::moving`'s.

use serde_bytes::ByteBuf;

use super::body::whole_body;
use super::endpoint::{Answer, Holds, Upload};
use super::error::Because as _;
use super::repo::{MIME_BYTES_MAX, MIME_UNKNOWN, is_mime, store};
use super::{Context, Endpoint, XrpcError};
use crate::actor::Status;
use crate::app::NewExport;
use crate::auth::{Access, AccountCaller};
use crate::blobs::AddBlob;
use crate::lexicon::Bytes;
use crate::lexicon::agent::admin::{finish_import, import_agent, import_blob, import_records};
use crate::lexicon::agent::vault;
use crate::limits::{IMPORT_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX, MANIFEST_BYTES_MAX};
use crate::moving::ImportRecords;
use crate::syntax::{AtIdentifier, CidText};

/// A manifest as base64, and what is around it.
const MANIFEST_BODY_BYTES_MAX: usize = MANIFEST_BYTES_MAX / 3 * 4 + JSON_BODY_BYTES_MAX;

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let up_to = MANIFEST_BODY_BYTES_MAX;
    vec![
        Endpoint::of::<vault::export::Export>(Access::AccountFull, export).holding(Holds::Computation),
        Endpoint::of_up_to::<import_agent::ImportAgent>(Access::Admin, up_to, import)
            .holding(Holds::Computation),
        Endpoint::upload::<import_records::ImportRecords>(Access::Admin, records)
            .reading(IMPORT_BODY_BYTES_MAX),
        Endpoint::upload::<import_blob::ImportBlob>(Access::Admin, blob).holding(Holds::Blob),
        Endpoint::of::<finish_import::FinishImport>(Access::Admin, finish),
    ]
}

async fn export(context: Context, input: vault::export::Input) -> Answer<vault::export::Export> {
    let vault::export::Input { passphrase, r#move: moving } = input;
    let AccountCaller { account, proof, .. } = context.caller.account()?;
    let (did, proof) = (account.did.clone(), proof.clone());
    let manifest = context.app.export_agent(NewExport { did, proof, passphrase, moving }).await?;
    Ok(vault::export::Output { manifest: Bytes(manifest.into_vec()) })
}

async fn import(context: Context, input: import_agent::Input) -> Answer<import_agent::ImportAgent> {
    let did = context.app.import_agent(input.manifest.0, input.passphrase).await?;
    Ok(import_agent::Output { did })
}

async fn records(
    context: Context,
    Upload { params, request }: Upload<import_records::Params>,
) -> Answer<import_records::ImportRecords> {
    let body = whole_body(request).await?;
    let records = serde_ipld_dagcbor::from_slice(&body).map_err(|error| {
        import_records::ErrorName::InvalidArchive.because(format!("not a list of records: {error}"))
    })?;
    let imported = context.account(&params.did, ImportRecords { records }).await?;
    let imported = i64::try_from(imported).map_err(XrpcError::internal)?;
    Ok(import_records::Output { imported })
}

async fn blob(
    context: Context,
    Upload { params, request }: Upload<import_blob::Params>,
) -> Answer<import_blob::ImportBlob> {
    use import_blob::ErrorName;
    let account = context.agent(AtIdentifier::Did(params.did)).await?;
    if account.status != Status::Deactivated {
        return Err(ErrorName::AccountExists.because("the account is not deactivated"));
    }
    let mime = params.mime.filter(|mime| mime.len() <= MIME_BYTES_MAX && is_mime(mime));
    let mime = mime.unwrap_or_else(|| MIME_UNKNOWN.to_owned());
    let stored = store(&context, &account.did, request).await?;
    let add = AddBlob { cid: stored.cid, mime, bytes: stored.bytes };
    context.account(&account.did, add).await?;
    let cid = CidText::try_from(stored.cid.to_string()).map_err(XrpcError::internal)?;
    let size = i64::try_from(stored.bytes).map_err(XrpcError::internal)?;
    Ok(import_blob::Output { cid, size })
}

async fn finish(context: Context, input: finish_import::Input) -> Answer<finish_import::FinishImport> {
    let (did, token) = context.app.finish_import(input.did, ByteBuf::from(input.commit.0)).await?;
    Ok(finish_import::Output { did, token })
}
