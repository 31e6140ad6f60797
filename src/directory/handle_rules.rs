//! Which handles this service gives and takes.
//!
//! A handle under one of the service's domains is one label of 3 to 18 characters that is not kept back. Any other
//! handle is its owner's own domain: allowed once it was seen to resolve to the account's DID, which is the host's
//! to find out.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::directory::limits::{HANDLE_LABEL_BYTES_MAX, HANDLE_LABEL_BYTES_MIN, RESERVATION_SECONDS};
use crate::env::{Env, Network};
use crate::store::{Sql, query_first};
use crate::syntax::{Did, Handle};

/// Where a handle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// Under a domain of this service, which answers for it.
    Service,
    /// Elsewhere: it must be seen to resolve to the account's DID.
    External,
}

/// Checks a handle in lower case against the service's rules.
pub(super) fn place(handle: &Handle, network: &Network, allow_reserved: bool) -> Result<Placement, Error> {
    if handle.has_disallowed_tld() {
        return Err(Error::InvalidHandle("handle TLD is invalid or disallowed".to_owned()));
    }
    let Some(label) =
        network.handle_domains.iter().find_map(|domain| handle.as_str().strip_suffix(domain.as_str()))
    else {
        return Ok(Placement::External);
    };
    let refuse = |why: &str| Err(Error::InvalidHandle(why.to_owned()));
    if label.contains('.') {
        return refuse("handle must be one name directly under the service's domain");
    }
    if label.len() < HANDLE_LABEL_BYTES_MIN {
        return refuse("handle too short");
    }
    if label.len() > HANDLE_LABEL_BYTES_MAX {
        return refuse("handle too long");
    }
    if !allow_reserved && RESERVED.binary_search(&label).is_ok() {
        return Err(Error::HandleReserved(label.to_owned()));
    }
    Ok(Placement::Service)
}

/// Signups that were begun before this have come to nothing.
pub(super) fn stale_before_us(env: &Env<'_>) -> i64 {
    env.now_us.saturating_sub(RESERVATION_SECONDS.saturating_mul(1_000_000))
}

/// Checks that nobody but `except` has the handle, or is being given it. A signup that came to nothing has it no more.
pub(super) fn require_free(
    sql: &dyn Sql,
    env: &Env<'_>,
    handle: &Handle,
    except: Option<&Did>,
) -> Result<(), Error> {
    let params = [handle.as_str().into(), except.map_or("", Did::as_str).into(), stale_before_us(env).into()];
    let taken = "SELECT 1 FROM account WHERE handle = ?1 AND did <> ?2 AND (status <> 'pending' OR created_us > ?3) \
                 UNION ALL SELECT 1 FROM flow WHERE handle = ?1 AND did <> ?2";
    match query_first(sql, taken, &params, |_| Ok(()))? {
        Some(()) => Err(Error::HandleNotAvailable),
        None => Ok(()),
    }
}

/// Labels that are given to nobody, sorted; a handle is a host name, which people read and programs look for:
/// - what passes for the service, its staff, or where one signs in and pays;
/// - mailboxes and hosts by which a domain is proven or configured (RFC 2142, certificates, proxies, mail), and those of
///   protocols.
///
/// Not what an agent may well be called, as bot or dev.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "abuse", "account", "accounts", "admin", "administrator", "api", "app", "appview", "atproto", "auth",
    "autoconfig", "autodiscover", "billing", "cdn", "contact", "dashboard", "dns", "docs", "download",
    "email", "ftp", "help", "hostmaster", "imap", "invite", "isatap", "legal", "localhost", "login",
    "logout", "mail", "metrics", "mod", "moderation", "moderator", "mta-sts", "noreply", "oauth",
    "official", "password", "payment", "payments", "pds", "plc", "pop", "postmaster", "privacy", "register",
    "relay", "root", "security", "server", "service", "settings", "signin", "signup", "smtp", "ssl", "sso",
    "staff", "status", "support", "system", "terms", "tls", "verify", "webmail", "webmaster", "well-known",
    "wpad", "www", "xrpc",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::network;

    fn check(handle: &str) -> Result<Placement, Error> {
        place(&Handle::try_from(handle).unwrap(), &network(), false)
    }

    #[test]
    fn reserved_names_are_sorted() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn what_an_agent_may_well_be_called_is_given() {
        for name in ["bot", "agent", "dev", "test", "news", "feed", "git"] {
            assert_eq!(check(&format!("{name}.test")), Ok(Placement::Service), "{name}");
        }
        for name in ["wpad", "autodiscover", "postmaster", "support", "billing", "well-known"] {
            let refused = check(&format!("{name}.test")).unwrap_err().to_string();
            assert_eq!(refused, format!("the name {name} is reserved: choose another"));
        }
    }

    #[test]
    fn the_service_gives_one_label_of_moderate_length() {
        for good in ["alice.test", "abc.test", "eighteen-letters-x.test"] {
            assert_eq!(check(good), Ok(Placement::Service), "{good}");
        }
        for external in ["alice.example.com", "alicetest.com"] {
            assert_eq!(check(external), Ok(Placement::External), "{external}");
        }
        for bad in ["ab.test", "nineteen-letters-xx.test", "a.lice.test", "alice.local", "alice.onion"] {
            assert!(matches!(check(bad), Err(Error::InvalidHandle(_))), "{bad}");
        }
        assert_eq!(check("admin.test"), Err(Error::HandleReserved("admin".to_owned())));
        let admin = Handle::try_from("admin.test").unwrap();
        assert_eq!(place(&admin, &network(), true), Ok(Placement::Service));
    }
}
