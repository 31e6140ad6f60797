//! Frames against an independent encoder (serde_ipld_dagcbor), and the decoder against hostile bytes.

use cid::Cid;
use ipld_core::ipld::Ipld;
use proptest::prelude::*;

use super::*;
use repo_mst::CborError;

const SEQ: i64 = 1_790_000_000_123_456;

fn cid(number: u8) -> Cid {
    let digest = multihash::Multihash::wrap(0x12, &[number; 32]).unwrap();
    Cid::new_v1(0x71, digest)
}

fn map<const N: usize>(entries: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn independent(kind: &str, body: &Ipld) -> Vec<u8> {
    let header = map([("op", Ipld::Integer(1)), ("t", text(kind))]);
    let mut bytes = serde_ipld_dagcbor::to_vec(&header).unwrap();
    bytes.extend(serde_ipld_dagcbor::to_vec(body).unwrap());
    bytes
}

fn commit() -> CommitEvent<'static> {
    CommitEvent {
        repo: "did:plc:44ybard66vv44zksje25o7dz",
        time: "2026-11-23T00:00:00.000Z",
        rev: "3mbv4k2ee2c2a",
        since: Some("3mbv4k2ee2b2a"),
        commit: cid(1),
        prev_data: Some(cid(2)),
        blocks: b"car",
        ops: vec![
            RepoOp { action: Action::Create, path: "app.bsky.feed.post/1", cid: Some(cid(3)), prev: None },
            RepoOp {
                action: Action::Update,
                path: "app.bsky.feed.post/2",
                cid: Some(cid(4)),
                prev: Some(cid(5)),
            },
            RepoOp { action: Action::Delete, path: "app.bsky.feed.post/3", cid: None, prev: Some(cid(6)) },
        ],
    }
}

fn independent_op(op: &RepoOp<'_>) -> Ipld {
    let cid = op.cid.map_or(Ipld::Null, Ipld::Link);
    let (action, path) = (text(op.action.as_str()), text(op.path));
    match op.prev {
        Some(prev) => map([("action", action), ("path", path), ("cid", cid), ("prev", Ipld::Link(prev))]),
        None => map([("action", action), ("path", path), ("cid", cid)]),
    }
}

fn independent_commit(event: &CommitEvent<'_>, seq: i64) -> Vec<u8> {
    let mut body = map([
        ("seq", Ipld::Integer(seq.into())),
        ("repo", text(event.repo)),
        ("time", text(event.time)),
        ("rev", text(event.rev)),
        ("since", event.since.map_or(Ipld::Null, text)),
        ("commit", Ipld::Link(event.commit)),
        ("blocks", Ipld::Bytes(event.blocks.to_vec())),
        ("ops", Ipld::List(event.ops.iter().map(independent_op).collect())),
        ("blobs", Ipld::List(vec![])),
        ("rebase", Ipld::Bool(false)),
        ("tooBig", Ipld::Bool(false)),
    ]);
    if let (Ipld::Map(body), Some(prev_data)) = (&mut body, event.prev_data) {
        body.insert("prevData".to_owned(), Ipld::Link(prev_data));
    }
    independent("#commit", &body)
}

#[test]
fn a_commit_is_what_an_independent_encoder_writes() {
    let later = commit();
    assert_eq!(later.encode().with_seq(SEQ), independent_commit(&later, SEQ));
    let first = CommitEvent { since: None, prev_data: None, ops: vec![], ..commit() };
    assert_eq!(first.encode().with_seq(SEQ), independent_commit(&first, SEQ));
    let long = vec![7; 70_000];
    let large = CommitEvent { blocks: &long, ..commit() };
    assert_eq!(large.encode().with_seq(SEQ), independent_commit(&large, SEQ));
}

