//! What the tests share: fixtures, and a tree builder that knows nothing of incremental changes.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use proptest::prelude::*;
use repo_mst::{Link, MemoryBlocks, Node, NodeEntry, key};

/// A fixture file of the protocol's interop tests, or `None` (and a loud line) when they are not there.
pub fn fixture(path: &str) -> Option<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop").join(path);
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(_) => {
            eprintln!("SKIPPED: ../shared/interop is not there ({path})");
            None
        }
    }
}

/// Builds the tree of these records from nothing, by the definition: all keys of the greatest height make the
/// root, and what lies between two of them makes the subtree there.
pub fn build(records: &BTreeMap<String, Cid>) -> (Cid, MemoryBlocks) {
    let items: Vec<(&str, Cid)> = records.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let mut blocks = MemoryBlocks::new();
    let top = items.iter().map(|(key, _)| key::height(key.as_bytes())).max().unwrap_or(0);
    let root = build_node(&items, top, &mut blocks);
    (root.cid(), blocks)
}

fn build_node(items: &[(&str, Cid)], height: u32, blocks: &mut MemoryBlocks) -> Link {
    let mut node = Node { left: None, entries: Vec::new() };
    let subtree = |items: &[(&str, Cid)], blocks: &mut MemoryBlocks| {
        (!items.is_empty()).then(|| build_node(items, height - 1, blocks))
    };
    let mut from = 0;
    let here: Vec<usize> =
        (0..items.len()).filter(|at| key::height(items[*at].0.as_bytes()) == height).collect();
    for at in here {
        let before = subtree(&items[from..at], blocks);
        match node.entries.last_mut() {
            None => node.left = before,
            Some(NodeEntry { right, .. }) => *right = before,
        }
        let value = Link::from_cid(&items[at].1).unwrap();
        node.entries.push(NodeEntry { key: Arc::from(items[at].0), value, right: None });
        from = at + 1;
    }
    let after = subtree(&items[from..], blocks);
    match node.entries.last_mut() {
        None => node.left = after,
        Some(NodeEntry { right, .. }) => *right = after,
    }
    let block = node.encode();
    let link = Link::to_block(&block);
    blocks.insert(link.cid(), Bytes::from(block));
    link
}

/// One of a few hundred keys, so that operations meet; a good part of them stands high up in the tree.
pub fn any_key() -> impl Strategy<Value = String> {
    let low = (0..3u8, 0..150u16).prop_map(|(collection, n)| format!("com.example.c{collection}/{n:04}"));
    let high = (0..40usize).prop_map(|n| high_keys()[n].clone());
    prop_oneof![3 => low, 1 => high]
}

/// Keys of heights three and above.
fn high_keys() -> &'static [String] {
    static KEYS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| {
        (0..)
            .map(|n: u32| format!("com.example.c{}/{n:06}", n % 3))
            .filter(|key| key::height(key.as_bytes()) >= 3)
            .take(40)
            .collect()
    })
}

pub fn value(n: u8) -> Cid {
    repo_mst::cid_for_cbor(&[n])
}

/// A write: set (with one of a few values) or remove.
pub fn any_write() -> impl Strategy<Value = (String, Option<u8>)> {
    (any_key(), prop_oneof![2 => (0..4u8).prop_map(Some), 1 => Just(None)])
}
