//! Trees that were made to deceive, and stores that fail: an error each, and nothing half done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use common::{build, value};
use repo_mst::node::NodeError;
use repo_mst::{
    BlockStore, BlockStoreError, Link, MemoryBlocks, Node, NodeEntry, Op, Tree, TreeError, Walk, diff,
    invert, key, verify_tree,
};

/// The nth key of a height.
fn key_at(height: u32, nth: usize) -> String {
    let keys = (0..).map(|n: u32| format!("a/{n:06}"));
    keys.filter(|key| key::height(key.as_bytes()) == height).nth(nth).unwrap()
}

fn put(store: &mut MemoryBlocks, left: Option<Link>, entries: &[(&str, Option<Link>)]) -> Link {
    let value = Link::to_block(&[1]);
    let entry =
        |(key, right): &(&str, Option<Link>)| NodeEntry { key: Arc::from(*key), value, right: *right };
    let block = Node { left, entries: entries.iter().map(entry).collect() }.encode();
    let link = Link::to_block(&block);
    store.insert(link.cid(), Bytes::from(block));
    link
}

/// Every way to read a tree refuses this one.
fn refused(store: &MemoryBlocks, root: Link, through: &str) -> TreeError {
    let root = root.cid();
    let mut tree = Tree::open(&root).unwrap();
    assert!(tree.insert(store, through, &value(2)).is_err());
    assert!(tree.remove(store, through).is_err());
    assert_eq!(tree.root(), Some(root), "an error changed the tree");
    assert!(diff(store, None, store, &root).is_err());
    verify_tree(store, &root).unwrap_err()
}

#[test]
fn a_subtree_must_hang_one_height_below() {
    let (low, high) = (key_at(0, 5), key_at(2, 0));
    let mut store = MemoryBlocks::new();
    let leaf = put(&mut store, None, &[(&low, None)]);
    let root = put(&mut store, Some(leaf), &[(&high, None)]);
    assert!(low < high);
    let error = refused(&store, root, &low);
    assert!(
        matches!(error, TreeError::Decode { node, source: NodeError::Height { entry: 0 } } if node == leaf)
    );
}

#[test]
fn keys_must_lie_between_their_neighbours() {
    let high = key_at(1, 0);
    let low = (0..).map(|nth| key_at(0, nth)).find(|low| *low > high).unwrap();
    let mut store = MemoryBlocks::new();
    let leaf = put(&mut store, None, &[(&low, None)]);
    let root = put(&mut store, Some(leaf), &[(&high, None)]);
    let error = refused(&store, root, "a/000000000");
    assert!(matches!(error, TreeError::Misplaced { node, .. } if node == leaf));
    assert!(Walk::new(&store, &root.cid()).unwrap().any(|item| item.is_err()));
}

#[test]
fn empty_nodes_and_roots_without_keys_are_refused() {
    let (low, high) = (key_at(0, 5), key_at(1, 0));
    let mut store = MemoryBlocks::new();
    let empty = put(&mut store, None, &[]);
    let root = put(&mut store, Some(empty), &[(&high, None)]);
    assert!(matches!(refused(&store, root, "a/0"), TreeError::Misplaced { node, .. } if node == empty));

    let leaf = put(&mut store, None, &[(&low, None)]);
    let root = put(&mut store, Some(leaf), &[]);
    assert!(matches!(refused(&store, root, "a/0"), TreeError::Misplaced { node, .. } if node == root));

    let leaf = put(&mut store, Some(empty), &[(&low, None)]);
    assert!(matches!(refused(&store, leaf, "a/0"), TreeError::Misplaced { node, .. } if node == leaf));
    assert_eq!(verify_tree(&store, &empty.cid()).unwrap().records, 0);
}

