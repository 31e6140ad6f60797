//! Limits of outbound calls, blobs and downloads, each with its reason.

/// Seconds of one outbound exchange: a DID document or a letter takes far less; a caller waits for it.
pub const FETCH_TIMEOUT_SECONDS: u64 = 10;

/// Bytes of an answer we read whole: the largest proper ones are lists of a hundred records.
pub const FETCH_BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Seconds for one DNS question: as the reference waits for a handle.
pub const DNS_TIMEOUT_SECONDS: u64 = 3;

/// TXT records of one name that are looked at: proper names have one or two of ours beside a few of others.
pub const DNS_TXT_RECORDS_MAX: usize = 100;

/// First bytes of a blob that its MIME type is found from: no signature lies deeper than a tar's, at 257.
pub const BLOB_HEAD_BYTES: usize = 512;

/// Bytes of a blob that are read from disk at once.
pub const BLOB_CHUNK_BYTES: usize = 64 * 1024;

/// Bytes of a repo that `zap repo verify` takes into memory; the largest known are a few hundred megabytes.
pub const VERIFY_REPO_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Blocks of a repo that `zap repo verify` takes into memory.
pub const VERIFY_BLOCKS_MAX: u64 = 20_000_000;
