//! Lexicons by their names: who publishes them, where, and what they say.
//!
//! A namespace is its domain's: the DNS names the account (`_lexicon.`), and that account's repo has a record for each
//! lexicon. Nobody on the way is trusted: the record comes with the proof that the account signed it. An account that is
//! here is read here, without going out.
//!
//! What was found is true for an hour, and for a day where it can't be found again; what could not be found is not asked for
//! again for a minute, so that a server that stalls holds nobody up for long.
//!
//! Source: <https://atproto.com/specs/lexicon#lexicon-publication-and-resolution>.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use url::Url;

use super::{App, Error};
use crate::account;
use crate::data_model::{Cid, cbor_to_json};
use crate::host::{BodyLimit, Net};
use crate::identity::{Cache, Lookup, did_of_txt_records};
use crate::repo::GetRecord;
use crate::repo::proof::{ProofError, proven_record};
use crate::syntax::{AtIdentifier, Did, Nsid, RecordKey};

/// Where lexicons stand in a repo.
const COLLECTION: &str = "com.atproto.lexicon.schema";

/// Bytes of a lexicon with its proof; the longest that are known have a fifth.
const PROOF_BYTES_MAX: usize = 256 * 1024;

/// Lexicons remembered.
const LEXICONS_MAX: usize = 1_000;

/// Bytes of them.
const LEXICONS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much more a document takes once it is read, about.
const READ_BYTES_FACTOR: usize = 4;

/// How long a failure is taken for true.
const FAILED_US: i64 = 60 * 1_000_000;

const FAILED_MAX: usize = 2_000;

/// What a failure takes, about.
const FAILED_BYTES: usize = 600;

/// A lexicon as it is published.
#[derive(Debug)]
pub struct Lexicon {
    /// Who publishes it.
    pub did: Did,
    /// Which version.
    pub cid: Cid,
    /// The record: the document.
    pub schema: serde_json::Value,
}

/// Why a lexicon can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LexiconError {
    /// Much is looked up already, or a little for the same client.
    #[error("too much is looked up just now: try again in a moment")]
    Busy,
    /// The namespace's domain names no account, or two.
    #[error("the DNS names no account for its namespace ({0})")]
    NoAuthority(String),
    /// Somebody who was to be asked does not answer as they should.
    #[error("{0}")]
    Unreachable(String),
    /// The account's DID document has no server or no key.
    #[error("the DID document of {0} has no server or no key for its repo")]
    NoRepo(Did),
    /// There is no such record in the account's repo here.
    #[error("{0} does not publish it")]
    NotPublished(Did),
    /// What the account's server sent does not show that the account published it.
    #[error("what the server of {did} sent is no proof: {source}")]
    Unproven {
        /// Whose repo.
        did: Did,
        /// What is wrong.
        source: ProofError,
    },
    /// The record is another one's document, or none.
    #[error("the record is not its lexicon document")]
    Malformed,
    /// The lexicon is no permission set.
    #[error("it is no permission set")]
    NotASet,
    /// What is under this server's own names is its own to say, and it says nothing of it.
    #[error("this server has no such permission set")]
    NotOurs,
}

/// Lexicons that were seen.
#[derive(Debug)]
pub struct Lexicons {
    known: Mutex<Cache<Nsid, Arc<Lexicon>>>,
    failed: Mutex<Cache<Nsid, (i64, LexiconError)>>,
}

