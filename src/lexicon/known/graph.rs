//! `app.bsky.graph`.

use super::super::schema::{Document, Format, Schema, Text};
use super::{
    datetime, document, format, graphemes, list, list_of, object, picture, record, refer, self_labels, sized,
    string, strong_ref,
};

pub(super) fn documents() -> Vec<Document> {
    vec![
        one(
            "app.bsky.graph.follow",
            [("subject!", format(Format::Did)), ("createdAt!", datetime()), ("via", strong_ref())],
        ),
        one("app.bsky.graph.block", [("subject!", format(Format::Did)), ("createdAt!", datetime())]),
        one("app.bsky.graph.listblock", [("subject!", format(Format::AtUri)), ("createdAt!", datetime())]),
        one(
            "app.bsky.graph.listitem",
            [("subject!", format(Format::Did)), ("list!", format(Format::AtUri)), ("createdAt!", datetime())],
        ),
        one(
            "app.bsky.graph.verification",
            [
                ("subject!", format(Format::Did)),
                ("handle!", format(Format::Handle)),
                ("displayName!", string()),
                ("createdAt!", datetime()),
            ],
        ),
        one(
            "app.bsky.graph.list",
            [
                ("purpose!", string()),
                ("name!", sized(1, 64)),
                ("description", graphemes(300)),
                ("descriptionFacets", list(refer("app.bsky.richtext.facet"))),
                ("avatar", picture()),
                ("labels", self_labels()),
                ("createdAt!", datetime()),
            ],
        ),
        starter_pack(),
    ]
}

fn one<const N: usize>(id: &str, properties: [(&str, Schema); N]) -> Document {
    document(id, [("main", record("tid", properties))])
}

fn starter_pack() -> Document {
    let name = match graphemes(50) {
        Schema::String(text) => Schema::String(Text { min_length: Some(1), ..text }),
        other => other,
    };
    document(
        "app.bsky.graph.starterpack",
        [
            (
                "main",
                record(
                    "tid",
                    [
                        ("name!", name),
                        ("description", graphemes(300)),
                        ("descriptionFacets", list(refer("app.bsky.richtext.facet"))),
                        ("list!", format(Format::AtUri)),
                        ("feeds", list_of(refer("#feedItem"), 3)),
                        ("createdAt!", datetime()),
                    ],
                ),
            ),
            ("feedItem", object([("uri!", format(Format::AtUri))])),
        ],
    )
}
