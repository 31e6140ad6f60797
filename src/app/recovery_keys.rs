//! Keys of an owner's own over their did:plc, above this network's: with one, they can move the account or take it back,
//! whatever this network does.

use super::signup::check_recovery_key;
use super::{App, Error, plc};
use crate::directory::GetRotationKey;
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
        plc::add_rotation_key(self, did, key).await
    }
}
