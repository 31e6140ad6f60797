//! did:plc operations: their fields, canonical bytes, signatures, hashes.
//!
//! An operation is signed over its DAG-CBOR without `sig`, named by the CID of its DAG-CBOR with `sig`; the DID is
//! the first 24 base32 characters of the SHA-256 of the first one. Field names are the wire's.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize};

use super::{IdentityError, document::AT_SCHEME};
use crate::{
    crypto::{SigningKey, VerifyingKey, sha256},
    data_model::{CODEC_DAG_CBOR, Cid, base32_encode, cid_of_block},
    syntax::{Did, Handle},
};

/// The service id and type under which a repo's server stands in a document.
const PDS_ID: &str = "atproto_pds";
const PDS_TYPE: &str = "AtprotoPersonalDataServer";
/// The verification method id of the key that signs the repo.
const SIGNING_KEY_ID: &str = "atproto";
/// Characters of a did:plc identifier: 120 bits of the hash.
const PLC_ID_CHARS: usize = 24;

/// One entry of a DID's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Operation {
    /// Creates the DID or changes everything about it.
    #[serde(rename = "plc_operation")]
    Plc(PlcOperation),
    /// Ends the DID.
    #[serde(rename = "plc_tombstone")]
    Tombstone(PlcTombstone),
    /// The first operation of accounts of 2022. Read in logs, never made.
    #[serde(rename = "create")]
    Create(LegacyCreate),
}

/// The whole state of a DID, and what it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlcOperation {
    /// The did:keys that may sign the next operation, the most powerful first.
    pub rotation_keys: Vec<String>,
    /// did:keys by id; `atproto` signs the repo.
    pub verification_methods: BTreeMap<String, String>,
    /// Names of the account; the first `at://` one is its handle.
    pub also_known_as: Vec<String>,
    /// Services by id; `atproto_pds` holds the repo.
    pub services: BTreeMap<String, PlcService>,
    /// CID of the operation before; null only in the first.
    #[serde(deserialize_with = "present")]
    pub prev: Option<String>,
    /// Unpadded base64url of the signature; empty until signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
}

/// A service of a DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlcService {
    /// What it is.
    pub r#type: String,
    /// Where it is.
    pub endpoint: String,
}

/// The end of a DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlcTombstone {
    /// CID of the operation before.
    pub prev: String,
    /// Unpadded base64url of the signature; empty until signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
}

/// The first operation in its form of 2022.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LegacyCreate {
    /// The did:key that signs the repo and may sign operations.
    pub signing_key: String,
    /// The did:key that may overrule it.
    pub recovery_key: String,
    /// Without `at://`.
    pub handle: String,
    /// The repo's server, perhaps without `https://`.
    pub service: String,
    /// Always null.
    #[serde(deserialize_with = "present")]
    pub prev: Option<String>,
    /// Unpadded base64url of the signature.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
}

/// What a DID's log says about it now: the answer of `GET /:did/data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlcData {
    /// The DID.
    pub did: Did,
    /// did:keys that may sign the next operation.
    pub rotation_keys: Vec<String>,
    /// did:keys by id.
    pub verification_methods: BTreeMap<String, String>,
    /// Names of the account.
    pub also_known_as: Vec<String>,
    /// Services by id.
    pub services: BTreeMap<String, PlcService>,
}

/// What an atproto account puts into its operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtprotoData<'a> {
    /// did:key of the repo's signing key.
    pub signing_key: &'a str,
    /// did:keys that may sign operations, the most powerful first: a recovery key of the user's, the server's.
    pub rotation_keys: &'a [String],
    /// The handle.
    pub handle: &'a Handle,
    /// The server: scheme and authority.
    pub pds_endpoint: &'a str,
}

impl Operation {
    /// Reads an operation from JSON, exactly: unknown and missing fields are refused.
    ///
    /// # Errors
    /// [`IdentityError::Operation`].
    pub fn from_json(json: &[u8]) -> Result<Self, IdentityError> {
        serde_json::from_slice(json).map_err(|error| IdentityError::Operation(error.to_string()))
    }

