//! Passkeys (WebAuthn level 3): what an authenticator says when it makes one, and when it signs with it, checked without IO.
//!
//! The person is always verified (by a PIN or a finger), so a passkey is two factors in one. Keys are of P-256, which all
//! authenticators have, or of Ed25519, which some prefer. Who made an authenticator is not asked, and what it says of that is not looked at. Unlike elsewhere
//! in the protocol a signature may have a high `s`: authenticators give either.

mod cbor;
mod key;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use self::cbor::Item;
pub use self::key::PublicKey;
use super::{ct_eq, sha256};

/// Bytes of what a browser says it did: a challenge, an origin, and room for what is to come.
pub const CLIENT_DATA_BYTES_MAX: usize = 2 * 1024;
/// Bytes of what an authenticator says of a new key: some send certificates that nobody asked for.
pub const ATTESTATION_BYTES_MAX: usize = 8 * 1024;
/// Bytes of what it says when it signs: 37, and extensions that nobody asked for.
pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 1024;
/// Bytes of a credential's name: as the standard has it.
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1_023;
/// Bits of the flags.
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// Why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It can't be read.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A new key where one was to sign, or the other way round.
    #[error("this is for something else")]
    WrongType,
    /// It answers another challenge.
    #[error("the challenge is another one")]
    WrongChallenge,
    /// It was made for another site, or inside one.
    #[error("it was made for another site")]
    WrongOrigin,
    /// The authenticator was asked by another site.
    #[error("it is another site's")]
    WrongRpId,
    /// Nobody touched it.
    #[error("nobody was there")]
    NotPresent,
    /// It did not look who that was.
    #[error("the authenticator did not verify who is there")]
    NotVerified,
    /// It is on several devices, and is on one alone.
    #[error("the authenticator contradicts itself")]
    Contradiction,
    /// The key is of another kind.
    #[error("the key is of a kind that is not known here")]
    WrongAlgorithm,
    /// Not made by this key over this.
    #[error("the signature does not match")]
    SignatureMismatch,
}

/// The host that keys of a server belong to, from where it is.
#[must_use]
pub fn rp_id(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    authority.split_once(':').map_or(authority, |(host, _port)| host)
}

/// What it all has to be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// What was to be answered.
    pub challenge: &'a [u8],
    /// The page's origin: scheme, host, and port where that is not the usual one.
    pub origin: &'a str,
    /// The host that keys belong to.
    pub rp_id: &'a str,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// Its name.
    pub id: Vec<u8>,
    /// Its public half.
    pub public_key: PublicKey,
    /// How often it has signed; 0 where nobody counts.
    pub sign_count: u32,
    /// Whether it can be on several devices.
    pub backup_eligible: bool,
}

/// A signature that was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// How often the key has signed; 0 where nobody counts.
    pub sign_count: u32,
    /// Whether it can be on several devices.
    pub backup_eligible: bool,
}

/// What a browser says it did.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// The challenge that a browser says it answered, before anything is checked.
///
/// # Errors
/// [`Error::Malformed`].
pub fn claimed_challenge(client_data: &[u8]) -> Result<Vec<u8>, Error> {
    let malformed = || Error::Malformed("the client data");
    let read = read_client_data(client_data)?;
    BASE64URL_NOPAD.decode(read.challenge.as_bytes()).map_err(|_| malformed())
}

/// Checks a key that was made.
///
/// # Errors
/// All but [`Error::SignatureMismatch`].
pub fn check_new(
    expected: Expected<'_>,
    client_data: &[u8],
    attestation: &[u8],
) -> Result<NewCredential, Error> {
    check_client_data(expected, "webauthn.create", client_data)?;
    let malformed = Error::Malformed("the attestation");
    if attestation.len() > ATTESTATION_BYTES_MAX {
        return Err(malformed);
    }
    let (object, rest) = cbor::read(attestation)?;
    let Some(Item::Bytes(data)) = object.get(Item::Text("authData")) else { return Err(malformed) };
    if !rest.is_empty() {
        return Err(malformed);
    }
    let data = AuthenticatorData::read(data)?;
    data.check(expected.rp_id)?;
    let credential = data.credential.ok_or(malformed)?;
    Ok(NewCredential {
        id: credential.id.to_vec(),
        public_key: credential.key,
        sign_count: data.sign_count,
        backup_eligible: data.flags & BACKUP_ELIGIBLE != 0,
    })
}

