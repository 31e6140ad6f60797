//! The index: words to memories, ranked by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).
//!
//! Scores are integers from 0 to 1000: the share that a memory reaches of what one saturated with every word of the query
//! would (stop words aside), words weighed by their rarity here. So scores of different queries compare, a word that no memory has costs
//! points, and a memory that holds all words of a short query once stands at about 600.
//!
//! All in memory, for one agent: postings of 8 bytes, words once, no text. Inserting and removing cost the memory's own
//! words (removing also the length of their posting lists); searching costs the postings of the query's words.

use super::Entry;
use super::words::query_words;
use super::{QUERY_WORDS_MAX, RECALL_RESULTS_MAX};
use crate::seam::Hidden;
use crate::syntax::Nsid;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How soon more of the same word stops counting. Low, since memories are short.
const K1: f32 = 0.6;
/// How much a long memory must say to count as much as a short one.
const B: f32 = 0.75;

/// Which memories are meant. What is empty does not restrict.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Filter {
    /// Only these `$type`s.
    pub types: Vec<Nsid>,
    /// Only with all of these tags.
    pub tags: Hidden<Vec<String>>,
    /// Not made before: microseconds since the Unix epoch.
    pub since_us: Option<i64>,
    /// Made before: microseconds since the Unix epoch.
    pub until_us: Option<i64>,
    /// Made by then, and of facts only those that held then: microseconds since the Unix epoch.
    pub as_of_us: Option<i64>,
}

impl Filter {
    /// Whether every memory matches.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn matches(&self, document: &Document) -> bool {
        let created = document.created_us;
        (self.types.is_empty() || self.types.iter().any(|wanted| *wanted == *document.memory_type))
            && self.tags.expose().iter().all(|wanted| document.tags.contains(wanted))
            && self.since_us.is_none_or(|since| created >= since)
            && self.until_us.is_none_or(|until| created < until)
            && self
                .as_of_us
                .is_none_or(|at| created <= at && document.valid_us.0 <= at && at < document.valid_us.1)
    }
}

/// A memory that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its record key.
    pub rkey: String,
    /// 0 to 1000.
    pub score: u32,
    /// The query's words that it holds, in the query's order.
    pub why: Vec<String>,
}

struct Document {
    rkey: Arc<str>,
    memory_type: Arc<str>,
    tags: Vec<String>,
    created_us: i64,
    valid_us: (i64, i64),
    /// Sum of the counts of its words.
    length: u32,
    words: Box<[u32]>,
}

#[derive(Clone, Copy)]
struct Posting {
    document: u32,
    count: u16,
}

/// Table entries that are reused after removal.
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

