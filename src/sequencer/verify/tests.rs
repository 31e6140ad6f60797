//! A small repo whose events are right, and one fault at a time put into them.

use bytes::Bytes;
use ipld_core::ipld::Ipld;
use repo_mst::commit::UnsignedCommit;
use repo_mst::{MemoryBlocks, Tree, car, cid_for_cbor};

use super::*;
use crate::crypto::SigningKey;
use crate::sequencer::frame::{Action, CommitEvent, Frame, RepoOp, SyncEvent};
use crate::syntax::Tid;

const DID: &str = "did:plc:44ybard66vv44zksje25o7dz";
const TIME: &str = "2026-11-23T00:00:00.000Z";
const NOW: i64 = 1_790_000_000_000_000;

/// An owned [`CommitEvent`], easy to spoil.
#[derive(Clone)]
struct Draft {
    rev: String,
    since: Option<String>,
    commit: Cid,
    prev_data: Option<Cid>,
    root: Cid,
    blocks: Vec<(Cid, Bytes)>,
    ops: Vec<(Action, String, Option<Cid>, Option<Cid>)>,
}

impl Draft {
    fn slice(&self) -> Vec<u8> {
        let mut slice = car::header(&[self.root]);
        self.blocks.iter().for_each(|(cid, block)| car::write_block(&mut slice, cid, block));
        slice
    }

    fn frame(&self, seq: i64) -> Bytes {
        let ops = self
            .ops
            .iter()
            .map(|(action, path, cid, prev)| RepoOp { action: *action, path, cid: *cid, prev: *prev })
            .collect();
        let (repo, rev, since) = (DID, self.rev.as_str(), self.since.as_deref());
        let (commit, prev_data) = (self.commit, self.prev_data);
        let blocks = self.slice();
        with_seq(
            CommitEvent { repo, time: TIME, rev, since, commit, prev_data, blocks: &blocks, ops }.encode(),
            seq,
        )
    }
}

fn with_seq(frame: Frame, seq: i64) -> Bytes {
    frame.with_seq(NOW + seq)
}

struct Repo {
    key: SigningKey,
    tree: Tree,
    store: MemoryBlocks,
    head: Option<(String, Cid)>,
    revs: i64,
}

impl Repo {
    fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap();
        Self { key, tree: Tree::empty(), store: MemoryBlocks::new(), head: None, revs: 0 }
    }

    /// Commits `path -> Some(text)` or `path -> None` for a deletion.
    fn commit(&mut self, writes: &[(&str, Option<&str>)]) -> Draft {
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

    fn sync(&self) -> Bytes {
        let (rev, data) = self.head.clone().unwrap();
        let (cid, block) = self.sign(&rev, data);
        let mut slice = car::header(&[cid]);
        car::write_block(&mut slice, &cid, &block);
        with_seq(SyncEvent { did: DID, time: TIME, rev: &rev, blocks: &slice }.encode(), 3)
    }
}

fn record(path: &str, text: &str) -> Bytes {
    let kind = path.split('/').next().unwrap();
    let fields = [("$type", kind), ("text", text)];
    let record: Ipld =
        Ipld::Map(fields.map(|(key, value)| (key.to_owned(), Ipld::String(value.to_owned()))).into());
    serde_ipld_dagcbor::to_vec(&record).unwrap().into()
}

fn account(active: bool, status: Option<&str>, seq: i64) -> Bytes {
    with_seq(AccountEvent { did: DID, time: TIME, active, status }.encode(), seq)
}

fn identity(seq: i64) -> Bytes {
    with_seq(IdentityEvent { did: DID, time: TIME, handle: Some("alice.test") }.encode(), seq)
}