    /// The operation as JSON.
    ///
    /// # Errors
    /// None in practice; [`IdentityError::Operation`] if serialising fails.
    pub fn to_json(&self) -> Result<String, IdentityError> {
        serde_json::to_string(self).map_err(|error| IdentityError::Operation(error.to_string()))
    }

    /// The canonical bytes, with the signature if there is one.
    ///
    /// # Errors
    /// None in practice; [`IdentityError::Operation`] if serialising fails.
    pub fn to_cbor(&self) -> Result<Vec<u8>, IdentityError> {
        serde_ipld_dagcbor::to_vec(self).map_err(|error| IdentityError::Operation(error.to_string()))
    }

    /// The CID by which the next operation refers to this one.
    ///
    /// # Errors
    /// As [`Self::to_cbor`].
    pub fn cid(&self) -> Result<Cid, IdentityError> {
        Ok(cid_of_block(CODEC_DAG_CBOR, &self.to_cbor()?))
    }

    /// The DID this operation makes, if it is a first one.
    ///
    /// # Errors
    /// As [`Self::to_cbor`].
    pub fn genesis_did(&self) -> Result<Did, IdentityError> {
        let mut id = base32_encode(&sha256(&self.to_cbor()?));
        id.truncate(PLC_ID_CHARS);
        Ok(Did::try_from(format!("did:plc:{id}"))?)
    }

    /// Signs, in place of any signature there was.
    ///
    /// # Errors
    /// As [`Self::to_cbor`].
    pub fn sign(mut self, key: &SigningKey) -> Result<Self, IdentityError> {
        self.sig_mut().clear();
        let signature = key.sign(&self.to_cbor()?);
        *self.sig_mut() = BASE64URL_NOPAD.encode(&signature);
        Ok(self)
    }

    /// Finds which of some did:keys signed this operation: the first position that did.
    ///
    /// # Errors
    /// [`IdentityError::Signature`] when none did.
    pub fn signer(&self, did_keys: &[String]) -> Result<usize, IdentityError> {
        let signature =
            BASE64URL_NOPAD.decode(self.sig().as_bytes()).map_err(|_| IdentityError::Signature)?;
        let mut unsigned = self.clone();
        unsigned.sig_mut().clear();
        let message = unsigned.to_cbor()?;
        let signed_by = |did_key: &String| {
            // A rotation key that does not parse cannot have signed.
            VerifyingKey::from_did_key(did_key).is_ok_and(|key| key.verify(&message, &signature).is_ok())
        };
        did_keys.iter().position(signed_by).ok_or(IdentityError::Signature)
    }

    /// The CID of the operation before, as written.
    #[must_use]
    pub fn prev(&self) -> Option<&str> {
        match self {
            Self::Plc(operation) => operation.prev.as_deref(),
            Self::Tombstone(tombstone) => Some(&tombstone.prev),
            Self::Create(create) => create.prev.as_deref(),
        }
    }

    /// The state after this operation in today's form; `None` after a tombstone.
    #[must_use]
    pub fn state(&self) -> Option<PlcOperation> {
        match self {
            Self::Plc(operation) => Some(operation.clone()),
            Self::Tombstone(_) => None,
            Self::Create(create) => Some(create.modern()),
        }
    }

    /// What the DID is after this operation; `None` after a tombstone.
    #[must_use]
    pub fn data(&self, did: &Did) -> Option<PlcData> {
        let state = self.state()?;
        Some(PlcData {
            did: did.clone(),
            rotation_keys: state.rotation_keys,
            verification_methods: state.verification_methods,
            also_known_as: state.also_known_as,
            services: state.services,
        })
    }

