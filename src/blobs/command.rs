//! What can be asked about an account's blobs.

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::syntax::Tid;

crate::seam! {
    read {
        GetBlobMeta => Option<BlobMeta>,
        ListBlobs => Vec<Cid>,
        ListMissingBlobs => Vec<MissingBlob>,
    }
    write {
        AddBlob => (),
        ExpireBlobs => Vec<Cid>,
    }
    create { }
}

/// What a record says of a blob it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobClaim {
    /// Its CID.
    pub cid: Cid,
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Records an uploaded blob; it expires unless a record refers to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddBlob {
    /// Its CID.
    pub cid: Cid,
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A blob's facts; `None` when it is not there or nothing refers to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBlobMeta {
    /// Its CID.
    pub cid: Cid,
}

/// A blob's facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlobMeta {
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// CIDs of referenced blobs, in the order of their texts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListBlobs {
    /// Only those of records written after this rev.
    pub since: Option<Tid>,
    /// Only CIDs whose text is past this.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// Blobs that records refer to and that are not there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListMissingBlobs {
    /// Only CIDs whose text is past this.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// A blob that is missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissingBlob {
    /// Its CID.
    pub cid: Cid,
    /// `collection/rkey` of a record that refers to it.
    pub path: String,
}

/// Forgets uploads that nothing refers to and that are older than `before_us`; the host deletes their bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpireBlobs {
    /// Microseconds since the Unix epoch.
    pub before_us: i64,
    /// At most this many.
    pub limit: u32,
}
