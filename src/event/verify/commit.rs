//! `#commit` and `#sync`: blocks, signature, the chain of revs and roots, operations, inversion.

use std::cell::RefCell;
use std::collections::HashSet;

use bytes::Bytes;
use cid::Cid;
use ipld_core::ipld::Ipld;
use repo_mst::commit::Commit;
use repo_mst::{BlockStore, BlockStoreError, MemoryBlocks, Op, Tree, invert};

use super::super::{Action, CommitEvent, RepoOp, SyncEvent};
use super::signature::read_slice;
use super::{Check, Finding};
use crate::data_model::decode_record;
use crate::limits::{COMMIT_BLOCKS_BYTES_MAX, COMMIT_OPS_MAX, SYNC_BLOCKS_BYTES_MAX};
use crate::syntax::{Tid, validate_nsid, validate_record_key};

/// How far ahead of the clock relays take a rev.
const REV_AHEAD_US_MAX: i64 = 5 * 60 * 1_000_000;

impl Check<'_> {
    pub(super) fn commit(&mut self, event: &CommitEvent<'_>) {
        self.require(event.ops.len() <= COMMIT_OPS_MAX, || Finding::TooManyOps(event.ops.len()));
        let bytes = event.blocks.len();
        self.require(bytes <= COMMIT_BLOCKS_BYTES_MAX, || Finding::BlocksTooLarge(bytes));
        self.chain(event);
        let Some((commit, blocks)) = self.signed(event.blocks, event.repo, event.rev, Some(event.commit))
        else {
            return;
        };
        let mut needed = HashSet::from([event.commit]);
        let mut paths = HashSet::new();
        for op in &event.ops {
            self.require(paths.insert(op.path), || problem(op, "the path occurs twice"));
            self.op(op, event.prev_data.is_some());
            if let Some(cid) = op.cid {
                self.record(op.path, blocks.get(&cid));
                needed.insert(cid);
            }
        }
        self.inversion(event, &commit.data, &blocks, &mut needed);
        let extra = blocks.iter().filter(|(cid, _)| !needed.contains(cid)).count();
        self.require(extra == 0, || Finding::ExtraBlocks(extra));
        self.account.head = Some((event.rev.to_owned(), commit.data));
    }

    pub(super) fn sync(&mut self, event: &SyncEvent<'_>) {
        let bytes = event.blocks.len();
        self.require(bytes <= SYNC_BLOCKS_BYTES_MAX, || Finding::BlocksTooLarge(bytes));
        if let Some((last, _)) = self.account.head.clone() {
            // The same rev again is what a #sync after creation says.
            self.require(event.rev >= last.as_str(), || Finding::RevOrder {
                last,
                rev: event.rev.to_owned(),
            });
        }
        self.rev_in_time(event.rev);
        let Some((commit, blocks)) = self.signed(event.blocks, event.did, event.rev, None) else { return };
        self.require(blocks.len() == 1, || Finding::SyncBlocks(blocks.len()));
        self.account.head = Some((event.rev.to_owned(), commit.data));
    }

    /// That the event follows on the last one.
    fn chain(&mut self, event: &CommitEvent<'_>) {
        self.rev_in_time(event.rev);
        match (event.since, event.prev_data) {
            (Some(_), None) => self.found(Finding::PrevDataMissing),
            (None, Some(_)) => self.found(Finding::PrevDataOnFirst),
            _ => {}
        }
        let Some((last, root)) = self.account.head.clone() else { return };
        let rev = event.rev.to_owned();
        self.require(event.rev > last.as_str(), || Finding::RevOrder { last: last.clone(), rev });
        let since = event.since.map(str::to_owned);
        self.require(event.since == Some(last.as_str()), || Finding::Since { since, last });
        if let Some(stated) = event.prev_data {
            let finding = || Finding::PrevData { stated: Box::new(stated), last: Box::new(root) };
            self.require(stated == root, finding);
        }
    }

    fn rev_in_time(&mut self, rev: &str) {
        match Tid::try_from(rev) {
            Ok(tid) => {
                let in_time = tid.micros() <= self.now_us.saturating_add(REV_AHEAD_US_MAX);
                self.require(in_time, || Finding::RevAhead(rev.to_owned()));
            }
            Err(_) => self.found(Finding::Field { field: "rev", value: rev.to_owned() }),
        }
    }

    /// The CAR's commit, when there is one, checked against the event and the key.
    fn signed(
        &mut self,
        slice: &[u8],
        did: &str,
        rev: &str,
        commit: Option<Cid>,
    ) -> Option<(Commit, MemoryBlocks)> {
        let car = match read_slice(slice) {
            Ok(car) => car,
            Err(error) => {
                self.found(Finding::Car(error));
                return None;
            }
        };
        let root = car.roots.first().copied();
        self.require(root.is_some() && (commit.is_none() || commit == root), || Finding::CarRoot);
        let blocks: MemoryBlocks = car.blocks.into_iter().collect();
        let Some(block) = commit.or(root).and_then(|cid| blocks.get(&cid)) else {
            self.found(Finding::CommitMissing);
            return None;
        };
        let commit = match Commit::decode(block) {
            Ok(commit) => commit,
            Err(error) => {
                self.found(Finding::Commit(error));
                return None;
            }
        };
        self.require(commit.did == did, || Finding::CommitField("did"));
        self.require(commit.rev == rev, || Finding::CommitField("rev"));
        self.require(commit.prev.is_none(), || Finding::CommitField("prev"));
        match self.key {
            Ok(key) => {
                if let Err(error) = key.verify(&commit.unsigned().encode(), &commit.sig) {
                    self.found(Finding::Signature(error.to_string()));
                }
            }
            Err(reason) => self.found(Finding::NoKey(reason.to_owned())),
        }
        Some((commit, blocks))
    }

    fn op(&mut self, op: &RepoOp<'_>, follows: bool) {
        let is_path = op
            .path
            .split_once('/')
            .is_some_and(|(nsid, key)| validate_nsid(nsid).is_ok() && validate_record_key(key).is_ok());
        self.require(is_path, || problem(op, "not collection/rkey"));
        match op.action {
            Action::Create => {
                self.require(op.cid.is_some(), || problem(op, "a create without cid"));
                self.require(op.prev.is_none(), || problem(op, "a create with prev"));
            }
            Action::Update | Action::Delete => {
                let is_delete = op.action == Action::Delete;
                self.require(op.cid.is_none() == is_delete, || problem(op, "cid does not fit the action"));
                // Without prevData it is an older form of the event, which is a finding already.
                self.require(op.prev.is_some() || !follows, || problem(op, "prev is missing"));
            }
        }
    }

    fn record(&mut self, path: &str, block: Option<&Bytes>) {
        let path = path.to_owned();
        let Some(block) = block else { return self.found(Finding::RecordMissing { path }) };
        match decode_record(block) {
            Err(source) => self.found(Finding::Record { path, source }),
            Ok(record) => {
                let found = match &record {
                    Ipld::Map(fields) => fields.get("$type"),
                    _ => None,
                };
                let found = match found {
                    Some(Ipld::String(text)) => Some(text.clone()),
                    _ => None,
                };
                let collection = path.split('/').next();
                self.require(found.as_deref() == collection, || Finding::RecordType {
                    path: path.clone(),
                    found,
                });
            }
        }
    }

    fn inversion(
        &mut self,
        event: &CommitEvent<'_>,
        root: &Cid,
        blocks: &MemoryBlocks,
        needed: &mut HashSet<Cid>,
    ) {
        let expected = match (event.prev_data, event.since) {
            (Some(prev_data), _) => prev_data,
            (None, None) => Tree::empty_root(),
            (None, Some(_)) => return, // Nothing to compare with; its absence is a finding already.
        };
        let ops: Vec<_> =
            event.ops.iter().map(|op| Op { key: op.path, prev: op.prev, value: op.cid }).collect();
        let store = Recording { blocks, read: RefCell::default() };
        match invert(&store, root, &ops) {
            Ok(found) => self.require(found == expected, || Finding::InvertRoot {
                expected: Box::new(expected),
                found: Box::new(found),
            }),
            Err(error) => self.found(Finding::Invert(error)),
        }
        // Inversion may get by with less than the covering proof, which the event has to hold. What the proof would
        // read is what is allowed; whether it gets all of it only the inversion decides.
        let _ = Tree::open(root).and_then(|tree| tree.proof(&store, event.ops.iter().map(|op| op.path)));
        needed.extend(store.read.into_inner());
        // A commit without operations is proven by its root alone, whose node may come with it.
        needed.insert(*root);
    }
}

fn problem(op: &RepoOp<'_>, problem: &'static str) -> Finding {
    Finding::Op { path: op.path.to_owned(), problem }
}

/// Remembers which blocks were asked for.
struct Recording<'a> {
    blocks: &'a MemoryBlocks,
    read: RefCell<HashSet<Cid>>,
}

impl BlockStore for Recording<'_> {
    fn read_block(&self, cid: &Cid) -> Result<Option<Bytes>, BlockStoreError> {
        self.read.borrow_mut().insert(*cid);
        self.blocks.read_block(cid)
    }
}
