//! Records, blobs and repos, over real cells.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde_json::{Value, json};

use super::world::{ADMIN, World, bearer};
use crate::account;
use crate::data_model::{CODEC_DAG_CBOR, CODEC_RAW, cid_of_block};
use crate::syntax::Did;

const NOTE: &str = "com.example.note";
const CREATE: &str = "com.atproto.repo.createRecord";
const PUT: &str = "com.atproto.repo.putRecord";
const DELETE: &str = "com.atproto.repo.deleteRecord";
const APPLY: &str = "com.atproto.repo.applyWrites";

struct Repo {
    world: World,
    did: String,
    own: String,
}

impl Repo {
    async fn new() -> Self {
        let world = World::new();
        let made = world.person("alice").await;
        Self { did: made["did"].as_str().unwrap().to_owned(), own: bearer(&made["accessJwt"]), world }
    }

    async fn post(&self, nsid: &str, mut body: Value) -> super::world::Answer {
        body["repo"] = json!("Alice.test");
        self.world.post(nsid, &self.own, body).await
    }

    async fn get(&self, path: &str) -> super::world::Answer {
        self.world.get(&path.replace("DID", &self.did), "").await
    }

    async fn put_note(&self, rkey: &str, text: &str) -> Value {
        let body = json!({"collection": NOTE, "rkey": rkey, "record": {"text": text}});
        self.post(PUT, body).await.ok()
    }
}

#[tokio::test]
async fn a_record_is_created_read_changed_and_deleted() {
    let repo = Repo::new().await;
    let made = repo.post(CREATE, json!({"collection": NOTE, "record": {"text": "a"}})).await.ok();
    assert_eq!(made["validationStatus"], "unknown");
    let uri = made["uri"].as_str().unwrap();
    let rkey = uri.rsplit('/').next().unwrap();
    assert_eq!(uri, format!("at://{}/{NOTE}/{rkey}", repo.did));
    let get = format!("com.atproto.repo.getRecord?repo=alice.test&collection={NOTE}&rkey={rkey}");
    let read = repo.get(&get).await.ok();
    let value = json!({"$type": NOTE, "text": "a"});
    assert_eq!(read, json!({"uri": uri, "cid": made["cid"], "value": value}));
    assert_eq!(repo.get(&format!("{get}&cid={}", made["cid"].as_str().unwrap())).await.ok(), read);

    let taken = json!({"collection": NOTE, "rkey": rkey, "record": {"text": "b"}});
    assert_eq!(repo.post(CREATE, taken).await.error(), (400, "InvalidRequest"));
    let changed = repo.put_note(rkey, "b").await;
    assert_ne!(changed["cid"], made["cid"]);
    let again = repo.put_note(rkey, "b").await;
    assert_eq!((&again["cid"], &again["commit"]), (&changed["cid"], &Value::Null), "nothing changed");
    let old = repo.get(&format!("{get}&cid={}", made["cid"].as_str().unwrap())).await;
    assert_eq!(old.error(), (400, "RecordNotFound"));

    let latest = repo.get("com.atproto.sync.getLatestCommit?did=DID").await.ok();
    assert_eq!(latest, changed["commit"]);
    let gone = repo.post(DELETE, json!({"collection": NOTE, "rkey": rkey})).await.ok();
    assert!(gone["commit"]["rev"].is_string());
    assert_eq!(repo.get(&get).await.error(), (400, "RecordNotFound"));
    let nothing = repo.post(DELETE, json!({"collection": NOTE, "rkey": rkey})).await.ok();
    assert_eq!(nothing, json!({}));
}

