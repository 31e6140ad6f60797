//! Agents between two networks that share a did:plc directory.

use std::sync::atomic::Ordering;

use http_body_util::BodyExt as _;
use repo_mst::car::{CarLimits, read_all};
use repo_mst::commit::Commit;
use repo_mst::{MemoryBlocks, Walk};
use serde_json::{Value, json};

use super::world::{ADMIN, Answer, World, bearer};
use crate::archive::Manifest;
use crate::crypto::SigningKey;
use crate::lexicon::Bytes;
use crate::moving::ImportedRecord;
use crate::syntax::Did;
use crate::vault::MasterKey;

const PASSPHRASE: &str = "correct horse battery";
const EXPORT: &str = "agent.vault.export";
const IMPORT: &str = "agent.admin.importAgent";
const FINISH: &str = "agent.admin.finishImport";

/// Two networks; both give handles under `.test`.
fn networks() -> (World, World) {
    let old = World::new();
    let new = old.beside(|network| {
        network.public_url = "http://localhost:9583".to_owned();
        network.service_did = "did:web:localhost%3A9583".to_owned();
        network.master_key = MasterKey::from_bytes([9; 32]);
    });
    (old, new)
}

struct Alice {
    did: String,
    own: String,
}

/// An agent with a record, a blob and a memory.
async fn alice(world: &World, recovery_key: Option<String>) -> Alice {
    let input = json!({"name": "alice", "displayName": "Alice", "model": "m", "recoveryKey": recovery_key});
    let made = world.post("agent.admin.createAgent", ADMIN, input).await.ok();
    let alice = Alice { did: made["did"].as_str().unwrap().to_owned(), own: bearer(&made["token"]) };
    let blob = world.upload(&alice.own, "image/png", b"a picture").await.ok()["blob"].clone();
    let record = json!({"repo": alice.did, "collection": "test.zap.picture", "record": {"image": blob}});
    world.post("com.atproto.repo.createRecord", &alice.own, record).await.ok();
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "the red lamp is broken"}});
    world.post("agent.memory.remember", &alice.own, memory).await.ok();
    alice
}

async fn export(world: &World, alice: &Alice, moving: bool) -> Value {
    let input = json!({"passphrase": PASSPHRASE, "move": moving});
    world.post(EXPORT, &alice.own, input).await.ok()["manifest"].clone()
}

async fn import(world: &World, manifest: &Value, passphrase: &str) -> Answer {
    world.post(IMPORT, ADMIN, json!({"manifest": manifest, "passphrase": passphrase})).await
}

/// The commit's block and all records, as the old host gives them.
async fn repo(world: &World, did: &str) -> (Vec<u8>, Vec<ImportedRecord>) {
    let download = world.app.host.export(Did::try_from(did).unwrap(), None).await.unwrap();
    let car = download.into_body().collect().await.unwrap().to_bytes();
    let limits = CarLimits { header_bytes: 999, section_bytes: 1 << 20, total_bytes: 1 << 30, blocks: 999 };
    let car = read_all(&car, limits).unwrap();
    let mut blocks = MemoryBlocks::new();
    for (cid, block) in car.blocks {
        blocks.insert(cid, block);
    }
    let commit = blocks.get(&car.roots[0]).unwrap().to_vec();
    let data = Commit::decode(&commit).unwrap().data;
    let walk = Walk::new(&blocks, &data).unwrap().records();
    let record = |(path, cid): (std::sync::Arc<str>, _)| {
        ImportedRecord(path.to_string(), blocks.get(&cid).unwrap().to_vec().into())
    };
    (commit, walk.map(|found| record(found.unwrap())).collect())
}

/// Brings records and blobs over, and finishes.
async fn bring(from: &World, to: &World, did: &str, manifest: &Value) -> Answer {
    import(to, manifest, PASSPHRASE).await.ok();
    let (commit, records) = repo(from, did).await;
    finish(from, to, did, manifest, commit, &records).await
}

