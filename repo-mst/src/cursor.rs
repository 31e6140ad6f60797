//! A place in a stored tree, moving forward: what walking, checking and comparing share.
//!
//! The cursor stands before a subtree or a record. A subtree is entered or passed over as a whole. The cursor keeps the
//! nodes from the root to where it stands and no others.

use std::sync::Arc;

use bytes::Bytes;

use crate::blocks::BlockStore;
use crate::link::Link;
use crate::node::{Node, NodeEntry};
use crate::tree::{Place, TreeError, check, read};

/// Nodes on a path: heights go from 128 to 0, and one for the slot that holds the root.
const DEPTH_MAX: usize = 130;

/// How much of a node to check when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Form and order, but no hashes: for trees this host wrote.
    Form,
    /// Everything.
    All,
}

pub(crate) struct Cursor<'s> {
    store: &'s dyn BlockStore,
    checks: Checks,
    /// From the slot that holds the root, down to where the cursor stands.
    stack: Vec<Frame>,
    last_key: Option<Arc<str>>,
    seek: Option<Box<str>>,
}

struct Frame {
    /// The node; the root's again for the slot above it.
    link: Option<Link>,
    /// `None` when not known: above the root, and when heights are not checked.
    height: Option<u32>,
    node: Node,
    /// Twice the index of a gap, plus one once its subtree is passed and the entry after it is next.
    next: usize,
}

/// What the cursor stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A subtree; the height is known below the root when all is checked.
    Subtree {
        link: Link,
        height: Option<u32>,
    },
    Record {
        key: &'a Arc<str>,
        value: Link,
    },
    End,
}

impl<'s> Cursor<'s> {
    pub(crate) fn new(store: &'s dyn BlockStore, root: Option<Link>, checks: Checks) -> Self {
        let slot =
            Frame { link: root, height: None, node: Node { left: root, entries: Vec::new() }, next: 0 };
        Cursor { store, checks, stack: vec![slot], last_key: None, seek: None }
    }

    /// Passes over everything below this key. Only before the first move.
    pub(crate) fn seek(&mut self, key: &str) {
        self.seek = Some(key.into());
    }

    pub(crate) fn peek(&mut self) -> Next<'_> {
        while let Some(frame) = self.stack.last_mut() {
            let gap = frame.next / 2;
            let at_gap = frame.next.is_multiple_of(2);
            if at_gap && frame.node.child(gap).is_none() {
                frame.next += 1;
            } else if !at_gap && gap >= frame.node.entries.len() {
                self.stack.pop();
                if let Some(parent) = self.stack.last_mut() {
                    parent.next += 1;
                }
            } else {
                break;
            }
        }
        let Some(frame) = self.stack.last() else { return Next::End };
        match frame.subtree() {
            Some(link) => Next::Subtree { link, height: frame.height.and_then(|h| h.checked_sub(1)) },
            None => match frame.entry() {
                Some(entry) => Next::Record { key: &entry.key, value: entry.value },
                None => Next::End,
            },
        }
    }

    /// Goes past the subtree or record ahead.
    pub(crate) fn pass(&mut self) -> Result<(), TreeError> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        if frame.subtree().is_none()
            && let Some(entry) = frame.entry()
        {
            self.seek = None;
            if self.last_key.as_ref().is_some_and(|last| *last >= entry.key) {
                let node = frame.link.unwrap_or(entry.value);
                return Err(TreeError::Misplaced { node, reason: "its keys are not above all before them" });
            }
            self.last_key = Some(entry.key.clone());
        }
        frame.next += 1;
        Ok(())
    }

    /// Goes into the subtree ahead; gives its node's block.
    pub(crate) fn enter(&mut self) -> Result<Option<(Link, Bytes)>, TreeError> {
        let Some(parent) = self.stack.last() else { return Ok(None) };
        let Some(link) = parent.subtree() else { return Ok(None) };
        if self.stack.len() >= DEPTH_MAX {
            return Err(TreeError::Misplaced { node: link, reason: "it is too deep" });
        }
        let block = read(self.store, link)?;
        let (height, node) = match self.checks {
            Checks::Form => {
                let node = Node::parse(&block).map_err(|source| TreeError::Decode { node: link, source })?;
                (None, node)
            }
            Checks::All => {
                let (height, node) = check(&block, link, self.place(parent))?;
                (Some(height), node)
            }
        };
        let next = match self.seek.as_deref().map(|key| node.search(key)) {
            Some(Ok(entry)) => entry * 2 + 1,
            Some(Err(gap)) => gap * 2,
            None => 0,
        };
        self.stack.push(Frame { link: Some(link), height, node, next });
        Ok(Some((link, block)))
    }

    /// Ends the walk.
    pub(crate) fn stop(&mut self) {
        self.stack.clear();
    }

    /// The height of the node the cursor is in, when heights are checked.
    pub(crate) fn height(&self) -> Option<u32> {
        self.stack.last().and_then(|frame| frame.height)
    }

    fn place<'a>(&'a self, parent: &Frame) -> Place<'a> {
        Place {
            height: parent.height.map(|height| height.saturating_sub(1)),
            above: self.last_key.as_deref(),
            below: self.stack.iter().rev().find_map(|frame| frame.entry()).map(|entry| &*entry.key),
        }
    }
}

impl Frame {
    /// The subtree ahead, if one is.
    fn subtree(&self) -> Option<Link> {
        if self.next.is_multiple_of(2) { self.node.child(self.next / 2).copied() } else { None }
    }

    /// The record ahead, perhaps behind a subtree.
    fn entry(&self) -> Option<&NodeEntry> {
        self.node.entries.get(self.next / 2)
    }
}
