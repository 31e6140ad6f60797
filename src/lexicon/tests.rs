//! Our own lexicons: all are taken, all references lead somewhere, and types and documents agree.

use serde_json::json;

use super::agent::{comms, memory, vault};
use super::schema::{Object, Schema};
use super::*;

#[test]
fn every_embedded_document_is_taken_and_every_reference_leads_somewhere() {
    let mut fresh = Catalog::default();
    for json in generated::DOCUMENTS {
        fresh.add(json).unwrap();
    }
    for document in known::documents() {
        fresh.add_document(document).unwrap();
    }
    assert_eq!(fresh.names().count(), catalog().names().count());
    for name in fresh.names() {
        follow(&fresh, name, fresh.get(name).unwrap());
    }
}

fn follow(catalog: &Catalog, name: &str, schema: &Schema) {
    let known = |target: &str| assert!(catalog.get(target).is_some(), "{name} refers to {target}");
    let object = |Object { properties, required, .. }: &Object| {
        for name in required {
            assert!(
                properties.0.iter().any(|(property, _)| property == name),
                "{name} is required and not there"
            );
        }
        properties.0.iter().for_each(|(_, schema)| follow(catalog, name, schema));
    };
    match schema {
        Schema::Record(record) => follow(catalog, name, &record.record),
        Schema::Query(method) | Schema::Procedure(method) => {
            let bodies = [&method.input, &method.output].into_iter().flatten();
            let schemas =
                bodies.filter_map(|body| body.schema.as_deref()).chain(method.parameters.as_deref());
            schemas.for_each(|schema| follow(catalog, name, schema));
        }
        Schema::Params(params) => object(params),
        Schema::Object(value) => object(value),
        Schema::Array(array) => follow(catalog, name, &array.items),
        Schema::Ref(reference) => known(&reference.target),
        Schema::Union(union) => union.refs.iter().for_each(|target| known(target)),
        Schema::PermissionSet(set) => {
            set.permissions.iter().for_each(|p| p.lxm.iter().for_each(|m| known(m)))
        }
        _ => {}
    }
}

fn write(
    validate: Option<bool>,
    collection: &str,
    key: &str,
    record: serde_json::Value,
) -> Result<Option<ValidationStatus>, String> {
    let mut record = crate::data_model::from_json(record.to_string().as_bytes()).unwrap();
    let (collection, key) = (collection.parse().unwrap(), key.parse().unwrap());
    let status = check_write(validate, &collection, &key, &mut record).map_err(|error| error.to_string());
    if status.is_ok() {
        assert_eq!(data::type_of(&record), Some(collection.as_str()));
    }
    status
}

#[test]
fn validate_decides_as_the_reference_does() {
    let good = json!({"subject": "did:plc:abc", "createdAt": "2026-01-01T00:00:00Z"});
    let bad = json!({"subject": 1});
    let (follow, other, tid) = ("app.bsky.graph.follow", "com.example.thing", "3jzfcijpj2z2a");
    assert_eq!(write(None, follow, tid, good.clone()), Ok(Some(ValidationStatus::Valid)));
    assert_eq!(write(Some(true), follow, tid, good.clone()), Ok(Some(ValidationStatus::Valid)));
    assert_eq!(write(Some(false), follow, "self", bad.clone()), Ok(None));
    assert_eq!(write(None, other, tid, bad.clone()), Ok(Some(ValidationStatus::Unknown)));
    assert_eq!(
        write(Some(true), other, tid, good.clone()),
        Err("Unknown lexicon type: com.example.thing".into())
    );
    assert_eq!(
        write(None, follow, tid, bad).unwrap_err(),
        "Invalid app.bsky.graph.follow record: record.createdAt: must be there"
    );
    assert!(write(None, follow, "self", good).unwrap_err().starts_with("Invalid record key"));
    assert_eq!(
        write(None, follow, tid, json!({"$type": other})).unwrap_err(),
        "Invalid $type: expected app.bsky.graph.follow"
    );
    assert!(write(Some(false), follow, tid, json!([])).is_err());
}

/// Valid in the catalog, and the same after its type has read and written it, in JSON and in DAG-CBOR.
fn round_trip<T: Named + PartialEq + std::fmt::Debug>(json: &serde_json::Value) -> T {
    let value = crate::data_model::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(catalog().validate_typed(&value), Ok(()));
    let read = T::from_typed(value.clone()).unwrap();
    assert_eq!(read.to_typed().unwrap(), value);
    let text = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), read);
    let cbor = serde_ipld_dagcbor::to_vec(&read).unwrap();
    assert_eq!(serde_ipld_dagcbor::from_slice::<T>(&cbor).unwrap(), read);
    let sealed = serde_ipld_dagcbor::to_vec(&read.to_typed().unwrap()).unwrap();
    assert_eq!(T::from_typed(serde_ipld_dagcbor::from_slice(&sealed).unwrap()).unwrap(), read);
    read
}

