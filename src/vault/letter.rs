//! Letters, suite 1: what one agent seals to another and signs inside.
//!
//! ```text
//! content   = dag-cbor { id, to, from, seq, [prev], sent, toKey, expires, fromKey, encHash, conversation, body }
//! signature = Ed25519(author key of `from`, label || 0 || content)        label = "agent.comms.letter/1"
//! plaintext = dag-cbor { content: bytes, signature: bytes }, padded with a floor of 1,024 bytes
//! info      = dag-cbor [label, to, key]         aad = dag-cbor [1, id, from, expires]
//! enc, ct   = HPKE base mode, X-Wing / HKDF-SHA256 / ChaCha20-Poly1305, to the letter key `key` of `to`
//! letter    = dag-cbor { ct, id, to, enc, key, from, suite: 1, expires }
//! ```
//!
//! Invariants
//! - What travels in the clear is what a host needs to deliver once: who, to whom, which letter, until when. All of it is
//!   bound to the ciphertext, and all of it is said again inside, under the signature.
//! - The signature names the recipient, both keys and `enc`, so that a recipient can't pass a letter on as if it were
//!   written to another, nor seal it anew.
//! - Nothing of a letter is read before its author is known: [`Unsigned`] gives away only whose key to ask for.
//!
//! X-Wing is X25519 beside ML-KEM-768: a letter stays closed while either holds.

use super::padding::LETTER_FLOOR;
use super::{Error, padding};
use crate::crypto::sha256;
use crate::limits::{LETTER_BODY_BYTES_MAX, LETTER_BYTES_MAX};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as _, XWing};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _, setup_receiver, setup_sender_with_rng};
use rand_core::CryptoRng;
use repo_mst::cbor::Writer;
use serde::Deserialize;
use serde_bytes::{ByteBuf, Bytes};
use std::fmt;
use zeroize::Zeroizing;

/// The suite this module writes.
pub const LETTER_SUITE: u64 = 1;
/// Bytes of a public letter key.
pub const LETTER_KEY_LEN: usize = 1216;
/// Bytes of a public author key.
pub const AUTHOR_KEY_LEN: usize = 32;

const LABEL: &str = "agent.comms.letter/1";
const ENC_LEN: usize = 1120;
const TAG_LEN: usize = 16;
const SIGNATURE_LEN: usize = 64;

type Kem = XWing;
type Public = <Kem as hpke::Kem>::PublicKey;
type Private = <Kem as hpke::Kem>::PrivateKey;
type Encapsulated = <Kem as hpke::Kem>::EncappedKey;

/// The private half of a letter key: the seed of X-Wing.
#[derive(Clone)]
pub struct LetterKey(Zeroizing<[u8; 32]>);

impl LetterKey {
    /// Draws a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self(seed)
    }

    /// Takes a key's seed.
    pub fn from_bytes(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The seed: for wrapping, never for storage as it is.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half, as it stands in an `agent.vault.key` record.
    ///
    /// # Errors
    /// [`Error::Primitive`], which a seed's size excludes.
    pub fn public(&self) -> Result<Vec<u8>, Error> {
        Ok(Kem::sk_to_pk(&self.private()?).to_bytes().to_vec())
    }

    fn private(&self) -> Result<Private, Error> {
        Private::from_bytes(self.0.as_slice()).map_err(|_| Error::Primitive("letter key"))
    }
}

impl fmt::Debug for LetterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LetterKey(hidden)")
    }
}

/// The private half of an author key: the seed of Ed25519.
#[derive(Clone)]
pub struct AuthorKey(Zeroizing<[u8; 32]>);

impl AuthorKey {
    /// Draws a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self(seed)
    }

    /// Takes a key's seed.
    pub fn from_bytes(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The seed: for wrapping, never for storage as it is.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half, as it stands in an `agent.vault.key` record.
    pub fn public(&self) -> [u8; AUTHOR_KEY_LEN] {
        self.signing().verifying_key().to_bytes()
    }

    fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0)
    }
}

impl fmt::Debug for AuthorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorKey(hidden)")
    }
}

/// What a letter says of itself, under its author's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's choice, a TID; of each sender once.
    pub id: String,
    /// The sender's DID.
    pub from: String,
    /// The recipient's DID.
    pub to: String,
    /// The author key that signs.
    pub from_key: String,
    /// The letter key that it is sealed to.
    pub to_key: String,
    /// What the letter belongs to.
    pub conversation: String,
    /// Which letter of this sender to this recipient it is, from 1.
    pub seq: u64,
    /// The SHA-256 of the letter before it, where there is one.
    pub prev: Option<[u8; 32]>,
    /// When it was written, in microseconds since the Unix epoch.
    pub sent_us: u64,
    /// From when it is of no use, likewise.
    pub expires_us: u64,
}

