//! Padding: how a sealed record hides its size.
//!
//! The plaintext is followed by one byte 0x80 and as many zero bytes as bring it to [`padded_len`] (ISO/IEC 7816-4).
//! So the end is unambiguous whatever the plaintext ends in, an empty one included: strip zeros, then one 0x80.
//! Lengths follow PADMÉ (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
//! 2019): at most 12 % more bytes, and a size of `L` bytes gives away O(log log L) bits. Below the floor of their kind all
//! look alike; most memories and messages are that short.
//!
//! Removing the padding happens after authentication, so it is no oracle.

use super::Error;
use zeroize::Zeroizing;

/// The least padded length of a record.
pub(super) const RECORD_FLOOR: usize = 256;
/// The least padded length of a letter, which says some 400 bytes of itself.
pub(super) const LETTER_FLOOR: usize = 1024;
const MARK: u8 = 0x80;

/// The length to which the plaintext of a record is padded that has `len` bytes.
pub fn padded_len(len: usize) -> usize {
    padded_len_from(RECORD_FLOOR, len)
}

fn padded_len_from(floor: usize, len: usize) -> usize {
    let len = len.saturating_add(1);
    if len <= floor {
        return floor;
    }
    // E bits of exponent; the S bits it takes to write E are the precision that stays.
    let exponent = len.ilog2();
    let precision = exponent.ilog2() + 1;
    let mask = (1 << (exponent - precision)) - 1;
    len.checked_add(mask).map_or(usize::MAX, |sum| sum & !mask)
}

/// The padded plaintext, in a buffer with room for `extra` bytes of tag, so that growing it leaves no copy behind.
pub(super) fn pad(plaintext: &[u8], floor: usize, extra: usize) -> Vec<u8> {
    let len = padded_len_from(floor, plaintext.len());
    let mut padded = Vec::with_capacity(len.saturating_add(extra));
    padded.extend_from_slice(plaintext);
    padded.push(MARK);
    padded.resize(len, 0);
    padded
}

/// Takes the padding off.
///
/// # Errors
/// [`Error::Malformed`] when there is none, or not of the length it should have: a sealer other than ours may only
/// differ where all readers agree.
pub(super) fn unpad(padded: &mut Zeroizing<Vec<u8>>, floor: usize) -> Result<(), Error> {
    let end = padded.iter().rposition(|byte| *byte != 0).ok_or(Error::Malformed("no padding"))?;
    if padded.get(end) != Some(&MARK) || padded_len_from(floor, end) != padded.len() {
        return Err(Error::Malformed("padding"));
    }
    padded.truncate(end);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_those_of_padme() {
        for (len, padded) in [
            (0, 256),
            (255, 256),
            (256, 272),
            (271, 272),
            (272, 288),
            (999, 1_024),
            (1_023, 1_024),
            (1_024, 1_088),
            (65_535, 65_536),
            (65_536, 67_584),
            (1_000_000, 1_015_808),
        ] {
            assert_eq!(padded_len(len), padded, "{len}");
        }
    }

    #[test]
    fn what_is_not_padded_right_is_refused() {
        for padded in [vec![], vec![0; 256], vec![1; 256], vec![MARK], vec![MARK, 0, 0]] {
            assert!(unpad(&mut Zeroizing::new(padded), RECORD_FLOOR).is_err());
        }
        let mut longer = pad(b"x", RECORD_FLOOR, 0);
        longer.resize(512, 0);
        assert!(unpad(&mut Zeroizing::new(longer), RECORD_FLOOR).is_err());
    }

    proptest! {
        #[test]
        fn unpad_undoes_pad(plaintext in prop::collection::vec(prop_oneof![Just(0), Just(MARK), any::<u8>()], 0..600)) {
            for floor in [RECORD_FLOOR, LETTER_FLOOR] {
                let mut padded = Zeroizing::new(pad(&plaintext, floor, 0));
                unpad(&mut padded, floor).unwrap();
                prop_assert_eq!(&*padded, &plaintext);
            }
        }

        #[test]
        fn overhead_is_at_most_an_eighth(len in 256_usize..100_000_000) {
            let padded = padded_len(len);
            prop_assert!(padded > len && padded - len <= len / 8 + 1);
            prop_assert!(padded_len(len + 1) >= padded);
        }
    }
}
