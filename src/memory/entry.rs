//! What the index keeps of one memory: its words, counted, and the few fields that filters look at.

use super::Error;
use super::words::WordCounts;
use crate::crypto::sha256;
use crate::data_model::{Ipld, decode_record, encode};
use crate::syntax::parse_datetime_us;
use std::collections::BTreeMap;

/// The words of a heading or a tag count double.
const WEIGHT_STRONG: u16 = 2;
const WEIGHT_PLAIN: u16 = 1;

const FACT: &str = "agent.memory.fact";

/// Where the words of the known types are. Of any other type, all strings are taken.
const FIELDS: &[(&str, &[&str], &[&str])] = &[
    ("agent.memory.note", &["summary"], &["text", "source"]),
    ("agent.memory.decision", &["decision"], &["context", "rationale", "options", "owner"]),
    (FACT, &["subject", "object"], &["predicate", "source"]),
    ("agent.memory.learning", &["statement"], &["context", "evidence"]),
    ("agent.memory.episode", &["summary"], &["text", "participants", "source"]),
    ("agent.memory.summary", &["summary"], &["scope"]),
];

/// What the index knows of a memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its `$type`.
    pub(super) memory_type: String,
    /// Its tags, as they are.
    pub(super) tags: Vec<String>,
    /// Its `createdAt`, in microseconds.
    pub(super) created_us: i64,
    /// `validFrom`, included, to `validTo`, excluded, in microseconds; for ever where they are not there.
    pub(super) valid_us: (i64, i64),
    /// Equal for memories that say the same, whenever they were written.
    pub(super) digest: [u8; 32],
    /// Of a fact: equal for the same subject, predicate and object.
    pub(super) statement: Option<[u8; 32]>,
    /// Its words with how often they are there.
    pub(super) words: WordCounts,
}

impl std::fmt::Debug for Entry {
    /// Says nothing of what is in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(hidden)")
    }
}

impl Entry {
    /// Reads a memory from its canonical DAG-CBOR.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub fn read(memory: &[u8]) -> Result<Self, Error> {
        match decode_record(memory) {
            Ok(Ipld::Map(fields)) => Self::of(fields),
            _ => Err(Error::Invalid("not an object of the data model".into())),
        }
    }

    /// What there is to know of a memory given as its fields.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub(super) fn of(mut fields: BTreeMap<String, Ipld>) -> Result<Self, Error> {
        let memory_type = text(&fields, "$type").ok_or(Error::Invalid("$type".into()))?.to_owned();
        let created_us = time(&fields, "createdAt")?.ok_or(Error::Invalid("createdAt".into()))?;
        let valid_us = match memory_type.as_str() {
            FACT => (
                time(&fields, "validFrom")?.unwrap_or(i64::MIN),
                time(&fields, "validTo")?.unwrap_or(i64::MAX),
            ),
            _ => (i64::MIN, i64::MAX),
        };
        let tags = match fields.get("tags") {
            Some(Ipld::List(tags)) => tags.iter().filter_map(as_text).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let words = count_words(&memory_type, &fields);
        let statement = (memory_type == FACT).then(|| statement(&fields)).transpose()?;
        fields.remove("createdAt");
        fields.remove("updatedAt");
        let digest =
            sha256(&encode(&Ipld::Map(fields)).map_err(|_| Error::Invalid("not of the data model".into()))?);
        Ok(Self { memory_type, tags, created_us, valid_us, digest, statement, words })
    }
}

fn statement(fields: &BTreeMap<String, Ipld>) -> Result<[u8; 32], Error> {
    let part = |name| fields.get(name).cloned().unwrap_or(Ipld::Null);
    let parts = Ipld::List(vec![part("subject"), part("predicate"), part("object")]);
    encode(&parts).map(|bytes| sha256(&bytes)).map_err(|_| Error::Invalid("not of the data model".into()))
}

