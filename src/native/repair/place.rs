//! Files that change places.

use std::path::{Path, PathBuf};

use super::RepairError;
use crate::native::clock::now_us;
use crate::store::SqlError;

/// Puts a database that was made beside another in its place; gives where that went.
pub(super) fn take_place(made: &Path, file: &Path) -> Result<PathBuf, RepairError> {
    let at = |file: &Path| {
        let file = file.to_owned();
        move |source| RepairError::File { file, source }
    };
    let damaged = file.with_extension(format!("damaged-{}", now_us() / 1_000_000));
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (with_suffix(file, suffix), with_suffix(&damaged, suffix));
        if from.exists() {
            std::fs::rename(&from, to).map_err(at(&from))?;
        }
        let _ = std::fs::remove_file(with_suffix(made, suffix));
    }
    if file.exists() {
        std::fs::rename(file, &damaged).map_err(at(file))?;
    }
    std::fs::File::open(made).and_then(|made| made.sync_all()).map_err(at(made))?;
    std::fs::rename(made, file).map_err(at(file))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
    Ok(damaged)
}

pub(super) fn remove(half_made: &Path) -> Result<(), RepairError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = with_suffix(half_made, suffix);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(RepairError::File { file, source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn failed(error: rusqlite::Error) -> SqlError {
    SqlError::Other(error.to_string())
}
