//! The CIDs a record may link to: version 1, DAG-CBOR or raw, SHA-256. All of them are 36 bytes, 59 characters.

use ipld_core::cid::{Cid, Version, multihash::Multihash};
use sha2::{Digest as _, Sha256};

use super::{
    DataModelError,
    base32::{base32_append, base32_decode},
};

/// Multicodec of DAG-CBOR: records, commits, tree nodes.
pub const CODEC_DAG_CBOR: u64 = 0x71;
/// Multicodec of raw bytes: blobs.
pub const CODEC_RAW: u64 = 0x55;

const VERSION_1: u8 = 1;
const SHA2_256: u8 = 0x12;
const DIGEST_BYTES: usize = 32;
const PREFIX_BYTES: usize = 4;
/// Length of an allowed CID in bytes.
pub(super) const LINK_BYTES: usize = PREFIX_BYTES + DIGEST_BYTES;

/// The CID of a block's bytes.
#[must_use]
pub fn cid_of_block(codec: u64, block: &[u8]) -> Cid {
    from_digest(codec, &Sha256::digest(block).into())
}

/// Reads the text of an allowed CID: multibase base32, as `$link` holds it.
///
/// # Errors
/// [`DataModelError::Link`].
pub fn parse_link(text: &str) -> Result<Cid, DataModelError> {
    // The length first: what follows is then bounded.
    let base32 = text.strip_prefix('b').filter(|rest| rest.len() == 58).ok_or(DataModelError::Link)?;
    link_from_bytes(&base32_decode(base32).ok_or(DataModelError::Link)?)
}

/// Reads the bytes of an allowed CID.
pub(super) fn link_from_bytes(bytes: &[u8]) -> Result<Cid, DataModelError> {
    let codec = link_codec(bytes)?;
    let digest = bytes.last_chunk::<DIGEST_BYTES>().ok_or(DataModelError::Link)?;
    Ok(from_digest(codec, digest))
}

/// Checks the form of an allowed CID's bytes and returns its codec.
pub(super) fn link_codec(bytes: &[u8]) -> Result<u64, DataModelError> {
    match bytes.first_chunk::<PREFIX_BYTES>() {
        Some(&[VERSION_1, codec, SHA2_256, 0x20]) if bytes.len() == LINK_BYTES => match u64::from(codec) {
            codec @ (CODEC_DAG_CBOR | CODEC_RAW) => Ok(codec),
            _ => Err(DataModelError::Link),
        },
        _ => Err(DataModelError::Link),
    }
}

/// Checks that a CID is an allowed one.
pub(super) fn check_link(cid: &Cid) -> Result<(), DataModelError> {
    let hash = cid.hash();
    let is_allowed = cid.version() == Version::V1
        && matches!(cid.codec(), CODEC_DAG_CBOR | CODEC_RAW)
        && hash.code() == u64::from(SHA2_256)
        && hash.digest().len() == DIGEST_BYTES;
    if is_allowed { Ok(()) } else { Err(DataModelError::Link) }
}

/// The bytes of an allowed CID.
pub(super) fn link_to_bytes(cid: &Cid) -> Result<Vec<u8>, DataModelError> {
    check_link(cid)?;
    Ok(cid.to_bytes())
}

/// Appends the text of a CID; an allowed one, as all that are stored are, without a detour.
pub fn append_cid_text(out: &mut Vec<u8>, cid: &Cid) {
    match (check_link(cid), u8::try_from(cid.codec())) {
        (Ok(()), Ok(codec)) => {
            let mut bytes = [0; LINK_BYTES];
            let (prefix, digest) = bytes.split_at_mut(PREFIX_BYTES);
            prefix.copy_from_slice(&[VERSION_1, codec, SHA2_256, 0x20]);
            digest.copy_from_slice(cid.hash().digest());
            append_link_text(out, &bytes);
        }
        _ => out.extend_from_slice(cid.to_string().as_bytes()),
    }
}

/// Appends the text of a CID given in bytes.
pub(super) fn append_link_text(out: &mut Vec<u8>, cid: &[u8]) {
    out.push(b'b');
    base32_append(out, cid);
}

fn from_digest(codec: u64, digest: &[u8; DIGEST_BYTES]) -> Cid {
    // 32 bytes always fit the 64 of a multihash.
    Cid::new_v1(codec, Multihash::wrap(u64::from(SHA2_256), digest).unwrap_or_default())
}
