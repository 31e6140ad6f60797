//! The tree's node and its one encoding.
//!
//! A node is a run of sorted keys, all of one height, with an optional subtree before, between and after them:
//!
//! ```text
//!   left   entries[0]   entries[0].right   entries[1]   entries[1].right  ...
//! ```
//!
//! On the wire it is `{"e": [{"k", "p", "t", "v"}...], "l"}`, where `p` is the number of bytes a key shares with
//! the key before it and `k` the rest. Decoding takes exactly the bytes that encoding makes: a node that decodes
//! always encodes to the same block, which is why a cached node needs no copy of its block.
//!
//! The type is generic over what stands for a subtree: [`Link`] on the wire, a lazily loaded child in a tree.

use std::sync::Arc;

use crate::cbor::{CborError, Reader, Writer};
use crate::key::{self, KeyError, common_prefix};
use crate::link::Link;

/// Largest node block in bytes. A repo whose author picks keys of height zero can make a node as large as it
/// likes; this is the size of a commit's blocks on the firehose, and of a row in a Durable Object.
pub const NODE_BYTES_MAX: usize = 2_000_000;

/// Smallest encoding of an entry: bounds what a claimed number of entries may allocate.
const ENTRY_BYTES_MIN: usize = 50;

/// A node of the tree. `C` stands for a subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<C = Link> {
    /// The subtree of keys below the first entry.
    pub left: Option<C>,
    /// Entries in ascending order of their keys.
    pub entries: Vec<NodeEntry<C>>,
}

/// A key, its record, and the subtree after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry<C = Link> {
    /// Repo path, `collection/rkey`.
    pub key: Arc<str>,
    /// The record.
    pub value: Link,
    /// The subtree of keys between this one and the next.
    pub right: Option<C>,
}

/// Why bytes are not a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Larger than [`NODE_BYTES_MAX`].
    #[error("node has {bytes} bytes, more than {NODE_BYTES_MAX}")]
    TooLarge {
        /// Size of the block.
        bytes: usize,
    },
    /// Not the canonical DAG-CBOR of a node.
    #[error("node is not canonical DAG-CBOR")]
    Cbor(#[from] CborError),
    /// The prefix length is not exactly what the key shares with the key before it.
    #[error("entry {entry} has a wrong prefix length")]
    Prefix {
        /// Index of the entry.
        entry: usize,
    },
    /// A key that is not a repo path.
    #[error("entry {entry} has a bad key")]
    Key {
        /// Index of the entry.
        entry: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Keys are not in strictly ascending order.
    #[error("entry {entry} is not above the entry before it")]
    Order {
        /// Index of the entry.
        entry: usize,
    },
    /// Keys of different heights in one node.
    #[error("entry {entry} has another height than its node")]
    Height {
        /// Index of the entry.
        entry: usize,
    },
}

impl Node<Link> {
    /// Decodes a node and checks all that can be checked within it: canonical bytes, prefix lengths, order,
    /// one height for all keys. What only the tree around it tells (the expected height, the range of keys,
    /// whether it may be empty) is checked where trees load nodes.
    pub fn decode(block: &[u8]) -> Result<Self, NodeError> {
        let node = Self::parse(block)?;
        if let Some(height) = node.height() {
            node.check_heights(height)?;
        }
        Ok(node)
    }
}

impl<C> Node<C> {
    /// The height of the node's keys; `None` when it has none.
    pub fn height(&self) -> Option<u32> {
        self.entries.first().map(|entry| key::height(entry.key.as_bytes()))
    }

    /// Index of a key, or of the gap (the subtree slot) it falls into.
    pub fn search(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| (*entry.key).cmp(key))
    }

    /// The subtree before entry `gap`; the last gap is the one after all entries.
    pub fn child(&self, gap: usize) -> Option<&C> {
        match gap.checked_sub(1) {
            None => self.left.as_ref(),
            Some(entry) => self.entries.get(entry)?.right.as_ref(),
        }
    }

    /// Whether there is nothing in it at all: only the root of an empty tree may be so.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left.is_none()
    }

    /// The slot of the subtree before entry `gap`. `None` only for a gap beyond the last.
    pub(crate) fn slot(&mut self, gap: usize) -> Option<&mut Option<C>> {
        match gap.checked_sub(1) {
            None => Some(&mut self.left),
            Some(entry) => self.entries.get_mut(entry).map(|entry| &mut entry.right),
        }
    }

    pub(crate) fn check_heights(&self, height: u32) -> Result<(), NodeError> {
        let off = |entry: &NodeEntry<C>| key::height(entry.key.as_bytes()) != height;
        match self.entries.iter().position(off) {
            Some(entry) => Err(NodeError::Height { entry }),
            None => Ok(()),
        }
    }
}

