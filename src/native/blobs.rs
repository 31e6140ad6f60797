//! Blobs on disk, named by what they are.
//!
//! `DATA/blobs/<2 hex>/<SHA-256 of the DID>/<CID>`; a DID may have characters and lengths that a file name may not,
//! its hash never has. An upload goes to a temporary file on the same filesystem while it is hashed, is synced, and
//! then takes its name by a rename whose folder is synced too: a name that is there is a whole blob, whatever crashed
//! when. The same upload twice is one file. Which blobs are referenced is known to the account's cell alone. It is told of
//! a blob after that has its name: one whose sender hangs up in between, or whose account is deleted meanwhile, lies there
//! until it is swept (see `upkeep`).
//!
//! A folder has one process: what lies in `tmp` at the start is of a dead one, and is removed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures::StreamExt;
use repo_mst::CODEC_RAW;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::descriptors;
use super::sql::is_full;
use crate::host::{ByteStream, HostError, PutBlobError, StoredBlob};
use crate::limits::{BLOB_CHUNK_BYTES, BLOB_HEAD_BYTES};
use crate::syntax::Did;

/// The blobs of all accounts of a server.
#[derive(Debug)]
pub struct Blobs {
    root: PathBuf,
    /// Held while a name is given or taken away.
    names: Arc<Mutex<()>>,
}

impl Blobs {
    /// Opens the store in the data folder and removes what an earlier process left half-written.
    ///
    /// # Errors
    /// When its folders can't be made or cleaned.
    pub fn open(data: &Path) -> Result<Self, HostError> {
        let root = data.join("blobs");
        let temporary = root.join("tmp");
        let open = || {
            std::fs::create_dir_all(&temporary)?;
            for entry in std::fs::read_dir(&temporary)? {
                std::fs::remove_file(entry?.path())?;
            }
            sync_folder(&root)
        };
        open().map_err(|error| storage("opening the blob store", &error))?;
        Ok(Self { root, names: Arc::default() })
    }

    /// Keeps a blob of at most `bytes_max` bytes. Answered when it is durable.
    ///
    /// # Errors
    /// When the body is too large or breaks off, or storage fails (a full disk, for one); nothing is kept then.
    pub async fn put(&self, did: &Did, body: ByteStream, bytes_max: u64) -> Result<StoredBlob, PutBlobError> {
        // Removes its file however this ends: an error, a dropped connection, or the rename, after which it is gone.
        let temporary = Temporary(self.root.join("tmp").join(random_name()?));
        let stored = write_hashed(&temporary.0, body, bytes_max).await?;
        let folder = self.folder(did);
        let path = folder.join(stored.cid.to_string());
        let from = temporary.0.clone();
        let (root, names) = (self.root.clone(), Arc::clone(&self.names));
        blocking("keeping a blob", move || {
            let middle = folder.parent().unwrap_or(&root);
            {
                let _names = names.lock().unwrap_or_else(PoisonError::into_inner);
                std::fs::create_dir_all(&folder)?;
                std::fs::rename(&from, &path)?;
            }
            sync_folder(&folder)?;
            sync_folder(middle)?;
            sync_folder(&root)
        })
        .await?;
        Ok(stored)
    }

    /// A blob's length and content, or `None` when it is not there.
    ///
    /// # Errors
    /// When storage fails; in the stream, when it fails later.
    pub async fn get(&self, did: &Did, cid: &Cid) -> Result<Option<(u64, ByteStream)>, HostError> {
        let Some(path) = self.path(did, cid) else { return Ok(None) };
        let opening = async {
            let file = File::open(&path).await?;
            let bytes = file.metadata().await?.len();
            Ok((file, bytes))
        };
        match opening.await {
            Ok((file, bytes)) => Ok(Some((bytes, read_chunks(file)))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(storage("opening a blob", &error)),
        }
    }

    /// Removes a blob that was not uploaded again since `before_us`; one that is not there is fine.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn delete_older(&self, did: &Did, cid: &Cid, before_us: i64) -> Result<(), HostError> {
        let Some(path) = self.path(did, cid) else { return Ok(()) };
        let before = UNIX_EPOCH + Duration::from_micros(before_us.unsigned_abs());
        let names = Arc::clone(&self.names);
        let remove = move || {
            let _names = names.lock().unwrap_or_else(PoisonError::into_inner);
            let is_older = std::fs::metadata(&path)?.modified()? < before;
            if is_older { std::fs::remove_file(&path) } else { Ok(()) }
        };
        blocking("removing a blob", move || fine_when_missing(remove())).await
    }

