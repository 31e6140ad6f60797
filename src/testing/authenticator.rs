//! An authenticator and the browser before it, so that a test can have each do each step wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use crate::crypto::sha256;

/// One credential of an authenticator, and what is said with it.
#[derive(Clone)]
pub struct Authenticator {
    /// The credential's key.
    pub key: SigningKey,
    /// The credential's name.
    pub id: Vec<u8>,
    /// The site that it says it was asked by.
    pub rp_id: String,
    /// The page's origin.
    pub origin: String,
    /// User present, user verified.
    pub flags: u8,
    /// How often it has signed.
    pub count: u32,
    /// Whether signatures have a high `s`.
    pub high_s: bool,
    /// A key of Ed25519 in place of the other.
    pub eddsa: Option<ed25519_dalek::SigningKey>,
}

impl Authenticator {
    /// With a key of its own, at the server of all tests.
    pub fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[seed; 32]).unwrap(),
            id: vec![seed; 16],
            rp_id: "localhost".to_owned(),
            origin: "http://localhost:2583".to_owned(),
            flags: 0b101,
            count: 0,
            high_s: false,
            eddsa: None,
        }
    }

    /// The same, with a key of Ed25519.
    pub fn eddsa(seed: u8) -> Self {
        Self { eddsa: Some(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])), ..Self::new(seed) }
    }

    /// What the browser says it did.
    pub fn client_data(&self, kind: &str, challenge: &[u8]) -> Vec<u8> {
        let challenge = BASE64URL_NOPAD.encode(challenge);
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    /// What the authenticator says when it signs.
    pub fn data(&self) -> Vec<u8> {
        [&sha256(self.rp_id.as_bytes())[..], &[self.flags], &self.count.to_be_bytes()].concat()
    }

    /// The credential's public half, as a COSE key of this algorithm.
    pub fn cose(&self, algorithm: u8) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..]);
        [b"\xa5\x01\x02\x03", &[algorithm][..], b"\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y].concat()
    }

    /// The same, of whichever key it has.
    pub fn own_cose(&self) -> Vec<u8> {
        match &self.eddsa {
            Some(key) => {
                [b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20", &key.verifying_key().to_bytes()[..]].concat()
            }
            None => self.cose(0x26),
        }
    }

    /// What it says of a new credential, with a COSE key as given.
    pub fn attestation(&self, cose: &[u8]) -> Vec<u8> {
        let mut data = self.data();
        data[32] |= 0x40;
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(cose);
        let head = [&b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"[..]].concat();
        [head, u16::try_from(data.len()).unwrap().to_be_bytes().to_vec(), data].concat()
    }

    /// Signs what the authenticator and the browser say.
    pub fn sign(&self, client_data: &[u8]) -> Vec<u8> {
        let message = [self.data(), sha256(client_data).to_vec()].concat();
        if let Some(key) = &self.eddsa {
            return key.sign(&message).to_bytes().to_vec();
        }
        let signature: Signature = self.key.sign(&message);
        let low = signature.normalize_s();
        let (r, s) = (low.r(), low.s());
        let signature = if self.high_s { Signature::from_scalars(r, (-*s).to_bytes()).unwrap() } else { low };
        signature.to_der().as_bytes().to_vec()
    }

    /// All that a page's form has of a new credential.
    pub fn made(&self, challenge: &[u8]) -> Value {
        json!({
            "clientDataJSON": BASE64URL_NOPAD.encode(&self.client_data("webauthn.create", challenge)),
            "attestationObject": BASE64URL_NOPAD.encode(&self.attestation(&self.own_cose())),
        })
    }

    /// All that a page's form has of a signature.
    pub fn signed(&self, challenge: &[u8], user: &[u8]) -> Value {
        let client_data = self.client_data("webauthn.get", challenge);
        json!({
            "id": BASE64URL_NOPAD.encode(&self.id),
            "clientDataJSON": BASE64URL_NOPAD.encode(&client_data),
            "authenticatorData": BASE64URL_NOPAD.encode(&self.data()),
            "signature": BASE64URL_NOPAD.encode(&self.sign(&client_data)),
            "userHandle": BASE64URL_NOPAD.encode(user),
        })
    }
}
