//! An exchange whose bodies are streams, for calls that go through this server to another: bounded in time and bytes, and
//! never in memory as a whole.
//!
//! Three times bound it: until the answer's head, counted from the end of the question, for its client may be slow; between
//! two parts of the answer; and for all of it, or a byte now and then would hold a socket for ever.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use futures::{StreamExt as _, stream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{Fetcher, reason};
use crate::host::{HostError, ToOperatorsOrigin};
use crate::limits::{
    EXCHANGE_ANSWER_SECONDS, EXCHANGE_BODY_BYTES_MAX, EXCHANGE_SECONDS, FETCH_TIMEOUT_SECONDS,
};

/// The longest wait for the head of an answer, and for each part of it.
const PART_WITHIN: Duration = Duration::from_secs(FETCH_TIMEOUT_SECONDS);
/// All of an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(EXCHANGE_ANSWER_SECONDS);
/// Question and answer.
const ALL_WITHIN: Duration = Duration::from_secs(EXCHANGE_SECONDS);

impl Fetcher {
    /// As [`crate::host::Host::exchange`] promises.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`]; what breaks an answer later is an error of its body.
    pub async fn exchange(&self, request: http::Request<Body>) -> Result<http::Response<Body>, HostError> {
        let to_operators = ToOperatorsOrigin::is(&request);
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())
            .map_err(|error| HostError::Upstream(format!("the URL can't be used: {error}")))?;
        let client = if self.policy.check(&url, to_operators)? { &self.trusted } else { &self.checked };
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut question = reqwest::Request::new(head.method, url);
        *question.headers_mut() = head.headers;
        *question.timeout_mut() = Some(ALL_WITHIN);
        let (asking, asked) = oneshot::channel::<()>();
        if body.is_end_stream() {
            drop(asking);
        } else {
            // The sender goes with the body, when all of it has gone out or nobody wants the rest.
            let parts = body.into_data_stream().map(move |part| {
                let _ = &asking;
                part
            });
            *question.body_mut() = Some(reqwest::Body::wrap_stream(parts));
        }
        let late = async {
            let _ = asked.await;
            tokio::time::sleep(PART_WITHIN).await;
        };
        let answer = tokio::select! {
            answer = client.execute(question) => answer,
            () = late => return Err(HostError::Upstream(format!("{host}: no answer in time"))),
        };
        let answer = answer.map_err(|error| HostError::Upstream(format!("{host}: {}", reason(&error))))?;
        if answer.content_length().is_some_and(|bytes| bytes > EXCHANGE_BODY_BYTES_MAX) {
            return Err(too_much(&host));
        }
        let mut response = http::Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response.map(|()| Body::from_stream(bounded(host, answer).fuse())))
    }
}

/// The body of an answer, to its end or its bounds.
fn bounded(
    host: String,
    answer: reqwest::Response,
) -> impl futures::Stream<Item = Result<bytes::Bytes, HostError>> + Send {
    let until = Instant::now() + ANSWER_WITHIN;
    stream::unfold(Some((answer, 0_u64)), move |coming| {
        let host = host.clone();
        async move {
            let (mut answer, bytes) = coming?;
            let failed = |why: String| Some((Err(HostError::Upstream(format!("{host}: {why}"))), None));
            match timeout_at(until.min(Instant::now() + PART_WITHIN), answer.chunk()).await {
                Ok(Ok(Some(part))) => {
                    let bytes = bytes + part.len() as u64;
                    if bytes > EXCHANGE_BODY_BYTES_MAX {
                        return Some((Err(too_much(&host)), None));
                    }
                    Some((Ok(part), Some((answer, bytes))))
                }
                Ok(Ok(None)) => None,
                Ok(Err(error)) => failed(reason(&error)),
                Err(_) => failed("the answer comes too slowly".to_owned()),
            }
        }
    })
}

fn too_much(host: &str) -> HostError {
    HostError::Upstream(format!("{host}: the answer is over {EXCHANGE_BODY_BYTES_MAX} bytes"))
}
