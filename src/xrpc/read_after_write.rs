//! What an account wrote a moment ago, in answers of an app view that has not seen it yet.
//!
//! An app view says how far it knows the caller's repo (`atproto-repo-rev`). What the repo has had since then is put into the
//! answers that clients look at: posts into feeds and threads, the profile where it is shown, likes and follows as marks on
//! what they are of. Shapes are made as app views make them ([`view`]), and put where they belong by [`munge`].
//!
//! Invariants
//! - Only answers of the app view that the operator chose: nobody else has this server read what they send.
//! - An answer that can't be read, is too large, or comes when many are read already, goes on as it came.
//! - Nothing of the repo is shown that is not public: only posts, likes, follows and the profile are looked at.

mod munge;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_compression::futures::bufread::GzipDecoder;
use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures::{AsyncReadExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use self::munge::Answer;
use self::view::Viewer;
use super::App;
use super::upstream::{REPO_REV, is_json, query_of};
use crate::account::SignServiceAuth;
use crate::app::Target;
use crate::auth::AccountCaller;
use crate::data_model::cbor_to_json;
use crate::directory::limits::SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX;
use crate::host::ToOperatorsOrigin;
use crate::limits::{READ_AFTER_WRITE_BYTES_MAX, READ_AFTER_WRITE_MAX};
use crate::repo::{RecentRecord, RecordsSince};
use crate::syntax::{AtUri, Nsid, Tid};

/// How long ago the oldest of what was put in was written, in milliseconds.
const LAG: HeaderName = HeaderName::from_static("atproto-upstream-lag");

/// Answers that are read now.
static READING: AtomicUsize = AtomicUsize::new(0);

/// Whether answers of this method are looked at.
pub(super) fn concerns(nsid: &str) -> bool {
    Answer::of(nsid).is_some()
}

/// The coding that such an answer is asked for in: one that the client takes and that is known here.
pub(super) fn coding(accepted: Option<&HeaderValue>) -> HeaderValue {
    let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes_gzip =
        accepted.split(',').any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip");
    HeaderValue::from_static(if takes_gzip { "gzip" } else { "identity" })
}

/// A record of the caller's that the app view does not know yet.
pub(super) struct Written {
    uri: String,
    cid: String,
    collection: &'static str,
    written_us: i64,
    value: Value,
}

/// One of the places in which answers are read.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        let taken = READING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reading| {
            (reading < READ_AFTER_WRITE_MAX).then_some(reading + 1)
        });
        taken.is_ok().then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        READING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer of `target`, with what the caller wrote since.
pub(super) async fn apply(
    app: &Arc<App>,
    caller: &AccountCaller,
    target: &Target,
    nsid: &str,
    query: &str,
    mut response: Response,
) -> Response {
    let is_answer = response.status() == StatusCode::OK || munge::may_be_missing(nsid, response.status());
    let rev = response.headers().get(REPO_REV).and_then(|rev| rev.to_str().ok());
    let Some(rev) = rev.and_then(|rev| Tid::try_from(rev).ok()) else { return response };
    let (Some(kind), Some(_turn)) = (Answer::of(nsid), Turn::take()) else { return response };
    if !is_answer || !is_json(response.headers()) {
        return response;
    }
    let written = match written_since(app, caller, rev).await {
        Ok(written) if written.is_empty() => return response,
        Ok(written) => written,
        Err(error) => {
            tracing::warn!(%error, "what an account wrote can't be put into an answer");
            return response;
        }
    };
    let body = std::mem::take(response.body_mut()).into_data_stream();
    let (whole, rest) = gather(body).await;
    let answer = match rest {
        None => decoded(response.headers().get(header::CONTENT_ENCODING), &whole).await,
        Some(_) => None,
    };
    let viewer = Viewer { app, caller, target, written: &written };
    let status = response.status();
    let munged = match answer.and_then(|answer| serde_json::from_slice::<Value>(&answer).ok()) {
        Some(answer) => kind.with(&viewer, answer, query, status).await,
        None => None,
    };
    let Some(munged) = munged else {
        let whole = futures::stream::iter([Ok(whole)]);
        *response.body_mut() = match rest {
            Some(rest) => Body::from_stream(whole.chain(rest)),
            None => Body::from_stream(whole),
        };
        return response;
    };
    let oldest_us = written.iter().map(|record| record.written_us).min().unwrap_or(0);
    let lag_ms = (app.host.now_us() - oldest_us).max(0) / 1_000;
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(LAG, HeaderValue::from(lag_ms));
    *response.body_mut() = Body::from(munged.to_string());
    response
}

/// What the repo has had since this rev.
async fn written_since(
    app: &App,
    caller: &AccountCaller,
    rev: Tid,
) -> Result<Vec<Written>, crate::app::Error> {
    let did = &caller.account.did;
    let mut written = Vec::new();
    for RecentRecord { collection, rkey, cid, rev, block } in app.account(did, RecordsSince { rev }).await? {
        let Some(collection) = view::COLLECTIONS.into_iter().find(|known| *known == collection.as_str())
        else {
            continue;
        };
        let mut json = Vec::new();
        let Ok(nsid) = Nsid::try_from(collection) else { continue };
        if cbor_to_json(&block, &mut json).is_ok()
            && let Ok(value) = serde_json::from_slice(&json)
        {
            let uri = AtUri::record(did, &nsid, &rkey).into_string();
            let (cid, written_us) = (cid.to_string(), rev.micros());
            written.push(Written { uri, cid, collection, written_us, value });
        }
    }
    Ok(written)
}

/// A body as far as it is read into memory, and what comes after that.
async fn gather(
    mut body: BodyDataStream,
) -> (Bytes, Option<impl futures::Stream<Item = Result<Bytes, axum::Error>>>) {
    let mut whole = Vec::new();
    while let Some(part) = body.next().await {
        match part {
            Ok(part) if whole.len() + part.len() <= READ_AFTER_WRITE_BYTES_MAX => {
                whole.extend_from_slice(&part)
            }
            other => return (whole.into(), Some(futures::stream::iter([other]).chain(body))),
        }
    }
    (whole.into(), None)
}

/// A body that came in a coding; `None` when it is not one that is known, or comes to too much.
async fn decoded(coding: Option<&HeaderValue>, body: &Bytes) -> Option<Bytes> {
    match coding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Some(body.clone()),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let decoder = GzipDecoder::new(body.as_ref());
            let most = READ_AFTER_WRITE_BYTES_MAX as u64 + 1;
            decoder.take(most).read_to_end(&mut plain).await.ok()?;
            (plain.len() <= READ_AFTER_WRITE_BYTES_MAX).then(|| plain.into())
        }
        Some(_) => None,
    }
}

impl Viewer<'_> {
    /// Asks the app view itself, in the caller's name.
    async fn ask(&self, nsid: &str, params: &[(&str, &str)]) -> Option<Value> {
        let (app, did) = (self.app, &self.caller.account.did);
        let now_seconds = app.host.now_us().div_euclid(1_000_000);
        let sign = SignServiceAuth {
            aud: self.target.did.as_str().to_owned(),
            lxm: Nsid::try_from(nsid).ok(),
            exp: now_seconds.saturating_add(SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX),
        };
        let token = app.account(did, sign).await.ok()?;
        let question = http::Request::get(format!("{}/xrpc/{nsid}?{}", self.target.url, query_of(params)))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .extension(ToOperatorsOrigin);
        let answer = app.host.fetch(question.body(Bytes::new()).ok()?).await.ok()?;
        if answer.status().is_success() { serde_json::from_slice(answer.body()).ok() } else { None }
    }
}
