//! Texts of settings into values. Each returns what is wrong as half a sentence, which the caller completes.

use std::time::Duration;

use crate::rate_limit::{Rate, Rates};
use crate::syntax::Did;
use crate::vault::MasterKey;

/// More proxies than anybody puts in front of a server.
const HOPS_MAX: usize = 16;
/// The longest window that is counted in.
const WINDOW_SECONDS_MAX: u32 = 30 * 86_400;

/// `72h`, `1h30m`, `45s`, `7d`, `2w`; a bare number is refused, since nobody can tell its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it as 72h, 1h30m or 7d");
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let unit = after.chars().next().ok_or_else(wrong)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total = number.checked_mul(seconds).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after.get(unit.len_utf8()..).unwrap_or_default();
    }
    Ok(Duration::from_secs(total))
}

/// `104857600`, `5MiB`, `5 MB`, `1GiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number of bytes; write it as 5242880 or 5MiB");
    let text_ = text.trim();
    let number = text_.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text_.strip_prefix(number).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim_end().replace('_', "").parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

/// `true`, `on`, `yes`, `1` and their opposites.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither on nor off")),
    }
}

/// `3000/5m`, two of them as `5000/1h,35000/1d`, or `off`.
pub(super) fn rates(text: &str) -> Result<Rates, String> {
    let wrong = || format!("`{text}` is not a rate; write it as 3000/5m, 5000/1h,35000/1d, or off");
    if text.trim() == "off" {
        return Ok(Rates::NONE);
    }
    let mut windows = text.split(',').map(|rate| {
        let (points, window) = rate.trim().split_once('/').ok_or_else(wrong)?;
        let points = points.trim().replace('_', "").parse().map_err(|_| wrong())?;
        let seconds = u32::try_from(duration(window)?.as_secs()).ok();
        let rate = seconds
            .filter(|seconds| *seconds <= WINDOW_SECONDS_MAX)
            .and_then(|seconds| Rate::new(points, seconds));
        rate.map(Some).ok_or_else(|| {
            format!("`{rate_text}` is not from 1 in 30 days to a million a second", rate_text = text)
        })
    });
    let short = windows.next().unwrap_or(Ok(None))?;
    let long = windows.next().unwrap_or(Ok(None))?;
    if windows.next().is_some() { Err(wrong()) } else { Ok(Rates::two(short, long)) }
}

/// `com.example.method=50/5m`.
pub(super) fn method_rates(text: &str) -> Result<(String, Rates), String> {
    let (nsid, rest) =
        text.split_once('=').ok_or_else(|| format!("`{text}` has no rate; write it as NSID=50/5m"))?;
    crate::syntax::validate_nsid(nsid)
        .map_err(|error| format!("`{nsid}` is not a method's name: {error}"))?;
    Ok((nsid.to_owned(), rates(rest)?))
}

/// A DID.
pub(super) fn did(text: &str) -> Result<Did, String> {
    let did = Did::try_from(text.trim());
    did.map_err(|_| format!("`{text}` is not a DID; write it as did:web:api.example.com"))
}

/// How many proxies: a small number.
pub(super) fn hops(text: &str) -> Result<usize, String> {
    let hops = text.parse().ok().filter(|hops| *hops <= HOPS_MAX);
    hops.ok_or_else(|| format!("`{text}` is not a number of proxies from 0 to {HOPS_MAX}"))
}

