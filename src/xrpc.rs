//! The edge: XRPC over HTTP, the same on both hosts, without state of its own.
//!
//! [`endpoint::Endpoint`] is one method: its NSID, its verb, the access it needs, its handler. [`endpoints`] lists
//! all of them; there is no other way to serve a method, so none can be without a declared access. Handlers parse
//! once, ask cells, and answer; errors of every module meet in [`error`] and leave in the flat form.
//!
//! Adding a method: write its handler in the file of its group, add its line to that file's `endpoints()`.

mod admin;
mod authenticate;
pub mod endpoint;
pub mod error;
mod identity;
mod memory;
mod repo;
mod router;
mod server;
mod subscribe_repos;
mod sync;
#[cfg(test)]
mod tests;
mod transfer;

pub use admin::aliases;
pub use endpoint::{Context, Endpoint};
pub use error::XrpcError;
pub use router::router;

use crate::app::App;

/// Every method served, by group.
pub fn endpoints() -> Vec<Endpoint> {
    [
        server::endpoints(),
        identity::endpoints(),
        repo::endpoints(),
        sync::endpoints(),
        subscribe_repos::endpoints(),
        admin::endpoints(),
        transfer::endpoints(),
        memory::endpoints(),
    ]
    .concat()
}
