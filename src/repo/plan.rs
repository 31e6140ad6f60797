//! Planning a commit: pure, so that a plan can be looked at, and so that a failed one leaves no trace.
//!
//! Cost: O(log n) nodes are encoded and hashed, one signature, one pass of inversion over the event's own blocks
//! (about the same nodes again). Nothing depends on the size of the repo otherwise.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use cid::Cid;
use repo_mst::commit::UnsignedCommit;
use repo_mst::{BlockStore, MemoryBlocks, Op, Tree, car, cid_for_cbor, invert};

use super::{Error, Head, RecordChange, Swap, Write, WriteAction};
use crate::crypto::SigningKey;
use crate::event::{Action, CommitEvent, Frame, RepoOp};
use crate::limits::{COMMIT_BLOCKS_BYTES_MAX, COMMIT_OPS_MAX, EVENT_BYTES_MAX, RECORD_BYTES_MAX};
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

/// What the writes of one commit do to one record, all together.
struct Net {
    /// The record before the commit.
    before: Option<Cid>,
    /// The record after the writes so far.
    now: Option<Cid>,
    /// Its block and blobs, where a write brought them.
    record: Option<(Cid, Bytes)>,
    blobs: Vec<Cid>,
    /// The last of the writes.
    last: usize,
}

/// Looks each write up, each with its record key, and decides what it changes: a write sees those before it. A record is
/// changed once by a commit, so that what several writes to it come to is decided with the last of them; those that
/// change nothing come out as `None`.
///
/// # Errors
/// The first write that cannot be done; see [`Error`].
pub fn decide(tree: &Tree, store: &dyn BlockStore, writes: Vec<Write>) -> Result<Vec<Decided>, Error> {
    if writes.len() > COMMIT_OPS_MAX {
        return Err(Error::InvalidWrites(format!("at most {COMMIT_OPS_MAX} writes fit into one commit")));
    }
    let mut nets: HashMap<String, Net> = HashMap::new();
    let mut decided: Vec<Decided> = Vec::with_capacity(writes.len());
    for (index, mut write) in writes.into_iter().enumerate() {
        let net = match nets.entry(write.path()) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(new) => {
                let before = tree.get(store, new.key())?;
                new.insert(Net { before, now: before, record: None, blobs: Vec::new(), last: index })
            }
        };
        let is_as_expected = match write.swap_record {
            Swap::Any => true,
            Swap::Nothing => net.now.is_none(),
            Swap::Record(expected) => net.now == Some(expected),
        };
        if !is_as_expected {
            let found = net.now.map_or_else(|| "null".to_owned(), |cid| cid.to_string());
            return Err(Error::InvalidSwap { what: "Record".into(), found });
        }
        let leaves = match (write.action, net.now) {
            (WriteAction::Create, Some(_)) => return Err(Error::RecordExists(write.path())),
            (WriteAction::Update | WriteAction::Delete, None) => {
                return Err(Error::RecordNotFound(write.path()));
            }
            (WriteAction::DeleteIfPresent, None) => {
                decided.push((None, None));
                continue;
            }
            (WriteAction::Create | WriteAction::Update | WriteAction::Put, _) => true,
            (WriteAction::Delete | WriteAction::DeleteIfPresent, Some(_)) => false,
        };
        net.record = match (leaves, write.take_block()) {
            (false, _) => None,
            (true, Some(block)) if block.len() <= RECORD_BYTES_MAX => Some((cid_for_cbor(&block), block)),
            (true, Some(_)) => {
                return Err(Error::InvalidWrites(format!("a record is over {RECORD_BYTES_MAX} bytes")));
            }
            (true, None) => return Err(Error::InvalidWrites("a write without a record".to_owned())),
        };
        net.now = net.record.as_ref().map(|(cid, _)| *cid);
        (net.blobs, net.last) = (write.blob_cids(), index);
        decided.push((None, net.now));
    }
    for (path, Net { before, now, record, blobs, last }) in nets {
        let action = match (before, now) {
            (None, Some(_)) => Action::Create,
            (Some(before), Some(now)) if before != now => Action::Update,
            (Some(_), None) => Action::Delete,
            (None, None) | (Some(_), Some(_)) => continue,
        };
        if let Some((change, _)) = decided.get_mut(last) {
            *change = Some(RecordChange { action, path, record, prev: before, blobs });
        }
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

fn require_fits(what: &str, bytes: usize, bytes_max: usize) -> Result<(), Error> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let why = format!("the commit's {what} {bytes} bytes, over {bytes_max}: split the writes");
    Err(Error::InvalidWrites(why))
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
    require_fits("blocks are", blocks.len(), COMMIT_BLOCKS_BYTES_MAX)?;
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
    // The operations come on top of the blocks, and the event is one value of the outbox and of the log.
    require_fits("event is", frame.bytes().len(), EVENT_BYTES_MAX)?;
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
