//! CAR v1: a header naming roots, then blocks, each behind its length and CID.
//!
//! ```text
//!   varint length | {"roots": [cid...], "version": 1}
//!   varint length | cid | block          repeated
//! ```

mod reader;

use cid::Cid;

use crate::cbor::Writer;

pub use reader::{Car, CarError, CarLimits, CarReader, read_all};

/// The start of a CAR with these roots.
pub fn header(roots: &[Cid]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut writer = Writer(&mut body);
    writer.map(2);
    writer.key("roots").array(roots.len());
    for root in roots {
        writer.cid(root);
    }
    writer.key("version").unsigned(1);
    let mut car = Vec::new();
    write_varint(&mut car, body.len());
    car.extend_from_slice(&body);
    car
}

/// Appends a block.
pub fn write_block(car: &mut Vec<u8>, cid: &Cid, block: &[u8]) {
    let cid = cid.to_bytes();
    write_varint(car, cid.len().saturating_add(block.len()));
    car.extend_from_slice(&cid);
    car.extend_from_slice(block);
}

fn write_varint(out: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
