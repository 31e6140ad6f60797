//! The protocol's own fixtures for keys and trees.
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
use common::{build, fixture};
use repo_mst::{MemoryBlocks, Op, Tree, invert, key};
use serde::Deserialize;

#[derive(Deserialize)]
struct KeyHeight {
    key: String,
    height: u32,
}

#[test]
fn key_heights() {
    let Some(text) = fixture("mst/key_heights.json") else { return };
    for case in serde_json::from_str::<Vec<KeyHeight>>(&text).unwrap() {
        assert_eq!(key::height(case.key.as_bytes()), case.height, "{}", case.key);
    }
}

/// The file has keys `A0` to `Z5`: the digit is the height.
#[test]
fn example_keys_stand_where_their_names_say() {
    let Some(text) = fixture("mst/example_keys.txt") else { return };
    for line in text.lines() {
        let digit = line.chars().nth(1).unwrap().to_digit(10).unwrap();
        assert_eq!(key::height(line.as_bytes()), digit, "{line}");
        assert_eq!(key::validate(line), Ok(()), "{line}");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitProof {
    comment: String,
    leaf_value: String,
    keys: Vec<String>,
    adds: Vec<String>,
    dels: Vec<String>,
    root_before_commit: String,
    root_after_commit: String,
    blocks_in_proof: Vec<String>,
}

/// If this fails, other implementations cannot check our commits, or we not theirs.
#[test]
fn commit_proofs() {
    let Some(text) = fixture("firehose/commit-proof-fixtures.json") else { return };
    let cases: Vec<CommitProof> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let leaf: Cid = case.leaf_value.parse().unwrap();
        let before: Cid = case.root_before_commit.parse().unwrap();
        let after: Cid = case.root_after_commit.parse().unwrap();
        let records: BTreeMap<String, Cid> = case.keys.iter().map(|key| (key.clone(), leaf)).collect();
        let (root, store) = build(&records);
        assert_eq!(root, before, "{}", case.comment);

        let mut tree = Tree::open(&root).unwrap();
        let mut ops = Vec::new();
        for key in &case.adds {
            assert_eq!(tree.insert(&store, key, &leaf).unwrap(), None);
            ops.push(Op { key, prev: None, value: Some(leaf) });
        }
        for key in &case.dels {
            assert_eq!(tree.remove(&store, key).unwrap(), Some(leaf));
            ops.push(Op { key, prev: Some(leaf), value: None });
        }
        assert_eq!(tree.finish().unwrap().root, after, "{}", case.comment);

        let keys = case.adds.iter().chain(&case.dels).map(String::as_str);
        let proof: MemoryBlocks = tree.proof(&store, keys).unwrap().into_iter().collect();
        let cids: HashSet<Cid> = proof.iter().map(|(cid, _)| *cid).collect();
        let expected: HashSet<Cid> = case.blocks_in_proof.iter().map(|cid| cid.parse().unwrap()).collect();
        assert_eq!(cids, expected, "{}", case.comment);
        for order in permutations(&ops) {
            assert_eq!(invert(&proof, &after, &order).unwrap(), before, "{}: {order:?}", case.comment);
        }
    }
}

fn permutations<T: Copy>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let with_first = |at: usize| {
        let rest = [&items[..at], &items[at + 1..]].concat();
        permutations(&rest).into_iter().map(move |tail| [vec![items[at]], tail].concat())
    };
    (0..items.len()).flat_map(with_first).collect()
}

#[derive(Deserialize)]
struct CommonPrefix {
    left: String,
    right: String,
    len: usize,
}

#[test]
fn common_prefixes() {
    let Some(text) = fixture("mst/common_prefix.json") else { return };
    for case in serde_json::from_str::<Vec<CommonPrefix>>(&text).unwrap() {
        assert_eq!(key::common_prefix(case.left.as_bytes(), case.right.as_bytes()), case.len);
    }
}
