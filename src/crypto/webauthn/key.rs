//! The public half of a passkey: as authenticators write it (COSE, RFC 9053), as it rests (a multikey), and what it signs.

use multibase::Base;

use super::super::VerifyingKey;
use super::Error;
use super::cbor::Item;

/// COSE's numbers: of fields, of kinds of key, of curves, and of the algorithms of keys.
mod cose {
    pub(super) const KIND: i64 = 1;
    pub(super) const ALGORITHM: i64 = 3;
    pub(super) const CURVE: i64 = -1;
    pub(super) const X: i64 = -2;
    pub(super) const Y: i64 = -3;
    /// One number of a curve (OKP, 1) or two (EC2, 2); EdDSA (-8) or ES256 (-7); Ed25519 (6) or P-256 (1).
    pub(super) const ED25519: (i64, i64, i64) = (1, -8, 6);
    pub(super) const P256: (i64, i64, i64) = (2, -7, 1);
}

/// What a multikey of Ed25519 begins with.
const ED25519_CODEC: [u8; 2] = [0xed, 0x01];

/// A key that signs for a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// For ES256.
    P256(VerifyingKey),
    /// For EdDSA.
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl PublicKey {
    /// Reads a COSE key.
    pub(super) fn read(key: &Item<'_>) -> Result<Self, Error> {
        let malformed = || Error::Malformed("the key");
        let number = |label| key.get(Item::integer(label)).and_then(Item::as_integer);
        let coordinate = |label| match key.get(Item::integer(label)) {
            Some(Item::Bytes(bytes)) => <&[u8; 32]>::try_from(*bytes).map_err(|_| malformed()),
            _ => Err(malformed()),
        };
        let kind = (number(cose::KIND), number(cose::ALGORITHM), number(cose::CURVE));
        let (Some(kind), Some(algorithm), Some(curve)) = kind else { return Err(Error::WrongAlgorithm) };
        match (kind, algorithm, curve) {
            cose::P256 => VerifyingKey::from_p256_coordinates(coordinate(cose::X)?, coordinate(cose::Y)?)
                .map(Self::P256)
                .map_err(|_| malformed()),
            cose::ED25519 => Self::ed25519(coordinate(cose::X)?).ok_or_else(malformed),
            _ => Err(Error::WrongAlgorithm),
        }
    }

    fn ed25519(bytes: &[u8; 32]) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
        // One of few points, for which anything is a signature.
        (!key.is_weak()).then(|| Self::Ed25519(Box::new(key)))
    }

    /// The key as `z…`.
    #[must_use]
    pub fn multikey(&self) -> String {
        match self {
            Self::P256(key) => key.multikey(),
            Self::Ed25519(key) => {
                multibase::encode(Base::Base58Btc, [&ED25519_CODEC[..], key.as_bytes()].concat())
            }
        }
    }

    /// Reads what [`PublicKey::multikey`] wrote.
    #[must_use]
    pub fn from_multikey(text: &str) -> Option<Self> {
        let (base, bytes) = multibase::decode(text).ok()?;
        match bytes.strip_prefix(&ED25519_CODEC) {
            Some(key) if base == Base::Base58Btc => Self::ed25519(key.try_into().ok()?),
            _ => VerifyingKey::from_multikey(text).ok().map(Self::P256),
        }
    }

    /// Whether a signature, as authenticators write it, is this key's over a message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let malformed = |_| Error::Malformed("the signature");
        match self {
            Self::P256(key) => {
                let signature = p256::ecdsa::Signature::from_der(signature).map_err(malformed)?;
                key.verify_jws(message, &signature.to_bytes()).map_err(|_| Error::SignatureMismatch)
            }
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature)
                    .map_err(|_| Error::Malformed("the signature"))?;
                key.verify_strict(message, &signature).map_err(|_| Error::SignatureMismatch)
            }
        }
    }
}
