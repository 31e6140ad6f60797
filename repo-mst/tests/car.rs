//! CAR files: what is written is read back, whatever the pieces it arrives in, and nothing else is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use cid::Cid;
use proptest::collection::vec;
use proptest::prelude::*;
use repo_mst::car::{self, CarError, CarLimits, CarReader, read_all};
use repo_mst::{cid_for_cbor, cid_for_raw};

const LIMITS: CarLimits =
    CarLimits { header_bytes: 200, section_bytes: 5_000, total_bytes: 100_000, blocks: 50 };

fn car_of(blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let mut car = car::header(&[cid_for_cbor(b"root")]);
    for (cid, block) in blocks {
        car::write_block(&mut car, cid, block);
    }
    car
}

fn blocks_of(bodies: Vec<Vec<u8>>) -> Vec<(Cid, Bytes)> {
    let cid = |body: &[u8]| if body.len().is_multiple_of(2) { cid_for_cbor(body) } else { cid_for_raw(body) };
    bodies.into_iter().map(|body| (cid(&body), Bytes::from(body))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_car_round_trips_in_any_pieces(bodies in vec(vec(any::<u8>(), 0..300), 0..10), piece in 1..400usize) {
        let blocks = blocks_of(bodies);
        let bytes = car_of(&blocks);
        let whole = read_all(&bytes, LIMITS).unwrap();
        prop_assert_eq!(&whole.blocks, &blocks);
        prop_assert_eq!(whole.roots, vec![cid_for_cbor(b"root")]);

        let mut reader = CarReader::new(LIMITS);
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece).unwrap();
            while let Some(block) = reader.next_block().unwrap() {
                read.push(block);
            }
        }
        prop_assert_eq!(read, blocks);
        reader.finish().unwrap();
    }

    #[test]
    fn a_changed_byte_is_noticed(bodies in vec(vec(any::<u8>(), 0..100), 1..5), at: prop::sample::Index, bit in 0..8u8) {
        let blocks = blocks_of(bodies);
        let mut bytes = car_of(&blocks);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // The roots are the only bytes without a hash over them.
        if let Ok(car) = read_all(&bytes, LIMITS) {
            prop_assert_eq!(car.blocks, blocks);
            prop_assert!(car.roots != vec![cid_for_cbor(b"root")]);
        }
    }
}

#[test]
fn the_header_has_its_known_bytes() {
    let empty = car::header(&[]);
    assert_eq!(empty, b"\x11\xa2\x65roots\x80\x67version\x01");
    let one = car::header(&[cid_for_cbor(b"root")]);
    assert_eq!(&one[..14], b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00");
}

#[test]
fn every_truncation_is_refused() {
    let bytes = car_of(&blocks_of(vec![vec![1; 40], vec![2; 41]]));
    let boundaries = [59, 59 + 1 + 36 + 40];
    for end in 0..bytes.len() {
        assert_eq!(read_all(&bytes[..end], LIMITS).is_ok(), boundaries.contains(&end), "{end}");
    }
}

#[test]
fn garbage_and_excess_are_named() {
    let good = car_of(&blocks_of(vec![vec![1; 40]]));
    let with = |tail: &[u8]| read_all(&[&good[..], tail].concat(), LIMITS).unwrap_err();
    let at = good.len() as u64;
    assert_eq!(with(&[0]), CarError::SectionTooShort { bytes: 0, at });
    assert_eq!(with(&[0x80, 0]), CarError::BadVarint { at });
    assert_eq!(with(&[0x80]), CarError::Truncated { at });
    assert_eq!(with(&[0xff; 9]), CarError::BadVarint { at });
    assert_eq!(with(&[1, 1]), CarError::SectionTooShort { bytes: 1, at });
    assert!(matches!(with(&[0xff, 0xff, 0x7f]), CarError::SectionTooLarge { bytes: 2_097_151, .. }));
    assert_eq!(with(&[&[37u8][..], &[0; 37]].concat()), CarError::UnsupportedCid { at });

    let few = CarLimits { blocks: 0, ..LIMITS };
    assert_eq!(read_all(&good, few), Err(CarError::TooManyBlocks { limit: 0 }));
    let small = CarLimits { total_bytes: 10, ..LIMITS };
    assert_eq!(read_all(&good, small), Err(CarError::TotalTooLarge { limit: 10 }));
    let version = b"\x11\xa2\x65roots\x80\x67version\x02";
    assert_eq!(read_all(version, LIMITS), Err(CarError::Version { version: 2 }));
    assert_eq!(read_all(b"", LIMITS), Err(CarError::Truncated { at: 0 }));
}
