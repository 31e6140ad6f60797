//! Methods of ours against their lexicons: verb, encoding, limits, answers.

use axum::body::Body;
use data_encoding::BASE64;
use http::{Method, header};
use serde_json::{Map, Value, json};

use super::world::{ADMIN, Answer, World, bearer};
use crate::auth::Access;
use crate::lexicon::schema::{self, Format, Object, Schema};
use crate::lexicon::{BodyOf, catalog};
use crate::xrpc::page::GENERAL_ERRORS;
use crate::xrpc::{Endpoint, endpoints};

/// Lists and byte strings above this are not tried: they would only show that large bodies are slow.
const TRIED_BYTES_MAX: u64 = 100_000;

fn method(nsid: &str) -> &'static schema::Method {
    match catalog().get(nsid) {
        Some(Schema::Query(method) | Schema::Procedure(method)) => method,
        _ => panic!("{nsid} has no lexicon"),
    }
}

/// What a method answers is of its lexicon, errors by their names.
pub(super) fn check_answer(nsid: &str, answer: &Answer) {
    let method = method(nsid);
    if answer.status.is_success() {
        let body = crate::data_model::from_json(answer.body.to_string().as_bytes()).unwrap();
        catalog().validate_body(nsid, BodyOf::Output, &body).unwrap();
    } else {
        let (_, name) = answer.error();
        let is_general = GENERAL_ERRORS.iter().any(|(general, ..)| *general == name);
        let named = is_general || method.errors.iter().any(|error| error.name == name);
        assert!(named, "{nsid} answers {}, which its lexicon does not name", answer.body);
    }
}

fn ours() -> Vec<Endpoint> {
    let ours: Vec<_> =
        endpoints().into_iter().filter(|endpoint| endpoint.nsid.starts_with("agent.")).collect();
    assert!(ours.len() >= 14);
    ours
}

fn is_json(method: &schema::Method) -> bool {
    method.input.as_ref().is_none_or(|body| body.encoding == "application/json")
}

/// A call with its input where the method takes it, as a caller who may make it.
async fn call(world: &World, own: &str, endpoint: &Endpoint, input: &Map<String, Value>) -> Answer {
    let authorization = if endpoint.access == Access::Admin { ADMIN } else { own };
    let method = method(endpoint.nsid);
    if endpoint.method == Method::POST && is_json(method) {
        return world.post(endpoint.nsid, authorization, Value::Object(input.clone())).await;
    }
    let mut query = String::new();
    for (name, value) in input {
        for value in value.as_array().unwrap_or(&vec![value.clone()]) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            query += &format!("{}{name}={text}", if query.is_empty() { "?" } else { "&" });
        }
    }
    let path = format!("{}{query}", endpoint.nsid);
    if endpoint.method == Method::GET {
        world.get(&path, authorization).await
    } else {
        world.bytes(&path, authorization, b"\x80".to_vec()).await
    }
}

