//! How often passwords may be tried: at an account's door from one address, from all addresses, and by one address at all
//! doors.
//!
//! A try is counted before the password is looked at, so that a thousand at once are as few as one after the other. What
//! fits gives back what was counted against all: the owner's own sign-ins lock nobody out. From where an account was signed
//! in to before, the tries of others do not count, or anybody could keep an owner out.
//!
//! Codes that are shown beside a password are counted by account alone, also where no limit of passwords is set: there are a
//! million of them, of which three are good at a time, and who tries them knows the password.
//!
//! All is kept in memory alone: a start begins anew, and nobody but the operator makes one.

use super::account::{self, Who};
use super::{Error, GetCredentials};
use crate::env::Env;
use crate::rate_limit::table::Table;
use crate::rate_limit::{Debts, Rate, Rates, WINDOWS_MAX};
use crate::store::Sql;
use crate::syntax::Did;

/// Tries at one account's door from all addresses together, in those of one address: an owner has a few, a botnet thousands.
const ADDRESSES_AN_ACCOUNT: u32 = 3;
/// Tries of one address at all doors, in those at one: an office or a school behind one address is still let in.
const ACCOUNTS_AN_ADDRESS: u32 = 10;
/// Codes that may be tried at one account: a hundred a day find one of them in six years, one time in two.
const CODES: Rates = Rates::two(Rate::new(10, 5 * 60), Rate::new(100, 24 * 60 * 60));
/// Changes of what an account is signed in to with, beside its password: each is told by mail, which somebody else may get
/// who did not ask for it. A person who loses all devices makes ten.
const MEANS: Rates = Rates::one(Rate::new(20, 24 * 60 * 60));
/// How long an address is known from which the account was signed in to: as long as a session lives unused.
const KNOWN_US: i64 = super::limits::REFRESH_TOKEN_SECONDS * 1_000_000;
/// Accounts, addresses, and pairs of them that are remembered: two megabytes of each.
const KEYS_MAX: usize = 1 << 16;

/// Who has tried how often.
#[derive(Debug)]
pub(super) struct Doors {
    pairs: Table,
    accounts: Table,
    addresses: Table,
    known: Table,
    codes: Table,
    means: Table,
}

impl Doors {
    pub(super) fn new(env: &mut Env<'_>) -> Self {
        let mut table = || Table::new(KEYS_MAX, env.random());
        Self {
            pairs: table(),
            accounts: table(),
            addresses: table(),
            known: table(),
            codes: table(),
            means: table(),
        }
    }

    /// Counts a try. One at a door that is not there is counted in the same way, so that nobody learns which are.
    ///
    /// # Errors
    /// [`Error::TooOften`]; then the password is not to be looked at, and nothing was counted.
    pub(super) fn knock(&mut self, sql: &dyn Sql, env: &Env<'_>, ask: &GetCredentials) -> Result<(), Error> {
        let (own, now_us) = (env.network.sign_in_rates, env.now_us);
        let door = door(sql, &ask.who)?;
        let (door, client) = (door.as_str(), ask.client.as_deref());
        let is_known = client.is_some_and(|client| self.is_known(door, client, now_us));
        let of_account = if is_known { Rates::NONE } else { own.times(ADDRESSES_AN_ACCOUNT) };
        let of_address = if client.is_none() { Rates::NONE } else { own.times(ACCOUNTS_AN_ADDRESS) };
        let taken = self.accounts.take(&of_account, &door, 1, now_us).and_then(|_| {
            let taken = self.addresses.take(&of_address, &client, 1, now_us).and_then(|_| {
                let taken = self.pairs.take(&own, &(door, client), 1, now_us);
                taken.inspect_err(|_| of_address.give_back(self.addresses.debts(&client), 1))
            });
            taken.inspect_err(|_| of_account.give_back(self.accounts.debts(&door), 1))
        });
        taken.map(drop).map_err(Error::TooOften)
    }

    /// Notes that the one who knocked last from this address was let in.
    pub(super) fn let_in(&mut self, env: &Env<'_>, did: &Did, client: &str) {
        let (own, now_us) = (env.network.sign_in_rates, env.now_us);
        if own.is_none() {
            return;
        }
        let door = did.as_str();
        if !self.is_known(door, client, now_us) {
            own.times(ADDRESSES_AN_ACCOUNT).give_back(self.accounts.debts(&door), 1);
        }
        own.times(ACCOUNTS_AN_ADDRESS).give_back(self.addresses.debts(&Some(client)), 1);
        *self.known.debts(&(door, client)) = Debts([now_us + KNOWN_US; WINDOWS_MAX]);
    }

    /// Counts a code that is tried beside a password, before it is looked at.
    ///
    /// # Errors
    /// [`Error::TooOften`]; then it is not to be looked at.
    pub(super) fn try_code(&mut self, env: &Env<'_>, did: &Did) -> Result<(), Error> {
        self.codes.take(&CODES, &did.as_str(), 1, env.now_us).map(drop).map_err(Error::TooOften)
    }

    /// Gives back what was counted for a code that fits.
    pub(super) fn code_fits(&mut self, did: &Did) {
        CODES.give_back(self.codes.debts(&did.as_str()), 1);
    }

