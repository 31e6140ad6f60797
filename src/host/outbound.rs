//! What outbound calls may reach: one rule for all hosts.

use std::net::IpAddr;

use url::Url;

use super::HostError;

pub mod address;

/// What outbound calls may reach.
#[derive(Debug, Clone, Default)]
pub struct FetchPolicy {
    /// Whether loopback counts as reachable, by plain http too.
    pub allow_loopback: bool,
    /// Origins (`https://plc.directory`) that are reached whatever their address is.
    pub trusted_origins: Vec<String>,
}

impl FetchPolicy {
    /// Checks scheme and literal address; what a name resolves to is for the caller to check. Whether the origin is a
    /// trusted one, of which nothing is checked.
    ///
    /// # Errors
    /// [`HostError::Upstream`] when it may not be reached.
    pub fn check(&self, url: &Url) -> Result<bool, HostError> {
        let trusted = self.trusted_origins.contains(&url.origin().ascii_serialization());
        if trusted && url.username().is_empty() {
            return Ok(true);
        }
        check_url(url, self.allow_loopback)?;
        Ok(false)
    }
}

fn check_url(url: &Url, allow_loopback: bool) -> Result<(), HostError> {
    let host = url.host_str().unwrap_or_default();
    let refuse = |why: &str| Err(HostError::Upstream(format!("{host}: {why}")));
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let local = allow_loopback && literal.map_or(is_localhost(host), |ip| address::is_loopback(&ip));
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => return refuse("plain http is not allowed"),
        _ => return refuse("only https is allowed"),
    }
    match literal {
        Some(ip) if !local && !address::is_public(&ip) => refuse("the address is not a public one"),
        _ => Ok(()),
    }
}

/// Names that mean this machine by definition (RFC 6761), so plain http to them stays on it.
pub fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}
