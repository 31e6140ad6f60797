//! What a caller is told of its limits: headers of every answer that was counted.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::rate_limit::Allowance;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What a handler learnt of a limit that a cell counts, for the headers of its answer.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<OnceLock<Allowance>>);

impl Notes {
    /// Notes how the caller stands.
    pub fn note(&self, allowance: Option<Allowance>) {
        if let Some(allowance) = allowance {
            // A call is counted once by a cell.
            let _ = self.0.set(allowance);
        }
    }

    pub(super) fn taken(&self) -> Option<Allowance> {
        self.0.get().copied()
    }
}

/// Tells how a caller stands, unless the answer tells of another limit already.
pub(super) fn tell(allowance: &Allowance, headers: &mut HeaderMap) {
    if headers.contains_key(LIMIT) {
        return;
    }
    headers.insert(LIMIT, HeaderValue::from(allowance.limit));
    headers.insert(REMAINING, HeaderValue::from(allowance.remaining));
    headers.insert(RESET, HeaderValue::from(allowance.reset_seconds()));
    let policy = format!("{};w={}", allowance.limit, allowance.window_seconds);
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(POLICY, policy);
    }
    if allowance.retry_us.is_some() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(allowance.retry_seconds()));
    }
}
