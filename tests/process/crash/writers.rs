//! Clients that write until the server dies and remember what they were told.

use std::collections::BTreeMap;

use harness::{Account, Client};
use serde_json::{Value, json};

use crate::random::Random;

const POSTS: &str = "app.bsky.feed.post";
const SEALED: &str = "agent.vault.sealed";

/// What must be found under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The record of this CID.
    Present(String),
    /// Nothing: its deletion was answered.
    Absent,
    /// This record or what a write without an answer made of it.
    Unsure(String),
}

/// One account's only writer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) account: Account,
    pub(super) keeps_memories: bool,
    pub(super) expected: BTreeMap<String, Expected>,
    /// The revisions of answered commits.
    pub(super) revs: Vec<String>,
    /// Creations whose answer was lost, so that their keys are not known.
    pub(super) lost_creates: usize,
    updated: Vec<String>,
    written: usize,
    random: Random,
}

/// The server is gone.
struct Gone;

impl Writer {
    pub(super) fn of_posts(account: Account, random: Random) -> Self {
        Self {
            account,
            keeps_memories: false,
            expected: BTreeMap::new(),
            revs: Vec::new(),
            lost_creates: 0,
            updated: Vec::new(),
            written: 0,
            random,
        }
    }

    pub(super) fn of_memories(account: Account, random: Random) -> Self {
        Self { keeps_memories: true, ..Self::of_posts(account, random) }
    }

    pub(super) fn collection(&self) -> &'static str {
        if self.keeps_memories { SEALED } else { POSTS }
    }

    /// Whether the lost write under this key was an update, which leaves a CID nobody was told.
    pub(super) fn updates(&self, rkey: &str) -> bool {
        self.updated.iter().any(|updated| updated == rkey)
    }

    /// Writes until the connection breaks.
    pub(super) async fn run(mut self, mut client: Client) -> Self {
        loop {
            let present: Vec<String> = self
                .expected
                .iter()
                .filter(|(_, expected)| matches!(expected, Expected::Present(_)))
                .map(|(rkey, _)| rkey.clone())
                .collect();
            let picked = self.random.pick(&present).cloned();
            let done = match (self.random.next() % 10, picked) {
                (0..2, Some(rkey)) => self.delete(&mut client, rkey).await,
                (2..4, Some(rkey)) if !self.keeps_memories => self.update(&mut client, rkey).await,
                _ => self.create(&mut client).await,
            };
            if let Err(Gone) = done {
                return self;
            }
        }
    }

    async fn create(&mut self, client: &mut Client) -> Result<(), Gone> {
        self.written += 1;
        let text = format!("number {} of {}", self.written, self.account.handle);
        let answer = if self.keeps_memories {
            let memory =
                json!({ "$type": "agent.memory.note", "summary": text, "createdAt": "2026-01-01T00:00:00Z" });
            self.ask(client, "agent.memory.remember", json!({ "memory": memory })).await
        } else {
            let input = json!({ "repo": self.account.did, "collection": POSTS, "record": post(&text) });
            self.ask(client, "com.atproto.repo.createRecord", input).await
        };
        let Ok(answer) = answer else {
            self.lost_creates += 1;
            return Err(Gone);
        };
        let rkey = answer["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        self.expected.insert(rkey, Expected::Present(answer["cid"].as_str().unwrap().to_owned()));
        Ok(())
    }

    async fn update(&mut self, client: &mut Client, rkey: String) -> Result<(), Gone> {
        self.written += 1;
        let record = post(&format!("changed, number {}", self.written));
        let input = json!({ "repo": self.account.did, "collection": POSTS, "rkey": rkey, "record": record });
        let Ok(answer) = self.ask(client, "com.atproto.repo.putRecord", input).await else {
            self.unsure(&rkey);
            self.updated.push(rkey);
            return Err(Gone);
        };
        self.expected.insert(rkey, Expected::Present(answer["cid"].as_str().unwrap().to_owned()));
        Ok(())
    }

    async fn delete(&mut self, client: &mut Client, rkey: String) -> Result<(), Gone> {
        let answer = if self.keeps_memories {
            let uri = format!("at://{}/{SEALED}/{rkey}", self.account.did);
            self.ask(client, "agent.memory.forget", json!({ "uris": [uri] })).await
        } else {
            let input = json!({ "repo": self.account.did, "collection": POSTS, "rkey": rkey });
            self.ask(client, "com.atproto.repo.deleteRecord", input).await
        };
        if answer.is_err() {
            self.unsure(&rkey);
            return Err(Gone);
        }
        self.expected.insert(rkey, Expected::Absent);
        Ok(())
    }

    fn unsure(&mut self, rkey: &str) {
        if let Some(Expected::Present(cid)) = self.expected.get(rkey) {
            let unsure = Expected::Unsure(cid.clone());
            self.expected.insert(rkey.to_owned(), unsure);
        }
    }

    async fn ask(&mut self, client: &mut Client, nsid: &str, input: Value) -> Result<Value, Gone> {
        let answer = client.post(nsid, Some(&self.account.authorization), &input).await.map_err(|_| Gone)?;
        let answer = answer.ok().unwrap_or_else(|error| panic!("{nsid}: {error:#}"));
        self.revs.extend(answer["commit"]["rev"].as_str().map(str::to_owned));
        Ok(answer)
    }
}

fn post(text: &str) -> Value {
    json!({ "$type": POSTS, "text": text, "createdAt": "2026-01-01T00:00:00.000Z" })
}
