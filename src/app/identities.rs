//! Finding DIDs and handles of the whole network, through the host, with a cache.
//!
//! What to ask is `identity`'s to say, and the host carries it; what was found is kept here. Concurrent questions for the
//! same name may ask twice: an answer is small and the cache ends it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use super::resolve::resolve;
use crate::directory::limits::IDENTITY_CACHE_ENTRIES_MAX;
use crate::host::{Host, Net};
use crate::identity::{Cache, DidDocument, DidResolution, HandleResolution, IdentityError, Lookup, SeenLog};
use crate::limits::{
    IDENTITY_CACHE_BYTES_MAX, KEY_REFRESH_SECONDS, LOOKUPS_MAX, LOOKUPS_OF_ONE_MAX, STRANGERS_DOCUMENTS_MAX,
    STRANGERS_DOCUMENTS_OF_ONE_MAX,
};
use crate::syntax::{Did, Handle};

/// What an entry takes besides a document, about.
const ENTRY_BYTES: usize = 300;

/// What is known of identities, and where to ask.
#[derive(Debug)]
pub struct Identities {
    plc_url: String,
    documents: Mutex<Cache<Did, Arc<DidDocument>>>,
    handles: Mutex<Cache<Handle, Did>>,
    /// How far the logs of did:plcs were that this network has changed, or was about to.
    logs: Mutex<Cache<Did, SeenLog>>,
    /// On whose word documents are asked for just now.
    strangers: Turns,
    /// For whom all else is asked for. Apart from those, so that neither keeps the other waiting.
    lookups: Turns,
    /// Whose documents were asked for again because a signature did not fit.
    refreshed: Mutex<Cache<Did, i64>>,
}

impl Identities {
    /// Knows nothing yet; `plc_url` is the did:plc directory's, without a trailing slash.
    pub fn new(plc_url: String) -> Self {
        Self {
            plc_url,
            documents: Mutex::new(Cache::new(IDENTITY_CACHE_ENTRIES_MAX, IDENTITY_CACHE_BYTES_MAX)),
            handles: Mutex::new(Cache::new(IDENTITY_CACHE_ENTRIES_MAX, IDENTITY_CACHE_BYTES_MAX)),
            logs: Mutex::new(Cache::new(IDENTITY_CACHE_ENTRIES_MAX, IDENTITY_CACHE_BYTES_MAX)),
            strangers: Turns::new(STRANGERS_DOCUMENTS_MAX, STRANGERS_DOCUMENTS_OF_ONE_MAX),
            lookups: Turns::new(LOOKUPS_MAX, LOOKUPS_OF_ONE_MAX),
            refreshed: Mutex::new(Cache::new(IDENTITY_CACHE_ENTRIES_MAX, IDENTITY_CACHE_BYTES_MAX)),
        }
    }

    /// The document of a DID; `fresh` asks even if one is known.
    ///
    /// # Errors
    /// [`IdentityError`], unless an answer of the last day is there to stand in.
    pub async fn did_document(
        &self,
        host: &Arc<dyn Host>,
        did: &Did,
        fresh: bool,
    ) -> Result<Arc<DidDocument>, IdentityError> {
        let known = with(&self.documents, |cache| owned(cache.get(did, host.now_us())));
        let stale = match known {
            Lookup::Fresh(document) if !fresh => return Ok(document),
            Lookup::Stale(document) if !fresh => Some(document),
            _ => None,
        };
        match resolve(host.as_ref(), DidResolution::new(did, &self.plc_url)?).await {
            Ok(document) => {
                let document = Arc::new(document);
                self.learn(&document, host.now_us());
                Ok(document)
            }
            Err(error @ IdentityError::NotFound) => {
                self.forget(did);
                Err(error)
            }
            Err(error) => stale.ok_or(error),
        }
    }