/// A web address without path, query or credentials, and without the trailing slash.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text)
        .map_err(|_| format!("`{text}` is not a URL; write it as https://example.com, with its scheme"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{text}` is neither http nor https"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("`{text}` has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name or password can't be part of it".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` has a path; only scheme, host and port are allowed"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A relay's host, `bsky.network`, or its origin; https unless it says otherwise.
pub(super) fn relay(text: &str) -> Result<String, String> {
    if text.contains("://") { origin(text) } else { origin(&format!("https://{}", text.trim())) }
}

/// A domain for handles, `.test`: a leading dot, then labels as handles have them. In lower case.
pub(super) fn handle_domain(text: &str) -> Result<String, String> {
    let domain = text.trim().to_ascii_lowercase();
    if !domain.starts_with('.') {
        return Err(format!("`{text}` lacks its leading dot; write it as .{domain}"));
    }
    // A handle under it must be possible at all. The syntax of handles says which labels are.
    crate::syntax::validate_handle(&format!("a{domain}"))
        .map_err(|error| format!("`{text}` can't be the end of a handle: {error}"))?;
    Ok(domain)
}

/// 64 hex digits. The message never shows the text: it is a key, if a wrong one.
pub(super) fn key(text: &str) -> Result<MasterKey, String> {
    MasterKey::from_hex(text).map_err(|_| {
        let digits = text.trim().chars().count();
        format!("it must be 64 hex digits (32 bytes) and has {digits} characters; `openssl rand -hex 32` makes one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(duration("72h").unwrap().as_secs(), 72 * 3600);
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5400);
        assert_eq!(duration("7d").unwrap(), duration("1w").unwrap());
        for wrong in
            ["", "72", "h", "1y", "-1h", "1h 30m", "99999999999999999999h", "9999999999999999w", "1é"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_have_one_window_or_two() {
        let rate = |points, seconds| Rate::new(points, seconds);
        assert_eq!(rates("3000/5m").unwrap(), Rates::one(rate(3_000, 300)));
        assert_eq!(
            rates("5_000/1h, 35000/1d").unwrap(),
            Rates::two(rate(5_000, 3_600), rate(35_000, 86_400))
        );
        assert_eq!(rates("off").unwrap(), Rates::NONE);
        for text in ["off", "3000/5m", "5000/1h,35000/1d", "7/90s", "1/2w"] {
            let read = rates(text).unwrap();
            assert_eq!(rates(&read.to_string()).unwrap(), read, "{text} is written as {read}");
        }
        for wrong in
            ["", "3000", "/5m", "0/5m", "5/0s", "-1/5m", "1/5m,2/1h,3/1d", "9/40d", "1000001/1s", "5/5"]
        {
            assert!(rates(wrong).is_err(), "{wrong}");
        }
        let method = "com.atproto.server.createAccount";
        assert_eq!(method_rates(&format!("{method}=off")).unwrap(), (method.to_owned(), Rates::NONE));
        for wrong in ["com.atproto.server.createAccount", "nothing=5/5m", "com.example.method=5"] {
            assert!(method_rates(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_with_and_without_units() {
        assert_eq!(bytes("5242880").unwrap(), bytes("5MiB").unwrap());
        assert_eq!(bytes("5 MB").unwrap(), 5_000_000);
        for wrong in ["", "0", "MiB", "5TB", "-5", "1.5MiB", "99999999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins_have_no_path() {
        assert_eq!(origin("https://Example.com/").unwrap(), "https://example.com");
        assert_eq!(origin("http://localhost:2583").unwrap(), "http://localhost:2583");
        for wrong in
            ["example.com", "https://example.com/pds", "https://a:b@c.com", "ftp://a.b", "https://a/?q", ""]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn relays_are_hosts_or_origins() {
        assert_eq!(relay("bsky.network").unwrap(), "https://bsky.network");
        assert_eq!(relay("http://localhost:2470").unwrap(), "http://localhost:2470");
        for wrong in ["", "bsky.network/xrpc", "wss://bsky.network", "a b"] {
            assert!(relay(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn handle_domains_begin_with_a_dot() {
        assert_eq!(handle_domain(".Test").unwrap(), ".test");
        assert_eq!(handle_domain(".agents.example.com").unwrap(), ".agents.example.com");
        assert!(handle_domain("test").unwrap_err().contains("write it as .test"));
        for wrong in ["", ".", "..test", ".te st", ".-a.com", ".1"] {
            assert!(handle_domain(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_key_is_not_repeated() {
        assert_eq!(key(&"0aF".repeat(22)[..64]).unwrap().as_bytes()[0], 0x0a);
        for wrong in ["secret", &"zz".repeat(32), &"00".repeat(33)] {
            assert!(!key(wrong).unwrap_err().contains(wrong));
        }
    }
}
