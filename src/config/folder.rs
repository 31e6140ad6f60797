//! The data folder: made for its owner alone, and used by one process at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::ConfigError;

/// Keeps other processes off a data folder. The system lifts it when this process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(super) fn take(data: &Path) -> Result<Self, ConfigError> {
        let path = data.join("zap.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| failed(&path, format!("can't be opened: {error}")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let reason = "is in use by another zap; stop that one, or choose another folder with --data";
                Err(failed(data, reason.to_owned()))
            }
            Err(TryLockError::Error(error)) => Err(failed(&path, format!("can't be locked: {error}"))),
        }
    }
}

/// Makes the folder. One that is there stays as it is.
pub(super) fn make(data: &Path) -> Result<(), ConfigError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(data)
        .map_err(|error| failed(data, format!("can't be made: {error}; choose another with --data")))
}

pub(super) fn failed(path: &Path, reason: String) -> ConfigError {
    ConfigError::Folder { path: path.to_owned(), reason }
}