#[tokio::test]
async fn swaps_hold_off_writers_that_saw_something_else() {
    let repo = Repo::new().await;
    let first = repo.put_note("self", "a").await;
    let stale = first["commit"]["cid"].clone();
    let put = |text: &str, swap: Value| {
        let mut body = json!({"collection": NOTE, "rkey": "self", "record": {"text": text}});
        body.as_object_mut().unwrap().extend(swap.as_object().unwrap().clone());
        body
    };
    let none = repo.post(PUT, put("b", json!({"swapRecord": null}))).await;
    assert_eq!(none.error(), (400, "InvalidSwap"));
    let second =
        repo.post(PUT, put("b", json!({"swapRecord": first["cid"], "swapCommit": stale}))).await.ok();
    for swap in [json!({"swapRecord": first["cid"]}), json!({"swapCommit": stale})] {
        assert_eq!(repo.post(PUT, put("c", swap.clone())).await.error(), (400, "InvalidSwap"), "{swap}");
    }
    let delete = |cid: &Value| json!({"collection": NOTE, "rkey": "self", "swapRecord": cid});
    assert_eq!(repo.post(DELETE, delete(&first["cid"])).await.error(), (400, "InvalidSwap"));
    repo.post(DELETE, delete(&second["cid"])).await.ok();
    repo.post(PUT, put("d", json!({"swapRecord": null}))).await.ok();
}

#[tokio::test]
async fn validation_is_as_asked() {
    let repo = Repo::new().await;
    let post = |record: Value, validate: Value| json!({"collection": "app.bsky.feed.post", "record": record, "validate": validate});
    let good = json!({"text": "hi", "createdAt": "2026-01-01T00:00:00Z"});
    let bad = json!({"text": 5, "createdAt": "2026-01-01T00:00:00Z"});
    let table = [
        (post(good.clone(), Value::Null), Ok(json!("valid"))),
        (post(good.clone(), json!(true)), Ok(json!("valid"))),
        (post(good.clone(), json!(false)), Ok(Value::Null)),
        (post(bad.clone(), json!(false)), Ok(Value::Null)),
        (post(bad, Value::Null), Err(())),
        (json!({"collection": NOTE, "record": {}, "validate": true}), Err(())),
        (json!({"collection": NOTE, "record": {"$type": "com.example.other"}}), Err(())),
        (json!({"collection": NOTE, "record": []}), Err(())),
        (json!({"collection": NOTE, "record": {"n": 1.5}}), Err(())),
        (json!({"collection": NOTE, "rkey": "a/b", "record": {}}), Err(())),
        (json!({"collection": "nonsense", "record": {}}), Err(())),
        (json!({"collection": NOTE}), Err(())),
    ];
    for (body, expected) in table {
        let answer = repo.post(CREATE, body.clone()).await;
        match expected {
            Ok(status) => assert_eq!(answer.ok()["validationStatus"], status, "{body}"),
            Err(()) => assert_eq!(answer.error(), (400, "InvalidRequest"), "{body}"),
        }
    }
}

#[tokio::test]
async fn only_the_owner_writes_and_only_while_active() {
    let repo = Repo::new().await;
    let bob = bearer(&repo.world.person("bob").await["accessJwt"]);
    let body = json!({"repo": repo.did, "collection": NOTE, "record": {}});
    let answer = repo.world.post(CREATE, &bob, body.clone()).await;
    assert_eq!(answer.error(), (401, "AuthenticationRequired"));
    assert_eq!(repo.world.post(CREATE, "", body.clone()).await.error(), (401, "AuthMissing"));

    let make = json!({"name": "plain"});
    let plain = repo.world.post("com.atproto.server.createAppPassword", &repo.own, make).await.ok();
    let sign_in = json!({"identifier": "alice.test", "password": plain["password"]});
    let plain = repo.world.post("com.atproto.server.createSession", "", sign_in).await.ok();
    let plain = bearer(&plain["accessJwt"]);
    repo.world.post(CREATE, &plain, body.clone()).await.ok();
    let sealed = json!({"repo": repo.did, "collection": "agent.vault.sealed", "rkey": "x"});
    let answer = repo.world.post(DELETE, &plain, sealed).await;
    assert_eq!(answer.error(), (400, "InvalidToken"), "a plain app password could destroy memories");

    repo.world.post("com.atproto.server.deactivateAccount", &repo.own, json!({})).await.ok();
    assert_eq!(repo.world.post(CREATE, &repo.own, body).await.error(), (400, "AccountDeactivated"));
    for (path, name) in [
        ("com.atproto.sync.getRepo?did=DID", "RepoDeactivated"),
        ("com.atproto.sync.getLatestCommit?did=DID", "RepoDeactivated"),
        ("com.atproto.repo.describeRepo?repo=DID", "RepoDeactivated"),
        ("com.atproto.repo.listRecords?repo=DID&collection=com.example.note", "InvalidRequest"),
        ("com.atproto.repo.getRecord?repo=DID&collection=com.example.note&rkey=a", "RecordNotFound"),
    ] {
        assert_eq!(repo.get(path).await.error(), (400, name), "{path}");
    }
    let status = repo.get("com.atproto.sync.getRepoStatus?did=DID").await.ok();
    assert_eq!(status, json!({"did": repo.did, "active": false, "status": "deactivated"}));
    let latest = format!("com.atproto.sync.getLatestCommit?did={}", repo.did);
    for privileged in [repo.own.as_str(), ADMIN] {
        repo.world.get(&latest, privileged).await.ok();
    }
}

