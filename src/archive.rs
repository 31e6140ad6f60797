//! An agent as one file, to be kept as a copy or to move to another host.
//!
//! ```text
//! CAR v1, roots [manifest, commit]
//!   manifest     DAG-CBOR: whose, which commit, which blobs, and the keys sealed under a passphrase
//!   repo         the blocks of com.atproto.sync.getRepo, in their order
//!   blobs        one raw block each
//! ```
//!
//! The repo is as public as it was; what the archive adds is [`Manifest::sealed`], which holds the [`Secrets`]: keys, and
//! the owner's preferences where there are any. They are
//! sealed with XChaCha20-Poly1305 under a key that Argon2id makes of the passphrase; associated data is the manifest
//! without them, so no byte of it changes unseen.
//!
//! Invariants
//! - A manifest that decodes encodes to the same bytes.
//! - How much work a manifest asks of who opens it is bounded.
//! - Secrets are wiped when dropped, in both forms.

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::actor::Kind;
use crate::data_model::{CODEC_DAG_CBOR, Cid, cid_of_block, decode};
use crate::lexicon::data::from_ipld;
use crate::lexicon::{Bytes, CidLink};
use crate::limits::{
    ARCHIVE_KDF_KIB_MAX, ARCHIVE_KDF_PASSES_MAX, MANIFEST_BYTES_MAX, PASSPHRASE_BYTES_MIN, PASSWORD_BYTES_MAX,
};
use crate::seam::{Hidden, HiddenBytes};
use crate::syntax::{Did, Handle, Tid};
use crate::vault::{self, EpochCopy, KeyringCopy, RootKey, RowCopy, unwrap_secret, wrap_secret};

/// The form of archive that is written here of an agent without preferences: hosts from before there were any open it.
const VERSION: u64 = 1;

/// The form that has preferences.
const VERSION_PREFERENCES: u64 = 2;

const ARGON2ID: &str = "argon2id";
/// More than for a password at rest, since guessing costs nobody's attention; less than a Worker's memory.
const MEMORY_KIB: u32 = 32 * 1024;
const PASSES: u32 = 4;
const LANES: u32 = 1;
const LANES_MAX: u32 = 4;

/// Why an archive was not made or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a manifest, or not in its one encoding.
    #[error("not the manifest of an archive: {0}")]
    Malformed(String),
    /// Of another version.
    #[error("archive version {0} is not known here")]
    Version(u64),
    /// The archive asks for a key derivation that is not known, or for too much of it.
    #[error("the archive's key derivation is not taken here: {0}")]
    Kdf(&'static str),
    /// A passphrase too short to hold, or too long to be one.
    #[error("a passphrase has {PASSPHRASE_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes")]
    Passphrase,
    /// The sealed part does not open.
    #[error("the passphrase is wrong, or the archive was changed")]
    Closed,
    /// More keys or blobs than a manifest holds.
    #[error("the agent is too large for an archive: {0}")]
    TooLarge(String),
    /// A primitive refused to run.
    #[error("cryptographic operation failed: {0}")]
    Primitive(&'static str),
}

/// What an archive is of, and its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The archive's form.
    pub v: u64,
    /// Whose.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Whether a person or an agent owns it.
    pub kind: Kind,
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The model it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its configuration, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The commit.
    pub root: CidLink,
    /// Its rev.
    pub rev: Tid,
    /// The blobs that records refer to and that are there, by CID.
    pub blobs: Vec<ArchivedBlob>,
    /// How the passphrase becomes a key.
    pub kdf: Kdf,
    /// [`Secrets`] under that key; empty until sealed.
    pub sealed: Bytes,
}

/// A blob of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchivedBlob {
    /// Its CID, of a raw block.
    pub cid: CidLink,
    /// Its MIME type.
    pub mime: String,
    /// Its length in bytes.
    pub size: u64,
}