async fn finish(
    from: &World,
    to: &World,
    did: &str,
    manifest: &Value,
    commit: Vec<u8>,
    records: &[ImportedRecord],
) -> Answer {
    let body = serde_ipld_dagcbor::to_vec(records).unwrap();
    let path = format!("agent.admin.importRecords?did={did}");
    assert_eq!(to.bytes(&path, ADMIN, body).await.ok()["imported"], records.len());
    for blob in decoded(manifest).blobs {
        let (owner, cid) = (Did::try_from(did).unwrap(), blob.cid.0.to_string());
        let (_, download) = from.app.host.get_blob(owner, cid.parse().unwrap()).await.unwrap().unwrap();
        let bytes = download.into_body().collect().await.unwrap().to_bytes().to_vec();
        let path = format!("agent.admin.importBlob?did={did}&mime={}", blob.mime);
        assert_eq!(to.bytes(&path, ADMIN, bytes).await.ok(), json!({"cid": cid, "size": blob.size}));
    }
    let commit = serde_json::to_value(Bytes(commit)).unwrap();
    to.post(FINISH, ADMIN, json!({"did": did, "commit": commit})).await
}

fn decoded(manifest: &Value) -> Manifest {
    let Bytes(block) = serde_json::from_value(manifest.clone()).unwrap();
    Manifest::decode(&block).unwrap()
}

fn data(world: &World, did: &str) -> Value {
    world.host.ask_plc(&format!("/{did}/data"))
}

fn rotation_keys(world: &World, did: &str) -> Vec<String> {
    serde_json::from_value(data(world, did)["rotationKeys"].clone()).unwrap()
}

async fn latest(world: &World, did: &str) -> Value {
    world.get(&format!("com.atproto.sync.getLatestCommit?did={did}"), ADMIN).await.ok()
}

async fn write(world: &World, alice: &Alice) -> Answer {
    let record = json!({"repo": alice.did, "collection": "test.zap.note", "record": {"text": "hello"}});
    world.post("com.atproto.repo.createRecord", &alice.own, record).await
}

