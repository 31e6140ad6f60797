//! The algebra of the tree, on random operations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::collections::{BTreeMap, HashSet};

use cid::Cid;
use common::{any_key, any_write, build, value};
use proptest::collection::vec;
use proptest::prelude::*;
use repo_mst::{MemoryBlocks, Tree};

type Records = BTreeMap<String, Cid>;

fn apply(tree: &mut Tree, store: &MemoryBlocks, records: &mut Records, write: &(String, Option<u8>)) {
    let (key, set) = write;
    let previous = match set {
        Some(n) => tree.insert(store, key, &value(*n)).unwrap(),
        None => tree.remove(store, key).unwrap(),
    };
    let expected = match set {
        Some(n) => records.insert(key.clone(), value(*n)),
        None => records.remove(key),
    };
    assert_eq!(previous, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// If this fails, a repo's root depends on its history and other implementations reject its commits.
    #[test]
    fn the_incremental_root_is_the_rebuilt_root(batches in vec(vec(any_write(), 1..12), 1..12), reopen: bool) {
        let mut store = MemoryBlocks::new();
        let mut records = Records::new();
        let mut tree = Tree::empty();
        store.extend(tree.finish().unwrap().added);
        let (_, mut before) = build(&records);
        for batch in &batches {
            if reopen {
                tree = Tree::open(&tree.root().unwrap()).unwrap();
            }
            for write in batch {
                apply(&mut tree, &store, &mut records, write);
            }
            let changes = tree.finish().unwrap();
            let (root, now) = build(&records);
            prop_assert_eq!(changes.root, root);

            // Both lists are exact: nothing to collect later, nothing deleted that is still needed.
            let cids = |blocks: &MemoryBlocks| blocks.iter().map(|(cid, _)| *cid).collect::<HashSet<_>>();
            let (old, new) = (cids(&before), cids(&now));
            let added: Vec<Cid> = changes.added.iter().map(|(cid, _)| *cid).collect();
            prop_assert_eq!(added.len(), added.iter().collect::<HashSet<_>>().len());
            prop_assert_eq!(added.into_iter().collect::<HashSet<_>>(), &new - &old);
            prop_assert_eq!(changes.removed.iter().copied().collect::<HashSet<_>>(), &old - &new);

            for (cid, block) in changes.added {
                prop_assert_eq!(now.get(&cid), Some(&block));
                store.insert(cid, block);
            }
            for cid in &changes.removed {
                store.remove(cid);
            }
            prop_assert_eq!(cids(&store), new);
            before = now;
            for (key, cid) in &records {
                prop_assert_eq!(tree.get(&store, key).unwrap(), Some(*cid));
            }
        }
        if !reopen {
            prop_assert!(tree.loaded_nodes() >= store.len().min(1));
        }
    }

    /// If this fails, deleting a record leaves a trace of it in the root.
    #[test]
    fn insert_then_remove_is_identity(writes in vec(any_write(), 0..60), key in any_key()) {
        let mut records = Records::new();
        let store = MemoryBlocks::new();
        let mut tree = Tree::empty();
        for write in &writes {
            apply(&mut tree, &store, &mut records, write);
        }
        prop_assume!(!records.contains_key(&key));
        let root = tree.finish().unwrap().root;
        tree.insert(&store, &key, &value(9)).unwrap();
        tree.remove(&store, &key).unwrap();
        let changes = tree.finish().unwrap();
        prop_assert_eq!(changes.root, root);
        prop_assert!(changes.added.is_empty() && changes.removed.is_empty());
    }

    /// If this fails, a plan that was dropped has changed what it was made from.
    #[test]
    fn a_clone_never_sees_later_changes(writes in vec(any_write(), 1..60), later in vec(any_write(), 1..20)) {
        let mut records = Records::new();
        let store = MemoryBlocks::new();
        let mut tree = Tree::empty();
        for write in &writes {
            apply(&mut tree, &store, &mut records, write);
        }
        let root = tree.finish().unwrap().root;
        let mut plan = tree.clone();
        let mut planned = records.clone();
        for write in &later {
            apply(&mut plan, &store, &mut planned, write);
        }
        plan.finish().unwrap();
        prop_assert_eq!(tree.root(), Some(root));
        for (key, cid) in &records {
            prop_assert_eq!(tree.get(&store, key).unwrap(), Some(*cid));
        }
        prop_assert_eq!(plan.root(), Some(build(&planned).0));
        prop_assert_eq!(tree.finish().unwrap().root, build(&records).0);
    }
}
