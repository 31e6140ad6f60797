//! Who is who here, remembered: nearly every request begins with an account's standing, and it seldom changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{App, Error};
use crate::actor::AccountSummary;
use crate::directory::{self, AgentToken, FindAgentToken, GetAccount, SettleAgentToken, Who};
use crate::limits::ACCOUNTS_CACHED_MAX;
use crate::seam::Request;
use crate::syntax::{AtIdentifier, Did, Handle};

/// What is known of the accounts here.
#[derive(Debug)]
pub struct Accounts {
    /// How long an answer is taken for true.
    kept_us: i64,
    known: RwLock<Known>,
    /// Counts changes, so that an answer from before one is not remembered after it.
    changes: AtomicU64,
}

/// Each with the time until which it is taken for true. All of one account is found by its DID: whoever may change it may do
/// so as often as they like.
#[derive(Debug, Default)]
struct Known {
    accounts: HashMap<Did, (i64, AccountSummary)>,
    /// Whose handles these are.
    handles: HashMap<Handle, Did>,
    /// Whose agents' tokens have these digests.
    tokens: HashMap<[u8; 32], (i64, Did)>,
    /// The same, the other way round.
    digests: HashMap<Did, Vec<[u8; 32]>>,
}

impl Known {
    /// Inserts; what is full begins anew.
    fn keep(&mut self, until_us: i64, summary: &AccountSummary) {
        if self.accounts.len() >= ACCOUNTS_CACHED_MAX {
            self.accounts.clear();
            self.handles.clear();
        }
        if let Some((_, old)) = self.accounts.insert(summary.did.clone(), (until_us, summary.clone())) {
            self.handles.remove(&old.handle);
        }
        self.handles.insert(summary.handle.clone(), summary.did.clone());
    }

    fn keep_token(&mut self, until_us: i64, digest: [u8; 32], did: &Did) {
        if self.tokens.len() >= ACCOUNTS_CACHED_MAX {
            self.tokens.clear();
            self.digests.clear();
        }
        if self.tokens.insert(digest, (until_us, did.clone())).is_none() {
            self.digests.entry(did.clone()).or_default().push(digest);
        }
    }

    fn forget(&mut self, did: &Did) {
        if let Some((_, summary)) = self.accounts.remove(did) {
            self.handles.remove(&summary.handle);
        }
        for digest in self.digests.remove(did).unwrap_or_default() {
            self.tokens.remove(&digest);
        }
    }
}

impl Accounts {
    /// Where every change of an account passes here.
    pub fn alone() -> Self {
        Self::kept_for(i64::MAX)
    }

    /// Where others may change an account unseen: an answer is true for so many microseconds.
    pub fn kept_for(kept_us: i64) -> Self {
        Self { kept_us, known: RwLock::default(), changes: AtomicU64::new(0) }
    }

    fn get(&self, identifier: &AtIdentifier, now_us: i64) -> Option<AccountSummary> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let did = match identifier {
            AtIdentifier::Did(did) => did,
            AtIdentifier::Handle(handle) => known.handles.get(&handle.normalized())?,
        };
        let (until_us, summary) = known.accounts.get(did)?;
        (now_us < *until_us).then(|| summary.clone())
    }

    fn get_token(&self, digest: &[u8; 32], now_us: i64) -> Option<Did> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (until_us, did) = known.tokens.get(digest)?;
        (now_us < *until_us).then(|| did.clone())
    }

    fn keep(&self, summary: &AccountSummary, now_us: i64, changes: u64) {
        let until_us = now_us.saturating_add(self.kept_us);
        self.keep_in(changes, |known| known.keep(until_us, summary));
    }

    fn keep_token(&self, digest: [u8; 32], did: &Did, now_us: i64, changes: u64) {
        let until_us = now_us.saturating_add(self.kept_us);
        self.keep_in(changes, |known| known.keep_token(until_us, digest, did));
    }

    /// Remembers what was learnt when there had been so many changes; not if there were more since.
    fn keep_in(&self, changes: u64, keep: impl FnOnce(&mut Known)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if changes == self.changes.load(Ordering::Acquire) {
            keep(&mut known);
        }
    }

    /// Forgets an account, after it changed, and the one that had its handle. In work that goes to its end, whoever hangs
    /// up: see [`App::change`].
    pub(super) fn forget(&self, did: &Did, handle: Option<&Handle>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        known.forget(did);
        if let Some(other) = handle.and_then(|handle| known.handles.get(&handle.normalized()).cloned()) {
            known.forget(&other);
        }
    }
}

impl App {
    /// Whose agent's token has this digest. With the first use of one that takes the place of the others, these end, also
    /// where a GET is that use: who calls is settled before what is asked.
    ///
    /// # Errors
    /// Of the directory; then the token is to be refused, or the others would go on.
    pub async fn agent_of_token(self: &Arc<Self>, digest: [u8; 32]) -> Result<Option<Did>, Error> {
        let now_us = self.host.now_us();
        if let Some(did) = self.accounts.get_token(&digest, now_us) {
            return Ok(Some(did));
        }
        let changes = self.accounts.changes.load(Ordering::Acquire);
        let Some(token) = self.directory(FindAgentToken { digest }).await? else { return Ok(None) };
        self.settle_token(&token, digest).await?;
        self.accounts.keep_token(digest, &token.did, now_us, changes);
        Ok(Some(token.did))
    }

