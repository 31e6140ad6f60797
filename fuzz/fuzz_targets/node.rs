//! A node that decodes encodes to the same block: there is one encoding, and no input panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use repo_mst::Node;

fuzz_target!(|block: &[u8]| {
    if let Ok(node) = Node::decode(block) {
        assert_eq!(node.encode(), block);
    }
});
