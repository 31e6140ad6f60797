//! Commands for copying an account and moving it to another host.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::actor::Kind;
use crate::archive::Kdf;
use crate::seam::Hidden;
use crate::syntax::Handle;

crate::seam! {
    read { }
    write {
        SealManifest => SealedManifest,
        NoteExport => (),
        GetMoveKey => Option<String>,
        SignMove => ByteBuf,
        DropMoveKey => (),
        GetVaultStatus => VaultStatus,
        ImportRecords => u64,
        FinishImport => ImportFinished,
    }
    create {
        BeginImport => (),
    }
}

/// Makes the manifest of an archive of the newest commit, with all keys sealed in it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SealManifest {
    /// The account's handle.
    pub handle: Handle,
    /// Who owns it.
    pub kind: Kind,
    /// The name to show.
    pub display_name: Option<String>,
    /// The model it runs on.
    pub model: Option<String>,
    /// Its configuration, JSON.
    pub config: Option<String>,
    /// How `key` was made of the passphrase.
    pub kdf: Kdf,
    /// The key to seal under.
    pub key: Hidden<[u8; 32]>,
    /// Whether the account moves: the archive then holds the move key, made the first time. Not while it is active.
    pub moving: bool,
    /// Whether the export is noted elsewhere, and reaches the account as [`NoteExport`]: nothing is written then, unless
    /// the account moves.
    pub noted: bool,
}

/// Notes an archive that was made when the account's own storage was full.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NoteExport {
    /// The archive.
    pub export: Exported,
}

/// A manifest, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedManifest {
    /// Its block.
    pub manifest: ByteBuf,
    /// The move key as a did:key, when there is one in it.
    pub move_key: Option<String>,
}

/// Asks how the vault stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetVaultStatus {}

/// How a vault stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultStatus {
    /// The epoch that new records belong to.
    pub epoch: i64,
    /// Records that can be opened.
    pub keys: u64,
    /// The last archives that were made, newest first.
    pub exports: Vec<Exported>,
}

/// An archive that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// When: microseconds since the Unix epoch.
    pub made_us: i64,
    /// Whether it was made to move the account.
    pub moving: bool,
}

/// The move key as a did:key; `None` when the account is not on the move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetMoveKey {}

/// Signs a did:plc operation with the move key: 64 bytes, low-S.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignMove {
    /// The operation without its signature, as DAG-CBOR.
    pub unsigned: ByteBuf,
}

/// Destroys the move key. Nothing happens when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DropMoveKey {}

/// Begins to rebuild a repo in an empty cell: takes the archive's keys and notes what commit it must come to.
#[derive(Clone, Serialize, Deserialize)]
pub struct BeginImport {
    /// The manifest's block.
    pub manifest: ByteBuf,
    /// The key that opens it.
    pub key: Hidden<[u8; 32]>,
}

/// Puts records into the repo that is being rebuilt. Putting them again changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportRecords {
    /// At most [`crate::limits::IMPORT_RECORDS_MAX`]; in the tree's order it goes fastest.
    pub records: Vec<ImportedRecord>,
}

/// One record of an archive, as an array of two.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportedRecord(
    /// `collection/rkey`.
    pub String,
    /// Its block: canonical DAG-CBOR.
    pub ByteBuf,
);

/// Holds the rebuilt repo against its commit and makes it the account's, which is deactivated. Doing so again changes
/// nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FinishImport {
    /// The commit's block.
    pub commit: ByteBuf,
}

/// A repo that was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportFinished {
    /// The public half of its signing key, a did:key.
    pub signing_key: String,
}
