//! Where a client is answered.

use std::fmt;

use url::{Host, Url};

/// Characters of one: it is in each request.
const CHARS_MAX: usize = 1024;

/// A way to answer a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectUri {
    /// A page of a web application, or a link that a device opens with one.
    Web(Url),
    /// A program on the device, that listens on a port.
    Loopback(Url),
    /// A program on the device, by a scheme of its own.
    Private {
        /// The scheme.
        scheme: String,
        /// All of it.
        uri: Url,
    },
}

impl RedirectUri {
    /// Reads one; `None` for what is none that is taken.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > CHARS_MAX || text.contains('#') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let url = Url::parse(text).ok()?;
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        match url.scheme() {
            "https" => {
                let is_domain = matches!(url.host(), Some(Host::Domain(host)) if host != "localhost");
                is_domain.then_some(Self::Web(url))
            }
            "http" => {
                let is_here = match url.host()? {
                    Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
                    Host::Ipv6(address) => address == std::net::Ipv6Addr::LOCALHOST,
                    // A name leads where it is told to (RFC 8252, 8.3).
                    Host::Domain(_) => false,
                };
                is_here.then_some(Self::Loopback(url))
            }
            // The dot keeps schemes out that browsers know: `javascript:`, `data:`.
            scheme if scheme.contains('.') => {
                // `com.example.app:/path`, with one slash: there is no host.
                let is_path = url.host().is_none() && url.path().starts_with('/') && !text.contains("://");
                is_path.then(|| Self::Private { scheme: scheme.to_owned(), uri: url.clone() })
            }
            _ => None,
        }
    }

    pub(super) fn is_loopback(&self) -> bool {
        matches!(self, Self::Loopback(_))
    }

    /// Whether `asked` is this one. On the device itself, the port is whichever is free.
    #[must_use]
    pub fn is_met_by(&self, asked: &Self) -> bool {
        match (self, asked) {
            (Self::Loopback(own), Self::Loopback(asked)) => {
                own.host() == asked.host() && own.path() == asked.path() && own.query() == asked.query()
            }
            _ => self == asked,
        }
    }

    /// The source for the `form-action` of a page whose form leads there.
    #[must_use]
    pub fn form_action(&self) -> String {
        match self {
            // Browsers know no source with such an address, and leave it out.
            Self::Loopback(url) if matches!(url.host(), Some(Host::Ipv6(_))) => "http:".to_owned(),
            Self::Web(url) | Self::Loopback(url) => url.origin().ascii_serialization(),
            Self::Private { scheme, .. } => format!("{scheme}:"),
        }
    }

    /// The URI with an answer in its query, or behind `#`.
    #[must_use]
    pub fn answer(&self, in_fragment: bool, parameters: &[(&str, &str)]) -> String {
        let (Self::Web(url) | Self::Loopback(url) | Self::Private { uri: url, .. }) = self;
        let mut url = url.clone();
        if in_fragment {
            let mut encoded = url::form_urlencoded::Serializer::new(String::new());
            encoded.extend_pairs(parameters);
            url.set_fragment(Some(&encoded.finish()));
        } else {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url.into()
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) | Self::Loopback(url) | Self::Private { uri: url, .. } => {
                f.write_str(url.as_str())
            }
        }
    }
}
