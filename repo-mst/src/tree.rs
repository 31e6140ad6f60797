//! The tree: persistent, lazy, and aware of what changed since it was last written out.
//!
//! # Shape
//!
//! A [`Child`] is a subtree that is known by its link, loaded, or both. A link without a node is a part of the
//! tree that nobody needed yet; a node without a link is one that was changed and not encoded since. Nodes sit
//! in `Arc`s and are changed copy-on-write, so a clone costs nothing and never sees later changes: plan on a
//! clone, keep it when the plan is applied, drop it when not.
//!
//! # Invariants
//!
//! - Above a node without a link there is none with one: whoever changes a node clears the links on the path.
//! - Every load checks the block's hash, canonical form, height and range of keys, so heights fall by one with
//!   each level and recursion is bounded by the root's height, at most 128.
//! - Changes work on loaded nodes only; [`Tree::insert`] and [`Tree::remove`] load first what they will touch.
//!   A missing block therefore fails before anything has changed.

mod edit;
mod finish;
mod invert;
mod load;
mod proof;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cid::Cid;

use crate::blocks::{BlockStore, BlockStoreError};
use crate::key::{self, KeyError};
use crate::link::Link;
use crate::node::{Node, NodeError};

pub use finish::Changes;
pub use invert::{InvertError, Op, invert};
pub(crate) use load::{Place, check, read};

/// A repo's tree of records.
#[derive(Debug)]
pub struct Tree {
    root: Child,
    /// Nodes of the last written tree that have been changed or dropped since.
    stale: Vec<Link>,
    /// Upper estimate of nodes in memory.
    loaded: AtomicUsize,
}

/// Why a tree could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The store failed while reading a node.
    #[error("reading node {node}")]
    ReadBlock {
        /// The node.
        node: Link,
        /// The store's error.
        source: BlockStoreError,
    },
    /// The store does not have a node that is needed.
    #[error("node {node} is not in the store")]
    MissingBlock {
        /// The node.
        node: Link,
    },
    /// The store gave other bytes than the CID says.
    #[error("block of node {node} has another hash")]
    HashMismatch {
        /// The node.
        node: Link,
    },
    /// A block is not a node.
    #[error("decoding node {node}")]
    Decode {
        /// The node.
        node: Link,
        /// What is wrong with the block.
        source: NodeError,
    },
    /// A node does not fit where it stands: empty, at the wrong height, or with keys out of its range.
    #[error("node {node} does not belong where it is linked: {reason}")]
    Misplaced {
        /// The node.
        node: Link,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A key that is not a repo path.
    #[error("checking key {key:?}")]
    Key {
        /// The key, cut to a printable length.
        key: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A CID that no tree may link to.
    #[error("{cid} is not a CIDv1 of DAG-CBOR with SHA-256")]
    UnsupportedCid {
        /// The CID.
        cid: Cid,
    },
    /// A node grew beyond what a block may hold.
    #[error("a node of {bytes} bytes is larger than a block may be")]
    NodeTooLarge {
        /// Size of the encoded node.
        bytes: usize,
    },
    /// The tree has changes that are not written out; call [`Tree::finish`] first.
    #[error("tree has changes that are not finished")]
    Unfinished,
    /// A promise of this module was broken: a bug, reported instead of a panic.
    #[error("tree is inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// A subtree: by link, loaded, or both.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    /// `None` when the node was changed since it was last encoded.
    link: Option<Link>,
    /// Empty until loaded; never emptied again.
    node: OnceLock<Arc<TreeNode>>,
}

/// A loaded node and its height.
#[derive(Debug, Clone)]
pub(crate) struct TreeNode {
    pub(crate) height: u32,
    pub(crate) node: Node<Child>,
}

impl Tree {
    /// A tree without records. The tree has no block yet: the first [`Tree::finish`] adds the root.
    pub fn empty() -> Self {
        let node = TreeNode { height: 0, node: Node { left: None, entries: Vec::new() } };
        Tree { root: Child::changed(node), stale: Vec::new(), loaded: AtomicUsize::new(1) }
    }

    /// The tree with this root. Reads nothing yet.
    pub fn open(root: &Cid) -> Result<Self, TreeError> {
        let root = Child::from(link_of(root)?);
        Ok(Tree { root, stale: Vec::new(), loaded: AtomicUsize::new(0) })
    }

    /// The root of the tree without records, as `prevData` of a first commit would have it.
    pub fn empty_root() -> Cid {
        Link::to_block(&Node { left: None, entries: Vec::new() }.encode()).cid()
    }

    /// The root, when there are no unfinished changes.
    pub fn root(&self) -> Option<Cid> {
        self.root.link.map(Cid::from)
    }

    /// The record at a key.
    pub fn get(&self, store: &dyn BlockStore, key: &str) -> Result<Option<Cid>, TreeError> {
        let height = key::height(key.as_bytes());
        let mut place = Place::root();
        let mut child = &self.root;
        loop {
            let node = self.node(store, child, place)?;
            if height > node.height {
                return Ok(None);
            }
            let gap = match node.node.search(key) {
                Ok(entry) => return Ok(node.node.entries.get(entry).map(|entry| entry.value.cid())),
                Err(gap) => gap,
            };
            match node.side(place, gap) {
                Some(below) if height < node.height => (child, place) = below,
                _ => return Ok(None),
            }
        }
    }

    /// Sets the record at a key; gives the one that was there. Setting the same again changes nothing.
    pub fn insert(
        &mut self,
        store: &dyn BlockStore,
        key: &str,
        value: &Cid,
    ) -> Result<Option<Cid>, TreeError> {
        check_key(key)?;
        let value = link_of(value)?;
        let previous = self.load_for_insert(store, key)?;
        if previous != Some(value) {
            self.apply_insert(key, value)?;
        }
        Ok(previous.map(Cid::from))
    }

    /// Removes the record at a key; gives it. Removing what is not there changes nothing.
    pub fn remove(&mut self, store: &dyn BlockStore, key: &str) -> Result<Option<Cid>, TreeError> {
        let previous = self.load_for_remove(store, key, load::Trim::Required)?;
        if previous.is_some() {
            self.apply_remove(key)?;
        }
        Ok(previous.map(Cid::from))
    }

    /// About how many nodes this tree holds in memory (some 500 bytes each). Nodes which a clone loaded into
    /// shared parts are not counted. To let go of them, open the finished root anew.
    pub fn loaded_nodes(&self) -> usize {
        self.loaded.load(Ordering::Relaxed)
    }

    fn count_nodes(&mut self, change: isize) {
        let loaded = self.loaded.get_mut();
        *loaded = loaded.saturating_add_signed(change);
    }
}

impl Clone for Tree {
    /// Costs a few pointers (and what is stale, nothing after `finish`), whatever the tree's size.
    fn clone(&self) -> Self {
        Tree {
            root: self.root.clone(),
            stale: self.stale.clone(),
            loaded: AtomicUsize::new(self.loaded_nodes()),
        }
    }
}

impl Child {
    fn changed(node: TreeNode) -> Self {
        Child { link: None, node: OnceLock::from(Arc::new(node)) }
    }
}

impl From<Link> for Child {
    fn from(link: Link) -> Self {
        Child { link: Some(link), node: OnceLock::new() }
    }
}

pub(crate) fn link_of(cid: &Cid) -> Result<Link, TreeError> {
    Link::from_cid(cid).ok_or(TreeError::UnsupportedCid { cid: *cid })
}

fn check_key(key: &str) -> Result<(), TreeError> {
    key::validate(key).map_err(|source| TreeError::Key { key: key.chars().take(64).collect(), source })
}
