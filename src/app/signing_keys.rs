//! The key that an account's DID document names for its repo.
//!
//! The account's cell makes its signing key and never gives it away, so what a document may name is decided here: that key,
//! and no other. With another one named, everything that the repo signs from then on is worthless to all others. So this
//! mends a document that has come to name another key, by an operation of the network's own; nothing that is sealed depends
//! on it, for the vault has keys of its own.

use super::{App, Error, plc};
use crate::account::{EmitIdentity, GetSigningKey};
use crate::directory;
use crate::syntax::{AtIdentifier, Did};

impl App {
    /// Has the account's document name this key, which is the one that its repo is signed with. Repeats do no harm.
    ///
    /// # Errors
    /// [`Error::AnotherSigningKey`]; [`Error::SignedElsewhere`] where the document is not this network's to change;
    /// [`Error::Upstream`] and its like of the PLC directory.
    pub async fn update_signing_key(&self, did: &Did, signing_key: &str) -> Result<(), Error> {
        let account = self.find_account(&AtIdentifier::Did(did.clone())).await?;
        let account = account.ok_or(Error::Directory(directory::Error::AccountNotFound))?;
        if self.account(did, GetSigningKey {}).await? != signing_key {
            return Err(Error::AnotherSigningKey);
        }
        if did.method() == "plc" {
            plc::set_signing_key(self, did, signing_key).await?;
        } else {
            let document = self.identities.did_document(&self.host, did, true).await?;
            let named = document.signing_key().map(|key| key.did_key());
            if named.as_deref() != Some(signing_key) {
                return Err(Error::SignedElsewhere);
            }
        }
        // Also where nothing was to be done: a crash may have come between.
        self.account(did, EmitIdentity { handle: Some(account.shown_handle()) }).await
    }
}
