//! Invariant 7: plaintext never rests. Strings that occur nowhere else are remembered, and then looked for in every
//! byte of the data folder, in every frame, and in all the server says at its most talkative.

use std::path::{Path, PathBuf};

use harness::zap::create_agent;
use harness::{Account, Client, Zap};
use serde_json::{Value, json};

use crate::firehose;

/// What breaks: a secret of an agent lies in a file, a log or the public stream.
#[tokio::test]
async fn memories_rest_nowhere_in_the_clear() {
    let (_folder, mut zap) = super::start("trace").await;
    let mut client = zap.client();
    let mut agents = Vec::new();
    let mut canaries = Vec::new();
    let mut uris = Vec::new();
    for name in ["coal", "mine"] {
        let agent = create_agent(&mut client, name).await.unwrap();
        for (index, memory) in memories(name).into_iter().enumerate() {
            canaries.extend(canaries_of(&memory));
            let uri = remember(&mut client, &agent, &memory).await;
            uris.push((agents.len(), index, uri));
        }
        agents.push(agent);
    }
    // Reading, searching and refusing leave traces of their own.
    for (agent, index, uri) in &uris {
        let agent = &agents[*agent];
        assert_eq!(get(&mut client, agent, uri).await.0, 200);
        let path =
            format!("/xrpc/agent.memory.recall?q=canary{}{index}text", agent.handle.replace(".test", ""));
        client.get(&path, Some(&agent.authorization)).await.unwrap().success().unwrap();
    }
    let stranger = &agents[1];
    assert_ne!(get(&mut client, stranger, &uris[0].2).await.0, 200, "another agent's token opens the vault");
    let invalid =
        json!({ "memory": { "$type": "agent.memory.note", "text": "canarycoal9invalid", "createdAt": 1 } });
    let refused =
        client.post("agent.memory.remember", Some(&agents[0].authorization), &invalid).await.unwrap();
    assert_eq!(refused.status, 400);
    canaries.push("canarycoal9invalid".to_owned());

    // While it runs, with WAL files and all.
    look_everywhere(&zap, &agents, &canaries).await;

    // What is forgotten can't be read any more, what is not still can, also after a restart.
    let (forgotten, kept) = uris.split_at(uris.len() / 2);
    for (agent, _, uri) in forgotten {
        let authorization = Some(agents[*agent].authorization.as_str());
        let answer =
            client.post("agent.memory.forget", authorization, &json!({ "uris": [uri] })).await.unwrap();
        assert_eq!(answer.ok().unwrap()["forgotten"], 1);
    }
    zap.stop().await.unwrap();
    look_everywhere_at_rest(&zap, &canaries);
    zap.restart().await.unwrap();
    for (agent, _, uri) in forgotten {
        assert_eq!(get(&mut client, &agents[*agent], uri).await, (400, "MemoryNotFound".to_owned()));
    }
    for (agent, _, uri) in kept {
        assert_eq!(get(&mut client, &agents[*agent], uri).await.0, 200);
    }
    look_everywhere(&zap, &agents, &canaries).await;
}

/// Memories of several types, with a canary in every field that takes text; one is above the size of a page.
fn memories(name: &str) -> Vec<Value> {
    let date = "2026-01-01T00:00:00.000Z";
    let word = |index: usize, field: &str| format!("canary{name}{index}{field}");
    vec![
        json!({ "$type": "agent.memory.note", "summary": word(0, "summary"), "text": word(0, "text"),
            "tags": [word(0, "tag")], "source": word(0, "source"), "createdAt": date }),
        json!({ "$type": "agent.memory.fact", "subject": word(1, "subject"), "predicate": word(1, "predicate"),
            "object": word(1, "text"), "createdAt": date }),
        json!({ "$type": "agent.memory.episode", "text": word(2, "text"), "happenedAt": date,
            "participants": [], "createdAt": date }),
        json!({ "$type": "agent.memory.note", "summary": word(3, "summary"),
            "text": format!("{} ", word(3, "text")).repeat(500), "createdAt": date }),
        json!({ "$type": "com.example.diary", "entry": word(4, "text") }),
    ]
}

fn canaries_of(memory: &Value) -> Vec<String> {
    match memory {
        Value::String(text) => {
            text.split(' ').find(|word| word.starts_with("canary")).map(str::to_owned).into_iter().collect()
        }
        Value::Array(items) => items.iter().flat_map(canaries_of).collect(),
        Value::Object(fields) => fields.values().flat_map(canaries_of).collect(),
        _ => Vec::new(),
    }
}

async fn remember(client: &mut Client, agent: &Account, memory: &Value) -> String {
    let input = json!({ "memory": memory });
    let answer = client.post("agent.memory.remember", Some(&agent.authorization), &input).await.unwrap();
    answer.ok().unwrap()["uri"].as_str().unwrap().to_owned()
}

async fn get(client: &mut Client, agent: &Account, uri: &str) -> (u16, String) {
    let path = format!("/xrpc/agent.memory.get?uri={uri}");
    let answer = client.get(&path, Some(&agent.authorization)).await.unwrap();
    (answer.status, answer.error_name())
}

async fn look_everywhere(zap: &Zap, agents: &[Account], canaries: &[String]) {
    look_everywhere_at_rest(zap, canaries);
    for (index, frame) in firehose::backfill(zap, agents).await.iter().enumerate() {
        assert_without(frame, canaries, &format!("frame {index}"));
    }
}

fn look_everywhere_at_rest(zap: &Zap, canaries: &[String]) {
    let mut files = files(&zap.data);
    assert!(files.len() > 3, "the data folder has only {files:?}");
    files.push(zap.log.clone());
    let said = std::fs::metadata(&zap.log).unwrap().len();
    assert!(said > 1000 || zap.is_worker(), "the server says nothing at level trace");
    for file in files {
        // A WAL may go while it is looked for.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        assert_without(&bytes, canaries, &file.display().to_string());
    }
}

/// None of the canaries, in whatever case and as UTF-16 or base64 neither.
fn assert_without(bytes: &[u8], canaries: &[String], place: &str) {
    let lower = bytes.to_ascii_lowercase();
    let narrow: Vec<u8> = lower.iter().copied().filter(|byte| *byte != 0).collect();
    for canary in canaries {
        for text in [&lower, &narrow] {
            let found = text.windows(canary.len()).position(|window| window == canary.as_bytes());
            assert_eq!(found, None, "{place} holds {canary}");
        }
    }
    let encoded = data_encoding::BASE64.encode(b"canary");
    let found = bytes.windows(encoded.len()).position(|window| window == encoded.as_bytes());
    assert_eq!(found, None, "{place} holds a canary in base64");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
#[should_panic(expected = "holds canarycoal0text")]
fn the_search_finds_what_is_there() {
    assert_without(b"..CanaryCoal0Text..", &["canarycoal0text".to_owned()], "this");
}
