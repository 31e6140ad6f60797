//! Lower-case base32 without padding (RFC 4648): the text of CIDs and of did:plc identifiers.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

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

/// Appends the text of some bytes.
pub(super) fn base32_append(text: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(5) {
        let value = chunk.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte))
            << (8 * (5 - chunk.len()));
        let symbols = (chunk.len() * 8).div_ceil(5);
        for n in 0..symbols {
            // Five bits: below 32, the length of the alphabet.
            let digit = (value >> (35 - 5 * n)) & 31;
            text.push(ALPHABET.get(digit as usize).copied().unwrap_or(b'a'));
        }
    }
}
