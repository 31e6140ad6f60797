//! The tables against records as apps write them, and against atrium's types as a second opinion.

use super::super::catalog;
use crate::data_model::from_json;

const REF: &str = r#"{"uri":"at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a","cid":"bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"}"#;
const IMAGE: &str = r#"{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/jpeg","size":1000}"#;
const NOW: &str = r#""createdAt":"2026-01-01T00:00:00.000Z""#;

/// A valid record of every known collection.
fn samples() -> Vec<(&'static str, String)> {
    let did = r#""did:plc:abc""#;
    let uri = r#""at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a""#;
    vec![
        ("app.bsky.actor.profile", format!(r#""displayName":"a","avatar":{IMAGE},"pinnedPost":{REF}"#)),
        (
            "app.bsky.actor.status",
            format!(r#""status":"app.bsky.actor.status#live","durationMinutes":5,{NOW}"#),
        ),
        ("app.bsky.feed.generator", format!(r#""did":{did},"displayName":"a",{NOW}"#)),
        ("app.bsky.feed.like", format!(r#""subject":{REF},{NOW}"#)),
        ("app.bsky.feed.post", format!(r#""text":"a",{NOW}"#)),
        (
            "app.bsky.feed.postgate",
            format!(
                r#""post":{uri},"embeddingRules":[{{"$type":"app.bsky.feed.postgate#disableRule"}}],{NOW}"#
            ),
        ),
        ("app.bsky.feed.repost", format!(r#""subject":{REF},"via":{REF},{NOW}"#)),
        ("app.bsky.feed.threadgate", format!(r#""post":{uri},"allow":[],{NOW}"#)),
        ("app.bsky.graph.block", format!(r#""subject":{did},{NOW}"#)),
        ("app.bsky.graph.follow", format!(r#""subject":{did},{NOW}"#)),
        ("app.bsky.graph.list", format!(r#""purpose":"app.bsky.graph.defs#modlist","name":"a",{NOW}"#)),
        ("app.bsky.graph.listblock", format!(r#""subject":{uri},{NOW}"#)),
        ("app.bsky.graph.listitem", format!(r#""subject":{did},"list":{uri},{NOW}"#)),
        ("app.bsky.graph.starterpack", format!(r#""name":"a","list":{uri},"feeds":[{{"uri":{uri}}}],{NOW}"#)),
        (
            "app.bsky.graph.verification",
            format!(r#""subject":{did},"handle":"a.test","displayName":"a",{NOW}"#),
        ),
        ("app.bsky.labeler.service", format!(r#""policies":{{"labelValues":["spam"]}},{NOW}"#)),
        ("app.bsky.notification.declaration", r#""allowSubscriptions":"none""#.into()),
        ("chat.bsky.actor.declaration", r#""allowIncoming":"none""#.into()),
        ("com.atproto.lexicon.schema", r#""lexicon":1"#.into()),
        ("com.germnetwork.declaration", r#""version":"1.0.0","currentKey":{"$bytes":"AQI"}"#.into()),
    ]
}

fn verdict(collection: &str, fields: &str) -> Result<(), String> {
    let record = from_json(format!(r#"{{"$type":"{collection}",{fields}}}"#).as_bytes()).unwrap();
    catalog().validate_record(collection, &record).map_err(|error| error.to_string())
}

#[test]
fn every_collection_that_the_reference_knows_is_known() {
    let samples = samples();
    assert_eq!(samples.len(), 20);
    for (collection, fields) in &samples {
        assert_eq!(verdict(collection, fields), Ok(()), "{collection}");
        // What the table calls required really is: without its fields the record fails, where it has required ones.
        if *collection != "app.bsky.actor.profile" {
            assert!(verdict(collection, r#""other":1"#).is_err(), "{collection}");
        }
    }
    let foreign = catalog().names().filter(|name| !name.starts_with("agent.") && catalog().is_record(name));
    assert_eq!(foreign.count(), samples.len());
}

#[test]
fn atrium_reads_what_the_tables_take() {
    for (collection, fields) in samples() {
        if matches!(collection, "com.germnetwork.declaration" | "chat.bsky.actor.declaration") {
            continue; // not among the types that atrium is built with
        }
        let json = format!(r#"{{"$type":"{collection}",{fields}}}"#);
        let read = serde_json::from_str::<atrium_api::record::KnownRecord>(&json);
        assert!(read.is_ok(), "{collection}: {read:?}");
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let text = |n: usize| format!(r#""text":"{}",{NOW}"#, "a".repeat(n));
    assert_eq!(verdict("app.bsky.feed.post", &text(300)), Ok(()));
    assert_eq!(
        verdict("app.bsky.feed.post", &text(301)),
        Err("record.text: must be at most 300 graphemes".into())
    );
    assert!(verdict("app.bsky.feed.post", &text(3001)).unwrap_err().contains("3000 bytes"));

    let langs = |n: usize| format!(r#""text":"","langs":[{}],{NOW}"#, vec![r#""en""#; n].join(","));
    assert_eq!(verdict("app.bsky.feed.post", &langs(3)), Ok(()));
    assert!(verdict("app.bsky.feed.post", &langs(4)).is_err());

    let images = |n: usize| {
        let image = format!(r#"{{"image":{IMAGE},"alt":""}}"#);
        format!(
            r#""text":"","embed":{{"$type":"app.bsky.embed.images","images":[{}]}},{NOW}"#,
            vec![image; n].join(",")
        )
    };
    assert_eq!(verdict("app.bsky.feed.post", &images(4)), Ok(()));
    assert_eq!(
        verdict("app.bsky.feed.post", &images(5)),
        Err("record.embed.images: must be at most 4 items".into())
    );

    let name = |n: usize| format!(r#""displayName":"{}""#, "é".repeat(n));
    assert_eq!(verdict("app.bsky.actor.profile", &name(64)), Ok(()));
    assert!(verdict("app.bsky.actor.profile", &name(65)).is_err());
    assert!(verdict("app.bsky.graph.list", &format!(r#""purpose":"x","name":"",{NOW}"#)).is_err());
    assert!(verdict("app.bsky.graph.follow", &format!(r#""subject":"alice.test",{NOW}"#)).is_err());
}

#[test]
fn a_facet_of_an_unknown_kind_passes_and_a_broken_known_one_does_not() {
    let post = |feature: &str| {
        let facet = format!(r#"{{"index":{{"byteStart":0,"byteEnd":1}},"features":[{feature}]}}"#);
        verdict("app.bsky.feed.post", &format!(r#""text":"a","facets":[{facet}],{NOW}"#))
    };
    assert_eq!(post(r#"{"$type":"com.example.facet"}"#), Ok(()));
    assert_eq!(
        post(r#"{"$type":"app.bsky.richtext.facet#mention","did":"alice"}"#).unwrap_err(),
        "record.facets[0].features[0].did: invalid DID: does not begin with did:"
    );
}
