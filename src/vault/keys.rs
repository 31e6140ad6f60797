//! The keys, from the operator's down to a record's, and how one rests wrapped under the one above it.
//!
//! Wrapping is XChaCha20-Poly1305 with a random nonce of 24 bytes: one epoch key wraps very many data keys, and at that
//! length nonces may be drawn at random without ever meeting. A wrapped secret is `nonce || ciphertext || tag`; its
//! associated data names the purpose and the place, so that no wrapped key passes for another.

use super::Error;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use hkdf::Hkdf;
use repo_mst::cbor::Writer;
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// A mark leads to a memory and proves nothing of it: what it leads to is opened and compared.
pub(super) const MARK_LEN: usize = 16;
/// Separates what is derived from the master key here from any other use of the same bytes.
const DERIVE_PREFIX: &[u8] = b"zap/derive/1/";

macro_rules! key {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// Takes the key's bytes.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(Zeroizing::new(bytes))
            }

            /// The key's bytes: for deriving and wrapping, never for storage as they are.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Draws a key from the caller's randomness.
            pub fn generate(rng: &mut dyn rand_core::CryptoRng) -> Self {
                let mut bytes = Zeroizing::new([0; 32]);
                rng.fill_bytes(bytes.as_mut_slice());
                Self(bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    };
}

key! {
    /// The network operator's key, above all agents' root keys. The key comes from the environment or a file.
    MasterKey
}
key! {
    /// An agent's own key, above its epochs.
    RootKey
}
key! {
    /// The key of one epoch, which wraps the data keys made while it is current.
    EpochKey
}
key! {
    /// The key of one version of one record.
    DataKey
}

impl MasterKey {
    /// Reads 64 hexadecimal digits of either case; space around them is allowed, as files end in a newline.
    ///
    /// # Errors
    /// [`Error::MasterKeyFormat`].
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| Error::MasterKeyFormat)?;
        bytes.as_slice().try_into().map(Self::from_bytes).map_err(|_| Error::MasterKeyFormat)
    }

    /// The key as [`Self::from_hex`] reads it: for writing a new key file.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::HEXLOWER.encode(self.as_bytes()))
    }

    /// A key for another purpose, named by `label`; different labels give independent keys.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        derive(self.as_bytes(), label)
    }
}

impl RootKey {
    /// A mark of `digest` that nobody without this key can make or compare; of each `purpose` another.
    pub(super) fn mark(&self, purpose: &str, digest: &[u8; 32]) -> [u8; MARK_LEN] {
        let mut mark = [0; MARK_LEN];
        let expanded = Hkdf::<Sha256>::new(None, self.as_bytes())
            .expand_multi_info(&[DERIVE_PREFIX, purpose.as_bytes(), digest], &mut mark);
        debug_assert!(expanded.is_ok(), "HKDF-SHA256 gives up to 8,160 bytes");
        mark
    }

    /// A key of this agent for another purpose, named by `label`.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        derive(self.as_bytes(), label)
    }
}

fn derive(key: &[u8; 32], label: &str) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(None, key)
        .expand_multi_info(&[DERIVE_PREFIX, label.as_bytes()], out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "HKDF-SHA256 gives up to 8,160 bytes");
    out
}

/// Associated data of a wrapped secret: what it is, whose or where, and a number that tells it from its like.
pub(super) fn wrap_aad(purpose: &str, place: &str, number: i64) -> Vec<u8> {
    let mut aad = Vec::with_capacity(purpose.len() + place.len() + 16);
    let mut writer = Writer(&mut aad);
    writer.array(3);
    writer.text(purpose);
    writer.text(place);
    writer.unsigned(number.unsigned_abs());
    aad
}

/// Encrypts `secret` under `key`, bound to `aad`.
///
/// # Errors
/// [`Error::Primitive`] for a secret beyond the cipher's 256 GiB.
pub fn wrap_secret(
    key: &[u8; 32],
    aad: &[u8],
    secret: &[u8],
    rng: &mut dyn rand_core::CryptoRng,
) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let mut wrapped = Vec::with_capacity(NONCE_LEN + secret.len() + TAG_LEN);
    wrapped.extend_from_slice(&nonce);
    wrapped.extend_from_slice(secret);
    let (_, body) = wrapped.split_at_mut(NONCE_LEN);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached((&nonce).into(), aad, body.into())
        .map_err(|_| Error::Primitive("wrap"))?;
    wrapped.extend_from_slice(&tag);
    Ok(wrapped)
}

/// Decrypts what [`wrap_secret`] made with the same `key` and `aad`. `what` names it in the error.
///
/// # Errors
/// [`Error::Unwrap`] for any difference.
pub fn unwrap_secret(
    key: &[u8; 32],
    aad: &[u8],
    wrapped: &[u8],
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, rest) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(Error::Unwrap(what))?;
    let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(Error::Unwrap(what))?;
    let mut secret = Zeroizing::new(body.to_vec());
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), aad, secret.as_mut_slice().into(), tag.into())
        .map_err(|_| Error::Unwrap(what))?;
    Ok(secret)
}

/// [`unwrap_secret`] for a key of 32 bytes.
pub(super) fn unwrap_key(
    key: &[u8; 32],
    aad: &[u8],
    wrapped: &[u8],
    what: &'static str,
) -> Result<[u8; 32], Error> {
    unwrap_secret(key, aad, wrapped, what)?.as_slice().try_into().map_err(|_| Error::Unwrap(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::tests::rng;

    #[test]
    fn master_key_text() {
        let key = MasterKey::from_hex(&format!(" {}\n", "aB".repeat(32))).unwrap();
        assert_eq!(key.as_bytes(), &[0xab; 32]);
        assert_eq!(*key.to_hex(), "ab".repeat(32));
        for text in ["", "ab", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
            assert_eq!(MasterKey::from_hex(text).unwrap_err(), Error::MasterKeyFormat);
        }
        assert!(!format!("{key:?}").contains("ab"));
    }

    #[test]
    fn labels_give_independent_keys() {
        let key = MasterKey::from_bytes([1; 32]);
        assert_eq!(key.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_ne!(key.derive("a"), MasterKey::from_bytes([2; 32]).derive("a"));
    }

    #[test]
    fn wrapped_secrets_open_at_home_only() {
        let aad = wrap_aad("purpose", "did:plc:a", 1);
        let wrapped = wrap_secret(&[1; 32], &aad, &[9; 32], &mut rng(0)).unwrap();
        assert_eq!(wrapped.len(), 72);
        assert_eq!(*unwrap_secret(&[1; 32], &aad, &wrapped, "key").unwrap(), [9; 32]);
        assert!(unwrap_secret(&[2; 32], &aad, &wrapped, "key").is_err());
        for other in [
            wrap_aad("other", "did:plc:a", 1),
            wrap_aad("purpose", "did:plc:b", 1),
            wrap_aad("purpose", "did:plc:a", 2),
        ] {
            assert_eq!(unwrap_secret(&[1; 32], &other, &wrapped, "key"), Err(Error::Unwrap("key")));
        }
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(unwrap_secret(&[1; 32], &aad, &changed, "key").is_err(), "byte {at}");
            assert!(unwrap_secret(&[1; 32], &aad, &wrapped[..at], "key").is_err(), "cut at {at}");
        }
    }
}
