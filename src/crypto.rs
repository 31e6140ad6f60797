//! Signing, verifying, tokens, passwords, digests: the primitives every other module builds on.
//!
//! The protocol has two curves. Our own keys are secp256k1 ([`SigningKey`]); other people's may be
//! either ([`VerifyingKey`]). Signatures of repos and did:plc operations are 64 bytes, `r || s`, with
//! a low `s`, over SHA-256; anything else is refused. Tokens are compact JWS ([`jwt`]), where the low-`s`
//! rule does not exist. Account passwords rest as Argon2id strings ([`password`]); codes beside them are made of the time ([`totp`]), and
//! passkeys stand in for both ([`webauthn`]).
//!
//! Invariants:
//! - nothing here draws randomness or reads the clock: both come in as arguments;
//! - private keys are wiped when dropped and never shown by `Debug`;
//! - secrets are compared in constant time.
//!
//! What seals private records is one floor up, in `vault`.

pub mod jwt;
pub mod password;
mod signing;
pub mod totp;
mod verifying;
pub mod webauthn;

pub use signing::{SIGNATURE_LEN, SigningKey};
pub use verifying::VerifyingKey;

use sha2::Digest as _;
use subtle::ConstantTimeEq as _;

/// Why a key or a signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The 32 bytes are zero or not below the order of secp256k1.
    #[error("private key is not a secp256k1 scalar")]
    PrivateKey,
    /// The text does not begin with `did:key:`.
    #[error("not a did:key")]
    NotDidKey,
    /// The text is not base58btc multibase (`z…`), the only base the protocol uses for keys.
    #[error("public key is not base58btc multibase")]
    Multibase,
    /// The multicodec prefix or the verification method type names a curve the protocol does not have.
    #[error("public key is of an unknown type")]
    KeyType,
    /// The bytes are not a point of the curve in SEC1 form.
    #[error("public key is not a point of its curve")]
    PublicKey,
    /// Not 64 bytes, for example because it is DER.
    #[error("signature is not {SIGNATURE_LEN} bytes of r and s")]
    SignatureFormat,
    /// `s` is in the upper half: the same signature in another form, which the protocol forbids.
    #[error("signature is not in low-S form")]
    HighS,
    /// Well formed, but not made by this key over this message.
    #[error("signature does not match")]
    SignatureMismatch,
}

/// SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(data).into()
}

/// Whether two secrets are equal, in time that depends on their lengths only.
pub fn ct_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_sha256() {
        let hex: String = sha256(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn constant_time_comparison_is_a_comparison() {
        assert!(ct_eq(b"same", b"same"));
        assert!(!ct_eq(b"same", b"sane"));
        assert!(!ct_eq(b"same", b"same "));
    }
}
