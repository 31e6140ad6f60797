//! How many requests one address may make, of all methods and of some, and how often an account may call some.
//!
//! What writes take is the account's cell's to count, and passwords the directory's: those counts are exact on every host.
//! These here are each process's own: on one machine that is all there is, on Cloudflare what passes through one isolate.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::host::Net;
use crate::limits::RATE_KEYS_MAX;
use crate::rate_limit::table::Table;
use crate::rate_limit::{Allowance, Rate, Rates};
use crate::syntax::Did;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum By {
    Address,
    /// Also of the address with all other methods.
    AddressAlone,
    Account,
}

/// What the reference server grants of single methods, who sends mail to whom it was asked for above all.
#[rustfmt::skip]
const METHODS: &[(&str, By, Rates)] = &[
    ("com.atproto.identity.updateHandle", By::Account, Rates::two(Rate::new(10, 5 * MINUTE), Rate::new(50, DAY))),
    ("com.atproto.repo.uploadBlob", By::Account, Rates::one(Rate::new(1_000, DAY))),
    ("com.atproto.server.createAccount", By::Address, Rates::one(Rate::new(100, 5 * MINUTE))),
    ("com.atproto.server.deleteAccount", By::Address, Rates::one(Rate::new(50, 5 * MINUTE))),
    ("com.atproto.server.requestAccountDelete", By::Account, Rates::two(Rate::new(5, HOUR), Rate::new(15, DAY))),
    ("com.atproto.server.requestEmailConfirmation", By::Account, Rates::two(Rate::new(5, HOUR), Rate::new(15, DAY))),
    ("com.atproto.server.requestEmailUpdate", By::Account, Rates::two(Rate::new(5, HOUR), Rate::new(15, DAY))),
    ("com.atproto.server.requestPasswordReset", By::Address, Rates::two(Rate::new(15, HOUR), Rate::new(50, DAY))),
    ("com.atproto.server.resetPassword", By::Address, Rates::one(Rate::new(50, 5 * MINUTE))),
    // Relays fetch thousands of repos, and should still be able to ask for something else.
    ("com.atproto.sync.getRepo", By::AddressAlone, Rates::one(Rate::new(6_000, 5 * MINUTE))),
];

impl By {
    /// Whose, for people.
    fn words(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::AddressAlone => "an address, and not among its requests",
            Self::Account => "an account",
        }
    }
}

/// What is granted, and who has had how much.
#[derive(Debug)]
pub struct Limits {
    requests: Rates,
    methods: HashMap<Cow<'static, str>, (By, Rates)>,
    by_address: Mutex<Table>,
    by_method: Mutex<Table>,
}

impl Limits {
    /// What is granted of single methods where no setting says otherwise, and to whom.
    pub fn usual() -> impl Iterator<Item = (&'static str, &'static str, Rates)> {
        METHODS.iter().map(|(nsid, by, rates)| (*nsid, by.words(), *rates))
    }

    /// Counts nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::over(Rates::NONE, HashMap::new(), [0; 16])
    }

    /// `requests` of one address, and of methods what the reference server grants unless `methods` says otherwise: those
    /// it does not know are counted by address. `secret` is nobody's to know.
    #[must_use]
    pub fn new(requests: Rates, methods: &[(String, Rates)], secret: [u8; 16]) -> Self {
        let known = METHODS.iter().map(|(nsid, by, rates)| (Cow::Borrowed(*nsid), (*by, *rates)));
        let mut all: HashMap<_, _> = known.collect();
        for (nsid, rates) in methods {
            all.entry(Cow::Owned(nsid.clone())).or_insert((By::Address, *rates)).1 = *rates;
        }
        Self::over(requests, all, secret)
    }

    fn over(requests: Rates, methods: HashMap<Cow<'static, str>, (By, Rates)>, secret: [u8; 16]) -> Self {
        let table = || Mutex::new(Table::new(RATE_KEYS_MAX, secret));
        Self { requests, methods, by_address: table(), by_method: table() }
    }

    /// Counts a request of an address for a method. This machine itself is not counted: where a proxy does not say whose
    /// requests it brings, all would share one count.
    ///
    /// # Errors
    /// When the address is over a limit; then nothing is to be done for it.
    pub fn request(
        &self,
        nsid: &str,
        client: Option<Net>,
        now_us: i64,
    ) -> Result<Option<Allowance>, Allowance> {
        let Some(client) = client.filter(|client| !client.is_this_machine()) else { return Ok(None) };
        let method = self.methods.get(nsid).filter(|(by, _)| *by != By::Account);
        let own = match method {
            Some((_, rates)) => take(&self.by_method, rates, &(nsid, client), now_us)?,
            None => None,
        };
        if method.is_some_and(|(by, _)| *by == By::AddressAlone) {
            return Ok(own);
        }
        let all = take(&self.by_address, &self.requests, &client, now_us)?;
        Ok(tighter(own, all))
    }

    /// Counts a call of an account.
    ///
    /// # Errors
    /// When it is over the limit of the method.
    pub fn call(&self, nsid: &str, did: &Did, now_us: i64) -> Result<Option<Allowance>, Allowance> {
        match self.methods.get(nsid) {
            Some((By::Account, rates)) => take(&self.by_method, rates, &(nsid, did.as_str()), now_us),
            _ => Ok(None),
        }
    }
}

