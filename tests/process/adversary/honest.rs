//! Honest clients: they write, read and remember what they were told, and hold the server to it with every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::Account;
use hyper::Method;
use repo_mst::car::{CarLimits, read_all};
use repo_mst::commit::Commit;
use repo_mst::{MemoryBlocks, Walk, cid_for_raw, verify_tree};
use serde_json::{Value, json};

use super::faults::{Caller, Said};
use super::kept::Kept;
use crate::random::Random;

const NOTE: &str = "test.zap.note";
/// What one account keeps of each kind: a page of a list.
const KEPT_MAX: usize = 60;

/// The only writer of an agent.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) account: Account,
    /// The revs of answered commits.
    pub(super) revs: Vec<String>,
    notes: Kept,
    /// By their summaries.
    memories: Kept,
    uris: BTreeMap<String, String>,
    written: usize,
    random: Random,
}

impl Agent {
    pub(super) fn new(account: Account, random: Random) -> Self {
        Self {
            account,
            revs: Vec::new(),
            notes: Kept::default(),
            memories: Kept::default(),
            uris: BTreeMap::new(),
            written: 0,
            random,
        }
    }

    /// Goes on until all are to pause.
    pub(super) async fn work(mut self, mut caller: Caller) -> Self {
        while !caller.faults.is_paused() {
            if caller.faults.may_ask() {
                self.act(&mut caller).await;
            }
            tokio::time::sleep(Duration::from_millis(self.random.between(0, 50))).await;
        }
        self
    }

    async fn act(&mut self, caller: &mut Caller) {
        let notes: Vec<String> = self.notes.certain().into_iter().map(|(key, _)| key.clone()).collect();
        let picked = self.random.pick(&notes).cloned();
        match (self.random.between(0, 100), picked) {
            (0..45, Some(rkey)) if self.notes.len() >= KEPT_MAX => self.delete(caller, &rkey).await,
            (0..30, _) => self.create(caller).await,
            (30..35, _) => self.create_with_picture(caller).await,
            (35..45, Some(rkey)) => self.update(caller, &rkey).await,
            (45..55, Some(rkey)) => self.delete(caller, &rkey).await,
            (55..70, _) if self.memories.len() < KEPT_MAX => self.remember(caller).await,
            (55..75, _) => self.forget(caller).await,
            (75..82, _) => _ = self.read_notes(caller).await,
            (82..87, _) => _ = self.read_memories(caller).await,
            (87..93, _) => self.recall(caller).await,
            (93..96, _) => _ = self.export(caller).await,
            _ => _ = self.read_pictures(caller).await,
        }
    }

    /// All there is, read once more.
    pub(super) async fn read_all(&mut self, caller: &mut Caller) {
        let read = [
            self.read_notes(caller).await,
            self.read_memories(caller).await,
            self.export(caller).await,
            self.read_pictures(caller).await,
        ];
        assert!(read.iter().all(Option::is_some), "{} could not be read: {read:?}", self.account.handle);
    }

    async fn create(&mut self, caller: &mut Caller) {
        let (rkey, note) = self.note(None);
        self.write(caller, "createRecord", &rkey, note).await;
    }

    async fn create_with_picture(&mut self, caller: &mut Caller) {
        let bytes: Vec<u8> =
            (0..self.random.between(10, 5_000)).flat_map(|_| self.random.next().to_le_bytes()).collect();
        let own = Some(self.account.authorization.as_str());
        let path = "/xrpc/com.atproto.repo.uploadBlob";
        let said = caller.send(Method::POST, path, own, "application/octet-stream", bytes.into()).await;
        if let Some(uploaded) = self.hear(&said) {
            let (rkey, note) = self.note(Some(uploaded["blob"].clone()));
            self.write(caller, "createRecord", &rkey, note).await;
        }
    }

    async fn update(&mut self, caller: &mut Caller, rkey: &str) {
        let (_, note) = self.note(None);
        self.write(caller, "putRecord", rkey, note).await;
    }

    fn note(&mut self, picture: Option<Value>) -> (String, Value) {
        self.written += 1;
        let words = "words ".repeat(self.random.between(1, 400) as usize);
        let mut note = json!({ "$type": NOTE, "text": format!("{} {words}", self.written) });
        if let Some(picture) = picture {
            note["picture"] = picture;
        }
        (format!("n{}", self.written), note)
    }

    async fn write(&mut self, caller: &mut Caller, method: &str, rkey: &str, note: Value) {
        let input = json!({ "repo": self.account.did, "collection": NOTE, "rkey": rkey, "record": note });
        let own = Some(self.account.authorization.as_str());
        let said = caller.post(&format!("com.atproto.repo.{method}"), own, &input).await;
        self.hear(&said);
        learn(&mut self.notes, &said, rkey, note);
    }

    async fn delete(&mut self, caller: &mut Caller, rkey: &str) {
        let input = json!({ "repo": self.account.did, "collection": NOTE, "rkey": rkey });
        let own = Some(self.account.authorization.as_str());
        let said = caller.post("com.atproto.repo.deleteRecord", own, &input).await;
        self.hear(&said);
        learn(&mut self.notes, &said, rkey, Value::Null);
    }

