//! JSON to values, in one pass: the parser hands its tokens to a visitor that builds the value and checks it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use data_encoding::{BASE64_NOPAD, Encoding};
use ipld_core::ipld::Ipld;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{DataModelError, blob, link::parse_link};
use crate::limits::DATA_DEPTH_MAX;

/// A double holds every integer up to here exactly; a larger "integer" written with a point may be another one.
const DOUBLE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// Reads any value of the data model from JSON text.
///
/// # Errors
/// [`DataModelError::Json`] with the reason and the place.
pub fn from_json(json: &[u8]) -> Result<Ipld, DataModelError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = deserialize(&mut deserializer).map_err(json_error)?;
    deserializer.end().map_err(json_error)?;
    Ok(value)
}

/// Reads a record, which is an object, from JSON text.
///
/// # Errors
/// [`DataModelError::Json`] with the reason and the place, or [`DataModelError::NotAMap`].
pub fn record_from_json(json: &[u8]) -> Result<Ipld, DataModelError> {
    match from_json(json)? {
        record @ Ipld::Map(_) => Ok(record),
        _ => Err(DataModelError::NotAMap),
    }
}

/// Reads a value within a larger JSON body, or from a [`serde_json::Value`]:
/// `#[serde(deserialize_with = "data_model::deserialize")] record: Ipld`.
///
/// # Errors
/// The deserializer's, with the rule that was broken.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ipld, D::Error> {
    ValueVisitor { depth_left: DATA_DEPTH_MAX }.deserialize(deserializer)
}

fn json_error(error: serde_json::Error) -> DataModelError {
    DataModelError::Json(error.to_string())
}

#[derive(Clone, Copy)]
struct ValueVisitor {
    depth_left: usize,
}

impl ValueVisitor {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom(DataModelError::TooDeep))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for ValueVisitor {
    type Value = Ipld;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Ipld, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Ipld;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the data model")
    }

    fn visit_unit<E: Error>(self) -> Result<Ipld, E> {
        Ok(Ipld::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Ipld, E> {
        Ok(Ipld::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Ipld, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Ipld, E> {
        Ok(Ipld::Bool(bool))
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<Ipld, E> {
        Ok(Ipld::Integer(integer.into()))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Ipld, E> {
        let integer = i64::try_from(integer).map_err(|_| E::custom(DataModelError::IntegerRange))?;
        Ok(Ipld::Integer(integer.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Ipld, E> {
        if number.fract() != 0.0 || number.abs() > DOUBLE_INTEGER_MAX {
            return Err(E::custom(DataModelError::Float));
        }
        Ok(Ipld::Integer(number as i128)) // exact: it has no fraction and is within 53 bits
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ipld, E> {
        Ok(Ipld::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Ipld, E> {
        Ok(Ipld::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ipld, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            list.push(item);
        }
        Ok(Ipld::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Ipld, A::Error> {
        let deeper = self.deeper()?;
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(deeper)?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom(DataModelError::DuplicateKey));
            }
        }
        value_of_object(map).map_err(A::Error::custom)
    }
}

/// The value an object stands for: a link, bytes, or itself.
fn value_of_object(map: BTreeMap<String, Ipld>) -> Result<Ipld, DataModelError> {
    if let Some(link) = map.get("$link") {
        return match link {
            Ipld::String(text) if map.len() == 1 => parse_link(text).map(Ipld::Link),
            _ => Err(DataModelError::Link),
        };
    }
    if let Some(bytes) = map.get("$bytes") {
        return match bytes {
            Ipld::String(text) if map.len() == 1 => decode_base64(text).map(Ipld::Bytes),
            _ => Err(DataModelError::Bytes),
        };
    }
    match map.get("$type") {
        None => {}
        Some(Ipld::String(kind)) if kind == "blob" => {
            blob::typed(&map).ok_or(DataModelError::Blob)?;
        }
        Some(Ipld::String(kind)) if !kind.is_empty() => {}
        Some(_) => return Err(DataModelError::Type),
    }
    Ok(Ipld::Map(map))
}

/// Base64 with its padding or without. Bits left over at the end need not be zero: the protocol's fixtures hold such
/// text, and JSON is not what is signed.
fn decode_base64(text: &str) -> Result<Vec<u8>, DataModelError> {
    static LENIENT: LazyLock<Option<Encoding>> = LazyLock::new(|| {
        let mut rules = BASE64_NOPAD.specification();
        rules.check_trailing_bits = false;
        rules.encoding().ok()
    });
    let bare = if text.len().is_multiple_of(4) {
        text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text)
    } else {
        text
    };
    LENIENT.as_ref().unwrap_or(&BASE64_NOPAD).decode(bare.as_bytes()).map_err(|_| DataModelError::Bytes)
}
