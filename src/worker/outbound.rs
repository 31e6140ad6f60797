//! Other servers through the runtime's `fetch`, and DNS over HTTPS.
//!
//! Schemes and literal addresses are checked as everywhere; names are the runtime's to resolve, and Cloudflare's
//! network leads to no private address.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::{StreamExt, pin_mut};
use worker::{AbortController, Delay, Fetch, Headers, Method, RequestInit, RequestRedirect};

use crate::host::{BodyLimit, HostError};
use crate::limits::FETCH_TIMEOUT_SECONDS;
use crate::outbound::{FetchPolicy, txt_records_of_json};

/// A resolver that answers in JSON; Cloudflare's own.
const RESOLVER: &str = "https://cloudflare-dns.com/dns-query";

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
        self.policy.check(&url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |error: worker::Error| HostError::Upstream(format!("{host}: {error}"));
        let controller = AbortController::default();
        let signal = controller.signal();
        let exchange = exchange(&url, request, &signal);
        let timeout = Delay::from(Duration::from_secs(FETCH_TIMEOUT_SECONDS));
        pin_mut!(exchange, timeout);
        match select(exchange, timeout).await {
            Either::Left((done, _)) => done.map_err(failed),
            Either::Right(_) => {
                controller.abort();
                Err(HostError::Upstream(format!("{host}: no answer in {FETCH_TIMEOUT_SECONDS} seconds")))
            }
        }
    }

    /// The TXT records of a name, the parts of each put together; none is an empty list.
    pub(super) async fn txt_records(&self, name: &str) -> Result<Vec<String>, HostError> {
        let mut url = url::Url::parse(RESOLVER).map_err(super::upstream)?;
        url.query_pairs_mut().append_pair("name", name).append_pair("type", "TXT");
        let request = http::Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/dns-json")
            .body(Bytes::new())
            .map_err(super::upstream)?;
        let response = self.fetch(request).await?;
        txt_records_of_json(response.body())
            .map_err(|error| HostError::Upstream(format!("DNS of {name}: {error}")))
    }
}

async fn exchange(
    url: &url::Url,
    request: http::Request<Bytes>,
    signal: &worker::AbortSignal,
) -> worker::Result<http::Response<Bytes>> {
    let bytes_max = BodyLimit::of(&request);
    let (parts, body) = request.into_parts();
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
    let mut response = Fetch::Request(request).send_with_signal(signal).await?;
    let mut answer = http::Response::new(Bytes::new());
    *answer.status_mut() = http::StatusCode::from_u16(response.status_code())
        .map_err(|error| worker::Error::RustError(error.to_string()))?;
    for (name, value) in response.headers() {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
        {
            answer.headers_mut().append(name, value);
        }
    }
    if matches!(response.body(), worker::ResponseBody::Empty) {
        return Ok(answer);
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
    *answer.body_mut() = bytes.freeze();
    Ok(answer)
}
