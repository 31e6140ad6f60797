//! Writing DAG-CBOR.

use cid::Cid;

use super::{ARRAY, BYTES, FALSE, MAP, NEGATIVE, NULL, TAG, TAG_LINK, TEXT, TRUE, UNSIGNED};
use crate::link::Link;

/// Appends values to a buffer in their one canonical form.
///
/// [`Writer::array`] and [`Writer::map`] only announce: their items follow, for a map in canonical order.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// An unsigned integer.
    #[inline]
    pub fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    /// An integer of either sign.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        // CBOR counts negatives from -1 downwards, which in two's complement is to flip all bits.
        let (major, argument) = if value < 0 { (NEGATIVE, !value) } else { (UNSIGNED, value) };
        self.head(major, argument.unsigned_abs());
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text string.
    #[inline]
    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// An array of `items`, which follow.
    #[inline]
    pub fn array(&mut self, items: usize) {
        self.head(ARRAY, items as u64);
    }

    /// A map of `pairs`, which follow, shorter keys first and those of one length by their bytes.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        self.head(MAP, pairs as u64);
    }

    /// The key of a map's next pair; its value is what is written next.
    #[inline]
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.text(key);
        self
    }

    /// True or false.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.0.push(if value { TRUE } else { FALSE });
    }

    /// Null.
    #[inline]
    pub fn null(&mut self) {
        self.0.push(NULL);
    }

    /// What `write` writes of a value, or null where there is none.
    #[inline]
    pub fn nullable<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// A link by its CID, of whatever kind.
    pub fn cid(&mut self, cid: &Cid) {
        self.link_head(cid.encoded_len());
        let _ = cid.write_bytes(&mut *self.0); // writing to memory does not fail
    }

    /// A link to a DAG-CBOR block.
    #[inline]
    pub fn link(&mut self, link: &Link) {
        let cid = link.to_cid_bytes();
        self.link_head(cid.len());
        self.0.extend_from_slice(&cid);
    }

    /// Tag 42 and a byte string up to the CID: the zero byte says that its bytes follow as they are.
    #[inline]
    fn link_head(&mut self, cid_len: usize) {
        self.head(TAG, TAG_LINK);
        self.head(BYTES, (cid_len as u64).saturating_add(1));
        self.0.push(0);
    }

    /// A major type and its argument in the shortest form.
    #[inline]
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
