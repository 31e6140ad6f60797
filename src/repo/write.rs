//! The writer's side of a repo: what it remembers between commits, and how one is made.

use bytes::Bytes;
use cid::Cid;
use repo_mst::Tree;

use super::export::{Replaced, replaced};
use super::plan::{Author, CommitPlan, Decided, decide, plan_commit};
use super::sent::Sent;
use super::{ApplyWrites, Change, CommitMeta, Error, Head, Nodes, RecordChange, Reply, Write, WriteResult};
use super::{WritesApplied, apply, takedown};
use crate::actor::Status;
use crate::blobs;
use crate::event::{Action, EventKind};
use crate::limits::{SEALED_CHANGES_MAX, TREE_NODES_LOADED_MAX};
use crate::rate_limit::Allowance;
use crate::store::Sql;
use crate::syntax::{RecordKey, Tid};
use crate::vault::{self, Keyring};
use crate::work::{Owner, Work};

/// A repo as its writer knows it: the newest commit, and the part of the tree that was used lately.
pub struct Repo {
    /// Where it stands.
    pub head: Head,
    tree: Tree,
    /// Nodes in the database that are not settled yet, about.
    new_nodes: u64,
    /// What it has taken of the event log today.
    sent: Sent,
    /// How the account stood with the limit of its writes after the last commit.
    pub allowance: Option<Allowance>,
    /// The newest record key made; a failed command's stays unused.
    last_record_key: Option<Tid>,
    /// Whether commits keep what they replace: for exports on a host without snapshots.
    pub keep_replaced: bool,
    /// What commits replaced meanwhile.
    pub replaced: Vec<Replaced>,
}

