//! Records of the caller's as an app view shows them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{App, Written};
use crate::app::Target;
use crate::auth::AccountCaller;
use crate::data_model::cbor_to_json;
use crate::repo::GetRecord;
use crate::syntax::{AtUri, Nsid, RecordKey, format_datetime_ms};

pub(super) const POST: &str = "app.bsky.feed.post";
pub(super) const LIKE: &str = "app.bsky.feed.like";
pub(super) const FOLLOW: &str = "app.bsky.graph.follow";
pub(super) const PROFILE: &str = "app.bsky.actor.profile";
/// What is looked at.
pub(super) const COLLECTIONS: [&str; 4] = [POST, LIKE, FOLLOW, PROFILE];

/// What is seen through: the caller's own records beside an app view's answer.
pub(super) struct Viewer<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) caller: &'a AccountCaller,
    pub(super) target: &'a Target,
    pub(super) written: &'a [Written],
}

impl Viewer<'_> {
    pub(super) fn did(&self) -> &str {
        self.caller.account.did.as_str()
    }

    /// What was written of one kind, the oldest first.
    pub(super) fn written(&self, collection: &'static str) -> impl DoubleEndedIterator<Item = &Written> {
        self.written.iter().filter(move |record| record.collection == collection)
    }

    /// The profile, if it was written.
    pub(super) fn profile(&self) -> Option<&Value> {
        self.written(PROFILE).last().map(|record| &record.value)
    }

    /// The caller as the author of something.
    pub(super) async fn author(&self) -> Value {
        let mut author = json!({ "did": self.did(), "handle": self.caller.account.shown_handle() });
        let profile = match self.profile() {
            Some(profile) => Some(profile.clone()),
            None => self.profile_of_before().await,
        };
        if let (Some(profile), Some(author)) = (profile, author.as_object_mut()) {
            self.dress(author, &profile);
        }
        author
    }

    async fn profile_of_before(&self) -> Option<Value> {
        let collection = Nsid::try_from(PROFILE).ok()?;
        let get = GetRecord { collection, rkey: RecordKey::try_from("self").ok()?, cid: None };
        let record = self.app.account(&self.caller.account.did, get).await.ok()??;
        let mut json = Vec::new();
        cbor_to_json(&record.block, &mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Gives a view of the caller the name and the picture of its profile.
    pub(super) fn dress(&self, view: &mut Map<String, Value>, profile: &Value) {
        set(view, "displayName", profile.get("displayName").cloned());
        set(view, "avatar", profile.get("avatar").and_then(|blob| self.image(blob)));
    }

    /// The same, where more is shown.
    pub(super) fn dress_in_full(&self, view: &mut Map<String, Value>, profile: &Value) {
        self.dress(view, profile);
        set(view, "description", profile.get("description").cloned());
        set(view, "banner", profile.get("banner").and_then(|blob| self.image(blob)));
    }

    /// Where an image of the caller's is: here, for an app view makes its smaller ones when it has seen the record.
    fn image(&self, blob: &Value) -> Option<Value> {
        let cid = blob.pointer("/ref/$link")?.as_str()?;
        let url = &self.app.network.public_url;
        Some(json!(format!("{url}/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}", self.did())))
    }

    /// A post as it is shown: nobody has liked or answered it yet.
    pub(super) async fn post(&self, post: &Written, author: &Value) -> Value {
        let mut view = json!({
            "$type": "app.bsky.feed.defs#postView",
            "uri": post.uri,
            "cid": post.cid,
            "author": author,
            "record": post.value,
            "replyCount": 0,
            "repostCount": 0,
            "likeCount": 0,
            "quoteCount": 0,
            "indexedAt": format_datetime_ms(post.written_us),
        });
        let embed = match post.value.get("embed") {
            Some(embed) => self.embed(embed).await,
            None => None,
        };
        if let Some(view) = view.as_object_mut() {
            set(view, "embed", embed);
        }
        view
    }

    async fn embed(&self, embed: &Value) -> Option<Value> {
        match embed.get("$type")?.as_str()? {
            "app.bsky.embed.record" => Some(json!({
                "$type": "app.bsky.embed.record#view",
                "record": self.quoted(embed.get("record")?).await?,
            })),
            "app.bsky.embed.recordWithMedia" => Some(json!({
                "$type": "app.bsky.embed.recordWithMedia#view",
                "record": { "record": self.quoted(embed.pointer("/record/record")?).await? },
                "media": self.media(embed.get("media")?)?,
            })),
            _ => self.media(embed),
        }
    }

    fn media(&self, embed: &Value) -> Option<Value> {
        match embed.get("$type")?.as_str()? {
            "app.bsky.embed.images" => {
                let images = embed.get("images")?.as_array()?.iter().filter_map(|image| {
                    let url = self.image(image.get("image")?)?;
                    let mut view = json!({ "thumb": url, "fullsize": url, "alt": image.get("alt")? });
                    set(view.as_object_mut()?, "aspectRatio", image.get("aspectRatio").cloned());
                    Some(view)
                });
                Some(json!({ "$type": "app.bsky.embed.images#view", "images": images.collect::<Vec<_>>() }))
            }
            "app.bsky.embed.external" => {
                let external = embed.get("external")?;
                let mut view = json!({
                    "uri": external.get("uri")?,
                    "title": external.get("title")?,
                    "description": external.get("description")?,
                });
                set(view.as_object_mut()?, "thumb", external.get("thumb").and_then(|blob| self.image(blob)));
                Some(json!({ "$type": "app.bsky.embed.external#view", "external": view }))
            }
            _ => None,
        }
    }

    /// What a post quotes, as the app view shows it.
    async fn quoted(&self, quoted: &Value) -> Option<Value> {
        let uri = quoted.get("uri")?.as_str()?;
        let not_found =
            || json!({ "$type": "app.bsky.embed.record#viewNotFound", "uri": uri, "notFound": true });
        let parsed = AtUri::try_from(uri).ok()?;
        let (nsid, param, place, kind) = match parsed.collection()? {
            POST => {
                let found = self.ask("app.bsky.feed.getPosts", &[("uris", uri)]).await;
                let post = found.as_ref().and_then(|found| found.pointer("/posts/0"));
                return Some(post.map_or_else(not_found, quoted_post));
            }
            "app.bsky.feed.generator" => {
                ("app.bsky.feed.getFeedGenerator", "feed", "/view", "app.bsky.feed.defs#generatorView")
            }
            "app.bsky.graph.list" => {
                ("app.bsky.graph.getList", "list", "/list", "app.bsky.graph.defs#listView")
            }
            _ => return Some(not_found()),
        };
        let mut view = self.ask(nsid, &[(param, uri)]).await?.pointer(place)?.clone();
        view.as_object_mut()?.insert("$type".to_owned(), json!(kind));
        Some(view)
    }
}

/// A post's view as that of one that is quoted.
fn quoted_post(post: &Value) -> Value {
    let mut view = Map::new();
    view.insert("$type".to_owned(), json!("app.bsky.embed.record#viewRecord"));
    for (name, of) in [
        ("uri", "uri"),
        ("cid", "cid"),
        ("author", "author"),
        ("value", "record"),
        ("labels", "labels"),
        ("indexedAt", "indexedAt"),
    ] {
        set(&mut view, name, post.get(of).cloned());
    }
    set(&mut view, "embeds", post.get("embed").map(|embed| json!([embed])));
    Value::Object(view)
}

/// Sets a field, or leaves it out.
pub(super) fn set(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.remove(name)),
    }
}

/// Adds to a count.
pub(super) fn add(object: &mut Map<String, Value>, name: &str, more: usize) {
    let count = object.get(name).and_then(Value::as_u64).unwrap_or(0);
    object.insert(name.to_owned(), json!(count.saturating_add(more as u64)));
}
