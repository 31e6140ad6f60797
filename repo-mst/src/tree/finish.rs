//! Writing a changed tree out: encode and hash what changed, and say what is new and what is gone.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;

use crate::link::Link;
use crate::node::NODE_BYTES_MAX;
use crate::tree::{Child, Tree, TreeError};

/// The difference between a tree and what it was when last opened or finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The root of the tree as it is now.
    pub root: Cid,
    /// Node blocks that were not in the tree before, parents before children.
    pub added: Vec<(Cid, Bytes)>,
    /// Nodes that are not in the tree any more.
    pub removed: Vec<Cid>,
}

impl Tree {
    /// Encodes and hashes the changed nodes, and no others.
    ///
    /// Both lists are exact, since no node occurs twice in a valid tree: one that was changed and changed back
    /// is in neither.
    pub fn finish(&mut self) -> Result<Changes, TreeError> {
        let mut sealed = Vec::new();
        let root = seal(&mut self.root, &mut sealed, &mut Vec::new())?;
        let mut stale: HashSet<Link> = self.stale.drain(..).collect();
        sealed.retain(|(link, _)| !stale.remove(link));
        Ok(Changes {
            root: root.cid(),
            added: sealed.into_iter().map(|(link, block)| (link.cid(), block)).collect(),
            removed: stale.into_iter().map(Cid::from).collect(),
        })
    }
}

/// Gives links to all changed nodes of a subtree. `scratch` is reused between nodes.
fn seal(
    child: &mut Child,
    sealed: &mut Vec<(Link, Bytes)>,
    scratch: &mut Vec<u8>,
) -> Result<Link, TreeError> {
    if let Some(link) = child.link {
        return Ok(link);
    }
    let node = child.node.get_mut().ok_or(TreeError::Inconsistent("a changed node is not loaded"))?;
    let node = &mut Arc::make_mut(node).node;
    let place = sealed.len();
    sealed.push((Link::to_block(&[]), Bytes::new()));
    let below = node.left.iter_mut().chain(node.entries.iter_mut().filter_map(|entry| entry.right.as_mut()));
    for child in below {
        seal(child, sealed, scratch)?;
    }
    scratch.clear();
    if !node.encode_with(scratch, |child| child.link) {
        return Err(TreeError::Inconsistent("a node was encoded before its subtrees"));
    }
    if scratch.len() > NODE_BYTES_MAX {
        return Err(TreeError::NodeTooLarge { bytes: scratch.len() });
    }
    let link = Link::to_block(scratch);
    child.link = Some(link);
    if let Some(slot) = sealed.get_mut(place) {
        *slot = (link, Bytes::copy_from_slice(scratch));
    }
    Ok(link)
}