    /// The document of a DID that a stranger names. With `refresh` it is asked for again, `None` when that was done within
    /// the last minute.
    ///
    /// # Errors
    /// [`Error::Busy`] when many are asked for already, or a few for the same stranger; as [`Identities::did_document`].
    pub async fn document_for_stranger(
        &self,
        host: &Arc<dyn Host>,
        stranger: Option<Net>,
        did: &Did,
        refresh: bool,
    ) -> Result<Option<Arc<DidDocument>>, Error> {
        let now_us = host.now_us();
        if let Lookup::Fresh(document) = with(&self.documents, |cache| owned(cache.get(did, now_us)))
            && !refresh
        {
            return Ok(Some(document));
        }
        if refresh && !self.may_refresh(did, now_us) {
            return Ok(None);
        }
        let _turn = self.strangers.take(stranger)?;
        if refresh {
            with(&self.refreshed, |refreshed| refreshed.insert(did.clone(), now_us, ENTRY_BYTES, now_us));
        }
        Ok(Some(self.did_document(host, did, refresh).await?))
    }

    /// The document of an account, for a client: its server may be anybody's.
    ///
    /// # Errors
    /// [`Error::Busy`] when much is looked up already, or a little for the same client; as [`Identities::did_document`].
    pub async fn document_for(
        &self,
        host: &Arc<dyn Host>,
        client: Option<Net>,
        did: &Did,
        fresh: bool,
    ) -> Result<Arc<DidDocument>, Error> {
        let known = with(&self.documents, |cache| owned(cache.get(did, host.now_us())));
        if let Lookup::Fresh(document) = known
            && !fresh
        {
            return Ok(document);
        }
        let _turn = self.turn(client)?;
        Ok(self.did_document(host, did, fresh).await?)
    }

    /// The DID a handle's domain names, for a client.
    ///
    /// # Errors
    /// As [`Identities::document_for`] and [`Identities::did_of_handle`].
    pub async fn did_for(
        &self,
        host: &Arc<dyn Host>,
        client: Option<Net>,
        handle: &Handle,
    ) -> Result<Did, Error> {
        let known = with(&self.handles, |cache| owned(cache.get(&handle.normalized(), host.now_us())));
        if let Lookup::Fresh(did) = known {
            return Ok(did);
        }
        let _turn = self.turn(client)?;
        Ok(self.did_of_handle(host, handle, false).await?)
    }

    /// A turn at looking something up for a client, for what does more than that.
    ///
    /// # Errors
    /// [`Error::Busy`] when much is looked up already, or a little for the same client.
    pub fn turn(&self, client: Option<Net>) -> Result<Turn<'_>, Error> {
        self.lookups.take(client)
    }

    fn may_refresh(&self, did: &Did, now_us: i64) -> bool {
        with(&self.refreshed, |refreshed| {
            let last = match refreshed.get(did, now_us) {
                Lookup::Fresh(last) | Lookup::Stale(last) => *last,
                Lookup::Miss => i64::MIN,
            };
            now_us.saturating_sub(last) >= KEY_REFRESH_SECONDS * 1_000_000
        })
    }

    /// The DID a handle's domain names; `fresh` asks even if one is known.
    ///
    /// # Errors
    /// [`IdentityError`], unless an answer of the last day is there to stand in.
    pub async fn did_of_handle(
        &self,
        host: &Arc<dyn Host>,
        handle: &Handle,
        fresh: bool,
    ) -> Result<Did, IdentityError> {
        let handle = handle.normalized();
        let known = with(&self.handles, |cache| owned(cache.get(&handle, host.now_us())));
        let stale = match known {
            Lookup::Fresh(did) if !fresh => return Ok(did),
            Lookup::Stale(did) if !fresh => Some(did),
            _ => None,
        };
        match resolve(host.as_ref(), HandleResolution::new(&handle)).await {
            Ok(did) => {
                with(&self.handles, |cache| cache.insert(handle, did.clone(), ENTRY_BYTES, host.now_us()));
                Ok(did)
            }
            Err(error @ IdentityError::NotFound) => {
                with(&self.handles, |cache| cache.remove(&handle));
                Err(error)
            }
            Err(error) => stale.ok_or(error),
        }
    }

    /// Keeps a document that was just seen or made.
    pub fn learn(&self, document: &Arc<DidDocument>, now_us: i64) {
        let bytes = ENTRY_BYTES + document.bytes();
        with(&self.documents, |cache| cache.insert(document.id.clone(), Arc::clone(document), bytes, now_us));
    }

    /// Keeps how far a did:plc's log was seen to be; false where it was further within the last day.
    pub(super) fn goes_on(&self, did: &Did, seen: SeenLog, now_us: i64) -> bool {
        with(&self.logs, |logs| {
            if let Lookup::Fresh(before) | Lookup::Stale(before) = logs.get(did, now_us)
                && !before.may_become(&seen)
            {
                return false;
            }
            let bytes = ENTRY_BYTES + seen.bytes();
            logs.insert(did.clone(), seen, bytes, now_us);
            true
        })
    }

    /// Forgets a DID's document: it has changed.
    pub fn forget(&self, did: &Did) {
        with(&self.documents, |cache| cache.remove(did));
    }
}

