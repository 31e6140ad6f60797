//! Repositories of the AT Protocol as data: the Merkle Search Tree, commits, and CAR files.
//!
//! Sans-IO and synchronous: blocks come in through [`BlockStore`], changed blocks go out as values. Nothing here
//! signs, stores or sends. Everything read is treated as hostile: decoding takes only canonical bytes, nothing
//! panics, recursion is bounded by a tree's height and allocation by the bytes that are there.
//!
//! | module | |
//! |---|---|
//! | [`tree`] | [`Tree`]: get, insert, remove, what changed, covering proofs |
//! | [`walk`] | nodes and records of a stored tree in order, and the full check of one |
//! | [`mod@diff`] | what changed between two trees |
//! | [`node`] | a node and its encoding |
//! | [`key`] | repo paths and their heights |
//! | [`commit`] | the signed root of a repo |
//! | [`mod@car`] | blocks in a file or frame |
//! | [`cbor`] | the writer and the strict reader of DAG-CBOR |
//! | [`blocks`] | where nodes are read from |
//!
//! Specification: <https://atproto.com/specs/repository>, <https://atproto.com/specs/sync>.

pub mod blocks;
pub mod car;
pub mod cbor;
pub mod commit;
mod cursor;
pub mod diff;
pub mod key;
mod link;
pub mod node;
pub mod tree;
pub mod walk;

pub use blocks::{BlockStore, BlockStoreError, MemoryBlocks};
pub use cbor::CborError;
pub use diff::{Diff, RecordChange, diff};
pub use link::{CODEC_DAG_CBOR, CODEC_RAW, Link, cid_for_cbor, cid_for_raw};
pub use node::{Node, NodeEntry};
pub use tree::{Changes, InvertError, Op, Tree, TreeError, invert};
pub use walk::{TreeStats, Walk, WalkItem, verify_tree};
