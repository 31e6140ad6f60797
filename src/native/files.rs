//! Where everything lies in the data folder.
//!
//! ```text
//! DATA/directory.sqlite  sequencer.sqlite  agent-template.sqlite
//!      agents/<2 hex>/<did, ':' as '_'>.sqlite
//!      blobs/…                                 (see `blobs`)
//!      here, or here.other                     tells the folder from its copies (see `sequencer`)
//!      restored                                there while accounts say that they went back to a backup
//!      running                                 there while the server runs: its presence at a start tells of a crash
//!      unfinished                              there while a new network is made
//! ```
//!
//! A folder holds a whole network or none. Where some parts are there and others are not, something was lost, and
//! nothing is begun anew in its place.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::descriptors;
use super::label::{self, NetworkId, Part};
use super::sql::{Database, Durability, is_full};
use crate::config::NetworkAge;
use crate::crypto::sha256;
use crate::limits::STORAGE_ROOM_BYTES_MIN;
use crate::store::SqlError;
use crate::store::migrate::migrate;
use crate::syntax::Did;
use crate::vault::cut_paid;

/// Longer DIDs (did:web of long names) are filed under their hash: file names end at 255 bytes.
const FILE_NAME_DID_BYTES_MAX: usize = 200;

/// What a network can't be without.
const PARTS: [&str; 4] = ["directory.sqlite", "sequencer.sqlite", "agents", "blobs"];
/// The operator may make it too, after a backup that does not show.
const RESTORED: &str = "restored";

/// The data folder.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    network: NetworkId,
    age: NetworkAge,
}

/// Whether a data folder holds a network.
///
/// # Errors
/// [`SqlError::Misplaced`] when it holds some parts of one, and not others.
fn survey(root: &Path) -> Result<NetworkAge, SqlError> {
    let missing: Vec<_> =
        PARTS.map(|part| root.join(part)).into_iter().filter(|part| !is_there(part)).collect();
    match missing.first() {
        None if !unfinished(root).exists() => Ok(NetworkAge::Grown),
        Some(_) if missing.len() < PARTS.len() && !unfinished(root).exists() => {
            let missing: Vec<_> = missing.iter().map(|part| part.display().to_string()).collect();
            Err(SqlError::Misplaced {
                place: missing.join(" and "),
                reason: format!(
                    "is missing or empty, though {} holds the rest of a network: put it back, from a backup if need be; for a \
                     new network, choose an empty folder with --data",
                    root.display()
                ),
            })
        }
        _ => Ok(NetworkAge::New),
    }
}

/// Whether there is a part of a network. An empty file is what is left of a database, or a slip of the hand.
pub fn is_there(part: &Path) -> bool {
    std::fs::metadata(part).is_ok_and(|found| found.is_dir() || found.len() > 0)
}

fn unfinished(root: &Path) -> PathBuf {
    root.join("unfinished")
}

impl Files {
    /// Makes what a new network needs, or finds a whole one; and a fresh template for new agents.
    ///
    /// # Errors
    /// [`SqlError`] saying what could not be made, what is missing, or what does not belong here.
    pub fn open(root: &Path) -> Result<Self, SqlError> {
        let age = survey(root)?;
        if age == NetworkAge::New {
            note(&unfinished(root))?;
            std::fs::create_dir_all(root.join("agents")).map_err(|error| failed(root, &error))?;
        }
        let directory = Database::open(&root.join("directory.sqlite"), Durability::Full)?;
        let log = Database::open(&root.join("sequencer.sqlite"), Durability::Full)?;
        let network = label::network_of(&directory, Some(&log))?;
        label::claim(&log, network, Part::Sequencer)?;
        drop((directory, log));
        let files = Self { root: root.to_owned(), network, age };
        match files.make_template() {
            // The last one does: what is made of it is migrated when it is opened.
            Err(SqlError::Full) if files.template().exists() => {
                tracing::error!("the disk is full: nothing can be written until there is room");
                files.remove_half_made_template();
            }
            made => made?,
        }
        Ok(files)
    }

    /// Those of a stopped server, for looking into: nothing is made, and a log may be missing.
    ///
    /// # Errors
    /// [`SqlError`]; [`SqlError::Misplaced`] where there is no network.
    pub fn of_stopped(root: &Path) -> Result<Self, SqlError> {
        let directory = root.join("directory.sqlite");
        if !is_there(&directory) {
            let reason = "is missing: there is no network to look into, or its directory is lost".to_owned();
            return Err(SqlError::Misplaced { place: directory.display().to_string(), reason });
        }
        let log = root.join("sequencer.sqlite");
        let log = if is_there(&log) { Database::open_read_only(&log).ok() } else { None };
        let network = label::network_of(&Database::open(&directory, Durability::Full)?, log.as_ref())?;
        Ok(Self { root: root.to_owned(), network, age: NetworkAge::Grown })
    }

    /// Whether the network was here before.
    pub fn age(&self) -> NetworkAge {
        self.age
    }

