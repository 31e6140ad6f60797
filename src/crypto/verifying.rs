//! Other people's public keys, of either curve of the protocol.
//!
//! Three texts carry a key: `did:key:z…` and the `publicKeyMultibase` of a `Multikey` (both: multicodec
//! prefix, compressed point), and the older `EcdsaSecp256…VerificationKey2019` methods (no prefix, any
//! SEC1 form). Source: <https://atproto.com/specs/cryptography>.
//!
//! Tricky bit: `k256` refuses a high `s` by itself, `p256` takes it. So the check is ours, before both.

use super::{Error, SIGNATURE_LEN};
use crate::limits::KEY_TEXT_CHARS_MAX;
use k256::ecdsa::signature::Verifier as _;
use multibase::Base;
use std::fmt;

const DID_KEY_PREFIX: &str = "did:key:";
/// Multicodec `secp256k1-pub` (0xe7) as a varint.
const K256_CODEC: [u8; 2] = [0xe7, 0x01];
/// Multicodec `p256-pub` (0x1200) as a varint.
const P256_CODEC: [u8; 2] = [0x80, 0x24];

/// A public key that signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum VerifyingKey {
    /// secp256k1, JOSE name ES256K.
    K256(k256::ecdsa::VerifyingKey),
    /// NIST P-256, JOSE name ES256.
    P256(p256::ecdsa::VerifyingKey),
}

impl VerifyingKey {
    /// Reads `did:key:z…`.
    ///
    /// # Errors
    /// [`Error::NotDidKey`], or as [`Self::from_multikey`].
    pub fn from_did_key(did: &str) -> Result<Self, Error> {
        Self::from_multikey(did.strip_prefix(DID_KEY_PREFIX).ok_or(Error::NotDidKey)?)
    }

    /// Reads the `publicKeyMultibase` of a verification method of type `Multikey`.
    ///
    /// # Errors
    /// [`Error::Multibase`], [`Error::KeyType`] or [`Error::PublicKey`], in the order of reading.
    pub fn from_multikey(text: &str) -> Result<Self, Error> {
        let bytes = decode_base58btc(text)?;
        let (codec, point) = bytes.split_first_chunk::<2>().ok_or(Error::KeyType)?;
        // A multikey holds the compressed form only; otherwise one key would have two did:keys.
        match *codec {
            K256_CODEC if point.len() == 33 => Self::k256(point),
            P256_CODEC if point.len() == 33 => Self::p256(point),
            K256_CODEC | P256_CODEC => Err(Error::PublicKey),
            _ => Err(Error::KeyType),
        }
    }

    /// Reads the key of a DID document's verification method: `Multikey`, or one of the two older types
    /// whose `publicKeyMultibase` has no multicodec prefix.
    ///
    /// # Errors
    /// As [`Self::from_multikey`].
    pub fn from_verification_method(method_type: &str, multibase: &str) -> Result<Self, Error> {
        match method_type {
            "Multikey" => Self::from_multikey(multibase),
            "EcdsaSecp256k1VerificationKey2019" => Self::k256(&decode_base58btc(multibase)?),
            "EcdsaSecp256r1VerificationKey2019" => Self::p256(&decode_base58btc(multibase)?),
            _ => Err(Error::KeyType),
        }
    }

    /// A point of P-256 by its coordinates, as a JWK has it.
    ///
    /// # Errors
    /// [`Error::PublicKey`].
    pub fn from_p256_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, Error> {
        Self::p256(&[&[4], &x[..], &y[..]].concat())
    }

    fn k256(sec1: &[u8]) -> Result<Self, Error> {
        k256::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map(Self::K256).map_err(|_| Error::PublicKey)
    }

    fn p256(sec1: &[u8]) -> Result<Self, Error> {
        p256::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map(Self::P256).map_err(|_| Error::PublicKey)
    }

