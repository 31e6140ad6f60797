//! Account passwords at rest: Argon2id in PHC string form.
//!
//! One hash takes tens of milliseconds and 19 MiB by intention, so the host runs it off the cells and
//! bounds how many run at once.

use crate::limits::PASSWORD_BYTES_MAX;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};

/// OWASP's first recommendation for Argon2id: 19 MiB, two passes, one lane. More memory would let a burst
/// of sign-ins exhaust a small machine, and two passes make up for it.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Why a password was not hashed or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More than [`PASSWORD_BYTES_MAX`] bytes.
    #[error("password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Not the password this hash was made from.
    #[error("password does not match")]
    Mismatch,
    /// The stored string is not an Argon2 PHC string.
    #[error("stored password hash is malformed")]
    MalformedHash,
    /// Argon2 refused to run, for want of memory.
    #[error("password could not be hashed")]
    Hash,
}

/// Hashes `password` with 16 fresh random bytes of `salt`; the answer is what to store.
///
/// # Errors
/// [`Error::TooLong`], or [`Error::Hash`] when memory ran out.
pub fn hash_password(password: &str, salt: [u8; 16]) -> Result<String, Error> {
    check_length(password)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Error::Hash)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|_| Error::Hash)
}

/// Checks `password` against a stored hash, with the parameters the hash names.
///
/// # Errors
/// [`Error::Mismatch`] for the wrong password, the others as their names say.
pub fn verify_password(password: &str, stored: &str) -> Result<(), Error> {
    check_length(password)?;
    let hash = PasswordHash::new(stored).map_err(|_| Error::MalformedHash)?;
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(()),
        Err(argon2::password_hash::Error::PasswordInvalid) => Err(Error::Mismatch),
        Err(_) => Err(Error::MalformedHash),
    }
}

fn check_length(password: &str) -> Result<(), Error> {
    if password.len() > PASSWORD_BYTES_MAX { Err(Error::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_accepted() {
        let stored = hash_password("correct horse", [7; 16]).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(verify_password("correct horse", &stored), Ok(()));
        assert_eq!(verify_password("correct horse ", &stored), Err(Error::Mismatch));
        assert_eq!(verify_password("", &stored), Err(Error::Mismatch));
    }

    #[test]
    fn salt_makes_the_difference() {
        assert_ne!(hash_password("same", [1; 16]).unwrap(), hash_password("same", [2; 16]).unwrap());
    }

    #[test]
    fn malformed_hashes_and_long_passwords_are_errors() {
        for stored in
            ["", "plain", "$argon2id$", "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVK"]
        {
            assert_eq!(verify_password("x", stored), Err(Error::MalformedHash), "{stored}");
        }
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(hash_password(&long, [0; 16]), Err(Error::TooLong));
    }
}