/// A verifier that has seen an account's whole creation, and its repo with a few records.
fn created() -> (Verifier, Repo) {
    let mut repo = Repo::new();
    let mut verifier = Verifier::new();
    let key = repo.key.verifying_key();
    let first = repo.commit(&[("app.bsky.actor.profile/self", Some("hello"))]);
    let mut clean = |message: &[u8]| assert_eq!(texts(&verifier.check(message, NOW, Ok(&key))), [""; 0]);
    clean(&identity(0));
    clean(&account(true, None, 1));
    clean(&first.frame(2));
    clean(&repo.sync());
    for number in 0..40_i64 {
        let path = format!("app.bsky.feed.post/{}", Tid::from_micros(NOW + number * 1_000_003, 7).as_str());
        clean(&repo.commit(&[(&path, Some("a post"))]).frame(4 + number));
    }
    (verifier, repo)
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// The findings for a commit of three operations after `spoil` had its way with it.
fn spoiled(spoil: impl FnOnce(&mut Draft)) -> Vec<Finding> {
    let (mut verifier, mut repo) = created();
    let mut draft = repo.commit(&[
        ("app.bsky.feed.post/new", Some("created")),
        ("app.bsky.actor.profile/self", Some("updated")),
        (&format!("app.bsky.feed.post/{}", Tid::from_micros(NOW + 3_000_009, 7).as_str()), None),
    ]);
    spoil(&mut draft);
    verifier.check(&draft.frame(100), NOW, Ok(&repo.key.verifying_key()))
}

macro_rules! assert_found {
    ($findings:expr, $pattern:pat) => {{
        let findings = $findings;
        assert!(findings.iter().any(|finding| matches!(finding, $pattern)), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.severity() >= Severity::Warning));
    }};
}

#[test]
fn a_right_stream_has_no_findings() {
    assert_eq!(texts(&spoiled(|_| {})), [""; 0]);
}

#[test]
fn each_fault_in_a_commit_is_found() {
    assert_found!(spoiled(|draft| draft.since = None), Finding::Since { .. });
    assert_found!(spoiled(|draft| draft.prev_data = None), Finding::PrevDataMissing);
    assert_found!(spoiled(|draft| draft.prev_data = Some(draft.commit)), Finding::PrevData { .. });
    assert_found!(spoiled(|draft| draft.prev_data = Some(draft.commit)), Finding::InvertRoot { .. });
    assert_found!(spoiled(|draft| draft.root = draft.blocks[1].0), Finding::CarRoot);
    assert_found!(spoiled(|draft| drop(draft.blocks.remove(0))), Finding::CommitMissing);
    assert_found!(spoiled(|draft| drop(draft.blocks.remove(1))), Finding::RecordMissing { .. });
    assert_found!(spoiled(|draft| drop(draft.blocks.pop())), Finding::Invert(_));
    assert_found!(spoiled(|draft| draft.blocks[1].1 = record("a/b", "c")), Finding::Car(_));
    assert_found!(spoiled(|draft| drop(draft.ops.pop())), Finding::InvertRoot { .. });
    assert_found!(spoiled(|draft| draft.ops[1].3 = draft.ops[0].2), Finding::InvertRoot { .. });
    assert_found!(spoiled(|draft| draft.ops[0].2 = draft.ops[1].2), Finding::Invert(_));
    assert_found!(spoiled(|draft| draft.ops[1].0 = Action::Create), Finding::Op { .. });
    assert_found!(spoiled(|draft| draft.ops[2].3 = None), Finding::Op { .. });
    assert_found!(spoiled(|draft| draft.ops[0].1.push('/')), Finding::Op { .. });
    assert_found!(spoiled(|draft| draft.ops[0] = draft.ops[1].clone()), Finding::Op { .. });
    assert_found!(spoiled(|draft| draft.rev = "3mbv4k2ee2c2a".to_owned()), Finding::CommitField("rev"));
    assert_found!(spoiled(|draft| draft.rev = "2222222222222".to_owned()), Finding::RevOrder { .. });
    let ahead = Tid::from_micros(NOW + 301_000_000, 1).as_str().to_owned();
    assert_found!(spoiled(|draft| draft.rev = ahead), Finding::RevAhead(_));
    let odd = record("other.collection/x", "c");
    let extra = (cid_for_cbor(&odd), odd);
    assert_found!(spoiled(|draft| draft.blocks.push(extra)), Finding::ExtraBlocks(1));
}

