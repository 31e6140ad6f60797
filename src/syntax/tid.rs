//! Timestamp identifiers: 53 bits of microseconds and 10 bits of clock id as 13 sortable base32 characters
//! (<https://atproto.com/specs/tid>). Text order is time order.

use super::SyntaxError;

const TID_BYTES: usize = 13;
const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
const CLOCK_BITS: u32 = 10;
const CLOCK_MASK: u64 = (1 << CLOCK_BITS) - 1;
/// 53 bits: what a double holds exactly. Lasts until the year 2255.
const MICROS_MAX: u64 = (1 << 53) - 1;

/// A TID. Copies are cheap: thirteen bytes in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid([u8; TID_BYTES]);

impl Tid {
    /// The TID of a moment in microseconds since the epoch, held to 0…2^53 - 1, and the low ten bits of a clock id.
    #[must_use]
    pub fn from_micros(us: i64, clock_id: u16) -> Self {
        let micros = u64::try_from(us).unwrap_or(0).min(MICROS_MAX);
        let mut value = (micros << CLOCK_BITS) | (u64::from(clock_id) & CLOCK_MASK);
        let mut text = [0; TID_BYTES];
        for byte in text.iter_mut().rev() {
            // The mask keeps the position below 32, the length of the alphabet.
            *byte = ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'2');
            value >>= 5;
        }
        Self(text)
    }

    /// The next TID after `prev`: of now, or where the clock stands still or went back, one microsecond after `prev`.
    /// Strictly greater than `prev` unless `prev` is the last TID there is.
    #[must_use]
    pub fn next(prev: Option<&Self>, now_us: i64, clock_id: u16) -> Self {
        let floor = prev.map_or(0, |prev| prev.micros().saturating_add(1));
        Self::from_micros(now_us.max(floor), clock_id)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn micros(&self) -> i64 {
        i64::try_from(self.value() >> CLOCK_BITS).unwrap_or(i64::MAX)
    }

    /// The clock id, 0 to 1023.
    #[must_use]
    pub fn clock_id(&self) -> u16 {
        u16::try_from(self.value() & CLOCK_MASK).unwrap_or(0)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII of the alphabet gets in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn value(&self) -> u64 {
        self.0.iter().fold(0, |value, byte| (value << 5) | digit(*byte))
    }
}

/// Checks 13 characters of the sortable base32 alphabet with the top bit clear.
///
/// # Errors
/// [`SyntaxError::Tid`] with the rule that was broken.
pub fn validate_tid(text: &str) -> Result<(), SyntaxError> {
    if text.len() != TID_BYTES {
        return Err(SyntaxError::Tid("must be 13 characters"));
    }
    if !text.bytes().all(|b| matches!(b, b'2'..=b'7' | b'a'..=b'z')) {
        return Err(SyntaxError::Tid("character that is not in the base32 alphabet"));
    }
    if text.bytes().next().is_some_and(|b| b > b'j') {
        return Err(SyntaxError::Tid("the top bit is set"));
    }
    Ok(())
}

/// The value of a character of the alphabet.
fn digit(byte: u8) -> u64 {
    match byte {
        b'2'..=b'7' => u64::from(byte - b'2'),
        b'a'..=b'z' => u64::from(byte - b'a') + 6,
        _ => 0,
    }
}

impl TryFrom<&str> for Tid {
    type Error = SyntaxError;
    fn try_from(text: &str) -> Result<Self, SyntaxError> {
        validate_tid(text)?;
        text.as_bytes().try_into().map(Self).map_err(|_| SyntaxError::Tid("must be 13 characters"))
    }
}

super::string_traits!(Tid, validate_tid);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(Tid::from_micros(0, 0), *"2222222222222");
        let tid: Tid = "3jzfcijpj2z2a".parse().unwrap();
        assert_eq!(Tid::from_micros(tid.micros(), tid.clock_id()), tid);
        assert_eq!(tid.clock_id(), 6);
        assert_eq!(tid.micros() / 1_000_000 / 86_400 / 365, 53); // 2023
    }

    #[test]
    fn a_clock_that_goes_back_never_takes_the_tid_with_it() {
        let first = Tid::next(None, 1_700_000_000_000_000, 5);
        let second = Tid::next(Some(&first), 1_600_000_000_000_000, 1);
        assert!(second > first);
        assert_eq!(second.micros(), first.micros() + 1);
    }

    proptest! {
        #[test]
        fn text_order_is_time_order(a in 0i64..1 << 53, b in 0i64..1 << 53, clock in 0u16..1024) {
            let (x, y) = (Tid::from_micros(a, clock), Tid::from_micros(b, clock));
            prop_assert_eq!(a.cmp(&b), x.as_str().cmp(y.as_str()));
            prop_assert_eq!((x.micros(), x.clock_id()), (a, clock));
            prop_assert!(validate_tid(x.as_str()).is_ok());
            prop_assert!(Tid::next(Some(&x), b, clock) > x || a == (1 << 53) - 1);
        }

        #[test]
        fn out_of_range_is_held(us: i64, clock: u16) {
            prop_assert!(validate_tid(Tid::from_micros(us, clock).as_str()).is_ok());
        }
    }
}
