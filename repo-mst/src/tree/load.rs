//! Loading nodes: the checks each one passes, and which ones a change needs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::blocks::BlockStore;
use crate::key;
use crate::link::Link;
use crate::node::Node;
use crate::tree::{Child, Tree, TreeError, TreeNode};

/// Where a node is linked: the height it must have and the keys it must lie between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// `None` for the root, which sets its own height.
    pub(crate) height: Option<u32>,
    pub(crate) above: Option<&'a str>,
    pub(crate) below: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub(crate) fn root() -> Self {
        Place { height: None, above: None, below: None }
    }

    /// The subtree in this gap of a node that stands here.
    pub(crate) fn below(self, parent: &'a TreeNode, gap: usize) -> Self {
        let key = |entry: usize| parent.node.entries.get(entry).map(|entry| &*entry.key);
        Place {
            // A node at height 0 has no subtrees: refused when it was loaded.
            height: Some(parent.height.saturating_sub(1)),
            above: gap.checked_sub(1).and_then(key).or(self.above),
            below: key(gap).or(self.below),
        }
    }
}

/// Whether a removal must look through the nodes that become the new top of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trim {
    /// A missing block is an error.
    Required,
    /// On a partial tree the new root may be known by its link alone. Were it a node that had to be trimmed
    /// too, the root that comes out would be no valid tree's root, so no claim can match it.
    BestEffort,
}

/// Reads a node's block, not checked.
pub(crate) fn read(store: &dyn BlockStore, link: Link) -> Result<Bytes, TreeError> {
    store
        .read_block(&link.cid())
        .map_err(|source| TreeError::ReadBlock { node: link, source })?
        .ok_or(TreeError::MissingBlock { node: link })
}

/// Decodes a node's block and checks everything: hash, form, height, range. Gives the height, too.
pub(crate) fn check<C: From<Link>>(
    block: &[u8],
    link: Link,
    place: Place<'_>,
) -> Result<(u32, Node<C>), TreeError> {
    if Link::to_block(block) != link {
        return Err(TreeError::HashMismatch { node: link });
    }
    let undecodable = |source| TreeError::Decode { node: link, source };
    let misplaced = |reason| TreeError::Misplaced { node: link, reason };
    let node = Node::<C>::parse(block).map_err(undecodable)?;
    let height = match place.height.or_else(|| node.height()) {
        Some(_) if node.is_empty() => return Err(misplaced("it is empty")),
        Some(height) => height,
        None if node.is_empty() => 0,
        None => return Err(misplaced("a root without keys has a subtree")),
    };
    node.check_heights(height).map_err(undecodable)?;
    if height == 0 && (node.left.is_some() || node.entries.iter().any(|entry| entry.right.is_some())) {
        return Err(misplaced("it has a subtree at height zero"));
    }
    let first = node.entries.first().map(|entry| &*entry.key);
    let last = node.entries.last().map(|entry| &*entry.key);
    if first.zip(place.above).is_some_and(|(first, above)| first <= above)
        || last.zip(place.below).is_some_and(|(last, below)| last >= below)
    {
        return Err(misplaced("it has keys outside its range"));
    }
    Ok((height, node))
}

impl Tree {
    /// The node of a child, loaded on first use and kept.
    pub(crate) fn node<'a>(
        &self,
        store: &dyn BlockStore,
        child: &'a Child,
        place: Place<'_>,
    ) -> Result<&'a Arc<TreeNode>, TreeError> {
        if let Some(node) = child.node.get() {
            return Ok(node);
        }
        let link = child.link.ok_or(TreeError::Inconsistent("a child without link and node"))?;
        let (height, node) = check(&read(store, link)?, link, place)?;
        self.loaded.fetch_add(1, Ordering::Relaxed);
        Ok(child.node.get_or_init(|| Arc::new(TreeNode { height, node })))
    }

    /// Loads the path to a key and below it: what an insertion changes or splits. Gives the value there.
    pub(crate) fn load_for_insert(
        &self,
        store: &dyn BlockStore,
        key: &str,
    ) -> Result<Option<Link>, TreeError> {
        let mut place = Place::root();
        let mut child = &self.root;
        loop {
            let node = self.node(store, child, place)?;
            match node.node.search(key) {
                Ok(entry) => return Ok(node.node.entries.get(entry).map(|entry| entry.value)),
                Err(gap) => match node.side(place, gap) {
                    Some(below) => (child, place) = below,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Loads the path to a key and what removing it merges or trims. Gives the value there.
    pub(crate) fn load_for_remove(
        &self,
        store: &dyn BlockStore,
        key: &str,
        trim: Trim,
    ) -> Result<Option<Link>, TreeError> {
        let height = key::height(key.as_bytes());
        let mut place = Place::root();
        let mut child = &self.root;
        loop {
            let node = self.node(store, child, place)?;
            let gap = match node.node.search(key) {
                Ok(entry) => {
                    let left = node.side(place, entry);
                    let right = node.side(place, entry.saturating_add(1));
                    let is_last_of_root = std::ptr::eq(child, &self.root) && node.node.entries.len() == 1;
                    match (left, right) {
                        (Some(left), Some(right)) => self.load_merge(store, left, right)?,
                        (Some(top), None) | (None, Some(top)) if is_last_of_root => {
                            self.load_trim(store, top, trim)?;
                        }
                        _ => {}
                    }
                    return Ok(node.node.entries.get(entry).map(|entry| entry.value));
                }
                Err(gap) => gap,
            };
            match node.side(place, gap) {
                Some((next, below)) if height < node.height => (child, place) = (next, below),
                _ => return Ok(None),
            }
        }
    }

    /// Loads the two spines that meet when the key between two subtrees goes away, as deep as both reach.
    ///
    /// Should these become the top of the tree, nothing more is needed to trim it: while both nodes have no
    /// keys both have a subtree, and the walk goes on.
    fn load_merge(&self, store: &dyn BlockStore, left: Side<'_>, right: Side<'_>) -> Result<(), TreeError> {
        let mut sides = Some((left, right));
        while let Some(((left, left_place), (right, right_place))) = sides {
            let left = self.node(store, left, left_place)?;
            let right = self.node(store, right, right_place)?;
            sides = left.side(left_place, left.node.entries.len()).zip(right.side(right_place, 0));
        }
        Ok(())
    }

    /// Loads the nodes that can't be a root because they have no keys, and the one that then is.
    fn load_trim(&self, store: &dyn BlockStore, top: Side<'_>, trim: Trim) -> Result<(), TreeError> {
        let mut top = Some(top);
        while let Some((child, place)) = top {
            let node = match self.node(store, child, place) {
                Err(TreeError::MissingBlock { .. }) if trim == Trim::BestEffort => return Ok(()),
                node => node?,
            };
            top = if node.node.entries.is_empty() { node.side(place, 0) } else { None };
        }
        Ok(())
    }
}

/// A subtree and where it stands.
type Side<'a> = (&'a Child, Place<'a>);

impl TreeNode {
    /// The subtree in a gap, given where this node stands.
    pub(crate) fn side<'a>(&'a self, place: Place<'a>, gap: usize) -> Option<Side<'a>> {
        self.node.child(gap).map(|child| (child, place.below(self, gap)))
    }
}
