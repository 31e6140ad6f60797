//! A small repo made here, and every way of damaging it.

use ipld_core::ipld;
use repo_mst::Tree;
use repo_mst::car::{header, write_block};
use repo_mst::commit::UnsignedCommit;

use super::*;
use zap::crypto::SigningKey;
use zap::data_model::{CODEC_DAG_CBOR, cid_of_block, encode};

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]).unwrap()
}

/// Records of two collections, their tree, a commit: the blocks with the commit first.
fn blocks(records: &[(&str, Ipld)], rev: &str) -> Vec<(Cid, Bytes)> {
    let mut store = MemoryBlocks::new();
    let mut tree = Tree::empty();
    let mut blocks = Vec::new();
    for (path, record) in records {
        let block = Bytes::from(encode(record).unwrap());
        let cid = cid_of_block(CODEC_DAG_CBOR, &block);
        tree.insert(&store, path, &cid).unwrap();
        blocks.push((cid, block));
    }
    let changes = tree.finish().unwrap();
    for (cid, block) in changes.added {
        store.insert(cid, block.clone());
        blocks.push((cid, block));
    }
    let unsigned = UnsignedCommit { did: DID, rev, data: changes.root, prev: None };
    let sig = key(1).sign(&unsigned.encode());
    let commit = Bytes::from(unsigned.sign_with(Bytes::copy_from_slice(&sig)).encode());
    blocks.insert(0, (cid_of_block(CODEC_DAG_CBOR, &commit), commit));
    blocks
}

fn records() -> Vec<(&'static str, Ipld)> {
    vec![
        ("com.example.one/a", ipld!({"$type": "com.example.one", "n": 1})),
        ("com.example.one/b", ipld!({"$type": "com.example.one", "n": 2})),
        ("com.example.two/self", ipld!({"$type": "com.example.two"})),
    ]
}

fn car(blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let mut car = header(&[blocks[0].0]);
    for (cid, block) in blocks {
        write_block(&mut car, cid, block);
    }
    car
}

fn check(car: &[u8]) -> Result<Contents, VerifyError> {
    let mut import = Import::new();
    for chunk in car.chunks(7) {
        import.push(chunk)?;
    }
    let repo = import.finish()?;
    repo.verify_signature(DID, &key(1).verifying_key())?;
    repo.verify_contents()
}

const REV: &str = "3jzfcijpj2z2a";

#[test]
fn a_whole_repo_is_proven_and_counted() {
    let contents = check(&car(&blocks(&records(), REV))).unwrap();
    assert_eq!((contents.records, contents.extra_blocks), (3, 0));
    assert_eq!(contents.collections["com.example.one"], 2);
    assert_eq!(contents.rev, REV);
    assert_eq!(check(&car(&blocks(&[], REV))).unwrap().records, 0);
}

#[test]
fn any_missing_or_altered_block_is_found() {
    let whole = blocks(&records(), REV);
    for at in 0..whole.len() {
        let mut without = whole.clone();
        without.remove(at);
        let mut car_without = header(&[whole[0].0]);
        for (cid, block) in &without {
            write_block(&mut car_without, cid, block);
        }
        assert!(check(&car_without).is_err(), "block {at} was not missed");
    }
    let bytes = car(&whole);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(check(&flipped).is_err(), "byte {at} may be altered");
    }
    for length in 0..bytes.len() {
        assert!(check(&bytes[..length]).is_err(), "{length} bytes are enough");
    }
}

#[test]
fn another_key_and_another_did_are_refused() {
    let mut import = Import::new();
    import.push(&car(&blocks(&records(), REV))).unwrap();
    let repo = import.finish().unwrap();
    assert!(matches!(repo.verify_signature(DID, &key(2).verifying_key()), Err(VerifyError::Signature)));
    assert!(matches!(
        repo.verify_signature("did:plc:other", &key(1).verifying_key()),
        Err(VerifyError::OtherDid { .. })
    ));
}

#[test]
fn what_is_signed_but_wrong_is_refused() {
    let refused = |records: &[(&str, Ipld)], rev| check(&car(&blocks(records, rev))).unwrap_err();
    assert!(matches!(refused(&records(), "3jzfcijpj2z2"), VerifyError::Rev(_) | VerifyError::Commit(_)));
    let other_type = [("com.example.one/a", ipld!({"$type": "com.example.two"}))];
    assert!(matches!(refused(&other_type, REV), VerifyError::RecordType { .. }));
    let no_type = [("com.example.one/a", ipld!({"n": 1}))];
    assert!(matches!(refused(&no_type, REV), VerifyError::RecordType { .. }));
    let no_map = [("com.example.one/a", ipld!([1]))];
    assert!(matches!(refused(&no_map, REV), VerifyError::RecordType { .. } | VerifyError::Record { .. }));
}

#[test]
fn surplus_blocks_are_counted() {
    let mut blocks = blocks(&records(), REV);
    let surplus = Bytes::from_static(b"\xa0");
    blocks.push((cid_of_block(CODEC_DAG_CBOR, &surplus), surplus));
    assert_eq!(check(&car(&blocks)).unwrap().extra_blocks, 1);
}

#[test]
fn the_key_is_the_documents_atproto_method() {
    let multikey = key(1).verifying_key().multikey();
    let document = serde_json::json!({"verificationMethod": [
        {"id": "did:plc:x#other", "type": "Multikey", "publicKeyMultibase": "zBroken"},
        {"id": "did:plc:x#atproto", "type": "Multikey", "publicKeyMultibase": multikey},
    ]});
    assert_eq!(signing_key(&document).unwrap().multikey(), multikey);
    for wrong in ["{}", r##"{"verificationMethod":[{"id":"#atproto"}]}"##, "[]", "null"] {
        assert!(signing_key(&serde_json::from_str(wrong).unwrap()).is_err(), "{wrong}");
    }
}
