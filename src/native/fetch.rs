//! Outbound HTTP that strangers may cause: DID documents, handle checks, other servers.
//!
//! A stranger chooses the name, so the name may lead to the machine's own network. Every address is checked when the
//! connection is made, not before (a name can answer differently the second time): the resolver given to the client
//! drops what is not public, and literal addresses, which no resolver sees, are checked from the URL. Redirects are
//! not followed, so nothing else is connected to. `https` always, except to loopback where that is allowed.
//!
//! Origins that the operator configured (the PLC directory) are trusted and reached without these checks, by requests that
//! follow the configuration ([`ToOperatorsOrigin`]): a did:web may name the same origin.

mod exchange;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::dns::Dns;
use crate::host::{BodyLimit, HostError, ToOperatorsOrigin};
use crate::limits::FETCH_TIMEOUT_SECONDS;
use crate::outbound::{FetchPolicy, address};
use crate::syntax::is_localhost;

/// The outbound HTTP client.
pub struct Fetcher {
    policy: FetchPolicy,
    checked: reqwest::Client,
    trusted: reqwest::Client,
    dns: Arc<Dns>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A client with this policy.
    ///
    /// # Errors
    /// When TLS can't be set up at all.
    pub fn new(policy: FetchPolicy) -> Result<Self, HostError> {
        let dns = Arc::new(Dns::new());
        let resolver =
            Arc::new(PublicResolver { allow_loopback: policy.allow_loopback, dns: Arc::clone(&dns) });
        let timeout = Duration::from_secs(FETCH_TIMEOUT_SECONDS);
        let checked = client(|builder| builder.timeout(timeout).dns_resolver(Arc::clone(&resolver)))?;
        let trusted = client(|builder| builder.timeout(timeout))?;
        Ok(Self { policy, checked, trusted, dns })
    }

    /// What names are looked up with.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// One exchange. The body of the answer is read whole, up to its [`BodyLimit`].
    ///
    /// # Errors
    /// [`HostError::Upstream`] when the address is not allowed, the other side can't be reached or is too slow, or
    /// sends too much. An answer of any status is an answer.
    pub async fn fetch(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HostError> {
        let (bytes_max, to_operators) = (BodyLimit::of(&request), ToOperatorsOrigin::is(&request));
        let request = reqwest::Request::try_from(request)
            .map_err(|error| HostError::Upstream(format!("the URL can't be used: {}", reason(&error))))?;
        let client =
            if self.policy.check(request.url(), to_operators)? { &self.trusted } else { &self.checked };
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let failed = |error: reqwest::Error| HostError::Upstream(format!("{host}: {}", reason(&error)));
        let mut answer = client.execute(request).await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > bytes_max {
                return Err(HostError::Upstream(format!("{host}: the answer is over {bytes_max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// Makes ring the process's TLS provider. Any client needs this once; more often is harmless.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that somebody else installed one first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client without redirects and proxies, further set up by `configure`.
pub fn client(
    configure: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, HostError> {
    install_tls_provider();
    let builder = || {
        configure(
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent(concat!("zap/", env!("CARGO_PKG_VERSION"))),
        )
    };
    builder().build().or_else(|error| {
        // A machine without certificate roots can still serve; it can reach nobody by https.
        tracing::warn!(reason = reason(&error), "no certificate roots were found: outbound https will fail");
        let none: Vec<reqwest::Certificate> = Vec::new();
        builder()
            .tls_certs_only(none)
            .build()
            .map_err(|error| HostError::Upstream(format!("TLS can't be set up: {}", reason(&error))))
    })
}

/// DNS without the addresses that strangers must not reach.
struct PublicResolver {
    allow_loopback: bool,
    dns: Arc<Dns>,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow_loopback, dns) = (self.allow_loopback, Arc::clone(&self.dns));
        Box::pin(async move {
            if is_localhost(name.as_str()) {
                // Not asked of DNS, which could say anything.
                let addresses: Vec<SocketAddr> = if allow_loopback {
                    vec![([127, 0, 0, 1], 0).into(), (std::net::Ipv6Addr::LOCALHOST, 0).into()]
                } else {
                    return Err("the address is not a public one".into());
                };
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let found = dns.addresses(name.as_str()).await;
            let allowed = allowed(found.into_iter().map(|ip| SocketAddr::new(ip, 0)), allow_loopback)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Those that may be connected to. A name that is not known gets the words of one that is known in here alone: the
/// answer to a stranger must not tell which names this network has.
fn allowed(
    found: impl Iterator<Item = SocketAddr>,
    allow_loopback: bool,
) -> Result<Vec<SocketAddr>, &'static str> {
    let is_allowed = |ip: &IpAddr| address::is_public(ip) || (allow_loopback && address::is_loopback(ip));
    let allowed: Vec<SocketAddr> = found.filter(|found| is_allowed(&found.ip())).collect();
    if allowed.is_empty() { Err("the name has no public address") } else { Ok(allowed) }
}

/// The innermost cause of a failure, without the URL, which may carry what others must not read.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
