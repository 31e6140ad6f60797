//! Finding DIDs and handles of the whole network, through the host, with a cache.
//!
//! What to ask is `identity`'s to say, and the host carries it; what was found is kept here. Concurrent questions for the
//! same name may ask twice: an answer is small and the cache ends it.

use std::sync::{Arc, Mutex, PoisonError};

use super::resolve::resolve;
use crate::directory::limits::IDENTITY_CACHE_ENTRIES_MAX;
use crate::host::Host;
use crate::identity::{Cache, DidDocument, DidResolution, HandleResolution, IdentityError, Lookup};
use crate::syntax::{Did, Handle};

/// What is known of identities, and where to ask.
#[derive(Debug)]
pub struct Identities {
    plc_url: String,
    documents: Mutex<Cache<Did, Arc<DidDocument>>>,
    handles: Mutex<Cache<Handle, Did>>,
}

impl Identities {
    /// Knows nothing yet; `plc_url` is the did:plc directory's, without a trailing slash.
    pub fn new(plc_url: String) -> Self {
        Self {
            plc_url,
            documents: Mutex::new(Cache::new(IDENTITY_CACHE_ENTRIES_MAX)),
            handles: Mutex::new(Cache::new(IDENTITY_CACHE_ENTRIES_MAX)),
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
                with(&self.handles, |cache| cache.insert(handle, did.clone(), host.now_us()));
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
        with(&self.documents, |cache| cache.insert(document.id.clone(), Arc::clone(document), now_us));
    }

    /// Forgets a DID's document: it has changed.
    pub fn forget(&self, did: &Did) {
        with(&self.documents, |cache| cache.remove(did));
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