fn count_words(memory_type: &str, fields: &BTreeMap<String, Ipld>) -> WordCounts {
    let mut words = WordCounts::default();
    let known = FIELDS.iter().find(|(name, ..)| *name == memory_type);
    for (name, value) in fields {
        let weight = match known {
            _ if name == "tags" => WEIGHT_STRONG,
            Some((_, strong, _)) if strong.contains(&name.as_str()) => WEIGHT_STRONG,
            Some((_, _, plain)) if plain.contains(&name.as_str()) => WEIGHT_PLAIN,
            Some(_) => continue,
            None if name.starts_with('$') || name == "createdAt" || name == "updatedAt" => continue,
            None => WEIGHT_PLAIN,
        };
        add_words(value, weight, &mut words);
    }
    words.merge();
    words
}

/// Adds the words of all strings in `value`, whose depth the data model bounds.
fn add_words(value: &Ipld, weight: u16, words: &mut WordCounts) {
    match value {
        Ipld::String(text) => words.add(text, weight),
        Ipld::List(values) => values.iter().for_each(|value| add_words(value, weight, words)),
        Ipld::Map(fields) => {
            fields.iter().filter(|(name, _)| !name.starts_with('$')).for_each(|(_, value)| {
                add_words(value, weight, words);
            });
        }
        _ => {}
    }
}

fn as_text(value: &Ipld) -> Option<&str> {
    match value {
        Ipld::String(text) => Some(text),
        _ => None,
    }
}

fn text<'a>(fields: &'a BTreeMap<String, Ipld>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(as_text).filter(|text| !text.is_empty())
}

fn time(fields: &BTreeMap<String, Ipld>, name: &'static str) -> Result<Option<i64>, Error> {
    match fields.get(name) {
        None => Ok(None),
        Some(Ipld::String(text)) => {
            parse_datetime_us(text).map(Some).map_err(|_| Error::Invalid(name.into()))
        }
        Some(_) => Err(Error::Invalid(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipld_core::ipld;

    fn entry(memory: &Ipld) -> Result<Entry, Error> {
        Entry::read(&encode(memory).unwrap())
    }

    #[test]
    fn words_of_known_types_are_weighed() {
        let entry = entry(&ipld!({
            "$type": "agent.memory.note", "summary": "Red lamps", "text": "the lamp is red, truly",
            "tags": ["home"], "refs": ["at://did:plc:x/y/z"], "createdAt": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        let words: Vec<_> = entry.words.iter().collect();
        assert_eq!(words, [("home", 2), ("is", 1), ("lamp", 3), ("red", 3), ("the", 1), ("truly", 1)]);
        assert_eq!(entry.tags, ["home"]);
        assert_eq!(entry.created_us, 1_767_225_600_000_000);
    }

    #[test]
    fn all_strings_of_other_types_are_words() {
        let entry = entry(&ipld!({
            "$type": "com.example.thing", "a": {"b": ["deep words"]}, "n": 5, "createdAt": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        assert_eq!(entry.words.iter().len(), 2);
    }

    #[test]
    fn same_content_has_the_same_digest_whenever_written() {
        let at = |time: &str, text: &str| {
            entry(&ipld!({"$type": "agent.memory.note", "summary": text, "createdAt": time})).unwrap().digest
        };
        assert_eq!(at("2026-01-01T00:00:00Z", "a"), at("2026-01-02T00:00:00Z", "a"));
        assert_ne!(at("2026-01-01T00:00:00Z", "a"), at("2026-01-01T00:00:00Z", "b"));
    }

    #[test]
    fn what_is_no_memory_is_refused() {
        for (memory, error) in [
            (ipld!([]), "not an object of the data model"),
            (ipld!({}), "$type"),
            (ipld!({"$type": "", "createdAt": "2026-01-01T00:00:00Z"}), "$type"),
            (ipld!({"$type": "agent.memory.note"}), "createdAt"),
            (ipld!({"$type": "agent.memory.note", "createdAt": "yesterday"}), "createdAt"),
            (ipld!({"$type": FACT, "createdAt": "2026-01-01T00:00:00Z", "validTo": 3}), "validTo"),
        ] {
            assert_eq!(entry(&memory), Err(Error::Invalid(error.into())), "{memory:?}");
        }
        assert!(Entry::read(b"garbage").is_err());
    }
}
