//! The text of a CID as the lexicon format `cid` takes it: syntax only. Whether the bytes decode, and which codecs
//! and hashes are allowed where, is the data model's matter.

use super::SyntaxError;

super::string_newtype!(
    /// A CID in text, undecoded.
    CidText,
    validate_cid
);

/// Checks 8 to 256 characters of the multibase alphabets, not of version 0 (`Qm…`).
///
/// # Errors
/// [`SyntaxError::Cid`] with the rule that was broken.
pub fn validate_cid(text: &str) -> Result<(), SyntaxError> {
    if !(8..=256).contains(&text.len()) {
        return Err(SyntaxError::Cid("must be 8 to 256 characters"));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b)) {
        return Err(SyntaxError::Cid("character that is not allowed"));
    }
    if text.starts_with("Qm") {
        return Err(SyntaxError::Cid("version 0 is not allowed"));
    }
    Ok(())
}
