use std::collections::BTreeMap;

use cid::Cid;
use multihash::Multihash;
use proptest::prelude::*;

use super::*;
use crate::link::{Link, cid_for_raw};

const LEVELS: usize = 16;

/// A value as it is written; keys carry their length, so that the map's order is the canonical one.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Bytes(Vec<u8>),
    Text(String),
    Link(Cid),
    Array(Vec<Value>),
    Map(BTreeMap<(usize, String), Value>),
}

fn write(writer: &mut Writer<'_>, value: &Value) {
    match value {
        Value::Null => writer.null(),
        Value::Bool(bool) => writer.bool(*bool),
        Value::Unsigned(integer) => writer.unsigned(*integer),
        Value::Negative(integer) => writer.integer(*integer),
        Value::Bytes(bytes) => writer.bytes(bytes),
        Value::Text(text) => writer.text(text),
        Value::Link(cid) => writer.cid(cid),
        Value::Array(items) => {
            writer.array(items.len());
            items.iter().for_each(|item| write(writer, item));
        }
        Value::Map(pairs) => {
            writer.map(pairs.len());
            pairs.iter().for_each(|((_, key), value)| write(writer.key(key), value));
        }
    }
}

fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer(&mut bytes), value);
    bytes
}

fn read(reader: &mut Reader<'_>, levels: usize) -> Result<Value, CborError> {
    let ahead = reader.clone();
    Ok(match reader.item()? {
        Item::Null => Value::Null,
        Item::Bool(bool) => Value::Bool(bool),
        Item::Unsigned(integer) => Value::Unsigned(integer),
        Item::Negative(_) => {
            *reader = ahead;
            Value::Negative(reader.integer()?)
        }
        Item::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        Item::Text(text) => Value::Text(text.to_owned()),
        Item::Link(_) => {
            *reader = ahead;
            Value::Link(reader.cid()?)
        }
        Item::Array(_) | Item::Map(_) if levels == 0 => return Err(CborError::TooDeep { at: 0 }),
        Item::Array(count) => {
            Value::Array((0..count).map(|_| read(reader, levels - 1)).collect::<Result<_, _>>()?)
        }
        Item::Map(count) => {
            let mut map = BTreeMap::new();
            reader.pairs(count, |reader, key| {
                map.insert((key.len(), key.to_owned()), read(reader, levels - 1)?);
                Ok::<_, CborError>(())
            })?;
            Value::Map(map)
        }
    })
}

fn read_all(bytes: &[u8]) -> Result<Value, CborError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader, LEVELS)?;
    reader.end()?;
    Ok(value)
}

/// Passes over a value, which has to be all there is.
fn skip(bytes: &[u8], levels: usize) -> Result<(), CborError> {
    let mut reader = Reader::new(bytes);
    reader.skip(levels)?;
    reader.end()
}