#[test]
fn a_sealed_record_keeps_its_bytes() {
    let bytes32 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let sealed: vault::Sealed = round_trip(&json!({
        "$type": "agent.vault.sealed", "suite": 1,
        "salt": {"$bytes": bytes32}, "commit": {"$bytes": bytes32}, "ciphertext": {"$bytes": bytes32},
    }));
    assert_eq!(sealed.salt.0.len(), 32);
    assert!(sealed.blob.is_none());
    let status = write(None, "agent.vault.sealed", "abcd", json!({"suite": 1, "salt": {"$bytes": "AA"}}));
    assert_eq!(status.unwrap_err(), "Invalid agent.vault.sealed record: record.commit: must be there");
}

#[test]
fn a_memory_keeps_a_status_that_may_come_later() {
    let decision: memory::Decision = round_trip(&json!({
        "$type": "agent.memory.decision", "decision": "d", "context": "c", "rationale": "r", "status": "paused",
        "options": ["a", "b"], "refs": ["at://did:plc:abc/a.b.c/self"], "createdAt": "2026-01-01T00:00:00Z",
    }));
    assert_eq!(decision.status, memory::decision::DecisionStatus::Other("paused".into()));
    let summary: memory::Summary = round_trip(&json!({
        "$type": "agent.memory.summary", "scope": "s", "summary": "t", "createdAt": "2026-01-01T00:00:00Z",
        "covers": {"count": 2, "from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    }));
    assert_eq!(summary.covers.count, 2);
}

#[test]
fn a_message_keeps_content_of_known_and_unknown_kinds() {
    let message = |content: serde_json::Value| {
        json!({"$type": "agent.comms.message", "sender": "did:plc:a", "recipient": "did:plc:b",
            "content": content, "createdAt": "2026-01-01T00:00:00Z"})
    };
    let known: comms::Message =
        round_trip(&message(json!({"$type": "agent.comms.defs#json", "data": {"k": {"$bytes": "AQI"}}})));
    assert!(matches!(known.content, comms::message::MessageContent::Json(_)));
    let unknown: comms::Message = round_trip(&message(json!({"$type": "com.example.poem", "lines": ["a"]})));
    assert!(matches!(unknown.content, comms::message::MessageContent::Unknown(_)));
    let broken = message(json!({"$type": "agent.comms.defs#text"}));
    let value = crate::data_model::from_json(broken.to_string().as_bytes()).unwrap();
    assert_eq!(
        catalog().validate_typed(&value).unwrap_err().to_string(),
        "record.content.text: must be there"
    );
    assert!(comms::Message::from_typed(value).is_err());
}

#[test]
fn the_wrong_type_is_not_read() {
    let note = json!({"$type": "agent.memory.note", "summary": "s", "createdAt": "2026-01-01T00:00:00Z"});
    let value = crate::data_model::from_json(note.to_string().as_bytes()).unwrap();
    assert!(memory::Note::from_typed(value.clone()).is_ok());
    assert!(matches!(memory::Fact::from_typed(value), Err(DataError::Type("agent.memory.fact"))));
}

#[test]
fn parameters_and_input_have_their_defaults() {
    let pairs = [("q", "tea"), ("tags", "a"), ("tags", "b"), ("minScore", "10")];
    let params = catalog().read_params(memory::Recall::NSID, pairs).unwrap();
    let params: memory::recall::Params = data::from_ipld(params).unwrap();
    assert_eq!((params.limit, params.tags.len(), params.min_score), (10, 2, Some(10)));
    let input = json!({"memory": {"$type": "agent.memory.note"}});
    let body = crate::data_model::from_json(input.to_string().as_bytes()).unwrap();
    catalog().validate_body(memory::Remember::NSID, BodyOf::Input, &body).unwrap();
    let input: memory::remember::Input = data::from_ipld(body).unwrap();
    assert!(input.dedupe);
    assert_eq!(input.privacy, memory::remember::Privacy::Private);
    assert_eq!(memory::get::ErrorName::MemoryNotFound.as_str(), "MemoryNotFound");
}