    /// Counts a change of what an account is signed in to with, which is made.
    ///
    /// # Errors
    /// [`Error::TooOften`]; then it is to be undone.
    pub(super) fn change_means(&mut self, env: &Env<'_>, did: &Did) -> Result<(), Error> {
        self.means.take(&MEANS, &did.as_str(), 1, env.now_us).map(drop).map_err(Error::TooOften)
    }

    fn is_known(&mut self, door: &str, client: &str, now_us: i64) -> bool {
        self.known.debts(&(door, client)).0.iter().any(|until_us| *until_us > now_us)
    }
}

/// One name for a door, by whichever of an account's names it is called.
fn door(sql: &dyn Sql, who: &Who) -> Result<String, Error> {
    Ok(match (account::get(sql, who)?, who) {
        (Some(account), _) => account.did.into_string(),
        (None, Who::Did(did)) => did.as_str().to_owned(),
        (None, Who::Handle(handle)) => handle.normalized().into_string(),
        (None, Who::Email(email)) => email.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{OpenSession, Proof, Session};
    use super::*;
    use crate::rate_limit::Rate;

    fn cell() -> Cell {
        let rates = Rates::two(Rate::new(30, 300), Rate::new(300, 86_400));
        let mut cell = Cell::new();
        cell.network.sign_in_rates = rates;
        cell.person("alice.test", "alice@example.com");
        cell
    }

    fn knock(cell: &mut Cell, name: &str, client: &str) -> Result<(), Error> {
        let who = Who::parse(name).unwrap();
        let ask = GetCredentials { who, digest: [0; 32], client: Some(client.to_owned()) };
        cell.ask(ask).map(|found| assert_eq!(found.is_some(), name.to_ascii_lowercase().contains("alice")))
    }

    /// How many tries are had.
    fn tries(cell: &mut Cell, name: &str, clients: impl Iterator<Item = u32>) -> usize {
        clients.take_while(|client| knock(cell, name, &client.to_string()).is_ok()).count()
    }

    fn sign_in(cell: &mut Cell, client: &str) -> Result<Session, Error> {
        knock(cell, "alice.test", client)?;
        let alice = account::get(&cell.disk, &Who::parse("alice.test").unwrap()).unwrap().unwrap();
        let proof = Proof::Generation(alice.generation);
        cell.ask(OpenSession {
            did: alice.did,
            proof,
            client: Some(client.to_owned()),
            device: None,
            allow_takendown: false,
        })
    }

    #[test]
    fn an_address_has_so_many_tries_by_all_names_of_an_account_together() {
        let mut cell = cell();
        for name in ["alice.test", "Alice.Test", "alice@example.com"].repeat(10) {
            knock(&mut cell, name, "192.0.2.1").unwrap();
        }
        let refused = knock(&mut cell, "alice@EXAMPLE.com", "192.0.2.1");
        assert!(matches!(refused, Err(Error::TooOften(allowance)) if allowance.retry_seconds() == 10));
        knock(&mut cell, "alice.test", "192.0.2.2").unwrap();
        cell.now_us += 10_000_000;
        knock(&mut cell, "alice.test", "192.0.2.1").unwrap();
    }

    /// What breaks: a botnet guesses as if there were no limit.
    #[test]
    fn an_account_has_so_many_tries_from_all_addresses_together() {
        let mut cell = cell();
        assert_eq!(tries(&mut cell, "alice.test", 0..100_000), 90);
        cell.now_us += 86_400_000_000;
        let day: usize = (0..288)
            .map(|_| {
                cell.now_us += 300_000_000;
                tries(&mut cell, "alice.test", 0..100_000)
            })
            .sum();
        assert!((900..=1_890).contains(&day), "{day} in a day");
    }

    /// What breaks: whoever wants to keep an owner out of its account tries passwords there.
    #[test]
    fn an_owner_is_let_in_from_where_it_was_let_in_before() {
        let mut cell = cell();
        sign_in(&mut cell, "192.0.2.1").unwrap();
        assert_eq!(tries(&mut cell, "alice.test", 0..100_000), 90);
        knock(&mut cell, "alice.test", "192.0.2.9").unwrap_err();
        for _ in 0..29 {
            sign_in(&mut cell, "192.0.2.1").unwrap();
        }
        sign_in(&mut cell, "192.0.2.1").unwrap_err();
        // None of that was the others' to lose.
        cell.now_us += 300_000_000;
        assert_eq!(tries(&mut cell, "alice.test", 0..100_000), 90);
    }

    #[test]
    fn an_address_has_so_many_tries_at_all_doors_and_no_door_shows_that_it_is_none() {
        let mut cell = cell();
        let had =
            (0..).take_while(|n| knock(&mut cell, &format!("nobody{n}.test"), "192.0.2.1").is_ok()).count();
        assert_eq!(had, 300);
        let had = (0..).take_while(|_| knock(&mut cell, "nobody.test", "192.0.2.2").is_ok()).count();
        assert_eq!(had, 30);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut cell = Cell::new();
        cell.person("alice.test", "alice@example.com");
        assert_eq!(tries(&mut cell, "alice.test", std::iter::repeat_n(1, 1_000)), 1_000);
    }
}
