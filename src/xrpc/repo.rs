//! com.atproto.repo.*: records and blobs of the accounts here.
//!
//! Writing is for the account itself; its repo may be named by handle or DID. Reading is for everyone.

mod blob;
mod mime;
mod read;
mod write;

pub(super) use blob::store;
pub(super) use mime::{MIME_BYTES_MAX, MIME_UNKNOWN, is_mime};

use super::endpoint::Holds;
use super::{App, Context, Endpoint, XrpcError};
use crate::actor::AccountSummary;
use crate::auth::{Access, Apps};
use crate::limits::RECORDS_BODY_BYTES_MAX;
use crate::oauth::Need;
use crate::oauth::scope::RepoAction;
use crate::syntax::{AtIdentifier, Did, Nsid};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Access::{Account, Public};
    let body_max = RECORDS_BODY_BYTES_MAX;
    vec![
        Endpoint::procedure_up_to("com.atproto.repo.createRecord", Account, body_max, write::create)
            .open_to(Apps::ByInput),
        Endpoint::procedure_up_to("com.atproto.repo.putRecord", Account, body_max, write::put)
            .open_to(Apps::ByInput),
        Endpoint::procedure("com.atproto.repo.deleteRecord", Account, write::delete).open_to(Apps::ByInput),
        Endpoint::procedure_up_to("com.atproto.repo.applyWrites", Account, body_max, write::apply)
            .open_to(Apps::ByInput),
        Endpoint::query("com.atproto.repo.getRecord", Public, read::get),
        Endpoint::query("com.atproto.repo.listRecords", Public, read::list),
        Endpoint::query("com.atproto.repo.describeRepo", Public, read::describe),
        Endpoint::raw("com.atproto.repo.uploadBlob", http::Method::POST, Account, blob::upload)
            .open_to(Apps::ByInput)
            .holding(Holds::Blob),
        Endpoint::query("com.atproto.repo.listMissingBlobs", Account, blob::list_missing).open_to(Apps::Any),
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

/// Refuses callers whose token does not open this way of writing into a collection.
fn check_write(context: &Context, collection: &Nsid, actions: &[RepoAction]) -> Result<(), XrpcError> {
    let caller = context.caller.account()?;
    for action in actions {
        caller.require(&Need::Repo { collection: collection.as_str(), action: *action })?;
    }
    Ok(())
}

/// The account of a repo that everyone may read; `None` for one that is not here, or not active.
async fn readable(app: &App, repo: &AtIdentifier) -> Result<Option<AccountSummary>, XrpcError> {
    Ok(app.find_account(repo).await?.filter(|account| account.status.is_active()))
}
