//! Reading DAG-CBOR strictly.

use cid::Cid;

use super::{
    ARRAY, BYTES, CborError, FALSE, MAP, NEGATIVE, NULL, SIMPLE, TAG, TAG_LINK, TEXT, TRUE, UNSIGNED,
};
use crate::link::{HASH_SHA256, Link, sha256_cid};

/// Room for the longest [`Cid`]: three numbers of up to ten bytes, one byte, and a digest of 64.
const CID_BYTES_MAX: usize = 96;
const HASH: u8 = HASH_SHA256 as u8;

/// An item; an array or a map is followed by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer from zero upwards.
    Unsigned(u64),
    /// An integer from -1 downwards: `-1 - n`.
    Negative(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// What a link holds behind its zero byte: to be read as a CID of a kind that is allowed.
    Link(&'a [u8]),
    /// Number of items, at most the number of bytes left.
    Array(usize),
    /// Number of pairs, at most half the number of bytes left.
    Map(usize),
}

/// Reads values one after the other from a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Length of the whole input, from which offsets are told.
    len: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, len: bytes.len() }
    }

    /// Offset of the next item.
    #[inline]
    fn at(&self) -> usize {
        self.len.saturating_sub(self.rest.len())
    }

    /// Bytes not read yet: the bound for any allocation a length asks for.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything was read.
    #[inline]
    pub fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing { at: self.at() }) }
    }

    /// The next item, whatever it is.
    #[inline]
    pub fn item(&mut self) -> Result<Item<'a>, CborError> {
        let at = self.at();
        let (&initial, rest) = self.rest.split_first().ok_or(CborError::Truncated { at })?;
        self.rest = rest;
        let major = initial >> 5;
        if major == SIMPLE {
            return simple(initial, at);
        }
        let argument = self.argument(initial, at)?;
        Ok(match major {
            UNSIGNED => Item::Unsigned(argument),
            NEGATIVE => Item::Negative(argument),
            BYTES => Item::Bytes(self.take(argument)?),
            TEXT => Item::Text(self.utf8(argument, at)?),
            ARRAY => Item::Array(self.count(argument, 1)?),
            MAP => Item::Map(self.count(argument, 2)?),
            _ => Item::Link(self.tagged(argument, at)?),
        })
    }

    /// An unsigned integer.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, CborError> {
        self.head(UNSIGNED, "an unsigned integer")
    }

    /// An integer of either sign within 64 bits.
    #[inline]
    pub fn integer(&mut self) -> Result<i64, CborError> {
        let unexpected = CborError::Unexpected { expected: "an integer of 64 bits", at: self.at() };
        match self.item()? {
            Item::Unsigned(value) => i64::try_from(value).map_err(|_| unexpected),
            Item::Negative(value) => i64::try_from(value).map(|value| !value).map_err(|_| unexpected),
            _ => Err(unexpected),
        }
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head(BYTES, "a byte string")?;
        self.take(len)
    }

    /// A text string.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let at = self.at();
        let len = self.head(TEXT, "text")?;
        self.utf8(len, at)
    }

    /// True or false.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, CborError> {
        let at = self.at();
        match self.item()? {
            Item::Bool(value) => Ok(value),
            _ => Err(CborError::Unexpected { expected: "true or false", at }),
        }
    }

    /// Null as `None`, or what `read` reads.
    #[inline]
    pub fn nullable<T, E>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<Option<T>, E> {
        match self.rest.split_first() {
            Some((&NULL, rest)) => {
                self.rest = rest;
                Ok(None)
            }
            _ => read(self).map(Some),
        }
    }

    /// Number of an array's items, which follow; at most the number of bytes left.
    #[inline]
    pub fn array(&mut self) -> Result<usize, CborError> {
        let items = self.head(ARRAY, "an array")?;
        self.count(items, 1)
    }

    /// Number of a map's pairs, which follow; at most half the number of bytes left.
    #[inline]
    pub fn map(&mut self) -> Result<usize, CborError> {
        let pairs = self.head(MAP, "a map")?;
        self.count(pairs, 2)
    }

    /// A map of exactly this many pairs, which follow.
    #[inline]
    pub fn map_of(&mut self, pairs: usize, expected: &'static str) -> Result<(), CborError> {
        let at = self.at();
        if self.map()? == pairs { Ok(()) } else { Err(CborError::Unexpected { expected, at }) }
    }

    /// Exactly this text, as a map key.
    #[inline]
    pub fn key(&mut self, expected: &'static str) -> Result<(), CborError> {
        let at = self.at();
        let len = self.head(TEXT, expected)?;
        // What equals text is text: no need to look at its UTF-8.
        if self.take(len)? == expected.as_bytes() {
            Ok(())
        } else {
            Err(CborError::Unexpected { expected, at })
        }
    }

    /// The content of a map: its keys one after the other, ascending, and `read` to read the value of each.
    #[inline]
    pub fn pairs<E: From<CborError>>(
        &mut self,
        count: usize,
        mut read: impl FnMut(&mut Self, &'a str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last: Option<&str> = None;
        for _ in 0..count {
            let at = self.at();
            let key = self.text()?;
            if last.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
                return Err(CborError::KeyOrder { at }.into());
            }
            last = Some(key);
            read(self, key)?;
        }
        Ok(())
    }

    /// A link to a DAG-CBOR block: CIDv1 with SHA-256.
    #[inline]
    pub fn link(&mut self) -> Result<Link, CborError> {
        let at = self.at();
        let tag = self.head(TAG, "a link")?;
        Link::from_cid_bytes(self.tagged(tag, at)?).ok_or(CborError::BadLink { at })
    }

    /// A link with a CID of any kind.
    #[inline]
    pub fn cid(&mut self) -> Result<Cid, CborError> {
        let at = self.at();
        let tag = self.head(TAG, "a link")?;
        read_cid(self.tagged(tag, at)?).ok_or(CborError::BadLink { at })
    }

    /// Passes over one value of at most `levels` levels, itself the first, as strictly as all that is read.
    pub fn skip(&mut self, levels: usize) -> Result<(), CborError> {
        let at = self.at();
        let below = levels.checked_sub(1).ok_or(CborError::TooDeep { at })?;
        match self.item()? {
            Item::Array(items) => {
                for _ in 0..items {
                    self.skip(below)?;
                }
                Ok(())
            }
            Item::Map(pairs) => self.pairs(pairs, |reader, _| reader.skip(below)),
            Item::Link(cid) => read_cid(cid).map(drop).ok_or(CborError::BadLink { at }),
            _ => Ok(()),
        }
    }

    /// The argument of a head that must have this major type.
    #[inline]
    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, CborError> {
        let at = self.at();
        let (&initial, rest) = self.rest.split_first().ok_or(CborError::Truncated { at })?;
        if initial >> 5 != major {
            return Err(CborError::Unexpected { expected, at });
        }
        self.rest = rest;
        self.argument(initial, at)
    }

    /// The argument of the head at `at`, of which only the initial byte has been read.
    #[inline]
    fn argument(&mut self, initial: u8, at: usize) -> Result<u64, CborError> {
        let (value, least) = match initial & 0x1f {
            direct @ 0..24 => return Ok(u64::from(direct)),
            24 => (u64::from(u8::from_be_bytes(self.fixed()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.fixed()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.fixed()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.fixed()?), 1 << 32),
            _ => return Err(CborError::NotCanonical { at }),
        };
        if value < least { Err(CborError::NotCanonical { at }) } else { Ok(value) }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let truncated = CborError::Truncated { at: self.at() };
        let (taken, rest) = self.rest.split_first_chunk().ok_or(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let truncated = CborError::Truncated { at: self.at() };
        let len = usize::try_from(len).map_err(|_| truncated)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The content of a text string whose head is at `at`.
    #[inline]
    fn utf8(&mut self, len: u64, at: usize) -> Result<&'a str, CborError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::NotUtf8 { at })
    }

    /// A count that the bytes left can hold, so that nobody allocates for a lie.
    #[inline]
    fn count(&self, count: u64, bytes_each: usize) -> Result<usize, CborError> {
        let fits = |count: &usize| *count <= self.rest.len() / bytes_each;
        usize::try_from(count).ok().filter(fits).ok_or(CborError::Truncated { at: self.at() })
    }

    /// The bytes of the CID behind the tag at `at`.
    #[inline]
    fn tagged(&mut self, tag: u64, at: usize) -> Result<&'a [u8], CborError> {
        if tag != TAG_LINK {
            return Err(CborError::Unexpected { expected: "tag 42", at });
        }
        match self.bytes()? {
            [0, cid @ ..] => Ok(cid),
            _ => Err(CborError::BadLink { at }),
        }
    }
}

/// A value of major type 7.
#[inline]
fn simple<'a>(initial: u8, at: usize) -> Result<Item<'a>, CborError> {
    match initial {
        FALSE => Ok(Item::Bool(false)),
        TRUE => Ok(Item::Bool(true)),
        NULL => Ok(Item::Null),
        0xf9..=0xfb => Err(CborError::Float { at }),
        _ => Err(CborError::Unexpected { expected: "null, true or false", at }),
    }
}

/// A CID in its one form: the parser of `Cid` passes over bytes behind it and over bits that its numbers have no room
/// for, and two links would be one value.
fn read_cid(bytes: &[u8]) -> Option<Cid> {
    // Nearly all are CIDv1 with a codec of one byte and SHA-256, which have no other form.
    if let Some((&[1, codec @ 0..0x80, HASH, 32], digest)) = bytes.split_first_chunk()
        && let Ok(digest) = digest.try_into()
    {
        return Some(sha256_cid(codec.into(), digest));
    }
    let cid = Cid::try_from(bytes).ok()?;
    let mut form = [0; CID_BYTES_MAX];
    let len = cid.write_bytes(form.as_mut_slice()).ok()?;
    (form.get(..len) == Some(bytes)).then_some(cid)
}
