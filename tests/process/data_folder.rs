//! The data folder: what lies in it, and who may look.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::zap::create_agent;

/// Everything in a folder, and itself.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// Those that others may read.
fn open_to_others(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |path: PathBuf| {
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777;
        (path, mode)
    };
    all(folder).into_iter().map(mode).filter(|(_, mode)| mode & 0o077 != 0).collect()
}

/// What breaks: whoever has an account on the machine reads the databases.
#[tokio::test]
async fn the_data_folder_is_its_owner_s_alone() {
    let (_folder, mut zap) = super::start("warn").await;
    if zap.is_worker() {
        return; // There is none.
    }
    create_agent(&mut zap.client(), "alice").await.unwrap();
    let log = zap.log.clone();
    let open = || open_to_others(&zap.data).into_iter().filter(|(path, _)| *path != log).collect::<Vec<_>>();
    assert_eq!(open(), [], "as it is made");

    // One from before, or from a backup.
    zap.stop().await.unwrap();
    for path in all(&zap.data) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        let is_key = path.extension().is_some_and(|extension| extension == "key" || extension == "token");
        if !is_key {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    zap.restart().await.unwrap();
    create_agent(&mut zap.client(), "bob").await.unwrap();
    let open = open_to_others(&zap.data).into_iter().filter(|(path, _)| *path != log).collect::<Vec<_>>();
    assert_eq!(open, [], "as it is mended");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("was open to other users (mode 755); it is closed now"), "{said}");
}