impl Repo {
    /// Opens the repo of this database; `None` before its first commit.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(sql: &dyn Sql) -> Result<Option<Self>, Error> {
        let Some(head) = Head::read(sql)? else { return Ok(None) };
        Ok(Some(Self::at(Tree::open(&head.data)?, head, apply::new_nodes(sql)?, Sent::read(sql)?)))
    }

    /// Makes the first commit, of the records that the repo begins with. The commit's event is the caller's to emit, if the
    /// account is active.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create(
        sql: &dyn Sql,
        owner: &Owner,
        now_us: i64,
        records: Vec<Write>,
    ) -> Result<(Self, CommitPlan), Error> {
        let (author, tree, nodes) = (author(owner, now_us), Tree::empty(), Nodes(sql));
        let changes = decide(&tree, &nodes, records)?.into_iter().filter_map(|(change, _)| change);
        let plan = plan_commit(&author, None, &tree, &nodes, changes.collect())?;
        let sent = Sent::default().and(now_us, plan.frame.bytes().len());
        let new_nodes = apply::apply(sql, &plan, 0, sent)?;
        Ok((Self::at(plan.tree.clone(), plan.head.clone(), new_nodes, sent), plan))
    }

    fn at(tree: Tree, head: Head, new_nodes: u64, sent: Sent) -> Self {
        Self {
            head,
            tree,
            new_nodes,
            sent,
            allowance: None,
            last_record_key: None,
            keep_replaced: false,
            replaced: Vec::new(),
        }
    }

    /// Answers a changing command. Keys of sealed records that it destroys are noted in `unsealed`, for the memory's
    /// index to follow.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn change(
        &mut self,
        work: &mut Work<'_, '_>,
        change: Change,
        unsealed: &mut Vec<RecordKey>,
    ) -> Result<Reply, Error> {
        match change {
            Change::ApplyWrites(apply) => Ok(Reply::ApplyWrites(self.apply_writes(work, apply, unsealed)?)),
            Change::SetRecordTakedown(set) => Ok(Reply::SetRecordTakedown(takedown::set(work.sql, &set)?)),
        }
    }

    fn apply_writes(
        &mut self,
        work: &mut Work<'_, '_>,
        apply: ApplyWrites,
        unsealed: &mut Vec<RecordKey>,
    ) -> Result<WritesApplied, Error> {
        require_active(work.account)?;
        if apply.swap_commit.is_some_and(|expected| expected != self.head.commit) {
            return Err(Error::InvalidSwap { what: "Commit".into(), found: self.head.commit.to_string() });
        }
        let mut writes = apply.writes;
        for write in &mut writes {
            let rkey = match &write.rkey {
                Some(rkey) => rkey.clone(),
                None => self.next_record_key(work),
            };
            blobs::check(work.sql, &write.blobs)?;
            write.rkey = Some(rkey);
        }
        let rkeys: Vec<_> = writes.iter().filter_map(|write| write.rkey.clone()).collect();
        let (changes, cids): (Vec<_>, Vec<_>) = self.decide(work.sql, writes)?.into_iter().unzip();
        let sealed: Vec<_> = rkeys
            .iter()
            .zip(&changes)
            .filter(|(_, change)| change.as_ref().is_some_and(ends_sealed))
            .map(|(rkey, _)| rkey.clone())
            .collect();
        if sealed.len() > SEALED_CHANGES_MAX {
            let many = format!("at most {SEALED_CHANGES_MAX} sealed records change in one commit");
            return Err(Error::InvalidWrites(many));
        }
        let commit = self.commit(work, changes.into_iter().flatten().collect())?;
        // A sealed record that is overwritten or deleted by its key loses its data key with it.
        for rkey in sealed {
            if Keyring::forget(work.sql, rkey.as_str()).map_err(|error| Error::Keys(error.to_string()))? {
                unsealed.push(rkey);
            }
        }
        let results = rkeys.into_iter().zip(cids).map(|(rkey, cid)| WriteResult { rkey, cid }).collect();
        let allowance = commit.and(self.allowance);
        Ok(WritesApplied { commit, results, allowance })
    }

    /// Looks writes up in the tree; see [`decide`].
    ///
    /// # Errors
    /// The first write that cannot be done.
    pub fn decide(&self, sql: &dyn Sql, writes: Vec<Write>) -> Result<Vec<Decided>, Error> {
        decide(&self.tree, &Nodes(sql), writes)
    }

    /// Commits these changes and emits the event; `None` when there are none.
    ///
    /// # Errors
    /// [`Error::Inactive`], [`Error::DayIsFull`], [`Error::TooOften`], and what planning and applying say.
    pub fn commit(
        &mut self,
        work: &mut Work<'_, '_>,
        changes: Vec<RecordChange>,
    ) -> Result<Option<CommitMeta>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        require_active(work.account)?;
        let (sent, allowance) =
            self.sent.with_points(&work.env.network.write_rates, work.env.now_us, &changes)?;
        let author = author(work.account, work.env.now_us);
        let plan = plan_commit(&author, Some(&self.head), &self.tree, &Nodes(work.sql), changes)?;
        let sent = sent.and(work.env.now_us, plan.frame.bytes().len()).require_share(&plan.changes)?;
        if self.keep_replaced {
            self.replaced.extend(replaced(work.sql, &plan)?);
        }
        let new_nodes = apply::apply(work.sql, &plan, self.new_nodes, sent)?;
        work.emit(EventKind::Commit, plan.frame)?;
        self.tree = if plan.tree.loaded_nodes() > TREE_NODES_LOADED_MAX {
            Tree::open(&plan.head.data)?
        } else {
            plan.tree
        };
        self.head = plan.head;
        (self.new_nodes, self.sent, self.allowance) = (new_nodes, sent, allowance);
        Ok(Some(self.head.meta()))
    }

    /// Commits the tree as it is, under a new rev. No `#commit` can tell of it, for it has no operation: the caller says
    /// `#sync`.
    ///
    /// # Errors
    /// What planning and applying say.
    pub fn recommit(&mut self, work: &mut Work<'_, '_>) -> Result<(), Error> {
        let author = author(work.account, work.env.now_us);
        let plan = plan_commit(&author, Some(&self.head), &self.tree, &Nodes(work.sql), Vec::new())?;
        self.new_nodes = apply::apply(work.sql, &plan, self.new_nodes, self.sent)?;
        self.head = plan.head;
        Ok(())
    }

    /// A record key that was not given before, though many are asked for in one microsecond.
    fn next_record_key(&mut self, work: &Work<'_, '_>) -> RecordKey {
        let next = Tid::next(self.last_record_key.as_ref(), work.env.now_us, work.account.clock_id);
        self.last_record_key = Some(next);
        RecordKey::from(next)
    }
}

/// Whether the sealed record that was there is no more: its key goes with it. The same bytes once more are no change.
fn ends_sealed(change: &RecordChange) -> bool {
    let is_sealed =
        change.path.split_once('/').is_some_and(|(collection, _)| collection == vault::COLLECTION);
    is_sealed && change.action != Action::Create
}

/// Refuses an account that does not act.
///
/// # Errors
/// [`Error::Inactive`].
pub fn require_active(owner: &Owner) -> Result<(), Error> {
    match owner.status {
        Status::Active => Ok(()),
        other => Err(Error::Inactive(other)),
    }
}

fn author(owner: &Owner, now_us: i64) -> Author<'_> {
    Author { did: owner.did.as_str(), key: &owner.key, now_us, clock_id: owner.clock_id }
}

impl Write {
    /// `collection/rkey`, once it has a key.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.rkey.as_ref().map(RecordKey::as_str).unwrap_or_default())
    }

    /// Its record, taken out.
    pub(super) fn take_block(&mut self) -> Option<Bytes> {
        self.record.take().map(|record| Bytes::from(record.into_vec()))
    }

    /// The CIDs of its blobs.
    pub(super) fn blob_cids(&self) -> Vec<Cid> {
        self.blobs.iter().map(|blob| blob.cid).collect()
    }
}
