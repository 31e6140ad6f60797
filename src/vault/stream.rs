//! Suite 1 above 64 KiB: the ciphertext is a blob of chunks.
//!
//! STREAM (Hoang, Reyhanitabar, Rogaway, Vizard, "Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance", 2015) over ChaCha20-Poly1305: the padded plaintext is cut into chunks of 64 KiB, the last one
//! shorter or equal and never empty; chunk `i` is encrypted with nonce `0 (7 bytes) || i (4, big-endian) || last (1)`
//! and the context's associated data, its tag after it. Order, number and end of the chunks are thus authenticated.
//! Key and commitment come from the stream's own label, so that no chunk opens as an inline record.

use super::padding::RECORD_FLOOR;
use super::seal::{Context, Form, SUITE, Sealed, TAG_LEN, derive, derive_checked};
use super::{DataKey, Error, padding};
use crate::limits::SEALED_BLOB_BYTES_MAX;
use chacha20poly1305::Nonce;
use chacha20poly1305::aead::AeadInOut as _;
use zeroize::Zeroizing;

const CHUNK_LEN: usize = 64 * 1024;

/// Seals `plaintext` as a stream; the answer's `ciphertext` is the blob.
///
/// # Errors
/// [`Error::TooLong`] when the blob would be over [`SEALED_BLOB_BYTES_MAX`].
pub fn seal_stream(
    key: &DataKey,
    context: &Context<'_>,
    plaintext: &[u8],
    salt: [u8; 32],
) -> Result<Sealed, Error> {
    let padded_len = padding::padded_len(plaintext.len());
    let blob_len = padded_len.saturating_add(padded_len.div_ceil(CHUNK_LEN).saturating_mul(TAG_LEN));
    if blob_len > SEALED_BLOB_BYTES_MAX {
        return Err(Error::TooLong { bytes: plaintext.len(), limit: SEALED_BLOB_BYTES_MAX });
    }
    let aad = context.aad();
    let (aead, commit) = derive(Form::Stream, key, &salt, &aad)?;
    let mut padded = Zeroizing::new(padding::pad(plaintext, RECORD_FLOOR, 0));
    let mut ciphertext = Vec::with_capacity(blob_len);
    let mut chunks = padded.chunks_mut(CHUNK_LEN).enumerate().peekable();
    while let Some((index, chunk)) = chunks.next() {
        let nonce = nonce(index, chunks.peek().is_none())?;
        let tag = aead
            .encrypt_inout_detached(&nonce, &aad, (&mut *chunk).into())
            .map_err(|_| Error::Primitive("seal chunk"))?;
        ciphertext.extend_from_slice(chunk);
        ciphertext.extend_from_slice(&tag);
    }
    Ok(Sealed { suite: SUITE, salt, commit, ciphertext })
}

/// Opens what [`seal_stream`] made with the same key for the same place.
///
/// # Errors
/// As [`super::open`]; a chunk that is missing, moved or cut is [`Error::Ciphertext`].
pub fn open_stream(
    key: &DataKey,
    context: &Context<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if sealed.ciphertext.len() > SEALED_BLOB_BYTES_MAX {
        return Err(Error::TooLong { bytes: sealed.ciphertext.len(), limit: SEALED_BLOB_BYTES_MAX });
    }
    let aad = context.aad();
    let aead = derive_checked(Form::Stream, key, sealed, &aad)?;
    // Room for all of it from the start: a buffer that grows would leave plaintext behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.ciphertext.len()));
    let mut chunks = sealed.ciphertext.chunks(CHUNK_LEN + TAG_LEN).enumerate().peekable();
    while let Some((index, chunk)) = chunks.next() {
        let nonce = nonce(index, chunks.peek().is_none())?;
        let (body, tag) = chunk.split_last_chunk::<TAG_LEN>().ok_or(Error::Ciphertext)?;
        let start = plaintext.len();
        plaintext.extend_from_slice(body);
        let (_, body) = plaintext.split_at_mut(start);
        aead.decrypt_inout_detached(&nonce, &aad, body.into(), tag.into()).map_err(|_| Error::Ciphertext)?;
    }
    padding::unpad(&mut plaintext, RECORD_FLOOR)?;
    Ok(plaintext)
}

fn nonce(index: usize, last: bool) -> Result<Nonce, Error> {
    let index = u32::try_from(index).map_err(|_| Error::Primitive("chunk number"))?;
    let [a, b, c, d] = index.to_be_bytes();
    Ok([0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(last)].into())
}
