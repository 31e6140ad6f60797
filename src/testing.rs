//! What tests share: a cell that is driven the same way on both hosts, and a world in memory that one can break.
//!
//! | module | what it simulates |
//! |---|---|
//! | `driven` | nothing: a script for a real cell on a real host, with the feature `testing` |
//! | `cell` | nothing: what all cells have in common |
//! | `randomness` | randomness, all of it from `ZAP_SEED` |
//! | `disk` | a database whose nth write fails, or stops the machine |
//! | `internet` | the did:plc directory, the DNS, other servers |
//! | `program` | an OAuth client and a browser, over the router |
//! | `authenticator` | what makes passkeys, and the browser before it |
//! | `alone` | all that comes into one cell |
//! | `simulated` | a host with all cells of a network, which can be stopped after any step and started again |
//!
//! The first two with the feature `testing`, on every host, and `authenticator`; the others in tests of this crate.

#[cfg(test)]
mod alone;
mod authenticator;
mod cell;
#[cfg(test)]
mod disk;
mod driven;
#[cfg(test)]
mod internet;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod program;
#[cfg(test)]
mod randomness;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub use alone::Alone;
pub use authenticator::Authenticator;
pub use cell::Cell;
#[cfg(test)]
pub use disk::{Disk, DiskFault};
pub use driven::{Driven, Fault, Kind, Step, dump};
#[cfg(test)]
pub use internet::Internet;
#[cfg(test)]
pub use program::{Answered, Program, between, jwk, parameter};
#[cfg(test)]
pub use randomness::{Randomness, seed};
#[cfg(test)]
pub use simulated::{ADMIN_PASSWORD, Resident, Simulated};

use crate::env::Network;
use crate::rate_limit::Rates;
use crate::vault::MasterKey;

/// When tests begin, unless they say otherwise: microseconds since the Unix epoch.
pub const START_US: i64 = 1_790_000_000_000_000;

/// Where the did:plc directory of all tests is.
pub const PLC: &str = "http://localhost:2582";

/// The network of all tests.
pub fn network() -> Network {
    Network {
        service_did: "did:web:localhost%3A2583".to_owned(),
        public_url: "http://localhost:2583".to_owned(),
        handle_domains: vec![".test".to_owned()],
        invite_required: false,
        sends_mail: true,
        plc_url: PLC.to_owned(),
        master_key: MasterKey::from_bytes([7; 32]),
        write_rates: Rates::NONE,
        sign_in_rates: Rates::NONE,
    }
}
