//! A commit that decodes encodes to the same block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_mst::commit::Commit;

fuzz_target!(|block: &[u8]| {
    if let Ok(commit) = Commit::decode(block) {
        assert_eq!(commit.encode(), block);
    }
});
