//! What was found, for a while. An answer is fresh for an hour; for a day it is stale: good enough when the network
//! does not answer, and worth asking again. The oldest goes when there is no room.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

const FRESH_US: i64 = 3600 * 1_000_000;
const STALE_US: i64 = 24 * FRESH_US;

/// A bounded cache of resolutions: DID to document, handle to DID. Time comes in with each call.
#[derive(Debug)]
pub struct Cache<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by age: a number that rises with every insertion.
    by_age: BTreeMap<u64, K>,
    next_age: u64,
    entries_max: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    found_at_us: i64,
    age: u64,
    bytes: usize,
}

/// What a [`Cache`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Found within the hour.
    Fresh(T),
    /// Found within the day: ask again, and use it if no answer comes.
    Stale(T),
    /// Nothing, or too old.
    Miss,
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// An empty cache of at most `entries_max` entries, and of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            next_age: 0,
            entries_max,
            bytes: 0,
            bytes_max,
        }
    }

    /// What is known of `key`.
    pub fn get<Q>(&self, key: &Q, now_us: i64) -> Lookup<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(entry) = self.entries.get(key) else { return Lookup::Miss };
        match now_us.saturating_sub(entry.found_at_us) {
            ..FRESH_US => Lookup::Fresh(&entry.value),
            FRESH_US..STALE_US => Lookup::Stale(&entry.value),
            _ => Lookup::Miss,
        }
    }

    /// Keeps what was found now, in place of what was known; `bytes` is what it takes in memory, about.
    pub fn insert(&mut self, key: K, value: V, bytes: usize, now_us: i64) {
        let age = self.next_age;
        self.next_age += 1;
        let entry = Entry { value, found_at_us: now_us, age, bytes };
        self.bytes += bytes;
        if let Some(replaced) = self.entries.insert(key.clone(), entry) {
            self.by_age.remove(&replaced.age);
            self.bytes -= replaced.bytes;
        }
        self.by_age.insert(age, key);
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.bytes);
        }
    }

    /// Forgets what is known of `key`: after an identity event, or when a signature fails.
    pub fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(removed) = self.entries.remove(key) {
            self.by_age.remove(&removed.age);
            self.bytes -= removed.bytes;
        }
    }

    /// Number of entries, those too old included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn by_age_len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
