//! Planning a commit: pure, so that a plan can be looked at, and so that a failed one leaves no trace.
//!
//! Cost: O(log n) nodes are encoded and hashed, one signature, one pass of inversion over the event's own blocks
//! (about the same nodes again). Nothing depends on the size of the repo otherwise.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cid::Cid;
use repo_mst::commit::UnsignedCommit;
use repo_mst::{BlockStore, MemoryBlocks, Op, Tree, car, cid_for_cbor, invert};

use super::{Error, Head, RecordChange, Swap, Write, WriteAction};
use crate::crypto::SigningKey;
use crate::event::{Action, CommitEvent, Frame, RepoOp};
use crate::limits::{COMMIT_BLOCKS_BYTES_MAX, COMMIT_OPS_MAX, RECORD_BYTES_MAX};
use crate::syntax::{Tid, format_datetime_ms};

/// A commit, ready to be applied.
pub struct CommitPlan {
    /// The repo after it.
    pub head: Head,
    /// The signed commit.
    pub commit_block: Vec<u8>,
    /// The tree after it.
    pub tree: Tree,
    /// Nodes that come.
    pub nodes_added: Vec<(Cid, Bytes)>,
    /// Nodes that go.
    pub nodes_removed: Vec<Cid>,
    /// Records that change, one for each path.
    pub changes: Vec<RecordChange>,
    /// The `#commit` event.
    pub frame: Frame,
    /// The commit block alone, as a CAR: what `#sync` carries.
    pub commit_car: Vec<u8>,
}

/// What a write comes to: its change, if any, and the CID of the record then.
pub type Decided = (Option<RecordChange>, Option<Cid>);

/// Looks each write up, each with its record key, and decides what it changes; those that change nothing come out as
/// `None`.
///
/// # Errors
/// The first write that cannot be done; see [`Error`].
pub fn decide(tree: &Tree, store: &dyn BlockStore, writes: Vec<Write>) -> Result<Vec<Decided>, Error> {
    if writes.len() > COMMIT_OPS_MAX {
        return Err(Error::InvalidWrites(format!("at most {COMMIT_OPS_MAX} writes fit into one commit")));
    }
    let mut paths = HashSet::new();
    let mut decided = Vec::with_capacity(writes.len());
    for mut write in writes {
        let path = write.path();
        if !paths.insert(path.clone()) {
            return Err(Error::InvalidWrites(format!("two writes to {path} in one commit")));
        }
        let prev = tree.get(store, &path)?;
        let is_as_expected = match write.swap_record {
            Swap::Any => true,
            Swap::Nothing => prev.is_none(),
            Swap::Record(expected) => prev == Some(expected),
        };
        if !is_as_expected {
            let found = prev.map_or_else(|| "null".to_owned(), |cid| cid.to_string());
            return Err(Error::InvalidSwap { what: "Record".into(), found });
        }
        let action = match (write.action, prev) {
            (WriteAction::Create, Some(_)) => return Err(Error::RecordExists(path)),
            (WriteAction::Update | WriteAction::Delete, None) => return Err(Error::RecordNotFound(path)),
            (WriteAction::DeleteIfPresent, None) => {
                decided.push((None, None));
                continue;
            }
            (WriteAction::Create | WriteAction::Put, None) => Action::Create,
            (WriteAction::Update | WriteAction::Put, Some(_)) => Action::Update,
            (WriteAction::Delete | WriteAction::DeleteIfPresent, Some(_)) => Action::Delete,
        };
        let record = match (action, write.take_block()) {
            (Action::Delete, _) => None,
            (_, Some(block)) if block.len() <= RECORD_BYTES_MAX => Some((cid_for_cbor(&block), block)),
            (_, Some(_)) => {
                return Err(Error::InvalidWrites(format!("a record is over {RECORD_BYTES_MAX} bytes")));
            }
            (_, None) => return Err(Error::InvalidWrites("a write without a record".to_owned())),
        };
        let cid = record.as_ref().map(|(cid, _)| *cid);
        let unchanged = action == Action::Update && cid == prev;
        let change = RecordChange { action, path, record, prev, blobs: write.blob_cids() };
        decided.push(((!unchanged).then_some(change), cid));
    }
    Ok(decided)
}

/// Who commits, and when.
pub struct Author<'a> {
    /// The repo's DID.
    pub did: &'a str,
    /// Its key.
    pub key: &'a SigningKey,
    /// Microseconds since the Unix epoch.
    pub now_us: i64,
    /// The clock id of new TIDs.
    pub clock_id: u16,
}

