//! Values to canonical DAG-CBOR.

use ipld_core::ipld::Ipld;
use repo_mst::cbor::Writer;

use super::{DataModelError, link::check_link};
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
    append(&mut Writer(&mut out), value, DATA_DEPTH_MAX)?;
    Ok(out)
}

fn append(writer: &mut Writer<'_>, value: &Ipld, depth_left: usize) -> Result<(), DataModelError> {
    match value {
        Ipld::Null => writer.null(),
        Ipld::Bool(bool) => writer.bool(*bool),
        Ipld::Integer(integer) => {
            writer.integer(i64::try_from(*integer).map_err(|_| DataModelError::IntegerRange)?);
        }
        Ipld::Float(_) => return Err(DataModelError::Float),
        Ipld::String(text) => writer.text(text),
        Ipld::Bytes(bytes) => writer.bytes(bytes),
        Ipld::Link(cid) => {
            check_link(cid)?;
            writer.cid(cid);
        }
        Ipld::List(list) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            writer.array(list.len());
            for value in list {
                append(writer, value, depth_left)?;
            }
        }
        Ipld::Map(map) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            writer.map(map.len());
            // The map is in byte order; a stable sort by length makes that the canonical order.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.len());
            for (key, value) in entries {
                append(writer.key(key), value, depth_left)?;
            }
        }
    }
    Ok(())
}
