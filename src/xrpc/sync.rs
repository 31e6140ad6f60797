//! com.atproto.sync.*: repos and blobs for whoever mirrors them. The event stream is `subscribe_repos`'s.

mod blob;
mod list;
mod repo;

use serde::Serialize;

use super::endpoint::Holds;
use super::{Context, Endpoint, XrpcError};
use crate::actor::{AccountSummary, Status};
use crate::auth::{Access, Caller};
use crate::repo::CommitMeta;
use crate::syntax::{AtIdentifier, Tid};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Access::{Optional, Public};
    vec![
        Endpoint::query("com.atproto.sync.getRepo", Optional, repo::get).holding(Holds::Repo),
        Endpoint::query("com.atproto.sync.getCheckout", Optional, repo::get_checkout).holding(Holds::Repo),
        Endpoint::query("com.atproto.sync.getRecord", Optional, repo::get_record),
        Endpoint::query("com.atproto.sync.getBlocks", Optional, repo::get_blocks),
        Endpoint::query("com.atproto.sync.getLatestCommit", Optional, repo::get_latest_commit),
        Endpoint::query("com.atproto.sync.getHead", Optional, repo::get_head),
        Endpoint::query("com.atproto.sync.getRepoStatus", Public, repo::get_status),
        Endpoint::query("com.atproto.sync.listRepos", Public, list::list_repos),
        Endpoint::query("com.atproto.sync.getBlob", Optional, blob::get).holding(Holds::Blob),
        Endpoint::query("com.atproto.sync.listBlobs", Optional, blob::list),
    ]
}

/// A commit's name in an answer.
#[derive(Debug, Serialize)]
pub(super) struct CommitView {
    cid: String,
    rev: Tid,
}

impl From<CommitMeta> for CommitView {
    fn from(commit: CommitMeta) -> Self {
        Self { cid: commit.cid.to_string(), rev: commit.rev }
    }
}

/// The account of a repo that the caller may read: an active one, and any for its owner and the operator.
///
/// # Errors
/// `RepoNotFound`, `RepoTakendown`, `RepoSuspended` or `RepoDeactivated`.
pub(super) async fn available(context: &Context, who: AtIdentifier) -> Result<AccountSummary, XrpcError> {
    let name = who.as_str();
    let account = context.find_account(&who).await?.ok_or_else(|| repo_not_found(name))?;
    let is_privileged = match &context.caller {
        Caller::Admin => true,
        Caller::Account(caller) => caller.account.did == account.did,
        _ => false,
    };
    if is_privileged {
        return Ok(account);
    }
    match account.status {
        Status::Active => Ok(account),
        Status::Deactivated => {
            Err(XrpcError::named("RepoDeactivated", format!("Repo has been deactivated: {name}")))
        }
        Status::Takendown => {
            Err(XrpcError::named("RepoTakendown", format!("Repo has been takendown: {name}")))
        }
        Status::Suspended => {
            Err(XrpcError::named("RepoSuspended", format!("Repo has been suspended: {name}")))
        }
        Status::Pending | Status::Deleted => Err(repo_not_found(name)),
    }
}

fn repo_not_found(name: &str) -> XrpcError {
    XrpcError::named("RepoNotFound", format!("Could not find repo for DID: {name}"))
}
