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
mod identities;
mod identity;
mod memory;
mod notices;
mod plc;
mod repo;
mod router;
mod server;
mod signup;
mod subscribe_repos;
mod sync;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;

use crate::env::Network;
use crate::host::Host;
use crate::seam::Request;
use crate::syntax::Did;
use crate::{account, auth, directory};

pub use admin::aliases;
pub use endpoint::{Context, Endpoint};
pub use error::XrpcError;
pub use identities::Identities;
pub use notices::{Carried, Carrier, Elsewhere};
pub use router::router;

/// What every handler has: the host and the network's facts.
pub struct App {
    /// The world.
    pub host: Arc<dyn Host>,
    /// The network this server is.
    pub network: Arc<Network>,
    /// What tokens are checked and made with.
    pub auth: auth::Authority,
    /// What is known of accounts everywhere.
    pub identities: Identities,
    /// Who brings the directory's notices to the agents' cells.
    pub carrier: Carrier,
    /// Bytes of the largest blob taken.
    pub blob_bytes_max: u64,
}

impl App {
    /// Asks the agent cell of `did`.
    ///
    /// # Errors
    /// The cell's, mapped to their XRPC form.
    pub async fn account<R>(&self, did: &Did, request: R) -> Result<R::Reply, XrpcError>
    where
        R: Request<Command = account::Command, Answer = account::Reply>,
    {
        Ok(self.host_account(did, request).await?)
    }

    /// As [`App::account`], for those who tell the cell's errors apart.
    ///
    /// # Errors
    /// The cell's own.
    pub async fn host_account<R>(&self, did: &Did, request: R) -> Result<R::Reply, account::Error>
    where
        R: Request<Command = account::Command, Answer = account::Reply>,
    {
        crate::host::account(&self.host, did, request).await
    }

    /// Asks the directory cell.
    ///
    /// # Errors
    /// The cell's, mapped to their XRPC form.
    pub async fn directory<R>(&self, request: R) -> Result<R::Reply, XrpcError>
    where
        R: Request<Command = directory::Command, Answer = directory::Reply>,
    {
        Ok(crate::host::directory(&self.host, request).await?)
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.host.random(&mut bytes);
        bytes
    }

    /// Runs slow computation off the serving threads and returns its result.
    ///
    /// # Errors
    /// An internal error when the host is stopping.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, XrpcError> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        self.host.compute(Box::new(move || drop(sender.send(work())))).await;
        receiver.await.map_err(|_| XrpcError::internal("computation was dropped"))
    }
}

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
