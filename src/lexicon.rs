//! Lexicons: the contract of records and methods, as types and as a validator.
//!
//! - [`schema`], [`mod@catalog`]: lexicon documents as a model, and many of them by name.
//! - [`validate`], [`params`]: values and query strings against them.
//! - [`method`], [`body`]: what a generated method says of itself; the bodies of requests.
//! - [`data`]: values of the data model inside Rust types, in JSON and in DAG-CBOR.
//! - [`agent`]: Rust types of the agent.* lexicons, written by `codegen`; see `docs/lexicons.md` for the contract.
//! - `known`: the records of others that are checked as the reference server checks them.
//!
//! Invariants: the documents under `lexicons/` are the one source, embedded as they are and read once by the same code
//! that reads foreign documents; generated types carry no constraints, only shapes. So a value is validated first and
//! then read into its type.

pub mod body;
pub mod catalog;
pub mod data;
mod generated;
mod known;
mod macros;
pub mod method;
pub mod params;
pub mod schema;
pub mod validate;

use std::sync::LazyLock;

use ipld_core::ipld::Ipld;

pub use catalog::Catalog;
pub use data::{BlobRef, Bytes, CidLink, Data, DataError, Named};
pub use generated::agent;
pub use method::{Method, MethodKind, NamedError};
pub use validate::{BodyOf, ValidationError};

use crate::syntax::{Nsid, RecordKey};

/// Our lexicons and those of the known records.
#[must_use]
pub fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        let mut catalog = Catalog::default();
        let added = generated::DOCUMENTS.iter().map(|json| catalog.add(json));
        let failed = added.filter_map(Result::err).collect::<Vec<_>>();
        let added = known::documents().into_iter().map(|document| catalog.add_document(document));
        // A test sees that none fails; a binary that got past it would only know fewer types.
        for error in failed.into_iter().chain(added.filter_map(Result::err)) {
            tracing::error!(%error, "an embedded lexicon was not taken");
        }
        catalog
    });
    &CATALOG
}

/// The documents of our lexicons.
pub fn own_documents() -> impl Iterator<Item = serde_json::Value> {
    generated::DOCUMENTS.iter().filter_map(|json| serde_json::from_str(json).ok())
}

/// The document of one of them.
#[must_use]
pub fn own_document(nsid: &Nsid) -> Option<serde_json::Value> {
    own_documents().find(|document| document["id"] == nsid.as_str())
}

/// What is known about a record's validity: `validationStatus` in the answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationStatus {
    /// The lexicon is known and the record keeps to it.
    Valid,
    /// The lexicon is not known.
    Unknown,
}

impl ValidationStatus {
    /// The protocol's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a record may not be written. The reference answers each with `InvalidRecord` or `InvalidRequest`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The value is no object.
    #[error("Invalid record: it must be an object")]
    NotAnObject,
    /// The record's own `$type` is another collection.
    #[error("Invalid $type: expected {collection}")]
    Type {
        /// The collection it was to be written to.
        collection: String,
    },
    /// Validation was asked for and the lexicon is not known.
    #[error("Unknown lexicon type: {0}")]
    UnknownLexicon(String),
    /// The record key is not of the kind that the lexicon gives.
    #[error("Invalid record key for {collection}: {error}")]
    RecordKey {
        /// The collection.
        collection: String,
        /// What is wrong.
        error: ValidationError,
    },
    /// The record does not keep to its lexicon.
    #[error("Invalid {collection} record: {error}")]
    Invalid {
        /// The collection.
        collection: String,
        /// What is wrong and where.
        error: ValidationError,
    },
}

/// Decides whether a record may be written, as `validate` asks: unset checks known records and lets others through,
/// `true` refuses unknown ones, `false` checks nothing and answers no status. A missing `$type` is filled in.
pub fn check_write(
    validate: Option<bool>,
    collection: &Nsid,
    record_key: &RecordKey,
    record: &mut Ipld,
) -> Result<Option<ValidationStatus>, RecordError> {
    let name = collection.as_str();
    let Ipld::Map(map) = record else { return Err(RecordError::NotAnObject) };
    match map.get("$type") {
        None => drop(map.insert("$type".to_owned(), Ipld::String(name.to_owned()))),
        Some(Ipld::String(found)) if found == name => {}
        Some(_) => return Err(RecordError::Type { collection: name.to_owned() }),
    }
    let catalog = catalog();
    match validate {
        Some(false) => return Ok(None),
        Some(true) if !catalog.is_record(name) => return Err(RecordError::UnknownLexicon(name.to_owned())),
        None if !catalog.is_record(name) => return Ok(Some(ValidationStatus::Unknown)),
        _ => {}
    }
    catalog
        .validate_record_key(name, record_key.as_str())
        .map_err(|error| RecordError::RecordKey { collection: name.to_owned(), error })?;
    catalog
        .validate_record(name, record)
        .map_err(|error| RecordError::Invalid { collection: name.to_owned(), error })?;
    Ok(Some(ValidationStatus::Valid))
}

#[cfg(test)]
mod tests;
