//! What changed between two trees, reading only what differs.
//!
//! Two cursors move along in key order. Where both stand before the same subtree it is passed over unread; where
//! they stand before different ones the higher is entered, so that equal subtrees come to face each other even
//! when one tree grew a level.

use std::collections::HashSet;
use std::sync::Arc;

use cid::Cid;

use crate::blocks::BlockStore;
use crate::cursor::{Checks, Cursor, Next};
use crate::link::Link;
use crate::tree::{TreeError, link_of};

/// A record that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// Repo path.
    pub key: Arc<str>,
    /// The record in the old tree.
    pub prev: Option<Cid>,
    /// The record in the new tree.
    pub value: Option<Cid>,
}

/// The difference of two trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Changed records in key order.
    pub records: Vec<RecordChange>,
    /// Nodes only the new tree has.
    pub added: Vec<Cid>,
    /// Nodes only the old tree has.
    pub removed: Vec<Cid>,
}

/// Compares two trees; an old root of `None` stands for nothing at all. Every node read is checked.
pub fn diff(
    old_store: &dyn BlockStore,
    old_root: Option<&Cid>,
    new_store: &dyn BlockStore,
    new_root: &Cid,
) -> Result<Diff, TreeError> {
    let old_root = old_root.map(link_of).transpose()?;
    let mut old = Side::new(Cursor::new(old_store, old_root, Checks::All));
    let mut new = Side::new(Cursor::new(new_store, Some(link_of(new_root)?), Checks::All));
    let mut records = Vec::new();
    while let Some(moves) = compare(old.cursor.peek(), new.cursor.peek(), &mut records) {
        old.go(moves.old)?;
        new.go(moves.new)?;
    }
    // A node met on one side may have been met later on the other: it is in both trees.
    let mut both: HashSet<Link> = old.nodes.iter().copied().collect();
    let in_new: HashSet<Link> = new.nodes.iter().copied().collect();
    both.retain(|link| in_new.contains(link));
    let only =
        |nodes: Vec<Link>| nodes.into_iter().filter(|link| !both.contains(link)).map(Cid::from).collect();
    Ok(Diff { records, added: only(new.nodes), removed: only(old.nodes) })
}

/// One of the trees, and its nodes that were read.
struct Side<'s> {
    cursor: Cursor<'s>,
    nodes: Vec<Link>,
}

#[derive(Clone, Copy)]
enum Move {
    Stay,
    Enter,
    Pass,
}

struct Moves {
    old: Move,
    new: Move,
}

/// Decides how both sides move on; notes a record that differs. `None` at the end of both.
fn compare(old: Next<'_>, new: Next<'_>, records: &mut Vec<RecordChange>) -> Option<Moves> {
    use Move::{Enter, Pass, Stay};
    let mut changed = |key: &Arc<str>, prev: Option<Link>, value: Option<Link>| {
        let (prev, value) = (prev.map(Cid::from), value.map(Cid::from));
        records.push(RecordChange { key: key.clone(), prev, value });
    };
    let moves = |old, new| Some(Moves { old, new });
    match (old, new) {
        (Next::End, Next::End) => None,
        (Next::Subtree { link: old, .. }, Next::Subtree { link: new, .. }) if old == new => moves(Pass, Pass),
        (Next::Subtree { height: old, .. }, Next::Subtree { height: new, .. }) => match (old, new) {
            (Some(old), Some(new)) if old > new => moves(Enter, Stay),
            (Some(old), Some(new)) if old < new => moves(Stay, Enter),
            (None, Some(_)) => moves(Enter, Stay),
            (Some(_), None) => moves(Stay, Enter),
            _ => moves(Enter, Enter),
        },
        (Next::Subtree { .. }, _) => moves(Enter, Stay),
        (_, Next::Subtree { .. }) => moves(Stay, Enter),
        (Next::Record { key: old_key, value: prev }, Next::Record { key, value }) if old_key == key => {
            if prev != value {
                changed(key, Some(prev), Some(value));
            }
            moves(Pass, Pass)
        }
        (Next::Record { key, value }, Next::Record { key: new_key, .. }) if key < new_key => {
            changed(key, Some(value), None);
            moves(Pass, Stay)
        }
        (Next::Record { key, value }, Next::End) => {
            changed(key, Some(value), None);
            moves(Pass, Stay)
        }
        (_, Next::Record { key, value }) => {
            changed(key, None, Some(value));
            moves(Stay, Pass)
        }
    }
}

impl<'s> Side<'s> {
    fn new(cursor: Cursor<'s>) -> Self {
        Side { cursor, nodes: Vec::new() }
    }

    fn go(&mut self, step: Move) -> Result<(), TreeError> {
        match step {
            Move::Stay => Ok(()),
            Move::Pass => self.cursor.pass(),
            Move::Enter => {
                self.nodes.extend(self.cursor.enter()?.map(|(link, _)| link));
                Ok(())
            }
        }
    }
}
