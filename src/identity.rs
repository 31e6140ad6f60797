//! Who an account is: did:plc operations, DID documents, handles, and finding them.
//!
//! An account is a DID. The DID's document names the key that signs its repo, the server that holds it and the handle
//! it goes by. For `did:plc` the document is computed from a log of signed [`Operation`]s kept by a directory; for
//! `did:web` it is a file on the web. A handle is only true when its domain names the DID and the DID's document
//! names the handle.
//!
//! Invariants
//! - Nothing here does IO. What has to be asked of the network is a [`Request`]; the host answers with a [`Response`];
//!   a [`Resolution`] goes from one to the next until it is done. Time comes in as an argument.
//! - Documents of strangers are read tolerantly (entries that make no sense are dropped) and trusted for nothing:
//!   every accessor validates what it hands out.
//! - An operation is checked as plc.directory checks it, by the same code for our directory and for other logs.
//!
//! Sources: <https://web.plc.directory/spec/v0.1/did-plc>, <https://atproto.com/specs/did>,
//! <https://atproto.com/specs/handle>.

mod cache;
mod did_web;
mod document;
mod handle;
mod log;
mod operation;
mod resolve;

pub use cache::{Cache, Lookup};
pub use did_web::{did_web_document_url, did_web_of_url};
pub use document::{DidDocument, Service, VerificationMethod};
pub use handle::{HandleResolution, did_of_txt_records, did_of_well_known};
pub use log::{LoggedOperation, NextOperation, RECOVERY_WINDOW_US, SeenLog, validate_log, validate_next};
pub use operation::{AtprotoData, LegacyCreate, Operation, PlcData, PlcOperation, PlcService, PlcTombstone};
pub use resolve::{DidResolution, Identity, IdentityResolution, Request, Resolution, Response, Step};

use crate::{crypto, data_model::DataModelError, syntax::SyntaxError};

/// Why an identity could not be made, checked or found. Messages may be shown to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A DID, handle or the like that is malformed.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// An operation that is no value of the data model.
    #[error("encoding the operation: {0}")]
    Encode(#[from] DataModelError),
    /// An operation that is not one of the known types with exactly its fields.
    #[error("not a did:plc operation: {0}")]
    Operation(String),
    /// A key that is none.
    #[error("key: {0}")]
    Key(#[from] crypto::Error),
    /// A signature that is not unpadded base64url of 64 bytes, or by none of the keys that may sign.
    #[error("the operation is not signed by a key that may sign it")]
    Signature,
    /// A first operation whose hash is another DID.
    #[error("the first operation belongs to {expected}")]
    GenesisHash {
        /// The DID it would make.
        expected: String,
    },
    /// `prev` names no operation that may be followed: unknown, nullified, a tombstone, or missing.
    #[error("prev does not name an operation that this one can follow")]
    Misordered,
    /// A recovery later than 72 hours after the operation it would nullify.
    #[error("the recovery window of 72 hours has passed")]
    LateRecovery,
    /// A DID of a method other than plc and web, or a did:web with a path or a stray port.
    #[error("this DID cannot be resolved: {0}")]
    UnsupportedDid(&'static str),
    /// A URL that names no service this protocol could use.
    #[error("not the URL of a service")]
    ServiceUrl,
    /// The DID or handle is known not to exist.
    #[error("not found")]
    NotFound,
    /// The directory or web server did not answer, or not as it should; it may later.
    #[error("resolving: {0}")]
    Unreachable(String),
    /// The document found is not one, or of another DID.
    #[error("DID document: {0}")]
    Document(&'static str),
}

#[cfg(test)]
pub(crate) mod tests;
