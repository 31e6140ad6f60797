//! Changing loaded nodes: insertion splits, removal merges.
//!
//! The shape of the tree is a function of its keys, so neither has a choice to make: a key stands at its height,
//! a subtree in its way is split around it, and the subtrees beside a key that goes away become one.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::key;
use crate::link::Link;
use crate::node::{Node, NodeEntry};
use crate::tree::{Child, Tree, TreeError, TreeNode};

/// What an edit leaves behind for the tree's books.
#[derive(Default)]
struct Edit {
    stale: Vec<Link>,
    nodes: isize,
}

impl Tree {
    /// Sets a key whose path is loaded.
    pub(super) fn apply_insert(&mut self, key: &str, value: Link) -> Result<(), TreeError> {
        let mut edit = Edit::default();
        let height = key::height(key.as_bytes());
        let entry = NodeEntry { key: Arc::from(key), value, right: None };
        let root = edit.change(&mut self.root)?;
        if root.node.is_empty() {
            root.height = height;
        }
        if height > root.height {
            let old_height = root.height;
            let old = std::mem::replace(root, TreeNode::new(height));
            let (left, right) = edit.split_node(old, key)?;
            root.node.left = edit.lift(left, old_height, height);
            let right = edit.lift(right, old_height, height);
            root.node.entries.push(NodeEntry { right, ..entry });
        } else {
            edit.insert(root, entry, height)?;
        }
        self.book(edit);
        Ok(())
    }

    /// Removes a key that is there and whose path, sides and new top are loaded.
    pub(super) fn apply_remove(&mut self, key: &str) -> Result<(), TreeError> {
        let mut edit = Edit::default();
        let root = edit.change(&mut self.root)?;
        edit.remove(root, key)?;
        if root.node.is_empty() {
            root.height = 0;
        }
        edit.trim(&mut self.root);
        self.book(edit);
        Ok(())
    }

    fn book(&mut self, mut edit: Edit) {
        self.stale.append(&mut edit.stale);
        self.count_nodes(edit.nodes);
    }
}

impl TreeNode {
    fn new(height: u32) -> Self {
        TreeNode { height, node: Node { left: None, entries: Vec::new() } }
    }
}

const NOT_LOADED: TreeError = TreeError::Inconsistent("an edit met a node that is not loaded");
const NO_SLOT: TreeError = TreeError::Inconsistent("an edit met a gap that is not there");

