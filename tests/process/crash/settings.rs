//! What owners and administrators set, until the server dies: what was answered holds, and what got no answer is done
//! whole or not at all.

use std::time::{Duration, Instant};

use harness::zap::create_account;
use harness::{Account, Client, Zap};
use serde_json::{Value, json};

use crate::firehose;
use crate::random::Random;

/// One thing that is set over and over, by one client.
pub(super) struct Setter {
    what: What,
    /// What was answered last.
    answered: u64,
    /// What was asked for last.
    asked: u64,
}

enum What {
    /// Whether an account is taken down, and under which number.
    Account(Account),
    /// The same of a record.
    Record(Account, Value),
    /// An owner's preferences.
    Preferences(Account),
}

/// What waits in an outbox is tried again every few seconds.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

fn admin() -> String {
    format!("Bearer {}", harness::zap::ADMIN_TOKEN)
}

impl Setter {
    fn of(what: What) -> Self {
        Self { what, answered: 0, asked: 0 }
    }

    pub(super) fn account(account: Account) -> Self {
        Self::of(What::Account(account))
    }

    /// Of a record that is written now.
    pub(super) async fn record(client: &mut Client, account: Account) -> Self {
        let input = json!({"repo": account.did, "collection": "com.example.note",
            "record": {"$type": "com.example.note", "text": "seen by some"}});
        let created =
            client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await;
        let created = created.unwrap().ok().unwrap();
        let subject =
            json!({"$type": "com.atproto.repo.strongRef", "uri": created["uri"], "cid": created["cid"]});
        Self::of(What::Record(account, subject))
    }

    pub(super) fn preferences(account: Account) -> Self {
        Self::of(What::Preferences(account))
    }

    /// Sets until the server is gone.
    pub(super) async fn run(mut self, mut client: Client, mut random: Random) -> Self {
        loop {
            self.asked += 1;
            let answer = match &self.what {
                What::Account(account) => {
                    let subject = json!({"$type": "com.atproto.admin.defs#repoRef", "did": account.did});
                    take_down(&mut client, subject, self.asked).await
                }
                What::Record(_, subject) => take_down(&mut client, subject.clone(), self.asked).await,
                What::Preferences(account) => {
                    let input = json!({"preferences": [
                        {"$type": "app.bsky.actor.defs#adultContentPref", "enabled": true, "number": self.asked}]});
                    client.post("app.bsky.actor.putPreferences", Some(&account.authorization), &input).await
                }
            };
            match answer {
                Ok(answer) => answer.success().unwrap(),
                Err(_) => return self,
            }
            self.answered = self.asked;
            tokio::time::sleep(std::time::Duration::from_millis(random.between(0, 20))).await;
        }
    }

    /// Sees that what holds is what was answered, or what was asked for after that.
    pub(super) async fn check(&mut self, zap: &Zap) {
        let mut client = zap.client();
        let (answered, asked) = (self.answered, self.asked);
        let found = match &self.what {
            What::Account(account) => takedown(&mut client, &format!("did={}", account.did)).await,
            What::Record(account, subject) => {
                let uri = subject["uri"].as_str().unwrap();
                let found = takedown(&mut client, &format!("uri={uri}")).await;
                let rkey = uri.rsplit('/').next().unwrap();
                let path = format!(
                    "/xrpc/com.atproto.repo.getRecord?repo={}&collection=com.example.note&rkey={rkey}",
                    account.did
                );
                let is_shown = client.get(&path, None).await.unwrap().status == 200;
                assert_eq!(is_shown, found == 0, "{found}");
                found
            }
            What::Preferences(account) => {
                let path = "/xrpc/app.bsky.actor.getPreferences";
                let said = client.get(path, Some(&account.authorization)).await.unwrap().ok().unwrap();
                said["preferences"][0]["number"].as_u64().unwrap_or_default()
            }
        };
        let wanted = match &self.what {
            What::Account(_) | What::Record(..) => [answered, asked].map(kept),
            What::Preferences(_) => [answered, asked],
        };
        assert!(wanted.contains(&found), "found {found}, answered {answered}, asked {asked}");
        // What had no answer is done, or is not.
        self.answered = if found == wanted[1] { asked } else { answered };
    }

    /// Sees that the network hears, of the account's own cell, what the directory has.
    pub(super) async fn check_told(&self, zap: &Zap) {
        let What::Account(account) = &self.what else { return };
        let mut client = zap.client();
        let path = format!("/xrpc/com.atproto.sync.getRepoStatus?did={}", account.did);
        let status = client.get(&path, None).await.unwrap().ok().unwrap();
        let marker = create_account(&mut client, "marker.test").await.unwrap();
        let start = Instant::now();
        loop {
            create_note(&mut client, &marker).await;
            let frames = firehose::backfill(zap, std::slice::from_ref(&marker)).await;
            let told = frames.iter().filter_map(|frame| firehose::is_active(frame, &account.did)).next_back();
            if told == status["active"].as_bool() {
                return;
            }
            assert!(start.elapsed() < TOLD_WITHIN, "{status}, and the network was told {told:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How often it was set.
    pub(super) fn times(&self) -> u64 {
        self.asked
    }
}

async fn create_note(client: &mut Client, account: &Account) -> Value {
    let input = json!({"repo": account.did, "collection": "com.example.note",
        "record": {"$type": "com.example.note", "text": "seen by some"}});
    let created = client.post("com.atproto.repo.createRecord", Some(&account.authorization), &input).await;
    created.unwrap().ok().unwrap()
}

/// Every fourth time the subject is let go, and is taken down under another number else.
fn kept(number: u64) -> u64 {
    if number.is_multiple_of(4) { 0 } else { number }
}

async fn take_down(client: &mut Client, subject: Value, number: u64) -> anyhow::Result<harness::Answer> {
    let takedown = match kept(number) {
        0 => json!({"applied": false}),
        number => json!({"applied": true, "ref": number.to_string()}),
    };
    let input = json!({"subject": subject, "takedown": takedown});
    client.post("com.atproto.admin.updateSubjectStatus", Some(&admin()), &input).await
}

/// Under which number a subject is taken down; 0 where it is not.
async fn takedown(client: &mut Client, subject: &str) -> u64 {
    let path = format!("/xrpc/com.atproto.admin.getSubjectStatus?{subject}");
    let status = client.get(&path, Some(&admin())).await.unwrap().ok().unwrap();
    let takedown = &status["takedown"];
    takedown["ref"]
        .as_str()
        .filter(|_| takedown["applied"] == true)
        .map_or(0, |number| number.parse().unwrap())
}
