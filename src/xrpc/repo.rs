//! com.atproto.repo.*: records and blobs of the accounts here.
//!
//! Writing is for the account itself; its repo may be named by handle or DID. Reading is for everyone.

mod blob;
mod read;
mod write;

pub(super) use blob::{MIME_BYTES_MAX, MIME_UNKNOWN, is_mime, store};

use super::{App, Context, Endpoint, XrpcError};
use crate::actor::AccountSummary;
use crate::auth::Access;
use crate::limits::RECORDS_BODY_BYTES_MAX;
use crate::syntax::{AtIdentifier, Did, Nsid};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Access::{Account, Public};
    let body_max = RECORDS_BODY_BYTES_MAX;
    vec![
        Endpoint::procedure_up_to("com.atproto.repo.createRecord", Account, body_max, write::create),
        Endpoint::procedure_up_to("com.atproto.repo.putRecord", Account, body_max, write::put),
        Endpoint::procedure("com.atproto.repo.deleteRecord", Account, write::delete),
        Endpoint::procedure_up_to("com.atproto.repo.applyWrites", Account, body_max, write::apply),
        Endpoint::query("com.atproto.repo.getRecord", Public, read::get),
        Endpoint::query("com.atproto.repo.listRecords", Public, read::list),
        Endpoint::query("com.atproto.repo.describeRepo", Public, read::describe),
        Endpoint::raw("com.atproto.repo.uploadBlob", http::Method::POST, Account, blob::upload),
        Endpoint::query("com.atproto.repo.listMissingBlobs", Account, blob::list_missing),
    ]
}

/// The caller's DID, if `repo` is its own.
fn own_repo(context: &Context, repo: &AtIdentifier) -> Result<Did, XrpcError> {
    let account = &context.caller.account()?.account;
    let is_own = match repo {
        AtIdentifier::Did(did) => *did == account.did,
        AtIdentifier::Handle(handle) => handle.normalized() == account.handle,
    };
    if is_own {
        Ok(account.did.clone())
    } else {
        Err(XrpcError::unauthorized("AuthenticationRequired", "the repo is not the caller's own"))
    }
}

/// Refuses callers that may not open the vault to write into it: overwriting a sealed record destroys its key.
fn check_collection(context: &Context, collection: &Nsid) -> Result<(), XrpcError> {
    if collection.as_str().starts_with("agent.vault.") {
        Access::Vault.permits(&context.caller)?;
    }
    Ok(())
}

/// The account of a repo that everyone may read; `None` for one that is not here, or not active.
async fn readable(app: &App, repo: &AtIdentifier) -> Result<Option<AccountSummary>, XrpcError> {
    Ok(app.find_account(repo).await?.filter(|account| account.status.is_active()))
}
