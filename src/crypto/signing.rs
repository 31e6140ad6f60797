//! The private keys this server holds: secp256k1, for repos and as did:plc rotation keys.

use super::{Error, VerifyingKey};
use k256::ecdsa::signature::Signer as _;
use k256::elliptic_curve::Generate as _;
use std::fmt;
use zeroize::Zeroizing;

/// Length of a signature: 32 bytes of `r`, 32 of `s`.
pub const SIGNATURE_LEN: usize = 64;

/// A secp256k1 private key. Wiped when dropped; `Debug` shows the public half only.
#[derive(Clone)]
pub struct SigningKey(k256::ecdsa::SigningKey);

impl SigningKey {
    /// Makes a key from the caller's randomness.
    pub fn generate(rng: &mut dyn rand_core::CryptoRng) -> Self {
        Self(k256::ecdsa::SigningKey::generate_from_rng(rng))
    }

    /// Reads a key as [`Self::to_bytes`] wrote it.
    ///
    /// # Errors
    /// [`Error::PrivateKey`] when the number is zero or not below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        k256::ecdsa::SigningKey::from_slice(bytes).map(Self).map_err(|_| Error::PrivateKey)
    }

    /// The scalar, big-endian. For wrapping under another key, never for storage as it is.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// Signs `message`: ECDSA over its SHA-256, deterministic (RFC 6979), low `s`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let signature: k256::ecdsa::Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::K256(*self.0.verifying_key())
    }

    /// The public half as `did:key:z…`.
    pub fn did_key(&self) -> String {
        self.verifying_key().did_key()
    }

    /// The public half as `z…`, the `publicKeyMultibase` of a `Multikey` in a DID document.
    pub fn public_multikey(&self) -> String {
        self.verifying_key().multikey()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.did_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn own_signatures_verify_and_are_deterministic() {
        for message in [&b""[..], b"hello", &[0xff; 4096]] {
            let signature = key(7).sign(message);
            assert_eq!(signature, key(7).sign(message));
            key(7).verifying_key().verify(message, &signature).unwrap();
            assert_eq!(key(8).verifying_key().verify(message, &signature), Err(Error::SignatureMismatch));
        }
    }

    #[test]
    fn bytes_go_round() {
        assert_eq!(*key(9).to_bytes(), [9; 32]);
    }

    #[test]
    fn zero_and_the_order_are_no_keys() {
        assert_eq!(SigningKey::from_bytes(&[0; 32]).unwrap_err(), Error::PrivateKey);
        assert_eq!(SigningKey::from_bytes(&[0xff; 32]).unwrap_err(), Error::PrivateKey);
    }

    #[test]
    fn debug_hides_the_secret() {
        let shown = format!("{:?}", key(0x41));
        assert!(shown.contains("did:key:z"));
        assert!(!shown.contains("41414141"));
    }
}
