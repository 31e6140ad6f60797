//! Record keys: <https://atproto.com/specs/record-key>.

use super::{SyntaxError, Tid};

const RECORD_KEY_BYTES_MAX: usize = 512;

super::string_newtype!(
    /// The key of a record within its collection. What a lexicon asks beyond this (`tid`, `literal:self`) is checked
    /// by the lexicon validator.
    RecordKey,
    validate_record_key
);

impl From<Tid> for RecordKey {
    fn from(tid: Tid) -> Self {
        Self(tid.as_str().into())
    }
}

/// Checks 1 to 512 of letters, digits and `_~.:-`, and neither `.` nor `..`.
///
/// # Errors
/// [`SyntaxError::RecordKey`] with the rule that was broken.
pub fn validate_record_key(text: &str) -> Result<(), SyntaxError> {
    if text.is_empty() || text.len() > RECORD_KEY_BYTES_MAX {
        return Err(SyntaxError::RecordKey("must be 1 to 512 bytes"));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_~.:-".contains(&b)) {
        return Err(SyntaxError::RecordKey("character that is not allowed"));
    }
    if text == "." || text == ".." {
        return Err(SyntaxError::RecordKey("must not be . or .."));
    }
    Ok(())
}
