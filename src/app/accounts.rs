//! Who is who here, remembered: nearly every request begins with an account's standing, and it seldom changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::{App, Error};
use crate::actor::AccountSummary;
use crate::directory::{GetAccount, Who};
use crate::limits::ACCOUNTS_CACHED_MAX;
use crate::syntax::{AtIdentifier, Did, Handle};

/// What is known of the accounts here.
#[derive(Debug)]
pub struct Accounts {
    /// How long an answer is taken for true.
    kept_us: i64,
    known: RwLock<HashMap<AtIdentifier, (i64, AccountSummary)>>,
    /// Counts changes, so that an answer from before one is not remembered after it.
    changes: AtomicU64,
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
        let (until_us, summary) = known.get(identifier)?;
        (now_us < *until_us).then(|| summary.clone())
    }

    fn keep(&self, identifier: AtIdentifier, summary: &AccountSummary, now_us: i64, changes: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ACCOUNTS_CACHED_MAX {
            known.clear();
        }
        if changes == self.changes.load(Ordering::Acquire) {
            known.insert(identifier, (now_us.saturating_add(self.kept_us), summary.clone()));
        }
    }

    /// Forgets an account, after it changed.
    pub fn forget(&self, did: &Did, handle: Option<&Handle>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        known.retain(|_, (_, summary)| summary.did != *did && Some(&summary.handle) != handle);
    }
}

impl App {
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
        self.accounts.keep(identifier.clone(), &summary, now_us, changes);
        Ok(Some(summary))
    }
}