#[tokio::test]
async fn many_writes_make_one_commit() {
    let repo = Repo::new().await;
    repo.put_note("b", "old").await;
    repo.put_note("c", "old").await;
    let write = |kind: &str, rkey: &str| {
        let value = json!({"text": "new"});
        json!({"$type": format!("{APPLY}#{kind}"), "collection": NOTE, "rkey": rkey, "value": value})
    };
    let writes = json!({"writes": [write("create", "a"), write("update", "b"), write("delete", "c")]});
    let applied = repo.post(APPLY, writes).await.ok();
    let kinds: Vec<_> = applied["results"].as_array().unwrap().iter().map(|r| r["$type"].clone()).collect();
    assert_eq!(
        kinds,
        ["createResult", "updateResult", "deleteResult"].map(|k| json!(format!("{APPLY}#{k}")))
    );
    assert_eq!(applied["results"][0]["uri"], format!("at://{}/{NOTE}/a", repo.did));
    assert!(applied["commit"]["cid"].is_string());
    for (bad, what) in [
        (json!([write("update", "nowhere")]), "an update of nothing"),
        (json!([write("delete", "nowhere")]), "a delete of nothing"),
        (json!([write("create", "z"), write("create", "a")]), "a key that is taken"),
        (json!([write("create", "z"), write("create", "z")]), "one key twice"),
        (json!([write("replace", "a")]), "an unknown action"),
        (json!([{"$type": format!("{APPLY}#update"), "collection": NOTE, "value": {}}]), "no key"),
        (Value::Array(vec![write("create", "z"); 201]), "too many"),
    ] {
        assert_eq!(repo.post(APPLY, json!({"writes": bad})).await.error(), (400, "InvalidRequest"), "{what}");
    }
    let get = format!("com.atproto.repo.getRecord?repo=DID&collection={NOTE}&rkey=z");
    assert_eq!(repo.get(&get).await.error(), (400, "RecordNotFound"), "a failed commit leaves nothing");
}

#[tokio::test]
async fn pages_of_records_meet_without_gap_or_overlap() {
    let repo = Repo::new().await;
    for rkey in ["a", "b", "c", "d", "e"] {
        repo.put_note(rkey, rkey).await;
    }
    for (reverse, expected) in [(false, ["e", "d", "c", "b", "a"]), (true, ["a", "b", "c", "d", "e"])] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!(
                "com.atproto.repo.listRecords?repo=DID&collection={NOTE}&limit=2&reverse={reverse}&cursor={cursor}"
            );
            let page = repo.get(&path).await.ok();
            for record in page["records"].as_array().unwrap() {
                seen.push(record["value"]["text"].as_str().unwrap().to_owned());
            }
            match page["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, expected);
    }
    for limit in ["0", "101", "-1", "x"] {
        let path = format!("com.atproto.repo.listRecords?repo=DID&collection={NOTE}&limit={limit}");
        assert_eq!(repo.get(&path).await.error(), (400, "InvalidRequest"), "{limit}");
    }
    let described = repo.get("com.atproto.repo.describeRepo?repo=alice.test").await.ok();
    assert_eq!(described["collections"], json!([NOTE]));
    assert_eq!(described["handleIsCorrect"], true);
    assert_eq!(described["didDoc"]["id"], repo.did);
}

