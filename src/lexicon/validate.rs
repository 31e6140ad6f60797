//! The validator: one walk over a value beside the schema, for our lexicons and any other.
//!
//! The validator checks all constraints of the lexicon language. Properties that a schema does not name are not looked
//! at: the language is open to them. `knownValues` and `default` constrain nothing. Values are of the data model
//! ([`crate::data_model`]), which has no floats; one that is met is an error.
//!
//! A valid value costs no allocation: the path of an error is put together while the error travels up.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;
use unicode_segmentation::UnicodeSegmentation;

use super::catalog::Catalog;
use super::schema::{Array, Blob, Body, Format, Integer, Lengths, Object, Schema, Text, Union};
use crate::data_model::BlobRef;
use crate::limits::DATA_DEPTH_MAX;
use crate::syntax::{self, SyntaxError};

/// Why a value is not valid, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
#[non_exhaustive]
pub struct ValidationError {
    /// From what was validated down to the value: `record.embed.images[2].alt`. Property names are the schema's, so
    /// it holds nothing of the value.
    pub path: String,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a value. The texts name the rule and never repeat the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A required property is not there.
    #[error("must be there")]
    Missing,
    /// The value is of another type.
    #[error("must be {expected}, not {found}")]
    Type {
        /// The type that it must be.
        expected: &'static str,
        /// The type that it is.
        found: &'static str,
    },
    /// The text is not of its format.
    #[error("{0}")]
    Format(#[from] SyntaxError),
    /// Too short, too few or too small.
    #[error("must be at least {min} {unit}")]
    TooSmall {
        /// The bound.
        min: i128,
        /// What is counted.
        unit: &'static str,
    },
    /// Too long, too many or too large.
    #[error("must be at most {max} {unit}")]
    TooLarge {
        /// The bound.
        max: i128,
        /// What is counted.
        unit: &'static str,
    },
    /// Not the constant, or not one of the values.
    #[error("must be one of the values that the lexicon lists")]
    NotListed,
    /// `$type` is not there where it must be, or is not what the place takes.
    #[error("must name a type that fits here: {0}")]
    WrongType(&'static str),
    /// The media type is not one that the lexicon accepts.
    #[error("must be of a media type that the lexicon accepts")]
    MediaType,
    /// Nested too deep.
    #[error("is nested too deep")]
    TooDeep,
    /// The lexicon refers to a definition that is not known, or that is no type of a value.
    #[error("is described by the definition {0}, which is not known")]
    UnknownDefinition(String),
}

/// An error on its way up, its path still reversed.
struct Failure {
    path: Vec<Segment>,
    reason: Reason,
}

enum Segment {
    Property(String),
    Index(usize),
}

type Check = Result<(), Box<Failure>>;

fn fail(reason: Reason) -> Check {
    Err(Box::new(Failure { path: Vec::new(), reason }))
}

fn at(check: Check, segment: impl FnOnce() -> Segment) -> Check {
    check.map_err(|mut failure| {
        failure.path.push(segment());
        failure
    })
}

impl From<SyntaxError> for Box<Failure> {
    fn from(error: SyntaxError) -> Self {
        Box::new(Failure { path: Vec::new(), reason: error.into() })
    }
}

fn finish(root: &str, check: Check) -> Result<(), ValidationError> {
    check.map_err(|failure| {
        let mut path = root.to_owned();
        for segment in failure.path.iter().rev() {
            match segment {
                Segment::Property(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        ValidationError { path, reason: failure.reason }
    })
}

/// Which body of a method is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOf {
    /// The request's.
    Input,
    /// The answer's.
    Output,
}

impl Catalog {
    /// Whether the NSID names a record.
    #[must_use]
    pub fn is_record(&self, nsid: &str) -> bool {
        matches!(self.get(nsid), Some(Schema::Record(_)))
    }

    /// Checks a record of the collection `nsid`, its `$type` included.
    pub fn validate_record(&self, nsid: &str, record: &Ipld) -> Result<(), ValidationError> {
        let check = match self.get(nsid) {
            Some(Schema::Record(schema)) => {
                require_type(nsid, record).and_then(|()| self.walk(&schema.record, record, 0))
            }
            _ => fail(Reason::UnknownDefinition(nsid.to_owned())),
        };
        finish("record", check)
    }

    /// Checks that a record of the collection `nsid` may have this key.
    pub fn validate_record_key(&self, nsid: &str, key: &str) -> Result<(), ValidationError> {
        let check = match self.get(nsid) {
            Some(Schema::Record(schema)) => match schema.key.as_str() {
                "tid" => syntax::validate_tid(key).map_err(Into::into),
                "nsid" => syntax::validate_nsid(key).map_err(Into::into),
                "any" => syntax::validate_record_key(key).map_err(Into::into),
                kind if kind.strip_prefix("literal:") == Some(key) => Ok(()),
                _ => fail(Reason::NotListed),
            },
            _ => fail(Reason::UnknownDefinition(nsid.to_owned())),
        };
        finish("rkey", check)
    }

    /// Checks a record or an object by the definition that its own `$type` names.
    pub fn validate_typed(&self, value: &Ipld) -> Result<(), ValidationError> {
        let check = map(value).and_then(|map| match map.get("$type") {
            Some(Ipld::String(name)) => self.walk_definition(name, value, 0),
            _ => fail(Reason::WrongType("there is no $type")),
        });
        finish("record", check)
    }

    /// Checks the parameters of a method: an object of scalars and lists, as [`super::params`] makes it.
    pub fn validate_params(&self, nsid: &str, params: &Ipld) -> Result<(), ValidationError> {
        let check = match self.params(nsid) {
            Some(Some(object)) => self.walk_object(object, params, 0),
            Some(None) => map(params).map(drop),
            None => fail(Reason::UnknownDefinition(nsid.to_owned())),
        };
        finish("params", check)
    }

    /// Checks the JSON body of a request or an answer. A method without a schema for it takes anything.
    pub fn validate_body(&self, nsid: &str, which: BodyOf, body: &Ipld) -> Result<(), ValidationError> {
        let schema = match (self.get(nsid), which) {
            (Some(Schema::Procedure(method)), BodyOf::Input) => Some(&method.input),
            (Some(Schema::Procedure(method) | Schema::Query(method)), BodyOf::Output) => Some(&method.output),
            _ => None,
        };
        let check = match schema {
            Some(Some(Body { schema: Some(schema), .. })) => self.walk(schema, body, 0),
            Some(_) => Ok(()),
            None => fail(Reason::UnknownDefinition(nsid.to_owned())),
        };
        finish(if which == BodyOf::Input { "input" } else { "output" }, check)
    }

    /// The parameters of a method: `None` when there is no such method, `Some(None)` when it takes none.
    pub(super) fn params(&self, nsid: &str) -> Option<Option<&Object>> {
        let params = match self.get(nsid)? {
            Schema::Query(method) | Schema::Procedure(method) => &method.parameters,
            Schema::Subscription(stream) => &stream.parameters,
            _ => return None,
        };
        match params.as_deref() {
            Some(Schema::Params(object)) => Some(Some(object)),
            _ => Some(None),
        }
    }

    fn walk(&self, schema: &Schema, value: &Ipld, depth: usize) -> Check {
        // A level of the value takes at most four steps: property, reference, union, item.
        if depth > 4 * DATA_DEPTH_MAX {
            return fail(Reason::TooDeep);
        }
        match (schema, value) {
            (Schema::Boolean(schema), Ipld::Bool(value)) => {
                listed(schema.constant.is_none_or(|constant| constant == *value))
            }
            (Schema::Integer(schema), Ipld::Integer(value)) => integer(schema, *value),
            (Schema::String(schema), Ipld::String(value)) => text(schema, value),
            (Schema::Bytes(schema), Ipld::Bytes(value)) => bytes(schema, value),
            (Schema::CidLink(_), Ipld::Link(_)) => Ok(()),
            (Schema::Token(_), Ipld::String(_)) => Ok(()),
            (Schema::Blob(schema), Ipld::Map(_)) => blob(schema, value),
            (Schema::Array(schema), Ipld::List(items)) => self.walk_array(schema, items, depth),
            (Schema::Object(schema), Ipld::Map(_)) => self.walk_object(schema, value, depth),
            (Schema::Ref(schema), _) => self.walk_definition(&schema.target, value, depth),
            (Schema::Union(schema), _) => self.walk_union(schema, value, depth),
            (Schema::Unknown(_), Ipld::Map(value)) => match value.get("$type") {
                Some(Ipld::String(name)) if name == "blob" => {
                    fail(Reason::Type { expected: "an object", found: "a blob" })
                }
                _ => Ok(()),
            },
            _ => fail(Reason::Type { expected: name_of(schema), found: kind_of(value) }),
        }
    }

    /// A value by the definition that a reference, a union or a `$type` names.
    fn walk_definition(&self, name: &str, value: &Ipld, depth: usize) -> Check {
        match self.get(name) {
            Some(Schema::Record(schema)) => {
                require_type(name, value).and_then(|()| self.walk(&schema.record, value, depth + 1))
            }
            // An object may carry the `$type` of its definition, and no other.
            Some(schema @ Schema::Object(_)) => match map(value)?.get("$type") {
                Some(_) => require_type(name, value),
                None => Ok(()),
            }
            .and_then(|()| self.walk(schema, value, depth + 1)),
            Some(Schema::Token(_)) => match value {
                Ipld::String(value) => listed(value == name),
                _ => fail(Reason::Type { expected: "a token", found: kind_of(value) }),
            },
            Some(schema) if !schema.is_primary() => self.walk(schema, value, depth + 1),
            _ => fail(Reason::UnknownDefinition(name.to_owned())),
        }
    }

    fn walk_array(&self, schema: &Array, items: &[Ipld], depth: usize) -> Check {
        within(items.len(), schema.min_length, schema.max_length, "items")?;
        for (index, item) in items.iter().enumerate() {
            at(self.walk(&schema.items, item, depth + 1), || Segment::Index(index))?;
        }
        Ok(())
    }

    fn walk_object(&self, schema: &Object, value: &Ipld, depth: usize) -> Check {
        let map = map(value)?;
        for name in &schema.required {
            if !map.contains_key(name) {
                return at(fail(Reason::Missing), || Segment::Property(name.clone()));
            }
        }
        for (name, property) in &schema.properties.0 {
            let check = match map.get(name) {
                None => Ok(()),
                Some(Ipld::Null) if schema.nullable.contains(name) => Ok(()),
                Some(value) => self.walk(property, value, depth + 1),
            };
            at(check, || Segment::Property(name.clone()))?;
        }
        Ok(())
    }

    fn walk_union(&self, schema: &Union, value: &Ipld, depth: usize) -> Check {
        match map(value)?.get("$type") {
            Some(Ipld::String(name)) if schema.refs.contains(name) => {
                self.walk_definition(name, value, depth)
            }
            Some(Ipld::String(_)) if schema.closed => fail(Reason::WrongType("the union is closed")),
            Some(Ipld::String(_)) => Ok(()),
            _ => fail(Reason::WrongType("there is no $type")),
        }
    }
}

fn require_type(name: &str, value: &Ipld) -> Check {
    match map(value)?.get("$type") {
        Some(Ipld::String(found)) if found == name => Ok(()),
        Some(_) => fail(Reason::WrongType("$type is another")),
        None => fail(Reason::WrongType("there is no $type")),
    }
}

fn map(value: &Ipld) -> Result<&BTreeMap<String, Ipld>, Box<Failure>> {
    match value {
        Ipld::Map(map) => Ok(map),
        other => {
            let reason = Reason::Type { expected: "an object", found: kind_of(other) };
            Err(Box::new(Failure { path: Vec::new(), reason }))
        }
    }
}

fn listed(ok: bool) -> Check {
    if ok { Ok(()) } else { fail(Reason::NotListed) }
}

fn within(length: usize, min: Option<u64>, max: Option<u64>, unit: &'static str) -> Check {
    match (min, max) {
        (Some(min), _) if (length as u64) < min => fail(Reason::TooSmall { min: min.into(), unit }),
        (_, Some(max)) if length as u64 > max => fail(Reason::TooLarge { max: max.into(), unit }),
        _ => Ok(()),
    }
}

fn integer(schema: &Integer, value: i128) -> Check {
    if i64::try_from(value).is_err() {
        return fail(Reason::TooLarge { max: i64::MAX.into(), unit: "in size" });
    }
    if let Some(min) = schema.minimum.map(i128::from).filter(|min| value < *min) {
        return fail(Reason::TooSmall { min, unit: "in value" });
    }
    if let Some(max) = schema.maximum.map(i128::from).filter(|max| value > *max) {
        return fail(Reason::TooLarge { max, unit: "in value" });
    }
    let is = |listed: &i64| i128::from(*listed) == value;
    listed(schema.constant.as_ref().is_none_or(is) && schema.values.as_ref().is_none_or(|v| v.iter().any(is)))
}

fn text(schema: &Text, value: &str) -> Check {
    within(value.len(), schema.min_length, schema.max_length, "bytes")?;
    // A grapheme has at least one byte, so few bytes can't be too many graphemes: most texts need no segmentation.
    let may_exceed = schema.max_graphemes.is_some_and(|max| value.len() as u64 > max);
    if schema.min_graphemes.is_some() || may_exceed {
        let count = value.graphemes(true).count();
        within(count, schema.min_graphemes, schema.max_graphemes, "graphemes")?;
    }
    let is = |listed: &String| listed == value;
    listed(
        schema.constant.as_ref().is_none_or(is) && schema.values.as_ref().is_none_or(|v| v.iter().any(is)),
    )?;
    match schema.format {
        Some(Format::AtIdentifier) => syntax::validate_at_identifier(value)?,
        Some(Format::AtUri) => syntax::validate_at_uri(value)?,
        Some(Format::Cid) => syntax::validate_cid(value)?,
        Some(Format::Datetime) => syntax::validate_datetime(value)?,
        Some(Format::Did) => syntax::validate_did(value)?,
        Some(Format::Handle) => syntax::validate_handle(value)?,
        Some(Format::Language) => syntax::validate_language(value)?,
        Some(Format::Nsid) => syntax::validate_nsid(value)?,
        Some(Format::RecordKey) => syntax::validate_record_key(value)?,
        Some(Format::Tid) => syntax::validate_tid(value)?,
        Some(Format::Uri) => syntax::validate_uri(value)?,
        Some(Format::Other) | None => {}
    }
    Ok(())
}

fn bytes(schema: &Lengths, value: &[u8]) -> Check {
    within(value.len(), schema.min_length, schema.max_length, "bytes")
}

/// The reference to a blob: `$type`, `ref`, `mimeType`, `size` and nothing else. Whether the blob is there, and is
/// what the reference says, is for the store to tell.
fn blob(schema: &Blob, value: &Ipld) -> Check {
    let not_a_blob = || fail(Reason::Type { expected: "a blob", found: kind_of(value) });
    let Ok(BlobRef { mime_type, size: Some(size), .. }) = BlobRef::try_from(value) else {
        return not_a_blob();
    };
    if !mime_type.contains('/') || map(value)?.len() != 4 {
        return not_a_blob();
    }
    if let Some(max) = schema.max_size.filter(|max| size > *max) {
        return fail(Reason::TooLarge { max: max.into(), unit: "bytes" });
    }
    let accepts = |pattern: &String| match pattern.strip_suffix('*') {
        Some("*/") => true,
        Some(family) => mime_type.starts_with(family),
        None => *pattern == mime_type,
    };
    match &schema.accept {
        Some(patterns) if !patterns.iter().any(accepts) => fail(Reason::MediaType),
        _ => Ok(()),
    }
}

fn name_of(schema: &Schema) -> &'static str {
    match schema {
        Schema::Boolean(_) => "a boolean",
        Schema::Integer(_) => "an integer",
        Schema::String(_) | Schema::Token(_) => "a string",
        Schema::Bytes(_) => "bytes",
        Schema::CidLink(_) => "a link",
        Schema::Blob(_) => "a blob",
        Schema::Array(_) => "an array",
        _ => "an object",
    }
}

fn kind_of(value: &Ipld) -> &'static str {
    match value {
        Ipld::Null => "null",
        Ipld::Bool(_) => "a boolean",
        Ipld::Integer(_) => "an integer",
        Ipld::Float(_) => "a float",
        Ipld::String(_) => "a string",
        Ipld::Bytes(_) => "bytes",
        Ipld::List(_) => "an array",
        Ipld::Map(_) => "an object",
        Ipld::Link(_) => "a link",
    }
}

#[cfg(test)]
mod tests;
