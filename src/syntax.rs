//! The protocol's strings as types: parsed once at the edge, trusted afterwards.
//!
//! Each string format of the specification (<https://atproto.com/specs>) has a free `validate_*` function, used by
//! the lexicon validator, and most have a newtype whose only constructors validate. A value of one of these types is
//! proof that its text is well formed; it says nothing about existence, ownership or resolvability.
//!
//! The validators are written by hand over bytes: no regular expressions, no allocation, one pass. The validators agree
//! with the protocol's interop fixtures (`../shared/interop/syntax`), which the tests here read.
//!
//! Tricky bits: text is kept as given, nothing is normalised behind the caller's back (a handle is compared after
//! [`Handle::normalized`]); a [`Datetime`] must also be a real instant, not only look like one; CID text here is
//! syntax only, the data model decides which CIDs it takes.

mod at_uri;
mod cid_text;
mod datetime;
mod did;
mod handle;
mod language;
mod nsid;
mod record_key;
mod tid;
mod uri;

pub use at_uri::{AtUri, validate_at_uri};
pub use cid_text::{CidText, validate_cid};
pub use datetime::{
    Datetime, format_datetime_ms, format_datetime_us, format_minute, parse_datetime_us, read_datetime,
    validate_datetime,
};
pub use did::{Did, validate_did};
pub use handle::{AtIdentifier, Handle, validate_at_identifier, validate_handle};
pub use language::{Language, validate_language};
pub use nsid::{Nsid, validate_nsid};
pub use record_key::{RecordKey, validate_record_key};
pub use tid::{Tid, validate_tid};
pub use uri::{Uri, is_localhost, validate_uri};

/// Why a text is not what it was meant to be. The message names the rule and never repeats the input, so it can be
/// shown to a client and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// Not a DID.
    #[error("invalid DID: {0}")]
    Did(&'static str),
    /// Not a handle.
    #[error("invalid handle: {0}")]
    Handle(&'static str),
    /// Neither a DID nor a handle.
    #[error("invalid at-identifier: {0}")]
    AtIdentifier(&'static str),
    /// Not an NSID.
    #[error("invalid NSID: {0}")]
    Nsid(&'static str),
    /// Not a record key.
    #[error("invalid record key: {0}")]
    RecordKey(&'static str),
    /// Not a TID.
    #[error("invalid TID: {0}")]
    Tid(&'static str),
    /// Not an at:// URI.
    #[error("invalid AT-URI: {0}")]
    AtUri(&'static str),
    /// Not a datetime with a time zone, or not an instant of the calendar.
    #[error("invalid datetime: {0}")]
    Datetime(&'static str),
    /// Not a BCP 47 language tag.
    #[error("invalid language tag: {0}")]
    Language(&'static str),
    /// Not a URI.
    #[error("invalid URI: {0}")]
    Uri(&'static str),
    /// Not the text of a CID.
    #[error("invalid CID: {0}")]
    Cid(&'static str),
}

/// Defines a validated string type. The text is immutable, so a boxed `str` is all it needs.
macro_rules! string_newtype {
    ($(#[$meta:meta])* $name:ident, $validate:path) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, owned.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0.into_string()
            }
        }

        $crate::syntax::string_traits!($name, $validate);

        impl TryFrom<String> for $name {
            type Error = $crate::syntax::SyntaxError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                $validate(&text)?;
                Ok(Self(text.into_boxed_str()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::syntax::SyntaxError;
            fn try_from(text: &str) -> Result<Self, Self::Error> {
                $validate(text)?;
                Ok(Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.into_string()
            }
        }
    };
}

/// What every string type offers once it has `as_str` and `TryFrom<&str>`.
macro_rules! string_traits {
    ($name:ident, $validate:path) => {
        impl std::str::FromStr for $name {
            type Err = $crate::syntax::SyntaxError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Self::try_from(text.as_ref()).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use string_newtype;
pub(crate) use string_traits;

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a fixture file without comments and blank lines, or `None` (said loudly) when it is not there.
    fn fixture(name: &str) -> Option<Vec<String>> {
        let path = format!("{}/../shared/interop/syntax/{name}", env!("CARGO_MANIFEST_DIR"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED: ../shared/interop is not there");
            return None;
        };
        Some(text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect())
    }

    fn check(name: &str, validate: fn(&str) -> Result<(), SyntaxError>) {
        for line in fixture(&format!("{name}_syntax_valid.txt")).unwrap_or_default() {
            assert_eq!(validate(&line), Ok(()), "{name} should be valid: {line:?}");
        }
        for kind in ["syntax", "parse"] {
            if kind == "parse" && !matches!(name, "datetime" | "language") {
                continue;
            }
            for line in fixture(&format!("{name}_{kind}_invalid.txt")).unwrap_or_default() {
                assert!(validate(&line).is_err(), "{name} should be invalid: {line:?}");
            }
        }
        for odd in ["", " ", "\0", "é", "\u{202e}", ":", "/", ".", "-"] {
            let _ = validate(odd); // must not panic, whatever it says
        }
    }

    #[test]
    fn every_format_agrees_with_the_interop_fixtures() {
        check("atidentifier", validate_at_identifier);
        check("aturi", validate_at_uri);
        check("cid", validate_cid);
        check("datetime", validate_datetime);
        check("did", validate_did);
        check("handle", validate_handle);
        check("language", validate_language);
        check("nsid", validate_nsid);
        check("recordkey", validate_record_key);
        check("tid", validate_tid);
        check("uri", validate_uri);
    }

    #[test]
    fn serde_validates() {
        assert_eq!(serde_json::from_str::<Did>("\"did:plc:abc\"").unwrap(), *"did:plc:abc");
        assert!(serde_json::from_str::<Did>("\"did:plc:\"").is_err());
        assert!(serde_json::from_str::<Tid>("\"3jzfcijpj2z2\"").is_err());
        let nsid: Nsid = "com.example.thing".parse().unwrap();
        assert_eq!(serde_json::to_string(&nsid).unwrap(), "\"com.example.thing\"");
        let who: AtIdentifier = serde_json::from_str("\"alice.test\"").unwrap();
        assert!(matches!(who, AtIdentifier::Handle(_)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_validator_panic(text in ".{0,80}") {
            for validate in [
                validate_at_identifier, validate_at_uri, validate_cid, validate_datetime, validate_did,
                validate_handle, validate_language, validate_nsid, validate_record_key, validate_tid, validate_uri,
            ] {
                let _ = validate(&text);
            }
        }
    }
}