#[tokio::test]
async fn blobs_are_served_once_a_record_refers_to_them() {
    let repo = Repo::new().await;
    let uploaded = repo.world.upload(&repo.own, "text/plain; charset=utf-8", b"hello").await.ok();
    let blob = &uploaded["blob"];
    assert_eq!((&blob["mimeType"], &blob["size"]), (&json!("text/plain"), &json!(5)));
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let get = format!("com.atproto.sync.getBlob?did=DID&cid={cid}");
    assert_eq!(repo.get(&get).await.error(), (400, "BlobNotFound"), "nothing refers to it");

    let with = |blob: Value| json!({"collection": NOTE, "record": {"blob": blob}});
    let changed = |name: &str, value: Value| {
        let mut blob = blob.clone();
        blob[name] = value;
        with(blob)
    };
    let unknown = json!({"$link": cid_of_block(CODEC_RAW, b"elsewhere").to_string()});
    for (record, name) in [
        (changed("size", json!(6)), "InvalidSize"),
        (changed("mimeType", json!("image/png")), "InvalidMimeType"),
        (changed("ref", unknown), "BlobNotFound"),
        (with(json!({"cid": cid, "mimeType": "text/plain"})), "InvalidRequest"),
    ] {
        assert_eq!(repo.post(CREATE, record).await.error(), (400, name));
    }
    repo.post(CREATE, with(blob.clone())).await.ok();
    repo.get(&get).await.ok();
    let listed = repo.get("com.atproto.sync.listBlobs?did=DID").await.ok();
    assert_eq!(listed, json!({"cids": [cid]}));
    let missing = repo.world.get("com.atproto.repo.listMissingBlobs", &repo.own).await.ok();
    assert_eq!(missing, json!({"blobs": []}));

    let sniffed = repo.world.upload(&repo.own, "*/*", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").await.ok();
    assert_eq!(sniffed["blob"]["mimeType"], "image/png");
    let large = repo.world.upload(&repo.own, "text/plain", &vec![0; (1 << 20) + 1]).await;
    assert_eq!(large.error(), (413, "BlobTooLarge"));
    let none = repo.world.bytes("com.atproto.repo.uploadBlob", &repo.own, Vec::new()).await;
    assert_eq!(none.error(), (400, "InvalidRequest"), "there is no body at all");
    assert_eq!(repo.world.upload("", "text/plain", b"x").await.error(), (401, "AuthMissing"));
}

#[tokio::test]
async fn a_blob_may_be_empty() {
    let repo = Repo::new().await;
    let blob = repo.world.upload(&repo.own, "text/plain", b"").await.ok()["blob"].clone();
    assert_eq!((&blob["mimeType"], &blob["size"]), (&json!("text/plain"), &json!(0)));
    repo.post(CREATE, json!({"collection": NOTE, "record": {"blob": blob}})).await.ok();
    let cid = blob["ref"]["$link"].as_str().unwrap();
    repo.get(&format!("com.atproto.sync.getBlob?did=DID&cid={cid}")).await.ok();
}

#[tokio::test]
async fn a_picture_is_a_picture_whatever_it_was_sent_as() {
    let repo = Repo::new().await;
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let post = |blob: Value| {
        let images = json!({"$type": "app.bsky.embed.images", "images": [{"alt": "", "image": blob}]});
        let record = json!({
            "$type": "app.bsky.feed.post", "text": "x", "createdAt": "2026-01-01T00:00:00Z", "embed": images,
        });
        json!({"collection": "app.bsky.feed.post", "record": record})
    };
    for sent in ["application/octet-stream", "image/*", "image/jpg", "application/x-www-form-urlencoded"] {
        let uploaded = repo.world.upload(&repo.own, sent, png).await.ok();
        assert_eq!(uploaded["blob"]["mimeType"], "image/png", "{sent}");
        repo.post(CREATE, post(uploaded["blob"].clone())).await.ok();
    }
    let letter = repo.world.upload(&repo.own, "image/png", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n").await.ok();
    assert_eq!(letter["blob"]["mimeType"], "application/pdf");
    assert_eq!(repo.post(CREATE, post(letter["blob"].clone())).await.status, StatusCode::BAD_REQUEST);
    let form = repo.world.upload(&repo.own, "multipart/form-data; boundary=x", b"--x\r\n").await;
    assert_eq!(form.error(), (400, "InvalidMimeType"));
}

#[tokio::test]
async fn repos_are_listed_without_a_question_to_their_accounts() {
    let repo = Repo::new().await;
    repo.put_note("a", "text").await;
    let latest = repo.get("com.atproto.sync.getLatestCommit?did=DID").await.ok();
    let did = Did::try_from(repo.did.as_str()).unwrap();
    let no_answer = account::Error::Internal("asked".to_owned());
    repo.world.host.broken.lock().unwrap().insert(did, no_answer);
    let page = repo.get("com.atproto.sync.listRepos").await.ok();
    assert_eq!(page["repos"][0]["rev"], latest["rev"], "{page}");
    assert_eq!(page["repos"][0]["head"], latest["cid"]);
    repo.world.host.sequencer_is_down.store(true, Ordering::Relaxed);
    let refused = repo.get("com.atproto.sync.listRepos").await;
    assert_eq!(refused.error(), (503, "ServiceUnavailable"));
}

#[tokio::test]
async fn repos_are_listed_and_mirrored() {
    let repo = Repo::new().await;
    repo.put_note("a", "text").await;
    let bob = repo.world.person("bob").await;
    let page = repo.get("com.atproto.sync.listRepos?limit=1").await.ok();
    assert_eq!(page["repos"][0]["did"], repo.did);
    let latest = repo.get("com.atproto.sync.getLatestCommit?did=DID").await.ok();
    assert_eq!(page["repos"][0]["rev"], latest["rev"]);
    assert_eq!(page["repos"][0]["head"], latest["cid"]);
    assert_eq!(page["repos"][0]["active"], true);
    let cursor = page["cursor"].as_str().unwrap();
    let next = repo.get(&format!("com.atproto.sync.listRepos?limit=1&cursor={cursor}")).await.ok();
    assert_eq!(next["repos"][0]["did"], bob["did"]);
    let head = repo.get("com.atproto.sync.getHead?did=DID").await.ok();
    assert_eq!(head, json!({"root": latest["cid"]}));

    for path in [
        "com.atproto.sync.getRepo?did=DID".to_owned(),
        format!("com.atproto.sync.getRepo?did=DID&since={}", latest["rev"].as_str().unwrap()),
        "com.atproto.sync.getCheckout?did=DID".to_owned(),
        format!("com.atproto.sync.getRecord?did=DID&collection={NOTE}&rkey=a"),
        format!("com.atproto.sync.getRecord?did=DID&collection={NOTE}&rkey=nowhere"),
        format!("com.atproto.sync.getBlocks?did=DID&cids={}", latest["cid"].as_str().unwrap()),
    ] {
        assert_eq!(repo.get(&path).await.status, StatusCode::OK, "{path}");
    }
    let unknown = cid_of_block(CODEC_DAG_CBOR, b"elsewhere");
    for (path, name) in [
        (format!("com.atproto.sync.getBlocks?did=DID&cids={unknown}"), "BlockNotFound"),
        ("com.atproto.sync.getRepo?did=did:plc:nobody".to_owned(), "RepoNotFound"),
        ("com.atproto.sync.getRepo?did=DID&since=yesterday".to_owned(), "InvalidRequest"),
        ("com.atproto.sync.getRepoStatus?did=did:plc:nobody".to_owned(), "RepoNotFound"),
        ("com.atproto.repo.describeRepo?repo=nobody.test".to_owned(), "RepoNotFound"),
        ("com.atproto.sync.getRepo?did=nonsense".to_owned(), "InvalidRequest"),
    ] {
        assert_eq!(repo.get(&path).await.error(), (400, name), "{path}");
    }
}

#[tokio::test]
async fn answers_are_bounded_in_bytes() {
    let repo = Repo::new().await;
    let text = "x".repeat(900_000);
    let mut cids = Vec::new();
    for number in 0..11 {
        let record = json!({"text": text, "number": number});
        let body = json!({"collection": NOTE, "rkey": format!("r{number:02}"), "record": record});
        cids.push(repo.post(PUT, body).await.ok()["cid"].as_str().unwrap().to_owned());
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path =
            format!("com.atproto.repo.listRecords?repo=DID&collection={NOTE}&limit=100&cursor={cursor}");
        let page = repo.get(&path).await.ok();
        let records = page["records"].as_array().unwrap();
        assert!(records.len() <= 5, "{} records of 900 kB in one page", records.len());
        seen.extend(records.iter().map(|record| record["cid"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!((seen, pages), (cids.clone(), 3));

    let blocks = |cids: &[&str]| {
        let query = cids.iter().map(|cid| format!("&cids={cid}")).collect::<String>();
        format!("com.atproto.sync.getBlocks?did=DID{query}")
    };
    let once: Vec<&str> = cids.iter().map(String::as_str).collect();
    let refused = repo.get(&blocks(&once)).await;
    assert_eq!(refused.error(), (400, "InvalidRequest"), "all are too many");
    let same = vec![once[0]; 200];
    assert_eq!(repo.get(&blocks(&same)).await.status, StatusCode::OK, "each block once");
}

#[tokio::test]
async fn a_parameter_that_is_empty_is_one_that_was_left_out() {
    let world = World::new();
    let person = world.person("alice").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    let record = json!({"repo": did, "collection": NOTE, "rkey": "a", "record": {"text": "here"}});
    world.post("com.atproto.repo.createRecord", &own, record).await.ok();
    for path in [
        format!("com.atproto.repo.getRecord?repo={did}&collection={NOTE}&rkey=a&cid="),
        format!("com.atproto.repo.listRecords?repo={did}&collection={NOTE}&limit=&cursor=&reverse="),
        format!("com.atproto.repo.listRecords?reverse&repo={did}&collection={NOTE}"),
        format!("com.atproto.sync.getRepo?did={did}&since="),
        "com.atproto.sync.listRepos?cursor=&limit=".to_owned(),
        "agent.memory.list?types=&cursor=&since=&limit=".to_owned(),
    ] {
        let answer = world.get(&path, &own).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
    }
    for path in [
        format!("com.atproto.sync.getBlocks?did={did}"),
        format!("com.atproto.sync.getBlocks?did={did}&cids="),
        format!("com.atproto.repo.getRecord?repo={did}&collection={NOTE}&rkey="),
        "com.atproto.sync.getRepo?did=".to_owned(),
        "agent.memory.recall?q=".to_owned(),
    ] {
        assert_eq!(world.get(&path, &own).await.error(), (400, "InvalidRequest"), "{path}");
    }
}

/// What breaks: a batch that is refused though its writes could be made one after the other, or that leaves something else
/// than they do.
#[tokio::test]
async fn several_writes_to_one_record_come_to_what_they_come_to_one_by_one() {
    let kinds = ["create", "update", "delete"];
    let write = |kind: &str, collection: &str, rkey: &str, step: usize| {
        let mut write = json!({"$type": format!("{APPLY}#{kind}"), "collection": collection, "rkey": rkey});
        if kind != "delete" {
            write["value"] = json!({"step": step});
        }
        write
    };
    let repo = Repo::new().await;
    for number in 0..27 {
        let steps = [number / 9, number / 3 % 3, number % 3].map(|kind: usize| kinds[kind]);
        let rkey = format!("r{number}");
        let (at_once, one_by_one) = ("com.example.batch", "com.example.single");
        let mut outcome = Ok(());
        for (step, kind) in steps.iter().enumerate() {
            let writes = json!({"writes": [write(kind, one_by_one, &rkey, step)]});
            if !repo.post(APPLY, writes).await.status.is_success() {
                outcome = Err(());
            }
        }
        let writes: Vec<_> =
            steps.iter().enumerate().map(|(step, kind)| write(kind, at_once, &rkey, step)).collect();
        let answer = repo.post(APPLY, json!({"writes": writes})).await;
        assert_eq!(answer.status.is_success(), outcome.is_ok(), "{steps:?}: {}", answer.body);
        let read = async |collection: &str| {
            repo.get(&format!("com.atproto.repo.getRecord?repo=DID&collection={collection}&rkey={rkey}"))
                .await
        };
        let record = read(at_once).await;
        if outcome.is_err() {
            assert_eq!(record.error(), (400, "RecordNotFound"), "{steps:?}");
            continue;
        }
        assert_eq!(record.body["value"]["step"], read(one_by_one).await.body["value"]["step"], "{steps:?}");
        let results = answer.body["results"].as_array().unwrap();
        assert_eq!(results.len(), steps.len(), "a result a write");
    }
}
