//! Other servers through the runtime's `fetch`, and DNS over HTTPS.
//!
//! Schemes and literal addresses are checked as everywhere; names are the runtime's to resolve, and Cloudflare's
//! network leads to no private address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::{StreamExt, pin_mut, stream};
use worker::send::SendFuture;
use worker::{AbortController, Delay, Fetch, Headers, Method, RequestInit, RequestRedirect};

use crate::host::{BodyLimit, BodyRoom, HostError, ToOperatorsOrigin};
use crate::limits::{EXCHANGE_ANSWER_SECONDS, EXCHANGE_BODY_BYTES_MAX, FETCH_TIMEOUT_SECONDS};
use crate::outbound::{DnsAnswer, FetchPolicy};

/// A resolver that answers in JSON; Cloudflare's own.
const RESOLVER: &str = "https://cloudflare-dns.com/dns-query";

/// The longest wait for the head of an answer that goes on to a client, and for each part of it.
const PART_WITHIN: Duration = Duration::from_secs(FETCH_TIMEOUT_SECONDS);
/// All of such an answer.
const ANSWER_WITHIN_US: i64 = EXCHANGE_ANSWER_SECONDS as i64 * 1_000_000;

pub(super) struct Outbound {
    policy: FetchPolicy,
}

impl Outbound {
    pub(super) fn new(policy: FetchPolicy) -> Self {
        Self { policy }
    }

    /// One exchange, as [`crate::host::Host::fetch`] promises.
    pub(super) async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HostError> {
        let url = url::Url::parse(&request.uri().to_string())
            .map_err(|error| HostError::Upstream(format!("the URL can't be used: {error}")))?;
        self.policy.check(&url, ToOperatorsOrigin::is(&request))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |error: worker::Error| HostError::Upstream(format!("{host}: {error}"));
        let (_exchange, signal) = Exchange::begin();
        let exchange = whole(&url, request, &signal);
        let timeout = Delay::from(Duration::from_secs(FETCH_TIMEOUT_SECONDS));
        pin_mut!(exchange, timeout);
        match select(exchange, timeout).await {
            Either::Left((done, _)) => done.map_err(failed),
            Either::Right(_) => {
                Err(HostError::Upstream(format!("{host}: no answer in {FETCH_TIMEOUT_SECONDS} seconds")))
            }
        }
    }

    /// The same with an answer that is a stream, as [`crate::host::Host::exchange`] promises. The question is held in memory:
    /// the runtime would send it in pieces, without its length, which not every server takes.
    pub(super) async fn exchange(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, HostError> {
        let to_operators = ToOperatorsOrigin::is(&request);
        let (mut parts, body) = request.into_parts();
        let url = url::Url::parse(&parts.uri.to_string())
            .map_err(|error| HostError::Upstream(format!("the URL can't be used: {error}")))?;
        self.policy.check(&url, to_operators)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let body = gathered(body, parts.extensions.get().cloned()).await?;
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let (exchange, signal) = Exchange::begin();
        let answer = send(&url, &parts, &body, &signal);
        let timeout = Delay::from(PART_WITHIN);
        pin_mut!(answer, timeout);
        let (mut answer, response) = match select(answer, timeout).await {
            Either::Left((answer, _)) => {
                answer.map_err(|error| HostError::Upstream(format!("{host}: {error}")))?
            }
            Either::Right(_) => return Err(HostError::Upstream(format!("{host}: no answer in time"))),
        };
        // The runtime has decoded it.
        if answer.headers_mut().remove(http::header::CONTENT_ENCODING).is_some() {
            answer.headers_mut().remove(http::header::CONTENT_LENGTH);
        }
        let body = match response.body() {
            worker::ResponseBody::Stream(stream) => {
                bounded(host, worker::Body::new(stream.clone()), exchange)
            }
            worker::ResponseBody::Body(bytes) => Body::from(bytes.clone()),
            worker::ResponseBody::Empty => Body::empty(),
        };
        Ok(answer.map(|()| body))
    }

    /// The TXT records of a name, the parts of each put together; none is an empty list.
    pub(super) async fn txt_records(&self, name: &str) -> Result<Vec<String>, HostError> {
        Ok(self.dns(name, "TXT").await?.texts())
    }

    /// Whether a name has an address of either kind.
    pub(super) async fn has_address(&self, name: &str) -> Result<bool, HostError> {
        Ok(self.dns(name, "A").await?.has_address() || self.dns(name, "AAAA").await?.has_address())
    }

    async fn dns(&self, name: &str, kind: &str) -> Result<DnsAnswer, HostError> {
        let mut url = url::Url::parse(RESOLVER).map_err(super::upstream)?;
        url.query_pairs_mut().append_pair("name", name).append_pair("type", kind);
        let request = http::Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/dns-json")
            .body(Bytes::new())
            .map_err(super::upstream)?;
        let response = self.fetch(request).await?;
        DnsAnswer::of_json(response.body())
            .map_err(|error| HostError::Upstream(format!("DNS of {name}: {error}")))
    }
}

/// An exchange with another server; ended when nobody waits for it any more.
struct Exchange(Option<AbortController>);

impl Exchange {
    /// With what its request is sent with.
    fn begin() -> (Self, worker::AbortSignal) {
        let controller = AbortController::default();
        let signal = controller.signal();
        (Self(Some(controller)), signal)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

/// One exchange, the answer read whole.
async fn whole(
    url: &url::Url,
    request: http::Request<Bytes>,
    signal: &worker::AbortSignal,
) -> worker::Result<http::Response<Bytes>> {
    let bytes_max = BodyLimit::of(&request);
    let (parts, body) = request.into_parts();
    let (answer, mut response) = send(url, &parts, &body, signal).await?;
    if matches!(response.body(), worker::ResponseBody::Empty) {
        return Ok(answer.map(|()| Bytes::new()));
    }
    let mut bytes = BytesMut::new();
    let mut chunks = response.stream()?;
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > bytes_max {
            let over = format!("the answer is over {bytes_max} bytes");
            return Err(worker::Error::RustError(over));
        }
    }
    Ok(answer.map(|()| bytes.freeze()))
}

/// Sends a question; the answer's head, and the answer as the runtime has it.
async fn send(
    url: &url::Url,
    parts: &http::request::Parts,
    body: &Bytes,
    signal: &worker::AbortSignal,
) -> worker::Result<(http::Response<()>, worker::Response)> {
    let headers = Headers::new();
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            headers.append(name.as_str(), value)?;
        }
    }
    headers.set("user-agent", concat!("zap/", env!("CARGO_PKG_VERSION")))?;
    let mut init = RequestInit::new();
    init.with_method(Method::from(parts.method.as_str().to_owned())).with_headers(headers);
    init.with_redirect(RequestRedirect::Manual);
    if !body.is_empty() {
        init.with_body(Some(worker::js_sys::Uint8Array::from(body.as_ref()).into()));
    }
    let request = worker::Request::new_with_init(url.as_str(), &init)?;
    let response = Fetch::Request(request).send_with_signal(signal).await?;
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(response.status_code())
        .map_err(|error| worker::Error::RustError(error.to_string()))?;
    for (name, value) in response.headers() {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
        {
            answer.headers_mut().append(name, value);
        }
    }
    Ok((answer, response))
}