#[tokio::test]
async fn an_agent_moves_and_comes_back() {
    let (old, new) = networks();
    let recovery = SigningKey::from_bytes(&[4; 32]).unwrap().did_key();
    let mut alice = alice(&old, Some(recovery.clone())).await;
    let did = alice.did.clone();
    let [first, old_key] = rotation_keys(&old, &did).try_into().unwrap();
    assert_eq!(first, recovery);
    let before = latest(&old, &did).await;

    let manifest = export(&old, &alice, true).await;
    assert_eq!(write(&old, &alice).await.error(), (400, "AccountDeactivated"));
    assert_eq!(rotation_keys(&old, &did)[2], old_key, "the move key ranks above the network's");
    let gone = old.post("agent.admin.deleteAgent", ADMIN, json!({"agent": did})).await;
    assert_eq!(gone.error(), (400, "InvalidRequest"), "its DID would end, and the archive with it");
    let again = export(&old, &alice, true).await;
    assert_ne!(again, manifest);
    assert_eq!(rotation_keys(&old, &did).len(), 3, "a move has one key");

    assert_eq!(import(&new, &manifest, "correct horse").await.error(), (400, "WrongPassphrase"));
    assert!(!new.host.has_cell(&did));
    import(&new, &manifest, PASSPHRASE).await.ok();
    assert_eq!(new.get("agent.admin.listAgents", ADMIN).await.ok()["agents"][0]["status"], "deactivated");
    let (commit, records) = repo(&old, &did).await;
    let early = json!({"did": did, "commit": serde_json::to_value(Bytes(commit.clone())).unwrap()});
    assert_eq!(new.post(FINISH, ADMIN, early.clone()).await.error(), (400, "InvalidArchive"));
    // The directory fails in the middle; the step is repeated.
    new.host.internet.plc_is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    let failed = finish(&old, &new, &did, &manifest, commit, &records).await;
    assert_eq!(failed.status.as_u16() / 100, 5);
    new.host.internet.plc_is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    let finished = new.post(FINISH, ADMIN, early.clone()).await.ok();
    assert_eq!(finished["did"], did);
    assert_eq!(new.host.heard(&did), ["status active"]);
    alice.own = bearer(&finished["token"]);

    let service = &data(&new, &did)["services"]["atproto_pds"]["endpoint"];
    assert_eq!(service, "http://localhost:9583");
    let keys = rotation_keys(&new, &did);
    assert_eq!((keys.len(), &keys[0]), (2, &recovery), "only the owner's key has stayed");
    assert_ne!(keys[1], old_key);
    assert_eq!(latest(&new, &did).await, before);
    let found = new.get("agent.memory.recall?q=lamp", &alice.own).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    let cid = decoded(&manifest).blobs[0].cid.0;
    let blob = new.get(&format!("com.atproto.sync.getBlob?did={did}&cid={cid}"), "").await;
    assert!(blob.status.is_success());
    // Who lost the answer asks again, and shows the keys again: the admin's token alone opens nobody's memories.
    assert_eq!(new.post(FINISH, ADMIN, early.clone()).await.error(), (400, "InvalidArchive"));
    assert_ne!(import(&new, &manifest, "another").await.status, 200);
    assert_eq!(new.post(FINISH, ADMIN, early.clone()).await.error(), (400, "InvalidArchive"));
    assert_eq!(import(&new, &manifest, PASSPHRASE).await.error(), (400, "AccountExists"));
    let repeated = new.post(FINISH, ADMIN, early.clone()).await.ok();
    assert_ne!(repeated["token"], finished["token"]);
    assert_eq!(new.post(FINISH, ADMIN, early).await.error(), (400, "InvalidArchive"));
    write(&new, &alice).await.ok();
    assert!(latest(&new, &did).await["rev"].as_str() > before["rev"].as_str());

    // Back, over what was left there.
    let manifest = export(&new, &alice, true).await;
    let finished = bring(&new, &old, &did, &manifest).await.ok();
    alice.own = bearer(&finished["token"]);
    assert_eq!(rotation_keys(&old, &did), [recovery, old_key]);
    assert_eq!(latest(&old, &did).await, latest(&new, &did).await);
    write(&old, &alice).await.ok();
    let found = old.get("agent.memory.recall?q=lamp", &alice.own).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);

    // What is left on the other side goes without the DID.
    new.post("agent.admin.deleteAgent", ADMIN, json!({"agent": did})).await.ok();
    assert!(!new.host.has_cell(&did));
    assert_eq!(data(&old, &did)["did"], did);
}

#[tokio::test]
async fn a_copy_restores_where_the_agent_lives_and_nowhere_else() {
    let (old, new) = networks();
    let alice = alice(&old, None).await;
    let before = (data(&old, &alice.did), latest(&old, &alice.did).await);
    let manifest = export(&old, &alice, false).await;
    assert_eq!((data(&old, &alice.did), latest(&old, &alice.did).await), before, "a copy changes nothing");
    assert_eq!(import(&new, &manifest, PASSPHRASE).await.error(), (400, "NotMovable"));
    assert_eq!(import(&old, &manifest, PASSPHRASE).await.error(), (400, "AccountExists"));
    let (commit, records) = repo(&old, &alice.did).await;
    write(&old, &alice).await.ok();
    old.post("com.atproto.server.deactivateAccount", &alice.own, json!({})).await.ok();
    import(&old, &manifest, PASSPHRASE).await.ok();
    // The owner can't wake what is not whole.
    assert_eq!(write(&old, &alice).await.status.as_u16(), 400, "the token went with the account");
    let finished = finish(&new, &old, &alice.did, &no_blobs(), commit, &records).await.ok();
    let alice = Alice { own: bearer(&finished["token"]), ..alice };
    assert_eq!(latest(&old, &alice.did).await, before.1);
    assert_eq!(data(&old, &alice.did), before.0);
    write(&old, &alice).await.ok();
}

