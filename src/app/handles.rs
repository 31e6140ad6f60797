//! Giving an account another handle.

use std::sync::Arc;

use super::{App, Error, plc};
use crate::directory::{CheckHandle, Flow, GetAccount, Placement, Who};
use crate::syntax::{Did, Handle};

impl App {
    /// Gives an account another handle, in its DID document and here.
    ///
    /// # Errors
    /// Why not. After [`Error::Unsettled`] the change goes on by itself.
    pub async fn update_handle(self: &Arc<Self>, did: &Did, handle: &Handle) -> Result<(), Error> {
        self.give_handle(did, handle, false).await
    }

    /// The same for the operator, who may give names that are kept back.
    ///
    /// # Errors
    /// As there.
    pub async fn update_handle_by_operator(
        self: &Arc<Self>,
        did: &Did,
        handle: &Handle,
    ) -> Result<(), Error> {
        self.give_handle(did, handle, true).await
    }

    async fn give_handle(
        self: &Arc<Self>,
        did: &Did,
        handle: &Handle,
        allow_reserved: bool,
    ) -> Result<(), Error> {
        let handle = handle.normalized();
        let check = CheckHandle { handle: handle.clone(), did: Some(did.clone()), allow_reserved };
        let verified = match self.directory(check).await? {
            Placement::Service => false,
            Placement::External => {
                self.require_handle_of(&handle, did).await?;
                true
            }
        };
        self.run(did.clone(), Some(Flow::UpdateHandle { handle, verified, allow_reserved })).await
    }

    /// The document first: when this fails nothing has changed, and a repetition after a crash finds it done. The handle is
    /// kept for the account meanwhile.
    pub(super) async fn update_handle_steps(
        &self,
        did: &Did,
        flow: &Flow,
        handle: &Handle,
    ) -> Result<(), Error> {
        if did.method() == "plc" {
            plc::set_handle(self, did, handle).await?;
        } else {
            let document = self.identities.did_document(&self.host, did, true).await?;
            if document.handle().as_ref() != Some(handle) {
                return Err(Error::HandleNotInDocument);
            }
        }
        let account = self.directory(GetAccount { who: Who::Did(did.clone()) }).await?;
        self.complete(did, flow).await?;
        self.accounts.forget(did, account.as_ref().map(|account| &account.handle));
        self.carry_notices_of(did).await
    }
}