/// The part of a letter that travels in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// See [`Header::id`].
    pub id: String,
    /// See [`Header::from`].
    pub from: String,
    /// See [`Header::to`].
    pub to: String,
    /// See [`Header::to_key`].
    pub key: String,
    /// See [`Header::expires_us`].
    pub expires_us: u64,
    enc: [u8; ENC_LEN],
    ciphertext: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeWire<'a> {
    #[serde(borrow)]
    ct: &'a Bytes,
    id: &'a str,
    to: &'a str,
    #[serde(borrow)]
    enc: &'a Bytes,
    key: &'a str,
    from: &'a str,
    suite: u64,
    expires: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaintextWire<'a> {
    #[serde(borrow)]
    content: &'a Bytes,
    #[serde(borrow)]
    signature: &'a Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ContentWire<'a> {
    id: &'a str,
    to: &'a str,
    #[serde(borrow)]
    body: &'a Bytes,
    from: &'a str,
    seq: u64,
    #[serde(default)]
    prev: Option<ByteBuf>,
    sent: u64,
    to_key: &'a str,
    expires: u64,
    from_key: &'a str,
    #[serde(borrow)]
    enc_hash: &'a Bytes,
    conversation: &'a str,
}

impl Envelope {
    /// Reads a letter that came.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Suite`], [`Error::Malformed`].
    pub fn decode(letter: &[u8]) -> Result<Self, Error> {
        if letter.len() > LETTER_BYTES_MAX {
            return Err(Error::TooLong { bytes: letter.len(), limit: LETTER_BYTES_MAX });
        }
        let wire: EnvelopeWire<'_> =
            serde_ipld_dagcbor::from_slice(letter).map_err(|_| Error::Malformed("not a letter"))?;
        if wire.suite != LETTER_SUITE {
            return Err(Error::Suite(wire.suite));
        }
        Ok(Self {
            id: wire.id.to_owned(),
            from: wire.from.to_owned(),
            to: wire.to.to_owned(),
            key: wire.key.to_owned(),
            expires_us: wire.expires,
            enc: wire.enc.as_ref().try_into().map_err(|_| Error::Malformed("enc"))?,
            ciphertext: wire.ct.to_vec(),
        })
    }

    /// What no two letters have in common, for telling a repetition: the SHA-256 of the encapsulated key.
    pub fn enc_hash(&self) -> [u8; 32] {
        sha256(&self.enc)
    }

    fn aad(&self) -> Vec<u8> {
        aad(&self.id, &self.from, self.expires_us)
    }

    /// Opens it with the private half of the key it names.
    ///
    /// # Errors
    /// [`Error::Ciphertext`] when it was sealed to another key, for another recipient, or was changed;
    /// [`Error::Malformed`] when its sender did not keep to the form.
    pub fn open(&self, key: &LetterKey) -> Result<Unsigned, Error> {
        let enc = Encapsulated::from_bytes(&self.enc).map_err(|_| Error::Malformed("enc"))?;
        let info = info(&self.to, &self.key);
        let mut context =
            setup_receiver::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeR::Base, &key.private()?, &enc, &info)
                .map_err(|_| Error::Ciphertext)?;
        let opened = context.open(&self.ciphertext, &self.aad()).map_err(|_| Error::Ciphertext)?;
        let mut plaintext = Zeroizing::new(opened);
        padding::unpad(&mut plaintext, LETTER_FLOOR)?;
        let malformed = |_| Error::Malformed("content of a letter");
        let wire: PlaintextWire<'_> = serde_ipld_dagcbor::from_slice(&plaintext).map_err(malformed)?;
        let signature = wire.signature.as_ref().try_into().map_err(|_| Error::Malformed("signature"))?;
        let bytes = Zeroizing::new(wire.content.to_vec());
        let content: ContentWire<'_> = serde_ipld_dagcbor::from_slice(&bytes).map_err(malformed)?;
        let says_the_same = content.id == self.id
            && content.from == self.from
            && content.to == self.to
            && content.to_key == self.key
            && content.expires == self.expires_us
            && content.enc_hash.as_ref() == self.enc_hash();
        if !says_the_same {
            return Err(Error::Malformed("a letter that says one thing outside and another inside"));
        }
        let prev = match content.prev {
            Some(prev) => Some(prev.as_slice().try_into().map_err(|_| Error::Malformed("prev"))?),
            None => None,
        };
        let header = Header {
            id: content.id.to_owned(),
            from: content.from.to_owned(),
            to: content.to.to_owned(),
            from_key: content.from_key.to_owned(),
            to_key: content.to_key.to_owned(),
            conversation: content.conversation.to_owned(),
            seq: content.seq,
            prev,
            sent_us: content.sent,
            expires_us: content.expires,
        };
        let body = Zeroizing::new(content.body.to_vec());
        Ok(Unsigned { header, body, signed: bytes, signature })
    }
}

/// An opened letter whose author has still to be proven.
pub struct Unsigned {
    header: Header,
    body: Zeroizing<Vec<u8>>,
    signed: Zeroizing<Vec<u8>>,
    signature: [u8; SIGNATURE_LEN],
}