/// How a passphrase becomes a key: Argon2id, version 1.3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kdf {
    /// `argon2id`.
    pub name: String,
    /// 16 random bytes.
    pub salt: Bytes,
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// The keys in an archive, and what else is its owner's alone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secrets {
    /// The repo's private signing key (secp256k1).
    pub signing_key: Secret,
    /// The vault's root key, above all else.
    pub root_key: Secret,
    /// The vault's epochs.
    pub epochs: Vec<EpochCopy>,
    /// Its data keys.
    pub keys: Vec<RowCopy>,
    /// The private key (secp256k1) that may change the DID document, in an archive for moving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_key: Option<Secret>,
    /// What its owner set in apps: a JSON list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<HiddenBytes>,
}

/// A key of 32 bytes: a byte string in CBOR, wiped when dropped, without `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret(#[serde(with = "byte_string")] Hidden<[u8; 32]>);

mod byte_string {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use serde_bytes::ByteArray;

    use crate::seam::Hidden;

    pub(super) fn serialize<S: Serializer>(key: &Hidden<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(key.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hidden<[u8; 32]>, D::Error> {
        ByteArray::<32>::deserialize(from).map(|bytes| Hidden::new(bytes.into_array()))
    }
}

impl Secret {
    /// Hides a key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Hidden::new(key))
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl Secrets {
    /// Puts the vault's keys beside the others.
    pub fn new(
        signing_key: [u8; 32],
        keyring: KeyringCopy,
        move_key: Option<Secret>,
        preferences: Option<HiddenBytes>,
    ) -> Self {
        Self {
            signing_key: Secret::new(signing_key),
            root_key: Secret::new(*keyring.root.as_bytes()),
            epochs: keyring.epochs,
            keys: keyring.rows,
            move_key,
            preferences,
        }
    }

    /// The form of an archive that holds these.
    pub fn version(&self) -> u64 {
        if self.preferences.is_some() { VERSION_PREFERENCES } else { VERSION }
    }

    /// The vault's keys.
    pub fn keyring(&self) -> KeyringCopy {
        KeyringCopy {
            root: RootKey::from_bytes(*self.root_key.expose()),
            epochs: self.epochs.clone(),
            rows: self.keys.clone(),
        }
    }
}

impl Kdf {
    /// Today's choice, with 16 fresh random bytes.
    pub fn new(salt: [u8; 16]) -> Self {
        Self {
            name: ARGON2ID.to_owned(),
            salt: Bytes(salt.to_vec()),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
        }
    }

    /// The key that a passphrase comes to. Takes a good part of a second and `memory_kib` of memory.
    ///
    /// # Errors
    /// [`Error::Kdf`] for one that is not taken here, [`Error::Passphrase`] by its length.
    pub fn derive(&self, passphrase: &str) -> Result<Hidden<[u8; 32]>, Error> {
        check_passphrase(passphrase)?;
        if self.name != ARGON2ID {
            return Err(Error::Kdf("its name is unknown"));
        }
        if self.salt.0.len() != 16 {
            return Err(Error::Kdf("its salt is not 16 bytes"));
        }
        if self.memory_kib > ARCHIVE_KDF_KIB_MAX
            || self.passes > ARCHIVE_KDF_PASSES_MAX
            || self.lanes > LANES_MAX
        {
            return Err(Error::Kdf("it takes too much"));
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| Error::Kdf("its parameters can't be"))?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &self.salt.0, key.as_mut_slice())
            .map_err(|_| Error::Primitive("argon2id"))?;
        Ok(Hidden::new(*key))
    }
}

/// Whether this may be a passphrase.
///
/// # Errors
/// [`Error::Passphrase`].
pub fn check_passphrase(passphrase: &str) -> Result<(), Error> {
    if (PASSPHRASE_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&passphrase.len()) {
        Ok(())
    } else {
        Err(Error::Passphrase)
    }
}

impl Manifest {
    /// Reads a manifest's block. Nothing of it is proven before it is opened.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Version`].
    pub fn decode(block: &[u8]) -> Result<Self, Error> {
        let malformed = |error: &dyn std::fmt::Display| Error::Malformed(error.to_string());
        if block.len() > MANIFEST_BYTES_MAX {
            return Err(Error::Malformed(format!("it is over {MANIFEST_BYTES_MAX} bytes")));
        }
        let value = decode(block).map_err(|error| malformed(&error))?;
        let manifest: Self = from_ipld(value).map_err(|error| malformed(&error))?;
        if ![VERSION, VERSION_PREFERENCES].contains(&manifest.v) {
            return Err(Error::Version(manifest.v));
        }
        if manifest.encode()? != block {
            return Err(Error::Malformed("it is encoded in another way".to_owned()));
        }
        Ok(manifest)
    }

    /// The manifest's block.
    ///
    /// # Errors
    /// None in practice; [`Error::Malformed`] if serialising fails.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_ipld_dagcbor::to_vec(self).map_err(|error| Error::Malformed(error.to_string()))
    }

    /// The CID of a manifest's block.
    pub fn cid(block: &[u8]) -> Cid {
        cid_of_block(CODEC_DAG_CBOR, block)
    }

    /// Seals the keys into the manifest, bound to all else in it; gives its block.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn seal(
        &mut self,
        key: &Hidden<[u8; 32]>,
        secrets: &Secrets,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, Error> {
        self.sealed.0.clear();
        // Room for all, so that no copy is left behind by growing.
        let preferences = secrets.preferences.as_ref().map_or(0, |preferences| preferences.expose().len());
        let room = 1024 + preferences + 256 * (secrets.epochs.len() + secrets.keys.len());
        let mut plain = Zeroizing::new(Vec::with_capacity(room));
        serde_ipld_dagcbor::to_writer(&mut *plain, secrets)
            .map_err(|error| Error::Malformed(error.to_string()))?;
        self.sealed.0 = wrap_secret(key.expose(), &self.encode()?, &plain, rng)
            .map_err(|_: vault::Error| Error::Primitive("seal"))?;
        let block = self.encode()?;
        if block.len() > MANIFEST_BYTES_MAX {
            return Err(Error::TooLarge(format!("its manifest is over {MANIFEST_BYTES_MAX} bytes")));
        }
        Ok(block)
    }

    /// Opens the keys: this proves every byte of the manifest.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn open(&self, key: &Hidden<[u8; 32]>) -> Result<Secrets, Error> {
        let bare = Self { sealed: Bytes::default(), ..self.clone() };
        let plain = unwrap_secret(key.expose(), &bare.encode()?, &self.sealed.0, "archive")
            .map_err(|_| Error::Closed)?;
        serde_ipld_dagcbor::from_slice(&plain).map_err(|error| Error::Malformed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::tests::rng;

    const PASSPHRASE: &str = "correct horse battery";

    fn sealed() -> (Manifest, Vec<u8>) {
        sealed_with(None)
    }

    fn sealed_with(preferences: Option<HiddenBytes>) -> (Manifest, Vec<u8>) {
        let mut manifest = Manifest {
            v: VERSION,
            did: Did::try_from("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap(),
            handle: Handle::try_from("alice.test").unwrap(),
            kind: Kind::Agent,
            display_name: Some("Alice".to_owned()),
            model: None,
            config: None,
            root: CidLink(Manifest::cid(b"\xa0")),
            rev: Tid::try_from("3jzfcijpj2z2a").unwrap(),
            blobs: vec![ArchivedBlob {
                cid: CidLink(Manifest::cid(b"x")),
                mime: "image/png".to_owned(),
                size: 7,
            }],
            kdf: Kdf { memory_kib: 64, passes: 1, ..Kdf::new([3; 16]) },
            sealed: Bytes::default(),
        };
        let keyring = KeyringCopy {
            root: RootKey::from_bytes([2; 32]),
            epochs: vec![EpochCopy { id: 1, wrapped: None, created_us: 1, destroyed_us: Some(2) }],
            rows: Vec::new(),
        };
        let secrets = Secrets::new([1; 32], keyring, Some(Secret::new([5; 32])), preferences);
        manifest.v = secrets.version();
        let key = manifest.kdf.derive(PASSPHRASE).unwrap();
        let block = manifest.seal(&key, &secrets, &mut rng(1)).unwrap();
        (manifest, block)
    }

    #[test]
    fn what_was_sealed_opens_with_its_passphrase_alone() {
        let (manifest, block) = sealed();
        assert_eq!(Manifest::decode(&block).unwrap(), manifest);
        let opened = manifest.open(&manifest.kdf.derive(PASSPHRASE).unwrap()).unwrap();
        assert_eq!((opened.signing_key.expose(), opened.root_key.expose()), (&[1; 32], &[2; 32]));
        assert_eq!(opened.move_key.as_ref().map(|key| *key.expose()), Some([5; 32]));
        assert_eq!(opened.epochs[0].destroyed_us, Some(2));
        let other = manifest.kdf.derive("correct horse batterz").unwrap();
        assert_eq!(manifest.open(&other).err(), Some(Error::Closed));
        assert!(!block.windows(8).any(|bytes| bytes == [1; 8] || bytes == [2; 8] || bytes == [5; 8]));
    }

    /// What breaks: archives from before there were preferences are lost, or are not what hosts from then open.
    #[test]
    fn preferences_are_sealed_in_a_form_of_their_own_and_what_is_without_them_is_as_it_was() {
        let (manifest, block) = sealed_with(Some(b"[a list]".to_vec().into()));
        let read = Manifest::decode(&block).unwrap();
        assert_eq!((read.v, &read), (2, &manifest));
        let opened = read.open(&manifest.kdf.derive(PASSPHRASE).unwrap()).unwrap();
        assert_eq!(opened.preferences.unwrap().expose(), b"[a list]");
        assert!(memchr::memmem::find(&block, b"[a list]").is_none());
        let (old, block) = sealed();
        assert_eq!((old.v, Manifest::decode(&block).unwrap().v), (1, 1));
        let secrets = old.open(&old.kdf.derive(PASSPHRASE).unwrap()).unwrap();
        let plain = serde_ipld_dagcbor::to_vec(&secrets).unwrap();
        assert!(memchr::memmem::find(&plain, b"preferences").is_none());
        let unknown = Manifest { v: 3, ..old }.encode().unwrap();
        assert_eq!(Manifest::decode(&unknown).err(), Some(Error::Version(3)));
    }

    #[test]
    fn a_changed_manifest_does_not_open() {
        let (_, block) = sealed();
        for at in 0..block.len() {
            let mut changed = block.clone();
            changed[at] ^= 1;
            let Ok(manifest) = Manifest::decode(&changed) else { continue };
            let Ok(key) = manifest.kdf.derive(PASSPHRASE) else { continue };
            assert!(manifest.open(&key).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_manifest_asks_for_bounded_work() {
        for kdf in [
            Kdf { memory_kib: ARCHIVE_KDF_KIB_MAX + 1, ..Kdf::new([0; 16]) },
            Kdf { passes: ARCHIVE_KDF_PASSES_MAX + 1, ..Kdf::new([0; 16]) },
            Kdf { lanes: 5, ..Kdf::new([0; 16]) },
            Kdf { name: "scrypt".to_owned(), ..Kdf::new([0; 16]) },
            Kdf { salt: Bytes(vec![0; 8]), ..Kdf::new([0; 16]) },
        ] {
            assert!(matches!(kdf.derive(PASSPHRASE).err(), Some(Error::Kdf(_))), "{kdf:?}");
        }
        assert_eq!(Kdf::new([0; 16]).derive("short").err(), Some(Error::Passphrase));
    }
}
