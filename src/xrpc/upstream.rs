//! What is known of another service's questions and answers by all who ask it.

use http::{HeaderMap, HeaderName, header};

/// How far the repo was known to who answers.
pub(super) const REPO_REV: HeaderName = HeaderName::from_static("atproto-repo-rev");

/// Whether a body is said to be JSON, of whichever kind.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// A query string.
pub(super) fn query_of(params: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}
