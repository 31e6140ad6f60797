//! In front of the router: what takes long or much takes its share first, and gives it back when the client has it all.
//!
//! An answer that is made in memory is held there until its client has read it. So whoever reads nothing and asks on is
//! refused, before its answers are all that there is room for.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_http::CompressionLevel;
use tower_http::compression::Compression;

use super::connection::Peer;
use super::shares::{BodyShare, Kind, Refused, Share, Shares};
use super::unread;
use crate::host::{BodyRoom, Net};
use crate::limits::{ANSWER_SMALL_BYTES, EXPORT_WAIT_SECONDS};
use crate::xrpc::{Holds, XrpcError, pays};

/// The layer.
pub(super) async fn pass(State(shares): State<Arc<Shares>>, mut request: Request, next: Next) -> Response {
    let Some(Peer(peer)) = request.extensions().get().copied() else { return next.run(request).await };
    let accepted = request.headers().get(header::ACCEPT_ENCODING).cloned();
    request = unread::lend(request);
    let client = shares.client(peer, request.headers());
    let kind = Holds::at(request.method(), request.uri().path()).map(|holds| match holds {
        Holds::Subscription => Kind::Subscription,
        Holds::Repo => Kind::Export,
        Holds::Blob => Kind::Blob,
        Holds::Computation => Kind::Computation,
        Holds::Exchange => Kind::Exchange,
    });
    let mut long = None;
    if let Some(kind) = kind {
        match shares.take(kind, client, 1) {
            Ok(share) => {
                // What goes on when the request is answered, as a subscription does, keeps it.
                let share = Arc::new(share);
                request.extensions_mut().insert(Arc::clone(&share));
                long = Some(share);
            }
            Err(refused) => return refuse(&shares, kind, refused),
        }
    }
    request.extensions_mut().insert(client);
    if !request.body().is_end_stream() {
        let room: Arc<dyn BodyRoom> = Arc::new(BodyShare::new(&shares, client));
        request.extensions_mut().insert(room);
    }
    let response = match kind {
        // A computation stays in the queue when its client leaves, and so does the share.
        Some(Kind::Computation) => {
            let (share, answered) = (long.take(), next.run(request));
            let answered = tokio::spawn(async move {
                let response = answered.await;
                drop(share);
                response
            });
            answered.await.unwrap_or_else(|error| XrpcError::internal(error).into_response())
        }
        _ => next.run(request).await,
    };
    let mut response = hold(&shares, client, response).await;
    if let Some(share) = long {
        response = response.map(|body| Body::new(body.map_frame(move |frame| held_by(&share, frame))));
    }
    match accepted {
        Some(accepted) if pays(response.headers(), response.body()) => compress(accepted, response).await,
        _ => response,
    }
}

/// The answer in a coding that the client takes.
async fn compress(accepted: HeaderValue, response: Response) -> Response {
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert(header::ACCEPT_ENCODING, accepted);
    let mut response = Some(response);
    let answered = tower::service_fn(|_: Request| {
        // It is asked once.
        std::future::ready(Ok::<_, Infallible>(response.take().unwrap_or_default()))
    });
    let coded = Compression::new(answered)
        .quality(CompressionLevel::Fastest)
        .compress_when(|_, _, _: &_, _: &_| true);
    match coded.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// The frame; the share is given back with the body that calls this.
fn held_by<T>(_share: &Arc<Share>, frame: T) -> T {
    frame
}

/// Counts an answer that is in memory for as long as it is there.
async fn hold(shares: &Arc<Shares>, client: Net, response: Response) -> Response {
    // Only what is in memory as a whole knows its size beforehand.
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes > ANSWER_SMALL_BYTES) else { return response };
    let share = match shares.take(Kind::AnswerBytes, client, bytes) {
        Ok(share) => share,
        Err(refused) => return refuse(shares, Kind::AnswerBytes, refused),
    };
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => {
            let held = Held { bytes: body.to_bytes(), _share: share };
            Response::from_parts(head, Body::from(Bytes::from_owner(held)))
        }
        Err(error) => XrpcError::internal(error).into_response(),
    }
}

/// Bytes of an answer; they are dropped when the kernel has taken them all.
struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn refuse(shares: &Shares, kind: Kind, refused: Refused) -> Response {
    shares.note(kind, refused);
    let what = kind.name();
    let error = match refused {
        Refused::Yours(_) => {
            let why = format!("there are too many {what} of your address at once: finish some of them first");
            XrpcError::named("RateLimitExceeded", why).with_status(StatusCode::TOO_MANY_REQUESTS)
        }
        Refused::All => {
            let why = format!("there are too many {what} at once: try again in a moment");
            XrpcError::named("NotEnoughResources", why).with_status(StatusCode::SERVICE_UNAVAILABLE)
        }
    };
    let mut response = error.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(EXPORT_WAIT_SECONDS));
    response
}