    /// Checks a signature of a repo commit or a did:plc operation: 64 bytes, low `s`, over SHA-256.
    ///
    /// # Errors
    /// [`Error::SignatureFormat`], [`Error::HighS`] or [`Error::SignatureMismatch`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.verify_with(message, signature, false)
    }

    /// Checks a signature of a token. JOSE has no low-`s` rule and common signers (WebCrypto) give either
    /// form, so both are taken; nothing may rely on a token's bytes being unique.
    ///
    /// # Errors
    /// [`Error::SignatureFormat`] or [`Error::SignatureMismatch`].
    pub fn verify_jws(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.verify_with(message, signature, true)
    }

    fn verify_with(&self, message: &[u8], signature: &[u8], high_s_allowed: bool) -> Result<(), Error> {
        let bytes: &[u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| Error::SignatureFormat)?;
        match self {
            Self::K256(key) => {
                let given = k256::ecdsa::Signature::from_slice(bytes).map_err(|_| Error::SignatureFormat)?;
                let low = given.normalize_s();
                if low != given && !high_s_allowed {
                    return Err(Error::HighS);
                }
                key.verify(message, &low).map_err(|_| Error::SignatureMismatch)
            }
            Self::P256(key) => {
                let given = p256::ecdsa::Signature::from_slice(bytes).map_err(|_| Error::SignatureFormat)?;
                if given.normalize_s() != given && !high_s_allowed {
                    return Err(Error::HighS);
                }
                verify_p256(key, message, &given)
            }
        }
    }

    /// The key as `did:key:z…`.
    pub fn did_key(&self) -> String {
        format!("{DID_KEY_PREFIX}{}", self.multikey())
    }

    /// The key as `z…`: multicodec prefix and compressed point in base58btc.
    pub fn multikey(&self) -> String {
        let (codec, point) = match self {
            Self::K256(key) => (K256_CODEC, key.to_sec1_point(true).as_bytes().to_vec()),
            Self::P256(key) => (P256_CODEC, key.to_sec1_point(true).as_bytes().to_vec()),
        };
        multibase::encode(Base::Base58Btc, [&codec[..], &point].concat())
    }

    /// The `alg` a token signed with this key carries.
    pub fn jws_algorithm(&self) -> &'static str {
        match self {
            Self::K256(_) => "ES256K",
            Self::P256(_) => "ES256",
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.did_key())
    }
}

fn decode_base58btc(text: &str) -> Result<Vec<u8>, Error> {
    if text.len() > KEY_TEXT_CHARS_MAX || !text.starts_with('z') {
        return Err(Error::Multibase);
    }
    multibase::decode(text).map(|(_, bytes)| bytes).map_err(|_| Error::Multibase)
}

/// Each request of an OAuth application has a signature of this curve, so the fastest code at hand checks it.
#[cfg(not(target_arch = "wasm32"))]
fn verify_p256(
    key: &p256::ecdsa::VerifyingKey,
    message: &[u8],
    signature: &p256::ecdsa::Signature,
) -> Result<(), Error> {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.to_sec1_point(false));
    key.verify(message, &signature.to_bytes()).map_err(|_| Error::SignatureMismatch)
}

