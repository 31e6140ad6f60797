//! Whose request it is: the address of the connection, or the one that a proxy in front gives.
//!
//! What a proxy says counts only where there is one: by the setting `proxy-hops`, or, unless that is set, for connections
//! from this machine. Else anybody could have as many addresses as they can write.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::host::Net;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies in front of the server, each of which adds to `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// One, for connections from this machine; none for others.
    OnThisMachine,
    /// So many, for all connections.
    Fixed(usize),
}

impl Hops {
    fn of(self, peer: IpAddr) -> usize {
        match self {
            Self::OnThisMachine => usize::from(peer.to_canonical().is_loopback()),
            Self::Fixed(hops) => hops,
        }
    }

    /// Whose connection it is; `None` when proxies bring it, who bring those of many.
    pub(super) fn of_connection(self, peer: IpAddr) -> Option<Net> {
        (self.of(peer) == 0).then(|| Net::of(peer))
    }

    /// Whose request it is.
    pub(super) fn of_request(self, peer: IpAddr, headers: &HeaderMap) -> Net {
        let hops = self.of(peer);
        // The last of the list is what the proxy next to us has seen, the one before it what the next proxy has.
        let told =
            hops.checked_sub(1).and_then(|skipped| forwarded(headers).nth_back(skipped).and_then(parse));
        Net::of(told.unwrap_or(peer))
    }
}

/// The addresses of all `X-Forwarded-For` headers, the client's own words first.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    let values: Vec<_> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    values.into_iter().flat_map(|value| value.split(',')).map(str::trim)
}

/// An address, also with the port that some proxies add.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = || text.trim_matches(['[', ']']).parse().ok();
    bare().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hops: Hops, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        hops.of_request(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn what_a_client_claims_counts_only_behind_a_proxy() {
        let forwarded = ["198.51.100.1, 203.0.113.7"];
        assert_eq!(of(Hops::OnThisMachine, "192.0.2.1", &forwarded), "192.0.2.1");
        assert_eq!(of(Hops::OnThisMachine, "127.0.0.1", &forwarded), "203.0.113.7");
        assert_eq!(of(Hops::Fixed(0), "127.0.0.1", &forwarded), "127.0.0.1");
        assert_eq!(of(Hops::Fixed(2), "192.0.2.1", &forwarded), "198.51.100.1");
        // Fewer than there should be: somebody went around a proxy.
        assert_eq!(of(Hops::Fixed(3), "192.0.2.1", &forwarded), "192.0.2.1");
        assert_eq!(of(Hops::Fixed(1), "192.0.2.1", &["198.51.100.1", "203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn an_address_is_read_in_the_forms_that_proxies_write() {
        let forms = [
            "203.0.113.7:4711",
            "[2001:db8:1:2:3::4]",
            "[2001:db8:1:2:3::4]:4711",
            "2001:db8:1:2::9",
            "unknown",
        ];
        let read = forms.map(|form| of(Hops::Fixed(1), "192.0.2.1", &[form]));
        assert_eq!(
            read,
            ["203.0.113.7", "2001:db8:1:2::/64", "2001:db8:1:2::/64", "2001:db8:1:2::/64", "192.0.2.1"]
        );
        assert_eq!(Net::of("::ffff:192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    }
}
