//! agent.admin.exportAgent, importAgent and what comes between: agents as archives, and on their way between hosts.
//!
//! ```text
//! old host   exportAgent    deactivate, seal the keys, let the archive's move key change the DID document
//! new host   importAgent    reserve the account, begin an empty repo with the archive's keys
//!            importRecords  importBlob
//!            finishImport   same tree, same commit, its signature; the DID document names this host; activate
//! ```
//!
//! Every step may be repeated, and until the document is changed the old host can take the agent back: by importing the
//! archive, or by activating the account.

use serde_bytes::ByteBuf;

use super::admin::find;
use super::endpoint::{Answer, Upload, read_body};
use super::error::{Because as _, Refusal};
use super::plc::{self, Standing};
use super::repo::{MIME_BYTES_MAX, MIME_UNKNOWN, is_mime, store};
use super::{App, Context, Endpoint, XrpcError};
use crate::account::{
    AddBlob, BeginImport, DropMoveKey, FinishImport, GetMoveKey, ImportRecords, SealManifest,
};
use crate::actor::{Kind, Status};
use crate::archive::{self, Kdf, Manifest};
use crate::auth::Access;
use crate::crypto::SigningKey;
use crate::directory::{self, ImportAccount, IssueAgentToken, SetStatus, StatusChange};
use crate::lexicon::Bytes;
use crate::lexicon::agent::admin::{export_agent, finish_import, import_agent, import_blob, import_records};
use crate::limits::{IMPORT_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX, MANIFEST_BYTES_MAX};
use crate::seam::Hidden;
use crate::syntax::{AtIdentifier, CidText, Did};

/// A manifest as base64, and what is around it.
const MANIFEST_BODY_BYTES_MAX: usize = MANIFEST_BYTES_MAX / 3 * 4 + JSON_BODY_BYTES_MAX;

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let up_to = MANIFEST_BODY_BYTES_MAX;
    vec![
        Endpoint::of::<export_agent::ExportAgent>(Access::Admin, export),
        Endpoint::of_up_to::<import_agent::ImportAgent>(Access::Admin, up_to, import),
        Endpoint::upload::<import_records::ImportRecords>(Access::Admin, records),
        Endpoint::upload::<import_blob::ImportBlob>(Access::Admin, blob),
        Endpoint::of::<finish_import::FinishImport>(Access::Admin, finish),
    ]
}

async fn export(context: Context, input: export_agent::Input) -> Answer<export_agent::ExportAgent> {
    use export_agent::ErrorName;
    let account = find(&context, input.agent, ErrorName::AgentNotFound).await?;
    let kdf = Kdf::new(context.random());
    let key = derive(&context, kdf.clone(), input.passphrase).await?;
    let did = account.did;
    if input.r#move {
        if did.method() != "plc" {
            return Err(ErrorName::NotMovable.because("only a did:plc is moved from here"));
        }
        plc::require_ours(&context, &did).await?;
        if account.status != Status::Deactivated {
            let change = StatusChange::Deactivate { delete_after_us: None };
            context.directory(SetStatus { did: did.clone(), change }).await?;
            context.host.forget_cached(&did, Some(&account.handle));
        }
        // Also when it was at rest before: the cell may not have heard of it.
        context.carry_notices_of(&did).await?;
    }
    let seal = SealManifest {
        handle: account.handle.into_string(),
        kind: account.kind,
        display_name: account.display_name,
        model: account.model,
        config: account.config,
        kdf,
        key,
        moving: input.r#move,
    };
    let sealed = context.account(&did, seal).await?;
    if let Some(move_key) = &sealed.move_key {
        plc::admit(&context, &did, move_key).await?;
        // Whoever woke the agent in between meant to keep it.
        if context.account(&did, GetMoveKey {}).await?.as_ref() != Some(move_key) {
            plc::expel(&context, &did, move_key).await?;
            return Err(ErrorName::NotMovable.because("the agent was activated while it was exported"));
        }
    }
    Ok(export_agent::Output { manifest: Bytes(sealed.manifest.into_vec()) })
}