/// The one that leaves less.
pub fn tighter(one: Option<Allowance>, other: Option<Allowance>) -> Option<Allowance> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.tighter(other)),
        (one, other) => one.or(other),
    }
}

fn take(
    table: &Mutex<Table>,
    rates: &Rates,
    key: &impl Hash,
    now_us: i64,
) -> Result<Option<Allowance>, Allowance> {
    if rates.is_none() {
        return Ok(None);
    }
    table.lock().unwrap_or_else(PoisonError::into_inner).take(rates, key, 1, now_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;
    const LIST: &str = "com.atproto.repo.listRecords";

    fn net(address: &str) -> Option<Net> {
        Some(Net::of(address.parse().unwrap()))
    }

    fn limits(methods: &[(String, Rates)]) -> Limits {
        Limits::new(Rates::one(Rate::new(3_000, 300)), methods, [7; 16])
    }

    fn had(limits: &Limits, nsid: &str, client: Option<Net>) -> usize {
        (0..10_000).take_while(|_| limits.request(nsid, client, NOW).is_ok()).count()
    }

    #[test]
    fn an_address_has_its_requests_of_all_methods_together_and_an_ipv6_line_is_one() {
        let limits = limits(&[]);
        assert_eq!(had(&limits, LIST, net("192.0.2.1")), 3_000);
        assert_eq!(had(&limits, "com.example.any", net("192.0.2.1")), 0);
        assert_eq!(had(&limits, LIST, net("2001:db8:1:2::1")), 3_000);
        assert_eq!(had(&limits, LIST, net("2001:db8:1:2:ffff::9")), 0);
        assert_eq!(had(&limits, LIST, net("2001:db8:1:3::1")), 3_000);
    }

    #[test]
    fn this_machine_and_who_is_nobody_are_not_counted() {
        let limits = limits(&[]);
        for client in [net("127.0.0.1"), net("127.9.9.9"), net("::1"), None] {
            assert_eq!(limits.request(LIST, client, NOW), Ok(None));
        }
        assert_eq!(Limits::none().request(LIST, net("192.0.2.1"), NOW), Ok(None));
    }

    #[test]
    fn some_methods_have_less_and_repos_are_counted_apart() {
        let limits = limits(&[]);
        assert_eq!(had(&limits, "com.atproto.server.createAccount", net("192.0.2.1")), 100);
        assert_eq!(had(&limits, "com.atproto.sync.getRepo", net("192.0.2.1")), 6_000);
        assert_eq!(had(&limits, LIST, net("192.0.2.1")), 2_900);
        let alice = Did::try_from("did:plc:alice").unwrap();
        let calls =
            (0..100).take_while(|_| limits.call("com.atproto.identity.updateHandle", &alice, NOW).is_ok());
        assert_eq!(calls.count(), 10);
        assert_eq!(limits.call(LIST, &alice, NOW), Ok(None));
    }

    #[test]
    fn an_operator_says_otherwise_of_single_methods() {
        let limits = limits(&[
            ("com.atproto.server.createAccount".to_owned(), Rates::NONE),
            (LIST.to_owned(), Rates::one(Rate::new(5, 60))),
        ]);
        assert_eq!(had(&limits, LIST, net("192.0.2.1")), 5);
        assert_eq!(had(&limits, "com.atproto.server.createAccount", net("192.0.2.1")), 2_995);
    }
}