#[test]
fn the_other_events_are_what_an_independent_encoder_writes() {
    let (did, time) = ("did:plc:44ybard66vv44zksje25o7dz", "2026-11-23T00:00:00.000Z");
    let base = |more: &[(&str, Ipld)]| {
        let mut entries = vec![("seq", Ipld::Integer(SEQ.into())), ("did", text(did)), ("time", text(time))];
        entries.extend_from_slice(more);
        Ipld::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let sync = SyncEvent { did, time, rev: "3mbv4k2ee2c2a", blocks: b"car" }.encode().with_seq(SEQ);
    let body = base(&[("rev", text("3mbv4k2ee2c2a")), ("blocks", Ipld::Bytes(b"car".to_vec()))]);
    assert_eq!(sync, independent("#sync", &body));

    let identity = IdentityEvent { did, time, handle: Some("alice.test") }.encode().with_seq(SEQ);
    assert_eq!(identity, independent("#identity", &base(&[("handle", text("alice.test"))])));
    let identity = IdentityEvent { did, time, handle: None }.encode().with_seq(SEQ);
    assert_eq!(identity, independent("#identity", &base(&[])));

    let account = AccountEvent { did, time, active: true, status: None }.encode().with_seq(SEQ);
    assert_eq!(account, independent("#account", &base(&[("active", Ipld::Bool(true))])));
    let gone = AccountEvent { did, time, active: false, status: Some("deleted") }.encode().with_seq(SEQ);
    let body = base(&[("active", Ipld::Bool(false)), ("status", text("deleted"))]);
    assert_eq!(gone, independent("#account", &body));

    let body = map([("name", text("OutdatedCursor")), ("message", text("m"))]);
    assert_eq!(info("OutdatedCursor", "m"), independent("#info", &body));
    let mut expected = serde_ipld_dagcbor::to_vec(&map([("op", Ipld::Integer(-1))])).unwrap();
    let body = map([("error", text("FutureCursor")), ("message", text("m"))]);
    expected.extend(serde_ipld_dagcbor::to_vec(&body).unwrap());
    assert_eq!(error("FutureCursor", "m"), expected);
}

#[test]
fn decoding_gives_back_what_was_encoded() {
    let frame = commit().encode().with_seq(SEQ);
    let expected = Event::Commit { seq: SEQ, body: commit(), rebase: false, too_big: false, blobs: 0 };
    assert_eq!(Event::decode(&frame), Ok(expected));
    let frame = error("FutureCursor", "m");
    assert_eq!(Event::decode(&frame), Ok(Event::Error { error: "FutureCursor", message: Some("m") }));
}

#[test]
fn a_stored_frame_has_to_have_a_place_for_its_seq() {
    let frame = commit().encode();
    let (bytes, seq_at) = (frame.bytes().to_vec(), frame.seq_at());
    assert_eq!(Frame::from_parts(bytes.clone(), seq_at), Some(frame));
    for wrong in [0, seq_at - 1, seq_at + 1, u32::MAX] {
        assert_eq!(Frame::from_parts(bytes.clone(), wrong), None);
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    let frame = AccountEvent { did: "did:web:a", time: "t", active: true, status: None }.encode();
    let good = frame.with_seq(SEQ).to_vec();
    assert!(Event::decode(&good).is_ok());
    for cut in 0..good.len() {
        assert!(Event::decode(&good[..cut]).is_err(), "cut at {cut}");
    }
    let mut trailing = good.clone();
    trailing.push(0xf6);
    assert_eq!(Event::decode(&trailing), Err(CborError::Trailing { at: good.len() }.into()));
    // {op: 1, t: …}: `op` before `t`.
    let unsorted = b"\xa2\x62op\x01\x61t\x65#info\xa1\x64name\x61x";
    assert_eq!(Event::decode(unsorted), Err(CborError::KeyOrder { at: 5 }.into()));
    let float = b"\xa2\x61t\x62#x\x62op\x01\xa1\x61a\xfb\x00\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(Event::decode(float), Err(CborError::Float { at: 13 }.into()));
    let mut deep = b"\xa2\x61t\x62#x\x62op\x01".to_vec();
    deep.extend([0x81; 100_000]);
    assert_eq!(
        Event::decode(&deep),
        Err(CborError::TooDeep { at: 10 + crate::limits::CBOR_DEPTH_MAX }.into())
    );
    let huge = b"\xa2\x61t\x62#x\x62op\x01\x9b\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(Event::decode(huge), Err(CborError::Truncated { at: 19 }.into()));
}

/// The parser of CIDs passes over what is behind one; a link with such bytes would be a second encoding.
#[test]
fn bytes_behind_the_cid_of_a_link_are_refused() {
    let event = CommitEvent { ops: vec![], prev_data: None, ..commit() }.encode().with_seq(SEQ).to_vec();
    let cid = cid(1).to_bytes();
    let at = event.windows(cid.len()).position(|window| window == cid).unwrap();
    // The link's byte string is `0x58, 37, 0, cid`.
    let mut longer = event.clone();
    longer[at - 2] += 1;
    longer.insert(at + cid.len(), 0);
    assert!(Event::decode(&event).is_ok());
    assert_eq!(Event::decode(&longer), Err(CborError::BadLink { at: at - 5 }.into()));
}

proptest! {
    #[test]
    fn damaged_frames_never_panic(at in 0_usize..400, byte: u8, cut in 0_usize..500) {
        let mut frame = commit().encode().with_seq(SEQ).to_vec();
        if let Some(place) = frame.get_mut(at) {
            *place = byte;
        }
        frame.truncate(cut.max(1));
        // Whatever still decodes is canonical: the independent decoder takes its body as well.
        if Event::decode(&frame).is_ok() {
            let mut reader = std::io::Cursor::new(&frame);
            let header: Result<Ipld, _> = serde_ipld_dagcbor::de::from_reader_once(&mut reader);
            prop_assert!(header.is_ok());
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        let _ = Event::decode(&bytes);
    }
}
