//! Content ids: the general `Cid` at the crate's border, the 32 byte [`Link`] within.
//!
//! A tree's links, to nodes and to records, are all CIDv1, DAG-CBOR, SHA-256, so inside the tree the digest
//! says everything. A digest keeps a cached node a third as large as it would be with `Cid`s of 96 bytes.

use cid::Cid;
use multihash::Multihash;
use sha2::{Digest, Sha256};

/// Multicodec of DAG-CBOR: nodes, commits, records.
pub const CODEC_DAG_CBOR: u64 = 0x71;
/// Multicodec of raw bytes: blobs.
pub const CODEC_RAW: u64 = 0x55;
/// Multihash code of SHA-256.
pub(crate) const HASH_SHA256: u64 = 0x12;
/// Length of a CIDv1 with SHA-256 in binary.
pub(crate) const CID_BYTES: usize = 36;

/// The CID of a DAG-CBOR block.
pub fn cid_for_cbor(block: &[u8]) -> Cid {
    Link::to_block(block).cid()
}

/// The CID of raw bytes (a blob).
pub fn cid_for_raw(bytes: &[u8]) -> Cid {
    sha256_cid(CODEC_RAW, &sha256(bytes))
}

/// The SHA-256 digest of a DAG-CBOR block, standing for its CID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link([u8; 32]);

impl Link {
    /// The link to a block with these bytes.
    pub fn to_block(block: &[u8]) -> Link {
        Link(sha256(block))
    }

    /// The general form.
    pub fn cid(&self) -> Cid {
        sha256_cid(CODEC_DAG_CBOR, &self.0)
    }

    /// `None` when the CID is not v1, DAG-CBOR, SHA-256.
    pub fn from_cid(cid: &Cid) -> Option<Link> {
        let digest = sha256_digest(cid)?;
        (cid.codec() == CODEC_DAG_CBOR).then_some(Link(digest))
    }

    /// As [`Link::from_cid`], of a CID in binary.
    pub fn from_cid_bytes(bytes: &[u8]) -> Option<Link> {
        let digest = bytes.strip_prefix(&[0x01, CODEC_DAG_CBOR as u8, HASH_SHA256 as u8, 32])?;
        Some(Link(digest.try_into().ok()?))
    }

    pub(crate) fn to_cid_bytes(self) -> [u8; CID_BYTES] {
        let mut bytes = [0; CID_BYTES];
        let (prefix, digest) = bytes.split_at_mut(4);
        prefix.copy_from_slice(&[0x01, CODEC_DAG_CBOR as u8, HASH_SHA256 as u8, 32]);
        digest.copy_from_slice(&self.0);
        bytes
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cid())
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cid().fmt(f)
    }
}

impl From<Link> for Cid {
    fn from(link: Link) -> Cid {
        link.cid()
    }
}

/// The digest of a CIDv1 with SHA-256 over DAG-CBOR or raw bytes, the two the protocol blesses.
pub(crate) fn sha256_digest(cid: &Cid) -> Option<[u8; 32]> {
    let blessed = cid.version() == cid::Version::V1
        && (cid.codec() == CODEC_DAG_CBOR || cid.codec() == CODEC_RAW)
        && cid.hash().code() == HASH_SHA256;
    if blessed { cid.hash().digest().try_into().ok() } else { None }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn sha256_cid(codec: u64, digest: &[u8; 32]) -> Cid {
    // `wrap` fails only on digests above 64 bytes; the default multihash can't come out.
    Cid::new_v1(codec, Multihash::wrap(HASH_SHA256, digest).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cids_have_the_known_text_form() {
        // {} in DAG-CBOR, and the empty blob: values seen all over the network.
        assert_eq!(
            cid_for_cbor(&[0xa0]).to_string(),
            "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
        );
        assert_eq!(
            cid_for_raw(b"").to_string(),
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
    }

    #[test]
    fn links_and_cids_convert_both_ways() {
        let link = Link::to_block(b"block");
        assert_eq!(Link::from_cid(&link.cid()), Some(link));
        assert_eq!(link.cid().to_bytes(), link.to_cid_bytes());
        assert_eq!(Link::from_cid_bytes(&link.to_cid_bytes()), Some(link));
        assert_eq!(Link::from_cid(&cid_for_raw(b"block")), None);
    }
}
