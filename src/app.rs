//! What the network does over several cells: making accounts, moving them, ending them, telling cells of each other.
//!
//! [`App`] is the floor under every door (`xrpc/` today): it asks cells through the host, knows identities everywhere, and
//! carries out changes of several steps. This room knows no HTTP of its own clients, and its errors are typed
//! ([`Error`]); a door says them in its own words.
//!
//! | module | |
//! |---|---|
//! | `signup` `profile` | accounts and agents, from a reservation to a repo; what an agent's begins with |
//! | `handles` `signing_keys` `activation` `deletion` `moving` | what changes an account that is there |
//! | [`flows`] | how such a change goes on when its caller hangs up, and after a crash |
//! | `handle_checks` | whether handles on domains of their owners lead here still |
//! | `notices` | what the directory tells accounts' cells |
//! | `moderation` | what the operator takes down, and may not open |
//! | `passwords` | codes by mail, and what sets a password anew |
//! | `post` [`mail_service`] | mail that waits in the directory; handed to an HTTP service |
//! | `plc` `identities` `resolve` `lookup` | the did:plc directory; DIDs and handles of the whole network |
//! | `relays` | who is asked to crawl this server, and when |
//! | `sign_in` [`oauth`] | checking a password; the authorization server, its clients and their sessions |
//! | `accounts` `repos` | who is who, remembered; where each repo stands |
//! | [`lexicons`] | documents of namespaces, as whoever owns them publishes them |
//! | `services` | other services: those that are set, and those that somebody names |
//! | `limits` | how many requests an address may make, and some calls an account |

mod accounts;
mod activation;
mod deletion;
mod error;
pub mod flows;
mod handle_checks;
mod handles;
mod identities;
pub mod lexicons;
mod limits;
mod lookup;
pub mod mail_service;
mod moderation;
mod moving;
mod notices;
pub mod oauth;
mod passkeys;
mod passwords;
pub(crate) mod plc;
mod post;
mod profile;
mod recovery_keys;
mod relays;
mod repos;
mod resolve;
mod services;
mod sign_in;
mod signing_keys;
mod signup;

use std::sync::Arc;

use futures::TryFutureExt as _;

use crate::config::Services;
use crate::env::Network;
use crate::host::{Host, Trouble};
use crate::seam::Request;
use crate::syntax::Did;
use crate::{account, auth, directory, sequencer};

pub use accounts::Accounts;
pub use error::Error;
pub use flows::{Carried, Flows};
pub use identities::Identities;
pub use lexicons::Lexicons;
pub use limits::{Limits, tighter};
pub use lookup::FoundIdentity;
pub use moderation::{Subject, SubjectStanding};
pub use moving::NewExport;
pub use oauth::Oauth;
pub use relays::{Asked, AskedRelays, RelayAnswer, Relays};
pub use repos::RepoPage;
pub use services::{APPVIEW, Target};
pub use sign_in::{SignIn, device};
pub use signup::{NewAccount, check_recovery_key};

/// The network, as every door reaches it.
pub struct App {
    /// The world.
    pub host: Arc<dyn Host>,
    /// The network this server is.
    pub network: Arc<Network>,
    /// What tokens are checked and made with.
    pub auth: auth::Authority,
    /// What is known of accounts everywhere.
    pub identities: Identities,
    /// What is known of lexicons everywhere.
    pub lexicons: Lexicons,
    /// What is known of the accounts here.
    pub accounts: Accounts,
    /// What the authorization server keeps in memory.
    pub oauth: Oauth,
    /// Who carries out changes of several steps.
    pub flows: Flows,
    /// How often may be asked.
    pub limits: Limits,
    /// Other services that are set.
    pub services: Services,
    /// Bytes of the largest blob taken.
    pub blob_bytes_max: u64,
}

impl App {
    /// Asks the cell of an account.
    ///
    /// # Errors
    /// The cell's, or that it could not be asked.
    pub fn account<'a, R>(
        &'a self,
        did: &Did,
        request: R,
    ) -> impl Future<Output = Result<R::Reply, Error>> + use<'a, R>
    where
        R: Request,
        account::Command: From<R::Command>,
        R::Answer: TryFrom<account::Reply>,
    {
        crate::host::account(&*self.host, did, request).err_into()
    }

    /// Asks the directory cell.
    ///
    /// # Errors
    /// The cell's, or that it could not be asked.
    pub fn directory<R>(&self, request: R) -> impl Future<Output = Result<R::Reply, Error>>
    where
        R: Request<Command = directory::Command, Answer = directory::Reply>,
    {
        crate::host::directory(&*self.host, request).err_into()
    }

    /// Refuses what begins an account, or changes one in several places, while the host has hardly any room: it would end
    /// half-way.
    ///
    /// # Errors
    /// [`Error::Full`].
    fn require_room(&self) -> Result<(), Error> {
        if self.host.troubles().contains(&Trouble::StorageFull) { Err(Error::Full) } else { Ok(()) }
    }

    /// Asks the sequencer cell.
    ///
    /// # Errors
    /// The cell's, or that it could not be asked.
    pub fn sequencer<R>(&self, request: R) -> impl Future<Output = Result<R::Reply, Error>>
    where
        R: Request<Command = sequencer::Command, Answer = sequencer::Reply>,
    {
        crate::host::sequencer(&*self.host, request).err_into()
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.host.random(&mut bytes);
        bytes
    }

    /// Runs slow computation off the serving threads and returns its result. One whose caller left before it began is
    /// left out.
    ///
    /// # Errors
    /// [`Error::Busy`] when too much waits already; [`Error::Internal`] when it was cut short.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        self.host.compute(Box::new(move || {
            if !sender.is_canceled() {
                drop(sender.send(work()));
            }
        }))?;
        receiver.await.map_err(|_| Error::Internal("computation was dropped".to_owned()))
    }
}
