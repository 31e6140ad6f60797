//! Values of the data model inside Rust types.
//!
//! The generated types are built of [`Data`], [`Bytes`], [`CidLink`] and [`BlobRef`], each of which serializes as the
//! format wants it: asked by a human readable one, they look as JSON has them (`{"$link": cid}`,
//! `{"$bytes": base64}`), otherwise they are native to DAG-CBOR and [`Ipld`]. So the same struct reads and writes an
//! HTTP body, a record and what is inside a seal. The rules of the JSON form are those of [`crate::data_model`].
//!
//! Tricky bits: serde's `flatten` and its tagged enums buffer a value and forget its format, and with it how bytes
//! and links look. So nothing here uses them; a generated union reads a [`Data`] and looks at its `$type`.
//! DAG-CBOR from strangers is decoded by [`data_model::decode`], which is strict, and then read into a type with
//! [`Named::from_typed`] or [`from_ipld`].

use cid::Cid;
use ipld_core::ipld::Ipld;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::data_model;
pub use crate::data_model::BlobRef;

/// Any value of the data model.
#[derive(Clone, Debug, PartialEq)]
pub struct Data(pub Ipld);

/// A byte string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

/// A link to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CidLink(pub Cid);

/// Why a value could not be read into a type, or written out of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Not what the Rust type holds.
    #[error("convert a value: {0}")]
    Convert(#[from] ipld_core::serde::SerdeError),
    /// The `$type` is not that of the Rust type.
    #[error("not a {0}: its $type says otherwise")]
    Type(&'static str),
    /// An object was needed.
    #[error("not an object")]
    NotAnObject,
}

/// Reads a value into a type that carries no `$type`: parameters, input, output. Constraints are not checked: see
/// [`super::validate`].
pub fn from_ipld<T: DeserializeOwned>(value: Ipld) -> Result<T, DataError> {
    Ok(ipld_core::serde::from_ipld(value)?)
}

/// The value of such a type.
pub fn to_ipld<T: Serialize>(value: &T) -> Result<Ipld, DataError> {
    Ok(ipld_core::serde::to_ipld(value)?)
}

/// A generated type that a `$type` names.
pub trait Named: Serialize + DeserializeOwned {
    /// The absolute name of its definition.
    const TYPE: &'static str;

    /// The value with its `$type`, as it stands in a repo, a seal or a union.
    fn to_typed(&self) -> Result<Ipld, DataError> {
        match to_ipld(self)? {
            Ipld::Map(mut map) => {
                map.insert("$type".to_owned(), Ipld::String(Self::TYPE.to_owned()));
                Ok(Ipld::Map(map))
            }
            _ => Err(DataError::NotAnObject),
        }
    }

    /// Reads a value that carries this type's `$type`. Constraints are not checked: see [`super::validate`].
    fn from_typed(value: Ipld) -> Result<Self, DataError> {
        match type_of(&value) {
            Some(name) if name == Self::TYPE => from_ipld(value),
            _ => Err(DataError::Type(Self::TYPE)),
        }
    }
}

/// The `$type` of an object.
#[must_use]
pub fn type_of(value: &Ipld) -> Option<&str> {
    match value {
        Ipld::Map(map) => match map.get("$type") {
            Some(Ipld::String(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            data_model::deserialize(deserializer).map(Self)
        } else {
            Ipld::deserialize(deserializer).map(Self)
        }
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

fn serialize<S: Serializer>(value: &Ipld, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        data_model::serialize(value, serializer)
    } else {
        value.serialize(serializer)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            data_model::serialize(&Ipld::Bytes(self.0.clone()), serializer)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Data::deserialize(deserializer)?.0 {
            Ipld::Bytes(bytes) => Ok(Self(bytes)),
            _ => Err(de::Error::custom("not bytes")),
        }
    }
}

impl Serialize for CidLink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&Ipld::Link(self.0), serializer)
    }
}

impl<'de> Deserialize<'de> for CidLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Data::deserialize(deserializer)?.0 {
            Ipld::Link(cid) => Ok(Self(cid)),
            _ => Err(de::Error::custom("not a link")),
        }
    }
}

impl Serialize for BlobRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.to_ipld(), serializer)
    }
}

impl<'de> Deserialize<'de> for BlobRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Data::deserialize(deserializer)?.0;
        Self::try_from(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written and read again in both forms; the JSON form is returned.
    fn both_forms<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
        value: &T,
    ) -> serde_json::Value {
        let json = serde_json::to_value(value).unwrap();
        assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), value);
        assert_eq!(&serde_json::from_str::<T>(&json.to_string()).unwrap(), value);
        let cbor = serde_ipld_dagcbor::to_vec(value).unwrap();
        assert_eq!(&serde_ipld_dagcbor::from_slice::<T>(&cbor).unwrap(), value);
        let ipld = to_ipld(value).unwrap();
        assert_eq!(data_model::encode(&ipld).unwrap(), cbor);
        assert_eq!(&from_ipld::<T>(ipld).unwrap(), value);
        json
    }

    #[test]
    fn each_type_looks_as_the_format_wants() {
        let cid = data_model::cid_of_block(data_model::CODEC_RAW, b"picture");
        let text = cid.to_string();
        assert_eq!(both_forms(&Bytes(vec![1, 2])), serde_json::json!({"$bytes": "AQI"}));
        assert_eq!(both_forms(&CidLink(cid)), serde_json::json!({"$link": text}));
        let blob = BlobRef { cid, mime_type: "image/png".into(), size: Some(7) };
        let json =
            serde_json::json!({"$type": "blob", "ref": {"$link": text}, "mimeType": "image/png", "size": 7});
        assert_eq!(both_forms(&blob), json);
        let data = Data(ipld_core::ipld!({"list": [null, true, -1, "text"], "link": cid}));
        assert_eq!(both_forms(&data)["link"]["$link"], text);
        assert_eq!(serde_ipld_dagcbor::to_vec(&Bytes(vec![1, 2])).unwrap(), [0x42, 1, 2]);
    }

    #[test]
    fn one_type_is_not_taken_for_another() {
        assert!(serde_json::from_str::<Bytes>(r#""AQI""#).is_err());
        assert!(serde_json::from_str::<CidLink>(r#"{"$bytes":"AQI"}"#).is_err());
        assert!(serde_json::from_str::<BlobRef>(r#"{"$type":"blob"}"#).is_err());
        assert!(serde_json::from_str::<Data>("0.5").is_err());
    }
}
