//! Memories, over real cells.

use serde_json::{Value, json};

use super::world::{ADMIN, World, bearer};

const REMEMBER: &str = "agent.memory.remember";
const FORGET: &str = "agent.memory.forget";

fn note(summary: &str, tag: &str) -> Value {
    json!({"memory": {"$type": "agent.memory.note", "summary": summary, "tags": [tag]}})
}

#[tokio::test]
async fn a_memory_is_kept_found_and_forgotten() {
    let world = World::new();
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    let kept = world.post(REMEMBER, &own, note("the red lamp is broken", "home")).await.ok();
    assert_eq!(kept["status"], "created");
    let did = made["did"].as_str().unwrap();
    let uri = kept["uri"].as_str().unwrap();
    assert!(uri.starts_with(&format!("at://{did}/agent.vault.sealed/")));
    let again = world.post(REMEMBER, &own, note("the red lamp is broken", "home")).await.ok();
    assert_eq!((&again["status"], &again["uri"]), (&json!("duplicate"), &kept["uri"]));
    world.post(REMEMBER, &own, note("tea at four", "kitchen")).await.ok();

    let got = world.get(&format!("agent.memory.get?uri={uri}"), &own).await.ok();
    assert_eq!(got["memory"]["summary"], "the red lamp is broken");
    assert_eq!((&got["privacy"], &got["cid"]), (&json!("private"), &kept["cid"]));
    assert_eq!(got["createdAt"], got["memory"]["createdAt"]);
    let page = world.get("agent.memory.list?limit=1", &own).await.ok();
    let cursor = page["cursor"].as_str().unwrap();
    let next = world.get(&format!("agent.memory.list?limit=1&cursor={cursor}"), &own).await.ok();
    assert_ne!(page["memories"][0]["uri"], next["memories"][0]["uri"]);
    assert_eq!(next["cursor"], Value::Null);
    let found = world.get("agent.memory.recall?q=lamp&tags=home", &own).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    assert_eq!(found["results"][0]["uri"], kept["uri"]);
    assert!(found["results"][0]["score"].as_i64().unwrap() > 0);
    assert_eq!(world.get("agent.memory.recall?q=lamp&tags=kitchen", &own).await.ok()["results"], json!([]));

    let read = format!("com.atproto.repo.getRecord?repo={did}&collection=agent.vault.sealed&rkey=");
    let sealed = world.get(&format!("{read}{}", uri.rsplit('/').next().unwrap()), "").await.ok();
    assert!(!sealed.to_string().contains("lamp"), "the public record says nothing");

    let count = world.post(FORGET, &own, json!({"uris": [uri], "dryRun": true})).await.ok();
    assert_eq!(count, json!({"forgotten": 1, "shredded": 1}));
    let gone = world.post(FORGET, &own, json!({"uris": [uri]})).await.ok();
    assert_eq!(gone, json!({"forgotten": 1, "shredded": 1}));
    let answer = world.get(&format!("agent.memory.get?uri={uri}"), &own).await;
    assert_eq!(answer.error(), (400, "MemoryNotFound"));
    assert_eq!(world.post(FORGET, &own, json!({"uris": [uri]})).await.ok()["forgotten"], 0);
}

#[tokio::test]
async fn a_filter_forgets_more_than_one_commit_holds() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    for number in 0..103 {
        world.post(REMEMBER, &own, note(&format!("number {number}"), "many")).await.ok();
    }
    world.post(REMEMBER, &own, note("stays", "other")).await.ok();
    let filter = json!({"filter": {"tags": ["many"]}, "dryRun": true});
    let all = json!({"forgotten": 103, "shredded": 103});
    assert_eq!(world.post(FORGET, &own, filter).await.ok(), all);
    assert_eq!(world.post(FORGET, &own, json!({"filter": {"tags": ["many"]}})).await.ok(), all);
    let left = world.get("agent.memory.list", &own).await.ok();
    assert_eq!(left["memories"].as_array().unwrap().len(), 1);
}