impl Default for Lexicons {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexicons {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            known: Mutex::new(Cache::new(LEXICONS_MAX, LEXICONS_BYTES_MAX)),
            failed: Mutex::new(Cache::new(FAILED_MAX, FAILED_MAX * FAILED_BYTES)),
        }
    }

    fn get(&self, nsid: &Nsid, now_us: i64) -> Lookup<Arc<Lexicon>> {
        match self.known.lock().unwrap_or_else(PoisonError::into_inner).get(nsid, now_us) {
            Lookup::Fresh(lexicon) => Lookup::Fresh(Arc::clone(lexicon)),
            Lookup::Stale(lexicon) => Lookup::Stale(Arc::clone(lexicon)),
            Lookup::Miss => Lookup::Miss,
        }
    }

    /// What is remembered of a lexicon, as old as it may be.
    pub(super) fn remembered(&self, nsid: &Nsid, now_us: i64) -> Option<Arc<Lexicon>> {
        match self.get(nsid, now_us) {
            Lookup::Fresh(lexicon) | Lookup::Stale(lexicon) => Some(lexicon),
            Lookup::Miss => None,
        }
    }

    fn keep(&self, nsid: &Nsid, lexicon: &Arc<Lexicon>, bytes: usize, now_us: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(nsid.clone(), Arc::clone(lexicon), bytes.saturating_mul(READ_BYTES_FACTOR), now_us);
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(nsid);
    }

    fn failure(&self, nsid: &Nsid, now_us: i64) -> Option<LexiconError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.get(nsid, now_us) {
            Lookup::Fresh((at_us, error)) if now_us.saturating_sub(*at_us) < FAILED_US => Some(error.clone()),
            _ => None,
        }
    }

    fn keep_failure(&self, nsid: &Nsid, error: &LexiconError, now_us: i64) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.insert(nsid.clone(), (now_us, error.clone()), FAILED_BYTES, now_us);
    }
}

impl App {
    /// A lexicon by its name, for a client.
    ///
    /// # Errors
    /// [`LexiconError`], unless what was found within the last day is there to stand in.
    pub async fn find_lexicon(&self, nsid: &Nsid, client: Option<Net>) -> Result<Arc<Lexicon>, LexiconError> {
        let now_us = self.host.now_us();
        let stale = match self.lexicons.get(nsid, now_us) {
            Lookup::Fresh(lexicon) => return Ok(lexicon),
            Lookup::Stale(lexicon) => Some(lexicon),
            Lookup::Miss => None,
        };
        if let Some(error) = self.lexicons.failure(nsid, now_us) {
            return stale.ok_or(error);
        }
        let Ok(_turn) = self.identities.turn(client) else { return stale.ok_or(LexiconError::Busy) };
        match self.resolve_lexicon(nsid).await {
            Ok((lexicon, bytes)) => {
                let lexicon = Arc::new(lexicon);
                self.lexicons.keep(nsid, &lexicon, bytes, self.host.now_us());
                Ok(lexicon)
            }
            Err(error) => {
                self.lexicons.keep_failure(nsid, &error, self.host.now_us());
                stale.ok_or(error)
            }
        }
    }

    /// Finds a lexicon, whatever is known; with the bytes that were read.
    async fn resolve_lexicon(&self, nsid: &Nsid) -> Result<(Lexicon, usize), LexiconError> {
        let domain: Vec<&str> = nsid.authority().split('.').rev().collect();
        let name = format!("_lexicon.{}", domain.join(".").to_ascii_lowercase());
        let records = self.host.txt_records(name.clone()).await.map_err(|error| unreachable(error.into()))?;
        let did = did_of_txt_records(&records).ok_or(LexiconError::NoAuthority(name))?;
        let collection = Nsid::try_from(COLLECTION).map_err(|_| LexiconError::Malformed)?;
        let rkey = RecordKey::try_from(nsid.as_str()).map_err(|_| LexiconError::Malformed)?;
        let is_here = self.find_account(&AtIdentifier::Did(did.clone())).await.map_err(unreachable)?;
        let (cid, block) = if is_here.is_some_and(|account| account.status.is_active()) {
            let get = GetRecord { collection, rkey, cid: None };
            match self.account(&did, get).await {
                Ok(Some(record)) => (record.cid, Bytes::from(record.block.into_vec())),
                Ok(None) | Err(Error::Account(account::Error::NoRepo)) => {
                    return Err(LexiconError::NotPublished(did));
                }
                Err(error) => return Err(unreachable(error)),
            }
        } else {
            self.fetch_record(&did, &collection, &rkey).await?
        };
        let mut json = Vec::with_capacity(block.len() * 2);
        cbor_to_json(&block, &mut json).map_err(|_| LexiconError::Malformed)?;
        let schema: serde_json::Value = serde_json::from_slice(&json).map_err(|_| LexiconError::Malformed)?;
        let is_language = schema.get("lexicon").and_then(serde_json::Value::as_i64) == Some(1);
        let is_named = schema.get("id").and_then(serde_json::Value::as_str) == Some(nsid.as_str());
        if !is_language || !is_named || !schema.get("defs").is_some_and(serde_json::Value::is_object) {
            return Err(LexiconError::Malformed);
        }
        Ok((Lexicon { did, cid, schema }, block.len()))
    }