    async fn remember(&mut self, caller: &mut Caller) {
        self.written += 1;
        let summary = format!("The word{} is kept", self.written);
        let created_at = "2026-11-30T00:00:00Z";
        let memory = json!({ "$type": "agent.memory.note", "summary": summary, "createdAt": created_at });
        let own = Some(self.account.authorization.as_str());
        let said = caller.post("agent.memory.remember", own, &json!({ "memory": memory })).await;
        if let Some(kept) = self.hear(&said) {
            self.uris.insert(summary.clone(), kept["uri"].as_str().unwrap().to_owned());
        }
        learn(&mut self.memories, &said, &summary, true.into());
    }

    async fn forget(&mut self, caller: &mut Caller) {
        let Some((summary, uri)) = self.a_memory() else { return };
        let own = Some(self.account.authorization.as_str());
        let said = caller.post("agent.memory.forget", own, &json!({ "uris": [uri] })).await;
        self.hear(&said);
        learn(&mut self.memories, &said, &summary, Value::Null);
    }

    /// One that is there for certain, with its address.
    fn a_memory(&mut self) -> Option<(String, String)> {
        let certain = self.memories.certain();
        let known: Vec<_> = certain
            .into_iter()
            .filter_map(|(key, _)| Some((key.clone(), self.uris.get(key)?.clone())))
            .collect();
        self.random.pick(&known).cloned()
    }

    async fn read_notes(&mut self, caller: &mut Caller) -> Option<()> {
        let path =
            format!("com.atproto.repo.listRecords?repo={}&collection={NOTE}&limit=100", self.account.did);
        let page = self.read(caller, &path).await?;
        let found = page["records"].as_array().unwrap().iter().map(|record| {
            let rkey = record["uri"].as_str().unwrap().rsplit('/').next().unwrap();
            (rkey.to_owned(), record["value"].clone())
        });
        self.notes.see(&self.account.handle, &found.collect());
        Some(())
    }

    async fn read_memories(&mut self, caller: &mut Caller) -> Option<()> {
        let page = self.read(caller, "agent.memory.list?limit=100").await?;
        let mut found = BTreeMap::new();
        self.uris.clear();
        for kept in page["memories"].as_array().unwrap() {
            let summary = kept["memory"]["summary"].as_str().unwrap();
            self.uris.insert(summary.to_owned(), kept["uri"].as_str().unwrap().to_owned());
            found.insert(summary.to_owned(), true.into());
        }
        self.memories.see(&self.account.handle, &found);
        Some(())
    }

    async fn recall(&mut self, caller: &mut Caller) {
        let Some((summary, _)) = self.a_memory() else { return };
        let word = summary.split(' ').nth(1).unwrap();
        if let Some(found) = self.read(caller, &format!("agent.memory.recall?q={word}")).await {
            assert!(found.to_string().contains(&summary), "{}: {summary}: {found}", self.account.handle);
        }
    }

    /// The whole repo as a relay gets it: one that is cut short does not pass for whole.
    async fn export(&mut self, caller: &mut Caller) -> Option<()> {
        let said = caller.get(&format!("com.atproto.sync.getRepo?did={}", self.account.did), None).await;
        let Said::Yes(car) = said else { return None };
        let whose = &self.account.handle;
        let limits =
            CarLimits { header_bytes: 999, section_bytes: 1 << 20, total_bytes: 1 << 24, blocks: 9_999 };
        let car = read_all(&car, limits).unwrap_or_else(|error| panic!("{whose}: {error}"));
        let blocks: MemoryBlocks = car.blocks.into_iter().collect();
        let commit = Commit::decode(blocks.get(&car.roots[0]).unwrap()).unwrap();
        verify_tree(&blocks, &commit.data).unwrap_or_else(|error| panic!("{whose}: {error}"));
        let records: Vec<_> =
            Walk::new(&blocks, &commit.data).unwrap().records().map(Result::unwrap).collect();
        for (path, cid) in &records {
            assert!(blocks.get(cid).is_some(), "{whose}: {path} is not in the export");
        }
        let notes: BTreeSet<&str> =
            records.iter().filter_map(|(path, _)| path.strip_prefix(NOTE)?.strip_prefix('/')).collect();
        self.notes.see_keys(whose, &notes);
        Some(())
    }

    /// Every picture is what was uploaded: its CID says so.
    async fn read_pictures(&mut self, caller: &mut Caller) -> Option<()> {
        let certain = self.notes.certain();
        let links: Vec<String> = certain
            .into_iter()
            .filter_map(|(_, note)| note["picture"]["ref"]["$link"].as_str().map(str::to_owned))
            .collect();
        for link in links {
            let path = format!("com.atproto.sync.getBlob?did={}&cid={link}", self.account.did);
            let Said::Yes(picture) = caller.get(&path, None).await else { return None };
            assert_eq!(cid_for_raw(&picture).to_string(), link, "{}", self.account.handle);
        }
        Some(())
    }

    async fn read(&mut self, caller: &mut Caller, path: &str) -> Option<Value> {
        let own = Some(self.account.authorization.as_str());
        let said = caller.get(path, own).await;
        self.hear(&said)
    }

    fn hear(&mut self, said: &Said) -> Option<Value> {
        let answer = said.json()?;
        self.revs.extend(answer["commit"]["rev"].as_str().map(str::to_owned));
        Some(answer)
    }
}

/// What one knows of a key after a write of `state` that was answered so.
fn learn(kept: &mut Kept, said: &Said, key: &str, state: Value) {
    match said {
        Said::Yes(_) => kept.settle(key, state),
        Said::No => {}
        Said::Unknown => kept.doubt(key, state),
    }
}
