//! Agents with which something is to be done later, each tried ever more seldom while it fails: a full disk fails for all
//! of thousands.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::syntax::Did;

/// After the first failure, and the longest that failures come to.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// Those that wait.
#[derive(Default)]
pub(super) struct Later(HashMap<Did, Try>);

/// When the next try is due, and how long the one after it waits if it fails.
struct Try {
    at: Instant,
    pause: Duration,
}

impl Later {
    /// One that is to be tried at the next look: nothing has failed.
    pub(super) fn add(&mut self, did: &Did, now: Instant) {
        self.0.insert(did.clone(), Try { at: now, pause: PAUSE });
    }

    /// One that failed; whether it did so for the first time, which is said then.
    pub(super) fn failed(&mut self, did: &Did, now: Instant) -> bool {
        let mut is_first = false;
        let next = self.0.entry(did.clone()).or_insert_with(|| {
            is_first = true;
            Try { at: now, pause: PAUSE }
        });
        *next = Try { at: now + next.pause, pause: (next.pause * 2).min(PAUSE_MAX) };
        is_first
    }

    pub(super) fn remove(&mut self, did: &Did) {
        self.0.remove(did);
    }

    pub(super) fn contains(&self, did: &Did) -> bool {
        self.0.contains_key(did)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those whose turn it is by `now`.
    pub(super) fn due(&self, now: Instant) -> Vec<Did> {
        self.0.iter().filter(|(_, next)| next.at <= now).map(|(did, _)| did.clone()).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Did> {
        self.0.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_ever_more_seldom_and_said_once() {
        let did: Did = "did:web:a.test".parse().unwrap();
        let (mut later, begun) = (Later::default(), Instant::now());
        let (mut tries, mut said) = (0, 0);
        for second in 0..3_600 {
            let now = begun + Duration::from_secs(second);
            if tries == 0 || !later.due(now).is_empty() {
                tries += 1;
                said += u32::from(later.failed(&did, now));
            }
        }
        assert!((55..70).contains(&tries), "{tries} tries in an hour");
        assert_eq!(said, 1);
        let now = begun + Duration::from_secs(3_600);
        later.add(&did, now);
        assert_eq!(
            later.due(now),
            std::slice::from_ref(&did),
            "what only waits for a place waits no longer than that"
        );
        later.remove(&did);
        assert!(later.is_empty() && !later.contains(&did));
    }
}
