//! DAG-CBOR, one item at a time: the one writer and the one strict reader that all formats here stand on.
//!
//! DAG-CBOR (in the protocol's profile, DRISL) has exactly one encoding for a value. [`Writer`] appends that one to a
//! buffer and cannot fail; [`Reader`] takes that one and nothing else:
//!
//! - integers and lengths in their shortest form, lengths definite;
//! - the keys of a map are text, by length and then by bytes, none twice ([`Reader::pairs`]);
//! - no tag but 42, a link: a byte string of a zero byte and a CID;
//! - of the simple values only false, true and null, and no floats;
//! - text is UTF-8, and nothing follows the value ([`Reader::end`]).
//!
//! The reader borrows from its input and never allocates. A count or length that the bytes left cannot hold is an
//! error at once, so a caller may reserve what an array or a map claims. The reader recurses only in
//! [`Reader::skip`], within the levels given; who recurses over [`Reader::item`] has to bound that himself.
//!
//! What is left to the callers, because formats differ in it: the order of keys on the writing side, the range of
//! integers (CBOR has 64 bits and a sign), and which CIDs a link may hold.

mod reader;
mod writer;

pub use reader::{Item, Reader};
pub use writer::Writer;

// Major types: the upper three bits of an item's first byte.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const TAG_LINK: u64 = 42;

/// Why bytes are not the canonical DAG-CBOR that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The input ends inside a value, or before the items that were announced can be there.
    #[error("CBOR ends early at byte {at}")]
    Truncated {
        /// Offset where more was needed.
        at: usize,
    },
    /// A value of another type was expected.
    #[error("expected {expected} at byte {at}")]
    Unexpected {
        /// What the format has at this place.
        expected: &'static str,
        /// Offset of the value.
        at: usize,
    },
    /// An integer or length is not in its shortest form, or has indefinite length.
    #[error("integer or length at byte {at} is not minimal and definite")]
    NotCanonical {
        /// Offset of the value's head.
        at: usize,
    },
    /// The keys of a map are not in ascending order, or one is there twice.
    #[error("key at byte {at} is out of order or given twice")]
    KeyOrder {
        /// Offset of the key that is not above the one before it.
        at: usize,
    },
    /// A floating point number.
    #[error("floating point number at byte {at}")]
    Float {
        /// Offset of the value.
        at: usize,
    },
    /// Text that is not UTF-8.
    #[error("text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Offset of the text.
        at: usize,
    },
    /// A link that holds no CID, or one of a kind that the format does not have at this place.
    #[error("link at byte {at} is not a CID that may be there")]
    BadLink {
        /// Offset of the link.
        at: usize,
    },
    /// Values nested deeper than the caller allows.
    #[error("nested too deep at byte {at}")]
    TooDeep {
        /// Offset of the first value below the allowed levels.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("bytes follow the value at byte {at}")]
    Trailing {
        /// Offset of the first byte too many.
        at: usize,
    },
}

#[cfg(test)]
mod tests;
