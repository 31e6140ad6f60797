//! Proving a repo from its CAR alone: signature, tree, every record.
//!
//! What is taken on trust: the key it is checked against, which comes from the DID document, and that the newest
//! commit is the one that was sent. What is not looked into: whether records are valid by their lexicons.

use std::collections::BTreeMap;

use bytes::Bytes;
use repo_mst::car::{CarError, CarLimits, CarReader};
use repo_mst::commit::{Commit, CommitError};
use repo_mst::{MemoryBlocks, TreeError, Walk, verify_tree};
use serde::Serialize;
use serde_json::Value;

use super::explain::Explain;
use zap::crypto::VerifyingKey;
use zap::data_model::{Cid, DataModelError, Ipld, decode_record};
use zap::limits::{RECORD_BYTES_MAX, VERIFY_BLOCKS_MAX, VERIFY_REPO_BYTES_MAX};
use zap::syntax::{validate_nsid, validate_record_key, validate_tid};

/// What is wrong with a repo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum VerifyError {
    /// The bytes are no CAR, or a block is not what its CID says.
    #[error("the repo does not verify: CAR: {0}")]
    Car(#[from] CarError),
    /// The CAR does not name exactly one commit.
    #[error("the repo does not verify: the CAR names {0} roots instead of one")]
    Roots(usize),
    /// A block is not there.
    #[error("the repo does not verify: {what} {cid} is not in the CAR")]
    Missing {
        /// What it should be.
        what: &'static str,
        /// Its CID.
        cid: Cid,
    },
    /// The commit is malformed.
    #[error("the repo does not verify: commit: {0}")]
    Commit(#[from] CommitError),
    /// The commit is of somebody else.
    #[error("the repo does not verify: the commit is of {found}, not of {expected}")]
    OtherDid {
        /// Whose repo was asked for.
        expected: String,
        /// Whose came.
        found: String,
    },
    /// The revision is no TID.
    #[error("the repo does not verify: the commit's rev `{0}` is not a TID")]
    Rev(String),
    /// The DID document has no usable signing key.
    #[error("the repo does not verify: the DID document has no usable #atproto key: {0}")]
    NoKey(String),
    /// The signature is not one by that key.
    #[error("the repo does not verify: the signature is not by the DID document's key")]
    Signature,
    /// The tree is damaged.
    #[error("the repo does not verify: tree: {0}")]
    Tree(#[from] TreeError),
    /// A repo path is no collection and record key.
    #[error("the repo does not verify: `{0}` is not a collection and a record key")]
    Path(String),
    /// A record is not the protocol's data.
    #[error("the repo does not verify: record {path}: {source}")]
    Record {
        /// Its repo path.
        path: String,
        /// What is wrong.
        source: DataModelError,
    },
    /// A record's type is not its collection.
    #[error("the repo does not verify: record {path} has the type `{found}`")]
    RecordType {
        /// Its repo path.
        path: String,
        /// The type it gives.
        found: String,
    },
}

impl Explain for VerifyError {}

/// A repo that holds together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contents {
    pub(crate) did: String,
    pub(crate) rev: String,
    /// CID of the commit.
    pub(crate) commit: String,
    /// CID of the tree's root.
    pub(crate) root: String,
    pub(crate) nodes: u64,
    pub(crate) records: u64,
    pub(crate) height: u32,
    /// Records by collection.
    pub(crate) collections: BTreeMap<String, u64>,
    /// Bytes of the CAR.
    pub(crate) bytes: u64,
    /// Blocks that nothing in the repo names.
    pub(crate) extra_blocks: u64,
}

/// A repo's blocks, as they arrive.
pub(crate) struct Import {
    reader: CarReader,
    blocks: MemoryBlocks,
    bytes: u64,
}

impl Import {
    pub(crate) fn new() -> Self {
        let limits = CarLimits {
            header_bytes: 4096,
            section_bytes: 2 * RECORD_BYTES_MAX,
            total_bytes: VERIFY_REPO_BYTES_MAX,
            blocks: VERIFY_BLOCKS_MAX,
        };
        Self { reader: CarReader::new(limits), blocks: MemoryBlocks::new(), bytes: 0 }
    }

    /// Takes the next bytes; every whole block is hashed. Gives those that are whole now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<(Cid, Bytes)>, VerifyError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.reader.push(bytes)?;
        let mut whole = Vec::new();
        while let Some((cid, block)) = self.reader.next_block()? {
            self.blocks.insert(cid, block.clone());
            whole.push((cid, block));
        }
        Ok(whole)
    }

    /// All has arrived.
    pub(crate) fn finish(self) -> Result<Repo, VerifyError> {
        let roots = self.reader.finish()?;
        let [root] = roots.as_slice() else { return Err(VerifyError::Roots(roots.len())) };
        Repo::new(*root, self.blocks, self.bytes)
    }
}

/// A repo that has arrived and is not yet trusted.
pub(crate) struct Repo {
    /// Of the commit.
    pub(crate) cid: Cid,
    pub(crate) commit: Commit,
    blocks: MemoryBlocks,
    bytes: u64,
}

