//! Where blocks come from: the one thing a tree asks of the world.

use std::collections::HashMap;
use std::error::Error;

use bytes::Bytes;
use cid::Cid;

/// A source of blocks by CID. Implementations read; the tree never writes through it.
pub trait BlockStore {
    /// The block with this CID, or `None` when the store does not have it.
    ///
    /// The tree hashes what it gets, so a store need not.
    fn read_block(&self, cid: &Cid) -> Result<Option<Bytes>, BlockStoreError>;
}

/// A failure of the store itself (not a missing block).
#[derive(Debug, thiserror::Error)]
#[error("block store failed")]
pub struct BlockStoreError(#[source] pub Box<dyn Error + Send + Sync>);

impl BlockStoreError {
    /// Wraps the store's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        BlockStoreError(source.into())
    }
}

/// Blocks held in memory: a CAR slice, a test.
#[derive(Debug, Default, Clone)]
pub struct MemoryBlocks(HashMap<Cid, Bytes>);

impl MemoryBlocks {
    /// No blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a block under its CID, which the caller has checked or computed.
    pub fn insert(&mut self, cid: Cid, block: Bytes) {
        self.0.insert(cid, block);
    }

    /// Takes a block out.
    pub fn remove(&mut self, cid: &Cid) -> Option<Bytes> {
        self.0.remove(cid)
    }

    /// Looks a block up.
    pub fn get(&self, cid: &Cid) -> Option<&Bytes> {
        self.0.get(cid)
    }

    /// Whether the block is there.
    pub fn contains(&self, cid: &Cid) -> bool {
        self.0.contains_key(cid)
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All blocks, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Cid, &Bytes)> {
        self.0.iter()
    }
}

impl BlockStore for MemoryBlocks {
    fn read_block(&self, cid: &Cid) -> Result<Option<Bytes>, BlockStoreError> {
        Ok(self.0.get(cid).cloned())
    }
}

impl FromIterator<(Cid, Bytes)> for MemoryBlocks {
    fn from_iter<I: IntoIterator<Item = (Cid, Bytes)>>(blocks: I) -> Self {
        MemoryBlocks(blocks.into_iter().collect())
    }
}

impl Extend<(Cid, Bytes)> for MemoryBlocks {
    fn extend<I: IntoIterator<Item = (Cid, Bytes)>>(&mut self, blocks: I) {
        self.0.extend(blocks);
    }
}
