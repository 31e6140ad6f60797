//! Keys of an owner's own over their did:plc, above this network's: with one, they can move the account or take it back,
//! whatever this network does.

use std::sync::Arc;

use super::signup::check_recovery_key;
use super::{App, Error, plc};
use crate::directory::{Flow, GetFlow, GetRotationKey};
use crate::syntax::Did;

/// Rotation keys of a did:plc: as many as its specification speaks of; the directory takes more.
const ROTATION_KEYS_MAX: usize = 5;

/// A key that can change a DID's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationKey {
    /// A did:key.
    pub key: String,
    /// Whether it is this network's.
    pub is_ours: bool,
}

impl App {
    /// The keys that can change a did:plc's document, the most powerful first.
    ///
    /// # Errors
    /// [`Error::Upstream`] and its like of the PLC directory.
    pub async fn rotation_keys(&self, did: &Did) -> Result<Vec<RotationKey>, Error> {
        let ours = self.directory(GetRotationKey {}).await?;
        let keys = plc::rotation_keys(self, did).await?;
        Ok(keys.into_iter().map(|key| RotationKey { is_ours: key == ours, key }).collect())
    }

    /// Puts an owner's key above all others, and tells the owner. Repeats do no harm: a key that is there already stays where
    /// it is.
    ///
    /// # Errors
    /// [`Error::InvalidRecoveryKey`]; [`Error::SignedElsewhere`] where the document is not this network's to change;
    /// [`Error::Upstream`] and its like of the PLC directory. After [`Error::Unsettled`] the change goes on by itself.
    pub async fn add_recovery_key(self: &Arc<Self>, did: &Did, key: &str) -> Result<(), Error> {
        let key = check_recovery_key(key.trim().to_owned())?;
        self.set_recovery_key(did, key, true).await
    }

    /// Takes an owner's key out of the document, and tells the owner. Repeats do no harm. Whoever has that key can undo it
    /// within the 72 hours that did:plc gives to higher keys.
    ///
    /// # Errors
    /// As [`App::add_recovery_key`]; [`Error::InvalidRecoveryKey`] for this network's own.
    pub async fn remove_recovery_key(self: &Arc<Self>, did: &Did, key: &str) -> Result<(), Error> {
        self.set_recovery_key(did, key.to_owned(), false).await
    }

    async fn set_recovery_key(self: &Arc<Self>, did: &Did, key: String, is_there: bool) -> Result<(), Error> {
        let flow = Flow::RecoveryKey { key, is_there };
        let Flow::RecoveryKey { key, .. } = &flow else { return Ok(()) };
        let was_there = self.rotation_keys(did).await?.iter().any(|other| other.key == *key);
        // Unless the same is under way, of which the owner is yet to be told.
        if was_there == is_there
            && self.directory(GetFlow { did: did.clone() }).await?.as_ref() != Some(&flow)
        {
            return Ok(());
        }
        self.run(did.clone(), Some(flow)).await?;
        self.post_soon();
        Ok(())
    }

    pub(super) async fn recovery_key_steps(
        &self,
        did: &Did,
        flow: &Flow,
        key: &str,
        is_there: bool,
    ) -> Result<(), Error> {
        let keys = self.rotation_keys(did).await?;
        let found = keys.iter().find(|other| other.key == key);
        if found.is_some() != is_there {
            if !keys.iter().any(|key| key.is_ours) {
                return Err(Error::SignedElsewhere);
            }
            if found.is_some_and(|found| found.is_ours) {
                return Err(Error::InvalidRecoveryKey(
                    "this key is the server’s, which it serves you with".to_owned(),
                ));
            }
            if is_there && keys.len() >= ROTATION_KEYS_MAX {
                let why = format!("a DID has {ROTATION_KEYS_MAX} keys at most");
                return Err(Error::InvalidRecoveryKey(why));
            }
            match is_there {
                true => plc::add_rotation_key(self, did, key.to_owned()).await?,
                false => plc::expel(self, did, key).await?,
            }
        }
        self.complete(did, flow).await
    }
}
