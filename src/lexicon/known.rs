//! Records that others define and this server checks: what the reference server knows, as facts about them.
//!
//! The reference validates the records of these collections and calls the rest unknown. Each table below gives a
//! definition's properties, types and limits; they go into the same catalog and through the same validator as our own
//! lexicons, so errors have paths and one meaning. (The types of atrium-api would give less: its unions take a
//! malformed value of a known type for an unknown one, its texts have no limits, and it refuses some valid times.)
//!
//! A property whose name ends in `!` is required.
//!
//! Source: the lexicons of `app.bsky`, `chat.bsky`, `com.atproto` and `com.germnetwork` as of August 2026.

mod actor;
mod feed;
mod graph;
mod shared;

use super::schema::{
    Array, Blob, Boolean, Document, Format, Integer, Lengths, Object, Plain, Properties, Record, Ref, Schema,
    Text, Union,
};

/// All documents, each with the definitions that validating records needs.
pub(super) fn documents() -> Vec<Document> {
    [actor::documents(), feed::documents(), graph::documents(), shared::documents()].concat()
}

fn document<const N: usize>(id: &str, defs: [(&str, Schema); N]) -> Document {
    let defs = defs.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    Document { lexicon: 1, id: id.to_owned(), description: None, defs }
}

fn record<const N: usize>(key: &str, properties: [(&str, Schema); N]) -> Schema {
    Schema::Record(Record { description: None, key: key.to_owned(), record: Box::new(object(properties)) })
}

fn object<const N: usize>(properties: [(&str, Schema); N]) -> Schema {
    let mut object = Object::default();
    let mut named = Vec::with_capacity(N);
    for (name, schema) in properties {
        let bare = name.trim_end_matches('!');
        if bare != name {
            object.required.push(bare.to_owned());
        }
        named.push((bare.to_owned(), schema));
    }
    Schema::Object(Object { properties: Properties(named), ..object })
}

fn refer(target: &str) -> Schema {
    Schema::Ref(Ref { description: None, target: target.to_owned() })
}

fn union<const N: usize>(refs: [&str; N]) -> Schema {
    Schema::Union(Union { description: None, refs: refs.map(str::to_owned).to_vec(), closed: false })
}

fn list(items: Schema) -> Schema {
    Schema::Array(Array { description: None, items: Box::new(items), min_length: None, max_length: None })
}

fn list_of(items: Schema, max: u64) -> Schema {
    Schema::Array(Array {
        description: None,
        items: Box::new(items),
        min_length: None,
        max_length: Some(max),
    })
}

fn string() -> Schema {
    Schema::String(Text::default())
}

/// A text of at most so many graphemes and ten times as many bytes, as most limits are set.
fn graphemes(max: u64) -> Schema {
    Schema::String(Text { max_length: Some(max * 10), max_graphemes: Some(max), ..Text::default() })
}

/// A text of so many bytes.
fn sized(min: u64, max: u64) -> Schema {
    Schema::String(Text { min_length: Some(min), max_length: Some(max), ..Text::default() })
}

fn format(format: Format) -> Schema {
    Schema::String(Text { format: Some(format), ..Text::default() })
}

fn datetime() -> Schema {
    format(Format::Datetime)
}

fn at_least(minimum: i64) -> Schema {
    Schema::Integer(Integer { minimum: Some(minimum), ..Integer::default() })
}

fn boolean() -> Schema {
    Schema::Boolean(Boolean::default())
}

fn bytes() -> Schema {
    Schema::Bytes(Lengths::default())
}

fn blob<const N: usize>(accept: [&str; N], max_size: u64) -> Schema {
    let accept = Some(accept.map(str::to_owned).to_vec());
    Schema::Blob(Blob { description: None, accept, max_size: Some(max_size) })
}

/// An avatar, a banner.
fn picture() -> Schema {
    blob(["image/png", "image/jpeg"], 1_000_000)
}

fn token() -> Schema {
    Schema::Token(Plain::default())
}

fn strong_ref() -> Schema {
    refer("com.atproto.repo.strongRef")
}

fn self_labels() -> Schema {
    union(["com.atproto.label.defs#selfLabels"])
}

#[cfg(test)]
mod tests;
