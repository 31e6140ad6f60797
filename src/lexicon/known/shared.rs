//! What several records share, and the few records outside of `app.bsky`.

use super::super::schema::{Document, Format, Integer, Schema, Text};
use super::{
    at_least, boolean, bytes, document, format, graphemes, list, list_of, object, record, refer, sized,
    string, union,
};

pub(super) fn documents() -> Vec<Document> {
    vec![
        document(
            "com.atproto.repo.strongRef",
            [("main", object([("uri!", format(Format::AtUri)), ("cid!", format(Format::Cid))]))],
        ),
        document(
            "com.atproto.lexicon.schema",
            [("main", record("nsid", [("lexicon!", Schema::Integer(Integer::default()))]))],
        ),
        labels(),
        facet(),
        document(
            "app.bsky.notification.declaration",
            [("main", record("literal:self", [("allowSubscriptions!", string())]))],
        ),
        document(
            "chat.bsky.actor.declaration",
            [(
                "main",
                record("literal:self", [("allowIncoming!", string()), ("allowGroupInvites", string())]),
            )],
        ),
        germ(),
    ]
}

fn labels() -> Document {
    let strings =
        [("lang!", format(Format::Language)), ("name!", graphemes(64)), ("description!", graphemes(10_000))];
    document(
        "com.atproto.label.defs",
        [
            ("selfLabels", object([("values!", list_of(refer("#selfLabel"), 10))])),
            ("selfLabel", object([("val!", sized(0, 128))])),
            (
                "labelValueDefinition",
                object([
                    ("identifier!", sized(0, 100)),
                    ("severity!", string()),
                    ("blurs!", string()),
                    ("defaultSetting", string()),
                    ("adultOnly", boolean()),
                    ("locales!", list(refer("#labelValueDefinitionStrings"))),
                ]),
            ),
            ("labelValueDefinitionStrings", object(strings)),
        ],
    )
}

fn facet() -> Document {
    document(
        "app.bsky.richtext.facet",
        [
            (
                "main",
                object([
                    ("index!", refer("#byteSlice")),
                    ("features!", list(union(["#mention", "#link", "#tag"]))),
                ]),
            ),
            ("byteSlice", object([("byteStart!", at_least(0)), ("byteEnd!", at_least(0))])),
            ("mention", object([("did!", format(Format::Did))])),
            ("link", object([("uri!", format(Format::Uri))])),
            ("tag", object([("tag!", graphemes(64))])),
        ],
    )
}

fn germ() -> Document {
    document(
        "com.germnetwork.declaration",
        [
            (
                "main",
                record(
                    "literal:self",
                    [
                        ("version!", sized(5, 14)),
                        ("currentKey!", bytes()),
                        ("messageMe", refer("#messageMe")),
                        ("keyPackage", bytes()),
                        ("continuityProofs", list_of(bytes(), 1000)),
                    ],
                ),
            ),
            ("messageMe", object([("messageMeUrl!", uri_sized(1, 2047)), ("showButtonTo!", sized(1, 100))])),
        ],
    )
}

fn uri_sized(min: u64, max: u64) -> Schema {
    match sized(min, max) {
        Schema::String(text) => Schema::String(Text { format: Some(Format::Uri), ..text }),
        other => other,
    }
}
