//! Values to canonical DAG-CBOR.

use ipld_core::ipld::Ipld;

use super::{DataModelError, link::link_to_bytes};
use crate::limits::{DATA_DEPTH_MAX, RECORD_BYTES_MAX};

/// Encodes a record: a map within all limits, size included.
///
/// # Errors
/// [`DataModelError`] naming the rule that was broken.
pub fn encode_record(record: &Ipld) -> Result<Vec<u8>, DataModelError> {
    if !matches!(record, Ipld::Map(_)) {
        return Err(DataModelError::NotAMap);
    }
    let block = encode(record)?;
    if block.len() > RECORD_BYTES_MAX {
        return Err(DataModelError::TooLarge { bytes: block.len() });
    }
    Ok(block)
}

/// Encodes any value of the data model.
///
/// # Errors
/// [`DataModelError`] for a float, an integer beyond 64 bits, a link that is not allowed or too much depth.
pub fn encode(value: &Ipld) -> Result<Vec<u8>, DataModelError> {
    let mut out = Vec::with_capacity(256);
    append(&mut out, value, DATA_DEPTH_MAX)?;
    Ok(out)
}

fn append(out: &mut Vec<u8>, value: &Ipld, depth_left: usize) -> Result<(), DataModelError> {
    match value {
        Ipld::Null => out.push(0xf6),
        Ipld::Bool(bool) => out.push(0xf4 + u8::from(*bool)),
        Ipld::Integer(integer) => append_integer(out, *integer)?,
        Ipld::Float(_) => return Err(DataModelError::Float),
        Ipld::String(text) => append_text(out, text),
        Ipld::Bytes(bytes) => {
            append_head(out, 2, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Ipld::Link(cid) => {
            let cid = link_to_bytes(cid)?;
            append_head(out, 6, 42);
            append_head(out, 2, cid.len() as u64 + 1);
            out.push(0); // the multibase prefix of plain bytes
            out.extend_from_slice(&cid);
        }
        Ipld::List(list) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            append_head(out, 4, list.len() as u64);
            for value in list {
                append(out, value, depth_left)?;
            }
        }
        Ipld::Map(map) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            append_head(out, 5, map.len() as u64);
            // The map is in byte order; a stable sort by length makes that the canonical order.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.len());
            for (key, value) in entries {
                append_text(out, key);
                append(out, value, depth_left)?;
            }
        }
    }
    Ok(())
}

fn append_integer(out: &mut Vec<u8>, integer: i128) -> Result<(), DataModelError> {
    let integer = i64::try_from(integer).map_err(|_| DataModelError::IntegerRange)?;
    if integer >= 0 {
        append_head(out, 0, integer.unsigned_abs());
    } else {
        append_head(out, 1, integer.unsigned_abs() - 1); // CBOR counts negatives from -1
    }
    Ok(())
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    append_head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A major type and its argument in the shortest form.
fn append_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}
