//! Any batches of writes leave the root that the records alone make, and every batch is proven and undone.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use repo_mst::{MemoryBlocks, Op, Tree, cid_for_cbor, invert, verify_tree};

/// A batch is a run of writes: a key's number, and a value's number or none to remove it.
fuzz_target!(|batches: Vec<Vec<(u8, Option<u8>)>>| {
    let mut store = MemoryBlocks::new();
    let mut tree = Tree::empty();
    store.extend(tree.finish().unwrap().added);
    let mut records = BTreeMap::new();
    for batch in &batches {
        let (before, old) = (tree.root().unwrap(), records.clone());
        for (key, value) in batch {
            let key = format!("a/{key}");
            let value = value.map(|value| cid_for_cbor(&[value]));
            match &value {
                Some(value) => assert_eq!(tree.insert(&store, &key, value).unwrap(), records.insert(key, *value)),
                None => assert_eq!(tree.remove(&store, &key).unwrap(), records.remove(&key)),
            }
        }
        let changes = tree.finish().unwrap();
        store.extend(changes.added);
        for cid in &changes.removed {
            assert!(store.remove(cid).is_some());
        }
        let ops: Vec<Op<'_>> = old
            .keys()
            .chain(records.keys().filter(|key| !old.contains_key(*key)))
            .map(|key| Op { key, prev: old.get(key).copied(), value: records.get(key).copied() })
            .filter(|op| op.prev != op.value)
            .collect();
        let proof = tree.proof(&store, ops.iter().map(|op| op.key)).unwrap();
        let slice: MemoryBlocks = proof.into_iter().collect();
        assert_eq!(invert(&slice, &changes.root, &ops).unwrap(), before);
    }
    let stats = verify_tree(&store, &tree.root().unwrap()).unwrap();
    assert_eq!((stats.records, stats.nodes), (records.len() as u64, store.len() as u64));

    let mut rebuilt = Tree::empty();
    for (key, value) in records.iter().rev() {
        rebuilt.insert(&store, key, value).unwrap();
    }
    assert_eq!(rebuilt.finish().unwrap().root, tree.root().unwrap());
});
