//! Where in an answer what was written belongs. What is not of the expected shape is left alone.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::Written;
use super::view::{FOLLOW, LIKE, POST, Viewer, add, set};
use crate::syntax::{AtUri, format_datetime_ms};
use crate::xrpc::endpoint::parse_params;

/// A kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Timeline,
    AuthorFeed,
    ActorLikes,
    PostThread,
    Posts,
    Profile,
    Profiles,
}

const THREAD: &str = "app.bsky.feed.getPostThread";
/// Replies below replies that are looked through: as deep as threads are asked for at most.
const THREAD_DEPTH_MAX: usize = 1_000;

/// Whether this answer may say that there is no such post because it was written a moment ago.
pub(super) fn may_be_missing(nsid: &str, status: StatusCode) -> bool {
    nsid == THREAD && status == StatusCode::BAD_REQUEST
}

impl Answer {
    pub(super) fn of(nsid: &str) -> Option<Self> {
        Some(match nsid {
            "app.bsky.feed.getTimeline" => Self::Timeline,
            "app.bsky.feed.getAuthorFeed" => Self::AuthorFeed,
            "app.bsky.feed.getActorLikes" => Self::ActorLikes,
            THREAD => Self::PostThread,
            "app.bsky.feed.getPosts" => Self::Posts,
            "app.bsky.actor.getProfile" => Self::Profile,
            "app.bsky.actor.getProfiles" => Self::Profiles,
            _ => return None,
        })
    }