impl Edit {
    /// The node of a child, its own to change.
    fn change<'a>(&mut self, child: &'a mut Child) -> Result<&'a mut TreeNode, TreeError> {
        let node = child.node.get_mut().ok_or(NOT_LOADED)?;
        self.stale.extend(child.link.take());
        Ok(Arc::make_mut(node))
    }

    /// Takes a node out of its place.
    fn take(&mut self, child: Child) -> Result<TreeNode, TreeError> {
        let node = child.node.into_inner().ok_or(NOT_LOADED)?;
        self.stale.extend(child.link);
        self.nodes -= 1;
        Ok(Arc::unwrap_or_clone(node))
    }

    /// Puts a node in place, unless there is nothing in it.
    fn put(&mut self, node: TreeNode) -> Option<Child> {
        if node.node.is_empty() {
            return None;
        }
        self.nodes += 1;
        Some(Child::changed(node))
    }

    /// Puts an entry into the subtree of `node`, at its height or below.
    fn insert(&mut self, node: &mut TreeNode, entry: NodeEntry<Child>, height: u32) -> Result<(), TreeError> {
        let found = node.node.search(&entry.key);
        match (found, height.cmp(&node.height)) {
            (Ok(index), _) => {
                node.node.entries.get_mut(index).ok_or(NO_SLOT)?.value = entry.value;
            }
            (Err(gap), Ordering::Equal) => {
                let slot = node.node.slot(gap).ok_or(NO_SLOT)?;
                let (left, right) = self.split(slot.take(), &entry.key)?;
                *slot = left;
                node.node.entries.insert(gap, NodeEntry { right, ..entry });
            }
            (Err(gap), Ordering::Less) => {
                let below = node.height.saturating_sub(1);
                let slot = node.node.slot(gap).ok_or(NO_SLOT)?;
                if slot.is_none() {
                    self.nodes += 1;
                }
                let child = slot.get_or_insert_with(|| Child::changed(TreeNode::new(below)));
                let child = self.change(child)?;
                self.insert(child, entry, height)?;
            }
            (Err(_), Ordering::Greater) => {
                return Err(TreeError::Inconsistent("an insertion went below its height"));
            }
        }
        Ok(())
    }

    fn remove(&mut self, node: &mut TreeNode, key: &str) -> Result<(), TreeError> {
        match node.node.search(key) {
            Ok(index) => {
                let removed = node.node.entries.remove(index);
                let slot = node.node.slot(index).ok_or(NO_SLOT)?;
                *slot = self.merge(slot.take(), removed.right)?;
            }
            Err(gap) => {
                let slot = node.node.slot(gap).ok_or(NO_SLOT)?;
                let child = slot.as_mut().ok_or(TreeError::Inconsistent("a removal lost its key"))?;
                let child = self.change(child)?;
                self.remove(child, key)?;
                if child.node.is_empty() {
                    *slot = None;
                    self.nodes -= 1;
                }
            }
        }
        Ok(())
    }

    /// Splits a subtree into what is below a key and what is above it.
    fn split(
        &mut self,
        child: Option<Child>,
        key: &str,
    ) -> Result<(Option<Child>, Option<Child>), TreeError> {
        let Some(child) = child else { return Ok((None, None)) };
        let node = &child.node.get().ok_or(NOT_LOADED)?.node;
        let (Ok(gap) | Err(gap)) = node.search(key);
        // A subtree that lies wholly on one side stays as it is, with its link.
        if node.child(gap).is_none() {
            if gap == node.entries.len() {
                return Ok((Some(child), None));
            }
            if gap == 0 {
                return Ok((None, Some(child)));
            }
        }
        let node = self.take(child)?;
        self.split_node(node, key)
    }

    fn split_node(
        &mut self,
        mut left: TreeNode,
        key: &str,
    ) -> Result<(Option<Child>, Option<Child>), TreeError> {
        let Err(gap) = left.node.search(key) else {
            return Err(TreeError::Inconsistent("a split met its own key"));
        };
        let mut right = TreeNode::new(left.height);
        right.node.entries = left.node.entries.split_off(gap);
        let slot = left.node.slot(gap).ok_or(NO_SLOT)?;
        (*slot, right.node.left) = self.split(slot.take(), key)?;
        Ok((self.put(left), self.put(right)))
    }

    /// Joins two subtrees of one height, all keys of the first below all of the second.
    fn merge(&mut self, left: Option<Child>, right: Option<Child>) -> Result<Option<Child>, TreeError> {
        let (mut left, right) = match (left, right) {
            (Some(left), Some(right)) => (self.take(left)?, self.take(right)?),
            (one, other) => return Ok(one.or(other)),
        };
        let gap = left.node.entries.len();
        let slot = left.node.slot(gap).ok_or(NO_SLOT)?;
        *slot = self.merge(slot.take(), right.node.left)?;
        left.node.entries.extend(right.node.entries);
        Ok(self.put(left))
    }

    /// Puts nodes without keys above a subtree until it can hang below `height`.
    fn lift(&mut self, mut child: Option<Child>, mut height: u32, above: u32) -> Option<Child> {
        height = height.saturating_add(1);
        while child.is_some() && height < above {
            let mut parent = TreeNode::new(height);
            parent.node.left = child;
            child = self.put(parent);
            height = height.saturating_add(1);
        }
        child
    }

    /// Drops nodes without keys from the top.
    fn trim(&mut self, root: &mut Child) {
        while let Some(node) = root.node.get().filter(|node| node.node.entries.is_empty()) {
            let Some(next) = node.node.left.clone() else { break };
            let top = std::mem::replace(root, next);
            self.stale.extend(top.link);
            self.nodes -= 1;
        }
    }
}
