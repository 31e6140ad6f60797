//! `app.bsky.feed` and what its posts embed.

use super::super::schema::{Document, Format};
use super::{
    at_least, blob, boolean, datetime, document, format, graphemes, list, list_of, object, picture, record,
    refer, self_labels, string, strong_ref, union,
};

pub(super) fn documents() -> Vec<Document> {
    let mut all = vec![post(), generator(), postgate(), threadgate()];
    for id in ["app.bsky.feed.like", "app.bsky.feed.repost"] {
        let properties = [("subject!", strong_ref()), ("createdAt!", datetime()), ("via", strong_ref())];
        all.push(document(id, [("main", record("tid", properties))]));
    }
    all.extend(embeds());
    all
}

fn post() -> Document {
    document(
        "app.bsky.feed.post",
        [
            (
                "main",
                record(
                    "tid",
                    [
                        ("text!", graphemes(300)),
                        ("entities", list(refer("#entity"))),
                        ("facets", list(refer("app.bsky.richtext.facet"))),
                        ("reply", refer("#replyRef")),
                        (
                            "embed",
                            union([
                                "app.bsky.embed.images",
                                "app.bsky.embed.video",
                                "app.bsky.embed.gallery",
                                "app.bsky.embed.external",
                                "app.bsky.embed.record",
                                "app.bsky.embed.recordWithMedia",
                            ]),
                        ),
                        ("langs", list_of(format(Format::Language), 3)),
                        ("labels", self_labels()),
                        ("tags", list_of(graphemes(64), 8)),
                        ("createdAt!", datetime()),
                    ],
                ),
            ),
            ("replyRef", object([("root!", strong_ref()), ("parent!", strong_ref())])),
            ("entity", object([("index!", refer("#textSlice")), ("type!", string()), ("value!", string())])),
            ("textSlice", object([("start!", at_least(0)), ("end!", at_least(0))])),
        ],
    )
}

fn generator() -> Document {
    document(
        "app.bsky.feed.generator",
        [(
            "main",
            record(
                "any",
                [
                    ("did!", format(Format::Did)),
                    ("displayName!", graphemes(24)),
                    ("description", graphemes(300)),
                    ("descriptionFacets", list(refer("app.bsky.richtext.facet"))),
                    ("avatar", picture()),
                    ("acceptsInteractions", boolean()),
                    ("labels", self_labels()),
                    ("contentMode", string()),
                    ("createdAt!", datetime()),
                ],
            ),
        )],
    )
}

fn postgate() -> Document {
    document(
        "app.bsky.feed.postgate",
        [
            (
                "main",
                record(
                    "tid",
                    [
                        ("post!", format(Format::AtUri)),
                        ("detachedEmbeddingUris", list_of(format(Format::AtUri), 50)),
                        ("embeddingRules", list_of(union(["#disableRule"]), 5)),
                        ("createdAt!", datetime()),
                    ],
                ),
            ),
            ("disableRule", object([])),
        ],
    )
}

fn threadgate() -> Document {
    let rules = ["#mentionRule", "#followerRule", "#followingRule", "#listRule"];
    document(
        "app.bsky.feed.threadgate",
        [
            (
                "main",
                record(
                    "tid",
                    [
                        ("post!", format(Format::AtUri)),
                        ("allow", list_of(union(rules), 5)),
                        ("hiddenReplies", list_of(format(Format::AtUri), 300)),
                        ("createdAt!", datetime()),
                    ],
                ),
            ),
            ("mentionRule", object([])),
            ("followerRule", object([])),
            ("followingRule", object([])),
            ("listRule", object([("list!", format(Format::AtUri))])),
        ],
    )
}

fn embeds() -> Vec<Document> {
    let ratio = || refer("app.bsky.embed.defs#aspectRatio");
    let image = || blob(["image/*"], 2_000_000);
    let media = [
        "app.bsky.embed.images",
        "app.bsky.embed.video",
        "app.bsky.embed.gallery",
        "app.bsky.embed.external",
    ];
    vec![
        document(
            "app.bsky.embed.defs",
            [("aspectRatio", object([("width!", at_least(1)), ("height!", at_least(1))]))],
        ),
        document(
            "app.bsky.embed.images",
            [
                ("main", object([("images!", list_of(refer("#image"), 4))])),
                ("image", object([("image!", image()), ("alt!", string()), ("aspectRatio", ratio())])),
            ],
        ),
        document(
            "app.bsky.embed.gallery",
            [
                ("main", object([("items!", list_of(union(["#image"]), 20))])),
                ("image", object([("image!", image()), ("alt!", string()), ("aspectRatio!", ratio())])),
            ],
        ),
        document(
            "app.bsky.embed.video",
            [
                (
                    "main",
                    object([
                        ("video!", blob(["video/mp4"], 300_000_000)),
                        ("captions", list_of(refer("#caption"), 20)),
                        ("alt", string()),
                        ("aspectRatio", ratio()),
                        ("presentation", string()),
                    ]),
                ),
                (
                    "caption",
                    object([("lang!", format(Format::Language)), ("file!", blob(["text/vtt"], 20_000))]),
                ),
            ],
        ),
        document(
            "app.bsky.embed.external",
            [
                ("main", object([("external!", refer("#external"))])),
                (
                    "external",
                    object([
                        ("uri!", format(Format::Uri)),
                        ("title!", string()),
                        ("description!", string()),
                        ("thumb", blob(["image/*"], 1_000_000)),
                        ("associatedRefs", list(strong_ref())),
                    ]),
                ),
            ],
        ),
        document("app.bsky.embed.record", [("main", object([("record!", strong_ref())]))]),
        document(
            "app.bsky.embed.recordWithMedia",
            [("main", object([("record!", refer("app.bsky.embed.record")), ("media!", union(media))]))],
        ),
    ]
}
