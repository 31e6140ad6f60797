//! Keys of an owner's own over their did:plc, above this network's: with one, they can move the account or take it back,
//! whatever this network does.

use super::signup::check_recovery_key;
use super::{App, Error, plc};
use crate::directory::{GetRotationKey, TellOfRecoveryKey};
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

    /// Puts an owner's key above all others. Repeats do no harm: a key that is there already stays where it is.
    ///
    /// # Errors
    /// [`Error::InvalidRecoveryKey`]; [`Error::SignedElsewhere`] where the document is not this network's to change;
    /// [`Error::Upstream`] and its like of the PLC directory.
    pub async fn add_recovery_key(&self, did: &Did, key: &str) -> Result<(), Error> {
        let key = check_recovery_key(key.trim().to_owned())?;
        let keys = self.rotation_keys(did).await?;
        if keys.iter().any(|other| other.key == key) {
            return Ok(());
        }
        if !keys.iter().any(|key| key.is_ours) {
            return Err(Error::SignedElsewhere);
        }
        if keys.len() >= ROTATION_KEYS_MAX {
            let why = format!("a DID has {ROTATION_KEYS_MAX} keys at most");
            return Err(Error::InvalidRecoveryKey(why));
        }
        plc::add_rotation_key(self, did, key).await?;
        self.tell_of_recovery_key(did, true).await;
        Ok(())
    }

    /// Takes an owner's key out of the document. Repeats do no harm. Whoever has that key can undo it within the 72 hours
    /// that did:plc gives to higher keys.
    ///
    /// # Errors
    /// [`Error::InvalidRecoveryKey`] for this network's own; [`Error::SignedElsewhere`] where the document is not this
    /// network's to change; [`Error::Upstream`] and its like of the PLC directory.
    pub async fn remove_recovery_key(&self, did: &Did, key: &str) -> Result<(), Error> {
        let keys = self.rotation_keys(did).await?;
        let Some(found) = keys.iter().find(|other| other.key == key) else { return Ok(()) };
        if found.is_ours {
            return Err(Error::InvalidRecoveryKey(
                "this key is the server’s, which it serves you with".to_owned(),
            ));
        }
        if !keys.iter().any(|key| key.is_ours) {
            return Err(Error::SignedElsewhere);
        }
        plc::expel(self, did, key).await?;
        self.tell_of_recovery_key(did, false).await;
        Ok(())
    }

    /// The key's change is made and public: that it is told is no part of it.
    async fn tell_of_recovery_key(&self, did: &Did, is_there: bool) {
        let ask = TellOfRecoveryKey { did: did.clone(), is_there };
        if let Err(error) = self.directory(ask).await {
            tracing::warn!(%did, %error, "the owner is not told of a recovery key");
        }
    }
}
