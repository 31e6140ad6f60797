//! What the generated types are made with: sets of strings that may grow, and unions told apart by `$type`.

/// A string with values to expect. Others are kept as they came, since `knownValues` may grow.
macro_rules! known_values {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $(#[$variant_meta])* $variant,)+
            /// A value that this version does not know.
            Other(String),
        }

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

/// One of several named types, told apart by `$type`. A value of another type is kept as it came; where the union is
/// closed, the validator has refused it before.
macro_rules! union {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident($type:ty)),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("A `", stringify!($type), "`.")] $variant(Box<$type>),)+
            /// A value of another type.
            Unknown($crate::lexicon::data::Data),
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use $crate::lexicon::data::{Data, Named as _};
                let value = match self {
                    $(Self::$variant(value) => value.to_typed(),)+
                    Self::Unknown(data) => return data.serialize(serializer),
                };
                Data(value.map_err(serde::ser::Error::custom)?).serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use $crate::lexicon::data::{Data, Named, type_of};
                let Data(value) = <Data as serde::Deserialize>::deserialize(deserializer)?;
                let read = match type_of(&value) {
                    $(Some(name) if name == <$type as Named>::TYPE => {
                        <$type as Named>::from_typed(value).map(|value| Self::$variant(Box::new(value)))
                    })+
                    Some(_) => return Ok(Self::Unknown(Data(value))),
                    None => return Err(serde::de::Error::custom("a value of a union has a $type")),
                };
                read.map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The errors that a method names.
macro_rules! error_names {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $crate::lexicon::method::NamedError for $name {
            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

pub(crate) use {error_names, known_values, union};
