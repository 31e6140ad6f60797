//! listRepos: every account here, the oldest first.

use serde::{Deserialize, Serialize};

use crate::actor::Status;
use crate::repo::CommitMeta;
use crate::syntax::{Did, Tid};
use crate::xrpc::endpoint::{Json, check_limit};
use crate::xrpc::{Context, XrpcError};

#[derive(Debug, Deserialize)]
pub(super) struct ListParams {
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct RepoPage {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    repos: Vec<RepoView>,
}

#[derive(Debug, Serialize)]
struct RepoView {
    did: Did,
    head: String,
    rev: Tid,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

pub(super) async fn list_repos(context: Context, params: ListParams) -> Result<Json<RepoPage>, XrpcError> {
    let limit = check_limit(params.limit, 500, 1000)? as usize;
    let cursor = params.cursor.filter(|cursor| !cursor.is_empty());
    let page = context.list_repos(cursor, limit).await?;
    Ok(Json(RepoPage { cursor: page.cursor, repos: page.repos.into_iter().map(view).collect() }))
}

fn view((did, commit, status): (Did, CommitMeta, Status)) -> RepoView {
    let active = status.is_active();
    let status = (!active).then_some(status.as_str());
    RepoView { did, head: commit.cid.to_string(), rev: commit.rev, active, status }
}
