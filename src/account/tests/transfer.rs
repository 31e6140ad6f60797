//! An account in one cell, rebuilt in another under another master key.

use serde_bytes::ByteBuf;

use super::*;
use crate::actor::Kind;
use crate::archive::{Kdf, Manifest};
use crate::data_model::decode_record;
use crate::moving::{
    BeginImport, DropMoveKey, FinishImport, GetMoveKey, ImportRecords, ImportedRecord, SealManifest,
    SealedManifest, SignMove,
};
use crate::preferences::{GetPreferences, PutPreferences};
use crate::syntax::Tid;
use crate::testing::Disk;

const PASSPHRASE: &str = "correct horse battery";

fn kdf() -> Kdf {
    Kdf { memory_kib: 64, passes: 1, ..Kdf::new([9; 16]) }
}

impl World {
    fn seal(&mut self, moving: bool) -> Result<SealedManifest, Error> {
        self.ask(SealManifest {
            handle: "alice.test".parse().unwrap(),
            kind: Kind::Agent,
            display_name: None,
            model: None,
            config: None,
            kdf: kdf(),
            key: kdf().derive(PASSPHRASE).unwrap(),
            moving,
            noted: false,
        })
    }

    fn records(&self) -> Vec<ImportedRecord> {
        crate::store::query_all(
            &self.alone.disk,
            "SELECT path, block FROM record ORDER BY path",
            &[],
            |row| Ok(ImportedRecord(row.text(0)?.to_owned(), ByteBuf::from(row.blob(1)?.to_vec()))),
        )
        .unwrap()
    }

    fn commit_block(&self) -> ByteBuf {
        let read = |row: &dyn crate::store::Row| Ok(ByteBuf::from(row.blob(0)?.to_vec()));
        crate::store::query_first(&self.alone.disk, "SELECT block FROM head", &[], read).unwrap().unwrap()
    }

    /// An empty cell of another network, which follows the same repo.
    fn elsewhere(&self) -> Self {
        let mut other = Self::new();
        other.alone.disk = Disk::default();
        other.alone.network.master_key = MasterKey::from_bytes([8; 32]);
        other.key = self.key;
        other.verifier = Verifier::new();
        other.events.clear();
        other.alone.now_us = self.alone.now_us;
        other.restart();
        other
    }

    fn begin(&mut self, manifest: &ByteBuf, passphrase: &str) -> Result<(), Error> {
        let key: Hidden<[u8; 32]> = kdf().derive(passphrase).unwrap();
        self.ask(BeginImport { manifest: manifest.clone(), key })
    }
}

