//! The host on Cloudflare: each cell is a Durable Object, the router runs in the Worker without state.
//!
//! | module | |
//! |---|---|
//! | [`front`] [`http`] | the Worker: requests into the router, answers out of it |
//! | [`app`] | what the router runs on, and the way to where changes are carried out |
//! | [`host`] | what the router reaches as [`Host`](crate::host::Host) |
//! | [`account`] [`directory`] [`sequencer`] | the three kinds of objects |
//! | [`subscribers`] | the sockets of the sequencer's, and how much may wait for them |
//! | [`object`] | what they share: the seam as DAG-CBOR, alarms |
//! | [`sql`] | the SQL seam over an object's storage |
//! | [`blobs`] [`outbound`] | R2; fetch and DNS over HTTPS |
//! | [`room`] | what of an isolate's memory bodies on their way in may take |
//! | [`settings`] [`console`] | variables and secrets; the log |
//!
//! A request to an object is an event of its own there. Between two awaits an object does one thing: a command, its
//! transaction and its alarm are one, and the answer leaves only when they are durable (the output gate).
//!
//! This module is the only one that may hold glue to JavaScript.

pub mod account;
mod app;
mod blobs;
mod console;
pub mod directory;
mod download;
pub mod front;
mod host;
mod http;
mod object;
mod outbound;
mod relays;
mod room;
pub mod sequencer;
mod settings;
mod sql;
mod subscribers;
#[cfg(feature = "testing")]
pub mod testing;

use worker::Date;

use crate::host::HostError;

/// Microseconds since the Unix epoch. The runtime's clock stands still between two awaits.
fn now_us() -> i64 {
    i64::try_from(Date::now().as_millis()).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// The runtime's randomness.
fn system_random() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn unavailable(error: impl std::fmt::Display) -> HostError {
    HostError::Unreachable(error.to_string())
}

fn upstream(error: impl std::fmt::Display) -> HostError {
    HostError::Upstream(error.to_string())
}
