//! Lexicon documents by the names of their definitions, checked when they are added.
//!
//! A catalog is built once from text, ours from the documents of `lexicons/` that the binary carries, others from what
//! is resolved from the network; both go the same way, so there is one model and one validator, and no second form
//! of the constraints that generated code would have to keep in step.

use std::collections::HashMap;

use super::schema::{Document, Object, Schema, absolute};
use crate::syntax;

/// Definitions by their absolute names: `nsid` or `nsid#name`.
#[derive(Debug, Default)]
pub struct Catalog {
    defs: HashMap<String, Schema>,
}

/// Why a lexicon document was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Not JSON, or not of the shape of a lexicon document.
    #[error("read the lexicon document: {0}")]
    Parse(#[from] serde_json::Error),
    /// The `lexicon` member is not 1.
    #[error("lexicon language {0} is not known, only 1 is")]
    Language(i64),
    /// The `id` is not an NSID.
    #[error("lexicon id: {0}")]
    Id(#[from] syntax::SyntaxError),
    /// A type stands where it may not.
    #[error("lexicon {id}, definition {name}: {reason}")]
    Definition {
        /// The document.
        id: String,
        /// The definition within it.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Catalog {
    /// Reads a document and takes its definitions; a document of the same id is replaced. On an error the catalog is
    /// unchanged. References may point to documents that come later or never: that is found when one is followed.
    pub fn add(&mut self, json: &str) -> Result<(), CatalogError> {
        self.add_document(serde_json::from_str(json)?)
    }

    /// The same for a document that is read already.
    pub fn add_document(&mut self, document: Document) -> Result<(), CatalogError> {
        let Document { lexicon, id, defs, .. } = document;
        if lexicon != 1 {
            return Err(CatalogError::Language(lexicon));
        }
        syntax::validate_nsid(&id)?;
        let mut taken = Vec::with_capacity(defs.len());
        for (name, mut schema) in defs {
            check_definition(&name, &schema)
                .and_then(|()| prepare(&mut schema, &id))
                .map_err(|reason| CatalogError::Definition { id: id.clone(), name: name.clone(), reason })?;
            taken.push((absolute(&format!("#{name}"), &id), schema));
        }
        self.defs.retain(|name, _| name.split('#').next() != Some(id.as_str()));
        self.defs.extend(taken);
        Ok(())
    }

    /// The definition of an absolute name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Schema> {
        self.defs.get(name)
    }

    /// All absolute names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.defs.keys().map(String::as_str)
    }
}

/// What may stand at the top of a document, and under which name.
fn check_definition(name: &str, schema: &Schema) -> Result<(), &'static str> {
    match schema {
        _ if schema.is_primary() && name != "main" => Err("a primary type is the main definition"),
        Schema::Ref(_) | Schema::Union(_) | Schema::Unknown(_) | Schema::Params(_) => {
            Err("this type can't be a definition of its own")
        }
        _ => Ok(()),
    }
}

/// Checks the places of the types within a definition and makes its references absolute.
fn prepare(schema: &mut Schema, id: &str) -> Result<(), &'static str> {
    match schema {
        Schema::Record(record) => {
            let key_known = matches!(record.key.as_str(), "tid" | "nsid" | "any")
                || record
                    .key
                    .strip_prefix("literal:")
                    .is_some_and(|k| syntax::validate_record_key(k).is_ok());
            if !key_known {
                return Err("unknown kind of record key");
            }
            if !matches!(*record.record, Schema::Object(_)) {
                return Err("a record is an object");
            }
            prepare_value(&mut record.record, id)
        }
        Schema::Query(method) | Schema::Procedure(method) => {
            prepare_params(method.parameters.as_deref_mut(), id)?;
            let bodies = [&mut method.input, &mut method.output];
            for schema in bodies.into_iter().flatten().filter_map(|body| body.schema.as_deref_mut()) {
                if !matches!(schema, Schema::Object(_) | Schema::Ref(_) | Schema::Union(_)) {
                    return Err("a body is an object");
                }
                prepare_value(schema, id)?;
            }
            Ok(())
        }
        Schema::Subscription(stream) => {
            prepare_params(stream.parameters.as_deref_mut(), id)?;
            match &mut stream.message {
                Some(message) if matches!(*message.schema, Schema::Union(_)) => {
                    prepare_value(&mut message.schema, id)
                }
                Some(_) => Err("a stream's messages are a union"),
                None => Ok(()),
            }
        }
        Schema::PermissionSet(_) => Ok(()),
        _ => prepare_value(schema, id),
    }
}

