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

/// The number of TXT records in the DNS.
const TYPE_TXT: u16 = 16;

#[derive(Deserialize)]
struct DnsAnswer {
    #[serde(default, rename = "Answer")]
    answer: Vec<DnsRecord>,
}

#[derive(Deserialize)]
struct DnsRecord {
    #[serde(rename = "type")]
    kind: u16,
    data: String,
}

/// The TXT records of an answer in `application/dns-json`, the parts of each put together.
///
/// # Errors
/// When it is no such answer.
pub fn txt_records_of_json(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let answer: DnsAnswer = serde_json::from_slice(body)?;
    let texts = answer.answer.iter().filter(|record| record.kind == TYPE_TXT);
    Ok(texts.map(|record| unquote(&record.data)).take(DNS_TXT_RECORDS_MAX).collect())
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
        assert_eq!(txt_records_of_json(body).unwrap(), ["did=did:plc:abc", "a \" quote", "bare"]);
        assert_eq!(txt_records_of_json(br#"{"Status":3}"#).unwrap(), [""; 0]);
        assert!(txt_records_of_json(b"<html>").is_err());
    }
}
