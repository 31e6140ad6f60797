//! Repo paths, the tree's keys: their syntax, and the height at which a key stands.

use crate::link::sha256;

/// Longest key in bytes (repository specification, "Repo Paths").
pub const KEY_BYTES_MAX: usize = 1024;

/// Why a string is not a repo path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Longer than [`KEY_BYTES_MAX`].
    #[error("repo path has {bytes} bytes, more than {KEY_BYTES_MAX}")]
    TooLong {
        /// Length of the path.
        bytes: usize,
    },
    /// Not two non-empty segments around one slash.
    #[error("repo path is not of the form collection/rkey")]
    Segments,
    /// A character outside `A-Za-z0-9.-_:~`.
    #[error("repo path has a character outside A-Z a-z 0-9 . - _ : ~")]
    Character,
    /// A segment is `.` or `..`.
    #[error("repo path has a segment . or ..")]
    DotSegment,
}

/// Checks a repo path: `collection/rkey`, both in the characters of record keys.
///
/// Whether the collection is an NSID is not checked; the tree holds whatever a path can say.
pub fn validate(key: &str) -> Result<(), KeyError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(KeyError::TooLong { bytes: key.len() });
    }
    let (collection, rkey) = key.split_once('/').ok_or(KeyError::Segments)?;
    if collection.is_empty() || rkey.is_empty() || rkey.contains('/') {
        return Err(KeyError::Segments);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'~');
    if !collection.bytes().chain(rkey.bytes()).all(allowed) {
        return Err(KeyError::Character);
    }
    if [collection, rkey].iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err(KeyError::DotSegment);
    }
    Ok(())
}

/// The height at which a key stands: the leading zero bits of its SHA-256, two for each layer. At most 128.
pub fn height(key: &[u8]) -> u32 {
    let mut zeros = 0;
    for byte in sha256(key) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros / 2
}

/// Length of the longest common prefix in bytes, as nodes compress their keys.
pub fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["app.bsky.feed.post/3jqfcqzm3fo2j", "a/b", "com.example/~1.2_3:4-5"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "a/", "/a", "a/b/c", "a//b"] {
            assert_eq!(validate(bad), Err(KeyError::Segments), "{bad}");
        }
        for bad in ["a/b c", "a/é", "a/b\0", "a#/b", "a/b@"] {
            assert_eq!(validate(bad), Err(KeyError::Character), "{bad}");
        }
        assert_eq!(validate("a/.."), Err(KeyError::DotSegment));
        let long = format!("a/{}", "b".repeat(1022));
        assert_eq!(validate(&long), Ok(()));
        assert_eq!(validate(&format!("{long}b")), Err(KeyError::TooLong { bytes: 1025 }));
    }
}