impl<C: From<Link>> Node<C> {
    /// Decodes without the heights, the only check that has to hash.
    pub(crate) fn parse(block: &[u8]) -> Result<Self, NodeError> {
        if block.len() > NODE_BYTES_MAX {
            return Err(NodeError::TooLarge { bytes: block.len() });
        }
        let mut reader = Reader::new(block);
        reader.map_of(2, "a map of two")?;
        reader.key("e")?;
        let count = reader.array()?;
        let room = reader.remaining() / ENTRY_BYTES_MIN;
        let mut entries = Vec::with_capacity(count.min(room));
        let mut key = String::new();
        for _ in 0..count {
            let entry = parse_entry(&mut reader, entries.len(), &mut key)?;
            entries.push(entry);
        }
        reader.key("l")?;
        let left = reader.nullable(Reader::link)?.map(C::from);
        reader.end()?;
        Ok(Node { left, entries })
    }
}

/// Reads an entry; `key` holds the key before it, and this one afterwards.
fn parse_entry<C: From<Link>>(
    reader: &mut Reader<'_>,
    entry: usize,
    key: &mut String,
) -> Result<NodeEntry<C>, NodeError> {
    let refuse = |source| NodeError::Key { entry, source };
    reader.map_of(4, "a map of four")?;
    reader.key("k")?;
    let rest = std::str::from_utf8(reader.bytes()?).map_err(|_| refuse(KeyError::Character))?;
    reader.key("p")?;
    let shared = usize::try_from(reader.unsigned()?).map_err(|_| NodeError::Prefix { entry })?;
    reader.key("t")?;
    let right = reader.nullable(Reader::link)?.map(C::from);
    reader.key("v")?;
    let value = reader.link()?;

    // Exact prefix and strict order in one: the first byte after the prefix must be above the old one there.
    match (key.as_bytes().get(shared), rest.as_bytes().first()) {
        _ if shared > key.len() => return Err(NodeError::Prefix { entry }),
        (None, None) | (Some(_), None) => return Err(NodeError::Order { entry }),
        (Some(old), Some(new)) if old == new => return Err(NodeError::Prefix { entry }),
        (Some(old), Some(new)) if old > new => return Err(NodeError::Order { entry }),
        (_, Some(_)) => {}
    }
    key.truncate(shared); // keys are ASCII, checked below, so this can't cut a character
    key.push_str(rest);
    key::validate(key).map_err(refuse)?;
    Ok(NodeEntry { key: Arc::from(key.as_str()), value, right })
}

impl Node<Link> {
    /// The node's block.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = Vec::new();
        self.encode_with(&mut block, |link| Some(*link));
        block
    }
}

impl<C> Node<C> {
    /// Appends the node's block, with `link` giving the link of a subtree. `false` when a subtree has none.
    pub(crate) fn encode_with(&self, block: &mut Vec<u8>, link: impl Fn(&C) -> Option<Link>) -> bool {
        let mut complete = true;
        let mut subtree = |child: &Option<C>| {
            let link = child.as_ref().map(&link);
            complete &= link != Some(None);
            link.flatten()
        };
        let mut writer = Writer(block);
        writer.map(2);
        writer.key("e").array(self.entries.len());
        let mut before: &[u8] = &[];
        for entry in &self.entries {
            let key = entry.key.as_bytes();
            let shared = common_prefix(before, key);
            writer.map(4);
            writer.key("k").bytes(key.get(shared..).unwrap_or_default());
            writer.key("p").unsigned(shared as u64);
            writer.key("t").nullable(subtree(&entry.right).as_ref(), Writer::link);
            writer.key("v").link(&entry.value);
            before = key;
        }
        writer.key("l").nullable(subtree(&self.left).as_ref(), Writer::link);
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, right: Option<Link>) -> NodeEntry {
        NodeEntry { key: Arc::from(key), value: Link::to_block(key.as_bytes()), right }
    }

