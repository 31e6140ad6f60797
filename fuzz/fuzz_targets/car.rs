//! A CAR reads the same in one piece and in many, writes back to the same bytes, and whatever tree it holds is
//! walked and checked without a panic or an endless loop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_mst::car::{self, Car, CarError, CarLimits, CarReader, read_all};
use repo_mst::{MemoryBlocks, Walk, diff, verify_tree};

const LIMITS: CarLimits =
    CarLimits { header_bytes: 1_000, section_bytes: 100_000, total_bytes: 1_000_000, blocks: 1_000 };

fuzz_target!(|input: &[u8]| {
    // The first byte says in what pieces the CAR arrives.
    let Some((piece, bytes)) = input.split_first() else { return };
    let whole = read_all(bytes, LIMITS);
    let pieces = read_pieces(bytes, usize::from(*piece).max(1));
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => assert_eq!(whole.is_ok(), pieces.is_ok()),
    }
    let Ok(read) = whole else { return };
    let mut written = car::header(&read.roots);
    for (cid, block) in &read.blocks {
        car::write_block(&mut written, cid, block);
    }
    assert_eq!(written, bytes);

    let store: MemoryBlocks = read.blocks.iter().cloned().collect();
    for root in read.roots.iter().chain(read.blocks.iter().map(|(cid, _)| cid)) {
        let stats = verify_tree(&store, root);
        let walked = Walk::new(&store, root).map(|walk| walk.filter_map(Result::ok).count() as u64);
        if let Ok(stats) = stats {
            assert_eq!(walked.ok(), Some(stats.nodes + stats.records));
            assert_eq!(diff(&store, Some(root), &store, root).unwrap(), Default::default());
        }
    }
});

fn read_pieces(bytes: &[u8], piece: usize) -> Result<Car, CarError> {
    let mut reader = CarReader::new(LIMITS);
    let mut blocks = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece)?;
        while let Some(block) = reader.next_block()? {
            blocks.push(block);
        }
    }
    Ok(Car { roots: reader.finish()?, blocks })
}
