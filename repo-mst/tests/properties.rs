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
use repo_mst::{InvertError, MemoryBlocks, Op, Tree, Walk, WalkItem, diff, invert, verify_tree};

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
            prop_assert_eq!(tree.loaded_nodes(), store.len());
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

    /// If this fails, consumers of the firehose find our commits unproven and drop the repo.
    #[test]
    fn a_proof_inverts_any_batch_in_any_order(
        start in vec(any_write(), 0..80),
        batch in vec(any_write(), 1..12),
        order in any::<u64>(),
    ) {
        let Commit { before, after, ops, store, tree } = commit(&start, &batch);
        let mut ops: Vec<Op<'_>> = ops.iter().map(|(key, prev, value)| Op { key, prev: *prev, value: *value }).collect();
        let keys: Vec<&str> = ops.iter().map(|op| op.key).collect();
        let proof: MemoryBlocks = tree.proof(&store, keys.iter().copied()).unwrap().into_iter().collect();
        shuffle(&mut ops, order);
        prop_assert_eq!(invert(&proof, &after, &ops).unwrap(), before);

        // Every wrong statement is noticed: as a mismatch, a missing block, or another root.
        for at in 0..ops.len() {
            let honest = ops[at];
            for prev in [None, Some(value(77)), honest.prev] {
                for value in [None, Some(value(78)), honest.value] {
                    if (prev, value) == (honest.prev, honest.value) {
                        continue;
                    }
                    ops[at] = Op { prev, value, ..honest };
                    let inverted = invert(&proof, &after, &ops);
                    prop_assert!(!matches!(inverted, Ok(root) if root == before), "{ops:?}");
                    if value != honest.value && prev != value {
                        let noticed = matches!(
                            inverted,
                            Err(InvertError::Mismatch { .. } | InvertError::Tree { .. })
                        );
                        prop_assert!(noticed);
                    }
                }
            }
            ops[at] = honest;
        }
        // And so is a left-out operation.
        for at in 0..ops.len() {
            let without: Vec<Op<'_>> = [&ops[..at], &ops[at + 1..]].concat();
            prop_assert!(!matches!(invert(&proof, &after, &without), Ok(root) if root == before));
        }
    }

    /// If this fails, an import or a resync does not end at the records that were sent.
    #[test]
    fn a_diff_is_the_difference(start in vec(any_write(), 0..80), batch in vec(any_write(), 0..20)) {
        let Commit { before, after, ops, store: new_store, .. } = commit(&start, &batch);
        let (old_records, new_records) = (records(&start), records(&[&start[..], &batch].concat()));
        let (old_root, old_store) = build(&old_records);
        prop_assert_eq!(old_root, before);
        let found = diff(&old_store, Some(&before), &new_store, &after).unwrap();
        let mut expected: Vec<_> = ops;
        expected.sort();
        let changes: Vec<_> = found.records.iter().map(|c| (c.key.to_string(), c.prev, c.value)).collect();
        prop_assert_eq!(changes, expected);
        let nodes = |records: &Records| {
            build(records).1.iter().map(|(cid, _)| *cid).collect::<HashSet<_>>()
        };
        let (old, new) = (nodes(&old_records), nodes(&new_records));
        prop_assert_eq!(found.added.into_iter().collect::<HashSet<_>>(), &new - &old);
        prop_assert_eq!(found.removed.into_iter().collect::<HashSet<_>>(), &old - &new);

        let from_nothing = diff(&MemoryBlocks::new(), None, &new_store, &after).unwrap();
        prop_assert_eq!(from_nothing.records.len(), new_records.len());
        prop_assert_eq!(from_nothing.added.len(), new.len());
    }

    /// If this fails, listing or exporting a repo loses or repeats records.
    #[test]
    fn a_walk_meets_everything_in_order(writes in vec(any_write(), 0..80), from in any_key()) {
        let records = records(&writes);
        let (root, store) = build(&records);
        let walked: Result<Vec<_>, _> = Walk::new(&store, &root).unwrap().records().collect();
        let walked: Vec<_> = walked.unwrap().into_iter().map(|(key, cid)| (key.to_string(), cid)).collect();
        prop_assert_eq!(&walked, &records.clone().into_iter().collect::<Vec<_>>());
        let nodes = Walk::new(&store, &root).unwrap().filter(|item| matches!(item, Ok(WalkItem::Node { .. })));
        prop_assert_eq!(nodes.count(), store.len());

        let tail: Vec<_> = Walk::from_key(&store, &root, &from).unwrap().records()
            .map(|item| item.unwrap().0.to_string()).collect();
        prop_assert_eq!(tail, records.range(from..).map(|(key, _)| key.clone()).collect::<Vec<_>>());

        let stats = verify_tree(&store, &root).unwrap();
        prop_assert_eq!((stats.nodes, stats.records), (store.len() as u64, records.len() as u64));
    }

    /// If this fails, a damaged or forged repo passes for a whole one.
    #[test]
    fn verification_misses_nothing(writes in vec(any_write(), 1..60), pick: prop::sample::Index, byte: prop::sample::Index) {
        let (root, store) = build(&records(&writes));
        let mut cids: Vec<Cid> = store.iter().map(|(cid, _)| *cid).collect();
        cids.sort();
        let cid = cids[pick.index(cids.len())];
        let mut missing = store.clone();
        let mut block = missing.remove(&cid).unwrap().to_vec();
        prop_assert!(verify_tree(&missing, &root).is_err());
        let at = byte.index(block.len());
        block[at] ^= 1;
        missing.insert(cid, block.into());
        prop_assert!(verify_tree(&missing, &root).is_err());
    }
}

/// A batch applied to a tree, with its net operations.
struct Commit {
    before: Cid,
    after: Cid,
    ops: Vec<(String, Option<Cid>, Option<Cid>)>,
    store: MemoryBlocks,
    tree: Tree,
}

fn commit(start: &[(String, Option<u8>)], batch: &[(String, Option<u8>)]) -> Commit {
    let mut now = records(start);
    let old = now.clone();
    let (before, mut store) = build(&old);
    let mut tree = Tree::open(&before).unwrap();
    for write in batch {
        apply(&mut tree, &store, &mut now, write);
    }
    let changes = tree.finish().unwrap();
    store.extend(changes.added);
    let keys: std::collections::BTreeSet<&String> = batch.iter().map(|(key, _)| key).collect();
    let ops = keys
        .into_iter()
        .map(|key| (key.clone(), old.get(key).copied(), now.get(key).copied()))
        .filter(|(_, prev, value)| prev != value)
        .collect();
    Commit { before, after: changes.root, ops, store, tree }
}

fn records(writes: &[(String, Option<u8>)]) -> Records {
    let mut records = Records::new();
    for (key, set) in writes {
        match set {
            Some(n) => records.insert(key.clone(), value(*n)),
            None => records.remove(key),
        };
    }
    records
}

/// Fisher-Yates with a small generator: any order, the same for the same number.
fn shuffle<T>(items: &mut [T], mut state: u64) {
    for at in (1..items.len()).rev() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        items.swap(at, (state >> 33) as usize % (at + 1));
    }
}
