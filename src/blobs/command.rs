//! What can be asked about an account's blobs.

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::syntax::Tid;

crate::seam! {
    read {
        GetBlobMeta => Option<BlobMeta>,
        ListBlobs => Vec<Cid>,
        ListMissingBlobs => Vec<MissingBlob>,
        ListUnknownBlobs => Vec<Cid>,
        GetBlobTakedown => Option<BlobStanding>,
    }
    write {
        AddBlob => (),
        ExpireBlobs => Vec<Cid>,
        SetBlobTakedown => (),
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

/// A blob's facts; `None` when it is not there, nothing refers to it, or it was taken down.
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

/// Those of these blobs that were not uploaded here, or are forgotten, and that no record refers to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListUnknownBlobs {
    /// Some that the host has.
    pub cids: Vec<Cid>,
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

/// Takes a blob down, or puts it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetBlobTakedown {
    /// Its CID.
    pub cid: Cid,
    /// The moderators' reference; `None` puts it back.
    pub reference: Option<String>,
}

/// Asks whether a blob was taken down; `None` when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetBlobTakedown {
    /// Its CID.
    pub cid: Cid,
}

/// Where a blob stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobStanding {
    /// The moderators' reference, when it was taken down.
    pub takedown: Option<String>,
}