    /// One key with a subtree on either side.
    fn node() -> Node {
        Node {
            left: Some(Link::to_block(b"left")),
            entries: vec![entry("com.example.record/3jqfcqzm3fp2j", Some(Link::to_block(b"right")))],
        }
    }

    #[test]
    fn a_node_round_trips() {
        let block = node().encode();
        assert_eq!(Node::decode(&block), Ok(node()));
        let empty = Node::<Link> { left: None, entries: vec![] };
        assert_eq!(empty.encode(), [0xa2, 0x61, b'e', 0x80, 0x61, b'l', 0xf6]);
        assert_eq!(Node::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        let block = node().encode();
        for end in 0..block.len() {
            assert!(Node::decode(&block[..end]).is_err(), "{end}");
        }
        assert!(Node::decode(&[&block[..], &[0]].concat()).is_err());
    }

    /// Writes entries with chosen prefix lengths, as a careless or hostile encoder would.
    fn raw(entries: &[(&str, u64)]) -> Vec<u8> {
        let mut block = Vec::new();
        let mut writer = Writer(&mut block);
        writer.map(2);
        writer.key("e").array(entries.len());
        for (rest, shared) in entries {
            writer.map(4);
            writer.key("k").bytes(rest.as_bytes());
            writer.key("p").unsigned(*shared);
            writer.key("t").null();
            writer.key("v").link(&Link::to_block(b"v"));
        }
        writer.key("l").null();
        block
    }

    #[test]
    fn prefix_order_and_keys_are_exact() {
        type Parsed = Result<Node, NodeError>;
        let parse = |entries: &[(&str, u64)]| -> Parsed { Node::parse(&raw(entries)) };
        assert!(parse(&[("a/bc", 0), ("d", 3)]).is_ok());
        assert!(parse(&[("a/bc", 0), ("cd", 2)]).is_ok());
        assert_eq!(parse(&[("a/bc", 0), ("bd", 2)]), Err(NodeError::Prefix { entry: 1 }));
        assert_eq!(parse(&[("a/bc", 1)]), Err(NodeError::Prefix { entry: 0 }));
        assert_eq!(parse(&[("a/bc", 0), ("", 4)]), Err(NodeError::Order { entry: 1 }));
        assert_eq!(parse(&[("a/bc", 0), ("", 3)]), Err(NodeError::Order { entry: 1 }));
        assert_eq!(parse(&[("a/bc", 0), ("a", 2)]), Err(NodeError::Order { entry: 1 }));
        assert_eq!(parse(&[("a/bc", 0), ("d", 5)]), Err(NodeError::Prefix { entry: 1 }));
        assert_eq!(parse(&[("a/bc", 0), ("d", u64::MAX)]), Err(NodeError::Prefix { entry: 1 }));
        let bad = NodeError::Key { entry: 0, source: KeyError::Segments };
        assert_eq!(parse(&[("abc", 0)]), Err(bad));
    }

    #[test]
    fn keys_of_different_heights_are_refused() {
        let (low, high) = keys_of_two_heights();
        let mut entries = vec![entry(&low, None), entry(&high, None)];
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        let block = Node { left: None, entries }.encode();
        assert_eq!(Node::decode(&block), Err(NodeError::Height { entry: 1 }));
    }

    fn keys_of_two_heights() -> (String, String) {
        let at = |height| (0..).map(|n| format!("a/{n}")).find(|k| key::height(k.as_bytes()) == height);
        (at(0).unwrap(), at(1).unwrap())
    }

    #[test]
    fn a_huge_claimed_count_allocates_nothing() {
        let mut block = vec![0xa2, 0x61, b'e', 0x9b];
        block.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(matches!(Node::decode(&block), Err(NodeError::Cbor(CborError::Truncated { .. }))));
    }
}
