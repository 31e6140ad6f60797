//! Blobs as records name them.

use std::collections::BTreeMap;

use ipld_core::{cid::Cid, ipld::Ipld};

use super::{DataModelError, link::parse_link};

/// A record's reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// The blob's CID, of the raw codec.
    pub cid: Cid,
    /// Its media type, as the record claims it.
    pub mime_type: String,
    /// Its length in bytes, as the record claims it. References of the old form, which may be read but not written
    /// anew, have none.
    pub size: Option<u64>,
}

impl BlobRef {
    /// The reference as a value of the data model.
    #[must_use]
    pub fn to_ipld(&self) -> Ipld {
        let entry = |key: &str, value: Ipld| (key.to_owned(), value);
        let mime_type = entry("mimeType", Ipld::String(self.mime_type.clone()));
        Ipld::Map(match self.size {
            Some(size) => BTreeMap::from([
                entry("$type", Ipld::String("blob".to_owned())),
                entry("ref", Ipld::Link(self.cid)),
                mime_type,
                entry("size", Ipld::Integer(size.into())),
            ]),
            None => BTreeMap::from([entry("cid", Ipld::String(self.cid.to_string())), mime_type]),
        })
    }
}

/// A map as a blob reference of either form.
impl TryFrom<&Ipld> for BlobRef {
    type Error = DataModelError;
    fn try_from(value: &Ipld) -> Result<Self, DataModelError> {
        let Ipld::Map(map) = value else { return Err(DataModelError::Blob) };
        typed(map).or_else(|| legacy(map)).ok_or(DataModelError::Blob)
    }
}

/// All blobs a value refers to, in the order of its keys, repeats included.
#[must_use]
pub fn blob_refs(value: &Ipld) -> Vec<BlobRef> {
    let mut found = Vec::new();
    // A list of what is still to visit rather than recursion: no depth can hurt. Children go on in reverse, so that
    // they come off in order.
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Ipld::List(list) => pending.extend(list.iter().rev()),
            Ipld::Map(map) => match typed(map).or_else(|| legacy(map)) {
                Some(blob) => found.push(blob),
                None => pending.extend(map.values().rev()),
            },
            _ => {}
        }
    }
    found
}

/// `{"$type": "blob", "ref": link, "mimeType": text, "size": integer}`.
pub(super) fn typed(map: &BTreeMap<String, Ipld>) -> Option<BlobRef> {
    match (map.get("$type")?, map.get("ref")?, map.get("mimeType")?, map.get("size")?) {
        (Ipld::String(kind), Ipld::Link(cid), Ipld::String(mime_type), Ipld::Integer(size))
            if kind == "blob" =>
        {
            let size = Some(u64::try_from(*size).ok()?);
            Some(BlobRef { cid: *cid, mime_type: mime_type.clone(), size })
        }
        _ => None,
    }
}

/// `{"cid": text, "mimeType": text}` and nothing else: the form of 2022.
fn legacy(map: &BTreeMap<String, Ipld>) -> Option<BlobRef> {
    match (map.get("cid")?, map.get("mimeType")?) {
        (Ipld::String(cid), Ipld::String(mime_type)) if map.len() == 2 => {
            Some(BlobRef { cid: parse_link(cid).ok()?, mime_type: mime_type.clone(), size: None })
        }
        _ => None,
    }
}
