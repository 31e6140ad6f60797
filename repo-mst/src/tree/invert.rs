//! Undoing a commit's operations on the part of the tree that came with it.
//!
//! Inversion is the proof of a commit: if undoing what it says it did gives the root that was there before, it did
//! that and nothing else.

use cid::Cid;

use crate::blocks::BlockStore;
use crate::tree::load::Trim;
use crate::tree::{Tree, TreeError, link_of};

/// An operation as a commit states it: create (`value`), update (`prev` and `value`) or delete (`prev`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op<'a> {
    /// Repo path.
    pub key: &'a str,
    /// The record before, which must not have been there if `None`.
    pub prev: Option<Cid>,
    /// The record after, which must not be there if `None`.
    pub value: Option<Cid>,
}

/// Why operations could not be undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvertError {
    /// The tree could not be read or changed; a block may be missing from the slice.
    #[error("undoing {key}")]
    Tree {
        /// The operation's key.
        key: String,
        /// The tree's error.
        source: TreeError,
    },
    /// The tree has another record at the key than the operation says it put there.
    #[error("undoing {key}: the operation left {stated:?}, the tree has {found:?}")]
    Mismatch {
        /// The operation's key.
        key: String,
        /// What the operation says.
        stated: Option<Box<Cid>>,
        /// What the tree has.
        found: Option<Box<Cid>>,
    },
    /// An operation that changes nothing.
    #[error("the operation on {key} changes nothing")]
    NoChange {
        /// The operation's key.
        key: String,
    },
    /// The root is no root of a tree, or could not be encoded.
    #[error("undoing operations")]
    Root(#[source] TreeError),
}

/// The root before these operations, given the root after them and the blocks of a commit.
///
/// Operations are undone last to first. The blocks need only hold the tree's nodes around the keys.
pub fn invert(store: &dyn BlockStore, root: &Cid, ops: &[Op<'_>]) -> Result<Cid, InvertError> {
    let mut tree = Tree::open(root).map_err(InvertError::Root)?;
    for op in ops.iter().rev() {
        let key = || op.key.to_owned();
        if op.prev == op.value {
            return Err(InvertError::NoChange { key: key() });
        }
        let found = undo(&mut tree, store, op).map_err(|source| InvertError::Tree { key: key(), source })?;
        if found != op.value {
            let (stated, found) = (op.value.map(Box::new), found.map(Box::new));
            return Err(InvertError::Mismatch { key: key(), stated, found });
        }
    }
    tree.finish().map(|changes| changes.root).map_err(InvertError::Root)
}

/// Undoes an operation if the tree has what it says, and gives what the tree has.
fn undo(tree: &mut Tree, store: &dyn BlockStore, op: &Op<'_>) -> Result<Option<Cid>, TreeError> {
    super::check_key(op.key)?;
    let prev = op.prev.as_ref().map(link_of).transpose()?;
    let found = match prev {
        Some(_) => tree.load_for_insert(store, op.key)?,
        None => tree.load_for_remove(store, op.key, Trim::BestEffort)?,
    };
    let found = found.map(Cid::from);
    if found == op.value {
        match prev {
            Some(prev) => tree.apply_insert(op.key, prev)?,
            None => tree.apply_remove(op.key)?,
        }
    }
    Ok(found)
}
