use std::collections::BTreeMap;

use data_encoding::BASE64_NOPAD;
use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> Option<Vec<serde_json::Value>> {
    let path = format!("{}/../shared/interop/data-model/{name}", env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: ../shared/interop is not there");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn json(text: &str) -> Result<Ipld, DataModelError> {
    from_json(text.as_bytes())
}

fn value_of(json: &[u8]) -> serde_json::Value {
    serde_json::from_slice(json).unwrap()
}

#[test]
fn fixtures_have_their_bytes_cid_and_json() {
    for case in fixture("data-model-fixtures.json").unwrap_or_default() {
        let record = deserialize(&case["json"]).unwrap();
        let block = encode_record(&record).unwrap();
        assert_eq!(BASE64_NOPAD.encode(&block), case["cbor_base64"].as_str().unwrap());
        assert_eq!(cid_of_block(CODEC_DAG_CBOR, &block).to_string(), case["cid"].as_str().unwrap());
        assert_eq!(decode_record(&block).unwrap(), record);
        assert_eq!(value_of(&to_json(&record).unwrap()), case["json"]);
        let mut out = Vec::new();
        cbor_to_json(&block, &mut out).unwrap();
        assert_eq!(value_of(&out), case["json"]);
    }
}

#[test]
fn valid_fixtures_pass_and_invalid_ones_do_not() {
    for case in fixture("data-model-valid.json").unwrap_or_default() {
        assert!(record_from_json(case["json"].to_string().as_bytes()).is_ok(), "{}", case["note"]);
    }
    for case in fixture("data-model-invalid.json").unwrap_or_default() {
        assert!(record_from_json(case["json"].to_string().as_bytes()).is_err(), "{}", case["note"]);
    }
}

#[test]
fn json_traps() {
    assert_eq!(json("{\"a\": 123.0, \"b\": 1e3}"), json("{\"a\": 123, \"b\": 1000}"));
    assert_eq!(json("9223372036854775807"), Ok(Ipld::Integer(i64::MAX.into())));
    assert_eq!(json("-9223372036854775808"), Ok(Ipld::Integer(i64::MIN.into())));
    assert_eq!(json("{\"$bytes\":\"AQ==\"}"), json("{\"$bytes\":\"AQ\"}"));
    assert_eq!(json("{\"$bytes\":\"AR\"}"), json("{\"$bytes\":\"AQ\"}"));
    for bad in [
        "9223372036854775808",
        "1e300",
        "0.1",
        "NaN",
        "{\"a\":1,\"a\":2}",
        "{\"$bytes\":\"A\"}",
        "{\"$bytes\":\"AQ=\"}",
        "{\"$bytes\":\"A-_\"}",
        // version 0, another codec, another multibase, a gateway path
        "{\"$link\":\"QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR\"}",
        "{\"$link\":\"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi\"}",
        "{\"$link\":\"zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz\"}",
        "{\"$link\":\"/ipfs/bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a\"}",
        "{} {}",
        "\"\\ud800\"",
    ] {
        assert!(json(bad).is_err(), "{bad}");
    }
}

#[test]
fn depth_is_bounded_in_every_direction() {
    use crate::limits::DATA_DEPTH_MAX;
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let deepest = json(&nested(DATA_DEPTH_MAX)).unwrap();
    let block = encode(&deepest).unwrap();
    assert_eq!(decode(&block).unwrap(), deepest);
    assert!(json(&nested(DATA_DEPTH_MAX + 1)).is_err());

    let too_deep_block = [&[0x81][..], &block].concat();
    assert_eq!(decode(&too_deep_block), Err(DataModelError::TooDeep));
    assert_eq!(cbor_to_json(&too_deep_block, &mut Vec::new()), Err(DataModelError::TooDeep));
    let too_deep = Ipld::List(vec![deepest]);
    assert_eq!(encode(&too_deep), Err(DataModelError::TooDeep));
    assert_eq!(to_json(&too_deep), Err(DataModelError::TooDeep));
    assert_eq!(decode(&[0x81; 100_000]), Err(DataModelError::TooDeep));
}

#[test]
fn only_canonical_cbor_decodes() {
    let cases: [(&str, &[u8]); 14] = [
        ("empty", &[]),
        ("trailing byte", &[0x01, 0x01]),
        ("non-minimal integer", &[0x18, 0x17]),
        ("non-minimal length", &[0x78, 0x01, b'a']),
        ("indefinite list", &[0x9f, 0xff]),
        ("half float", &[0xf9, 0x3c, 0x00]),
        ("double", &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        ("undefined", &[0xf7]),
        ("other tag", &[0xc1, 0x01]),
        ("integer key", &[0xa1, 0x01, 0x01]),
        ("keys out of order", &[0xa2, 0x62, b'a', b'a', 0x01, 0x61, b'b', 0x01]),
        ("key twice", &[0xa2, 0x61, b'a', 0x01, 0x61, b'a', 0x01]),
        ("integer beyond i64", &[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("list longer than the input", &[0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (what, bytes) in cases {
        assert!(decode(bytes).is_err(), "{what}");
    }
    assert!(decode(&[0x62, 0xc3, 0x28]).is_err(), "text that is not UTF-8");
    assert_eq!(decode_record(&[0x80]), Err(DataModelError::NotAMap));
}

#[test]
fn records_have_a_size_limit() {
    let record = |bytes| Ipld::Map(BTreeMap::from([("a".to_owned(), Ipld::Bytes(vec![0; bytes]))]));
    assert!(encode_record(&record(crate::limits::RECORD_BYTES_MAX - 8)).is_ok());
    assert!(matches!(
        encode_record(&record(crate::limits::RECORD_BYTES_MAX)),
        Err(DataModelError::TooLarge { .. })
    ));
}

#[test]
fn the_text_of_any_cid_is_its_own() {
    let stored = [CODEC_DAG_CBOR, CODEC_RAW].map(|codec| cid_of_block(codec, b"block"));
    let foreign: Cid = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n".parse().unwrap();
    for cid in stored.into_iter().chain([foreign]) {
        let mut text = Vec::new();
        append_cid_text(&mut text, &cid);
        assert_eq!(text, cid.to_string().as_bytes());
    }
}

#[test]
fn blobs_are_found_wherever_they_are() {
    let cid = "bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity";
    let record = json(&format!(
        r#"{{"a":[{{"$type":"blob","ref":{{"$link":"{cid}"}},"mimeType":"image/png","size":7}}],
            "b":{{"old":{{"cid":"{cid}","mimeType":"image/gif"}}}},"c":{{"cid":"{cid}","mimeType":"x","more":1}}}}"#
    ))
    .unwrap();
    let blobs = blob_refs(&record);
    let seen: Vec<_> = blobs.iter().map(|b| (b.cid.to_string(), b.mime_type.as_str(), b.size)).collect();
    assert_eq!(seen, [(cid.to_owned(), "image/png", Some(7)), (cid.to_owned(), "image/gif", None)]);
    for blob in blobs {
        assert_eq!(BlobRef::try_from(&blob.to_ipld()), Ok(blob));
    }
}

fn arbitrary_value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|n| Ipld::Integer(n.into())),
        any::<String>().prop_map(Ipld::String),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
        (any::<[u8; 8]>(), any::<bool>())
            .prop_map(|(b, raw)| Ipld::Link(cid_of_block(if raw { CODEC_RAW } else { CODEC_DAG_CBOR }, &b))),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Ipld::List),
            // No key begins with $, which JSON would read as something else.
            prop::collection::btree_map("[a-zé\"\\\\\n]{0,12}", inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

/// At every width of a head: what the writer of all our formats writes is what an independent encoder writes.
#[test]
fn an_independent_encoder_writes_the_same_heads() {
    for number in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, i64::MAX as u64] {
        let length = usize::try_from(number).ok().filter(|length| *length <= 65_536).unwrap_or(7);
        let value =
            (number, -1 - number as i64, "a".repeat(length), serde_bytes::ByteBuf::from(vec![0; length]));
        let mut ours = Vec::new();
        let mut writer = repo_mst::cbor::Writer(&mut ours);
        writer.array(4);
        writer.unsigned(value.0);
        writer.integer(value.1);
        writer.text(&value.2);
        writer.bytes(&value.3);
        assert_eq!(ours, serde_ipld_dagcbor::to_vec(&value).unwrap(), "{number}");
    }
}

proptest! {
    #[test]
    fn both_encodings_round_trip_and_agree(value in arbitrary_value()) {
        let block = encode(&value).unwrap();
        prop_assert_eq!(&decode(&block).unwrap(), &value);
        prop_assert_eq!(&serde_ipld_dagcbor::to_vec(&value).unwrap(), &block);

        let text = to_json(&value).unwrap();
        prop_assert_eq!(&from_json(&text).unwrap(), &value);
        let mut transcoded = Vec::new();
        cbor_to_json(&block, &mut transcoded).unwrap();
        prop_assert_eq!(&from_json(&transcoded).unwrap(), &value);
        let mut through_serde = Vec::new();
        serialize(&value, &mut serde_json::Serializer::new(&mut through_serde)).unwrap();
        prop_assert_eq!(from_json(&through_serde).unwrap(), value);
    }

    #[test]
    fn text_is_escaped_wherever_it_must_be(parts in prop::collection::vec(("[a-z\\u{80}-\\u{ffff}]{0,40}", "[\\x00-\\x1f\"\\\\]{0,2}"), 0..6)) {
        let text: String = parts.iter().flat_map(|(plain, special)| [plain.as_str(), special]).collect();
        let ours: String = serde_json::from_slice(&to_json(&Ipld::String(text.clone())).unwrap()).unwrap();
        prop_assert_eq!(ours, text);
    }

    #[test]
    fn whatever_decodes_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = cbor_to_json(&bytes, &mut Vec::new());
        if let Ok(value) = decode(&bytes) {
            prop_assert_eq!(encode(&value).unwrap(), bytes);
        }
    }

    #[test]
    fn a_damaged_block_never_panics(value in arbitrary_value(), at in any::<prop::sample::Index>(), to: u8) {
        let mut block = encode(&value).unwrap();
        let at = at.index(block.len());
        block[at] = to;
        if let Ok(value) = decode(&block) {
            prop_assert_eq!(encode(&value).unwrap(), block.clone());
        }
        let _ = cbor_to_json(&block, &mut Vec::new());
    }

    #[test]
    fn base32_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(base32_decode(&base32_encode(&bytes)), Some(bytes));
    }
}

/// Not a benchmark, a guard on the order of magnitude: 100 records must cost far below the listRecords budget.
#[test]
#[ignore = "measures; run with --release --ignored --nocapture"]
fn transcoding_speed() {
    let record = json(
        r#"{"$type":"app.bsky.feed.post","text":"The quick brown fox jumps over the lazy dog, twice and again.\n",
        "createdAt":"2026-01-01T00:00:00.000Z","langs":["en"],"reply":{"root":{"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
        "uri":"at://did:plc:abcdefghijklmnopqrstuvwx/app.bsky.feed.post/3jzfcijpj2z2a"}},
        "image":{"$type":"blob","ref":{"$link":"bafkreiccldh766hwcnuxnf2wh6jgzepf2nlu2lvcllt63eww5p6chi4ity"},"mimeType":"image/png","size":12345}}"#,
    )
    .unwrap();
    let block = encode(&record).unwrap();
    let text = to_json(&record).unwrap();
    let rounds = 200_000;
    let time = |what: &str, work: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        (0..rounds).for_each(|_| work());
        eprintln!("{what}: {} ns ({} bytes)", start.elapsed().as_nanos() / rounds, block.len());
    };
    let mut out = Vec::new();
    time("cbor_to_json", &mut || {
        out.clear();
        cbor_to_json(&block, &mut out).unwrap();
    });
    time("decode", &mut || drop(decode(&block).unwrap()));
    time("encode", &mut || drop(encode(&record).unwrap()));
    time("from_json", &mut || drop(from_json(&text).unwrap()));
    time("to_json", &mut || drop(to_json(&record).unwrap()));
}
