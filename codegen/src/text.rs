//! Words about a schema that both the types and the page need.

use crate::schema::{Format, Schema};

/// What a schema's author says about it.
pub(crate) fn description(schema: &Schema) -> Option<&str> {
    let description = match schema {
        Schema::Record(s) => &s.description,
        Schema::Query(s) | Schema::Procedure(s) => &s.description,
        Schema::Subscription(s) => &s.description,
        Schema::PermissionSet(s) => &s.detail,
        Schema::Token(s) | Schema::CidLink(s) | Schema::Unknown(s) => &s.description,
        Schema::Params(s) | Schema::Object(s) => &s.description,
        Schema::Boolean(s) => &s.description,
        Schema::Integer(s) => &s.description,
        Schema::String(s) => &s.description,
        Schema::Bytes(s) => &s.description,
        Schema::Blob(s) => &s.description,
        Schema::Array(s) => &s.description,
        Schema::Ref(s) => &s.description,
        Schema::Union(s) => &s.description,
    };
    description.as_deref()
}

/// A format by the specification's name.
pub(crate) fn format_name(format: Format) -> &'static str {
    match format {
        Format::AtIdentifier => "at-identifier",
        Format::AtUri => "at-uri",
        Format::Cid => "cid",
        Format::Datetime => "datetime",
        Format::Did => "did",
        Format::Handle => "handle",
        Format::Language => "language",
        Format::Nsid => "nsid",
        Format::RecordKey => "record-key",
        Format::Tid => "tid",
        Format::Uri => "uri",
        Format::Other => "unknown",
    }
}
