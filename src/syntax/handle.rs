//! Handles, and the union of handle and DID that most endpoints take.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Did, SyntaxError, validate_did};

/// A handle is a DNS name without the trailing dot.
const HANDLE_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Top-level domains that resolve nowhere or only locally; nobody may register under them.
const DISALLOWED_TLDS: [&str; 8] =
    ["local", "arpa", "invalid", "localhost", "internal", "example", "alt", "onion"];

super::string_newtype!(
    /// A handle: a domain name of at least two labels. Case is kept; compare [`Handle::normalized`] values.
    Handle,
    validate_handle
);

impl Handle {
    /// The lower-case form, in which handles are stored and compared.
    #[must_use]
    pub fn normalized(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into_boxed_str())
    }

    /// `handle.invalid`, shown in place of a handle that does not resolve back to its DID.
    #[must_use]
    pub fn invalid() -> Self {
        Self("handle.invalid".into())
    }

    /// Whether this is [`Handle::invalid`].
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.0.eq_ignore_ascii_case("handle.invalid")
    }

    /// Whether the specification keeps this top-level domain from being used as a handle. Well formed all the same.
    #[must_use]
    pub fn has_disallowed_tld(&self) -> bool {
        let tld = self.0.rsplit('.').next().unwrap_or_default();
        DISALLOWED_TLDS.iter().any(|banned| tld.eq_ignore_ascii_case(banned))
    }
}

/// An account named by its DID or by its handle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtIdentifier {
    /// By DID.
    Did(Did),
    /// By handle.
    Handle(Handle),
}

impl AtIdentifier {
    /// The text of either.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Did(did) => did.as_str(),
            Self::Handle(handle) => handle.as_str(),
        }
    }
}

/// Checks a domain name of at least two labels whose last one does not begin with a digit.
///
/// # Errors
/// [`SyntaxError::Handle`] with the rule that was broken.
pub fn validate_handle(text: &str) -> Result<(), SyntaxError> {
    if text.len() > HANDLE_BYTES_MAX {
        return Err(SyntaxError::Handle("longer than 253 bytes"));
    }
    let mut labels = 0;
    let mut last = "";
    for label in text.split('.') {
        if !is_domain_label(label) {
            return Err(SyntaxError::Handle(
                "label is empty, too long or has a character that is not allowed",
            ));
        }
        labels += 1;
        last = label;
    }
    if labels < 2 {
        return Err(SyntaxError::Handle("needs at least two labels"));
    }
    if !last.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(SyntaxError::Handle("last label must begin with a letter"));
    }
    Ok(())
}

/// Checks that a text is a DID or a handle.
///
/// # Errors
/// [`SyntaxError::AtIdentifier`].
pub fn validate_at_identifier(text: &str) -> Result<(), SyntaxError> {
    if text.starts_with("did:") { validate_did(text) } else { validate_handle(text) }
        .map_err(|_| SyntaxError::AtIdentifier("neither a DID nor a handle"))
}

/// A label of a domain name: 1 to 63 letters, digits and inner hyphens.
pub(super) fn is_domain_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl TryFrom<&str> for AtIdentifier {
    type Error = SyntaxError;
    fn try_from(text: &str) -> Result<Self, SyntaxError> {
        let parsed = if text.starts_with("did:") {
            Did::try_from(text).map(Self::Did)
        } else {
            Handle::try_from(text).map(Self::Handle)
        };
        parsed.map_err(|_| SyntaxError::AtIdentifier("neither a DID nor a handle"))
    }
}

impl std::str::FromStr for AtIdentifier {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::try_from(text)
    }
}

impl From<Did> for AtIdentifier {
    fn from(did: Did) -> Self {
        Self::Did(did)
    }
}

impl From<Handle> for AtIdentifier {
    fn from(handle: Handle) -> Self {
        Self::Handle(handle)
    }
}

impl AsRef<str> for AtIdentifier {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for AtIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AtIdentifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AtIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::try_from(text.as_str()).map_err(de::Error::custom)
    }
}
