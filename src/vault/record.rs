//! The `agent.vault.sealed` record, to and from its block.
//!
//! Written by hand in canonical order, since every private write makes one. Read by serde, strictly where it matters
//! to us; fields that a later version of the lexicon adds are ignored, as the protocol asks.

use super::seal::{SUITE, Sealed};
use super::{COLLECTION, Error};
use cid::Cid;
use repo_mst::cbor::Writer;
use serde::Deserialize;

/// What a sealed record holds besides suite, salt and commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The ciphertext itself.
    Inline(Vec<u8>),
    /// Where the ciphertext is, as a stream of chunks.
    Blob(SealedBlob),
}

/// A reference to a blob of this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedBlob {
    /// The blob's content id.
    pub cid: Cid,
    /// Its size in bytes.
    pub size: u64,
}

/// A decoded `agent.vault.sealed` record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// See [`Sealed::suite`].
    pub suite: u64,
    /// See [`Sealed::salt`].
    pub salt: [u8; 32],
    /// See [`Sealed::commit`].
    pub commit: [u8; 32],
    /// The ciphertext or where it is.
    pub body: Body,
}

impl SealedRecord {
    /// The record of an inline seal.
    pub fn inline(sealed: Sealed) -> Self {
        Self {
            suite: sealed.suite,
            salt: sealed.salt,
            commit: sealed.commit,
            body: Body::Inline(sealed.ciphertext),
        }
    }

    /// The record of a stream whose blob was stored as `blob`.
    pub fn stream(sealed: &Sealed, blob: SealedBlob) -> Self {
        Self { suite: sealed.suite, salt: sealed.salt, commit: sealed.commit, body: Body::Blob(blob) }
    }

    /// The seal, when it is inside the record.
    ///
    /// # Errors
    /// The blob to fetch, when it is not.
    pub fn into_sealed(self) -> Result<Sealed, SealedBlob> {
        match self.body {
            Body::Inline(ciphertext) => {
                Ok(Sealed { suite: self.suite, salt: self.salt, commit: self.commit, ciphertext })
            }
            Body::Blob(blob) => Err(blob),
        }
    }
}

/// The record's block: canonical DAG-CBOR.
pub fn encode_record(record: &SealedRecord) -> Vec<u8> {
    let inline_len = match &record.body {
        Body::Inline(ciphertext) => ciphertext.len(),
        Body::Blob(_) => 0,
    };
    let mut block = Vec::with_capacity(inline_len + 192);
    let mut writer = Writer(&mut block);
    writer.map(5);
    // Shorter keys come first, then those that sort lower: blob, salt, $type, suite, commit, ciphertext.
    if let Body::Blob(blob) = &record.body {
        writer.key("blob").map(4);
        writer.key("ref").cid(&blob.cid);
        writer.key("size").unsigned(blob.size);
        writer.key("$type").text("blob");
        writer.key("mimeType").text("application/octet-stream");
    }
    writer.key("salt").bytes(&record.salt);
    writer.key("$type").text(COLLECTION);
    writer.key("suite").unsigned(record.suite);
    writer.key("commit").bytes(&record.commit);
    if let Body::Inline(ciphertext) = &record.body {
        writer.key("ciphertext").bytes(ciphertext);
    }
    block
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "$type")]
    record_type: &'a str,
    suite: u64,
    #[serde(borrow)]
    salt: &'a serde_bytes::Bytes,
    #[serde(borrow)]
    commit: &'a serde_bytes::Bytes,
    #[serde(borrow, default)]
    ciphertext: Option<&'a serde_bytes::Bytes>,
    #[serde(default)]
    blob: Option<WireBlob>,
}

#[derive(Deserialize)]
struct WireBlob {
    #[serde(rename = "ref")]
    cid: Cid,
    size: u64,
}

/// Reads the record from its block.
///
/// # Errors
/// [`Error::Malformed`] for another type or shape, [`Error::Suite`] for a suite that is not ours to read.
pub fn decode_record(block: &[u8]) -> Result<SealedRecord, Error> {
    let wire: Wire<'_> =
        serde_ipld_dagcbor::from_slice(block).map_err(|_| Error::Malformed("not a sealed record"))?;
    if wire.record_type != COLLECTION {
        return Err(Error::Malformed("$type"));
    }
    if wire.suite != SUITE {
        return Err(Error::Suite(wire.suite));
    }
    let body = match (wire.ciphertext, wire.blob) {
        (Some(ciphertext), None) => Body::Inline(ciphertext.to_vec()),
        (None, Some(WireBlob { cid, size })) => Body::Blob(SealedBlob { cid, size }),
        _ => return Err(Error::Malformed("not one of ciphertext and blob")),
    };
    let salt = wire.salt.as_ref().try_into().map_err(|_| Error::Malformed("salt"))?;
    let commit = wire.commit.as_ref().try_into().map_err(|_| Error::Malformed("commit"))?;
    Ok(SealedRecord { suite: wire.suite, salt, commit, body })
}

/// A record key that says nothing: 80 random bits as 16 characters. Base32hex in lower case, so that they sort as
/// the bits do.
pub fn random_record_key(rng: &mut dyn rand_core::CryptoRng) -> String {
    let mut bytes = [0; 10];
    rng.fill_bytes(&mut bytes);
    data_encoding::BASE32_DNSSEC.encode(&bytes)
}
