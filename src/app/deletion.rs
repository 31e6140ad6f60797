//! Ending accounts.

use std::sync::Arc;

use super::{App, Error, plc};
use crate::actor::Kind;
use crate::directory::{
    Account, DeleteAccount, Flow, GetAccount, RevokeAgentTokens, SetStatus, StatusChange, Who,
};
use crate::moving::GetMoveKey;
use crate::seam::Hidden;
use crate::syntax::{AtIdentifier, Did};

impl App {
    /// An agent of this network.
    ///
    /// # Errors
    /// [`Error::AgentNotFound`], or of the directory.
    pub async fn agent(&self, agent: AtIdentifier) -> Result<Account, Error> {
        let who = match agent {
            AtIdentifier::Did(did) => Who::Did(did),
            AtIdentifier::Handle(handle) => Who::Handle(handle),
        };
        let account = self.directory(GetAccount { who }).await?;
        account.filter(|account| account.kind == Kind::Agent).ok_or(Error::AgentNotFound)
    }

    /// Ends an agent and its DID.
    ///
    /// # Errors
    /// [`Error::AgentNotFound`], [`Error::OnTheMove`], and why else not. After [`Error::Unsettled`] it goes on by itself.
    pub async fn delete_agent(self: &Arc<Self>, agent: AtIdentifier) -> Result<Did, Error> {
        let did = self.agent(agent).await?.did;
        self.run(did.clone(), Some(Flow::DeleteAgent)).await?;
        Ok(did)
    }

    /// Put to rest, its DID ended, then everything of it destroyed. The account is there to repeat it with until the last.
    pub(super) async fn delete_agent_steps(&self, did: &Did) -> Result<(), Error> {
        let account = self.agent(AtIdentifier::Did(did.clone())).await?;
        if let Ok(Some(move_key)) = self.account(did, GetMoveKey {}).await
            && plc::has_rotation_key(self, did, &move_key).await?
        {
            return Err(Error::OnTheMove);
        }
        self.directory(RevokeAgentTokens { did: did.clone() }).await?;
        self.accounts.forget(did, None);
        if !account.status.is_moderated() {
            let change = StatusChange::Deactivate { delete_after_us: None };
            self.directory(SetStatus { did: did.clone(), change }).await?;
        }
        // Whether it hears of it or not: a damaged agent can be deleted too.
        self.carry_notices().await?;
        if did.method() == "plc" {
            // It can't act any more: there is no way but on.
            plc::tombstone(self, did).await.map_err(Error::into_unsettled)?;
        }
        self.complete(did, &Flow::DeleteAgent).await?;
        self.accounts.forget(did, None);
        self.carry_notices_of(did).await
    }

    /// Removes any account; with a code it is its owner who asks. The DID stays: it is the owner's, who may go
    /// elsewhere with it. One step: the directory's notice does the rest.
    ///
    /// # Errors
    /// [`Error::Full`]; those of the directory, [`crate::directory::Error::InvalidMailCode`] among them; or the notice's,
    /// which is carried later then.
    pub async fn delete_account(
        self: &Arc<Self>,
        did: &Did,
        code: Option<Hidden<String>>,
    ) -> Result<(), Error> {
        self.require_room()?;
        self.change(did, DeleteAccount { did: did.clone(), code }).await?;
        self.carry_notices_of(did).await
    }
}