    /// The state to change and sign as the operation after this one: same data, `prev` set.
    ///
    /// # Errors
    /// [`IdentityError::Misordered`] after a tombstone.
    pub fn successor(&self) -> Result<PlcOperation, IdentityError> {
        let state = self.state().ok_or(IdentityError::Misordered)?;
        Ok(PlcOperation { prev: Some(self.cid()?.to_string()), sig: String::new(), ..state })
    }

    /// The unsigned tombstone after this operation.
    ///
    /// # Errors
    /// [`IdentityError::Misordered`] after a tombstone.
    pub fn tombstone(&self) -> Result<Self, IdentityError> {
        match self {
            Self::Tombstone(_) => Err(IdentityError::Misordered),
            _ => Ok(Self::Tombstone(PlcTombstone { prev: self.cid()?.to_string(), sig: String::new() })),
        }
    }

    fn sig(&self) -> &str {
        match self {
            Self::Plc(operation) => &operation.sig,
            Self::Tombstone(tombstone) => &tombstone.sig,
            Self::Create(create) => &create.sig,
        }
    }

    fn sig_mut(&mut self) -> &mut String {
        match self {
            Self::Plc(operation) => &mut operation.sig,
            Self::Tombstone(tombstone) => &mut tombstone.sig,
            Self::Create(create) => &mut create.sig,
        }
    }
}

impl PlcOperation {
    /// The unsigned first operation of an account.
    #[must_use]
    pub fn genesis(account: &AtprotoData<'_>) -> Self {
        let mut operation = Self {
            rotation_keys: account.rotation_keys.to_vec(),
            verification_methods: BTreeMap::new(),
            also_known_as: Vec::new(),
            services: BTreeMap::new(),
            prev: None,
            sig: String::new(),
        };
        operation.set_signing_key(account.signing_key);
        operation.set_handle(account.handle);
        operation.set_pds_endpoint(account.pds_endpoint);
        operation
    }

    /// Replaces the repo's signing key.
    pub fn set_signing_key(&mut self, did_key: &str) {
        self.verification_methods.insert(SIGNING_KEY_ID.to_owned(), did_key.to_owned());
    }

    /// Replaces the handle, the first `at://` name, and leaves the other names alone.
    pub fn set_handle(&mut self, handle: &Handle) {
        let name = format!("{AT_SCHEME}{handle}");
        match self.also_known_as.iter_mut().find(|name| name.starts_with(AT_SCHEME)) {
            Some(old) => *old = name,
            None => self.also_known_as.insert(0, name),
        }
    }

    /// Replaces the server.
    pub fn set_pds_endpoint(&mut self, endpoint: &str) {
        let service = PlcService { r#type: PDS_TYPE.to_owned(), endpoint: with_https(endpoint) };
        self.services.insert(PDS_ID.to_owned(), service);
    }

    /// Signs: the operation to submit.
    ///
    /// # Errors
    /// As [`Operation::to_cbor`].
    pub fn sign(self, key: &SigningKey) -> Result<Operation, IdentityError> {
        Operation::Plc(self).sign(key)
    }
}

impl LegacyCreate {
    /// The same in today's form. The signature and hash remain those of the old form.
    fn modern(&self) -> PlcOperation {
        let name = match self.handle.strip_prefix(AT_SCHEME) {
            Some(_) => self.handle.clone(),
            None => format!("{AT_SCHEME}{}", self.handle.replace("http://", "").replace("https://", "")),
        };
        let mut operation = PlcOperation {
            rotation_keys: vec![self.recovery_key.clone(), self.signing_key.clone()],
            verification_methods: BTreeMap::new(),
            also_known_as: vec![name],
            services: BTreeMap::new(),
            prev: self.prev.clone(),
            sig: self.sig.clone(),
        };
        operation.set_signing_key(&self.signing_key);
        operation.set_pds_endpoint(&self.service);
        operation
    }
}

fn with_https(endpoint: &str) -> String {
    if endpoint.starts_with("http://") || endpoint.starts_with("https://") {
        endpoint.to_owned()
    } else {
        format!("https://{endpoint}")
    }
}

/// A field that may be null but must be there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}
