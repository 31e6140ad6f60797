//! The two secrets of a server, in files that nobody else reads.
//!
//! A file made here has mode 0600 from its first moment and is synced before its content is used: a master key that
//! was lost after something was wrapped under it can't be made again.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::folder::failed;
use super::{ConfigError, parse};
use crate::vault::MasterKey;

/// What a server must know and nobody else may.
pub struct Secrets {
    /// Wraps all agents' root keys.
    pub master_key: MasterKey,
    /// Opens the administration methods, and no agent's memories.
    pub admin_token: Zeroizing<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(hidden)")
    }
}

/// Bytes of a key or token file that are read; ours have 65.
const FILE_BYTES_MAX: u64 = 4096;

/// The 32 bytes in `path`, which are made when it is not there.
pub(super) fn read_or_make_key(path: &Path) -> Result<MasterKey, ConfigError> {
    key(path, &read_or_make(path)?)
}

/// The 32 bytes in `path`.
pub(super) fn read_key(path: &Path) -> Result<MasterKey, ConfigError> {
    match File::open(path) {
        Ok(file) => key(path, &read_private(path, file)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(failed(
            path,
            "is missing, and all keys of this network are wrapped under it: put it back from where it is kept, or \
             give the key with --master-key-file; for a new network, choose an empty folder with --data"
                .to_owned(),
        )),
        Err(error) => Err(failed(path, format!("can't be read: {error}"))),
    }
}

fn key(path: &Path, text: &str) -> Result<MasterKey, ConfigError> {
    parse::key(text).map_err(|reason| failed(path, format!("holds no master key: {reason}")))
}

/// The token in `path`, which is made when it is not there.
pub(super) fn read_or_make_token(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let text = read_or_make(path)?;
    let token =
        super::admin_token(&text).map_err(|reason| failed(path, format!("holds no token: {reason}")))?;
    Ok(Zeroizing::new(token))
}

/// Writes a secret that only its owner may read, in place of an older one.
///
/// # Errors
/// When the file or its folder can't be written.
pub fn replace_private_file(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        // One left by a process that died stands in the way of `create_new`.
        let _ = std::fs::remove_file(&temporary);
        let mut file = create_private(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(folder)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn read_or_make(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    match File::open(path) {
        Ok(file) => read_private(path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(failed(path, format!("can't be read: {error}"))),
    }
}

fn read_private(path: &Path, file: File) -> Result<Zeroizing<String>, ConfigError> {
    check_mode(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| failed(path, format!("can't be read: {error}")))?;
    Ok(text)
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|error| failed(path, format!("can't be read: {error}")))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path_ = path.display();
        let reason =
            format!("is open to other users (mode {mode:03o}), so it is not used; run: chmod 600 {path_}");
        return Err(failed(path, reason));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &File) -> Result<(), ConfigError> {
    Ok(())
}

/// 32 random bytes as hex, in a new file. The file gets its name only when it is whole, so a crash leaves no half a
/// key; and by a hard link, which never replaces one that another process made in between.
fn make(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| failed(path, format!("can't be made: {error}")))?;
    let text = Zeroizing::new(data_encoding::HEXLOWER.encode(bytes.as_slice()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let linked = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file = create_private(&temporary)?;
        writeln!(file, "{}", text.as_str())?;
        file.sync_all()?;
        std::fs::hard_link(&temporary, path)?;
        sync_folder(folder)
    })();
    let _ = std::fs::remove_file(&temporary);
    match linked {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = File::open(path).map_err(|error| failed(path, format!("can't be read: {error}")))?;
            read_private(path, file)
        }
        Err(error) => Err(failed(path, format!("can't be made: {error}"))),
    }
}

fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()
}
