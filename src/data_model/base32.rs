//! Lower-case base32 without padding (RFC 4648): the text of CIDs and of did:plc identifiers.

/// The text of some bytes.
#[must_use]
pub fn base32_encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5 + 1);
    base32_append(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes of a text, or `None` for another alphabet or for bits left over that are not zero.
#[must_use]
pub fn base32_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for symbol in text.bytes() {
        let digit = match symbol {
            b'a'..=b'z' => symbol - b'a',
            b'2'..=b'7' => symbol - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5) | u32::from(digit);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    (bits < 5 && buffer == 0).then_some(bytes)
}

/// Appends the text of some bytes. Five bytes are eight symbols, which are made in one word: lists of records are full of
/// CIDs.
pub(super) fn base32_append(text: &mut Vec<u8>, bytes: &[u8]) {
    let (fives, rest) = bytes.as_chunks::<5>();
    for [a, b, c, d, e] in fives {
        text.extend_from_slice(&symbols([0, 0, 0, *a, *b, *c, *d, *e]));
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        for (byte, to) in rest.iter().zip(last.iter_mut().skip(3)) {
            *to = *byte;
        }
        text.extend(symbols(last).iter().take((rest.len() * 8).div_ceil(5)));
    }
}

/// The symbols of the last five bytes.
fn symbols(bytes: [u8; 8]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut word = u64::from_be_bytes(bytes);
    // Forty bits apart, until each byte has five of them.
    word = ((word & 0x00ff_fff0_0000) << 12) | (word & 0xf_ffff);
    word = ((word & 0x000f_fc00_000f_fc00) << 6) | (word & 0x0000_03ff_0000_03ff);
    word = ((word & 0x03e0_03e0_03e0_03e0) << 3) | (word & 0x001f_001f_001f_001f);
    // From 'a' up; the six above 'z' from '2' up. None carries into the next.
    let digits = ((word + u64::from(128_u8 - 26) * EACH) >> 7) & EACH;
    (word + u64::from(b'a') * EACH - digits * u64::from(b'a' + 26 - b'2')).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn known_texts() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32_encode(bytes.as_bytes()), text);
        }
    }
}