impl Repo {
    /// The repo at a commit, from blocks that have the hashes of their CIDs.
    pub(crate) fn new(cid: Cid, blocks: MemoryBlocks, bytes: u64) -> Result<Self, VerifyError> {
        let block = blocks.get(&cid).ok_or(VerifyError::Missing { what: "the commit", cid })?;
        let commit = Commit::decode(block)?;
        Ok(Self { cid, commit, blocks, bytes })
    }

    /// The commit's block.
    pub(crate) fn commit_block(&self) -> Result<&Bytes, VerifyError> {
        self.blocks.get(&self.cid).ok_or(VerifyError::Missing { what: "the commit", cid: self.cid })
    }

    /// All records in the tree's order: path and block.
    pub(crate) fn records(
        &self,
    ) -> Result<impl Iterator<Item = Result<(String, Bytes), VerifyError>> + use<'_>, VerifyError> {
        let walk = Walk::new(&self.blocks, &self.commit.data)?.records();
        Ok(walk.map(|found| {
            let (path, cid) = found?;
            let block = self.blocks.get(&cid).ok_or(VerifyError::Missing { what: "record", cid })?;
            Ok((path.to_string(), block.clone()))
        }))
    }

    /// Checks that the commit is of this DID and signed by this key.
    pub(crate) fn verify_signature(&self, did: &str, key: &VerifyingKey) -> Result<(), VerifyError> {
        if self.commit.did != did {
            return Err(VerifyError::OtherDid { expected: did.to_owned(), found: self.commit.did.clone() });
        }
        key.verify(&self.commit.unsigned().encode(), &self.commit.sig).map_err(|_| VerifyError::Signature)
    }

    /// Checks the tree and every record.
    pub(crate) fn verify_contents(&self) -> Result<Contents, VerifyError> {
        validate_tid(&self.commit.rev).map_err(|_| VerifyError::Rev(self.commit.rev.clone()))?;
        let stats = verify_tree(&self.blocks, &self.commit.data)?;
        let mut collections: BTreeMap<String, u64> = BTreeMap::new();
        let mut named = std::collections::HashSet::from([self.cid]);
        for item in Walk::new(&self.blocks, &self.commit.data)? {
            match item? {
                repo_mst::WalkItem::Node { cid, .. } => {
                    named.insert(cid);
                }
                repo_mst::WalkItem::Record { key, cid } => {
                    let block = self.blocks.get(&cid).ok_or(VerifyError::Missing { what: "record", cid })?;
                    let collection = verify_record(&key, block)?;
                    *collections.entry(collection.to_owned()).or_default() += 1;
                    named.insert(cid);
                }
            }
        }
        let extra = self.blocks.iter().filter(|(cid, _)| !named.contains(*cid)).count();
        Ok(Contents {
            did: self.commit.did.clone(),
            rev: self.commit.rev.clone(),
            commit: self.cid.to_string(),
            root: self.commit.data.to_string(),
            nodes: stats.nodes,
            records: stats.records,
            height: stats.height,
            collections,
            bytes: self.bytes,
            extra_blocks: u64::try_from(extra).unwrap_or(u64::MAX),
        })
    }
}

/// Checks a record's path and form; gives its collection.
fn verify_record<'a>(path: &'a str, block: &Bytes) -> Result<&'a str, VerifyError> {
    let parts = path.split_once('/');
    let (collection, _) = parts
        .filter(|(collection, key)| validate_nsid(collection).is_ok() && validate_record_key(key).is_ok())
        .ok_or_else(|| VerifyError::Path(path.to_owned()))?;
    let record =
        decode_record(block).map_err(|source| VerifyError::Record { path: path.to_owned(), source })?;
    let found = match &record {
        Ipld::Map(fields) => fields.get("$type"),
        _ => None,
    };
    match found {
        Some(Ipld::String(found)) if found == collection => Ok(collection),
        Some(Ipld::String(found)) => {
            Err(VerifyError::RecordType { path: path.to_owned(), found: found.clone() })
        }
        _ => Err(VerifyError::RecordType { path: path.to_owned(), found: String::new() }),
    }
}

/// The signing key of a DID document: its `#atproto` verification method.
pub(crate) fn signing_key(document: &Value) -> Result<VerifyingKey, VerifyError> {
    let no_key = |why: &str| VerifyError::NoKey(why.to_owned());
    let methods = document.get("verificationMethod").and_then(Value::as_array);
    let method = methods
        .and_then(|methods| {
            methods.iter().find(|method| {
                method.get("id").and_then(Value::as_str).is_some_and(|id| id.ends_with("#atproto"))
            })
        })
        .ok_or_else(|| no_key("there is none"))?;
    let text = |name| method.get(name).and_then(Value::as_str).ok_or_else(|| no_key("it is incomplete"));
    VerifyingKey::from_verification_method(text("type")?, text("publicKeyMultibase")?)
        .map_err(|error| VerifyError::NoKey(error.to_string()))
}

#[cfg(test)]
mod tests;
