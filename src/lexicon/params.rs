//! Query strings of methods: text in, an object of the types that the lexicon gives.
//!
//! XRPC writes a list as a repeated name (`tags=a&tags=b`), a boolean as `true` or `false`, an integer in decimal.
//! What type a parameter has only the lexicon knows, so this reads along the schema. Names that the lexicon does not
//! have are passed over, as the reference does; a scalar that is given twice is refused.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;

use super::body::mend_time;
use super::catalog::Catalog;
use super::schema::Schema;
use super::validate::ValidationError;

/// Why a query string was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The method is not in the catalog.
    #[error("method {0} is not known")]
    UnknownMethod(String),
    /// A value is not of its parameter's type.
    #[error("params.{name}: must be {expected}")]
    Type {
        /// The parameter, as the lexicon names it.
        name: String,
        /// Its type.
        expected: &'static str,
    },
    /// A parameter that is no list was given more than once.
    #[error("params.{0}: must be given once")]
    Repeated(String),
    /// The values break a constraint.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
}

impl Catalog {
    /// Reads the decoded pairs of a query string and validates them.
    pub fn read_params<'a>(
        &self,
        nsid: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Ipld, ParamsError> {
        let schema = self.params(nsid).ok_or_else(|| ParamsError::UnknownMethod(nsid.to_owned()))?;
        let mut read = BTreeMap::new();
        for (name, text) in pairs {
            let properties = schema.map(|object| object.properties.0.as_slice()).unwrap_or_default();
            match properties.iter().find(|(known, _)| known == name) {
                None => {}
                Some((_, Schema::Array(array))) => {
                    let item = scalar(&array.items, name, text)?;
                    match read.entry(name.to_owned()).or_insert_with(|| Ipld::List(Vec::new())) {
                        Ipld::List(items) => items.push(item),
                        _ => return Err(ParamsError::Repeated(name.to_owned())),
                    }
                }
                Some((_, property)) => {
                    let before = read.insert(name.to_owned(), scalar(property, name, text)?);
                    if before.is_some() {
                        return Err(ParamsError::Repeated(name.to_owned()));
                    }
                }
            }
        }
        let params = Ipld::Map(read);
        self.validate_params(nsid, &params)?;
        Ok(params)
    }
}

fn scalar(schema: &Schema, name: &str, text: &str) -> Result<Ipld, ParamsError> {
    let expected = |expected| ParamsError::Type { name: name.to_owned(), expected };
    match schema {
        Schema::Boolean(_) => match text {
            "true" => Ok(Ipld::Bool(true)),
            "false" => Ok(Ipld::Bool(false)),
            _ => Err(expected("true or false")),
        },
        Schema::Integer(_) => {
            text.parse::<i64>().map(|value| Ipld::Integer(value.into())).map_err(|_| expected("an integer"))
        }
        Schema::String(schema) => {
            let mut text = text.to_owned();
            mend_time(schema, &mut text);
            Ok(Ipld::String(text))
        }
        _ => Ok(Ipld::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog
            .add(
                r#"{"lexicon":1,"id":"com.example.find","defs":{"main":{"type":"query","parameters":{
                    "type":"params","required":["q"],"properties":{
                        "q":{"type":"string","maxLength":5},
                        "limit":{"type":"integer","minimum":1,"maximum":100,"default":50},
                        "all":{"type":"boolean"},
                        "tags":{"type":"array","maxLength":2,"items":{"type":"string"}}}}}}}"#,
            )
            .unwrap();
        catalog
    }

    fn read(query: &[(&str, &str)]) -> Result<Ipld, ParamsError> {
        catalog().read_params("com.example.find", query.iter().copied())
    }

    #[test]
    fn types_come_from_the_lexicon() {
        let params =
            read(&[("q", "7"), ("limit", "7"), ("all", "true"), ("tags", "a"), ("tags", "b"), ("x", "y")])
                .unwrap();
        let expected = ipld_core::ipld!({"q": "7", "limit": 7, "all": true, "tags": ["a", "b"]});
        assert_eq!(params, expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for query in [
            &[("limit", "7")][..],
            &[("q", "toolong")],
            &[("q", "a"), ("q", "b")],
            &[("q", "a"), ("limit", "0")],
            &[("q", "a"), ("limit", "7.0")],
            &[("q", "a"), ("limit", "99999999999999999999")],
            &[("q", "a"), ("all", "1")],
            &[("q", "a"), ("tags", "a"), ("tags", "b"), ("tags", "c")],
        ] {
            assert!(read(query).is_err(), "{query:?}");
        }
        assert!(catalog().read_params("com.example.other", []).is_err());
    }
}
