//! JSON bodies of requests: a value in, one that its lexicon takes out.
//!
//! The language tells a member that is null from one that is not there. Many clients do not, and write null for what
//! they leave out; so null is dropped where the lexicon does not take it, as serde's `Option` would. A required member
//! is missing then. Times are taken as people write them, and become what the lexicon wants. What lies in an `unknown`,
//! such as a memory, stays as it came, unless [`Catalog::mend_typed`] is asked to look into it.

use ipld_core::ipld::Ipld;

use super::catalog::Catalog;
use super::schema::{Body, Format, Schema, Text};
use super::validate::{BodyOf, ValidationError};
use crate::syntax::read_datetime;

impl Catalog {
    /// Validates the JSON body of a request and gives it as it is to be read: without the nulls that mean nothing, its times
    /// in full.
    ///
    /// # Errors
    /// What the lexicon refuses, and where. The text repeats nothing of the body.
    pub fn read_body(&self, nsid: &str, mut body: Ipld) -> Result<Ipld, ValidationError> {
        if let Some(Schema::Procedure(method)) = self.get(nsid)
            && let Some(Body { schema: Some(schema), .. }) = &method.input
        {
            self.mend(schema, &mut body);
        }
        self.validate_body(nsid, BodyOf::Input, &body)?;
        Ok(body)
    }

    /// Mends a record that a method takes, such as a memory, by the definition that its `$type` names.
    pub fn mend_typed(&self, value: &mut Ipld) {
        let Some(name) = super::data::type_of(value) else { return };
        if let Some(Schema::Record(schema)) = self.get(name) {
            self.mend(&schema.record, value);
        }
    }

    /// Goes no deeper than the value, which is bounded.
    fn mend(&self, schema: &Schema, value: &mut Ipld) {
        match (schema, value) {
            (Schema::Object(object), Ipld::Map(map)) => {
                for (name, property) in &object.properties.0 {
                    match map.get_mut(name) {
                        Some(Ipld::Null) if !object.nullable.contains(name) => drop(map.remove(name)),
                        Some(value) => self.mend(property, value),
                        None => {}
                    }
                }
            }
            (Schema::Array(array), Ipld::List(items)) => {
                items.iter_mut().for_each(|item| self.mend(&array.items, item));
            }
            (Schema::Ref(reference), value @ Ipld::Map(_)) => {
                // Not a reference to a reference, which could lead around in a circle.
                if let Some(schema @ Schema::Object(_)) = self.get(&reference.target) {
                    self.mend(schema, value);
                }
            }
            (Schema::String(schema), Ipld::String(text)) => mend_time(schema, text),
            _ => {}
        }
    }
}

/// What is no time is left for the validator to refuse.
pub(super) fn mend_time(schema: &Text, text: &mut String) {
    if schema.format == Some(Format::Datetime)
        && let Ok(read) = read_datetime(text)
    {
        *text = read.into_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipld_core::ipld;

    fn read(body: Ipld) -> Result<Ipld, String> {
        let mut catalog = Catalog::default();
        catalog
            .add(
                r##"{"lexicon":1,"id":"com.example.do","defs":{
                    "main":{"type":"procedure","input":{"encoding":"application/json","schema":{
                        "type":"object","required":["a"],"nullable":["n"],"properties":{
                            "a":{"type":"string","maxLength":3},"n":{"type":"string"},"u":{"type":"unknown"},
                            "deep":{"type":"ref","ref":"#deep"}}}}},
                    "deep":{"type":"object","properties":{"b":{"type":"integer"}}}}}"##,
            )
            .unwrap();
        catalog.read_body("com.example.do", body).map_err(|error| error.to_string())
    }

    #[test]
    fn null_is_left_out_where_the_lexicon_does_not_take_it() {
        let body = ipld!({"a": "x", "n": null, "u": {"k": null}, "deep": {"b": null}, "other": null});
        let expected = ipld!({"a": "x", "n": null, "u": {"k": null}, "deep": {}, "other": null});
        assert_eq!(read(body), Ok(expected));
        assert_eq!(read(ipld!({"a": null})), Err("input.a: must be there".to_owned()));
        assert_eq!(read(ipld!({"a": "long"})), Err("input.a: must be at most 3 bytes".to_owned()));
        assert_eq!(read(ipld!([])), Err("input: must be an object, not an array".to_owned()));
    }
}
