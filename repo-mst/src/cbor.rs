//! A strict DAG-CBOR reader and writer for the few shapes of this crate: nodes, commits, CAR headers.
//!
//! DRISL/DAG-CBOR has exactly one encoding for a value. The reader takes that one and nothing else: minimal
//! integers, definite lengths, tag 42 for links only. It borrows from its input, never allocates, and never
//! trusts a length further than the bytes that are there.

use crate::link::{CID_BYTES, Link};

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const NULL: u8 = 0xf6;
const TAG_LINK: u64 = 42;

/// Why bytes are not the canonical DAG-CBOR that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The input ends inside a value.
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
    /// Text that is not UTF-8.
    #[error("text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Offset of the text.
        at: usize,
    },
    /// A link that is not CIDv1, DAG-CBOR, SHA-256.
    #[error("link at byte {at} is not a CIDv1 of DAG-CBOR with SHA-256")]
    BadLink {
        /// Offset of the link.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("bytes follow the value at byte {at}")]
    Trailing {
        /// Offset of the first byte too many.
        at: usize,
    },
}

/// Reads values one after the other from a slice.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Bytes not read yet: the bound for any allocation a length asks for.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// A map of exactly this many pairs, which follow.
    pub(crate) fn map(&mut self, pairs: u64, expected: &'static str) -> Result<(), CborError> {
        let at = self.at;
        if self.head(MAP, expected)? == pairs { Ok(()) } else { Err(CborError::Unexpected { expected, at }) }
    }

    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.remaining() == 0 { Ok(()) } else { Err(CborError::Trailing { at: self.at }) }
    }

    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.head(UINT, "an unsigned integer")
    }

    pub(crate) fn byte_string(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head(BYTES, "a byte string")?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let at = self.at;
        let len = self.head(TEXT, "text")?;
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::NotUtf8 { at })
    }

    /// The length of an array whose items follow.
    pub(crate) fn array(&mut self) -> Result<u64, CborError> {
        self.head(ARRAY, "an array")
    }

    /// Exactly this text, as a map key.
    pub(crate) fn key(&mut self, expected: &'static str) -> Result<(), CborError> {
        let at = self.at;
        if self.text()? == expected { Ok(()) } else { Err(CborError::Unexpected { expected, at }) }
    }

    pub(crate) fn link(&mut self) -> Result<Link, CborError> {
        let at = self.at;
        if self.head(TAG, "a link")? != TAG_LINK {
            return Err(CborError::Unexpected { expected: "tag 42", at });
        }
        match self.byte_string()?.split_first() {
            Some((0, cid)) => Link::from_cid_bytes(cid).ok_or(CborError::BadLink { at }),
            _ => Err(CborError::BadLink { at }),
        }
    }

    pub(crate) fn link_or_null(&mut self) -> Result<Option<Link>, CborError> {
        if self.bytes.get(self.at) == Some(&NULL) {
            self.at = self.at.saturating_add(1);
            return Ok(None);
        }
        self.link().map(Some)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let truncated = CborError::Truncated { at: self.at };
        let len = usize::try_from(len).map_err(|_| truncated)?;
        let end = self.at.checked_add(len).ok_or(truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// The argument of a head that must have this major type.
    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, CborError> {
        let at = self.at;
        let first = *self.bytes.get(at).ok_or(CborError::Truncated { at })?;
        if first >> 5 != major {
            return Err(CborError::Unexpected { expected, at });
        }
        self.at = at.saturating_add(1);
        let (len, least) = match first & 0x1f {
            direct @ 0..24 => return Ok(u64::from(direct)),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(CborError::NotCanonical { at }),
        };
        let argument = self.take(len)?.iter().fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
        if argument < least { Err(CborError::NotCanonical { at }) } else { Ok(argument) }
    }
}

/// Appends values to a buffer in their one canonical form.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(crate) fn byte_string(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    pub(crate) fn map(&mut self, pairs: usize) {
        self.head(MAP, pairs as u64);
    }

    /// Tag 42 over the CID's bytes behind the multibase identity prefix.
    pub(crate) fn link_bytes(&mut self, cid: &[u8]) {
        self.head(TAG, TAG_LINK);
        self.head(BYTES, (cid.len() as u64).saturating_add(1));
        self.0.push(0);
        self.0.extend_from_slice(cid);
    }

    pub(crate) fn link(&mut self, link: &Link) {
        let cid: [u8; CID_BYTES] = link.to_cid_bytes();
        self.link_bytes(&cid);
    }

    pub(crate) fn link_or_null(&mut self, link: Option<&Link>) {
        match link {
            Some(link) => self.link(link),
            None => self.0.push(NULL),
        }
    }

    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        let [.., d, c, b, a] = argument.to_be_bytes();
        match argument {
            0..24 => self.0.push(major | a),
            24..0x100 => self.0.extend_from_slice(&[major | 24, a]),
            0x100..0x1_0000 => self.0.extend_from_slice(&[major | 25, b, a]),
            0x1_0000..0x1_0000_0000 => self.0.extend_from_slice(&[major | 26, d, c, b, a]),
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&argument.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_round_trip_at_every_width() {
        for value in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut bytes = Vec::new();
            Writer(&mut bytes).uint(value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.uint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn longer_forms_and_indefinite_lengths_are_refused() {
        for bytes in [&[0x18, 0x17][..], &[0x19, 0x00, 0xff], &[0x1a, 0, 0, 0xff, 0xff], &[0x1f]] {
            assert_eq!(Reader::new(bytes).uint(), Err(CborError::NotCanonical { at: 0 }));
        }
        assert_eq!(Reader::new(&[0x5f, 0xff]).byte_string(), Err(CborError::NotCanonical { at: 0 }));
    }

    #[test]
    fn a_length_beyond_the_input_is_an_error_not_an_allocation() {
        let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&huge).byte_string(), Err(CborError::Truncated { at: 9 }));
    }
}
