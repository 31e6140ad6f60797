//! What tests share: a cell that is driven the same way on both hosts.
//!
//! | module | what it simulates |
//! |---|---|
//! | `driven` | nothing: a script for a real cell on a real host, with the feature `testing` |
//! | `cell` | nothing: what all cells have in common |
//!
//! Only with the feature `testing`, and in tests of this crate.

mod cell;
mod driven;

pub use cell::Cell;
pub use driven::{Driven, Fault, Kind, Step, dump};

use crate::env::Network;
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
        plc_url: PLC.to_owned(),
        master_key: MasterKey::from_bytes([7; 32]),
    }
}
