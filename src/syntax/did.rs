//! DIDs, as <https://atproto.com/specs/did> restricts them.

use super::SyntaxError;

/// The specification's hard limit in bytes.
const DID_BYTES_MAX: usize = 2048;

super::string_newtype!(
    /// A decentralised identifier: `did:plc:…` or `did:web:…`; other methods are syntax, nothing resolves them.
    Did,
    validate_did
);

impl Did {
    /// The method: `plc` of `did:plc:abc`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// What follows the method: `abc` of `did:plc:abc`.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.0.splitn(3, ':').nth(2).unwrap_or_default()
    }
}

/// Checks `did:method:identifier`: a lower-case method, an identifier of letters, digits and `._:%-` that does not
/// end in `:` or `%`.
///
/// # Errors
/// [`SyntaxError::Did`] with the rule that was broken.
pub fn validate_did(text: &str) -> Result<(), SyntaxError> {
    if text.len() > DID_BYTES_MAX {
        return Err(SyntaxError::Did("longer than 2048 bytes"));
    }
    let rest = text.strip_prefix("did:").ok_or(SyntaxError::Did("does not begin with did:"))?;
    let (method, identifier) =
        rest.split_once(':').ok_or(SyntaxError::Did("has no method and identifier"))?;
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_lowercase()) {
        return Err(SyntaxError::Did("method must be lower-case letters"));
    }
    if !identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:%-".contains(&b)) {
        return Err(SyntaxError::Did("character that is not allowed"));
    }
    match identifier.as_bytes().last() {
        None => Err(SyntaxError::Did("identifier is empty")),
        Some(b':' | b'%') => Err(SyntaxError::Did("ends in : or %")),
        Some(_) => Ok(()),
    }
}
