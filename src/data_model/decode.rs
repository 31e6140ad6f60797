//! Canonical DAG-CBOR to values.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;

use super::{
    DataModelError,
    cbor::{Item, Reader},
    link::link_from_bytes,
};
use crate::limits::DATA_DEPTH_MAX;

/// Decodes a record's block: a map, canonical, within all limits but size, which the caller knows.
///
/// # Errors
/// [`DataModelError`] naming the rule that was broken.
pub fn decode_record(block: &[u8]) -> Result<Ipld, DataModelError> {
    match decode(block)? {
        record @ Ipld::Map(_) => Ok(record),
        _ => Err(DataModelError::NotAMap),
    }
}

/// Decodes any value of the data model from canonical DAG-CBOR.
///
/// # Errors
/// [`DataModelError`] naming the rule that was broken.
pub fn decode(bytes: &[u8]) -> Result<Ipld, DataModelError> {
    let mut reader = Reader::new(bytes);
    let value = value(&mut reader, DATA_DEPTH_MAX)?;
    reader.finish()?;
    Ok(value)
}

fn value(reader: &mut Reader<'_>, depth_left: usize) -> Result<Ipld, DataModelError> {
    Ok(match reader.item()? {
        Item::Null => Ipld::Null,
        Item::Bool(bool) => Ipld::Bool(bool),
        Item::Integer(integer) => Ipld::Integer(integer.into()),
        Item::Bytes(bytes) => Ipld::Bytes(bytes.to_vec()),
        Item::Text(text) => Ipld::String(text.to_owned()),
        Item::Link(cid) => Ipld::Link(link_from_bytes(cid)?),
        Item::List(count) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            let mut list = Vec::new();
            for _ in 0..count {
                list.push(value(reader, depth_left)?);
            }
            Ipld::List(list)
        }
        Item::Map(count) => {
            let depth_left = depth_left.checked_sub(1).ok_or(DataModelError::TooDeep)?;
            let mut map = BTreeMap::new();
            let mut last: Option<&str> = None;
            for _ in 0..count {
                let key = reader.key()?;
                if last.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
                    return Err(DataModelError::Cbor("map keys out of order or given twice"));
                }
                last = Some(key);
                map.insert(key.to_owned(), value(reader, depth_left)?);
            }
            Ipld::Map(map)
        }
    })
}
