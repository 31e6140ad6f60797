//! The lexicon language as a model: what a lexicon document says, parsed from its JSON.
//!
//! One enum holds every type of the language, both those that stand at the top of a document (record, query, …) and
//! those of values; `Catalog::add` refuses one in the place of the other. Unknown members are passed over, as the
//! language may grow. Properties keep the order of the document, which is the order a reader of the generated page
//! and types meets.
//!
//! This file is compiled twice: as a module here, for validation at runtime, and by `codegen`, which can't depend on
//! this package because it writes a part of it. So it uses nothing of this package.
//!
//! Source: <https://atproto.com/specs/lexicon>.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A lexicon document: the definitions under one NSID.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    /// The version of the language; 1 is the only one.
    pub lexicon: i64,
    /// The NSID.
    pub id: String,
    /// What the document is about, for people.
    pub description: Option<String>,
    /// The definitions by name; `main` is the one that the NSID alone stands for.
    pub defs: BTreeMap<String, Schema>,
}

/// One type of the language, with its constraints.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Schema {
    /// An object that stands in a repo.
    Record(Record),
    /// A method that reads, over HTTP GET.
    Query(Method),
    /// A method that may write, over HTTP POST.
    Procedure(Method),
    /// An event stream over a WebSocket.
    Subscription(Subscription),
    /// A bundle of OAuth permissions.
    PermissionSet(PermissionSet),
    /// A name that means itself.
    Token(Plain),
    /// The parameters of a method.
    Params(Object),
    /// True or false.
    Boolean(Boolean),
    /// A 64-bit integer.
    Integer(Integer),
    /// A text.
    String(Text),
    /// A byte string.
    Bytes(Lengths),
    /// A link to a block by its CID.
    CidLink(Plain),
    /// A reference to an uploaded file.
    Blob(Blob),
    /// A list.
    Array(Array),
    /// A map with named properties.
    Object(Object),
    /// Whatever another definition is.
    Ref(Ref),
    /// One of several definitions, told apart by `$type`.
    Union(Union),
    /// Any object.
    Unknown(Plain),
}

/// A type without constraints.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Plain {
    /// For people.
    pub description: Option<String>,
}

/// A record: its object and what its record keys look like.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// For people.
    pub description: Option<String>,
    /// `tid`, `nsid`, `any` or `literal:` and the key.
    pub key: String,
    /// The object.
    pub record: Box<Schema>,
}

/// A query or a procedure.
#[derive(Clone, Debug, Deserialize)]
pub struct Method {
    /// For people.
    pub description: Option<String>,
    /// The query string.
    pub parameters: Option<Box<Schema>>,
    /// The body of the request; procedures only.
    pub input: Option<Body>,
    /// The body of the answer.
    pub output: Option<Body>,
    /// The errors that the method names.
    #[serde(default)]
    pub errors: Vec<ErrorName>,
}

/// An event stream.
#[derive(Clone, Debug, Deserialize)]
pub struct Subscription {
    /// For people.
    pub description: Option<String>,
    /// The query string.
    pub parameters: Option<Box<Schema>>,
    /// What is sent.
    pub message: Option<Message>,
    /// The errors that the stream names.
    #[serde(default)]
    pub errors: Vec<ErrorName>,
}

/// What a subscription sends.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// A union of the messages.
    pub schema: Box<Schema>,
}

/// The body of a request or an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Body {
    /// The media type.
    pub encoding: String,
    /// What it holds, when it is JSON.
    pub schema: Option<Box<Schema>>,
}

/// An error that a method names.
#[derive(Clone, Debug, Deserialize)]
pub struct ErrorName {
    /// The `error` member of the error body.
    pub name: String,
    /// When it is answered.
    pub description: Option<String>,
}

/// A bundle of permissions that a person grants as one.
#[derive(Clone, Debug, Deserialize)]
pub struct PermissionSet {
    /// The bundle in a few words.
    pub title: Option<String>,
    /// The bundle in a sentence.
    pub detail: Option<String>,
    /// The permissions.
    pub permissions: Vec<Permission>,
}

/// One permission of a set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// `rpc` or `repo`; a set takes no other.
    pub resource: String,
    /// The methods, for `rpc`.
    #[serde(default)]
    pub lxm: Vec<String>,
    /// The service, for `rpc`.
    pub aud: Option<String>,
    /// Whether the service is the one named where the set is included.
    #[serde(default)]
    pub inherit_aud: bool,
    /// The collections, for `repo`.
    #[serde(default)]
    pub collection: Vec<String>,
    /// What may be done, for `repo`; anything, when not there.
    #[serde(default)]
    pub action: Vec<String>,
}

/// True or false.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Boolean {
    /// For people.
    pub description: Option<String>,
    /// The only value.
    #[serde(rename = "const")]
    pub constant: Option<bool>,
    /// What absence means.
    pub default: Option<bool>,
}

