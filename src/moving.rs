//! An account on its way between hosts: leaving as an archive, arriving as a repo that is rebuilt.
//!
//! | module | |
//! |---|---|
//! | `leave` | the archive's manifest, and the key that may change the DID document on the way |
//! | `arrive` | a repo rebuilt record by record, then held against the commit it came with |

mod arrive;
mod command;
mod leave;

pub use command::{
    BeginImport, Change, Command, DropMoveKey, Exported, FinishImport, GetMoveKey, GetVaultStatus,
    ImportFinished, ImportRecords, ImportedRecord, NoteExport, Query, Reply, SealManifest, SealedManifest,
    SignMove, VaultStatus,
};

use serde::{Deserialize, Serialize};

use crate::archive;
use crate::env::Env;
use crate::preferences;
use crate::repo::{self, Head};
use crate::store::{Sql, SqlError};
use crate::vault::{self, Keyring};
use crate::work::Owner;

/// Why an account could not leave or arrive.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// There is no account here that could leave.
    #[error("there is no such repo here")]
    NoRepo,
    /// There is a repo here already.
    #[error("there is a repo here already")]
    RepoExists,
    /// Only an account at rest moves.
    #[error("an active account does not move")]
    Active,
    /// No move was begun.
    #[error("the account is not on the move")]
    NotMoving,
    /// More records at once than are taken.
    #[error("at most {0} records at once")]
    TooMany(u64),
    /// An archive, or a part of one, that can't be taken.
    #[error("{0}")]
    Invalid(String),
    /// More than an archive holds.
    #[error("the agent is too large for an archive: {0}")]
    TooLarge(String),
    /// The archive's sealed part does not open.
    #[error("the passphrase is wrong, or the archive was changed")]
    WrongPassphrase,
    /// The repo could not be read or written.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// The vault's keys do not open: another master key, or a damaged row.
    #[error("vault: {0}")]
    Vault(String),
    /// A promise of ours was broken: a bug, reported instead of a panic.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whether the cell in memory may differ from its database after this: the host then opens it anew.
    pub fn is_storage(&self) -> bool {
        match self {
            Error::Sql(_) | Error::Internal(_) => true,
            Error::Repo(error) => error.is_storage(),
            Error::NoRepo
            | Error::RepoExists
            | Error::Active
            | Error::NotMoving
            | Error::TooMany(_)
            | Error::Invalid(_)
            | Error::TooLarge(_)
            | Error::WrongPassphrase
            | Error::Vault(_) => false,
        }
    }
}

impl From<vault::Error> for Error {
    fn from(error: vault::Error) -> Self {
        match error {
            vault::Error::Sql(error) => Error::Sql(error),
            other => Error::Vault(other.to_string()),
        }
    }
}

impl From<preferences::Error> for Error {
    fn from(error: preferences::Error) -> Self {
        match error {
            preferences::Error::Sql(error) => Error::Sql(error),
            preferences::Error::Vault(why) => Error::Vault(why),
            preferences::Error::NoType
            | preferences::Error::Foreign
            | preferences::Error::Forbidden(_)
            | preferences::Error::TooLarge => Error::Invalid(error.to_string()),
        }
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        match error {
            archive::Error::Closed => Error::WrongPassphrase,
            archive::Error::TooLarge(what) => Error::TooLarge(what),
            archive::Error::Primitive(_) => Error::Internal(error.to_string()),
            archive::Error::Malformed(_)
            | archive::Error::Version(_)
            | archive::Error::Kdf(_)
            | archive::Error::Passphrase => Error::Invalid(error.to_string()),
        }
    }
}

/// The account that lives in the cell, as far as leaving and arriving look at it.
pub struct Home<'a> {
    /// Who.
    pub owner: &'a Owner,
    /// Its vault's keys.
    pub keyring: &'a Keyring,
    /// Where its repo stands.
    pub head: &'a Head,
}

/// Answers a command; `home` is absent while there is no account. After [`FinishImport`] there is one in the database.
///
/// # Errors
/// [`Error`]; then nothing has changed.
pub fn change(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    home: Option<&Home<'_>>,
    change: Change,
) -> Result<Reply, Error> {
    let present = || home.ok_or(Error::NoRepo);
    Ok(match change {
        Change::SealManifest(seal) => Reply::SealManifest(leave::seal_manifest(sql, env, present()?, &seal)?),
        Change::NoteExport(note) => Reply::NoteExport(leave::note(sql, &note.export)?),
        // Not a read beside the writer: the database of an account that slept long has no such table yet.
        Change::GetMoveKey(_) => Reply::GetMoveKey(leave::move_key(sql)?),
        Change::SignMove(sign) => Reply::SignMove(leave::sign_move(sql, env, present()?, &sign)?.into()),
        Change::DropMoveKey(_) => Reply::DropMoveKey(leave::drop_move_key(sql)?),
        Change::GetVaultStatus(_) => Reply::GetVaultStatus(leave::status(sql, present()?)?),
        Change::BeginImport(begin) => Reply::BeginImport(arrive::begin(sql, env, home, &begin)?),
        Change::ImportRecords(import) => Reply::ImportRecords(arrive::import_records(sql, &import)?),
        Change::FinishImport(finish) => Reply::FinishImport(arrive::finish(sql, env, home, &finish)?),
    })
}
