//! Commits: the signed statement of what a repo holds.
//!
//! Version 3 as canonical DAG-CBOR, `{did, rev, sig, data, prev, version}` in that (length first) order. The bytes
//! that are signed are the same map without `sig`. Signing and verifying belong to whoever has keys.

use bytes::Bytes;
use cid::Cid;

use crate::cbor::{CborError, Reader, Writer};

/// The version written, and the only one read.
pub const VERSION: u64 = 3;
/// Longest commit block: far above what its fields allow, and what `#sync` events may carry.
pub const COMMIT_BYTES_MAX: usize = 10_000;
const DID_BYTES_MAX: usize = 2048;
const SIG_BYTES: usize = 64;
const TID_ALPHABET: &[u8] = b"234567abcdefghijklmnopqrstuvwxyz";

/// A commit before it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsignedCommit<'a> {
    /// The account.
    pub did: &'a str,
    /// Revision: a TID above that of the commit before.
    pub rev: &'a str,
    /// Root of the tree.
    pub data: Cid,
    /// Null in version 3 as everyone writes it.
    pub prev: Option<Cid>,
}

/// A signed commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The account.
    pub did: String,
    /// Revision.
    pub rev: String,
    /// Root of the tree.
    pub data: Cid,
    /// Null in version 3 as everyone writes it.
    pub prev: Option<Cid>,
    /// 64 bytes over the hash of the unsigned commit.
    pub sig: Bytes,
}

/// Why bytes are not a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Larger than [`COMMIT_BYTES_MAX`].
    #[error("commit has {bytes} bytes, more than {COMMIT_BYTES_MAX}")]
    TooLarge {
        /// Size of the block.
        bytes: usize,
    },
    /// Another version of the format.
    #[error("commit has version {version}, not {VERSION}")]
    Version {
        /// What it says.
        version: u64,
    },
    /// Not a canonical DAG-CBOR commit.
    #[error("commit is not canonical DAG-CBOR with the fields of version {VERSION}")]
    Cbor(#[from] CborError),
    /// A field whose value can't be.
    #[error("commit has a bad {field}")]
    Field {
        /// The field.
        field: &'static str,
    },
}

impl UnsignedCommit<'_> {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(None)
    }

    /// The commit with its signature.
    pub fn sign_with(&self, sig: Bytes) -> Commit {
        Commit { did: self.did.into(), rev: self.rev.into(), data: self.data, prev: self.prev, sig }
    }

    fn encode_with(&self, sig: Option<&[u8]>) -> Vec<u8> {
        let mut block = Vec::with_capacity(256);
        let mut writer = Writer(&mut block);
        writer.map(if sig.is_some() { 6 } else { 5 });
        writer.key("did").text(self.did);
        writer.key("rev").text(self.rev);
        if let Some(sig) = sig {
            writer.key("sig").bytes(sig);
        }
        writer.key("data").cid(&self.data);
        writer.key("prev").nullable(self.prev.as_ref(), Writer::cid);
        writer.key("version").unsigned(VERSION);
        block
    }
}

impl Commit {
    /// The part that was signed.
    pub fn unsigned(&self) -> UnsignedCommit<'_> {
        UnsignedCommit { did: &self.did, rev: &self.rev, data: self.data, prev: self.prev }
    }

    /// The commit's block.
    pub fn encode(&self) -> Vec<u8> {
        self.unsigned().encode_with(Some(&self.sig))
    }

    /// Decodes a commit and checks the form of its fields. The signature is not verified here.
    pub fn decode(block: &[u8]) -> Result<Self, CommitError> {
        if block.len() > COMMIT_BYTES_MAX {
            return Err(CommitError::TooLarge { bytes: block.len() });
        }
        decode(block).map_err(|error| match other_version(block) {
            Some(version) => CommitError::Version { version },
            None => error,
        })
    }
}

