//! Records of repos elsewhere: whether what a server sent is a record that the repo's owner signed.
//!
//! What is checked: every block has the hash that its CID says, the commit is the account's and signed with the key of its
//! DID document, the tree under it has the record at its path, and the record's type is its collection. What is not: that
//! the commit is the newest. A server may show an older one, which was true once.

use bytes::Bytes;
use cid::Cid;
use ipld_core::ipld::Ipld;
use repo_mst::car::{self, CarError, CarLimits};
use repo_mst::commit::{Commit, CommitError};
use repo_mst::{MemoryBlocks, Tree, TreeError};

use crate::crypto::VerifyingKey;
use crate::data_model::{DataModelError, decode_record};
use crate::limits::RECORD_BYTES_MAX;
use crate::syntax::{Did, Nsid, RecordKey};

/// Blocks of a proof: a commit, a record, and the nodes to it with what stands beside them; a tree of billions of records is
/// some twenty nodes high.
const PROOF_BLOCKS_MAX: u64 = 256;

/// Why a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The bytes are no CAR, or a block is not what its CID says.
    #[error("CAR: {0}")]
    Car(#[from] CarError),
    /// The CAR names no commit, or several.
    #[error("the CAR names {0} roots, not one commit")]
    Roots(usize),
    /// A block is not there.
    #[error("the CAR has not the {0}")]
    Missing(&'static str),
    /// The commit is malformed.
    #[error("commit: {0}")]
    Commit(#[from] CommitError),
    /// The commit is of another account.
    #[error("the commit is another account's")]
    OtherDid,
    /// The signature is not one by that key. The key may have been changed: it is asked for again before this is true.
    #[error("the commit is not signed with the key of the account's DID document")]
    Signature,
    /// The tree can't be read.
    #[error("tree: {0}")]
    Tree(String),
    /// The tree shows that there is no such record.
    #[error("the repo has no such record")]
    NoRecord,
    /// The record is not the protocol's data.
    #[error("record: {0}")]
    Record(#[from] DataModelError),
    /// The record says that it is something else.
    #[error("the record's $type is not its collection")]
    Type,
}

impl From<TreeError> for ProofError {
    fn from(error: TreeError) -> Self {
        Self::Tree(error.to_string())
    }
}

/// The record that a proof (the answer of `com.atproto.sync.getRecord`) shows to be in a repo: its CID and its block.
///
/// # Errors
/// [`ProofError`].
pub fn proven_record(
    car: &[u8],
    did: &Did,
    key: &VerifyingKey,
    collection: &Nsid,
    rkey: &RecordKey,
) -> Result<(Cid, Bytes), ProofError> {
    let limits = CarLimits {
        header_bytes: 1024,
        section_bytes: RECORD_BYTES_MAX + 128,
        total_bytes: u64::try_from(car.len()).unwrap_or(u64::MAX),
        blocks: PROOF_BLOCKS_MAX,
    };
    let car = car::read_all(car, limits)?;
    let [root] = car.roots.as_slice() else { return Err(ProofError::Roots(car.roots.len())) };
    let blocks: MemoryBlocks = car.blocks.into_iter().collect();
    let commit = Commit::decode(blocks.get(root).ok_or(ProofError::Missing("commit"))?)?;
    if commit.did != did.as_str() {
        return Err(ProofError::OtherDid);
    }
    key.verify(&commit.unsigned().encode(), &commit.sig).map_err(|_| ProofError::Signature)?;
    let found = Tree::open(&commit.data)?.get(&blocks, &format!("{collection}/{rkey}"))?;
    let cid = found.ok_or(ProofError::NoRecord)?;
    let block = blocks.get(&cid).ok_or(ProofError::Missing("record"))?;
    match decode_record(block)? {
        Ipld::Map(fields) if matches!(fields.get("$type"), Some(Ipld::String(text)) if text == collection.as_str()) => {
            Ok((cid, block.clone()))
        }
        _ => Err(ProofError::Type),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::crypto::SigningKey;
    use crate::data_model::{CODEC_DAG_CBOR, cid_of_block, encode_record};
    use repo_mst::commit::UnsignedCommit;

    const COLLECTION: &str = "com.example.thing";

    struct Sent {
        did: &'static str,
        r#type: &'static str,
        signer: u8,
    }

    /// What a server would send for `com.example.thing/self`, and the record's CID.
    fn sent(sent: &Sent) -> (Vec<u8>, Cid) {
        let fields = BTreeMap::from([("$type".to_owned(), Ipld::String(sent.r#type.to_owned()))]);
        let record = encode_record(&Ipld::Map(fields)).unwrap();
        let cid = cid_of_block(CODEC_DAG_CBOR, &record);
        let mut tree = Tree::empty();
        let mut blocks = MemoryBlocks::new();
        tree.insert(&blocks, &format!("{COLLECTION}/self"), &cid).unwrap();
        let changes = tree.finish().unwrap();
        for (cid, block) in changes.added {
            blocks.insert(cid, block);
        }
        let unsigned =
            UnsignedCommit { did: sent.did, rev: "3jzfcijpj2z2a", data: tree.root().unwrap(), prev: None };
        let key = SigningKey::from_bytes(&[sent.signer; 32]).unwrap();
        let commit = unsigned.sign_with(key.sign(&unsigned.encode()).to_vec().into()).encode();
        let root = cid_of_block(CODEC_DAG_CBOR, &commit);
        let mut car = car::header(&[root]);
        car::write_block(&mut car, &root, &commit);
        for (cid, block) in blocks.iter() {
            car::write_block(&mut car, cid, block);
        }
        car::write_block(&mut car, &cid, &record);
        (car, cid)
    }

    fn read(car: &[u8], rkey: &str) -> Result<(Cid, Bytes), ProofError> {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap().verifying_key();
        let did = Did::try_from("did:plc:alice").unwrap();
        let collection = Nsid::try_from(COLLECTION).unwrap();
        proven_record(car, &did, &key, &collection, &RecordKey::try_from(rkey).unwrap())
    }

    const GOOD: Sent = Sent { did: "did:plc:alice", r#type: COLLECTION, signer: 7 };

    /// What breaks: a server, or whoever stands between, says what the account never wrote.
    #[test]
    fn only_what_the_owner_signed_is_a_record() {
        let (car, cid) = sent(&GOOD);
        assert_eq!(read(&car, "self").unwrap().0, cid);
        assert_eq!(read(&car, "other"), Err(ProofError::NoRecord));
        for (changed, expected) in [
            (Sent { did: "did:plc:bob", ..GOOD }, ProofError::OtherDid),
            (Sent { signer: 8, ..GOOD }, ProofError::Signature),
            (Sent { r#type: "com.example.other", ..GOOD }, ProofError::Type),
        ] {
            assert_eq!(read(&sent(&changed).0, "self"), Err(expected));
        }
    }

    /// What breaks: a byte that was changed on the way, or an answer that was cut off, is taken.
    #[test]
    fn no_part_of_a_proof_can_be_changed_or_left_out() {
        let (car, _) = sent(&GOOD);
        for at in 0..car.len() {
            let mut changed = car.clone();
            changed[at] ^= 1;
            read(&changed, "self").unwrap_err();
            read(&car[..at], "self").unwrap_err();
        }
    }
}
