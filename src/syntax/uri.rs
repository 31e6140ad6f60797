//! Generic URIs, checked loosely as the lexicon format `uri` asks (RFC 3986 scheme, then anything without space).

use super::SyntaxError;

const URI_BYTES_MAX: usize = 8192;
const SCHEME_BYTES_MAX: usize = 81;

super::string_newtype!(
    /// Any URI.
    Uri,
    validate_uri
);

/// Checks a scheme, a colon and at least one more character, no white space or control characters.
///
/// # Errors
/// [`SyntaxError::Uri`] with the rule that was broken.
pub fn validate_uri(text: &str) -> Result<(), SyntaxError> {
    if text.len() > URI_BYTES_MAX {
        return Err(SyntaxError::Uri("longer than 8192 bytes"));
    }
    let (scheme, rest) = text.split_once(':').ok_or(SyntaxError::Uri("has no scheme"))?;
    let scheme_is_good = scheme.len() <= SCHEME_BYTES_MAX
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_is_good {
        return Err(SyntaxError::Uri("scheme is malformed"));
    }
    if rest.is_empty() {
        return Err(SyntaxError::Uri("nothing after the scheme"));
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SyntaxError::Uri("white space or control character"));
    }
    Ok(())
}

/// Names that mean this machine by definition (RFC 6761), so plain http to them stays on it.
pub fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}