fn decode(block: &[u8]) -> Result<Commit, CommitError> {
    let mut reader = Reader::new(block);
    reader.map_of(6, "a map of six")?;
    reader.key("did")?;
    let did = reader.text()?;
    reader.key("rev")?;
    let rev = reader.text()?;
    reader.key("sig")?;
    let sig = reader.bytes()?;
    reader.key("data")?;
    let data = reader.link()?;
    reader.key("prev")?;
    let prev = reader.nullable(Reader::link)?;
    reader.key("version")?;
    let version = reader.unsigned()?;
    reader.end()?;
    let check = |ok, field| if ok { Ok(()) } else { Err(CommitError::Field { field }) };
    check(version == VERSION, "version")?;
    check(did.starts_with("did:") && did.len() <= DID_BYTES_MAX, "did")?;
    check(is_tid(rev), "rev")?;
    check(sig.len() == SIG_BYTES, "sig")?;
    Ok(Commit {
        did: did.into(),
        rev: rev.into(),
        data: data.cid(),
        prev: prev.map(Cid::from),
        sig: Bytes::copy_from_slice(sig),
    })
}

/// The version when it is the block's last field and not ours. Older versions have other fields (version 2 may
/// leave out `prev` or `rev`), and are to be named, not called malformed.
fn other_version(block: &[u8]) -> Option<u64> {
    let (head, version) = block.split_at_checked(block.len().checked_sub(1)?)?;
    let version = u64::from(*version.first()?);
    (head.ends_with(b"\x67version") && version < 24 && version != VERSION).then_some(version)
}

/// A TID: 13 characters of the sortable base 32, the first one not setting the top bit.
fn is_tid(text: &str) -> bool {
    text.len() == 13
        && text.bytes().all(|byte| TID_ALPHABET.contains(&byte))
        && text.bytes().next().is_some_and(|first| first <= b'j')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;

    fn unsigned() -> UnsignedCommit<'static> {
        UnsignedCommit {
            did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
            rev: "3jqfcqzm3fo2j",
            data: Link::to_block(b"root").cid(),
            prev: None,
        }
    }

    #[test]
    fn a_commit_round_trips_and_signs_itself_without_sig() {
        let commit = unsigned().sign_with(Bytes::from(vec![7; 64]));
        let block = commit.encode();
        assert_eq!(Commit::decode(&block), Ok(commit.clone()));
        assert_eq!(commit.unsigned().encode(), unsigned().encode());
        assert!(Commit::decode(&unsigned().encode()).is_err());
        let chained = Commit { prev: Some(Link::to_block(b"before").cid()), ..commit };
        assert_eq!(Commit::decode(&chained.encode()), Ok(chained));
    }

    #[test]
    fn version_two_is_named() {
        let mut block = unsigned().sign_with(Bytes::from(vec![7; 64])).encode();
        *block.last_mut().unwrap() = 2;
        assert_eq!(Commit::decode(&block), Err(CommitError::Version { version: 2 }));
        // As it was written once: without prev.
        let mut old = Vec::new();
        let mut writer = Writer(&mut old);
        writer.map(2);
        writer.key("did").text("did:plc:x");
        writer.key("version").unsigned(2);
        assert_eq!(Commit::decode(&old), Err(CommitError::Version { version: 2 }));
    }

    #[test]
    fn missing_prev_truncation_and_bad_fields_are_refused() {
        let commit = unsigned().sign_with(Bytes::from(vec![7; 64]));
        let block = commit.encode();
        for end in 0..block.len() {
            assert!(Commit::decode(&block[..end]).is_err(), "{end}");
        }
        let field = |commit: Commit| Commit::decode(&commit.encode()).unwrap_err();
        let short = Commit { sig: Bytes::from(vec![7; 63]), ..commit.clone() };
        assert_eq!(field(short), CommitError::Field { field: "sig" });
        let rev = Commit { rev: "kjqfcqzm3fo2j".into(), ..commit.clone() };
        assert_eq!(field(rev), CommitError::Field { field: "rev" });
        let did = Commit { did: "plc:x".into(), ..commit };
        assert_eq!(field(did), CommitError::Field { field: "did" });
    }
}