/// What is asked for on a stranger's word, bounded in all and for one: a server that does not answer holds it for seconds,
/// and anybody may name one.
#[derive(Debug)]
struct Turns {
    all_max: usize,
    own_max: usize,
    all: Mutex<Vec<Option<Net>>>,
}

impl Turns {
    fn new(all_max: usize, own_max: usize) -> Self {
        Self { all_max, own_max, all: Mutex::default() }
    }

    fn take(&self, stranger: Option<Net>) -> Result<Turn<'_>, Error> {
        with(&self.all, |all| {
            let own = all.iter().filter(|other| stranger.is_some() && **other == stranger).count();
            let is_given = all.len() < self.all_max && own < self.own_max;
            is_given.then(|| all.push(stranger)).ok_or(Error::Busy)
        })?;
        Ok(Turn { stranger, all: &self.all })
    }
}

/// One thing that is asked for, until this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    stranger: Option<Net>,
    all: &'a Mutex<Vec<Option<Net>>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        with(self.all, |all| {
            let own = all.iter().position(|other| *other == self.stranger);
            own.map(|own| all.swap_remove(own));
        });
    }
}

fn owned<T: Clone>(lookup: Lookup<&T>) -> Lookup<T> {
    match lookup {
        Lookup::Fresh(value) => Lookup::Fresh(value.clone()),
        Lookup::Stale(value) => Lookup::Stale(value.clone()),
        Lookup::Miss => Lookup::Miss,
    }
}

/// A cache stays whole even if a thread died holding it: nothing in it is half written.
fn with<C, T>(cache: &Mutex<C>, work: impl FnOnce(&mut C) -> T) -> T {
    work(&mut cache.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: one stranger with names of servers that never answer keeps all others' tokens from being looked at.
    #[test]
    fn one_stranger_has_few_turns_and_leaves_the_others_theirs() {
        let turns = Turns::new(STRANGERS_DOCUMENTS_MAX, STRANGERS_DOCUMENTS_OF_ONE_MAX);
        let stranger = |last: u8| Some(Net::of([192, 0, 2, last].into()));
        let own: Vec<_> =
            (0..STRANGERS_DOCUMENTS_OF_ONE_MAX).map(|_| turns.take(stranger(1)).unwrap()).collect();
        turns.take(stranger(1)).unwrap_err();
        let others: Vec<_> = (2..).map_while(|last| turns.take(stranger(last)).ok()).collect();
        assert_eq!(own.len() + others.len(), STRANGERS_DOCUMENTS_MAX);
        drop(own);
        turns.take(stranger(1)).unwrap();
    }
}
