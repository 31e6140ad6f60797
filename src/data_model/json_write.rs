//! Values and stored blocks to JSON text.

use std::io::Write as _;

use data_encoding::BASE64_NOPAD;
use ipld_core::ipld::Ipld;
use repo_mst::cbor::{Item, Reader};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::{
    DataModelError,
    decode::integer,
    link::{append_link_text, link_codec, link_to_bytes},
};
use crate::limits::DATA_DEPTH_MAX;

/// Appends the JSON of a stored block. The block was decoded strictly before it was stored, so this checks only what
/// it needs to be safe on any bytes: bounds, depth, UTF-8. On an error `out` holds the part written so far.
///
/// # Errors
/// [`DataModelError`] for bytes that are no DAG-CBOR.
pub fn cbor_to_json(block: &[u8], out: &mut Vec<u8>) -> Result<(), DataModelError> {
    // Quotes and separators cost JSON about a quarter more than CBOR's heads.
    out.reserve(block.len() + block.len() / 4);
    let mut reader = Reader::new(block);
    transcode(&mut reader, out, DATA_DEPTH_MAX)?;
    Ok(reader.end()?)
}

/// The JSON of a value.
///
/// # Errors
/// [`DataModelError`] for a value that is not of the data model: a float, a link that is not allowed, too much depth.
pub fn to_json(value: &Ipld) -> Result<Vec<u8>, DataModelError> {
    let mut out = Vec::with_capacity(256);
    append(&mut out, value, DATA_DEPTH_MAX)?;
    Ok(out)
}

/// Writes a value within a larger JSON body: `#[serde(serialize_with = "data_model::serialize")] value: Ipld`.
///
/// # Errors
/// The serializer's, or that of [`to_json`].
pub fn serialize<S: Serializer>(value: &Ipld, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Ipld::Null => serializer.serialize_unit(),
        Ipld::Bool(bool) => serializer.serialize_bool(*bool),
        Ipld::Integer(integer) => match i64::try_from(*integer) {
            Ok(integer) => serializer.serialize_i64(integer),
            Err(_) => Err(S::Error::custom(DataModelError::IntegerRange)),
        },
        Ipld::Float(_) => Err(S::Error::custom(DataModelError::Float)),
        Ipld::String(text) => serializer.serialize_str(text),
        Ipld::Bytes(bytes) => serialize_single(serializer, "$bytes", &BASE64_NOPAD.encode(bytes)),
        Ipld::Link(cid) => serialize_single(serializer, "$link", &cid.to_string()),
        Ipld::List(list) => {
            let mut seq = serializer.serialize_seq(Some(list.len()))?;
            for value in list {
                seq.serialize_element(&Nested(value))?;
            }
            seq.end()
        }
        Ipld::Map(entries) => {
            let mut map = serializer.serialize_map(Some(entries.len()))?;
            for (key, value) in entries {
                map.serialize_entry(key, &Nested(value))?;
            }
            map.end()
        }
    }
}

struct Nested<'a>(&'a Ipld);

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

fn serialize_single<S: Serializer>(serializer: S, key: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, text)?;
    map.end()
}

fn transcode(reader: &mut Reader<'_>, out: &mut Vec<u8>, depth_left: usize) -> Result<(), DataModelError> {
    match reader.item()? {
        Item::Null => out.extend_from_slice(b"null"),
        Item::Bool(bool) => append_bool(out, bool),
        Item::Unsigned(argument) => append_integer(out, integer(argument)?),
        Item::Negative(argument) => append_integer(out, !integer(argument)?),
        Item::Bytes(bytes) => append_bytes(out, bytes),
        Item::Text(text) => append_text(out, text),
        Item::Link(cid) => {
            link_codec(cid)?;
            append_link(out, cid);
        }
        Item::Array(count) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            out.push(b'[');
            for n in 0..count {
                if n > 0 {
                    out.push(b',');
                }
                transcode(reader, out, depth_left)?;
            }
            out.push(b']');
        }
        Item::Map(count) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            out.push(b'{');
            for n in 0..count {
                if n > 0 {
                    out.push(b',');
                }
                append_text(out, reader.text()?);
                out.push(b':');
                transcode(reader, out, depth_left)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn append(out: &mut Vec<u8>, value: &Ipld, depth_left: usize) -> Result<(), DataModelError> {
    match value {
        Ipld::Null => out.extend_from_slice(b"null"),
        Ipld::Bool(bool) => append_bool(out, *bool),
        Ipld::Integer(integer) => {
            append_integer(out, i64::try_from(*integer).map_err(|_| DataModelError::IntegerRange)?);
        }
        Ipld::Float(_) => return Err(DataModelError::Float),
        Ipld::String(text) => append_text(out, text),
        Ipld::Bytes(bytes) => append_bytes(out, bytes),
        Ipld::Link(cid) => append_link(out, &link_to_bytes(cid)?),
        Ipld::List(list) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            out.push(b'[');
            for (n, value) in list.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                append(out, value, depth_left)?;
            }
            out.push(b']');
        }
        Ipld::Map(map) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            out.push(b'{');
            for (n, (key, value)) in map.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                append_text(out, key);
                out.push(b':');
                append(out, value, depth_left)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn append_bool(out: &mut Vec<u8>, bool: bool) {
    out.extend_from_slice(if bool { b"true" } else { b"false" });
}

fn append_integer(out: &mut Vec<u8>, integer: i64) {
    let _ = write!(out, "{integer}"); // writing to memory does not fail
}

fn append_link(out: &mut Vec<u8>, cid: &[u8]) {
    out.extend_from_slice(b"{\"$link\":\"");
    append_link_text(out, cid);
    out.extend_from_slice(b"\"}");
}

fn append_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"$bytes\":\"");
    let start = out.len();
    out.resize(start + BASE64_NOPAD.encode_len(bytes.len()), 0);
    if let Some(text) = out.get_mut(start..) {
        BASE64_NOPAD.encode_mut(bytes, text);
    }
    out.extend_from_slice(b"\"}");
}

/// A JSON string. Stretches that need no escape, usually all of it, are copied whole.
fn append_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((plain, from)) = rest.split_at_checked(plain_len(rest)) {
        out.extend_from_slice(plain);
        let Some((special, after)) = from.split_first() else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let _ = write!(out, "\\u{control:04x}"); // writing to memory does not fail
            }
        }
        rest = after;
    }
    out.push(b'"');
}

/// How many bytes at the front need no escape. By blocks, which the compiler turns into vector instructions.
fn plain_len(bytes: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let is_plain = |block: &&[u8]| !block.iter().fold(false, |special, byte| special | is_special(byte));
    let blocks = bytes.chunks_exact(BLOCK).take_while(is_plain).count() * BLOCK;
    blocks + bytes.iter().skip(blocks).take_while(|byte| !is_special(byte)).count()
}
