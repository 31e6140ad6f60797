//! What a commit costs the tree, in a small and in a large repo. The cost has to stay about the same.
//!
//! `cargo bench -p repo-mst`
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use cid::Cid;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use repo_mst::{MemoryBlocks, Op, Tree, Walk, cid_for_cbor, invert};

fn commits(c: &mut Criterion) {
    for records in [1_000u64, 200_000] {
        let repo = Repo::with(records);
        let mut group = c.benchmark_group(format!("{records} records"));
        let mut n = 0;
        let mut next_key = || {
            n += 1;
            key(n * 7919 % (records * 2) / 2 * 2 + 1)
        };
        group.bench_function("insert, finish: loaded", |b| {
            b.iter_batched(
                || (repo.tree.clone(), next_key()),
                |(mut tree, key)| {
                    tree.insert(&repo.store, &key, &repo.value).unwrap();
                    black_box(tree.finish().unwrap())
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function("insert, finish: from the store", |b| {
            b.iter_batched(
                || (Tree::open(&repo.tree.root().unwrap()).unwrap(), next_key()),
                |(mut tree, key)| {
                    tree.insert(&repo.store, &key, &repo.value).unwrap();
                    black_box(tree.finish().unwrap())
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function("insert, finish, prove, invert: loaded", |b| {
            b.iter_batched(
                || (repo.tree.clone(), next_key()),
                |(mut tree, key)| {
                    tree.insert(&repo.store, &key, &repo.value).unwrap();
                    let root = tree.finish().unwrap().root;
                    let slice: MemoryBlocks = tree.proof(&repo.store, [&*key]).unwrap().into_iter().collect();
                    let op = Op { key: &key, prev: None, value: Some(repo.value) };
                    black_box(invert(&slice, &root, &[op]).unwrap())
                },
                BatchSize::SmallInput,
            );
        });
        group.sample_size(10);
        group.bench_function("walk", |b| {
            b.iter(|| Walk::new(&repo.store, &repo.tree.root().unwrap()).unwrap().count());
        });
    }
}

struct Repo {
    tree: Tree,
    store: MemoryBlocks,
    value: Cid,
}

impl Repo {
    fn with(records: u64) -> Self {
        let mut store = MemoryBlocks::new();
        let value = cid_for_cbor(b"record");
        let mut tree = Tree::empty();
        for n in 0..records {
            tree.insert(&store, &key(n * 2), &value).unwrap();
        }
        store.extend(tree.finish().unwrap().added);
        Repo { tree, store, value }
    }
}

/// Keys as repos have them: one collection, TIDs one after the other.
fn key(n: u64) -> String {
    const DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    let tid = (1_700_000_000_000_000 + n * 1_000_003) << 10;
    let digit = |at: u32| char::from(*DIGITS.get((tid >> (5 * at) & 31) as usize).unwrap());
    format!("agent.vault.sealed/{}", (0..13).rev().map(digit).collect::<String>())
}

criterion_group!(benches, commits);
criterion_main!(benches);
