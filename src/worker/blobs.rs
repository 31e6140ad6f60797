//! Blobs in R2, named `DID/CID`.
//!
//! A blob's name is its hash, which is known at its end, and R2 renames nothing: an upload is held in memory until it
//! is whole. [`BYTES_MAX`] bounds that.

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use repo_mst::CODEC_RAW;
use sha2::{Digest, Sha256};
use worker::{Bucket, Env};

use crate::host::{ByteStream, Download, HostError, PutBlobError, StoredBlob};
use crate::limits::BLOB_HEAD_BYTES;
use crate::syntax::Did;

/// Bytes of the largest blob on this host: a few at a time in an isolate of 128 MB.
pub(super) const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Objects removed at a time.
const PAGE: u32 = 500;

fn bucket(env: &Env) -> Result<Bucket, HostError> {
    env.bucket("BLOBS").map_err(super::storage)
}

fn key(did: &Did, cid: &Cid) -> String {
    format!("{did}/{cid}")
}

pub(super) async fn put(
    env: &Env,
    did: &Did,
    mut body: ByteStream,
    bytes_max: u64,
) -> Result<StoredBlob, PutBlobError> {
    let bytes_max = bytes_max.min(BYTES_MAX);
    let mut blob = Vec::new();
    while let Some(chunk) = body.next().await {
        blob.extend_from_slice(&chunk?);
        if blob.len() as u64 > bytes_max {
            return Err(PutBlobError::TooLarge(bytes_max));
        }
    }
    let digest =
        multihash::Multihash::<64>::wrap(SHA2_256, &Sha256::digest(&blob)).map_err(super::storage)?;
    let cid = Cid::new_v1(CODEC_RAW, digest);
    let head = Bytes::copy_from_slice(blob.get(..BLOB_HEAD_BYTES).unwrap_or(&blob));
    let bytes = blob.len() as u64;
    bucket(env)?.put(key(did, &cid), blob).execute().await.map_err(super::storage)?;
    Ok(StoredBlob { cid, bytes, head })
}

/// The multihash code of SHA-256.
const SHA2_256: u64 = 0x12;

pub(super) async fn get(env: &Env, did: &Did, cid: &Cid) -> Result<Option<(u64, Download)>, HostError> {
    let found = bucket(env)?.get(key(did, cid)).execute().await.map_err(super::storage)?;
    let Some(object) = found else { return Ok(None) };
    let bytes = object.size();
    let Some(body) = object.body() else { return Ok(None) };
    Ok(Some((bytes, super::http::download(body.response_body().map_err(super::storage)?))))
}

/// Deletes these, in one request.
pub(super) async fn delete(env: &Env, did: &Did, cids: &[Cid]) -> Result<(), HostError> {
    if cids.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = cids.iter().map(|cid| key(did, cid)).collect();
    bucket(env)?.delete_multiple(keys).await.map_err(super::storage)
}

pub(super) async fn delete_all(env: &Env, did: &Did) -> Result<(), HostError> {
    let bucket = bucket(env)?;
    loop {
        let page =
            bucket.list().prefix(format!("{did}/")).limit(PAGE).execute().await.map_err(super::storage)?;
        let keys: Vec<String> = page.objects().iter().map(worker::Object::key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        bucket.delete_multiple(keys).await.map_err(super::storage)?;
    }
}
