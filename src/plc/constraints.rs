//! The limits plc.directory sets on operations it is given, and on nothing it already holds.

use std::collections::HashSet;

use super::Error;
use crate::{
    crypto::VerifyingKey,
    identity::{Operation, PlcOperation},
};

/// In DAG-CBOR.
const OPERATION_BYTES_MAX: usize = 4000;
const ENTRIES_MAX: usize = 10;
/// A handle and `at://`.
const ALSO_KNOWN_AS_CHARS_MAX: usize = 258;
const ID_CHARS_MAX: usize = 32;
const SERVICE_TYPE_CHARS_MAX: usize = 256;
const SERVICE_ENDPOINT_CHARS_MAX: usize = 512;
const DID_KEY_CHARS_MAX: usize = 256;

/// Reads an operation that somebody submits.
pub(super) fn parse_incoming(body: &[u8]) -> Result<Operation, Error> {
    let operation = Operation::from_json(body)?;
    if operation.to_cbor()?.len() > OPERATION_BYTES_MAX {
        return Err(Error::Constraint("Operation too large (4000 bytes maximum in cbor encoding)"));
    }
    match &operation {
        Operation::Plc(plc) => check(plc)?,
        Operation::Tombstone(_) => {}
        Operation::Create(_) => {
            return Err(Error::Constraint("Not a valid operation: create is no longer accepted"));
        }
    }
    Ok(operation)
}

fn check(operation: &PlcOperation) -> Result<(), Error> {
    let too_many = [
        operation.also_known_as.len(),
        operation.rotation_keys.len(),
        operation.services.len(),
        operation.verification_methods.len(),
    ]
    .iter()
    .any(|entries| *entries > ENTRIES_MAX);
    if too_many {
        return Err(Error::Constraint("Too many entries (max 10 of each kind)"));
    }
    if operation.also_known_as.iter().any(|name| chars(name) > ALSO_KNOWN_AS_CHARS_MAX) {
        return Err(Error::Constraint("alsoKnownAs entry too long (max 258)"));
    }
    let names: HashSet<&String> = operation.also_known_as.iter().collect();
    if names.len() < operation.also_known_as.len() {
        return Err(Error::Constraint("duplicate alsoKnownAs entry"));
    }
    if operation.rotation_keys.iter().any(|key| VerifyingKey::from_did_key(key).is_err()) {
        return Err(Error::Constraint("Invalid rotationKey"));
    }
    let mut ids = operation.services.keys().chain(operation.verification_methods.keys());
    if ids.any(|id| chars(id) > ID_CHARS_MAX) {
        return Err(Error::Constraint("Service or verification method id too long (max 32)"));
    }
    for service in operation.services.values() {
        if chars(&service.r#type) > SERVICE_TYPE_CHARS_MAX {
            return Err(Error::Constraint("Service type too long (max 256)"));
        }
        if chars(&service.endpoint) > SERVICE_ENDPOINT_CHARS_MAX {
            return Err(Error::Constraint("Service endpoint too long (max 512)"));
        }
    }
    if operation.verification_methods.values().any(|key| !is_did_key_of_any_type(key)) {
        return Err(Error::Constraint("Invalid verificationMethod key"));
    }
    Ok(())
}

/// Verification methods may be of key types the protocol does not know yet: only the form is checked.
fn is_did_key_of_any_type(key: &str) -> bool {
    let text =
        key.strip_prefix("did:key:").filter(|text| text.starts_with('z') && key.len() <= DID_KEY_CHARS_MAX);
    text.is_some_and(|text| multibase::decode(text).is_ok())
}

/// Length as JavaScript counts it.
fn chars(text: &str) -> usize {
    text.encode_utf16().count()
}
