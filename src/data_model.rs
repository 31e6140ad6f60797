//! The protocol's data model: what a record may hold, in its two encodings.
//!
//! A value is an [`Ipld`]. On the wire and in responses it is JSON with `{"$link": cid}` for links and
//! `{"$bytes": base64}` for byte strings; at rest and under a CID it is DAG-CBOR, of which each value has exactly one
//! encoding (<https://atproto.com/specs/data-model>).
//!
//! Invariants
//! - What passes [`from_json`] or [`decode_record`] has no floats, integers within `i64`, at most
//!   [`DATA_DEPTH_MAX`](crate::limits::DATA_DEPTH_MAX) levels, and links only to DAG-CBOR or raw blocks under SHA-256.
//! - `encode_record(decode_record(bytes)) == bytes`: decoding refuses every encoding but the canonical one.
//! - JSON that repeats a key, misuses `$link`, `$bytes` or `$type`, or holds a malformed blob is refused.
//!
//! Tricky bits: `123.0` is the integer 123 in JSON, as in JavaScript, while 123.5 is refused; integers beyond 2^53
//! pass, since the specification only advises against them. Maps are ordered by length, then by bytes, in DAG-CBOR,
//! but by bytes in [`Ipld::Map`]; the encoder sorts. [`cbor_to_json`] is the hot path of reads: it writes JSON
//! straight from a block that was checked when it was stored, and builds nothing in between.

mod base32;
mod blob;
mod decode;
mod encode;
mod json_read;
mod json_write;
mod link;

pub use base32::{base32_decode, base32_encode};
pub use blob::{BlobRef, blob_refs};
pub use decode::{decode, decode_record};
pub use encode::{encode, encode_record};
pub use ipld_core::{cid::Cid, ipld::Ipld};
pub use json_read::{deserialize, from_json, record_from_json};
pub use json_write::{cbor_to_json, serialize, to_json};
pub use link::{CODEC_DAG_CBOR, CODEC_RAW, append_cid_text, cid_of_block, parse_link};

use repo_mst::CborError;

/// Why a value is not of the data model. Messages name the rule, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataModelError {
    /// A record that is not a map.
    #[error("a record must be an object")]
    NotAMap,
    /// A number with a fraction, or a CBOR float of any value.
    #[error("floating point numbers are not allowed")]
    Float,
    /// An integer that does not fit 64 signed bits.
    #[error("integer does not fit 64 bits")]
    IntegerRange,
    /// Lists and maps nested deeper than [`DATA_DEPTH_MAX`](crate::limits::DATA_DEPTH_MAX).
    #[error("nested too deeply")]
    TooDeep,
    /// A record over [`RECORD_BYTES_MAX`](crate::limits::RECORD_BYTES_MAX) in DAG-CBOR.
    #[error("record is {bytes} bytes, too large")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// JSON that does not parse, or whose value breaks a rule; with line and column.
    #[error("JSON: {0}")]
    Json(String),
    /// A key given twice in one object.
    #[error("key is given twice in one object")]
    DuplicateKey,
    /// `$link` that is not alone in its object or not the text of a CID of an allowed kind.
    #[error("$link must be alone in its object and hold the CID of a DAG-CBOR or raw block")]
    Link,
    /// `$bytes` that is not alone in its object or not base64.
    #[error("$bytes must be alone in its object and hold base64")]
    Bytes,
    /// `$type` that is not a string with something in it.
    #[error("$type must be a non-empty string")]
    Type,
    /// `$type: blob` without a link in `ref`, a string in `mimeType` and a size in `size`.
    #[error("a blob must have ref, mimeType and size")]
    Blob,
    /// Bytes that are not canonical DAG-CBOR.
    #[error("DAG-CBOR: {0}")]
    Cbor(CborError),
}

impl From<CborError> for DataModelError {
    /// Rules that hold in both encodings have one name.
    fn from(error: CborError) -> Self {
        match error {
            CborError::Float { .. } => Self::Float,
            CborError::BadLink { .. } => Self::Link,
            error => Self::Cbor(error),
        }
    }
}

#[cfg(test)]
mod tests;