fn any_cid() -> impl Strategy<Value = Cid> {
    (any::<u64>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..=64))
        .prop_map(|(codec, hash, digest)| Cid::new_v1(codec, Multihash::wrap(hash, &digest).unwrap()))
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::Unsigned),
        (0u64..300).prop_map(Value::Unsigned),
        (i64::MIN..0).prop_map(Value::Negative),
        (-300i64..0).prop_map(Value::Negative),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<String>().prop_map(Value::Text),
        any_cid().prop_map(Value::Link),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let key = ".{0,8}".prop_map(|key| (key.len(), key));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::btree_map(key, inner, 0..8).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_reads_back(value in any_value()) {
        let bytes = written(&value);
        prop_assert_eq!(skip(&bytes, LEVELS), Ok(()));
        prop_assert_eq!(read_all(&bytes), Ok(value));
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused(value in any_value(), more: u8) {
        let mut bytes = written(&value);
        for end in 0..bytes.len() {
            prop_assert!(read_all(&bytes[..end]).is_err());
            prop_assert!(skip(&bytes[..end], LEVELS).is_err());
        }
        let at = bytes.len();
        bytes.push(more);
        prop_assert_eq!(read_all(&bytes), Err(CborError::Trailing { at }));
        prop_assert_eq!(skip(&bytes, LEVELS), Err(CborError::Trailing { at }));
    }

    /// There is one encoding of a value, and reading and skipping agree on which.
    #[test]
    fn what_reads_is_what_would_be_written(value in any_value(), at: prop::sample::Index, to: u8) {
        let mut bytes = written(&value);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let read = read_all(&bytes);
        // Negatives beyond 64 bits are CBOR, but nobody's integers here.
        let beyond = |error| matches!(error, CborError::Unexpected { expected: "an integer of 64 bits", .. });
        match read {
            Ok(value) => {
                prop_assert_eq!(skip(&bytes, LEVELS), Ok(()));
                prop_assert_eq!(written(&value), bytes);
            }
            Err(error) => prop_assert!(beyond(error) || skip(&bytes, LEVELS).is_err()),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let read = read_all(&bytes);
        if let Ok(value) = read {
            prop_assert_eq!(written(&value), bytes.clone());
        }
        let _ = skip(&bytes, LEVELS);
        let typed: [fn(&mut Reader<'_>) -> bool; 9] = [
            |reader| reader.unsigned().is_ok(),
            |reader| reader.integer().is_ok(),
            |reader| reader.bytes().is_ok(),
            |reader| reader.text().is_ok(),
            |reader| reader.bool().is_ok(),
            |reader| reader.array().is_ok(),
            |reader| reader.map().is_ok(),
            |reader| reader.link().is_ok(),
            |reader| reader.nullable(Reader::cid).is_ok(),
        ];
        for read in typed {
            let mut reader = Reader::new(&bytes);
            while read(&mut reader) && reader.remaining() > 0 {}
        }
    }
}

#[test]
fn heads_have_the_width_that_their_argument_needs() {
    let widths = [(0, 1), (23, 1), (24, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)];
    let wide = [(u64::from(u32::MAX), 5), (1 << 32, 9), (u64::MAX, 9)];
    for (value, width) in widths.into_iter().chain(wide) {
        let bytes = written(&Value::Unsigned(value));
        assert_eq!(bytes.len(), width, "{value}");
        assert_eq!(read_all(&bytes), Ok(Value::Unsigned(value)));
    }
    for (value, bytes) in [(-1, &[0x20][..]), (-24, &[0x37]), (-25, &[0x38, 24]), (-256, &[0x38, 255])] {
        assert_eq!(written(&Value::Negative(value)), bytes);
        assert_eq!(read_all(bytes), Ok(Value::Negative(value)));
    }
    assert_eq!(written(&Value::Negative(i64::MIN)), [&[0x3b, 0x7f][..], &[0xff; 7]].concat());
}

/// Every argument in every width that is not its shortest: all of them for one and two bytes, the edges above.
#[test]
fn every_longer_form_of_a_head_is_refused() {
    let below = |least: u64| (0..=255).chain([256, least / 2, least - 1]).filter(move |n| *n < least);
    for major in UNSIGNED..=TAG {
        for (short, width, least) in [(24, 1, 24), (25, 2, 1 << 8), (26, 4, 1 << 16), (27, 8, 1 << 32)] {
            for argument in below(least) {
                let mut bytes = vec![major << 5 | short];
                bytes.extend(&argument.to_be_bytes()[8 - width..]);
                bytes.extend([0x41; 300]);
                assert_eq!(Reader::new(&bytes).item(), Err(CborError::NotCanonical { at: 0 }), "{bytes:x?}");
                assert_eq!(skip(&bytes, LEVELS), Err(CborError::NotCanonical { at: 0 }));
            }
        }
    }
}

#[test]
fn indefinite_lengths_and_reserved_heads_are_refused() {
    for major in UNSIGNED..=TAG {
        for short in 28..=31 {
            let bytes = [major << 5 | short, 0x61, b'a', 0xff];
            assert_eq!(skip(&bytes, LEVELS), Err(CborError::NotCanonical { at: 0 }), "{bytes:x?}");
        }
    }
}

#[test]
fn floats_and_other_simple_values_and_tags_are_refused() {
    for initial in 0xe0..=0xff {
        let bytes = [&[initial][..], &[0; 8]].concat();
        let item = Reader::new(&bytes).item();
        match initial {
            FALSE | TRUE | NULL => assert!(item.is_ok(), "{initial:x}"),
            0xf9..=0xfb => assert_eq!(item, Err(CborError::Float { at: 0 }), "{initial:x}"),
            _ => assert!(matches!(item, Err(CborError::Unexpected { at: 0, .. })), "{initial:x}"),
        }
    }
    for tag in [&[0xc0][..], &[0xd8, 41], &[0xd8, 43], &[0xd9, 0xd9, 0xf7]] {
        let bytes = [tag, &[0x42, 0, 1]].concat();
        let refused = CborError::Unexpected { expected: "tag 42", at: 0 };
        assert_eq!(skip(&bytes, LEVELS), Err(refused), "{tag:x?}");
    }
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let map = |keys: &[&str]| {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        writer.map(keys.len());
        keys.iter().for_each(|key| writer.key(key).null());
        bytes
    };
    for good in [&["", "a", "b", "aa"][..], &["z", "é", "aaa"], &["\u{7f}", "\u{80}"]] {
        assert_eq!(skip(&map(good), LEVELS), Ok(()), "{good:?}");
    }
    for bad in [&["a", "a"][..], &["b", "a"], &["aa", "b"], &["", ""], &["ab", "aa"]] {
        let at = 2 + bad[0].len() + 1;
        assert_eq!(skip(&map(bad), LEVELS), Err(CborError::KeyOrder { at }), "{bad:?}");
        assert_eq!(read_all(&map(bad)), Err(CborError::KeyOrder { at }), "{bad:?}");
    }
    // Keys are text and nothing else.
    for key in [&[0x01][..], &[0x41, b'a'], &[0xf6], &[0x80]] {
        let bytes = [&[0xa1][..], key, &[0xf6, 0xf6]].concat();
        assert_eq!(skip(&bytes, LEVELS), Err(CborError::Unexpected { expected: "text", at: 1 }));
    }
}

#[test]
fn levels_beyond_the_bound_are_refused() {
    let nested = |levels: usize| [vec![0x81; levels - 1], vec![0x80]].concat();
    assert_eq!(skip(&nested(3), 3), Ok(()));
    assert_eq!(skip(&nested(4), 3), Err(CborError::TooDeep { at: 3 }));
    assert_eq!(skip(&[0xf6], 0), Err(CborError::TooDeep { at: 0 }));
    let maps = [&[0xa1, 0x61, b'a'].repeat(3)[..], &[0xf6]].concat();
    assert_eq!(skip(&maps, 4), Ok(()));
    assert_eq!(skip(&maps, 3), Err(CborError::TooDeep { at: 9 }));
    assert_eq!(skip(&[0x81; 100_000], LEVELS), Err(CborError::TooDeep { at: LEVELS }));
}

#[test]
fn a_count_or_length_beyond_the_input_is_an_error_not_an_allocation() {
    for major in [BYTES, TEXT, ARRAY, MAP] {
        let bytes = [&[major << 5 | 27][..], &[0xff; 8]].concat();
        assert_eq!(Reader::new(&bytes).item(), Err(CborError::Truncated { at: 9 }));
    }
    assert_eq!(Reader::new(&[0x82, 0xf6]).array(), Err(CborError::Truncated { at: 1 }));
    assert_eq!(Reader::new(&[0xa2, 0x60, 0xf6, 0x60]).map(), Err(CborError::Truncated { at: 1 }));
}

#[test]
fn a_value_of_another_type_is_named_with_its_place() {
    let bytes = written(&Value::Array(vec![Value::Text("a".into()), Value::Unsigned(1)]));
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.array(), Ok(2));
    assert_eq!(reader.key("b"), Err(CborError::Unexpected { expected: "b", at: 1 }));
    assert_eq!(reader.bytes(), Err(CborError::Unexpected { expected: "a byte string", at: 3 }));
    assert_eq!(reader.integer(), Ok(1));
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(Reader::new(&[0x62, 0xc3, 0x28]).text(), Err(CborError::NotUtf8 { at: 0 }));
}

#[test]
fn both_ways_to_write_a_link_are_one_and_its_kind_is_checked() {
    let link = Link::to_block(b"block");
    let (mut by_link, mut by_cid, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    Writer(&mut by_link).link(&link);
    Writer(&mut by_cid).cid(&link.cid());
    Writer(&mut raw).cid(&cid_for_raw(b"block"));
    assert_eq!(by_link, by_cid);
    assert_eq!(Reader::new(&by_cid).link(), Ok(link));
    assert_eq!(Reader::new(&raw).cid(), Ok(cid_for_raw(b"block")));
    assert_eq!(Reader::new(&raw).link(), Err(CborError::BadLink { at: 0 }));
    // With a byte behind the CID, and with a number of the CID that has no room in 64 bits.
    let with_more = [&[0xd8, 42, 0x58, 38][..], &by_cid[4..], &[0]].concat();
    let wide_codec = [&[0xd8, 42, 0x4f, 0, 1][..], &[0x80; 9], &[3, 0, 1, 7]].concat();
    for bytes in [with_more, wide_codec] {
        assert_eq!(Reader::new(&bytes).cid(), Err(CborError::BadLink { at: 0 }), "{bytes:x?}");
        assert_eq!(skip(&bytes, LEVELS), Err(CborError::BadLink { at: 0 }));
    }
    // Without the zero byte, without a CID, and not even bytes.
    for bytes in [&[0xd8, 42, 0x41, 1][..], &[0xd8, 42, 0x40], &[0xd8, 42, 0x41, 0]] {
        assert_eq!(skip(bytes, LEVELS), Err(CborError::BadLink { at: 0 }), "{bytes:x?}");
    }
    assert!(skip(&[0xd8, 42, 0x61, 0], LEVELS).is_err());
}
