//! `app.bsky.actor` and `app.bsky.labeler`.

use super::super::schema::{Document, Format};
use super::{
    at_least, datetime, document, format, graphemes, list, object, picture, record, refer, self_labels,
    string, strong_ref, token, union,
};

pub(super) fn documents() -> Vec<Document> {
    vec![profile(), status(), labeler(), labeler_defs()]
}

fn profile() -> Document {
    document(
        "app.bsky.actor.profile",
        [(
            "main",
            record(
                "literal:self",
                [
                    ("displayName", graphemes(64)),
                    ("description", graphemes(256)),
                    ("pronouns", graphemes(20)),
                    ("website", format(Format::Uri)),
                    ("avatar", picture()),
                    ("banner", picture()),
                    ("labels", self_labels()),
                    ("joinedViaStarterPack", strong_ref()),
                    ("pinnedPost", strong_ref()),
                    ("createdAt", datetime()),
                ],
            ),
        )],
    )
}

fn status() -> Document {
    let properties = [
        ("status!", string()),
        ("embed", union(["app.bsky.embed.external"])),
        ("durationMinutes", at_least(1)),
        ("createdAt!", datetime()),
    ];
    document("app.bsky.actor.status", [("main", record("literal:self", properties)), ("live", token())])
}

fn labeler() -> Document {
    document(
        "app.bsky.labeler.service",
        [(
            "main",
            record(
                "literal:self",
                [
                    ("policies!", refer("app.bsky.labeler.defs#labelerPolicies")),
                    ("labels", self_labels()),
                    ("createdAt!", datetime()),
                    ("reasonTypes", list(string())),
                    ("subjectTypes", list(string())),
                    ("subjectCollections", list(format(Format::Nsid))),
                ],
            ),
        )],
    )
}

fn labeler_defs() -> Document {
    let policies = [
        ("labelValues!", list(string())),
        ("labelValueDefinitions", list(refer("com.atproto.label.defs#labelValueDefinition"))),
    ];
    document("app.bsky.labeler.defs", [("labelerPolicies", object(policies))])
}