/// An agent's memories by their words, times and contents.
pub struct Index {
    documents: Slots<Document>,
    by_rkey: HashMap<Arc<str>, u32>,
    by_time: BTreeSet<(i64, Arc<str>)>,
    words: HashMap<Arc<str>, u32>,
    postings: Slots<(Arc<str>, Vec<Posting>)>,
    types: BTreeSet<Arc<str>>,
    length: u64,
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self {
            documents: Slots::new(),
            by_rkey: HashMap::new(),
            by_time: BTreeSet::new(),
            words: HashMap::new(),
            postings: Slots::new(),
            types: BTreeSet::new(),
            length: 0,
        }
    }

    /// How many memories are in it.
    pub fn len(&self) -> usize {
        self.by_rkey.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_rkey.is_empty()
    }

    /// Adds a memory, in place of the one with the same record key.
    pub fn insert(&mut self, rkey: &str, entry: &Entry) {
        self.remove(rkey);
        let rkey: Arc<str> = rkey.into();
        let number = self.documents.next();
        let mut words = Vec::with_capacity(entry.words.iter().len());
        let mut length = 0_u32;
        for (word, count) in entry.words.iter() {
            length = length.saturating_add(u32::from(count));
            let word = self.word_number(word);
            if let Some((_, postings)) = self.postings.get_mut(word) {
                postings.push(Posting { document: number, count });
            }
            words.push(word);
        }
        self.length += u64::from(length);
        self.by_time.insert((entry.created_us, Arc::clone(&rkey)));
        self.by_rkey.insert(Arc::clone(&rkey), number);
        let memory_type = self.type_name(&entry.memory_type);
        self.documents.put(
            number,
            Document {
                rkey,
                memory_type,
                tags: entry.tags.clone(),
                created_us: entry.created_us,
                valid_us: entry.valid_us,
                length,
                words: words.into_boxed_slice(),
            },
        );
    }

    /// Removes a memory and the words that only it had. Says whether it was there.
    pub fn remove(&mut self, rkey: &str) -> bool {
        let Some(number) = self.by_rkey.remove(rkey) else { return false };
        let Some(document) = self.documents.take(number) else { return false };
        for word in &document.words {
            let Some((_, postings)) = self.postings.get_mut(*word) else { continue };
            if let Some(at) = postings.iter().position(|posting| posting.document == number) {
                postings.swap_remove(at);
            }
            if postings.is_empty()
                && let Some((word, _)) = self.postings.take(*word)
            {
                self.words.remove(&word);
            }
        }
        self.length = self.length.saturating_sub(u64::from(document.length));
        self.by_time.remove(&(document.created_us, document.rkey));
        true
    }

    /// Record keys with the times they were made, newest first, from `before` on (not included).
    pub fn newest<'a>(
        &'a self,
        filter: &'a Filter,
        before: Option<(i64, &str)>,
    ) -> impl Iterator<Item = (i64, &'a str)> + use<'a> {
        let end = match before {
            Some((created_us, rkey)) => std::ops::Bound::Excluded((created_us, Arc::from(rkey))),
            None => std::ops::Bound::Unbounded,
        };
        let range = self.by_time.range((std::ops::Bound::Unbounded, end)).rev();
        range.filter(|(_, rkey)| self.matches(filter, rkey)).map(|(created_us, rkey)| (*created_us, &**rkey))
    }

    fn matches(&self, filter: &Filter, rkey: &str) -> bool {
        let document = self.by_rkey.get(rkey).and_then(|number| self.documents.get(*number));
        document.is_some_and(|document| filter.matches(document))
    }

    /// The best matches of `query`, at most [`RECALL_RESULTS_MAX`] of them; equal scores newest first.
    pub fn search(&self, query: &str, filter: &Filter, limit: usize, score_min: u32) -> Vec<Hit> {
        let words = query_words(query, QUERY_WORDS_MAX);
        let ideal: f32 = words.iter().map(|word| self.rarity(word)).sum();
        let scores = self.score(&words);
        let mut hits: Vec<(u32, &Document, u64)> = (0..)
            .zip(scores)
            .filter(|(_, (_, matched))| *matched != 0)
            .filter_map(|(number, (score, matched))| {
                let document = self.documents.get(number)?;
                // Each word's share is below its rarity, so this is from 0 to 1000.
                let score = (score / ideal * 1000.0).round() as u32;
                (score >= score_min && filter.matches(document)).then_some((score, document, matched))
            })
            .collect();
        fn rank<'a>((score, document, _): &(u32, &'a Document, u64)) -> (u32, i64, &'a str) {
            (*score, document.created_us, &document.rkey)
        }
        let limit = limit.min(RECALL_RESULTS_MAX);
        if hits.len() > limit {
            // A common word has thousands of hits: only the best are put in order.
            hits.select_nth_unstable_by(limit, |one, other| rank(other).cmp(&rank(one)));
            hits.truncate(limit);
        }
        hits.sort_unstable_by(|one, other| rank(other).cmp(&rank(one)));
        hits.into_iter()
            .map(|(score, document, matched)| {
                let why = words.iter().enumerate().filter(|(at, _)| matched >> at & 1 == 1);
                let why = why.map(|(_, word)| word.clone()).collect();
                Hit { rkey: document.rkey.to_string(), score, why }
            })
            .collect()
    }

    /// For each document slot: its score before scaling, and a bit for each of the words that it has.
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^24, and this is a ranking")]
    fn score(&self, words: &[String]) -> Vec<(f32, u64)> {
        let average = (self.length as f32 / self.len().max(1) as f32).max(1.0);
        let mut scores = vec![(0.0, 0); self.documents.slots.len()];
        for (at, word) in words.iter().enumerate() {
            let rarity = self.rarity(word);
            for posting in self.postings_of(word) {
                let Some(document) = self.documents.get(posting.document) else { continue };
                let Some((score, matched)) = scores.get_mut(posting.document as usize) else { continue };
                let count = f32::from(posting.count);
                let norm = K1 * (1.0 - B + B * document.length as f32 / average);
                *score += rarity * count / (count + norm);
                *matched |= 1 << at;
            }
        }
        scores
    }

    /// The inverse document frequency of a word; the highest for one that no memory has.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24, and this is a ranking")]
    fn rarity(&self, word: &str) -> f32 {
        let (all, with) = (self.len() as f32, self.postings_of(word).len() as f32);
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }

    fn postings_of(&self, word: &str) -> &[Posting] {
        let found = self.words.get(word).and_then(|number| self.postings.get(*number));
        found.map_or(&[], |(_, postings)| postings)
    }

    fn word_number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.words.get(word) {
            return *number;
        }
        let (number, word): (u32, Arc<str>) = (self.postings.next(), word.into());
        self.postings.put(number, (Arc::clone(&word), Vec::new()));
        self.words.insert(word, number);
        number
    }

    fn type_name(&mut self, name: &str) -> Arc<str> {
        if let Some(name) = self.types.get(name) {
            return Arc::clone(name);
        }
        let name: Arc<str> = name.into();
        self.types.insert(Arc::clone(&name));
        name
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Index {
    /// Says nothing of what is in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("memories", &self.len()).field("words", &self.words.len()).finish()
    }
}

impl<T> Slots<T> {
    fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// A free slot, to be [`Self::put`] into before the next call.
    fn next(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn put(&mut self, number: u32, value: T) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some(value);
        }
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    fn take(&mut self, number: u32) -> Option<T> {
        let taken = self.slots.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
