//! One DAG-CBOR item at a time, with the checks that concern an item alone: minimal heads, definite lengths, no
//! floats, no tag but 42, valid UTF-8, allowed links.

use super::{DataModelError, link::link_codec};

/// An item; a list or map is followed by its content.
pub(super) enum Item<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// The bytes of an allowed CID.
    Link(&'a [u8]),
    /// Number of items, at most the number of bytes left.
    List(usize),
    /// Number of entries, at most half the number of bytes left.
    Map(usize),
}

pub(super) struct Reader<'a>(&'a [u8]);

const CUT_SHORT: DataModelError = DataModelError::Cbor("cut short");

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all was read; anything left is an error.
    pub(super) fn finish(&self) -> Result<(), DataModelError> {
        if self.0.is_empty() { Ok(()) } else { Err(DataModelError::Cbor("bytes after the value")) }
    }

    #[inline]
    pub(super) fn item(&mut self) -> Result<Item<'a>, DataModelError> {
        let (&initial, rest) = self.0.split_first().ok_or(CUT_SHORT)?;
        self.0 = rest;
        if initial >> 5 == 7 {
            return match initial {
                0xf4 => Ok(Item::Bool(false)),
                0xf5 => Ok(Item::Bool(true)),
                0xf6 => Ok(Item::Null),
                0xf9..=0xfb => Err(DataModelError::Float),
                _ => Err(DataModelError::Cbor("simple value that is not allowed")),
            };
        }
        let argument = self.argument(initial & 0x1f)?;
        match initial >> 5 {
            0 => i64::try_from(argument).map(Item::Integer).map_err(|_| DataModelError::IntegerRange),
            1 => i64::try_from(argument)
                .map(|n| Item::Integer(-1 - n))
                .map_err(|_| DataModelError::IntegerRange),
            2 => self.take(argument).map(Item::Bytes),
            3 => self.text(argument).map(Item::Text),
            4 => self.count(argument, 1).map(Item::List),
            5 => self.count(argument, 2).map(Item::Map),
            _ => self.link(argument).map(Item::Link),
        }
    }

    /// A map key, which is always text.
    #[inline]
    pub(super) fn key(&mut self) -> Result<&'a str, DataModelError> {
        match self.item()? {
            Item::Text(key) => Ok(key),
            _ => Err(DataModelError::Cbor("map key is not text")),
        }
    }

    #[inline]
    fn argument(&mut self, low: u8) -> Result<u64, DataModelError> {
        let (value, least) = match low {
            0..=23 => return Ok(u64::from(low)),
            24 => (u64::from(u8::from_be_bytes(self.array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            _ => return Err(DataModelError::Cbor("indefinite length or reserved head")),
        };
        if value < least { Err(DataModelError::Cbor("head is not minimal")) } else { Ok(value) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DataModelError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(CUT_SHORT)?;
        self.0 = rest;
        Ok(*head)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], DataModelError> {
        let length = usize::try_from(length).map_err(|_| CUT_SHORT)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self, length: u64) -> Result<&'a str, DataModelError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| DataModelError::Cbor("text is not UTF-8"))
    }

    /// A length that the bytes left can hold, so that nobody allocates for a lie.
    fn count(&self, count: u64, bytes_each: usize) -> Result<usize, DataModelError> {
        usize::try_from(count).ok().filter(|n| *n <= self.0.len() / bytes_each).ok_or(CUT_SHORT)
    }

    fn link(&mut self, tag: u64) -> Result<&'a [u8], DataModelError> {
        if tag != 42 {
            return Err(DataModelError::Cbor("tag that is not allowed"));
        }
        match self.item()? {
            Item::Bytes([0, cid @ ..]) => link_codec(cid).map(|_| cid),
            _ => Err(DataModelError::Link),
        }
    }
}