/// Breaks if a commit deletes more sealed records than it destroys keys of.
#[tokio::test]
async fn sealed_records_that_are_deleted_as_records_take_their_keys_along() {
    let world = World::new();
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    let mut writes = Vec::new();
    for number in 0..101 {
        let kept = world.post(REMEMBER, &own, note(&format!("number {number}"), "many")).await.ok();
        let rkey = kept["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let kind = "com.atproto.repo.applyWrites#delete";
        writes.push(json!({"$type": kind, "collection": "agent.vault.sealed", "rkey": rkey}));
    }
    let apply = "com.atproto.repo.applyWrites";
    let all = json!({"repo": made["did"], "writes": writes});
    assert_eq!(world.post(apply, &own, all).await.error(), (400, "InvalidRequest"));
    let last = writes.pop().unwrap();
    world.post(apply, &own, json!({"repo": made["did"], "writes": writes})).await.ok();
    let left = world.get("agent.memory.list", &own).await.ok();
    assert_eq!(left["memories"].as_array().unwrap().len(), 1);
    assert!(left["memories"][0]["uri"].as_str().unwrap().ends_with(last["rkey"].as_str().unwrap()));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let world = World::new();
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    let with = |name: &str, value: Value| {
        let mut body = note("a", "b");
        body[name] = value;
        body
    };
    let elsewhere = "at://did:plc:other/agent.vault.sealed/x";
    let table = [
        (REMEMBER, with("privacy", json!("public")), "UnsupportedPrivacy"),
        (REMEMBER, with("privacy", json!("shared")), "UnsupportedPrivacy"),
        (REMEMBER, with("shareWith", json!(["did:plc:bob"])), "UnsupportedPrivacy"),
        (REMEMBER, json!({"memory": {"$type": "agent.memory.note"}}), "InvalidMemory"),
        (REMEMBER, json!({"memory": {"summary": "no type"}}), "InvalidMemory"),
        (REMEMBER, json!({}), "InvalidRequest"),
        (FORGET, json!({}), "InvalidFilter"),
        (FORGET, json!({"filter": {}}), "InvalidFilter"),
        (FORGET, json!({"filter": {"tags": ["a"]}, "uris": [elsewhere]}), "InvalidFilter"),
        (FORGET, json!({"uris": [elsewhere]}), "InvalidRequest"),
    ];
    for (nsid, body, name) in table {
        assert_eq!(world.post(nsid, &own, body.clone()).await.error(), (400, name), "{nsid} {body}");
    }
    for (path, name) in [
        ("agent.memory.list?cursor=nonsense", "InvalidCursor"),
        ("agent.memory.list?privacy=public", "UnsupportedPrivacy"),
        ("agent.memory.list?limit=101", "InvalidRequest"),
        ("agent.memory.list?since=yesterday", "InvalidRequest"),
        ("agent.memory.recall", "InvalidRequest"),
        ("agent.memory.recall?q=", "InvalidRequest"),
        ("agent.memory.recall?q=a&minScore=1001", "InvalidRequest"),
        ("agent.memory.get?uri=at://did:plc:other/agent.vault.sealed/x", "InvalidRequest"),
    ] {
        assert_eq!(world.get(path, &own).await.error(), (400, name), "{path}");
    }
    let foreign = format!("agent.memory.get?uri=at://{}/com.example.note/x", made["did"].as_str().unwrap());
    assert_eq!(world.get(&foreign, &own).await.error(), (400, "MemoryNotFound"));
    assert_eq!(world.get("agent.memory.list", ADMIN).await.error(), (403, "Forbidden"));
    assert_eq!(world.get("agent.memory.list", "").await.error(), (401, "AuthMissing"));
}

#[tokio::test]
async fn a_fact_that_held_twice_is_two_and_one_that_goes_on_is_one() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let fact = |from: &str, to: Option<&str>| {
        let mut memory = json!({"$type": "agent.memory.fact", "subject": "Dana", "predicate": "works at",
            "object": "Acme", "validFrom": from, "createdAt": "2018-01-01T00:00:00Z"});
        if let Some(to) = to {
            memory["validTo"] = json!(to);
        }
        json!({"memory": memory})
    };
    let (first, second) = ("2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z");
    let kept = world.post(REMEMBER, &own, fact(first, Some(second))).await.ok();
    let again = world.post(REMEMBER, &own, fact("2023-01-01T00:00:00Z", None)).await.ok();
    assert_eq!((&kept["status"], &again["status"]), (&json!("created"), &json!("created")));
    for (at, found) in [("2019-06-01", 1), ("2021-06-01", 0), ("2024-06-01", 1)] {
        let path = format!("agent.memory.recall?q=Dana&asOf={at}T00:00:00Z");
        assert_eq!(world.get(&path, &own).await.ok()["results"].as_array().unwrap().len(), found, "{at}");
    }
    // What meets it takes its place, and only its.
    let longer = world.post(REMEMBER, &own, fact(second, Some("2021-01-01T00:00:00Z"))).await.ok();
    assert_eq!((&longer["status"], &longer["uri"]), (&json!("updated"), &kept["uri"]));
    world.post(FORGET, &own, json!({"uris": [again["uri"]]})).await.ok();
    let last = world.post(REMEMBER, &own, fact("2024-01-01T00:00:00Z", None)).await.ok();
    assert_eq!(last["status"], "created");
}