#[test]
fn only_the_documents_key_signs() {
    let (mut verifier, mut repo) = created();
    let other = SigningKey::from_bytes(&[8; 32]).unwrap().verifying_key();
    let draft = repo.commit(&[("app.bsky.feed.post/new", Some("created"))]);
    let frame = draft.frame(100);
    let event = Event::decode(&frame).unwrap();
    assert!(is_signed_by(&event, &repo.key.verifying_key()));
    assert!(!is_signed_by(&event, &other));
    assert_eq!(signer(&event), Some(DID));
    assert_found!(verifier.check(&frame, NOW, Ok(&other)), Finding::Signature(_));
    // It is reported once: the next is held to this one.
    let next = repo.commit(&[("app.bsky.feed.post/newer", Some("created"))]).frame(101);
    assert_eq!(texts(&verifier.check(&next, NOW, Ok(&repo.key.verifying_key()))), [""; 0]);
    let last = repo.commit(&[("app.bsky.feed.post/newest", Some("created"))]).frame(102);
    assert_found!(verifier.check(&last, NOW, Err("not found")), Finding::NoKey(_));
}

#[test]
fn seq_rises_and_no_event_is_left_out() {
    let (mut verifier, mut repo) = created();
    let key = repo.key.verifying_key();
    let draft = repo.commit(&[("app.bsky.feed.post/new", Some("created"))]);
    assert_found!(verifier.check(&draft.frame(1), NOW, Ok(&key)), Finding::SeqOrder { .. });
    let _lost = repo.commit(&[("app.bsky.feed.post/lost", Some("created"))]);
    let after = repo.commit(&[("app.bsky.feed.post/after", Some("created"))]);
    let findings = verifier.check(&after.frame(200), NOW, Ok(&key));
    assert_found!(&findings, Finding::Since { .. });
    assert_found!(&findings, Finding::PrevData { .. });
    assert_found!(verifier.check(b"\xa0", NOW, Ok(&key)), Finding::Frame(_));
}

#[test]
fn an_account_is_announced_and_active_before_it_commits() {
    let mut repo = Repo::new();
    let key = repo.key.verifying_key();
    let first = repo.commit(&[("app.bsky.actor.profile/self", Some("hello"))]);
    let mut verifier = Verifier::new();
    let other = IdentityEvent { did: "did:web:example.com", time: TIME, handle: None }.encode();
    assert!(verifier.check(&with_seq(other, 0), NOW, Ok(&key)).is_empty());
    assert_found!(verifier.check(&first.frame(1), NOW, Ok(&key)), Finding::CreationOrder);

    let (mut verifier, mut repo) = created();
    assert!(verifier.check(&account(false, Some("deactivated"), 100), NOW, Ok(&key)).is_empty());
    let draft = repo.commit(&[("app.bsky.feed.post/new", Some("created"))]);
    assert_found!(verifier.check(&draft.frame(101), NOW, Ok(&key)), Finding::WhileInactive(_));
    assert!(verifier.check(&account(true, None, 102), NOW, Ok(&key)).is_empty());
    assert!(verifier.check(&identity(103), NOW, Ok(&key)).is_empty());
    let early = repo.commit(&[("app.bsky.feed.post/early", Some("created"))]);
    let findings = verifier.check(&early.frame(104), NOW, Ok(&key));
    assert_found!(&findings, Finding::SyncDue);
    assert_eq!(findings[0].severity(), Severity::Warning);
    assert_found!(
        verifier.check(&account(true, Some("takendown"), 105), NOW, Ok(&key)),
        Finding::ActiveWithStatus(_)
    );
    assert_found!(verifier.check(&account(false, Some("tired"), 106), NOW, Ok(&key)), Finding::Field { .. });
}
