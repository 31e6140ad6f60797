//! listRepos: every account here, the oldest first.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use crate::account;
use crate::app::{App, Error};
use crate::directory::{Account, ListAccounts};
use crate::repo::GetHead;
use crate::syntax::{Did, Tid};
use crate::xrpc::endpoint::{Json, check_limit};
use crate::xrpc::{Context, XrpcError};

/// Cells asked at the same time for one page.
const CELLS_AT_ONCE: usize = 16;

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
    let page = context.directory(ListAccounts { kind: None, cursor, limit }).await?;
    let app: &App = &context;
    let repos: Vec<Option<RepoView>> = stream::iter(page.accounts)
        .map(|account| view(app, account))
        .buffered(CELLS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(Json(RepoPage { cursor: page.cursor, repos: repos.into_iter().flatten().collect() }))
}

/// `None` for an account whose repo is not made yet, or destroyed already.
async fn view(app: &App, account: Account) -> Result<Option<RepoView>, XrpcError> {
    let head = match app.account(&account.did, GetHead {}).await {
        Ok(head) => head,
        Err(Error::Account(account::Error::NoRepo)) => return Ok(None),
        // One that can't be read must not hide all that come after it.
        Err(error) => {
            tracing::error!(did = %account.did, %error, "a repo is left out of a list");
            return Ok(None);
        }
    };
    let active = account.status.is_active();
    let status = (!active).then_some(account.status.as_str());
    Ok(Some(RepoView { did: account.did, head: head.commit.to_string(), rev: head.rev, active, status }))
}