    /// The blobs of a DID that were not uploaded again since `before_us`.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn list_older(&self, did: &Did, before_us: i64) -> Result<Vec<Cid>, HostError> {
        let (folder, before) =
            (self.folder(did), UNIX_EPOCH + Duration::from_micros(before_us.unsigned_abs()));
        let list = move || {
            let mut older = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if let Some(cid) = name.to_str().and_then(|name| Cid::try_from(name).ok())
                    && entry.metadata()?.modified()? < before
                {
                    older.push(cid);
                }
            }
            Ok(older)
        };
        blocking("listing blobs", move || match list() {
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            listed => listed,
        })
        .await
    }

    /// Removes the blobs of all who are not among `dids` that were not uploaded again since `before_us`; those stay whose
    /// first two digits `spared` says to.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn delete_of_others(
        &self,
        dids: &[Did],
        before_us: i64,
        spared: impl Fn(&OsStr) -> bool + Send + 'static,
    ) -> Result<(), HostError> {
        let before = UNIX_EPOCH + Duration::from_micros(before_us.unsigned_abs());
        let (root, names) = (self.root.clone(), Arc::clone(&self.names));
        let kept: HashSet<PathBuf> = dids.iter().map(|did| self.folder(did)).collect();
        blocking("removing blobs of nobody", move || {
            for middle in std::fs::read_dir(&root)? {
                let middle = middle?;
                if middle.file_name() == "tmp" || spared(&middle.file_name()) {
                    continue;
                }
                for folder in std::fs::read_dir(middle.path())? {
                    let folder = folder?.path();
                    if !kept.contains(&folder) {
                        let _names = names.lock().unwrap_or_else(PoisonError::into_inner);
                        fine_when_missing(delete_folder_older(&folder, before))?;
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Removes all blobs of a DID.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn delete_all(&self, did: &Did) -> Result<(), HostError> {
        let folder = self.folder(did);
        blocking("removing an account's blobs", move || fine_when_missing(std::fs::remove_dir_all(folder)))
            .await
    }

    fn folder(&self, did: &Did) -> PathBuf {
        folder(&self.root, did)
    }

    /// Where a blob would be; `None` for a CID that is not of bytes as they are.
    fn path(&self, did: &Did, cid: &Cid) -> Option<PathBuf> {
        (cid.codec() == CODEC_RAW).then(|| self.folder(did).join(cid.to_string()))
    }
}

/// What is wrong with a blob that the account keeps, read from the data folder of a stopped server.
pub(super) fn fault(data: &Path, did: &Did, cid: &Cid, bytes: u64) -> Option<String> {
    let mut digest = Sha256::new();
    let mut read = || -> std::io::Result<u64> {
        let mut file = std::fs::File::open(folder(&data.join("blobs"), did).join(cid.to_string()))?;
        let mut chunk = vec![0; BLOB_CHUNK_BYTES];
        let mut read = 0;
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(read),
                count => digest.update(chunk.get(..count).unwrap_or_default()),
            }
            read = file.stream_position()?;
        }
    };
    match read() {
        Ok(read) if read != bytes => Some(format!("blob {cid} has {read} of {bytes} bytes")),
        Ok(_) if digest.finalize()[..] != *cid.hash().digest() => Some(format!("blob {cid} has other bytes")),
        Ok(_) => None,
        Err(error) if is_missing(&error) => Some(format!("blob {cid} is missing")),
        Err(error) => Some(format!("blob {cid}: {error}")),
    }
}

fn folder(root: &Path, did: &Did) -> PathBuf {
    let name = data_encoding::HEXLOWER.encode(&Sha256::digest(did.as_str().as_bytes()));
    root.join(name.get(..2).unwrap_or_default()).join(name)
}

/// A file that is removed when this is dropped, if it is still there.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // A failure leaves a file that the next start removes.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes and syncs the body while hashing it.
async fn write_hashed(path: &Path, mut body: ByteStream, bytes_max: u64) -> Result<StoredBlob, PutBlobError> {
    let failed = |error: std::io::Error| storage("writing a blob", &error);
    // Made here and not on another thread, where it could come to be after this future was dropped and cleaned up.
    let mut file = File::from_std(std::fs::File::create_new(path).map_err(failed)?);
    let mut hash = Sha256::new();
    let mut bytes: u64 = 0;
    let mut head = BytesMut::with_capacity(BLOB_HEAD_BYTES);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > bytes_max {
            return Err(PutBlobError::TooLarge(bytes_max));
        }
        let wanted = BLOB_HEAD_BYTES.saturating_sub(head.len()).min(chunk.len());
        head.extend_from_slice(chunk.get(..wanted).unwrap_or_default());
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    let cid = raw_cid(&hash.finalize())?;
    Ok(StoredBlob { cid, bytes, head: head.freeze() })
}

fn raw_cid(digest: &[u8]) -> Result<Cid, HostError> {
    /// The multihash code of SHA-256.
    const SHA2_256: u64 = 0x12;
    let multihash = multihash::Multihash::<64>::wrap(SHA2_256, digest)
        .map_err(|error| HostError::Storage(format!("hashing a blob: {error}")))?;
    Ok(Cid::new_v1(CODEC_RAW, multihash))
}

fn read_chunks(file: File) -> ByteStream {
    futures::stream::try_unfold(file, |mut file| async move {
        let mut chunk = BytesMut::with_capacity(BLOB_CHUNK_BYTES);
        let read = file.read_buf(&mut chunk).await.map_err(|error| storage("reading a blob", &error))?;
        Ok((read > 0).then(|| (Bytes::from(chunk), file)))
    })
    .boxed()
}

fn random_name() -> Result<String, HostError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| HostError::Storage(format!("naming a blob: {error}")))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// Removes the files of a folder that are older, and the folder when nothing is left in it.
fn delete_folder_older(folder: &Path, before: SystemTime) -> std::io::Result<()> {
    let mut is_empty = true;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        if file.metadata()?.modified()? < before {
            std::fs::remove_file(file.path())?;
        } else {
            is_empty = false;
        }
    }
    if is_empty { std::fs::remove_dir(folder) } else { Ok(()) }
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| storage(doing, &error)),
        Err(_) => Err(HostError::Stopping),
    }
}

