//! What an agent's repo begins with: a profile that says its name, and that it is none of a person.
//!
//! It is in the repo's first commit, so it is there once or not at all, wherever a signup is cut short. What its owner makes
//! of it later is never touched again. An agent that brings its DID brings its own.

use serde_bytes::ByteBuf;
use serde_json::json;
use unicode_segmentation::UnicodeSegmentation as _;

use super::Error;
use crate::actor::Kind;
use crate::data_model::{encode_record, from_json};
use crate::directory::Reservation;
use crate::repo::{Swap, Write, WriteAction};
use crate::syntax::{Nsid, RecordKey, format_datetime_ms};

const COLLECTION: &str = "app.bsky.actor.profile";
/// Of the profile's lexicon.
const NAME_GRAPHEMES_MAX: usize = 64;
/// What apps know automated accounts by; accounts label themselves with it.
const LABEL: &str = "bot";

/// The records of a new account's first commit.
///
/// # Errors
/// [`Error::Internal`]: a bug.
pub(super) fn first_records(new: &Reservation, now_us: i64) -> Result<Vec<Write>, Error> {
    if new.kind != Kind::Agent || new.plc_operation.is_none() {
        return Ok(Vec::new());
    }
    let label = || new.handle.as_str().split('.').next().unwrap_or_default();
    let name: String =
        new.display_name.as_deref().unwrap_or_else(label).graphemes(true).take(NAME_GRAPHEMES_MAX).collect();
    let profile = json!({
        "$type": COLLECTION,
        "displayName": name,
        "labels": { "$type": "com.atproto.label.defs#selfLabels", "values": [{ "val": LABEL }] },
        "createdAt": format_datetime_ms(now_us),
    });
    let internal = |error: &dyn std::fmt::Display| Error::Internal(format!("an agent's profile: {error}"));
    let record = from_json(profile.to_string().as_bytes()).map_err(|error| internal(&error))?;
    Ok(vec![Write {
        action: WriteAction::Create,
        collection: Nsid::try_from(COLLECTION).map_err(|error| internal(&error))?,
        rkey: Some(RecordKey::try_from("self").map_err(|error| internal(&error))?),
        record: Some(ByteBuf::from(encode_record(&record).map_err(|error| internal(&error))?)),
        blobs: Vec::new(),
        swap_record: Swap::Any,
    }])
}
