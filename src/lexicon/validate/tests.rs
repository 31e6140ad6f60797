//! Each constraint with a value that keeps it and one that does not, and the protocol's fixtures.

use super::*;
use crate::data_model::from_json;

/// A catalog with one object `com.example.thing` whose property `v` has this schema, and a few to refer to.
fn catalog(schema: &str) -> Catalog {
    let mut catalog = Catalog::default();
    catalog
        .add(&format!(
            r##"{{"lexicon":1,"id":"com.example.thing","defs":{{
                "main":{{"type":"record","key":"tid","record":{{"type":"object","required":["v"],"nullable":["n"],
                    "properties":{{"v":{schema},"n":{{"type":"integer"}}}}}}}},
                "part":{{"type":"object","required":["a"],"properties":{{"a":{{"type":"integer"}}}}}},
                "word":{{"type":"string","maxLength":3}},
                "nested":{{"type":"object","properties":{{"in":{{"type":"ref","ref":"#nested"}}}}}},
                "mark":{{"type":"token"}}}}}}"##
        ))
        .unwrap();
    catalog
}

/// The verdict on `{"$type": …, "v": value}`, as the error's text.
fn verdict(catalog: &Catalog, value: &str) -> Result<(), String> {
    let record = from_json(format!(r#"{{"$type":"com.example.thing","v":{value}}}"#).as_bytes()).unwrap();
    catalog.validate_record("com.example.thing", &record).map_err(|error| error.to_string())
}

const CID: &str = "bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity";

fn blob(media: &str, size: u64) -> String {
    format!(r#"{{"$type":"blob","ref":{{"$link":"{CID}"}},"mimeType":"{media}","size":{size}}}"#)
}

#[test]
fn each_constraint_takes_one_value_and_refuses_another() {
    let link = format!(r#"{{"$link":"{CID}"}}"#);
    let (png, text, large) = (blob("image/png", 9), blob("text/plain", 9), blob("image/png", 11));
    let cases: &[(&str, &str, &str)] = &[
        (r#"{"type":"boolean"}"#, "true", "1"),
        (r#"{"type":"boolean","const":true}"#, "true", "false"),
        (r#"{"type":"integer"}"#, "-1", r#""1""#),
        (r#"{"type":"integer","minimum":2}"#, "2", "1"),
        (r#"{"type":"integer","maximum":2}"#, "2", "3"),
        (r#"{"type":"integer","enum":[2,4]}"#, "4", "3"),
        (r#"{"type":"integer","const":2}"#, "2", "3"),
        (r#"{"type":"integer","default":2}"#, "3", "null"),
        (r#"{"type":"string"}"#, r#""""#, "0"),
        (r#"{"type":"string","minLength":2}"#, r#""é""#, r#""e""#),
        (r#"{"type":"string","maxLength":2}"#, r#""é""#, r#""éé""#),
        (r#"{"type":"string","minGraphemes":2}"#, r#""ab""#, r#""👩‍👩‍👦‍👦""#),
        (r#"{"type":"string","maxGraphemes":1}"#, r#""👩‍👩‍👦‍👦""#, r#""ab""#),
        (r#"{"type":"string","enum":["a","b"]}"#, r#""b""#, r#""c""#),
        (r#"{"type":"string","const":"a"}"#, r#""a""#, r#""b""#),
        (r#"{"type":"string","knownValues":["a"]}"#, r#""b""#, "1"),
        (r#"{"type":"string","format":"at-identifier"}"#, r#""alice.test""#, r#""alice""#),
        (r#"{"type":"string","format":"at-uri"}"#, r#""at://alice.test""#, r#""https://alice.test""#),
        (r#"{"type":"string","format":"cid"}"#, &format!("{CID:?}"), r#""baf""#),
        (r#"{"type":"string","format":"datetime"}"#, r#""2026-01-01T00:00:00Z""#, r#""2026-01-01""#),
        (r#"{"type":"string","format":"did"}"#, r#""did:plc:abc""#, r#""did:plc""#),
        (r#"{"type":"string","format":"handle"}"#, r#""alice.test""#, r#""did:plc:abc""#),
        (r#"{"type":"string","format":"language"}"#, r#""pt-BR""#, r#""1""#),
        (r#"{"type":"string","format":"nsid"}"#, r#""com.example.a""#, r#""com.example""#),
        (r#"{"type":"string","format":"record-key"}"#, r#""self""#, r#""a/b""#),
        (r#"{"type":"string","format":"tid"}"#, r#""3jzfcijpj2z2a""#, r#""3jzfcijpj2z2""#),
        (r#"{"type":"string","format":"uri"}"#, r#""https://a.test/b""#, r#""a b""#),
        (r#"{"type":"string","format":"yet-to-come"}"#, r#""anything""#, "1"),
        (r#"{"type":"bytes"}"#, r#"{"$bytes":""}"#, r#""YQ""#),
        (r#"{"type":"bytes","minLength":2}"#, r#"{"$bytes":"YWI"}"#, r#"{"$bytes":"YQ"}"#),
        (r#"{"type":"bytes","maxLength":1}"#, r#"{"$bytes":"YQ=="}"#, r#"{"$bytes":"YWI="}"#),
        (r#"{"type":"cid-link"}"#, &link, &format!("{CID:?}")),
        (r#"{"type":"blob"}"#, &text, r#"{"cid":"bafk","mimeType":"text/plain"}"#),
        (r#"{"type":"blob","maxSize":10}"#, &png, &large),
        (r#"{"type":"blob","accept":["image/png"]}"#, &png, &text),
        (r#"{"type":"blob","accept":["video/mp4","image/*"]}"#, &png, &text),
        (r#"{"type":"blob","accept":["*/*"]}"#, &text, "{}"),
        (r#"{"type":"array","items":{"type":"integer"}}"#, "[]", r#"[1,"2"]"#),
        (r#"{"type":"array","items":{"type":"integer"},"minLength":1}"#, "[1]", "[]"),
        (r#"{"type":"array","items":{"type":"integer"},"maxLength":1}"#, "[1]", "[1,2]"),
        (
            r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}"#,
            r#"{"a":1,"b":2}"#,
            "{}",
        ),
        (
            r#"{"type":"object","nullable":["a"],"properties":{"a":{"type":"integer"}}}"#,
            r#"{"a":null}"#,
            "[]",
        ),
        (r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#, "{}", r#"{"a":null}"#),
        (r##"{"type":"ref","ref":"#part"}"##, r#"{"a":1}"#, "{}"),
        (
            r##"{"type":"ref","ref":"#part"}"##,
            r#"{"$type":"com.example.thing#part","a":1}"#,
            r#"{"$type":"x","a":1}"#,
        ),
        (r##"{"type":"ref","ref":"#word"}"##, r#""abc""#, r#""abcd""#),
        (r##"{"type":"ref","ref":"#mark"}"##, r#""com.example.thing#mark""#, r#""com.example.thing#other""#),
        (r##"{"type":"union","refs":["#part"]}"##, r#"{"$type":"x.y.z"}"#, "{}"),
        (
            r##"{"type":"union","refs":["#part"]}"##,
            r#"{"$type":"com.example.thing#part","a":1}"#,
            r#"{"$type":"com.example.thing#part"}"#,
        ),
        (
            r##"{"type":"union","refs":["#part"],"closed":true}"##,
            r#"{"$type":"com.example.thing#part","a":1}"#,
            r#"{"$type":"x.y.z"}"#,
        ),
        (r#"{"type":"unknown"}"#, r#"{"any":[1,null]}"#, "[]"),
        (r#"{"type":"unknown"}"#, r#"{"$type":"x.y.z"}"#, &png),
        (r#"{"type":"unknown"}"#, "{}", &link),
    ];
    for (schema, good, bad) in cases {
        let catalog = catalog(schema);
        assert_eq!(verdict(&catalog, good), Ok(()), "{schema} should take {good}");
        let error = verdict(&catalog, bad).expect_err(&format!("{schema} should refuse {bad}"));
        assert!(error.starts_with("record.v"), "{error}");
    }
}

#[test]
fn null_is_taken_only_where_the_schema_says_so() {
    let catalog = catalog(r#"{"type":"integer"}"#);
    assert_eq!(verdict(&catalog, r#"1,"n":null"#), Ok(()));
    assert_eq!(verdict(&catalog, r#"1,"n":"x""#), Err("record.n: must be an integer, not a string".into()));
    assert_eq!(verdict(&catalog, "null"), Err("record.v: must be an integer, not null".into()));
}

#[test]
fn an_error_says_where_and_repeats_nothing_of_the_value() {
    let catalog = catalog(r##"{"type":"array","items":{"type":"ref","ref":"#part"}}"##);
    let error = verdict(&catalog, r#"[{"a":1},{"a":"secret"}]"#).unwrap_err();
    assert_eq!(error, "record.v[1].a: must be an integer, not a string");
}

#[test]
fn a_record_names_its_type_and_has_a_key_of_its_kind() {
    let catalog = catalog(r#"{"type":"integer"}"#);
    let record = |json: &str| from_json(json.as_bytes()).unwrap();
    let validate = |json| catalog.validate_record("com.example.thing", &record(json));
    assert!(validate(r#"{"v":1}"#).is_err());
    assert!(validate(r#"{"$type":"com.example.other","v":1}"#).is_err());
    assert!(validate("[]").is_err());
    assert!(catalog.validate_record("com.example.thing#part", &record("{}")).is_err());
    assert!(catalog.validate_typed(&record(r#"{"$type":"com.example.thing","v":1}"#)).is_ok());
    assert!(catalog.validate_typed(&record(r#"{"$type":"com.example.thing#part","a":1}"#)).is_ok());
    assert!(catalog.validate_typed(&record(r#"{"$type":"com.example.other"}"#)).is_err());
    assert!(catalog.validate_record_key("com.example.thing", "3jzfcijpj2z2a").is_ok());
    assert!(catalog.validate_record_key("com.example.thing", "self").is_err());
}

#[test]
fn a_reference_to_nowhere_is_an_error_and_not_a_pass() {
    let catalog = catalog(r#"{"type":"ref","ref":"com.example.gone"}"#);
    let error = verdict(&catalog, "{}").unwrap_err();
    assert_eq!(error, "record.v: is described by the definition com.example.gone, which is not known");
}

#[test]
fn deep_values_and_floats_end_in_an_error() {
    let catalog = catalog(r##"{"type":"ref","ref":"#nested"}"##);
    let mut value = Ipld::Map(BTreeMap::new());
    for _ in 0..10_000 {
        value = Ipld::Map([("in".to_owned(), value)].into());
    }
    let record = Ipld::Map(
        [("$type".to_owned(), Ipld::String("com.example.thing".into())), ("v".to_owned(), value)].into(),
    );
    let error = catalog.validate_record("com.example.thing", &record).unwrap_err();
    assert_eq!(error.reason, Reason::TooDeep);
    std::mem::forget(record); // dropping it would recurse just as deep
    let float = from_json(br#"{"$type":"com.example.thing#part"}"#).unwrap();
    let Ipld::Map(mut map) = float else { unreachable!() };
    map.insert("a".into(), Ipld::Float(1.0));
    assert!(catalog.validate_typed(&Ipld::Map(map)).is_err());
}

#[test]
fn methods_check_their_bodies() {
    let mut catalog = Catalog::default();
    catalog
        .add(
            r#"{"lexicon":1,"id":"com.example.do","defs":{"main":{"type":"procedure",
                "input":{"encoding":"application/json","schema":{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}},
                "output":{"encoding":"application/json","schema":{"type":"object","required":["b"],"properties":{"b":{"type":"integer"}}}}}}}"#,
        )
        .unwrap();
    let value = |json: &str| from_json(json.as_bytes()).unwrap();
    assert!(catalog.validate_body("com.example.do", BodyOf::Input, &value(r#"{"a":1}"#)).is_ok());
    let error = catalog.validate_body("com.example.do", BodyOf::Input, &value(r#"{"b":1}"#)).unwrap_err();
    assert_eq!(error.to_string(), "input.a: must be there");
    assert!(catalog.validate_body("com.example.do", BodyOf::Output, &value(r#"{"b":1}"#)).is_ok());
    assert!(catalog.validate_body("com.example.do", BodyOf::Output, &value(r#"{"a":1}"#)).is_err());
    assert!(catalog.validate_body("com.example.gone", BodyOf::Input, &value("{}")).is_err());
    assert!(catalog.validate_params("com.example.do", &value("{}")).is_ok());
}

fn fixtures() -> Option<(Catalog, String)> {
    let folder = format!("{}/../shared/interop/lexicon", env!("CARGO_MANIFEST_DIR"));
    if !std::path::Path::new(&folder).exists() {
        eprintln!("SKIPPED: ../shared/interop is not there");
        return None;
    }
    let mut catalog = Catalog::default();
    for entry in std::fs::read_dir(format!("{folder}/catalog")).unwrap() {
        catalog.add(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
    }
    Some((catalog, folder))
}

/// The cases of a file: name and the record, or why it is not even of the data model.
fn cases(folder: &str, file: &str) -> Vec<(String, Result<Ipld, String>)> {
    let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let read = |case: &serde_json::Value| from_json(case["data"].to_string().as_bytes());
    cases
        .iter()
        .map(|case| (case["name"].as_str().unwrap().to_owned(), read(case).map_err(|e| e.to_string())))
        .collect()
}

#[test]
fn takes_the_valid_records_of_the_fixtures() {
    let Some((catalog, folder)) = fixtures() else { return };
    let cases = cases(&folder, "record-data-valid.json");
    assert!(!cases.is_empty());
    for (name, record) in cases {
        let record = record.unwrap();
        assert_eq!(catalog.validate_record("example.lexicon.record", &record), Ok(()), "{name}");
    }
}

#[test]
fn refuses_the_invalid_records_of_the_fixtures() {
    let Some((catalog, folder)) = fixtures() else { return };
    let cases = cases(&folder, "record-data-invalid.json");
    assert!(!cases.is_empty());
    for (name, record) in cases {
        let Ok(record) = record else { continue };
        assert!(catalog.validate_record("example.lexicon.record", &record).is_err(), "{name}");
    }
}
