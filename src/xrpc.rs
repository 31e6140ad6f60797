//! The edge: XRPC over HTTP, the same on both hosts, without state of its own.
//!
//! [`endpoint::Endpoint`] is one method: its NSID, its verb, the access it needs, its handler. [`endpoints`] lists
//! all of them; there is no other way to serve a method, so none can be without a declared access. Handlers parse
//! once, ask cells, and answer; errors of every module meet in [`error`] and leave in the flat form.
//!
//! What is no method of ours goes on to another service, in the caller's name (`proxy`).
//!
//! Adding a method: write its handler in the file of its group, add its line to that file's `endpoints()`.

mod actor;
mod admin;
mod authenticate;
mod body;
mod dispatch;
pub mod endpoint;
pub mod error;
mod identity;
mod lexicon;
mod limits;
mod memory;
#[cfg(any(test, feature = "testing"))]
pub mod page;
mod proxy;
mod read_after_write;
mod repo;
mod router;
mod server;
mod subscribe_repos;
mod sync;
mod temp;
#[cfg(test)]
mod tests;
mod transfer;
mod upstream;
mod vault;

pub use admin::aliases;
pub use endpoint::{Context, Endpoint, Holds};
pub use error::XrpcError;
pub use limits::Notes;
pub use router::{pays, router};

use crate::app::App;

/// Every method served, by group.
pub fn endpoints() -> Vec<Endpoint> {
    [
        server::endpoints(),
        identity::endpoints(),
        repo::endpoints(),
        sync::endpoints(),
        temp::endpoints(),
        lexicon::endpoints(),
        subscribe_repos::endpoints(),
        actor::endpoints(),
        admin::endpoints(),
        transfer::endpoints(),
        vault::endpoints(),
        memory::endpoints(),
    ]
    .concat()
}