#[tokio::test]
async fn a_move_that_is_called_off_leaves_its_archive_without_power() {
    let (old, new) = networks();
    let alice = alice(&old, None).await;
    let before = rotation_keys(&old, &alice.did);
    let manifest = export(&old, &alice, true).await;
    old.post("com.atproto.server.activateAccount", &alice.own, Value::Null).await.ok();
    assert_eq!(rotation_keys(&old, &alice.did), before);
    assert_eq!(import(&new, &manifest, PASSPHRASE).await.error(), (400, "NotMovable"));
    write(&old, &alice).await.ok();

    // Or by taking the archive back.
    let manifest = export(&old, &alice, true).await;
    let kept = repo(&old, &alice.did).await;
    import(&old, &manifest, PASSPHRASE).await.ok();
    finish(&new, &old, &alice.did, &no_blobs(), kept.0, &kept.1).await.ok();
    assert_eq!(rotation_keys(&old, &alice.did), before);
}

#[tokio::test]
async fn exporting_asks_for_a_passphrase_and_the_agent_s_own_token() {
    let (old, _) = networks();
    let alice = alice(&old, None).await;
    let input = json!({"passphrase": "short", "move": true});
    assert_eq!(old.post(EXPORT, &alice.own, input).await.error(), (400, "InvalidPassphrase"));
    let input = json!({"agent": alice.did, "passphrase": PASSPHRASE, "move": true});
    assert_eq!(old.post(EXPORT, ADMIN, input.clone()).await.error(), (403, "Forbidden"));
    let name = json!({"name": "vault", "scope": "vault"});
    let made = old.post("com.atproto.server.createAppPassword", &alice.own, name).await;
    if made.status.is_success() {
        let login = json!({"identifier": alice.did, "password": made.body["password"]});
        let session = old.post("com.atproto.server.createSession", "", login).await.ok();
        let refused = old.post(EXPORT, &bearer(&session["accessJwt"]), input).await;
        assert!(refused.status.is_client_error(), "an app password takes nobody away");
    }
    write(&old, &alice).await.ok();
    let person = bearer(&old.person("carol").await["accessJwt"]);
    let input = json!({"passphrase": PASSPHRASE});
    assert_eq!(old.post(EXPORT, &person, input).await.error(), (400, "AgentNotFound"));
    let junk = serde_json::to_value(Bytes(b"\xa0".to_vec())).unwrap();
    assert_eq!(import(&old, &junk, PASSPHRASE).await.error(), (400, "InvalidArchive"));
}

#[tokio::test]
async fn a_copy_that_is_restored_ends_a_move_that_was_begun() {
    let (old, new) = networks();
    let alice = alice(&old, None).await;
    let before = rotation_keys(&old, &alice.did);
    let copy = export(&old, &alice, false).await;
    let moving = export(&old, &alice, true).await;
    let kept = repo(&old, &alice.did).await;
    import(&old, &copy, PASSPHRASE).await.ok();
    assert_eq!(rotation_keys(&old, &alice.did), before);
    finish(&new, &old, &alice.did, &no_blobs(), kept.0, &kept.1).await.ok();
    assert_eq!(import(&new, &moving, PASSPHRASE).await.error(), (400, "NotMovable"));
}

/// A manifest that lists no blobs, for repos whose blobs went with their account.
/// What breaks: document and server name different handles.
#[tokio::test]
async fn an_agent_comes_back_under_the_name_it_has_by_now() {
    let (old, _) = networks();
    let alice = alice(&old, None).await;
    let manifest = export(&old, &alice, false).await;
    let wish = json!({"handle": "alicia.test"});
    old.post("com.atproto.identity.updateHandle", &alice.own, wish).await.ok();
    old.post("com.atproto.server.deactivateAccount", &alice.own, json!({})).await.ok();
    import(&old, &manifest, PASSPHRASE).await.ok();
    let shown = old.get(&format!("agent.admin.getAgent?agent={}", alice.did), ADMIN).await.ok();
    assert_eq!(shown["handle"], "alicia.test");
}

