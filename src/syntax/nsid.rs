//! Namespaced identifiers of collections and methods: <https://atproto.com/specs/nsid>.

use super::{SyntaxError, handle::is_domain_label};

/// 253 of domain, a dot, 63 of name.
const NSID_BYTES_MAX: usize = 317;
const NAME_BYTES_MAX: usize = 63;

super::string_newtype!(
    /// A reversed domain name and a name: `com.atproto.repo.createRecord`.
    Nsid,
    validate_nsid
);

impl Nsid {
    /// The last segment: `createRecord`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }

    /// All but the last segment, as written: `com.atproto.repo`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(authority, _)| authority)
    }
}

/// Checks at least three segments: domain labels, the first not beginning with a digit, then a name of letters and
/// digits that begins with a letter.
///
/// # Errors
/// [`SyntaxError::Nsid`] with the rule that was broken.
pub fn validate_nsid(text: &str) -> Result<(), SyntaxError> {
    if text.len() > NSID_BYTES_MAX {
        return Err(SyntaxError::Nsid("longer than 317 bytes"));
    }
    let (authority, name) =
        text.rsplit_once('.').ok_or(SyntaxError::Nsid("needs at least three segments"))?;
    if !authority.contains('.') {
        return Err(SyntaxError::Nsid("needs at least three segments"));
    }
    if !authority.split('.').all(is_domain_label) {
        return Err(SyntaxError::Nsid("segment is empty, too long or has a character that is not allowed"));
    }
    if !authority.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(SyntaxError::Nsid("must begin with a letter"));
    }
    let name_is_good = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if !name_is_good {
        return Err(SyntaxError::Nsid("name must be at most 63 letters and digits, beginning with a letter"));
    }
    Ok(())
}