    /// Which network it is.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// Notes that all parts of a new network are made.
    ///
    /// # Errors
    /// [`SqlError`] when the note can't be taken away.
    pub fn finished(&self) -> Result<(), SqlError> {
        match std::fs::remove_file(unfinished(&self.root)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.root, &error)),
            _ => Ok(()),
        }
    }

    /// Whether there is the database of any account.
    ///
    /// # Errors
    /// [`SqlError`] when the folder can't be read.
    pub fn has_accounts(&self) -> Result<bool, SqlError> {
        let agents = self.root.join("agents");
        let find = || -> io::Result<bool> {
            for folder in std::fs::read_dir(&agents)? {
                for file in std::fs::read_dir(folder?.path())? {
                    if file?.path().extension().is_some_and(|extension| extension == "sqlite") {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        };
        find().map_err(|error| failed(&agents, &error))
    }

    /// The data folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is hardly any room on the disk. One that does not say is taken for having some.
    pub fn is_full(&self) -> bool {
        let room = rustix::fs::statvfs(&self.root);
        room.is_ok_and(|room| room.f_bavail.saturating_mul(room.f_frsize) < STORAGE_ROOM_BYTES_MIN)
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

    /// The folders under `agents` that have databases of others than `dids`; `None` when that can't be found out.
    pub fn folders_with_others(&self, dids: &[Did]) -> Option<HashSet<OsString>> {
        let known: HashSet<PathBuf> = dids.iter().map(|did| self.account(did)).collect();
        let find = || -> io::Result<_> {
            let mut others = HashSet::new();
            for folder in std::fs::read_dir(self.root.join("agents"))? {
                let folder = folder?;
                for file in std::fs::read_dir(folder.path())? {
                    let file = file?.path();
                    if file.extension().is_some_and(|kind| kind == "sqlite") && !known.contains(&file) {
                        others.insert(folder.file_name());
                    }
                }
            }
            Ok(others)
        };
        find().ok()
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
        create().map_err(|error| {
            // On a full disk it would take what room is left.
            let _ = std::fs::remove_file(path.with_extension("new"));
            failed(&path, &error)
        })
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

    /// Whether the data is an old backup and not all accounts have said so yet.
    pub fn is_restored(&self) -> bool {
        self.root.join(RESTORED).exists()
    }

    /// Notes that all have said so.
    pub fn forget_restored(&self) {
        if let Err(error) = std::fs::remove_file(self.root.join(RESTORED)) {
            tracing::warn!(%error, "the next start will take the data for a backup again");
        }
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
        note(&path)?;
        Ok(crashed)
    }

    /// Notes that the event log may lack what it had told, or tell it once more: all accounts are to say where they stand.
    ///
    /// # Errors
    /// [`SqlError`] when the note can't be made.
    pub fn mark_restored(&self) -> Result<(), SqlError> {
        mark_restored(&self.root)
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

    fn half_made_template(&self) -> PathBuf {
        self.root.join("agent-template.new")
    }

    fn remove_half_made_template(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_suffix(&self.half_made_template(), suffix));
        }
    }

    fn make_template(&self) -> Result<(), SqlError> {
        let path = self.template();
        let half_made = self.half_made_template();
        self.remove_half_made_template();
        let database = Database::open(&half_made, Durability::Full)?;
        migrate(&database, crate::account::MIGRATIONS)?;
        label::claim(&database, self.network, Part::Account(None))?;
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

/// Notes in a data folder that its data is an old backup, until all accounts have said so.
pub(super) fn mark_restored(root: &Path) -> Result<(), SqlError> {
    note(&root.join(RESTORED))
}

/// Makes an empty file whose presence says something, also after a power cut.
pub(super) fn note(path: &Path) -> Result<(), SqlError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let made = File::create(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| File::open(folder))
        .and_then(|folder| folder.sync_all());
    made.map_err(|error| failed(path, &error))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, error: &io::Error) -> SqlError {
    match error {
        _ if is_full(error) => SqlError::Full,
        _ if descriptors::is_lack(error) => SqlError::Busy,
        _ => SqlError::Other(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sql as _;

    #[test]
    fn a_first_start_that_was_cut_short_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path()).unwrap();
        let network = files.network();
        drop(files);
        std::fs::remove_file(folder.path().join("sequencer.sqlite")).unwrap();
        assert_eq!(survey(folder.path()), Ok(NetworkAge::New), "nobody was answered yet");
        let files = Files::open(folder.path()).unwrap();
        assert_eq!((files.age(), files.network()), (NetworkAge::New, network));
        std::fs::create_dir(folder.path().join("blobs")).unwrap();
        files.finished().unwrap();
        assert_eq!(survey(folder.path()), Ok(NetworkAge::Grown));
        std::fs::remove_file(folder.path().join("sequencer.sqlite")).unwrap();
        assert!(matches!(survey(folder.path()), Err(SqlError::Misplaced { .. })), "now it is missing");
    }

    /// What breaks: every other file is of another network, and no server starts.
    #[test]
    fn a_directory_older_than_labels_is_of_the_network_that_its_event_log_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let network = Files::open(folder.path()).unwrap().network();
        for open in [Files::open, Files::of_stopped] {
            let directory =
                Database::open(&folder.path().join("directory.sqlite"), Durability::Full).unwrap();
            directory.script("DROP TABLE label").unwrap();
            drop(directory);
            assert_eq!(open(folder.path()).unwrap().network(), network);
        }
    }
}