fn prepare_params(schema: Option<&mut Schema>, id: &str) -> Result<(), &'static str> {
    let properties = match schema {
        None => return Ok(()),
        Some(Schema::Params(Object { properties, .. })) => properties,
        Some(_) => return Err("parameters are of the type params"),
    };
    for (_, property) in &mut properties.0 {
        let scalar = match &property {
            Schema::Array(array) => array.items.as_ref(),
            other => other,
        };
        if !matches!(scalar, Schema::Boolean(_) | Schema::Integer(_) | Schema::String(_) | Schema::Unknown(_))
        {
            return Err("a parameter is a scalar or a list of scalars");
        }
        prepare_value(property, id)?;
    }
    Ok(())
}

fn prepare_value(schema: &mut Schema, id: &str) -> Result<(), &'static str> {
    match schema {
        Schema::Params(_) => return Err("params stand with a method"),
        Schema::Ref(reference) => reference.target = absolute(&reference.target, id),
        Schema::Union(union) => {
            for target in &mut union.refs {
                *target = absolute(target, id);
            }
        }
        Schema::Array(array) => prepare_value(&mut array.items, id)?,
        Schema::Object(object) => {
            for (_, property) in &mut object.properties.0 {
                prepare_value(property, id)?;
            }
        }
        other if other.is_primary() => return Err("a primary type is the main definition"),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<serde_json::Value> {
        let path = format!("{}/../shared/interop/lexicon/{name}", env!("CARGO_MANIFEST_DIR"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED: ../shared/interop is not there");
            return Vec::new();
        };
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn takes_every_valid_document_of_the_fixtures() {
        for case in fixture("lexicon-valid.json") {
            let mut catalog = Catalog::default();
            let added = catalog.add(&case["lexicon"].to_string());
            assert!(added.is_ok(), "{}: {added:?}", case["name"]);
            assert!(catalog.names().count() > 0);
        }
    }

    #[test]
    fn refuses_every_invalid_document_of_the_fixtures() {
        for case in fixture("lexicon-invalid.json") {
            let mut catalog = Catalog::default();
            assert!(catalog.add(&case["lexicon"].to_string()).is_err(), "{}", case["name"]);
            assert_eq!(catalog.names().count(), 0);
        }
    }

    #[test]
    fn a_document_replaces_the_one_before_it_whole() {
        let mut catalog = Catalog::default();
        catalog
            .add(r#"{"lexicon":1,"id":"com.example.a","defs":{"x":{"type":"token"},"y":{"type":"token"}}}"#)
            .unwrap();
        catalog.add(r#"{"lexicon":1,"id":"com.example.a","defs":{"main":{"type":"token"}}}"#).unwrap();
        assert_eq!(catalog.names().collect::<Vec<_>>(), ["com.example.a"]);
    }

    #[test]
    fn places_are_checked() {
        let nested = [
            r#"{"type":"object","properties":{"a":{"type":"query"}}}"#,
            r#"{"type":"array","items":{"type":"params"}}"#,
            r#"{"type":"record","key":"odd","record":{"type":"object"}}"#,
            r#"{"type":"query","parameters":{"type":"object"}}"#,
            r#"{"type":"query","parameters":{"type":"params","properties":{"a":{"type":"blob"}}}}"#,
            r#"{"type":"procedure","input":{"encoding":"application/json","schema":{"type":"string"}}}"#,
            r#"{"type":"subscription","message":{"schema":{"type":"object"}}}"#,
        ];
        for def in nested {
            let json = format!(r#"{{"lexicon":1,"id":"com.example.a","defs":{{"main":{def}}}}}"#);
            let error = Catalog::default().add(&json).unwrap_err();
            assert!(matches!(error, CatalogError::Definition { .. }), "{def}: {error}");
        }
    }
}
