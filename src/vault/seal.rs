//! Suite 1: how one record is sealed.
//!
//! ```text
//! aad    = dag-cbor [1, did, collection, rkey, version]
//! okm    = HKDF-SHA256(salt, ikm = data key, info = label || SHA-256(aad), 64 bytes)
//! key    = okm[0..32]    commit = okm[32..64]
//! ct     = ChaCha20-Poly1305(key, nonce = 0, padded plaintext, aad) || tag
//! label  = "agent.vault.sealed/1"           ciphertext inside the record
//!          "agent.vault.sealed/1/stream"    chunks in a blob, see stream.rs
//! ```
//!
//! A data key seals one version of one record, with a fresh salt, so the derived key is used once and a zero nonce is
//! safe. `commit` makes the AEAD committing: ChaCha20-Poly1305 alone lets one ciphertext open under two keys.

use super::padding::RECORD_FLOOR;
use super::{Error, padding};
use crate::crypto::{ct_eq, sha256};
use crate::vault::DataKey;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use hkdf::Hkdf;
use repo_mst::cbor::Writer;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The suite this module writes.
pub const SUITE: u64 = 1;
/// The longest plaintext whose padded form stays within 64 KiB; a longer one goes into a blob.
pub const PLAINTEXT_INLINE_MAX: usize = INLINE_PADDED_MAX - 1;
const INLINE_PADDED_MAX: usize = 64 * 1024;
pub(super) const TAG_LEN: usize = 16;

const LABEL_INLINE: &[u8] = b"agent.vault.sealed/1";
const LABEL_STREAM: &[u8] = b"agent.vault.sealed/1/stream";

/// Where a seal belongs: it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The account.
    pub did: &'a str,
    /// The collection the record stands in.
    pub collection: &'a str,
    /// Its record key.
    pub rkey: &'a str,
    /// How many times that record key has been written, this time included.
    pub version: u64,
}

impl Context<'_> {
    pub(super) fn aad(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(self.did.len() + self.collection.len() + self.rkey.len() + 20);
        let mut writer = Writer(&mut aad);
        writer.array(5);
        writer.unsigned(SUITE);
        writer.text(self.did);
        writer.text(self.collection);
        writer.text(self.rkey);
        writer.unsigned(self.version);
        aad
    }
}

/// A sealed plaintext: everything that goes into the record, or with a stream into its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which construction; 1 is all there is.
    pub suite: u64,
    /// Fresh with every seal.
    pub salt: [u8; 32],
    /// Commits to data key, salt and context.
    pub commit: [u8; 32],
    /// Padded plaintext, encrypted, with its tag or tags.
    pub ciphertext: Vec<u8>,
}

#[derive(Clone, Copy)]
pub(super) enum Form {
    Inline,
    Stream,
}

/// The AEAD for one seal, and what the seal commits to.
pub(super) fn derive(
    form: Form,
    key: &DataKey,
    salt: &[u8; 32],
    aad: &[u8],
) -> Result<(ChaCha20Poly1305, [u8; 32]), Error> {
    let label = match form {
        Form::Inline => LABEL_INLINE,
        Form::Stream => LABEL_STREAM,
    };
    let mut okm = Zeroizing::new([[0; 32]; 2]);
    Hkdf::<Sha256>::new(Some(salt), key.as_bytes())
        .expand_multi_info(&[label, &sha256(aad)], okm.as_flattened_mut())
        .map_err(|_| Error::Primitive("derive"))?;
    let [key, commit] = &*okm;
    Ok((ChaCha20Poly1305::new(key.into()), *commit))
}

/// [`derive()`] for opening: refuses unless suite and commitment are right.
pub(super) fn derive_checked(
    form: Form,
    key: &DataKey,
    sealed: &Sealed,
    aad: &[u8],
) -> Result<ChaCha20Poly1305, Error> {
    if sealed.suite != SUITE {
        return Err(Error::Suite(sealed.suite));
    }
    let (aead, commit) = derive(form, key, &sealed.salt, aad)?;
    if ct_eq(&commit, &sealed.commit) { Ok(aead) } else { Err(Error::Commitment) }
}

/// Seals `plaintext` for its place. `key` and `salt` must be fresh: both random, for this call alone.
///
/// # Errors
/// [`Error::TooLong`] over [`PLAINTEXT_INLINE_MAX`] bytes; use a stream then.
pub fn seal(key: &DataKey, context: &Context<'_>, plaintext: &[u8], salt: [u8; 32]) -> Result<Sealed, Error> {
    if plaintext.len() > PLAINTEXT_INLINE_MAX {
        return Err(Error::TooLong { bytes: plaintext.len(), limit: PLAINTEXT_INLINE_MAX });
    }
    let aad = context.aad();
    let (aead, commit) = derive(Form::Inline, key, &salt, &aad)?;
    let mut ciphertext = padding::pad(plaintext, RECORD_FLOOR, TAG_LEN);
    let tag = aead
        .encrypt_inout_detached(&Nonce::default(), &aad, ciphertext.as_mut_slice().into())
        .map_err(|_| Error::Primitive("seal"))?;
    ciphertext.extend_from_slice(&tag);
    Ok(Sealed { suite: SUITE, salt, commit, ciphertext })
}

/// Opens what [`seal`] made with the same key for the same place.
///
/// # Errors
/// [`Error::Suite`], [`Error::Commitment`], [`Error::Ciphertext`] or [`Error::Malformed`] (padding), in that order.
pub fn open(key: &DataKey, context: &Context<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
    if sealed.ciphertext.len() > INLINE_PADDED_MAX + TAG_LEN {
        return Err(Error::TooLong { bytes: sealed.ciphertext.len(), limit: INLINE_PADDED_MAX + TAG_LEN });
    }
    let aad = context.aad();
    let aead = derive_checked(Form::Inline, key, sealed, &aad)?;
    let (body, tag) = sealed.ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Ciphertext)?;
    let mut plaintext = Zeroizing::new(body.to_vec());
    aead.decrypt_inout_detached(&Nonce::default(), &aad, plaintext.as_mut_slice().into(), tag.into())
        .map_err(|_| Error::Ciphertext)?;
    padding::unpad(&mut plaintext, RECORD_FLOOR)?;
    Ok(plaintext)
}