/// Plans one commit of `changes` on `tree`, whose newest commit is `head` (`None` for the first).
///
/// # Errors
/// [`Error`]; nothing has changed then.
pub fn plan_commit(
    author: &Author<'_>,
    head: Option<&Head>,
    tree: &Tree,
    store: &dyn BlockStore,
    changes: Vec<RecordChange>,
) -> Result<CommitPlan, Error> {
    let mut tree = tree.clone();
    for change in &changes {
        match &change.record {
            Some((cid, _)) => tree.insert(store, &change.path, cid)?,
            None => tree.remove(store, &change.path)?,
        };
    }
    let written = tree.finish()?;
    let rev = Tid::next(head.map(|head| &head.rev), author.now_us, author.clock_id);
    let unsigned = UnsignedCommit { did: author.did, rev: rev.as_str(), data: written.root, prev: None };
    let signature = author.key.sign(&unsigned.encode());
    let commit_block = unsigned.sign_with(Bytes::copy_from_slice(&signature)).encode();
    let commit = cid_for_cbor(&commit_block);

    let proof = tree.proof(store, changes.iter().map(|change| change.path.as_str()))?;
    let slice = Slice::new(&written.added, proof, &changes);
    let blocks = slice.to_car(&commit, &commit_block);
    if blocks.len() > COMMIT_BLOCKS_BYTES_MAX {
        return Err(Error::InvalidWrites(format!(
            "the commit's blocks are {} bytes, over {COMMIT_BLOCKS_BYTES_MAX}: split the writes",
            blocks.len()
        )));
    }
    let prev_data = head.map(|head| head.data);
    prove(&slice, &written.root, prev_data.unwrap_or_else(Tree::empty_root), &changes)?;

    let ops = changes.iter().map(|change| RepoOp {
        action: change.action,
        path: &change.path,
        cid: change.record.as_ref().map(|(cid, _)| *cid),
        prev: change.prev,
    });
    let frame = CommitEvent {
        repo: author.did,
        time: &format_datetime_ms(author.now_us),
        rev: rev.as_str(),
        since: head.map(|head| head.rev.as_str()),
        commit,
        prev_data,
        blocks: &blocks,
        ops: ops.collect(),
    }
    .encode();
    let mut commit_car = car::header(&[commit]);
    car::write_block(&mut commit_car, &commit, &commit_block);
    Ok(CommitPlan {
        head: Head { rev, commit, data: written.root },
        commit_block,
        tree,
        nodes_added: written.added,
        nodes_removed: written.removed,
        changes,
        frame,
        commit_car,
    })
}

/// The blocks an event carries besides its commit, each once.
struct Slice {
    nodes: MemoryBlocks,
    order: Vec<Cid>,
    records: Vec<(Cid, Bytes)>,
}

impl Slice {
    fn new(added: &[(Cid, Bytes)], proof: Vec<(Cid, Bytes)>, changes: &[RecordChange]) -> Self {
        let mut nodes = MemoryBlocks::new();
        let mut order = Vec::with_capacity(added.len() + proof.len());
        for (cid, block) in added.iter().cloned().chain(proof) {
            if !nodes.contains(&cid) {
                nodes.insert(cid, block);
                order.push(cid);
            }
        }
        let mut records: HashMap<Cid, ()> = HashMap::new();
        let records = changes
            .iter()
            .filter_map(|change| change.record.clone())
            .filter(|(cid, _)| records.insert(*cid, ()).is_none())
            .collect();
        Self { nodes, order, records }
    }

    fn to_car(&self, commit: &Cid, commit_block: &[u8]) -> Vec<u8> {
        let mut bytes = car::header(&[*commit]);
        car::write_block(&mut bytes, commit, commit_block);
        for cid in &self.order {
            if let Some(block) = self.nodes.get(cid) {
                car::write_block(&mut bytes, cid, block);
            }
        }
        for (cid, block) in &self.records {
            car::write_block(&mut bytes, cid, block);
        }
        bytes
    }
}

/// Undoes the changes with nothing but the event's blocks and compares the root: invariant 5 of the design.
fn prove(slice: &Slice, root: &Cid, prev_data: Cid, changes: &[RecordChange]) -> Result<(), Error> {
    let ops: Vec<Op<'_>> = changes
        .iter()
        .map(|change| Op {
            key: &change.path,
            prev: change.prev,
            value: change.record.as_ref().map(|(cid, _)| *cid),
        })
        .collect();
    let inverted = invert(&slice.nodes, root, &ops).map_err(|error| Error::Unproven(error.to_string()))?;
    if inverted == prev_data {
        Ok(())
    } else {
        Err(Error::Unproven(format!("inverts to {inverted}, not to {prev_data}")))
    }
}