#[cfg(target_arch = "wasm32")]
fn verify_p256(
    key: &p256::ecdsa::VerifyingKey,
    message: &[u8],
    signature: &p256::ecdsa::Signature,
) -> Result<(), Error> {
    key.verify(message, signature).map_err(|_| Error::SignatureMismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SigningKey;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    fn fixture<T: DeserializeOwned>(name: &str) -> Option<T> {
        let path = format!("{}/../shared/interop/crypto/{name}", env!("CARGO_MANIFEST_DIR"));
        let Ok(text) = std::fs::read(path) else {
            eprintln!("SKIPPED: ../shared/interop is not there");
            return None;
        };
        Some(serde_json::from_slice(&text).unwrap())
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SignatureFixture {
        comment: String,
        message_base64: String,
        algorithm: String,
        did_doc_suite: String,
        public_key_did: String,
        public_key_multibase: String,
        signature_base64: String,
        valid_signature: bool,
        tags: Vec<String>,
    }

    /// What breaks: the two hosts, which check P-256 with different code, take different signatures.
    #[test]
    fn p256_is_checked_alike_on_both_hosts() {
        for seed in 1..=40_u8 {
            let signer = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
            let (message, key) = (vec![seed; usize::from(seed) * 7], *signer.verifying_key());
            let low: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&signer, &message);
            let high = p256::ecdsa::Signature::from_scalars(low.r(), -low.s()).unwrap();
            for signature in [low, high] {
                for (flipped, is_good) in
                    [(None, true), (Some(0), false), (Some(31), false), (Some(63), false)]
                {
                    let mut bytes: [u8; SIGNATURE_LEN] = signature.to_bytes().into();
                    if let Some(at) = flipped {
                        bytes[at] ^= 1;
                    }
                    let ours = VerifyingKey::P256(key).verify_jws(&message, &bytes).is_ok();
                    let other = p256::ecdsa::Signature::from_slice(&bytes);
                    let other = other.is_ok_and(|signature| key.verify(&message, &signature).is_ok());
                    assert_eq!((ours, other), (is_good, is_good), "{seed} {flipped:?}");
                }
            }
        }
    }

    #[test]
    fn signature_fixtures() {
        let Some(fixtures) = fixture::<Vec<SignatureFixture>>("signature-fixtures.json") else { return };
        assert!(fixtures.len() >= 6);
        for case in fixtures {
            let key = VerifyingKey::from_did_key(&case.public_key_did).unwrap();
            let same =
                VerifyingKey::from_verification_method(&case.did_doc_suite, &case.public_key_multibase);
            assert_eq!(same, Ok(key), "{}", case.comment);
            assert_eq!(key.did_key(), case.public_key_did);
            assert_eq!(key.jws_algorithm(), case.algorithm);

            let decode = |text: &str| data_encoding::BASE64_NOPAD.decode(text.as_bytes()).unwrap();
            let (message, signature) = (decode(&case.message_base64), decode(&case.signature_base64));
            let strict = key.verify(&message, &signature);
            assert_eq!(strict.is_ok(), case.valid_signature, "{}: {strict:?}", case.comment);
            if case.tags.iter().any(|tag| tag == "high-s") {
                assert_eq!(strict, Err(Error::HighS), "{}", case.comment);
                assert_eq!(key.verify_jws(&message, &signature), Ok(()), "{}", case.comment);
            }
            if case.tags.iter().any(|tag| tag == "der-encoded") {
                assert_eq!(strict, Err(Error::SignatureFormat), "{}", case.comment);
            }
        }
    }

    #[test]
    fn did_key_fixtures_of_secp256k1() {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Case {
            private_key_bytes_hex: String,
            public_did_key: String,
        }
        let Some(cases) = fixture::<Vec<Case>>("w3c_didkey_K256.json") else { return };
        for case in cases {
            let secret = data_encoding::HEXLOWER.decode(case.private_key_bytes_hex.as_bytes()).unwrap();
            let key = SigningKey::from_bytes(&secret.try_into().unwrap()).unwrap();
            assert_eq!(key.did_key(), case.public_did_key);
            assert_eq!(VerifyingKey::from_did_key(&case.public_did_key), Ok(key.verifying_key()));
        }
    }

    #[test]
    fn did_key_fixtures_of_p256() {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Case {
            private_key_bytes_base58: String,
            public_did_key: String,
        }
        let Some(cases) = fixture::<Vec<Case>>("w3c_didkey_P256.json") else { return };
        for case in cases {
            let secret = Base::Base58Btc.decode(&case.private_key_bytes_base58).unwrap();
            let key = p256::ecdsa::SigningKey::from_slice(&secret).unwrap();
            let public = VerifyingKey::P256(*key.verifying_key());
            assert_eq!(public.did_key(), case.public_did_key);
            assert_eq!(VerifyingKey::from_did_key(&case.public_did_key), Ok(public));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = SigningKey::from_bytes(&[1; 32]).unwrap();
        let point = match good.verifying_key() {
            VerifyingKey::K256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
            VerifyingKey::P256(_) => unreachable!(),
        };
        let uncompressed = multibase::encode(Base::Base58Btc, [&K256_CODEC[..], &point].concat());
        let other_base = multibase::encode(Base::Base32Lower, [&K256_CODEC[..], &[2; 33]].concat());
        let ed25519 = "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
        for (text, error) in [
            ("", Error::Multibase),
            ("z", Error::KeyType),
            ("zQ3", Error::KeyType),
            ("z0OIl", Error::Multibase),
            (&"z1".repeat(80), Error::Multibase),
            (ed25519, Error::KeyType),
            (&uncompressed, Error::PublicKey),
            (&other_base, Error::Multibase),
        ] {
            assert_eq!(VerifyingKey::from_multikey(text), Err(error), "{text}");
        }
        assert_eq!(VerifyingKey::from_did_key("did:web:example.com"), Err(Error::NotDidKey));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let key = SigningKey::from_bytes(&[1; 32]).unwrap();
        let signature = key.sign(b"message");
        for length in [0, 63] {
            assert_eq!(
                key.verifying_key().verify(b"message", &signature[..length]),
                Err(Error::SignatureFormat)
            );
        }
        let longer = [&signature[..], &[0]].concat();
        assert_eq!(key.verifying_key().verify(b"message", &longer), Err(Error::SignatureFormat));
        assert_eq!(key.verifying_key().verify(b"message", &[0; 64]), Err(Error::SignatureFormat));
    }
}