/// A question's body, for as much as there is room.
async fn gathered(body: Body, room: Option<Arc<dyn BodyRoom>>) -> Result<Bytes, HostError> {
    let mut bytes = BytesMut::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| HostError::Upstream("the question ended early".to_owned()))?;
        if let Some(room) = &room {
            room.take(chunk.len()).map_err(|_| HostError::Busy)?;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The body of an answer as it comes, to its end or its bounds.
///
/// Tricky bit: the runtime ends the answer to a client in order, also when this breaks. So that nobody takes a part for the
/// whole, the last byte of what came is held back until there is more, or the end.
fn bounded(host: String, body: worker::Body, exchange: Exchange) -> Body {
    let until_us = super::now_us() + ANSWER_WITHIN_US;
    let parts = stream::unfold(Some((body, exchange, 0_u64)), move |coming| {
        let host = host.clone();
        SendFuture::new(async move {
            let (mut body, exchange, bytes) = coming?;
            let failed = |why: &str| Some((Err(HostError::Upstream(format!("{host}: {why}"))), None));
            let left_us = (until_us - super::now_us()).max(0).unsigned_abs();
            let part = body.next();
            let late = Delay::from(Duration::from_micros(left_us).min(PART_WITHIN));
            pin_mut!(part, late);
            let part = match select(part, late).await {
                Either::Left((part, _)) => part,
                Either::Right(_) => return failed("the answer comes too slowly"),
            };
            match part {
                Some(Ok(part)) => {
                    let bytes = bytes + part.len() as u64;
                    if bytes > EXCHANGE_BODY_BYTES_MAX {
                        return failed("the answer is too large");
                    }
                    Some((Ok(part), Some((body, exchange, bytes))))
                }
                Some(Err(_)) => failed("the answer broke off"),
                None => None,
            }
        })
    });
    let parts = stream::unfold(Some((Box::pin(parts), Bytes::new())), |coming| async move {
        let (mut parts, held) = coming?;
        match parts.next().await {
            Some(Ok(part)) if part.is_empty() => Some((Ok(part), Some((parts, held)))),
            Some(Ok(mut part)) => {
                let last = part.split_off(part.len() - 1);
                let part = if held.is_empty() { part } else { Bytes::from([held, part].concat()) };
                Some((Ok(part), Some((parts, last))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Ok(held), None)),
        }
    });
    // Who compresses it asks once more after its end.
    Body::from_stream(parts.fuse())
}