/// Asks the old host to take an agent back, whose move key then goes nobody knows when.
async fn leave_activation_recorded(world: &World, alice: &Alice) {
    let lost = &world.host.internet.plc_loses_posts;
    lost.store(true, Ordering::Relaxed);
    let answer = world.post("com.atproto.server.activateAccount", &alice.own, json!({})).await;
    assert_eq!(answer.error(), (502, "UpstreamFailure"));
    lost.store(false, Ordering::Relaxed);
}

/// What breaks: the agent is active on a host that its document does not name any more.
#[tokio::test]
async fn an_activation_that_waited_finds_that_the_agent_has_moved() {
    let (old, new) = networks();
    let alice = alice(&old, None).await;
    let manifest = export(&old, &alice, true).await;
    leave_activation_recorded(&old, &alice).await;
    bring(&old, &new, &alice.did, &manifest).await.ok();
    for _ in 0..2 {
        old.app.resume_flows().await.unwrap();
        assert_eq!(write(&old, &alice).await.error(), (400, "AccountDeactivated"));
    }
}

/// What breaks: an agent that came back with its archive is active and can't write.
#[tokio::test]
async fn an_activation_that_waited_is_over_when_the_agent_comes_back_by_its_archive() {
    let (old, _) = networks();
    let mut alice = alice(&old, None).await;
    let manifest = export(&old, &alice, true).await;
    leave_activation_recorded(&old, &alice).await;
    let (commit, records) = repo(&old, &alice.did).await;
    import(&old, &manifest, PASSPHRASE).await.ok();
    old.app.resume_flows().await.unwrap();
    let did = alice.did.clone();
    let blob = decoded(&manifest).blobs.remove(0);
    let body = serde_ipld_dagcbor::to_vec(&records).unwrap();
    old.bytes(&format!("agent.admin.importRecords?did={did}"), ADMIN, body).await.ok();
    let path = format!("agent.admin.importBlob?did={did}&mime={}", blob.mime);
    old.bytes(&path, ADMIN, b"a picture".to_vec()).await.ok();
    let commit = serde_json::to_value(Bytes(commit)).unwrap();
    let finished = old.post(FINISH, ADMIN, json!({"did": did, "commit": commit})).await.ok();
    alice.own = bearer(&finished["token"]);
    write(&old, &alice).await.ok();
}

/// What breaks: whoever has the admin's token has a token of every agent, since a commit is public.
#[tokio::test]
async fn finishing_an_import_that_nobody_began_gives_no_token_and_wakes_nobody() {
    let world = World::new();
    let alice = alice(&world, None).await;

    let (commit, _) = repo(&world, &alice.did).await;
    let finish = json!({"did": alice.did, "commit": serde_json::to_value(Bytes(commit)).unwrap()});
    assert_eq!(world.post(FINISH, ADMIN, finish.clone()).await.error(), (400, "InvalidArchive"));
    world.post("com.atproto.server.deactivateAccount", &alice.own, json!({})).await.ok();
    assert_eq!(world.post(FINISH, ADMIN, finish).await.error(), (400, "InvalidArchive"));
    assert_eq!(world.get("agent.admin.listAgents", ADMIN).await.ok()["agents"][0]["status"], "deactivated");
}

fn no_blobs() -> Value {
    let mut manifest = Manifest {
        v: 1,
        did: Did::try_from("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap(),
        handle: crate::syntax::Handle::try_from("alice.test").unwrap(),
        kind: crate::actor::Kind::Agent,
        display_name: None,
        model: None,
        config: None,
        root: crate::lexicon::CidLink(Manifest::cid(b"")),
        rev: crate::syntax::Tid::from_micros(1, 1),
        blobs: Vec::new(),
        kdf: crate::archive::Kdf::new([0; 16]),
        sealed: Bytes::default(),
    };
    manifest.sealed.0.push(0);
    serde_json::to_value(Bytes(manifest.encode().unwrap())).unwrap()
}