/// Checks a signature of a key.
///
/// # Errors
/// All but [`Error::WrongAlgorithm`].
pub fn check_signed(
    expected: Expected<'_>,
    public_key: &PublicKey,
    client_data: &[u8],
    authenticator_data: &[u8],
    signature: &[u8],
) -> Result<Signed, Error> {
    check_client_data(expected, "webauthn.get", client_data)?;
    if authenticator_data.len() > AUTHENTICATOR_DATA_BYTES_MAX {
        return Err(Error::Malformed("the authenticator data"));
    }
    let data = AuthenticatorData::read(authenticator_data)?;
    data.check(expected.rp_id)?;
    public_key.verify(&[authenticator_data, &sha256(client_data)].concat(), signature)?;
    Ok(Signed { sign_count: data.sign_count, backup_eligible: data.flags & BACKUP_ELIGIBLE != 0 })
}

fn read_client_data(client_data: &[u8]) -> Result<ClientData, Error> {
    let malformed = || Error::Malformed("the client data");
    if client_data.len() > CLIENT_DATA_BYTES_MAX {
        return Err(malformed());
    }
    serde_json::from_slice(client_data).map_err(|_| malformed())
}

fn check_client_data(expected: Expected<'_>, kind: &str, client_data: &[u8]) -> Result<(), Error> {
    let read = read_client_data(client_data)?;
    if read.kind != kind {
        return Err(Error::WrongType);
    }
    let challenge = BASE64URL_NOPAD.encode(expected.challenge);
    if !ct_eq(read.challenge.as_bytes(), challenge.as_bytes()) {
        return Err(Error::WrongChallenge);
    }
    if read.origin != expected.origin || read.cross_origin { Err(Error::WrongOrigin) } else { Ok(()) }
}

struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    sign_count: u32,
    credential: Option<Credential<'a>>,
}

struct Credential<'a> {
    id: &'a [u8],
    key: PublicKey,
}

impl<'a> AuthenticatorData<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        const WHAT: &str = "the authenticator data";
        let malformed = || Error::Malformed(WHAT);
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or_else(malformed)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or_else(malformed)?;
        let (sign_count, mut rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let (_aaguid, after) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or_else(malformed)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if length == 0 || length > CREDENTIAL_ID_BYTES_MAX {
                return Err(malformed());
            }
            let (id, after) = after.split_at_checked(length).ok_or_else(malformed)?;
            let (key, after) = cbor::read(after)?;
            credential = Some(Credential { id, key: PublicKey::read(&key)? });
            rest = after;
        }
        if flags & HAS_EXTENSIONS != 0 {
            let (extensions, after) = cbor::read(rest)?;
            if !matches!(extensions, Item::Map(_)) {
                return Err(malformed());
            }
            rest = after;
        }
        let (flags, sign_count) = (*flags, u32::from_be_bytes(*sign_count));
        if rest.is_empty() {
            Ok(Self { rp_id_hash, flags, sign_count, credential })
        } else {
            Err(malformed())
        }
    }

    fn check(&self, rp_id: &str) -> Result<(), Error> {
        let has = |flag| self.flags & flag != 0;
        if !ct_eq(self.rp_id_hash, &sha256(rp_id.as_bytes())) {
            return Err(Error::WrongRpId);
        }
        if !has(USER_PRESENT) {
            return Err(Error::NotPresent);
        }
        if !has(USER_VERIFIED) {
            return Err(Error::NotVerified);
        }
        if has(BACKED_UP) && !has(BACKUP_ELIGIBLE) { Err(Error::Contradiction) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
