//! A small repo that makes right events, for tests.

use bytes::Bytes;
use cid::Cid;
use ipld_core::ipld::Ipld;
use repo_mst::commit::UnsignedCommit;
use repo_mst::{MemoryBlocks, Tree, car, cid_for_cbor};

use crate::crypto::SigningKey;
use crate::event::{Action, CommitEvent, Frame, RepoOp, SyncEvent};
use crate::syntax::Tid;

pub const DID: &str = "did:plc:44ybard66vv44zksje25o7dz";
pub const TIME: &str = "2026-11-23T00:00:00.000Z";
pub const NOW: i64 = 1_790_000_000_000_000;

/// An owned [`CommitEvent`], easy to spoil.
#[derive(Clone)]
pub struct Draft {
    pub rev: String,
    pub since: Option<String>,
    pub commit: Cid,
    pub prev_data: Option<Cid>,
    pub root: Cid,
    pub blocks: Vec<(Cid, Bytes)>,
    pub ops: Vec<(Action, String, Option<Cid>, Option<Cid>)>,
}

impl Draft {
    fn slice(&self) -> Vec<u8> {
        let mut slice = car::header(&[self.root]);
        self.blocks.iter().for_each(|(cid, block)| car::write_block(&mut slice, cid, block));
        slice
    }

    /// The event, without its number.
    pub fn event(&self) -> Frame {
        let ops = self
            .ops
            .iter()
            .map(|(action, path, cid, prev)| RepoOp { action: *action, path, cid: *cid, prev: *prev })
            .collect();
        let (repo, rev, since) = (DID, self.rev.as_str(), self.since.as_deref());
        let (commit, prev_data) = (self.commit, self.prev_data);
        let blocks = self.slice();
        CommitEvent { repo, time: TIME, rev, since, commit, prev_data, blocks: &blocks, ops }.encode()
    }
}

pub struct Repo {
    pub key: SigningKey,
    tree: Tree,
    store: MemoryBlocks,
    head: Option<(String, Cid)>,
    revs: i64,
}

impl Repo {
    pub fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap();
        Self { key, tree: Tree::empty(), store: MemoryBlocks::new(), head: None, revs: 0 }
    }

    /// Commits `path -> Some(text)` or `path -> None` for a deletion.
    pub fn commit(&mut self, writes: &[(&str, Option<&str>)]) -> Draft {
        let mut blocks = Vec::new();
        let mut ops = Vec::new();
        for (path, text) in writes {
            let (cid, prev) = match text {
                Some(text) => {
                    let record = record(path, text);
                    let cid = cid_for_cbor(&record);
                    blocks.push((cid, record));
                    (Some(cid), self.tree.insert(&self.store, path, &cid).unwrap())
                }
                None => (None, self.tree.remove(&self.store, path).unwrap()),
            };
            let action = match (cid, prev) {
                (Some(_), None) => Action::Create,
                (Some(_), Some(_)) => Action::Update,
                _ => Action::Delete,
            };
            ops.push((action, (*path).to_owned(), cid, prev));
        }
        let changes = self.tree.finish().unwrap();
        self.store.extend(changes.added.clone());
        let mut nodes = changes.added;
        nodes.extend(self.tree.proof(&self.store, writes.iter().map(|(path, _)| *path)).unwrap());
        self.revs += 1;
        let rev = Tid::from_micros(NOW - 1000 + self.revs, 1).as_str().to_owned();
        let (commit, block) = self.sign(&rev, changes.root);
        blocks.insert(0, (commit, block));
        for node in nodes {
            if !blocks.contains(&node) {
                blocks.push(node);
            }
        }
        let (since, prev_data) = self.head.replace((rev.clone(), changes.root)).unzip();
        Draft { rev, since, commit, prev_data, root: commit, blocks, ops }
    }

    fn sign(&self, rev: &str, data: Cid) -> (Cid, Bytes) {
        let unsigned = UnsignedCommit { did: DID, rev, data, prev: None };
        let sig = Bytes::copy_from_slice(&self.key.sign(&unsigned.encode()));
        let block = Bytes::from(unsigned.sign_with(sig).encode());
        (cid_for_cbor(&block), block)
    }

    /// A `#sync` of the newest commit, without its number.
    pub fn sync(&self) -> Frame {
        let (rev, data) = self.head.clone().unwrap();
        let (cid, block) = self.sign(&rev, data);
        let mut slice = car::header(&[cid]);
        car::write_block(&mut slice, &cid, &block);
        SyncEvent { did: DID, time: TIME, rev: &rev, blocks: &slice }.encode()
    }
}

pub fn record(path: &str, text: &str) -> Bytes {
    let kind = path.split('/').next().unwrap();
    let fields = [("$type", kind), ("text", text)];
    let record: Ipld =
        Ipld::Map(fields.map(|(key, value)| (key.to_owned(), Ipld::String(value.to_owned()))).into());
    serde_ipld_dagcbor::to_vec(&record).unwrap().into()
}