impl Unsigned {
    /// Whose key proves it: the DID and the id of the author key.
    pub fn author(&self) -> (&str, &str) {
        (&self.header.from, &self.header.from_key)
    }

    /// The letter, once it is its author's.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verified(self, author: &[u8; AUTHOR_KEY_LEN]) -> Result<Letter, Error> {
        let key = VerifyingKey::from_bytes(author).map_err(|_| Error::Signature)?;
        key.verify_strict(&message(&self.signed), &Signature::from_bytes(&self.signature))
            .map_err(|_| Error::Signature)?;
        Ok(Letter { header: self.header, body: self.body })
    }
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unsigned").field(&self.author()).finish()
    }
}

/// A letter that opened, and was written by who it says.
pub struct Letter {
    /// What it says of itself.
    pub header: Header,
    /// The message: DAG-CBOR, an object with `$type`.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Signs and seals `body` to the public key that `header` names.
///
/// # Errors
/// [`Error::TooLong`] over [`LETTER_BODY_BYTES_MAX`], [`Error::Malformed`] when the recipient's key is none.
pub fn seal_letter(
    header: &Header,
    body: &[u8],
    author: &AuthorKey,
    recipient: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, Error> {
    if body.len() > LETTER_BODY_BYTES_MAX {
        return Err(Error::TooLong { bytes: body.len(), limit: LETTER_BODY_BYTES_MAX });
    }
    let recipient = Public::from_bytes(recipient).map_err(|_| Error::Malformed("public letter key"))?;
    let info = info(&header.to, &header.to_key);
    let (enc, mut context) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &recipient,
        &info,
        &mut &mut *rng,
    )
    .map_err(|_| Error::Primitive("encapsulate"))?;
    let enc = enc.to_bytes();
    let content = encode_content(header, body, &sha256(&enc));
    let signature = author.signing().sign(&message(&content)).to_bytes();
    let plaintext = encode_plaintext(&content, &signature);
    let padded = Zeroizing::new(padding::pad(&plaintext, LETTER_FLOOR, TAG_LEN));
    let aad = aad(&header.id, &header.from, header.expires_us);
    let ciphertext = context.seal(&padded, &aad).map_err(|_| Error::Primitive("seal"))?;
    Ok(encode_letter(header, &enc, &ciphertext))
}

fn message(content: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([LABEL.as_bytes(), &[0], content].concat())
}

fn info(to: &str, key: &str) -> Vec<u8> {
    let mut info = Vec::with_capacity(LABEL.len() + to.len() + key.len() + 8);
    let mut writer = Writer(&mut info);
    writer.array(3);
    writer.text(LABEL);
    writer.text(to);
    writer.text(key);
    info
}

fn aad(id: &str, from: &str, expires_us: u64) -> Vec<u8> {
    let mut aad = Vec::with_capacity(id.len() + from.len() + 20);
    let mut writer = Writer(&mut aad);
    writer.array(4);
    writer.unsigned(LETTER_SUITE);
    writer.text(id);
    writer.text(from);
    writer.unsigned(expires_us);
    aad
}

fn encode_content(header: &Header, body: &[u8], enc_hash: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let texts = header.from.len() + header.to.len() + header.conversation.len();
    // Room for all of it from the start: a buffer that grows would leave plaintext behind.
    let mut content = Zeroizing::new(Vec::with_capacity(body.len() + texts + 512));
    let mut writer = Writer(&mut content);
    writer.map(11 + usize::from(header.prev.is_some()));
    writer.key("id").text(&header.id);
    writer.key("to").text(&header.to);
    writer.key("seq").unsigned(header.seq);
    writer.key("body").bytes(body);
    writer.key("from").text(&header.from);
    if let Some(prev) = &header.prev {
        writer.key("prev").bytes(prev);
    }
    writer.key("sent").unsigned(header.sent_us);
    writer.key("toKey").text(&header.to_key);
    writer.key("encHash").bytes(enc_hash);
    writer.key("expires").unsigned(header.expires_us);
    writer.key("fromKey").text(&header.from_key);
    writer.key("conversation").text(&header.conversation);
    content
}

fn encode_plaintext(content: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Zeroizing<Vec<u8>> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(content.len() + SIGNATURE_LEN + 40));
    let mut writer = Writer(&mut plaintext);
    writer.map(2);
    writer.key("content").bytes(content);
    writer.key("signature").bytes(signature);
    plaintext
}

fn encode_letter(header: &Header, enc: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let mut letter = Vec::with_capacity(enc.len() + ciphertext.len() + 256);
    let mut writer = Writer(&mut letter);
    writer.map(8);
    writer.key("ct").bytes(ciphertext);
    writer.key("id").text(&header.id);
    writer.key("to").text(&header.to);
    writer.key("enc").bytes(enc);
    writer.key("key").text(&header.to_key);
    writer.key("from").text(&header.from);
    writer.key("suite").unsigned(LETTER_SUITE);
    writer.key("expires").unsigned(header.expires_us);
    letter
}

#[cfg(test)]
mod tests;
