//! What outbound calls may reach: one rule for all hosts.

use std::net::IpAddr;

use serde::Deserialize;
use url::Url;

use crate::host::HostError;
use crate::limits::DNS_TXT_RECORDS_MAX;
use crate::syntax::is_localhost;

pub mod address;

/// What outbound calls may reach.
#[derive(Debug, Clone, Default)]
pub struct FetchPolicy {
    /// Whether loopback counts as reachable, by plain http too.
    pub allow_loopback: bool,
    /// Origins (`https://plc.directory`) that are reached whatever their address is, where the operator's settings lead to
    /// them and not a name that a stranger gave.
    pub trusted_origins: Vec<String>,
}

impl FetchPolicy {
    /// Checks scheme and literal address; what a name resolves to is for the caller to check. Whether the origin is a
    /// trusted one, of which nothing is checked.
    ///
    /// # Errors
    /// [`HostError::Upstream`] when it may not be reached.
    pub fn check(&self, url: &Url, to_operators_origin: bool) -> Result<bool, HostError> {
        let trusted =
            to_operators_origin && self.trusted_origins.contains(&url.origin().ascii_serialization());
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

/// The numbers of records in the DNS: addresses of both kinds, and texts.
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_TXT: u16 = 16;

/// What the DNS says that there is, and that there is no such name. All else is trouble of those who were asked.
const NO_ERROR: u16 = 0;
const NO_NAME: u16 = 3;

/// An answer in `application/dns-json`.
#[derive(Debug, Deserialize)]
pub struct DnsAnswer {
    #[serde(rename = "Status")]
    status: u16,
    #[serde(default, rename = "Answer")]
    answer: Vec<DnsRecord>,
}

#[derive(Debug, Deserialize)]
struct DnsRecord {
    #[serde(rename = "type")]
    kind: u16,
    data: String,
}

impl DnsAnswer {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or says that the DNS could not be asked.
    pub fn of_json(body: &[u8]) -> Result<Self, DnsError> {
        let answer: Self = serde_json::from_slice(body)?;
        match answer.status {
            NO_ERROR | NO_NAME => Ok(answer),
            status => Err(DnsError::Failed(status)),
        }
    }

    /// Its TXT records, the parts of each put together.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let texts = self.answer.iter().filter(|record| record.kind == TYPE_TXT);
        texts.map(|record| unquote(&record.data)).take(DNS_TXT_RECORDS_MAX).collect()
    }

    /// Whether there is an address in it.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.answer.iter().any(|record| matches!(record.kind, TYPE_A | TYPE_AAAA))
    }
}

/// The DNS was not heard.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsError {
    /// What came is no answer of it.
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
    /// Whoever answers for the name could not be asked, or refused: the status of RFC 1035.
    #[error("status {0}")]
    Failed(u16),
}

/// `"one" "two"` as `onetwo`: resolvers write records as zone files do.
fn unquote(data: &str) -> String {
    if !data.starts_with('"') {
        return data.to_owned();
    }
    let (mut text, mut quoted, mut escaped) = (String::new(), false, false);
    for character in data.chars() {
        match character {
            _ if escaped => {
                text.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => text.push(character),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_of_dns_answers() {
        let body = br#"{"Status":0,"Answer":[
            {"name":"_atproto.example.com","type":5,"TTL":300,"data":"elsewhere.example.com."},
            {"name":"_atproto.example.com","type":16,"TTL":300,"data":"\"did=did:plc:\" \"abc\""},
            {"name":"_atproto.example.com","type":16,"TTL":300,"data":"\"a \\\" quote\""},
            {"name":"_atproto.example.com","type":16,"TTL":300,"data":"bare"}]}"#;
        let texts = |body: &[u8]| DnsAnswer::of_json(body).map(|answer| answer.texts());
        assert_eq!(texts(body).unwrap(), ["did=did:plc:abc", "a \" quote", "bare"]);
        assert_eq!(texts(br#"{"Status":3}"#).unwrap(), [""; 0]);
        assert!(texts(b"<html>").is_err());
    }

    /// What breaks: a name server that is down for an hour costs its accounts their handles.
    #[test]
    fn a_dns_that_could_not_be_asked_is_not_one_that_knows_no_such_name() {
        let has_address = |body: &[u8]| DnsAnswer::of_json(body).map(|answer| answer.has_address()).ok();
        assert_eq!(has_address(br#"{"Status":2}"#), None);
        assert_eq!(has_address(br#"{"Status":5}"#), None);
        assert_eq!(has_address(br#"{"Status":3}"#), Some(false));
        let record = |kind: u16| format!(r#"{{"Status":0,"Answer":[{{"type":{kind},"data":"192.0.2.1"}}]}}"#);
        let found = [1, 28, 5, 16].map(|kind| has_address(record(kind).as_bytes()));
        assert_eq!(found, [Some(true), Some(true), Some(false), Some(false)]);
    }
}
