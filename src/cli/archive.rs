//! Archives as files: read block by block, written under another name until whole.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use repo_mst::car::{CarLimits, CarReader, write_block};

use super::error::{CliError, LocalError};
use super::explain::Explain;
use super::verify::VerifyError;
use zap::data_model::Cid;
use zap::limits::VERIFY_BLOCKS_MAX;

/// Bytes of the largest block taken: a blob is in memory at once, and servers take none near this.
const BLOCK_BYTES_MAX: usize = 1 << 30;
const READ_BYTES: usize = 1 << 20;

/// Why a file is no archive, or can't become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ArchiveError {
    /// The archive is not whole, or can't be made.
    #[error("{0}")]
    Broken(String),
}

impl Explain for ArchiveError {}

/// The manifest does not open, or can't be made.
impl Explain for zap::archive::Error {}

/// An archive's blocks, in their order.
pub(crate) struct Blocks {
    path: PathBuf,
    file: File,
    reader: CarReader,
    chunk: Vec<u8>,
    ended: bool,
}

impl Blocks {
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let file = File::open(path).map_err(|source| LocalError::File { path: path.to_owned(), source })?;
        let limits = CarLimits {
            header_bytes: 4096,
            section_bytes: BLOCK_BYTES_MAX,
            total_bytes: u64::MAX,
            blocks: VERIFY_BLOCKS_MAX,
        };
        let (reader, chunk) = (CarReader::new(limits), vec![0; READ_BYTES]);
        Ok(Self { path: path.to_owned(), file, reader, chunk, ended: false })
    }

    /// The next block, hashed; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<(Cid, Bytes)>, CliError> {
        loop {
            if let Some(block) = self.reader.next_block().map_err(VerifyError::from)? {
                return Ok(Some(block));
            }
            if self.ended {
                return Ok(None);
            }
            let read = self.file.read(&mut self.chunk);
            let read = read.map_err(|source| LocalError::File { path: self.path.clone(), source })?;
            self.ended = read == 0;
            self.reader.push(self.chunk.get(..read).unwrap_or_default()).map_err(VerifyError::from)?;
        }
    }

    /// What the header names, once a block was read.
    pub(crate) fn roots(&self) -> &[Cid] {
        self.reader.roots().unwrap_or_default()
    }

    /// Checks that the file did not end within a block.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        self.reader.finish().map_err(VerifyError::from)?;
        Ok(())
    }
}

/// A file that only its owner reads, and that is there under its name when it is whole.
pub(crate) struct Partial {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    done: bool,
}

impl Partial {
    /// Begins a file that is not there yet.
    pub(crate) fn create(path: &Path) -> Result<Self, LocalError> {
        let failed = |source| LocalError::File { path: path.to_owned(), source };
        if path.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
        let temporary = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        // One left by a process that died stands in the way of `create_new`.
        let _ = std::fs::remove_file(&temporary);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = BufWriter::with_capacity(READ_BYTES, file.map_err(failed)?);
        Ok(Self { path: path.to_owned(), temporary, file, done: false })
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) -> Result<(), LocalError> {
        use std::io::Seek as _;
        let mut restart = || {
            self.file.flush()?;
            self.file.get_ref().set_len(0)?;
            self.file.rewind()
        };
        restart().map_err(|source| LocalError::File { path: self.temporary.clone(), source })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| LocalError::File { path: self.temporary.clone(), source })
    }

    pub(crate) fn block(&mut self, cid: &Cid, block: &[u8]) -> Result<(), LocalError> {
        let mut bytes = Vec::with_capacity(block.len() + 64);
        write_block(&mut bytes, cid, block);
        self.write(&bytes)
    }

    /// Puts the file under its name, safely on disk; gives its length.
    pub(crate) fn finish(mut self) -> Result<u64, LocalError> {
        let finish = || {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            let bytes = self.file.get_ref().metadata()?.len();
            std::fs::rename(&self.temporary, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(bytes)
        };
        let mut finish = finish;
        let bytes = finish().map_err(|source| LocalError::File { path: self.path.clone(), source })?;
        self.done = true;
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Tells people who wait how far it is.
pub(crate) struct Progress {
    told: Instant,
    shown: bool,
}

/// How long somebody waits without hearing anything.
const TELL_EVERY: Duration = Duration::from_secs(2);

impl Progress {
    pub(crate) fn new() -> Self {
        Self { told: Instant::now(), shown: std::io::stderr().is_terminal() }
    }

    /// `done` of `all` of `what` are over.
    pub(crate) fn tell(&mut self, what: &str, done: u64, all: u64) {
        if self.shown && self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr().lock(), "{what}: {done} of {all}");
        }
    }
}

#[cfg(test)]
mod tests {
    use zap::data_model::{CODEC_DAG_CBOR, CODEC_RAW, cid_of_block};

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole_and_never_in_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.car");
        let (cid, block) = (cid_of_block(CODEC_RAW, b"block"), b"block");
        drop(Partial::create(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "given up without a trace");
        let mut file = Partial::create(&path).unwrap();
        file.write(b"what did not come to be").unwrap();
        file.restart().unwrap();
        let root = cid_of_block(CODEC_DAG_CBOR, b"manifest");
        file.write(&repo_mst::car::header(&[root])).unwrap();
        file.block(&cid, block).unwrap();
        assert!(!path.exists());
        let bytes = file.finish().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes);
        assert!(Partial::create(&path).is_err());

        let mut blocks = Blocks::open(&path).unwrap();
        assert_eq!(blocks.next().unwrap(), Some((cid, Bytes::from_static(block))));
        assert_eq!(blocks.roots(), [root]);
        assert_eq!(blocks.next().unwrap(), None);
        blocks.finish().unwrap();
        let cut = std::fs::read(&path).unwrap();
        std::fs::write(&path, &cut[..cut.len() - 1]).unwrap();
        let mut blocks = Blocks::open(&path).unwrap();
        assert_eq!(blocks.next().unwrap(), None);
        assert!(blocks.finish().is_err(), "it ends early");
    }
}