    /// The answer with what was written; `None` where nothing belongs.
    pub(super) async fn with(
        self,
        viewer: &Viewer<'_>,
        mut answer: Value,
        query: &str,
        status: StatusCode,
    ) -> Option<Value> {
        if status != StatusCode::OK {
            return missing_thread(viewer, &answer, query).await;
        }
        match self {
            Self::Timeline => {
                let feed = answer.get_mut("feed")?.as_array_mut()?;
                mark_feed(viewer, feed);
                insert_posts(viewer, feed).await;
            }
            Self::AuthorFeed => {
                let feed = answer.get_mut("feed")?.as_array_mut()?;
                mark_feed(viewer, feed);
                if is_own(viewer, feed) {
                    insert_posts(viewer, feed).await;
                }
            }
            Self::ActorLikes => mark_feed(viewer, answer.get_mut("feed")?.as_array_mut()?),
            Self::PostThread => {
                let author = viewer.author().await;
                let thread = answer.get_mut("thread")?;
                insert_replies(viewer, thread, &author).await;
                mark_thread(viewer, thread, 0);
            }
            Self::Posts => {
                let posts = answer.get_mut("posts")?.as_array_mut()?;
                posts.iter_mut().for_each(|post| mark_post(viewer, post));
                insert_asked(viewer, posts, query).await;
            }
            Self::Profile => mark_profile(viewer, &mut answer),
            Self::Profiles => {
                let profiles = answer.get_mut("profiles")?.as_array_mut()?;
                profiles.iter_mut().for_each(|profile| mark_profile(viewer, profile));
            }
        }
        Some(answer)
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the first of a feed is by the caller, or brought there by the caller.
fn is_own(viewer: &Viewer<'_>, feed: &[Value]) -> bool {
    feed.first().is_some_and(|first| match first.get("reason") {
        None => text(first, "/post/author/did") == viewer.did(),
        Some(reason) => text(reason, "/by/did") == viewer.did(),
    })
}

fn mark_feed(viewer: &Viewer<'_>, feed: &mut [Value]) {
    for item in feed {
        if let Some(post) = item.get_mut("post") {
            mark_post(viewer, post);
        }
    }
}

/// The caller's profile as it is now, where the caller is the author; the caller's like, where there is one.
fn mark_post(viewer: &Viewer<'_>, post: &mut Value) {
    let uri = text(post, "/uri").to_owned();
    let is_own = text(post, "/author/did") == viewer.did();
    let Some(post) = post.as_object_mut() else { return };
    if let (Some(profile), Some(author)) =
        (viewer.profile(), post.get_mut("author").and_then(Value::as_object_mut))
        && is_own
    {
        viewer.dress(author, profile);
    }
    let like = viewer.written(LIKE).rfind(|like| text(&like.value, "/subject/uri") == uri);
    if let Some(like) = like
        && mark(post, "like", &like.uri)
    {
        add(post, "likeCount", 1);
    }
}

/// Notes in the viewer's state of something that the caller has this record about it; false where one was known.
fn mark(object: &mut Map<String, Value>, name: &str, uri: &str) -> bool {
    let Some(state) = object.entry("viewer").or_insert_with(|| json!({})).as_object_mut() else {
        return false;
    };
    let is_new = !state.contains_key(name);
    if is_new {
        set(state, name, Some(json!(uri)));
    }
    is_new
}

fn mark_profile(viewer: &Viewer<'_>, profile: &mut Value) {
    let did = text(profile, "/did").to_owned();
    let Some(profile) = profile.as_object_mut() else { return };
    if did == viewer.did() {
        if let Some(record) = viewer.profile() {
            viewer.dress_in_full(profile, record);
        }
        add(profile, "postsCount", viewer.written(POST).count());
        add(profile, "followsCount", viewer.written(FOLLOW).count());
        return;
    }
    let follow = viewer.written(FOLLOW).rfind(|follow| text(&follow.value, "/subject") == did);
    if let Some(follow) = follow
        && mark(profile, "following", &follow.uri)
    {
        add(profile, "followersCount", 1);
    }
}

/// Puts posts where they are by their time; not those that are older than the last of the page.
async fn insert_posts(viewer: &Viewer<'_>, feed: &mut Vec<Value>) {
    let oldest = feed.last().map(|last| text(last, "/post/indexedAt").to_owned()).unwrap_or_default();
    let author = viewer.author().await;
    for post in viewer.written(POST).rev() {
        let written = format_datetime_ms(post.written_us);
        if written <= oldest || feed.iter().any(|item| text(item, "/post/uri") == post.uri) {
            continue;
        }
        let view = json!({ "post": viewer.post(post, &author).await });
        let place = feed.iter().position(|item| *text(item, "/post/indexedAt") < *written);
        feed.insert(place.unwrap_or(feed.len()), view);
    }
}

/// Adds those of the caller's posts that were asked for and are not there.
async fn insert_asked(viewer: &Viewer<'_>, posts: &mut Vec<Value>, query: &str) {
    let asked: Vec<(String, String)> = parse_params(query).unwrap_or_default();
    let author = viewer.author().await;
    for post in viewer.written(POST) {
        let is_asked = asked.iter().any(|(name, uri)| name == "uris" && *uri == post.uri);
        if is_asked && !posts.iter().any(|there| text(there, "/uri") == post.uri) {
            posts.push(viewer.post(post, &author).await);
        }
    }
}

/// Puts replies below what they answer, the oldest first: one may answer another.
async fn insert_replies(viewer: &Viewer<'_>, thread: &mut Value, author: &Value) {
    let root = match thread.pointer("/post/record").map_or("", root_of) {
        "" => text(thread, "/post/uri").to_owned(),
        root => root.to_owned(),
    };
    for post in viewer.written(POST) {
        if root.is_empty() || root_of(&post.value) != root {
            continue;
        }
        let view = thread_post(viewer, post, author).await;
        insert_reply(thread, text(&post.value, "/reply/parent/uri"), view, 0);
    }
}

/// The first post of the thread that a post answers in.
fn root_of(post: &Value) -> &str {
    post.get("reply").and_then(|reply| reply.get("root")).map_or("", |root| text(root, "/uri"))
}

async fn thread_post(viewer: &Viewer<'_>, post: &Written, author: &Value) -> Value {
    json!({ "$type": "app.bsky.feed.defs#threadViewPost", "post": viewer.post(post, author).await })
}

/// Puts a reply below the post `parent`; gives it back where that is not in the thread.
fn insert_reply(thread: &mut Value, parent: &str, reply: Value, depth: usize) -> Option<Value> {
    let is_parent = text(thread, "/post/uri") == parent;
    let Some(post) = thread.as_object_mut().filter(|_| depth < THREAD_DEPTH_MAX) else { return Some(reply) };
    if is_parent {
        let uri = text(&reply, "/post/uri").to_owned();
        let replies = post.entry("replies").or_insert_with(|| json!([])).as_array_mut()?;
        if !replies.iter().any(|there| text(there, "/post/uri") == uri) {
            replies.insert(0, reply);
        }
        return None;
    }
    let mut reply = Some(reply);
    for below in post.get_mut("replies").and_then(Value::as_array_mut).into_iter().flatten() {
        reply = insert_reply(below, parent, reply?, depth + 1);
    }
    reply
}

fn mark_thread(viewer: &Viewer<'_>, thread: &mut Value, depth: usize) {
    let Some(thread) = thread.as_object_mut().filter(|_| depth < THREAD_DEPTH_MAX) else { return };
    if let Some(post) = thread.get_mut("post") {
        mark_post(viewer, post);
    }
    if let Some(parent) = thread.get_mut("parent") {
        mark_thread(viewer, parent, depth + 1);
    }
    for reply in thread.get_mut("replies").and_then(Value::as_array_mut).into_iter().flatten() {
        mark_thread(viewer, reply, depth + 1);
    }
}

/// The thread of a post of the caller's that the app view does not know yet, with what that has of the posts above it.
async fn missing_thread(viewer: &Viewer<'_>, answer: &Value, query: &str) -> Option<Value> {
    let params: Vec<(String, String)> = parse_params(query).ok()?;
    let param = |name: &str| params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let uri = AtUri::try_from(param("uri")?).ok()?;
    if text(answer, "/error") != "NotFound" {
        return None;
    }
    let handle = viewer.caller.account.handle.as_str();
    let is_own = uri.authority() == viewer.did() || uri.authority().eq_ignore_ascii_case(handle);
    let path = format!("/{}/{}", uri.collection()?, uri.record_key()?);
    let post = viewer.written(POST).find(|post| is_own && post.uri.ends_with(&path))?;
    let author = viewer.author().await;
    let mut thread = thread_post(viewer, post, &author).await;
    insert_replies(viewer, &mut thread, &author).await;
    let parent = text(&post.value, "/reply/parent/uri");
    if !parent.is_empty() {
        let height = param("parentHeight").unwrap_or("80");
        let above = viewer.ask(THREAD, &[("uri", parent), ("parentHeight", height), ("depth", "0")]).await;
        let above = above.and_then(|mut above| above.get_mut("thread").map(Value::take));
        set(thread.as_object_mut()?, "parent", above);
    }
    Some(json!({ "thread": thread }))
}
