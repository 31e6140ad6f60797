//! `at://` URIs in the strict form lexicons use: <https://atproto.com/specs/at-uri-scheme>. No query, no fragment.

use super::{Did, Nsid, RecordKey, SyntaxError, validate_at_identifier, validate_nsid, validate_record_key};

const AT_URI_BYTES_MAX: usize = 8192;
const SCHEME: &str = "at://";

super::string_newtype!(
    /// A repo, a collection of it or a record: `at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a`.
    AtUri,
    validate_at_uri
);

impl AtUri {
    /// The URI of a record.
    #[must_use]
    pub fn record(did: &Did, collection: &Nsid, record_key: &RecordKey) -> Self {
        Self(format!("{SCHEME}{did}/{collection}/{record_key}").into_boxed_str())
    }

    /// The DID or handle.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.segment(0).unwrap_or_default()
    }

    /// The collection, a valid NSID.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        self.segment(1)
    }

    /// The record key.
    #[must_use]
    pub fn record_key(&self) -> Option<&str> {
        self.segment(2)
    }

    fn segment(&self, n: usize) -> Option<&str> {
        self.0.get(SCHEME.len()..).unwrap_or_default().split('/').nth(n)
    }
}

/// Checks `at://` authority, and where present collection and record key.
///
/// # Errors
/// [`SyntaxError::AtUri`] with the part that is wrong.
pub fn validate_at_uri(text: &str) -> Result<(), SyntaxError> {
    if text.len() > AT_URI_BYTES_MAX {
        return Err(SyntaxError::AtUri("longer than 8192 bytes"));
    }
    let rest = text.strip_prefix(SCHEME).ok_or(SyntaxError::AtUri("does not begin with at://"))?;
    let mut segments = rest.split('/');
    validate_at_identifier(segments.next().unwrap_or_default())
        .map_err(|_| SyntaxError::AtUri("authority is neither a DID nor a handle"))?;
    if let Some(collection) = segments.next() {
        validate_nsid(collection).map_err(|_| SyntaxError::AtUri("collection is not an NSID"))?;
    }
    if let Some(record_key) = segments.next() {
        validate_record_key(record_key).map_err(|_| SyntaxError::AtUri("record key is not one"))?;
    }
    match segments.next() {
        None => Ok(()),
        Some(_) => Err(SyntaxError::AtUri("more than three segments")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let uri: AtUri = "at://did:plc:abc/com.example.thing/self".parse().unwrap();
        assert_eq!(
            (uri.authority(), uri.collection(), uri.record_key()),
            ("did:plc:abc", Some("com.example.thing"), Some("self"))
        );
        let repo: AtUri = "at://alice.test".parse().unwrap();
        assert_eq!((repo.authority(), repo.collection()), ("alice.test", None));
    }
}