/// A repo with records of several collections, a blob and memories.
fn world() -> (World, String) {
    let mut world = World::new();
    for number in 0..70 {
        let record = cbor(&format!(r#"{{"$type":"app.bsky.feed.post","text":"post {number}"}}"#));
        world.write(vec![create(&format!("post-{number:03}"), record)]).unwrap();
    }
    world.remember("forgotten before the move");
    let rkey = world.remember("the red lamp is broken");
    (world, rkey)
}

fn create(rkey: &str, record: ByteBuf) -> Write {
    Write {
        action: WriteAction::Create,
        collection: POST.parse().unwrap(),
        rkey: Some(rkey.parse().unwrap()),
        record: Some(record),
        blobs: Vec::new(),
        swap_record: Swap::Any,
    }
}

fn deactivate(world: &mut World) {
    world.ask(SetStatus { status: Status::Deactivated, handle: None }).unwrap();
}

/// What breaks: an agent that moves, or is opened from a copy, has lost what its owner muted and chose.
#[test]
fn preferences_leave_and_arrive_with_the_agent_sealed_on_the_way_and_there() {
    let (mut old, _) = world();
    let list = r#"[{"$type":"app.bsky.actor.defs#mutedWordsPref","items":["heron"]},
        {"$type":"app.bsky.actor.defs#personalDetailsPref","birthDate":"2000-01-01"}]"#;
    old.ask(PutPreferences { preferences: list.as_bytes().to_vec().into(), is_full: true }).unwrap();
    let given = |world: &mut World| {
        let given = world.ask(GetPreferences { is_full: true }).unwrap();
        serde_json::from_slice::<serde_json::Value>(given.expose()).unwrap()
    };
    let manifest = old.seal(false).unwrap().manifest;
    assert!(memchr::memmem::find(&manifest, b"heron").is_none());
    let mut new = old.elsewhere();
    new.begin(&manifest, PASSPHRASE).unwrap();
    new.ask(ImportRecords { records: old.records() }).unwrap();
    new.ask(FinishImport { commit: old.commit_block() }).unwrap();
    new.restart();
    assert_eq!(given(&mut new), given(&mut old));
    assert!(given(&mut new).to_string().contains("heron"));
    let sealed = crate::store::query_first(&new.alone.disk, "SELECT sealed FROM preferences", &[], |row| {
        Ok(row.blob(0)?.to_vec())
    });
    assert!(memchr::memmem::find(&sealed.unwrap().unwrap(), b"heron").is_none());
    // An archive without any leaves none.
    let manifest = world().0.seal(false).unwrap().manifest;
    assert_eq!(Manifest::decode(&manifest).unwrap().v, 1);
}

#[test]
fn a_rebuilt_repo_has_the_same_root_opens_its_memories_and_goes_on() {
    let (mut old, rkey) = world();
    let head = old.ask(GetHead {}).unwrap();
    deactivate(&mut old);
    let sealed = old.seal(true).unwrap();
    assert_eq!(old.seal(true).unwrap().move_key, sealed.move_key, "a move has one key");
    let mut new = old.elsewhere();
    new.begin(&sealed.manifest, PASSPHRASE).unwrap();
    assert_eq!(new.ask(GetMoveKey {}).unwrap(), sealed.move_key);
    assert_eq!(new.ask(GetHead {}).unwrap_err(), Error::NoRepo, "it is not whole");
    let records = old.records();
    for batch in records.chunks(7) {
        new.ask(ImportRecords { records: batch.to_vec() }).unwrap();
        new.restart();
    }
    // A batch whose answer was lost comes again.
    new.ask(ImportRecords { records: records[7..14].to_vec() }).unwrap();
    let commit = old.commit_block();
    let finished = new.ask(FinishImport { commit: commit.clone() }).unwrap();
    assert_eq!(new.ask(FinishImport { commit }).unwrap(), finished);
    assert_eq!(finished.signing_key, old.key.did_key());
    assert!(new.events.is_empty(), "an import tells nobody");
    let found = new.ask(GetHead {}).unwrap();
    assert_eq!((&found.commit, &found.rev, &found.data), (&head.commit, &head.rev, &head.data));
    assert_eq!((old.count("node"), old.count("record")), (new.count("node"), new.count("record")));
    assert!(matches!(new.write(vec![create("a", cbor("{}"))]), Err(Error::Repo(repo::Error::Inactive(_)))));

    new.ask(SetStatus { status: Status::Active, handle: Some("alice.test".parse().unwrap()) }).unwrap();
    new.restart();
    let memory = new.ask(GetMemory { rkey: rkey.parse().unwrap() }).unwrap();
    assert!(format!("{:?}", decode_record(memory.memory.expose()).unwrap()).contains("red lamp"));
    let written = new.write(vec![create("after", cbor(r#"{"$type":"app.bsky.feed.post"}"#))]).unwrap();
    assert!(written.commit.unwrap().rev > head.rev);
    new.remember("a memory of the new place");
    let signature = new.ask(SignMove { unsigned: ByteBuf::from(*b"operation") }).unwrap();
    let key = VerifyingKey::from_did_key(&sealed.move_key.unwrap()).unwrap();
    key.verify(b"operation", &signature).unwrap();
    new.ask(DropMoveKey {}).unwrap();
    assert_eq!(new.ask(GetMoveKey {}).unwrap(), None);
}

#[test]
fn a_copy_has_no_move_key_and_an_active_account_makes_none() {
    let (mut old, _) = world();
    let copy = old.seal(false).unwrap();
    assert_eq!(copy.move_key, None);
    let manifest = Manifest::decode(&copy.manifest).unwrap();
    assert!(manifest.open(&kdf().derive(PASSPHRASE).unwrap()).unwrap().move_key.is_none());
    assert!(old.seal(true).is_err());
}

#[test]
fn what_is_not_the_archive_is_refused() {
    let (mut old, _) = world();
    let sealed = old.seal(false).unwrap();
    let mut new = old.elsewhere();
    assert_eq!(
        new.begin(&sealed.manifest, "correct horse").unwrap_err(),
        Error::Moving(moving::Error::WrongPassphrase)
    );
    let mut manifest = Manifest::decode(&sealed.manifest).unwrap();
    manifest.rev = Tid::from_micros(START_US, 1);
    let tampered = ByteBuf::from(manifest.encode().unwrap());
    assert_eq!(new.begin(&tampered, PASSPHRASE).unwrap_err(), Error::Moving(moving::Error::WrongPassphrase));
    assert_eq!(new.count("key_root"), 0, "a refused import leaves nothing");
    new.begin(&sealed.manifest, PASSPHRASE).unwrap();
    assert_eq!(new.begin(&sealed.manifest, PASSPHRASE).unwrap_err(), Error::RepoExists);

    for record in [
        ImportedRecord("no-collection".to_owned(), cbor("{}")),
        ImportedRecord("app.bsky.feed.post/a b".to_owned(), cbor("{}")),
        ImportedRecord("app.bsky.feed.post/a".to_owned(), ByteBuf::from(*b"\xa1\x61a\x18\x01")),
        ImportedRecord("app.bsky.feed.post/a".to_owned(), ByteBuf::from(*b"\x01")),
    ] {
        let refused = new.ask(ImportRecords { records: vec![record] });
        assert!(matches!(refused, Err(Error::Moving(moving::Error::Invalid(_)))), "{refused:?}");
    }
    let mut records = old.records();
    let last = records.pop().unwrap();
    new.ask(ImportRecords { records }).unwrap();
    let commit = old.commit_block();
    let early = new.ask(FinishImport { commit: commit.clone() }).unwrap_err();
    assert!(early.to_string().contains("the records make the tree"), "{early}");
    new.ask(ImportRecords { records: vec![last] }).unwrap();

    // Another commit of the same tree, by somebody else.
    let theirs = repo_mst::commit::Commit::decode(&commit).unwrap();
    let unsigned = theirs.unsigned();
    let signature = SigningKey::from_bytes(&[4; 32]).unwrap().sign(&unsigned.encode());
    let forged = ByteBuf::from(unsigned.sign_with(bytes::Bytes::copy_from_slice(&signature)).encode());
    let refused = new.ask(FinishImport { commit: forged.clone() }).unwrap_err();
    assert!(matches!(refused, Error::Moving(moving::Error::Invalid(_))), "{refused}");
    let named = "UPDATE import SET commit_cid = ?";
    let cid = repo_mst::cid_for_cbor(&forged).to_bytes();
    new.alone.disk.execute(named, &[crate::store::Value::Blob(&cid)]).unwrap();
    let refused = new.ask(FinishImport { commit: forged }).unwrap_err();
    assert!(refused.to_string().contains("signature"), "{refused}");
    assert_eq!(new.ask(GetHead {}).unwrap_err(), Error::NoRepo);
}

#[test]
fn blobs_are_taken_while_the_repo_is_rebuilt() {
    let mut old = World::new();
    let cid: cid::Cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku".parse().unwrap();
    let add = AddBlob { cid, mime: "image/png".to_owned(), bytes: 7 };
    old.ask(add.clone()).unwrap();
    let json = format!(
        r#"{{"$type":"{POST}","image":{{"$type":"blob","ref":{{"$link":"{cid}"}},"mimeType":"image/png","size":7}}}}"#
    );
    let claim = BlobClaim { cid, mime: "image/png".to_owned(), bytes: 7 };
    old.write(vec![Write { blobs: vec![claim], ..create("a", cbor(&json)) }]).unwrap();
    let sealed = old.seal(false).unwrap();
    let blobs = Manifest::decode(&sealed.manifest).unwrap().blobs;
    assert_eq!((blobs[0].cid.0, blobs[0].size), (cid, 7));
    let mut new = old.elsewhere();
    assert_eq!(new.ask(add.clone()).unwrap_err(), Error::NoRepo);
    new.begin(&sealed.manifest, PASSPHRASE).unwrap();
    new.ask(ImportRecords { records: old.records() }).unwrap();
    new.ask(FinishImport { commit: old.commit_block() }).unwrap();
    assert_eq!(new.ask(ListMissingBlobs { cursor: None, limit: 9 }).unwrap().len(), 1);
    new.ask(add).unwrap();
    assert!(new.ask(ListMissingBlobs { cursor: None, limit: 9 }).unwrap().is_empty());
    assert_eq!(new.ask(GetBlobMeta { cid }).unwrap().unwrap().mime, "image/png");
}
