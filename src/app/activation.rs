//! Waking an account, and putting it to rest.

use std::sync::Arc;

use super::{App, Error, plc};
use crate::account::GetSigningKey;
use crate::directory::Flow;
use crate::identity::DidDocument;
use crate::moving::{DropMoveKey, GetMoveKey};
use crate::repo::GetHead;
use crate::syntax::Did;

impl App {
    /// Wakes an account whose document names this server and its key. A move that was begun ends with it.
    ///
    /// # Errors
    /// [`Error::HostedElsewhere`], [`Error::SignedElsewhere`], and why else not.
    pub async fn activate(self: &Arc<Self>, did: &Did) -> Result<(), Error> {
        self.run(did.clone(), Some(Flow::Activate)).await
    }

    /// The document is looked at each time: a change that waited may find that the account lives elsewhere by now.
    pub(super) async fn activate_steps(&self, did: &Did) -> Result<(), Error> {
        let document = self.identities.did_document(&self.host, did, true).await?;
        if document.pds_endpoint() != Some(&self.network.public_url) {
            return Err(Error::HostedElsewhere);
        }
        // A repo that is still on its way in is none yet.
        self.account(did, GetHead {}).await?;
        if !self.names_our_key(did, &document).await? {
            return Err(Error::SignedElsewhere);
        }
        self.call_move_off(did).await?;
        self.complete(did, &Flow::Activate).await?;
        self.accounts.forget(did, None);
        self.carry_notices_of(did).await
    }

    /// Puts an account to rest.
    ///
    /// # Errors
    /// Why not.
    pub async fn deactivate(self: &Arc<Self>, did: &Did, delete_after_us: Option<i64>) -> Result<(), Error> {
        self.run(did.clone(), Some(Flow::Deactivate { delete_after_us })).await
    }

    /// One step: the directory's notice does the rest.
    pub(super) async fn deactivate_steps(&self, did: &Did, flow: &Flow) -> Result<(), Error> {
        self.complete(did, flow).await?;
        self.accounts.forget(did, None);
        self.carry_notices_of(did).await
    }

    /// Whether what is signed here verifies elsewhere.
    ///
    /// # Errors
    /// Of the cell.
    pub async fn names_our_key(&self, did: &Did, document: &DidDocument) -> Result<bool, Error> {
        let ours = self.account(did, GetSigningKey {}).await?;
        Ok(document.signing_key().is_some_and(|key| key.did_key() == ours))
    }

    /// Ends a move that did not come about: an archive that was made for it moves nothing any more. Nothing happens when
    /// there is none.
    async fn call_move_off(&self, did: &Did) -> Result<(), Error> {
        if let Some(move_key) = self.account(did, GetMoveKey {}).await? {
            plc::expel(self, did, &move_key).await?;
            self.account(did, DropMoveKey {}).await?;
            // An export that was at it let the key in just now, or finds it dropped.
            plc::expel(self, did, &move_key).await?;
        }
        Ok(())
    }
}
