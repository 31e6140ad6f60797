//! Going through a stored tree in order, and checking a whole one.
//!
//! Memory stays at the nodes of one path, so a repo of any size can be streamed out. The order is the tree's own
//! (a node, then what is in it from left to right, records between subtrees), with which a consumer can check a
//! CAR while it arrives.

use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;

use crate::blocks::BlockStore;
use crate::cursor::{Checks, Cursor, Next};
use crate::tree::{TreeError, link_of};

/// What a walk meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkItem {
    /// A node of the tree.
    Node {
        /// Its CID.
        cid: Cid,
        /// Its block.
        block: Bytes,
    },
    /// A record.
    Record {
        /// Repo path.
        key: Arc<str>,
        /// The record's CID.
        cid: Cid,
    },
}

/// An iterator over a stored tree, which ends after the first error.
///
/// The walk trusts the store as far as hashes go (they cost more than the walk): use [`verify_tree`] on trees of
/// others.
pub struct Walk<'s>(Cursor<'s>);

impl<'s> Walk<'s> {
    /// All nodes and records.
    pub fn new(store: &'s dyn BlockStore, root: &Cid) -> Result<Self, TreeError> {
        Ok(Walk(Cursor::new(store, Some(link_of(root)?), Checks::Form)))
    }

    /// The records from this key on (it need not be there), and the nodes read on the way.
    pub fn from_key(store: &'s dyn BlockStore, root: &Cid, key: &str) -> Result<Self, TreeError> {
        let mut walk = Walk::new(store, root)?;
        walk.0.seek(key);
        Ok(walk)
    }

    /// Only the records.
    pub fn records(self) -> impl Iterator<Item = Result<(Arc<str>, Cid), TreeError>> + use<'s> {
        self.filter_map(|item| match item {
            Ok(WalkItem::Node { .. }) => None,
            Ok(WalkItem::Record { key, cid }) => Some(Ok((key, cid))),
            Err(error) => Some(Err(error)),
        })
    }

    fn step(&mut self) -> Result<Option<WalkItem>, TreeError> {
        let record = match self.0.peek() {
            Next::Subtree { .. } => None,
            Next::Record { key, value } => Some(WalkItem::Record { key: key.clone(), cid: value.cid() }),
            Next::End => return Ok(None),
        };
        if record.is_some() {
            self.0.pass()?;
            return Ok(record);
        }
        let node = self.0.enter()?;
        Ok(node.map(|(link, block)| WalkItem::Node { cid: link.cid(), block }))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<WalkItem, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if matches!(item, Some(Err(_))) {
            self.0.stop();
        }
        item
    }
}

/// What a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeStats {
    /// Number of nodes.
    pub nodes: u64,
    /// Number of records.
    pub records: u64,
    /// Height of the root.
    pub height: u32,
}

/// Checks a whole tree: that every node is there, has its hash and canonical form, and stands at its height with
/// its keys in order. Whether the records are there and what they are is not checked.
pub fn verify_tree(store: &dyn BlockStore, root: &Cid) -> Result<TreeStats, TreeError> {
    let mut cursor = Cursor::new(store, Some(link_of(root)?), Checks::All);
    let mut stats = TreeStats::default();
    loop {
        match cursor.peek() {
            Next::Subtree { .. } => {
                cursor.enter()?;
                stats.nodes = stats.nodes.saturating_add(1);
                stats.height = stats.height.max(cursor.height().unwrap_or(0));
            }
            Next::Record { .. } => {
                cursor.pass()?;
                stats.records = stats.records.saturating_add(1);
            }
            Next::End => return Ok(stats),
        }
    }
}