#[test]
fn a_walk_ends_in_a_deep_or_repeated_tree() {
    let mut store = MemoryBlocks::new();
    let mut chain = put(&mut store, None, &[("a/b", None)]);
    for _ in 0..1_000 {
        chain = put(&mut store, Some(chain), &[]);
    }
    let items: Vec<_> = Walk::new(&store, &chain.cid()).unwrap().collect();
    assert!(items.len() < 140 && items.last().unwrap().is_err());
    assert!(verify_tree(&store, &chain.cid()).is_err());

    let leaf = put(&mut store, None, &[("a/b", None)]);
    let (k1, k2) = (key_at(1, 0), key_at(1, 1));
    let root = put(&mut store, Some(leaf), &[(&k1, Some(leaf)), (&k2, Some(leaf))]);
    assert!(Walk::new(&store, &root.cid()).unwrap().any(|item| item.is_err()));
}

#[test]
fn other_bytes_under_a_cid_are_noticed() {
    let (root, mut store) = build(&[(key_at(0, 0), value(1))].into());
    let (_, other) = build(&[(key_at(0, 1), value(1))].into());
    store.insert(root, other.iter().next().unwrap().1.clone());
    let error = refused(&store, Link::from_cid(&root).unwrap(), "a/b");
    assert!(matches!(error, TreeError::HashMismatch { .. }));
}

#[test]
fn a_missing_block_fails_before_anything_changes() {
    let records = (0..200).map(|n| (format!("a/{n:04}"), value(1))).collect();
    let (root, full) = build(&records);
    let mut nodes: Vec<Cid> = full.iter().map(|(cid, _)| *cid).collect();
    nodes.sort();
    for missing in nodes {
        let mut store = full.clone();
        store.remove(&missing);
        for key in ["a/0000", "a/0100", "a/0150x", "b/high"] {
            let mut tree = Tree::open(&root).unwrap();
            let inserted = tree.insert(&store, key, &value(2));
            if inserted.is_err() {
                assert!(matches!(inserted, Err(TreeError::MissingBlock { node }) if node.cid() == missing));
                assert_eq!(tree.root(), Some(root));
            }
            let mut tree = Tree::open(&root).unwrap();
            if tree.remove(&store, key).is_err() {
                assert_eq!(tree.root(), Some(root));
                assert_eq!(tree.finish().unwrap().added, []);
            }
        }
    }
}

/// A slice may leave out what is only known to become the root again.
#[test]
fn inversion_needs_no_block_for_a_root_that_comes_back() {
    let (low, high) = (key_at(0, 5), key_at(1, 0));
    let (before, mut store) = build(&[(low, value(1))].into());
    let mut tree = Tree::open(&before).unwrap();
    tree.insert(&store, &high, &value(1)).unwrap();
    let changes = tree.finish().unwrap();
    store.extend(changes.added);
    store.remove(&before);
    let create = Op { key: &high, prev: None, value: Some(value(1)) };
    assert_eq!(invert(&store, &changes.root, &[create]).unwrap(), before);
}

#[test]
fn a_failing_store_is_reported_as_such() {
    struct Broken;
    impl BlockStore for Broken {
        fn read_block(&self, _: &Cid) -> Result<Option<Bytes>, BlockStoreError> {
            Err(BlockStoreError::new("disk on fire"))
        }
    }
    let tree = Tree::open(&Tree::empty_root()).unwrap();
    assert!(matches!(tree.get(&Broken, "a/b"), Err(TreeError::ReadBlock { .. })));
}

#[test]
fn keys_and_values_are_checked_on_the_way_in() {
    let store = MemoryBlocks::new();
    let mut tree = Tree::empty();
    assert!(matches!(tree.insert(&store, "no-slash", &value(1)), Err(TreeError::Key { .. })));
    let blob = repo_mst::cid_for_raw(b"blob");
    assert!(matches!(tree.insert(&store, "a/b", &blob), Err(TreeError::UnsupportedCid { .. })));
    assert!(matches!(tree.proof(&store, ["a/b"]), Err(TreeError::Unfinished)));
    assert_eq!(tree.finish().unwrap().root, Tree::empty_root());
}

#[test]
fn trees_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<Tree>();
}
