//! Whole identities: a DID, its document, and its handle where both name each other.

use std::sync::Arc;

use super::{App, Error};
use crate::host::Net;
use crate::identity::DidDocument;
use crate::syntax::{AtIdentifier, Did, Handle};

/// An identity of the network.
pub struct FoundIdentity {
    /// Who it is.
    pub did: Did,
    /// Its name; [`Handle::invalid`] where the name does not lead back.
    pub handle: Handle,
    /// The document.
    pub document: Arc<DidDocument>,
}

impl App {
    /// Finds an identity by either of its names, for a client; `fresh` asks everybody again.
    ///
    /// # Errors
    /// [`Error::HandleNotFound`], [`Error::DidNotFound`], [`Error::Busy`] when much is looked up already.
    pub async fn find_identity(
        &self,
        client: Option<Net>,
        identifier: &AtIdentifier,
        fresh: bool,
    ) -> Result<FoundIdentity, Error> {
        let did = match identifier {
            AtIdentifier::Did(did) => did.clone(),
            AtIdentifier::Handle(handle) => {
                self.did_named(client, handle, fresh).await?.ok_or(Error::HandleNotFound)?
            }
        };
        let document = self.find_document(client, &did, fresh).await?;
        let claimed = document.handle();
        let handle = match (claimed, identifier) {
            (None, _) => Handle::invalid(),
            (Some(claimed), AtIdentifier::Handle(given)) if claimed == given.normalized() => claimed,
            // Whatever goes wrong, the account is there; only its handle is not proven.
            (Some(claimed), _) => match self.did_named(client, &claimed, fresh).await {
                Ok(Some(named)) if named == did => claimed,
                Err(Error::Busy) => return Err(Error::Busy),
                _ => Handle::invalid(),
            },
        };
        Ok(FoundIdentity { did, handle, document })
    }

    /// The document of a DID, for a client.
    ///
    /// # Errors
    /// [`Error::DidNotFound`], [`Error::Busy`], [`Error::Upstream`].
    pub async fn find_document(
        &self,
        client: Option<Net>,
        did: &Did,
        fresh: bool,
    ) -> Result<Arc<DidDocument>, Error> {
        let _turn = if fresh { Some(self.identities.turn(client)?) } else { None };
        let found = if fresh {
            self.identities.did_document(&self.host, did, true).await.map_err(Error::from)
        } else {
            self.identities.document_for(&self.host, client, did, false).await
        };
        found.map_err(|error| match error {
            Error::Identity(_) => Error::DidNotFound,
            error => error,
        })
    }

    /// Whose a handle is, by this server for its own and by the handle's domain for others; `None` for nobody's.
    async fn did_named(
        &self,
        client: Option<Net>,
        handle: &Handle,
        fresh: bool,
    ) -> Result<Option<Did>, Error> {
        let handle = handle.normalized();
        // One that led here once is asked for as any other, as everybody else does.
        let account = self.find_account(&AtIdentifier::Handle(handle.clone())).await?;
        if let Some(account) = account.filter(|account| !account.handle_fails) {
            // As `/.well-known/atproto-did` says it.
            return Ok(account.status.is_active().then_some(account.did));
        }
        // Nobody else answers for the service's own domains.
        if self.network.handle_domains.iter().any(|domain| handle.as_str().ends_with(domain.as_str())) {
            return Ok(None);
        }
        let found = if fresh {
            let _turn = self.identities.turn(client)?;
            let found = self.identities.did_of_handle(&self.host, &handle, true).await;
            found.map_err(Error::from)
        } else {
            self.identities.did_for(&self.host, client, &handle).await
        };
        match found {
            Ok(did) => Ok(Some(did)),
            Err(Error::Busy) => Err(Error::Busy),
            Err(_) => Ok(None),
        }
    }
}