    /// Ends the tokens that this one takes the place of, if it is used for the first time.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn settle_token(self: &Arc<Self>, token: &AgentToken, digest: [u8; 32]) -> Result<(), Error> {
        if token.ends_others {
            self.change(&token.did, SettleAgentToken { digest }).await?;
        }
        Ok(())
    }

    /// Changes what an account is or what opens it, and forgets what was known of it: to the end, though the caller may hang
    /// up, for what is known here may be taken for true until it is forgotten.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn change<R>(self: &Arc<Self>, did: &Did, change: R) -> Result<R::Reply, Error>
    where
        R: Request<Command = directory::Command, Answer = directory::Reply> + Send + 'static,
        R::Reply: Send + 'static,
    {
        let did = did.clone();
        self.change_whose(change, move |_| Some(did)).await
    }

    /// As [`App::change`], of an account that the reply names.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn change_whose<R>(
        self: &Arc<Self>,
        change: R,
        whose: impl FnOnce(&R::Reply) -> Option<Did> + Send + 'static,
    ) -> Result<R::Reply, Error>
    where
        R: Request<Command = directory::Command, Answer = directory::Reply> + Send + 'static,
        R::Reply: Send + 'static,
    {
        let app = Arc::clone(self);
        self.detached(async move {
            let reply = app.directory(change).await?;
            if let Some(did) = whose(&reply) {
                app.accounts.forget(&did, None);
            }
            Ok(reply)
        })
        .await
    }

    /// The account behind a DID or handle of this network, with its standing.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn find_account(&self, identifier: &AtIdentifier) -> Result<Option<AccountSummary>, Error> {
        let now_us = self.host.now_us();
        if let Some(known) = self.accounts.get(identifier, now_us) {
            return Ok(Some(known));
        }
        let changes = self.accounts.changes.load(Ordering::Acquire);
        let who = match identifier {
            AtIdentifier::Did(did) => Who::Did(did.clone()),
            AtIdentifier::Handle(handle) => Who::Handle(handle.clone()),
        };
        let Some(account) = self.directory(GetAccount { who }).await? else { return Ok(None) };
        let summary = account.summary();
        self.accounts.keep(&summary, now_us, changes);
        Ok(Some(summary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Kind, Status};

    fn account(name: &str, handle: &str) -> AccountSummary {
        AccountSummary {
            did: Did::try_from(format!("did:plc:{name}")).unwrap(),
            handle: Handle::try_from(handle).unwrap(),
            handle_fails: false,
            status: Status::Active,
            kind: Kind::Agent,
            generation: 0,
        }
    }

    #[test]
    fn what_changed_is_forgotten_under_all_its_names_and_nothing_else_is() {
        let accounts = Accounts::alone();
        let (alice, bob) = (account("alice", "alice.test"), account("bob", "bob.test"));
        let keep = || {
            for (number, of) in [(0, &alice), (1, &alice), (2, &bob)] {
                accounts.keep(of, 0, accounts.changes.load(Ordering::Acquire));
                accounts.keep_token([number; 32], &of.did, 0, accounts.changes.load(Ordering::Acquire));
            }
        };
        let known = |of: &AccountSummary| {
            let shouted = Handle::try_from(of.handle.as_str().to_uppercase()).unwrap();
            let names = [AtIdentifier::Did(of.did.clone()), AtIdentifier::Handle(shouted)];
            names.map(|name| accounts.get(&name, 1).is_some())
        };
        let tokens = || [0, 1, 2].map(|number| accounts.get_token(&[number; 32], 1).is_some());
        keep();
        assert_eq!((known(&alice), known(&bob), tokens()), ([true; 2], [true; 2], [true; 3]));
        accounts.forget(&alice.did, None);
        assert_eq!((known(&alice), known(&bob), tokens()), ([false; 2], [true; 2], [false, false, true]));
        keep();
        // Bob's handle goes to Alice.
        accounts.forget(&alice.did, Some(&bob.handle));
        assert_eq!((known(&alice), known(&bob), tokens()), ([false; 2], [false; 2], [false; 3]));
        let left = accounts.known.read().unwrap();
        assert!(left.handles.is_empty() && left.digests.is_empty(), "{left:?}");
    }

    #[test]
    fn a_handle_that_was_left_names_nobody() {
        let accounts = Accounts::alone();
        accounts.keep(&account("alice", "old.test"), 0, 0);
        accounts.keep(&account("alice", "new.test"), 0, 0);
        let known = |handle: &str| {
            accounts
                .get(&AtIdentifier::Handle(Handle::try_from(handle).unwrap()), 1)
                .map(|account| account.did)
        };
        assert_eq!(known("old.test"), None);
        assert!(known("new.test").is_some());
    }
}