/// An integer and its bounds, which are inclusive.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Integer {
    /// For people.
    pub description: Option<String>,
    /// The smallest.
    pub minimum: Option<i64>,
    /// The largest.
    pub maximum: Option<i64>,
    /// The only values.
    #[serde(rename = "enum")]
    pub values: Option<Vec<i64>>,
    /// The only value.
    #[serde(rename = "const")]
    pub constant: Option<i64>,
    /// What absence means.
    pub default: Option<i64>,
}

/// A text. Lengths are bytes of UTF-8 or extended grapheme clusters, and inclusive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// For people.
    pub description: Option<String>,
    /// Its syntax.
    pub format: Option<Format>,
    /// Bytes at least.
    pub min_length: Option<u64>,
    /// Bytes at most.
    pub max_length: Option<u64>,
    /// Graphemes at least.
    pub min_graphemes: Option<u64>,
    /// Graphemes at most.
    pub max_graphemes: Option<u64>,
    /// Values to expect; others are valid too.
    pub known_values: Option<Vec<String>>,
    /// The only values.
    #[serde(rename = "enum")]
    pub values: Option<Vec<String>>,
    /// The only value.
    #[serde(rename = "const")]
    pub constant: Option<String>,
    /// What absence means.
    pub default: Option<String>,
}

/// The syntax of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[allow(missing_docs, reason = "the names of the specification, each explained in `syntax`")]
pub enum Format {
    AtIdentifier,
    AtUri,
    Cid,
    Datetime,
    Did,
    Handle,
    Language,
    Nsid,
    RecordKey,
    Tid,
    Uri,
    /// One that a later version of the language brings. Nothing is checked.
    Other,
}

impl From<String> for Format {
    fn from(name: String) -> Self {
        match name.as_str() {
            "at-identifier" => Self::AtIdentifier,
            "at-uri" => Self::AtUri,
            "cid" => Self::Cid,
            "datetime" => Self::Datetime,
            "did" => Self::Did,
            "handle" => Self::Handle,
            "language" => Self::Language,
            "nsid" => Self::Nsid,
            "record-key" => Self::RecordKey,
            "tid" => Self::Tid,
            "uri" => Self::Uri,
            _ => Self::Other,
        }
    }
}

/// The bounds of a byte string's length, inclusive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lengths {
    /// For people.
    pub description: Option<String>,
    /// At least.
    pub min_length: Option<u64>,
    /// At most.
    pub max_length: Option<u64>,
}

/// A file's reference.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// For people.
    pub description: Option<String>,
    /// Media types, `image/*` or `*/*` among them; any, when not there.
    pub accept: Option<Vec<String>>,
    /// Bytes at most.
    pub max_size: Option<u64>,
}

/// A list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Array {
    /// For people.
    pub description: Option<String>,
    /// What each item is.
    pub items: Box<Schema>,
    /// Items at least.
    pub min_length: Option<u64>,
    /// Items at most.
    pub max_length: Option<u64>,
}

/// A map with named properties. Others that it holds are not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Object {
    /// For people.
    pub description: Option<String>,
    /// The properties in the order of the document.
    #[serde(default)]
    pub properties: Properties,
    /// Names of those that must be there.
    #[serde(default)]
    pub required: Vec<String>,
    /// Names of those that may be null.
    #[serde(default)]
    pub nullable: Vec<String>,
}

/// A reference to another definition.
#[derive(Clone, Debug, Deserialize)]
pub struct Ref {
    /// For people.
    pub description: Option<String>,
    /// `nsid`, `nsid#name` or `#name`.
    #[serde(rename = "ref")]
    pub target: String,
}

/// One of several definitions.
#[derive(Clone, Debug, Deserialize)]
pub struct Union {
    /// For people.
    pub description: Option<String>,
    /// The definitions, as in [`Ref`].
    #[serde(default)]
    pub refs: Vec<String>,
    /// Whether other types are refused.
    #[serde(default)]
    pub closed: bool,
}

/// Named schemas in the order of the document.
#[derive(Clone, Debug, Default)]
pub struct Properties(pub Vec<(String, Schema)>);

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Properties;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of properties")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut properties = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    properties.push(entry);
                }
                Ok(Properties(properties))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The one name of a definition: `nsid` for a main definition, `nsid#name` for others.
pub fn absolute(target: &str, id: &str) -> String {
    match target.split_once('#') {
        Some(("", "main")) => id.to_owned(),
        Some(("", name)) => format!("{id}#{name}"),
        Some((other, "main")) => other.to_owned(),
        _ => target.to_owned(),
    }
}

impl Schema {
    /// Whether the type may only stand as the `main` definition of a document.
    pub fn is_primary(&self) -> bool {
        matches!(
            self,
            Self::Record(_)
                | Self::Query(_)
                | Self::Procedure(_)
                | Self::Subscription(_)
                | Self::PermissionSet(_)
        )
    }
}
