//! As much of CBOR (RFC 8949) as authenticators write: whole numbers, bytes, texts, lists, maps, true, false and null, each of
//! a length that is said before. Maps have numbers for names here, so the data model's own reader does not read them.

use super::Error;

/// How deep things may be in things: an attestation's certificates are three deep.
const DEPTH_MAX: usize = 5;
/// Entries of a list or a map: a key has five.
const ENTRIES_MAX: u64 = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Unsigned(u64),
    /// -1 less this.
    Negative(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    /// True, false or null, by its number.
    Simple(u64),
}

impl<'a> Item<'a> {
    pub(super) fn integer(value: i64) -> Self {
        if value < 0 {
            Self::Negative((-1 - value).unsigned_abs())
        } else {
            Self::Unsigned(value.unsigned_abs())
        }
    }

    pub(super) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Unsigned(value) => i64::try_from(*value).ok(),
            Self::Negative(value) => i64::try_from(*value).ok().map(|value| -1 - value),
            _ => None,
        }
    }

    /// What a map has under a name.
    pub(super) fn get(&self, name: Item<'_>) -> Option<&Item<'a>> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}

/// Reads one item: gives it, and what comes after it.
pub(super) fn read(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), Error> {
    let mut reader = Reader { rest: bytes };
    let item = reader.item(DEPTH_MAX)?;
    Ok((item, reader.rest))
}

const MALFORMED: Error = Error::Malformed("CBOR");

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let length = usize::try_from(length).map_err(|_| MALFORMED)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: u64) -> Result<u64, Error> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn item(&mut self, depth: usize) -> Result<Item<'a>, Error> {
        let inner = depth.checked_sub(1).ok_or(MALFORMED)?;
        let head = self.number(1)?;
        let (kind, info) = (head >> 5, head & 0x1f);
        let value = match info {
            0..24 => info,
            24..28 => self.number(1 << (info - 24))?,
            // Reserved, or of a length that is not said.
            _ => return Err(MALFORMED),
        };
        Ok(match kind {
            0 => Item::Unsigned(value),
            1 => Item::Negative(value),
            2 => Item::Bytes(self.take(value)?),
            3 => Item::Text(str::from_utf8(self.take(value)?).map_err(|_| MALFORMED)?),
            4 if value <= ENTRIES_MAX => {
                Item::List((0..value).map(|_| self.item(inner)).collect::<Result<_, _>>()?)
            }
            5 if value <= ENTRIES_MAX => Item::Map(self.entries(value, inner)?),
            7 if (20..23).contains(&info) => Item::Simple(info),
            _ => return Err(MALFORMED),
        })
    }

    fn entries(&mut self, count: u64, depth: usize) -> Result<Vec<(Item<'a>, Item<'a>)>, Error> {
        let mut entries: Vec<(Item<'a>, Item<'a>)> = Vec::new();
        for _ in 0..count {
            let name = self.item(depth)?;
            if entries.iter().any(|(other, _)| *other == name) {
                return Err(MALFORMED);
            }
            entries.push((name, self.item(depth)?));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_authenticators_write_is_read() {
        let (item, rest) = read(b"\xa3\x01\x02\x20\x44abcd\x62hi\x82\xf5\x19\x01\x00after").unwrap();
        assert_eq!(item.get(Item::integer(1)).and_then(Item::as_integer), Some(2));
        assert_eq!(item.get(Item::integer(-1)), Some(&Item::Bytes(b"abcd")));
        let list = Item::List(vec![Item::Simple(21), Item::Unsigned(256)]);
        assert_eq!(
            (item.get(Item::Text("hi")), item.get(Item::integer(2)), rest),
            (Some(&list), None, &b"after"[..])
        );
        assert_eq!(read(b"\x38\xff").unwrap().0.as_integer(), Some(-256));
        assert_eq!(read(b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff").unwrap().0.as_integer(), None);
    }

    #[test]
    fn what_is_cut_too_deep_too_long_or_of_another_kind_is_refused() {
        let whole = b"\xa2\x01\x82\x20\x44abcd\x63abc\xf6";
        read(whole).unwrap();
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), Err(MALFORMED), "{end}");
        }
        let deep = [&[0x81; DEPTH_MAX][..], &[0]].concat();
        read(&deep[1..]).unwrap();
        for bytes in [
            &deep[..],
            b"\x5f\x41a\xff",                         // of no length
            b"\xa2\x01\x02\x01\x03",                  // a name twice
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xffa", // longer than there is
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x98\x41",
            b"\xfa\x00\x00\x00\x00", // a fraction
            b"\xc0\x00",             // a tag
            b"\x62\xff\xff",         // no text
            b"\x1c",
            b"\xf8\x20",
        ] {
            assert_eq!(read(bytes), Err(MALFORMED), "{bytes:x?}");
        }
    }
}