/// Some valid value.
fn sample(schema: &Schema) -> Value {
    match schema {
        Schema::Boolean(_) => json!(true),
        Schema::Integer(integer) => json!(integer.minimum.unwrap_or(0)),
        Schema::Bytes(_) => json!({"$bytes": ""}),
        Schema::Unknown(_) => json!({}),
        Schema::Array(_) => json!([]),
        Schema::String(text) => match text.format {
            Some(Format::Did | Format::AtIdentifier) => json!("did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
            Some(Format::AtUri) => json!("at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/a.b.c/self"),
            Some(Format::Handle) => json!("alice.test"),
            Some(Format::Nsid) => json!("a.b.c"),
            Some(other) => panic!("no sample of {other:?}"),
            None => json!("x".repeat(usize::try_from(text.min_length.unwrap_or(1)).unwrap())),
        },
        other => panic!("no sample of {other:?}"),
    }
}

/// Values that the schema refuses, one for each of its limits.
fn refused(schema: &Schema) -> Vec<Value> {
    let long = |bytes: u64| "x".repeat(usize::try_from(bytes).unwrap());
    match schema {
        Schema::Integer(integer) => {
            let below = integer.minimum.map(|minimum| json!(minimum - 1));
            below.into_iter().chain(integer.maximum.map(|maximum| json!(maximum + 1))).collect()
        }
        Schema::String(text) => {
            let too_long = [text.max_length, text.max_graphemes].into_iter().flatten();
            let mut refused: Vec<_> = too_long.map(|max| json!(long(max + 1))).collect();
            refused.extend(text.min_length.map(|min| json!(long(min - 1))));
            refused.extend(text.format.map(|_| json!("a..b")));
            refused
        }
        Schema::Array(array) => {
            let item = sample(&array.items);
            let too_many = array.max_length.map(|max| json!(vec![item; usize::try_from(max + 1).unwrap()]));
            too_many.into_iter().chain(refused(&array.items).into_iter().map(|item| json!([item]))).collect()
        }
        Schema::Bytes(bytes) => {
            let max = bytes.max_length.filter(|max| *max < TRIED_BYTES_MAX);
            max.map(|max| json!({"$bytes": BASE64.encode(long(max + 1).as_bytes())})).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn input_of(method: &schema::Method) -> Object {
    let body = method.input.as_ref().and_then(|body| body.schema.as_deref());
    match body.or(method.parameters.as_deref()) {
        Some(Schema::Object(object) | Schema::Params(object)) => object.clone(),
        None => Object::default(),
        Some(other) => panic!("input is an object, not {other:?}"),
    }
}

/// Breaks if a handler is reached by what its lexicon refuses.
#[tokio::test]
async fn every_limit_of_every_method_is_held() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let mut tried = 0;
    for endpoint in ours() {
        let object = input_of(method(endpoint.nsid));
        let property = |name: &String| object.properties.0.iter().find(|(known, _)| known == name);
        let required: Map<String, Value> =
            object.required.iter().map(|name| (name.clone(), sample(&property(name).unwrap().1))).collect();
        let mut inputs = Vec::new();
        for name in &object.required {
            let mut input = required.clone();
            input.remove(name);
            inputs.push((name, input));
        }
        for (name, schema) in &object.properties.0 {
            for value in refused(schema) {
                let mut input = required.clone();
                input.insert(name.clone(), value);
                inputs.push((name, input));
            }
        }
        for (name, input) in inputs {
            let answer = call(&world, &own, &endpoint, &input).await;
            let text = format!("{} {name}: {}", endpoint.nsid, answer.body);
            assert_eq!(answer.error(), (400, "InvalidRequest"), "{text}");
            let message = answer.body["message"].as_str().unwrap();
            let place = message.split(':').next().unwrap();
            let place = place.strip_prefix("input.").or(place.strip_prefix("params.")).unwrap_or_default();
            assert_eq!(place.split('[').next(), Some(name.as_str()), "{text}");
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} were tried");
}

#[tokio::test]
async fn what_is_over_a_limit_makes_no_agent_and_lists_none() {
    let world = World::new();
    let create = "agent.admin.createAgent";
    for input in [
        json!({"name": "x".repeat(64)}),
        json!({"name": "alice", "displayName": "x".repeat(65)}),
        json!({"name": "alice", "model": "x".repeat(257)}),
        json!({"name": "alice", "config": "none"}),
    ] {
        assert_eq!(
            world.post(create, ADMIN, input.clone()).await.error(),
            (400, "InvalidRequest"),
            "{input}"
        );
    }
    assert_eq!(world.get("agent.admin.listAgents", ADMIN).await.ok()["agents"], json!([]));
    for limit in ["1000", "0", "-1"] {
        let answer = world.get(&format!("agent.admin.listAgents?limit={limit}"), ADMIN).await;
        assert_eq!(answer.error(), (400, "InvalidRequest"), "{limit}");
    }
    world.get("agent.admin.listAgents?limit=100&unknown=x", ADMIN).await.ok();
}

#[test]
fn every_method_that_has_a_lexicon_is_served() {
    let served: Vec<_> = ours().into_iter().map(|endpoint| endpoint.nsid).collect();
    let forgotten: Vec<_> = catalog()
        .names()
        .filter(|nsid| matches!(catalog().get(nsid), Some(Schema::Query(_) | Schema::Procedure(_))))
        .filter(|nsid| nsid.starts_with("agent.") && !served.contains(nsid))
        .collect();
    assert!(forgotten.is_empty(), "no endpoint: {forgotten:?}");
}

#[tokio::test]
async fn every_method_is_called_as_its_lexicon_says() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    for endpoint in ours() {
        let nsid = endpoint.nsid;
        let is_query = matches!(catalog().get(nsid), Some(Schema::Query(_)));
        assert_eq!(endpoint.method == Method::GET, is_query, "{nsid}");
        let authorization = if endpoint.access == Access::Admin { ADMIN } else { &own };
        let other = if is_query { Method::POST } else { Method::GET };
        let request = http::Request::builder().method(other).uri(format!("/xrpc/{nsid}"));
        let answer = world.send(nsid, request, authorization, Body::empty()).await;
        assert_eq!(answer.error(), (405, "InvalidRequest"), "{nsid}");
        let encoding = method(nsid).input.as_ref().map(|body| body.encoding.as_str());
        if encoding.is_none_or(|encoding| encoding == "*/*") {
            continue;
        }
        let request = http::Request::post(format!("/xrpc/{nsid}")).header(header::CONTENT_TYPE, "text/plain");
        let answer = world.send(nsid, request, authorization, Body::from("{}")).await;
        assert_eq!(answer.error(), (400, "InvalidRequest"), "{nsid}");
        assert!(answer.body["message"].as_str().unwrap().ends_with(encoding.unwrap()), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_refusal_repeats_no_secret() {
    let world = World::new();
    let made = world.post("agent.admin.createAgent", ADMIN, json!({"name": "alice"})).await.ok();
    let own = bearer(&made["token"]);
    let secret = "correct horse battery";
    for (nsid, input) in [
        ("agent.vault.export", json!({"move": secret, "passphrase": secret})),
        ("agent.vault.export", json!({"passphrase": [secret]})),
        ("agent.vault.export", json!({"passphrase": {"$bytes": secret}})),
        ("agent.admin.importAgent", json!({"manifest": secret, "passphrase": secret})),
        ("agent.admin.importAgent", json!({"manifest": 1, "passphrase": {"$link": secret}})),
    ] {
        let authorization = if nsid == "agent.vault.export" { own.as_str() } else { ADMIN };
        let answer = world.post(nsid, authorization, input.clone()).await;
        assert_eq!(answer.error(), (400, "InvalidRequest"), "{input}");
        assert!(!answer.body.to_string().contains("horse"), "{}", answer.body);
    }
}
