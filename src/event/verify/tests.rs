//! A small repo whose events are right, and one fault at a time put into them.

use bytes::Bytes;
use repo_mst::cid_for_cbor;

use super::testing::{DID, Draft, NOW, Repo, TIME, record};
use super::*;
use crate::crypto::SigningKey;
use crate::event::{Action, Frame};
use crate::syntax::Tid;

fn with_seq(frame: Frame, seq: i64) -> Bytes {
    frame.with_seq(NOW + seq)
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
    clean(&with_seq(first.event(), 2));
    clean(&with_seq(repo.sync(), 3));
    for number in 0..40_i64 {
        let path = format!("app.bsky.feed.post/{}", Tid::from_micros(NOW + number * 1_000_003, 7).as_str());
        clean(&with_seq(repo.commit(&[(&path, Some("a post"))]).event(), 4 + number));
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
    verifier.check(&with_seq(draft.event(), 100), NOW, Ok(&repo.key.verifying_key()))
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
    let frame = with_seq(draft.event(), 100);
    let event = Event::decode(&frame).unwrap();
    assert!(is_signed_by(&event, &repo.key.verifying_key()));
    assert!(!is_signed_by(&event, &other));
    assert_eq!(signer(&event), Some(DID));
    assert_found!(verifier.check(&frame, NOW, Ok(&other)), Finding::Signature(_));
    // A fault is reported once: the next event is held to this one.
    let next = with_seq(repo.commit(&[("app.bsky.feed.post/newer", Some("created"))]).event(), 101);
    assert_eq!(texts(&verifier.check(&next, NOW, Ok(&repo.key.verifying_key()))), [""; 0]);
    let last = with_seq(repo.commit(&[("app.bsky.feed.post/newest", Some("created"))]).event(), 102);
    assert_found!(verifier.check(&last, NOW, Err("not found")), Finding::NoKey(_));
}

#[test]
fn seq_rises_and_no_event_is_left_out() {
    let (mut verifier, mut repo) = created();
    let key = repo.key.verifying_key();
    let draft = repo.commit(&[("app.bsky.feed.post/new", Some("created"))]);
    assert_found!(verifier.check(&with_seq(draft.event(), 1), NOW, Ok(&key)), Finding::SeqOrder { .. });
    let _lost = repo.commit(&[("app.bsky.feed.post/lost", Some("created"))]);
    let after = repo.commit(&[("app.bsky.feed.post/after", Some("created"))]);
    let findings = verifier.check(&with_seq(after.event(), 200), NOW, Ok(&key));
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
    assert_found!(verifier.check(&with_seq(first.event(), 1), NOW, Ok(&key)), Finding::CreationOrder);

    let (mut verifier, mut repo) = created();
    assert!(verifier.check(&account(false, Some("deactivated"), 100), NOW, Ok(&key)).is_empty());
    let draft = repo.commit(&[("app.bsky.feed.post/new", Some("created"))]);
    assert_found!(verifier.check(&with_seq(draft.event(), 101), NOW, Ok(&key)), Finding::WhileInactive(_));
    assert!(verifier.check(&account(true, None, 102), NOW, Ok(&key)).is_empty());
    assert!(verifier.check(&identity(103), NOW, Ok(&key)).is_empty());
    let early = repo.commit(&[("app.bsky.feed.post/early", Some("created"))]);
    let findings = verifier.check(&with_seq(early.event(), 104), NOW, Ok(&key));
    assert_found!(&findings, Finding::SyncDue);
    assert_eq!(findings[0].severity(), Severity::Warning);
    assert_found!(
        verifier.check(&account(true, Some("takendown"), 105), NOW, Ok(&key)),
        Finding::ActiveWithStatus(_)
    );
    assert_found!(verifier.check(&account(false, Some("tired"), 106), NOW, Ok(&key)), Finding::Field { .. });
}