    /// A record of a repo elsewhere, with its proof.
    async fn fetch_record(
        &self,
        did: &Did,
        collection: &Nsid,
        rkey: &RecordKey,
    ) -> Result<(Cid, Bytes), LexiconError> {
        let document = self.identities.did_document(&self.host, did, false).await;
        let document = document.map_err(|error| unreachable(error.into()))?;
        let no_repo = || LexiconError::NoRepo(did.clone());
        let server = document.pds_endpoint().ok_or_else(no_repo)?;
        // An account of here that is not active, or was never made: nobody else has it either.
        if server == self.network.public_url {
            return Err(LexiconError::NotPublished(did.clone()));
        }
        let key = document.signing_key().ok_or_else(no_repo)?;
        let car = self.fetch_proof(server, did, collection, rkey).await?;
        let unproven = |source| LexiconError::Unproven { did: did.clone(), source };
        match proven_record(&car, did, &key, collection, rkey) {
            Err(ProofError::Signature) => {
                // The account may have another key since.
                let document = self.identities.did_document(&self.host, did, true).await;
                let document = document.map_err(|error| unreachable(error.into()))?;
                let key = document.signing_key().ok_or_else(no_repo)?;
                proven_record(&car, did, &key, collection, rkey).map_err(unproven)
            }
            proven => proven.map_err(unproven),
        }
    }

    async fn fetch_proof(
        &self,
        server: &str,
        did: &Did,
        collection: &Nsid,
        rkey: &RecordKey,
    ) -> Result<Bytes, LexiconError> {
        let bad = |why: String| LexiconError::Unreachable(format!("the server of {did}: {why}"));
        let mut url = Url::parse(&format!("{server}/xrpc/com.atproto.sync.getRecord"))
            .map_err(|error| bad(error.to_string()))?;
        url.query_pairs_mut()
            .append_pair("did", did.as_str())
            .append_pair("collection", collection.as_str())
            .append_pair("rkey", rkey.as_str());
        let request =
            http::Request::get(url.as_str()).header(http::header::ACCEPT, "application/vnd.ipld.car");
        let mut request = request.body(Bytes::new()).map_err(|error| bad(error.to_string()))?;
        request.extensions_mut().insert(BodyLimit(PROOF_BYTES_MAX));
        let answer = self.host.fetch(request).await.map_err(|error| bad(Error::from(error).to_string()))?;
        if answer.status() != http::StatusCode::OK {
            return Err(bad(format!("it answers {}", answer.status())));
        }
        Ok(answer.into_body())
    }
}

/// What can't be asked just now; what is wrong with this server itself is for the log.
fn unreachable(error: Error) -> LexiconError {
    match error {
        Error::Busy => LexiconError::Busy,
        Error::Identity(why) | Error::Upstream(why) | Error::Refused(why) => LexiconError::Unreachable(why),
        error => {
            tracing::error!(%error, "a lexicon can't be looked up");
            LexiconError::Unreachable("it can't be looked up just now".to_owned())
        }
    }
}
