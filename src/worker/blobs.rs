//! Blobs in R2, named `DID/CID`.
//!
//! A blob's name is its hash, which is known at its end, and R2 renames nothing: an upload is held in memory until it
//! is whole. [`BYTES_MAX`] bounds one, [`Room`] all of an isolate.

use bytes::BytesMut;
use cid::Cid;
use futures::{StreamExt, stream};
use repo_mst::CODEC_RAW;
use sha2::{Digest, Sha256};
use worker::{Bucket, Env, FixedLengthStream};

use super::room::Room;
use crate::host::{BodyRoom as _, ByteStream, Download, HostError, PutBlobError, StoredBlob};
use crate::limits::BLOB_HEAD_BYTES;
use crate::syntax::Did;

/// Bytes of the largest blob on this host: a few at a time in an isolate of 128 MB.
pub(super) const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Objects removed at a time.
const PAGE: u32 = 500;

fn bucket(env: &Env) -> Result<Bucket, HostError> {
    env.bucket("BLOBS").map_err(super::unavailable)
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
    let (mut chunks, mut hash) = (Vec::new(), Sha256::new());
    let (mut head, mut bytes) = (BytesMut::with_capacity(BLOB_HEAD_BYTES), 0_u64);
    let room = Room::default();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return Err(PutBlobError::TooLarge(bytes_max));
        }
        room.take(chunk.len()).map_err(|_| HostError::Busy)?;
        hash.update(&chunk);
        let missing = BLOB_HEAD_BYTES.saturating_sub(head.len()).min(chunk.len());
        head.extend_from_slice(chunk.get(..missing).unwrap_or_default());
        chunks.push(chunk);
    }
    let digest = multihash::Multihash::<64>::wrap(SHA2_256, &hash.finalize()).map_err(super::unavailable)?;
    let cid = Cid::new_v1(CODEC_RAW, digest);
    // Chunk by chunk, so that the whole is not in memory a second time.
    let sent = stream::iter(chunks).map(|chunk| Ok(Vec::from(chunk)));
    let (bucket, sent) = (bucket(env)?, FixedLengthStream::wrap(sent, bytes));
    bucket.put(key(did, &cid), sent).execute().await.map_err(super::unavailable)?;
    Ok(StoredBlob { cid, bytes, head: head.freeze() })
}

/// The multihash code of SHA-256.
const SHA2_256: u64 = 0x12;

pub(super) async fn get(env: &Env, did: &Did, cid: &Cid) -> Result<Option<(u64, Download)>, HostError> {
    let found = bucket(env)?.get(key(did, cid)).execute().await.map_err(super::unavailable)?;
    let Some(object) = found else { return Ok(None) };
    let bytes = object.size();
    let Some(body) = object.body() else { return Ok(None) };
    Ok(Some((bytes, super::http::download(body.response_body().map_err(super::unavailable)?))))
}

/// Deletes these, in one request.
pub(super) async fn delete(env: &Env, did: &Did, cids: &[Cid]) -> Result<(), HostError> {
    if cids.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = cids.iter().map(|cid| key(did, cid)).collect();
    bucket(env)?.delete_multiple(keys).await.map_err(super::unavailable)
}

pub(super) async fn delete_all(env: &Env, did: &Did) -> Result<(), HostError> {
    let bucket = bucket(env)?;
    loop {
        let page = bucket
            .list()
            .prefix(format!("{did}/"))
            .limit(PAGE)
            .execute()
            .await
            .map_err(super::unavailable)?;
        let keys: Vec<String> = page.objects().iter().map(worker::Object::key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        bucket.delete_multiple(keys).await.map_err(super::unavailable)?;
    }
}
