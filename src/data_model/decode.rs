//! Canonical DAG-CBOR to values.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;
use repo_mst::cbor::{Item, Reader};

use super::{DataModelError, link::link_from_bytes};
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
    reader.end()?;
    Ok(value)
}

fn value(reader: &mut Reader<'_>, depth_left: usize) -> Result<Ipld, DataModelError> {
    Ok(match reader.item()? {
        Item::Null => Ipld::Null,
        Item::Bool(bool) => Ipld::Bool(bool),
        Item::Unsigned(argument) => Ipld::Integer(integer(argument)?.into()),
        Item::Negative(argument) => Ipld::Integer((!integer(argument)?).into()),
        Item::Bytes(bytes) => Ipld::Bytes(bytes.to_vec()),
        Item::Text(text) => Ipld::String(text.to_owned()),
        Item::Link(cid) => Ipld::Link(link_from_bytes(cid)?),
        Item::Array(count) => {
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
            reader.pairs(count, |reader, key| {
                map.insert(key.to_owned(), value(reader, depth_left)?);
                Ok::<_, DataModelError>(())
            })?;
            Ipld::Map(map)
        }
    })
}

/// The argument of an integer within the model's 64 bits; one below zero is the complement of its argument.
#[inline]
pub(super) fn integer(argument: u64) -> Result<i64, DataModelError> {
    i64::try_from(argument).map_err(|_| DataModelError::IntegerRange)
}