async fn import(context: Context, input: import_agent::Input) -> Answer<import_agent::ImportAgent> {
    use import_agent::ErrorName;
    let manifest = Manifest::decode(&input.manifest.0)?;
    if manifest.kind != Kind::Agent {
        return Err(ErrorName::InvalidArchive.because("the archive is not of an agent"));
    }
    let key = derive(&context, manifest.kdf.clone(), input.passphrase).await?;
    // Before anything is destroyed for it: it opens, and it may live here.
    let (signing_key, move_key) = did_keys(&manifest, &key)?;
    let did = manifest.did;
    plc::standing(&context, &did, &signing_key, move_key.as_deref()).await?;
    let account = ImportAccount {
        did: did.clone(),
        handle: manifest.handle.clone(),
        kind: manifest.kind,
        display_name: manifest.display_name,
        model: manifest.model,
        config: manifest.config,
    };
    match crate::host::directory(&context.host, account).await {
        Err(directory::Error::DidNotAvailable) => {
            return Err(
                ErrorName::AccountExists.because("the DID has an account here that is not deactivated")
            );
        }
        imported => imported?,
    };
    context.host.forget_cached(&did, Some(&manifest.handle));
    // What was told of the old account reaches its cell before that goes.
    context.carry_notices_of(&did).await?;
    // With the cell goes what is known of a move that was begun from here; its archive must not keep its power.
    if let Ok(Some(other)) = context.host_account(&did, GetMoveKey {}).await
        && move_key.as_ref() != Some(&other)
    {
        plc::expel(&context, &did, &other).await?;
    }
    context.host.destroy_account(did.clone()).await?;
    context.account(&did, BeginImport { manifest: ByteBuf::from(input.manifest.0), key }).await?;
    Ok(import_agent::Output { did })
}

/// The public halves of the signing key and of the move key.
fn did_keys(
    manifest: &Manifest,
    key: &Hidden<[u8; 32]>,
) -> Result<(String, Option<String>), Refusal<import_agent::ErrorName>> {
    let secrets = manifest.open(key)?;
    let did_key = |secret: &archive::Secret| match SigningKey::from_bytes(secret.expose()) {
        Ok(key) => Ok(key.did_key()),
        Err(error) => Err(import_agent::ErrorName::InvalidArchive.because(error.to_string())),
    };
    Ok((did_key(&secrets.signing_key)?, secrets.move_key.as_ref().map(did_key).transpose()?))
}

async fn records(
    context: Context,
    Upload { params, request }: Upload<import_records::Params>,
) -> Answer<import_records::ImportRecords> {
    let body = read_body(request, IMPORT_BODY_BYTES_MAX).await?;
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
    let account = find(&context, AtIdentifier::Did(params.did), ErrorName::AgentNotFound).await?;
    if account.status != Status::Deactivated {
        return Err(ErrorName::AccountExists.because("the account is not deactivated"));
    }
    let mime = params.mime.filter(|mime| mime.len() <= MIME_BYTES_MAX && is_mime(mime));
    let mime = mime.unwrap_or_else(|| MIME_UNKNOWN.to_owned());
    let stored = store(&context, &account.did, request).await?;
    let add = AddBlob { cid: stored.cid.clone(), mime, bytes: stored.bytes };
    context.account(&account.did, add).await?;
    let cid = CidText::try_from(stored.cid).map_err(XrpcError::internal)?;
    let size = i64::try_from(stored.bytes).map_err(XrpcError::internal)?;
    Ok(import_blob::Output { cid, size })
}

async fn finish(context: Context, input: finish_import::Input) -> Answer<finish_import::FinishImport> {
    let not_found = finish_import::ErrorName::AgentNotFound;
    let account = find(&context, AtIdentifier::Did(input.did), not_found).await?;
    let did = account.did;
    let commit = ByteBuf::from(input.commit.0);
    let signing_key = context.account(&did, FinishImport { commit }).await?.signing_key;
    let move_key = context.account(&did, GetMoveKey {}).await?;
    match plc::standing(&context, &did, &signing_key, move_key.as_deref()).await? {
        Standing::Here => {}
        Standing::Movable => {
            let move_key = move_key.unwrap_or_default();
            plc::take_over(&context, &did, &signing_key, &move_key).await?;
        }
    }
    context.account(&did, DropMoveKey {}).await?;
    context.directory(SetStatus { did: did.clone(), change: StatusChange::Activate }).await?;
    context.host.forget_cached(&did, Some(&account.handle));
    context.carry_notices_of(&did).await?;
    let token = context.directory(IssueAgentToken { did: did.clone() }).await?;
    Ok(finish_import::Output { did, token })
}

/// Ends a move that did not come about: an archive that was made for it moves nothing any more. Nothing happens when
/// there is none.
pub(super) async fn cancel(app: &App, did: &Did) -> Result<(), XrpcError> {
    if let Some(move_key) = app.account(did, GetMoveKey {}).await? {
        plc::expel(app, did, &move_key).await?;
        app.account(did, DropMoveKey {}).await?;
    }
    Ok(())
}

async fn derive(
    context: &Context,
    kdf: Kdf,
    passphrase: Hidden<String>,
) -> Result<Hidden<[u8; 32]>, XrpcError> {
    Ok(context.compute(move || kdf.derive(passphrase.expose())).await??)
}
