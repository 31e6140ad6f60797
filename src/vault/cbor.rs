//! The few DAG-CBOR forms of associated data and sealed records, written by hand: they are on the path of every seal,
//! and a writer of bytes cannot fail.

/// Appends a CBOR head: major type 0 to 7 and its argument in the shortest form.
pub(super) fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let [.., b3, b2, b1, b0] = argument.to_be_bytes();
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | b0),
        24..=0xff => out.extend([major | 24, b0]),
        0x100..=0xffff => out.extend([major | 25, b1, b0]),
        0x1_0000..=0xffff_ffff => out.extend([major | 26, b3, b2, b1, b0]),
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

/// Appends an unsigned integer.
pub(super) fn unsigned(out: &mut Vec<u8>, value: u64) {
    head(out, 0, value);
}

/// Appends a byte string.
pub(super) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, 2, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a text string.
pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    head(out, 3, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// Appends the head of an array of `count` items.
pub(super) fn array(out: &mut Vec<u8>, count: u64) {
    head(out, 4, count);
}

/// Appends the head of a map of `count` entries, which must follow in canonical order.
pub(super) fn map(out: &mut Vec<u8>, count: u64) {
    head(out, 5, count);
}

/// Appends a link: tag 42 over a zero byte and the binary CID.
pub(super) fn link(out: &mut Vec<u8>, cid: &cid::Cid) {
    head(out, 6, 42);
    let cid = cid.to_bytes();
    head(out, 2, cid.len() as u64 + 1);
    out.push(0);
    out.extend_from_slice(&cid);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_bytes_as_the_general_encoder() {
        for value in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut ours = Vec::new();
            array(&mut ours, 3);
            unsigned(&mut ours, value);
            text(&mut ours, "é");
            bytes(&mut ours, &[0; 300]);
            let theirs =
                serde_ipld_dagcbor::to_vec(&(value, "é", serde_bytes::Bytes::new(&[0; 300]))).unwrap();
            assert_eq!(ours, theirs);
        }
    }
}
