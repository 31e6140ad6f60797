//! Where everything lies in the data folder.
//!
//! ```text
//! DATA/directory.sqlite  sequencer.sqlite  agent-template.sqlite
//!      agents/<2 hex>/<did, ':' as '_'>.sqlite
//!      blobs/…                                 (see `blobs`)
//!      running                                 there while the server runs: its presence at a start tells of a crash
//! ```

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::sql::{Database, Durability};
use crate::crypto::sha256;
use crate::store::SqlError;
use crate::store::migrate::migrate;
use crate::syntax::Did;
use crate::vault::cut_paid;

/// Longer DIDs (did:web of long names) are filed under their hash: file names end at 255 bytes.
const FILE_NAME_DID_BYTES_MAX: usize = 200;

/// The data folder.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Makes the folders and a fresh template for new agents.
    ///
    /// # Errors
    /// [`SqlError`] saying what could not be made.
    pub fn open(root: &Path) -> Result<Self, SqlError> {
        let files = Self { root: root.to_owned() };
        std::fs::create_dir_all(root.join("agents")).map_err(|error| failed(root, &error))?;
        files.make_template()?;
        Ok(files)
    }

    /// The data folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory cell's database.
    pub fn directory(&self) -> PathBuf {
        self.root.join("directory.sqlite")
    }

    /// The sequencer cell's database.
    pub fn sequencer(&self) -> PathBuf {
        self.root.join("sequencer.sqlite")
    }

    /// An account cell's database.
    pub fn account(&self, did: &Did) -> PathBuf {
        let hash = data_encoding::HEXLOWER.encode(&sha256(did.as_str().as_bytes()));
        let name = match did.as_str() {
            short if short.len() <= FILE_NAME_DID_BYTES_MAX => short.replace(':', "_"),
            _ => hash.clone(),
        };
        self.root.join("agents").join(hash.get(..2).unwrap_or_default()).join(format!("{name}.sqlite"))
    }

    /// Makes an agent's database from the template, durable before it is used.
    ///
    /// # Errors
    /// [`SqlError`] saying what failed; no half-made file stays in place.
    pub fn create_account(&self, did: &Did) -> Result<(), SqlError> {
        let path = self.account(did);
        let folder = path.parent().unwrap_or(&self.root);
        let create = || -> io::Result<()> {
            if !folder.exists() {
                std::fs::create_dir_all(folder)?;
                File::open(self.root.join("agents"))?.sync_all()?;
            }
            let half_made = path.with_extension("new");
            std::fs::copy(self.template(), &half_made)?;
            File::open(&half_made)?.sync_all()?;
            std::fs::rename(&half_made, &path)?;
            File::open(folder)?.sync_all()
        };
        create().map_err(|error| failed(&path, &error))
    }

    /// Removes an agent's database with its companions.
    ///
    /// # Errors
    /// [`SqlError`] saying what failed.
    pub fn remove_account(&self, did: &Did) -> Result<(), SqlError> {
        let path = self.account(did);
        for suffix in ["", "-wal", "-shm"] {
            let file = with_suffix(&path, suffix);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&file, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// When an agent last wrote, as its write-ahead log tells; `None` when it has none.
    pub fn last_write(&self, did: &Did) -> Option<std::time::SystemTime> {
        std::fs::metadata(with_suffix(&self.account(did), "-wal")).and_then(|meta| meta.modified()).ok()
    }

    /// Notes that the server runs. Whether the one before ended without [`Files::mark_stopped`].
    ///
    /// # Errors
    /// [`SqlError`] when the note can't be made.
    pub fn mark_running(&self) -> Result<bool, SqlError> {
        let path = self.root.join("running");
        let crashed = path.exists();
        File::create(&path).and_then(|file| file.sync_all()).map_err(|error| failed(&path, &error))?;
        Ok(crashed)
    }

    /// Notes that all outboxes were drained and the server stops.
    pub fn mark_stopped(&self) {
        if let Err(error) = std::fs::remove_file(self.root.join("running")) {
            tracing::warn!(%error, "the next start will look through all outboxes");
        }
    }

    fn template(&self) -> PathBuf {
        self.root.join("agent-template.sqlite")
    }

    fn make_template(&self) -> Result<(), SqlError> {
        let path = self.template();
        let half_made = self.root.join("agent-template.new");
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_suffix(&half_made, suffix));
        }
        let database = Database::open(&half_made, Durability::Full)?;
        migrate(&database, crate::account::MIGRATIONS)?;
        cut_paid(&database)?;
        if !database.checkpoint()? {
            return Err(SqlError::Other("the template is read already".to_owned()));
        }
        drop(database);
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(with_suffix(&half_made, suffix));
        }
        std::fs::rename(&half_made, &path).map_err(|error| failed(&path, &error))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, error: &io::Error) -> SqlError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SqlError::Full,
        _ => SqlError::Other(format!("{}: {error}", path.display())),
    }
}
