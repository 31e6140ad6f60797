//! Codes by time (RFC 6238), as all authenticator apps make them: six digits of HMAC-SHA-1 over the count of half minutes.
//!
//! SHA-1 is what those apps have in common; that its collisions are known does nothing to an HMAC.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::ct_eq;

/// Bytes of a secret: as long as the hash, which RFC 4226 recommends.
pub const SECRET_LEN: usize = 20;
/// Digits of a code.
pub const DIGITS: usize = 6;

const STEP_SECONDS: i64 = 30;
/// Steps before and after now whose codes are taken: a clock may be off, and typing takes a moment.
const DRIFT_STEPS: i64 = 1;

/// The step whose code this is, if it is one around now and after the step `last`, whose code was the last to be used.
pub fn step_of(secret: &[u8; SECRET_LEN], code: &str, now_seconds: i64, last: i64) -> Option<i64> {
    let now = now_seconds.div_euclid(STEP_SECONDS);
    // All are compared, whichever fits: how long it takes says nothing.
    let mut found = None;
    for step in now.saturating_sub(DRIFT_STEPS)..=now.saturating_add(DRIFT_STEPS) {
        if ct_eq(code_of(secret, step).as_bytes(), code.as_bytes()) && step > last {
            found = Some(step);
        }
    }
    found
}

/// The code of now.
#[must_use]
pub fn code_at(secret: &[u8; SECRET_LEN], now_seconds: i64) -> Zeroizing<String> {
    code_of(secret, now_seconds.div_euclid(STEP_SECONDS))
}

fn code_of(secret: &[u8; SECRET_LEN], step: i64) -> Zeroizing<String> {
    // HMAC pads a short key with zeros to the block size; done here, the constructor cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(secret) {
        *to = *from;
    }
    let tag: [u8; SECRET_LEN] =
        Hmac::<Sha1>::new((&*block).into()).chain_update(step.to_be_bytes()).finalize().into_bytes().into();
    let [.., last] = tag;
    let at = usize::from(last & 0xf);
    let word = tag.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let number = u32::from_be_bytes(word) & 0x7fff_ffff;
    Zeroizing::new(format!("{:0DIGITS$}", number % 1_000_000))
}

/// A secret as people type it.
#[must_use]
pub fn text(secret: &[u8; SECRET_LEN]) -> Zeroizing<String> {
    Zeroizing::new(BASE32_NOPAD.encode(secret))
}

/// A secret as apps read it from a picture: the account is shown under the name of its server.
#[must_use]
pub fn uri(secret: &[u8; SECRET_LEN], server: &str, account: &str) -> Zeroizing<String> {
    let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let (server, account, secret) = (escaped(server), escaped(account), text(secret));
    Zeroizing::new(format!("otpauth://totp/{server}:{account}?secret={}&issuer={server}", *secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8; SECRET_LEN] = b"12345678901234567890";
    const NEVER: i64 = i64::MIN;

    /// RFC 6238, appendix B: the last six of its eight digits.
    #[test]
    fn the_vectors_of_the_rfc_hold() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(*code_at(SECRET, seconds), code, "{seconds}");
            assert_eq!(step_of(SECRET, code, seconds, NEVER), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_clock_may_be_off_by_one_step_and_no_more() {
        let (code, made) = (code_at(SECRET, 1_111_111_110), 1_111_111_110);
        for (now, is_taken) in [
            (made - 31, false),
            (made - 30, true),
            (made, true),
            (made + 29, true),
            (made + 59, true),
            (made + 60, false),
        ] {
            assert_eq!(step_of(SECRET, &code, now, NEVER).is_some(), is_taken, "{}", now - made);
        }
    }

    #[test]
    fn no_code_of_a_step_that_was_used_or_of_one_before_it_is_taken() {
        let now = 1_111_111_110;
        let step = step_of(SECRET, &code_at(SECRET, now), now, NEVER).unwrap();
        assert_eq!(step_of(SECRET, &code_at(SECRET, now), now, step), None);
        assert_eq!(step_of(SECRET, &code_at(SECRET, now - 30), now, step), None);
        assert_eq!(step_of(SECRET, &code_at(SECRET, now + 30), now, step), Some(step + 1));
    }

    #[test]
    fn what_is_no_code_is_none() {
        for code in ["", "28708", "2870822", "28708a", "２８７０８２"] {
            assert_eq!(step_of(SECRET, code, 59, NEVER), None, "{code}");
        }
    }

    #[test]
    fn the_secret_goes_into_an_app_as_text_and_as_a_uri() {
        assert_eq!(*text(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let uri = uri(SECRET, "localhost:2583", "alice.test");
        let expected = "otpauth://totp/localhost%3A2583:alice%2Etest?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&\
            issuer=localhost%3A2583";
        assert_eq!(*uri, expected);
    }
}