fn fine_when_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Makes names in a folder durable.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn storage(doing: &str, error: &std::io::Error) -> HostError {
    match error {
        _ if is_full(error) => HostError::Full,
        _ if descriptors::is_lack(error) => {
            tracing::warn!(%error, doing, "no descriptors");
            HostError::Busy
        }
        _ => HostError::Storage(format!("{doing}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    fn body(chunks: Vec<Result<&'static [u8], HostError>>) -> ByteStream {
        futures::stream::iter(chunks.into_iter().map(|chunk| chunk.map(Bytes::from_static))).boxed()
    }

    async fn read(blobs: &Blobs, did: &Did, cid: &Cid) -> Option<Vec<u8>> {
        let (bytes, stream) = blobs.get(did, cid).await.unwrap()?;
        let content = stream.map(|chunk| chunk.unwrap().to_vec()).concat().await;
        assert_eq!(bytes, content.len() as u64);
        Some(content)
    }

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn a_blob_comes_back_under_its_hash_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (alice, bob) = (did("did:plc:alice"), did("did:web:bob.test"));
        let stored = blobs.put(&alice, body(vec![Ok(b"hello "), Ok(b"world")]), 11).await.unwrap();
        assert_eq!(stored.cid, repo_mst::cid_for_raw(b"hello world"));
        assert_eq!((stored.bytes, stored.head.as_ref()), (11, &b"hello world"[..]));
        let again = blobs.put(&alice, body(vec![Ok(b"hello world")]), 11).await.unwrap();
        assert_eq!(again, stored);
        assert_eq!(read(&blobs, &alice, &stored.cid).await.unwrap(), b"hello world");
        assert_eq!(read(&blobs, &bob, &stored.cid).await, None, "blobs of one account are not another's");
        for _ in 0..2 {
            blobs.delete_older(&alice, &stored.cid, i64::MAX).await.unwrap();
        }
        assert_eq!(read(&blobs, &alice, &stored.cid).await, None);
    }

    /// What breaks: an upload that comes while the same blob expires is answered, and its bytes are gone.
    #[tokio::test]
    async fn a_blob_that_is_uploaded_again_while_it_expires_stays() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let alice = did("did:plc:alice");
        let before_us = crate::native::clock::now_us() - 3_600_000_000;
        let old = || body(vec![Ok(b"old")]);
        let stored = blobs.put(&alice, old(), 5).await.unwrap();
        let path = blobs.path(&alice, &stored.cid).unwrap();
        let long_ago = UNIX_EPOCH + Duration::from_micros(before_us.unsigned_abs() - 1);
        std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        blobs.put(&alice, old(), 5).await.unwrap();
        blobs.delete_older(&alice, &stored.cid, before_us).await.unwrap();
        assert!(path.exists());
        std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        blobs.delete_older(&alice, &stored.cid, before_us).await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let alice = did("did:plc:alice");
        let large = blobs.put(&alice, body(vec![Ok(b"12345"), Ok(b"6")]), 5).await.unwrap_err();
        assert!(matches!(large, PutBlobError::TooLarge(5)));
        let broken = body(vec![Ok(b"123"), Err(HostError::Upstream("gone".to_owned()))]);
        let broken = blobs.put(&alice, broken, 5).await.unwrap_err();
        assert!(matches!(broken, PutBlobError::Host(HostError::Upstream(_))));
        let dropped = blobs.put(&alice, futures::stream::pending().boxed(), 5);
        let mut dropped = Box::pin(dropped);
        assert!(futures::poll!(dropped.as_mut()).is_pending());
        drop(dropped);
        assert_eq!(files(&folder.path().join("blobs/tmp")), 0);
        assert_eq!(files(&folder.path().join("blobs")), 1);
        std::fs::write(folder.path().join("blobs/tmp/stale"), "of a process that was killed").unwrap();
        Blobs::open(folder.path()).unwrap();
        assert_eq!(files(&folder.path().join("blobs/tmp")), 0);
    }

    #[tokio::test]
    async fn all_of_an_account_go_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (alice, bob) = (did("did:plc:alice"), did("did:plc:bob"));
        let one = blobs.put(&alice, body(vec![Ok(b"1")]), 5).await.unwrap();
        let two = blobs.put(&alice, body(vec![Ok(b"2")]), 5).await.unwrap();
        blobs.put(&bob, body(vec![Ok(b"1")]), 5).await.unwrap();
        blobs.delete_all(&alice).await.unwrap();
        blobs.delete_all(&alice).await.unwrap();
        assert_eq!(read(&blobs, &alice, &one.cid).await, None);
        assert_eq!(read(&blobs, &alice, &two.cid).await, None);
        assert_eq!(read(&blobs, &bob, &one.cid).await.unwrap(), b"1");
    }

    #[tokio::test]
    async fn the_cid_of_a_record_names_no_blob() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let alice = did("did:plc:alice");
        let record = repo_mst::cid_for_cbor(b"\xa0");
        assert!(blobs.get(&alice, &record).await.unwrap().is_none());
        blobs.delete_older(&alice, &record, i64::MAX).await.unwrap();
    }

    #[tokio::test]
    async fn large_blobs_stream_in_bounded_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let alice = did("did:plc:alice");
        let content: &'static [u8] = vec![7; 3 * BLOB_CHUNK_BYTES + 5].leak();
        let stored = blobs.put(&alice, body(vec![Ok(content)]), 1 << 20).await.unwrap();
        assert_eq!(stored.head.len(), BLOB_HEAD_BYTES);
        let (_, mut stream) = blobs.get(&alice, &stored.cid).await.unwrap().unwrap();
        let mut total = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= BLOB_CHUNK_BYTES);
            total += chunk.len();
        }
        assert_eq!(total, content.len());
    }
}
