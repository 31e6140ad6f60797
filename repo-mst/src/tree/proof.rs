//! Covering proofs: the nodes that let someone without the rest of the tree check and undo a change.
//!
//! For each key these are the nodes on the path to it, down to where it is or would be, and, when it is there,
//! the spines of the two subtrees beside it, which removing it would merge. With the proofs of all keys of a
//! commit, its operations can be undone in any order (`sync` specification, "Operation Inversion"; the reference
//! calls the same set `getCoveringProof`).

use std::collections::HashSet;

use bytes::Bytes;
use cid::Cid;

use crate::blocks::BlockStore;
use crate::link::Link;
use crate::tree::{Child, Place, Tree, TreeError, TreeNode};

/// Nodes of a proof, each once, in the order they were met.
#[derive(Default)]
struct Proof {
    seen: HashSet<Link>,
    blocks: Vec<(Cid, Bytes)>,
}

impl Tree {
    /// The covering proof of these keys. The tree must be finished.
    pub fn proof<'k>(
        &self,
        store: &dyn BlockStore,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Vec<(Cid, Bytes)>, TreeError> {
        let mut proof = Proof::default();
        for key in keys {
            self.prove(store, key, &mut proof)?;
        }
        Ok(proof.blocks)
    }

    fn prove(&self, store: &dyn BlockStore, key: &str, proof: &mut Proof) -> Result<(), TreeError> {
        let mut step = Some((&self.root, Place::root()));
        while let Some((child, place)) = step {
            let node = self.node(store, child, place)?;
            proof.add(child, node)?;
            step = match node.node.search(key) {
                Err(gap) => node.side(place, gap),
                Ok(entry) => {
                    self.prove_spine(store, node.side(place, entry), Spine::Last, proof)?;
                    self.prove_spine(store, node.side(place, entry.saturating_add(1)), Spine::First, proof)?;
                    None
                }
            };
        }
        Ok(())
    }

    fn prove_spine<'a>(
        &'a self,
        store: &dyn BlockStore,
        mut side: Option<(&'a Child, Place<'a>)>,
        spine: Spine,
        proof: &mut Proof,
    ) -> Result<(), TreeError> {
        while let Some((child, place)) = side {
            let node = self.node(store, child, place)?;
            proof.add(child, node)?;
            let gap = match spine {
                Spine::First => 0,
                Spine::Last => node.node.entries.len(),
            };
            side = node.side(place, gap);
        }
        Ok(())
    }
}

/// Which edge of a subtree.
#[derive(Clone, Copy)]
enum Spine {
    First,
    Last,
}

impl Proof {
    fn add(&mut self, child: &Child, node: &TreeNode) -> Result<(), TreeError> {
        let link = child.link.ok_or(TreeError::Unfinished)?;
        if self.seen.insert(link) {
            let mut block = Vec::new();
            if !node.node.encode_with(&mut block, |child| child.link) {
                return Err(TreeError::Unfinished);
            }
            self.blocks.push((link.cid(), Bytes::from(block)));
        }
        Ok(())
    }
}
