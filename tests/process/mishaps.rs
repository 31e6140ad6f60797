//! What befalls a server from outside: a disk that is full or changes what was written, no descriptors, another program
//! in its files, an old copy in their place. Native only: what keeps a Worker's storage is not ours to touch.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Account, Zap};
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::data_folder;

/// A file system of its own, unmounted when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// One of so many bytes; `None`, and a word about it, where none may be mounted.
    pub(crate) fn mount(path: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={bytes},mode=700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        if mount.as_ref().is_ok_and(|mount| mount.status.success()) {
            return Some(Self(path.to_owned()));
        }
        eprintln!("NOT TESTED: a full disk, since this user may not mount one ({mount:?}). Run it as root.");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes the last byte there is.
    pub(crate) fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![7; size]).is_ok() {}
        }
    }

    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

/// Holds the event log's write lock until it is dropped.
pub(crate) fn lock_log(zap: &Zap) -> Connection {
    let log = Connection::open(zap.data.join("sequencer.sqlite")).unwrap();
    log.busy_timeout(Duration::from_secs(10)).unwrap();
    log.execute_batch("BEGIN IMMEDIATE").unwrap();
    log
}

/// Sets how many files the server may have open; what it was before.
pub(crate) fn limit_files(zap: &Zap, current: Option<u64>) -> Rlimit {
    let pid = Pid::from_raw(i32::try_from(zap.id()).unwrap()).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum; // It has ours, and may not raise it.
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap()
}

/// Copies a folder as a tool does: new files with the old bytes.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if entry.is_dir() {
            copy(&entry, &to.join(name));
        } else {
            std::fs::copy(&entry, to.join(name)).unwrap();
        }
    }
}

/// Puts a copy of the data in its place. The folder itself stays: it may be where a disk is mounted.
pub(crate) fn put_back(copied: &Path, data: &Path) {
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap().path();
        let removed =
            if entry.is_dir() { std::fs::remove_dir_all(entry) } else { std::fs::remove_file(entry) };
        removed.unwrap();
    }
    copy(copied, data);
}

/// The database of an agent.
pub(crate) fn agent_file(zap: &Zap, agent: &Account) -> PathBuf {
    let name = format!("{}.sqlite", agent.did.replace(':', "_"));
    data_folder::all(&zap.data).into_iter().find(|path| path.ends_with(&name)).unwrap()
}

/// Flips one bit of a record's text, as a disk would.
pub(crate) fn flip_record(file: &Path, rkey: &str) {
    let database = Connection::open(file).unwrap();
    let path = format!("test.zap.note/{rkey}");
    let read = "SELECT block FROM record WHERE path = ?";
    let mut block: Vec<u8> = database.query_row(read, [&path], |row| row.get(0)).unwrap();
    let at = block.iter().rposition(|byte| *byte == b'x').unwrap();
    block[at] ^= 1;
    database.execute("UPDATE record SET block = ? WHERE path = ?", (block, &path)).unwrap();
}

/// Writes over one leaf page of a table, in the middle of it.
pub(crate) fn destroy_page(file: &Path, table: &str) {
    let database = Connection::open(file).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let size: u32 = database.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    let leaves = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path";
    let mut leaves = database.prepare(leaves).unwrap();
    let leaves: Vec<u32> = leaves.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(leaves.len() > 2, "{table} has {} leaves", leaves.len());
    let mut bytes = File::options().write(true).open(file).unwrap();
    bytes.seek(SeekFrom::Start(u64::from(leaves[leaves.len() / 2] - 1) * u64::from(size))).unwrap();
    bytes.write_all(&vec![0xa5; size as usize]).unwrap();
}

/// Runs `zap repo …` on the data of a stopped server: exit code, JSON, what was said.
pub(crate) fn repair(zap: &Zap, args: &[&str]) -> (i32, Value, String) {
    let mut command = zap.command();
    command.args(["repo", args[0], "--json"]).args(&args[1..]);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code().unwrap(), serde_json::from_slice(&done.stdout).unwrap_or(Value::Null), said)
}

/// Holds an account's repo against its signature and its tree, by the program's own verifier.
pub(crate) fn verify_repo(zap: &Zap, account: &Account) {
    let done = zap.command().args(["repo", "verify", &account.did]).output().unwrap();
    assert!(done.status.success(), "{}: {}", account.handle, String::from_utf8_lossy(&done.stderr));
}