#[tokio::test]
async fn a_cursor_is_taken_back_whatever_date_the_memory_has() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    for (name, date) in
        [("far", "9999-12-31"), ("now", "2026-01-01"), ("zero", "0001-01-01"), ("older", "0000-06-01")]
    {
        let created_at = format!("{date}T00:00:00Z");
        let memory = json!({"$type": "agent.memory.note", "summary": name, "createdAt": created_at});
        world.post(REMEMBER, &own, json!({"memory": memory})).await.ok();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("agent.memory.list?limit=1&cursor={cursor}"), &own).await.ok();
        seen.extend(
            page["memories"].as_array().unwrap().iter().map(|view| view["memory"]["summary"].clone()),
        );
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["far", "now", "zero", "older"]);
    let nonsense = world.get("agent.memory.list?cursor=nonsense", &own).await;
    assert_eq!(nonsense.error(), (400, "InvalidCursor"));
}

#[tokio::test]
async fn times_are_taken_as_people_write_them() {
    let world = World::new();
    let made = world.post("agent.admin.createAgent", ADMIN, json!({"name": "alice"})).await.ok();
    let own = bearer(&made["token"]);
    let remember =
        async |memory: Value| world.post("agent.memory.remember", &own, json!({"memory": memory})).await;
    let fact = json!({
        "$type": "agent.memory.fact", "subject": "tea", "predicate": "is", "object": "ready",
        "createdAt": "2026-01-31 12:34", "validFrom": "2026-01-31", "validTo": "2026-02-01T00:00+01",
    });
    let uri = remember(fact).await.ok()["uri"].clone();
    let path = format!("agent.memory.get?uri={}", uri.as_str().unwrap());
    let kept = world.get(&path, &own).await.ok()["memory"].clone();
    assert_eq!(
        (&kept["createdAt"], &kept["validFrom"], &kept["validTo"]),
        (&json!("2026-01-31T12:34:00Z"), &json!("2026-01-31T00:00:00Z"), &json!("2026-02-01T00:00:00+01:00"))
    );
    remember(json!({"$type": "com.example.own", "text": "x", "createdAt": "2026-03-01"})).await.ok();
    let found = async |query: &str| {
        let page = world.get(&format!("agent.memory.list?{query}"), &own).await.ok();
        page["memories"].as_array().unwrap().len()
    };
    assert_eq!((found("since=2026-02-01").await, found("until=2026-02-01%2000:00").await), (1, 1));
    let filter = json!({"filter": {"until": "2026-02-01"}, "dryRun": true});
    assert_eq!(world.post("agent.memory.forget", &own, filter).await.ok()["shredded"], 1);

    for refused in [
        remember(json!({"$type": "agent.memory.note", "summary": "x", "createdAt": "tomorrow"})).await,
        remember(json!({"$type": "com.example.own", "createdAt": "31.01.2026"})).await,
        world.get("agent.memory.list?since=yesterday", &own).await,
    ] {
        let why = refused.body["message"].as_str().unwrap();
        assert!(refused.status == 400 && why.contains("2026-01-31"), "{why}");
    }
}
