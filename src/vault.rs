//! What is private: sealed records, the keys that open them, and forgetting.
//!
//! A record in a public repo is archived by strangers for ever. So everything private is one opaque kind of record,
//! `agent.vault.sealed`, with a random record key; its real type, time and fields are inside the ciphertext, and its
//! size is padded. The key that opens it never enters the repo: it lives in the [`Keyring`], and forgetting deletes it
//! there, which turns every archived copy into noise.
//!
//! ```text
//! master key      the operator's, never in a database
//!   └ root key    one an agent, wrapped under the master key
//!       └ epoch   one a rotation, wrapped under the root key
//!           └ data key   one a record version, wrapped under the epoch key, kept in the keyring
//!               └ seal   HKDF-SHA256 commits to key and place; ChaCha20-Poly1305 encrypts
//! ```
//!
//! What goes to another agent is a letter, sealed to a key of its recipient and signed inside (`letter.rs`). All of it byte for
//! byte, for other implementations: `docs/formats.md`.
//!
//! Invariants
//! - Plaintext and unwrapped keys exist in memory only, and are wiped when dropped.
//! - A seal is bound to DID, collection, record key and version: moved elsewhere or put back later, it does not open.
//! - A seal commits to its key: no ciphertext opens under two keys. The commitment is compared before decrypting.
//! - A record that does not open is an [`Error`] the caller sees, never a record that is skipped.
//!
//! Tricky bits: an inline seal and a stream differ in their derivation, or else a stream's first chunk would open as a
//! whole record. Deleting a keyring row overwrites it in the database file (`secure_delete`); that no copy of the *wrapped*
//! key stays in the write-ahead log is owed with it ([`owes_cut`]).

mod cut;
mod keyring;
mod keys;
mod letter;
mod marks;
mod padding;
mod record;
mod seal;
mod stream;
mod transfer;

pub use cut::{cut_paid, owes_cut};
pub use keyring::{Keyring, KeyringRow, SealedWrite};
pub use keys::{DataKey, EpochKey, MasterKey, RootKey, unwrap_secret, wrap_secret};
pub use letter::{
    AUTHOR_KEY_LEN, AuthorKey, Envelope, Header, LETTER_KEY_LEN, LETTER_SUITE, Letter, LetterKey, Unsigned,
    seal_letter,
};
pub use marks::Marks;
pub use padding::padded_len;
pub use record::{Body, SealedBlob, SealedRecord, decode_record, encode_record, random_record_key};
pub use seal::{Context, PLAINTEXT_INLINE_MAX, SUITE, Sealed, open, seal};
pub use stream::{open_stream, seal_stream};
pub use transfer::{EpochCopy, KeyringCopy, RowCopy};

use crate::store::SqlError;

/// The collection all private records stand in.
pub const COLLECTION: &str = "agent.vault.sealed";

/// Why something could not be sealed or opened. No variant holds content or key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The master key's text is not 64 hexadecimal digits.
    #[error("master key is not 32 bytes in hexadecimal")]
    MasterKeyFormat,
    /// A wrapped key does not unwrap: other master key, other agent, or a changed row.
    #[error("the wrapped {0} does not open: wrong key above it, or it was changed")]
    Unwrap(&'static str),
    /// The agent has no root key in this database.
    #[error("this agent has no vault")]
    NoVault,
    /// There is no data key for this record: it was forgotten, or never sealed here.
    #[error("no key for this record: it was forgotten or never sealed here")]
    NoKey,
    /// The record's epoch was destroyed, and all its records with it.
    #[error("epoch {0} was destroyed")]
    EpochDestroyed(i64),
    /// The epoch is the current one, which new records need, or is not there.
    #[error("epoch {0} cannot be destroyed: it is current or unknown")]
    EpochInUse(i64),
    /// The record is not an `agent.vault.sealed` object of the shape its lexicon gives.
    #[error("malformed sealed record: {0}")]
    Malformed(&'static str),
    /// The record names a suite this program does not know.
    #[error("unknown suite {0}")]
    Suite(u64),
    /// The commitment differs: another key, another place, another version, or a changed record.
    #[error("the seal does not belong to this key, place and version")]
    Commitment,
    /// The ciphertext is not what was sealed.
    #[error("the ciphertext was changed")]
    Ciphertext,
    /// A letter is not signed by who it says wrote it.
    #[error("the letter is not signed by its author")]
    Signature,
    /// The plaintext is too long for the form asked for.
    #[error("content of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// What was given.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A primitive refused to run, which its inputs' sizes exclude.
    #[error("cryptographic operation failed: {0}")]
    Primitive(&'static str),
    /// The keyring's table could not be read or written.
    #[error("keyring: {0}")]
    Sql(#[from] SqlError),
}

#[cfg(test)]
pub(crate) mod tests;
