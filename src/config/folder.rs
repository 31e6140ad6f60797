//! The data folder: made for its owner alone, and used by one process at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::ConfigError;

/// Keeps other processes off a data folder. The system lifts it when this process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
}

impl FolderLock {
    /// What is locked is the folder itself: nobody can delete that and leave the data.
    pub(super) fn take(data: &Path) -> Result<Self, ConfigError> {
        let folder = lock(data, data)?;
        // Earlier versions lock a file instead, and one of them may still be running.
        let file = data.join("zap.lock");
        if file.exists() {
            let _earlier = lock(&file, data)?;
            let _ = std::fs::remove_file(&file);
        }
        Ok(Self { _folder: folder })
    }
}

fn lock(path: &Path, data: &Path) -> Result<File, ConfigError> {
    let file = File::open(path).map_err(|error| failed(path, format!("can't be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let reason = "is in use by another zap; stop that one, or choose another folder with --data";
            Err(failed(data, reason.to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(failed(path, format!("can't be locked: {error}"))),
    }
}

/// Makes the folder, for its owner alone. One that was open to others is closed, with all in it.
pub(super) fn make(data: &Path) -> Result<(), ConfigError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(data)
        .map_err(|error| failed(data, format!("can't be made: {error}; choose another with --data")))?;
    // What a link leads to is what has to be closed.
    #[cfg(unix)]
    close(&std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned()));
    Ok(())
}

/// Takes from others what they may do in a folder. Where the system does not let us (a disk that knows no owners), the
/// log says so.
#[cfg(unix)]
fn close(data: &Path) {
    let shown = data.display();
    match close_one(data) {
        Ok(None) => {}
        // Nobody came past the folder's own mode, so only below one that was open something may be.
        Ok(Some(mode)) => match close_all_in(data) {
            Ok(()) => tracing::warn!("{shown} was open to other users (mode {mode:03o}); it is closed now"),
            Err(error) => tracing::warn!(
                "{shown} was open to other users (mode {mode:03o}), and so is some of what is in it: {error}"
            ),
        },
        Err(error) => tracing::warn!("{shown} is open to other users and can't be closed: {error}"),
    }
}

/// The mode it had, if that was too wide.
#[cfg(unix)]
fn close_one(path: &Path) -> std::io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::symlink_metadata(path)?;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_symlink() || mode & 0o077 == 0 {
        return Ok(None);
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o700))?;
    Ok(Some(mode))
}

#[cfg(unix)]
fn close_all_in(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        close_one(&path)?;
        if std::fs::symlink_metadata(&path)?.is_dir() {
            close_all_in(&path)?;
        }
    }
    Ok(())
}

pub(super) fn failed(path: &Path, reason: String) -> ConfigError {
    ConfigError::Folder { path: path.to_owned(), reason }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_behind_a_link_is_closed_too() {
        let outer = tempfile::tempdir().unwrap();
        let (folder, link) = (outer.path().join("folder"), outer.path().join("link"));
        std::fs::create_dir_all(folder.join("agents")).unwrap();
        std::fs::write(folder.join("agents/one.sqlite"), "x").unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&folder, &link).unwrap();
        make(&link).unwrap();
        for path in [folder.clone(), folder.join("agents"), folder.join("agents/one.sqlite")] {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
    }
}
