//! Every repo here, without waking the accounts: what the log last heard of each, and its standing.

use futures::stream::{self, StreamExt as _};

use super::{App, Error};
use crate::account;
use crate::actor::Status;
use crate::directory::{ListStandings, Standing};
use crate::repo::{CommitMeta, GetHead};
use crate::sequencer::{GetLastCommits, NoteLastCommits};
use crate::syntax::Did;

/// Cells asked at the same time for what the log does not know.
const CELLS_AT_ONCE: usize = 16;

/// A page of repos, the oldest account first.
pub struct RepoPage {
    /// Whose, where it stands, and whether it is served.
    pub repos: Vec<(Did, CommitMeta, Status)>,
    /// Where the next page begins, when there may be one.
    pub cursor: Option<String>,
}

impl App {
    /// A page of the repos here. One that is not made yet, or destroyed already, is left out.
    ///
    /// # Errors
    /// Of the directory and the sequencer.
    pub async fn list_repos(&self, cursor: Option<String>, limit: usize) -> Result<RepoPage, Error> {
        let page = self.directory(ListStandings { cursor, limit }).await?;
        let dids = page.accounts.iter().map(|account| account.did.clone()).collect();
        let heard = self.sequencer(GetLastCommits { dids }).await?;
        let known = page.accounts.into_iter().zip(heard);
        let asked = stream::iter(known).map(|(account, commit)| self.head_of(account, commit));
        let found: Vec<_> = asked.buffered(CELLS_AT_ONCE).collect().await;
        // Told once, so that the next listing asks no cell. One that is not active may change unheard of.
        let news = found.iter().flatten().filter(|repo| repo.is_news && repo.account.status.is_active());
        let commits: Vec<_> = news.map(|repo| (repo.account.did.clone(), repo.commit)).collect();
        if !commits.is_empty()
            && let Err(error) = self.sequencer(NoteLastCommits { commits }).await
        {
            tracing::warn!(%error, "what cells said of their repos is not remembered");
        }
        let repos =
            found.into_iter().flatten().map(|repo| (repo.account.did, repo.commit, repo.account.status));
        Ok(RepoPage { repos: repos.collect(), cursor: page.cursor })
    }

    async fn head_of(&self, account: Standing, heard: Option<CommitMeta>) -> Option<Found> {
        if let Some(commit) = heard {
            return Some(Found { account, commit, is_news: false });
        }
        match self.account(&account.did, GetHead {}).await {
            Ok(head) => {
                let commit = CommitMeta { cid: head.commit, rev: head.rev };
                Some(Found { account, commit, is_news: true })
            }
            Err(Error::Account(account::Error::NoRepo)) => None,
            // One that can't be read must not hide all that come after it.
            Err(error) => {
                tracing::error!(did = %account.did, %error, "a repo is left out of a list");
                None
            }
        }
    }
}

/// A repo, and whether the log did not know it.
struct Found {
    account: Standing,
    commit: CommitMeta,
    is_news: bool,
}
