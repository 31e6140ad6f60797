//! What owners and administrators set, until the server dies: what was answered holds, and what got no answer is done
//! whole or not at all.

use harness::{Account, Client, Zap};
use serde_json::{Value, json};

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
    /// Whether an account is taken down.
    Account(Account),
    /// Whether a record is.
    Record(Account, Value),
    /// An owner's preferences.
    Preferences(Account),
}

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
        match &self.what {
            What::Account(account) => {
                let path = format!("/xrpc/com.atproto.sync.getRepoStatus?did={}", account.did);
                let status = client.get(&path, None).await.unwrap().ok().unwrap();
                let is_down = status["active"] == false;
                assert!([answered, asked].map(is_odd).contains(&is_down), "{answered} {asked}: {status}");
                let repo = format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", account.did);
                let repo = client.get(&repo, None).await.unwrap();
                assert_eq!(repo.status != 200, is_down, "the two cells say the same: {repo:?}");
            }
            What::Record(account, subject) => {
                let rkey = subject["uri"].as_str().unwrap().rsplit('/').next().unwrap();
                let path = format!(
                    "/xrpc/com.atproto.repo.getRecord?repo={}&collection=com.example.note&rkey={rkey}",
                    account.did
                );
                let is_down = client.get(&path, None).await.unwrap().status != 200;
                assert!([answered, asked].map(is_odd).contains(&is_down), "{answered} {asked}: {is_down}");
            }
            What::Preferences(account) => {
                let path = "/xrpc/app.bsky.actor.getPreferences";
                let said = client.get(path, Some(&account.authorization)).await.unwrap().ok().unwrap();
                let number = said["preferences"][0]["number"].as_u64().unwrap_or_default();
                assert!([answered, asked].contains(&number), "{answered} {asked}: {said}");
            }
        }
        self.answered = asked;
    }

    /// How often it was set.
    pub(super) fn times(&self) -> u64 {
        self.asked
    }
}

fn is_odd(number: u64) -> bool {
    number % 2 == 1
}

/// Down by odd numbers, up again by even ones.
async fn take_down(client: &mut Client, subject: Value, number: u64) -> anyhow::Result<harness::Answer> {
    let input =
        json!({"subject": subject, "takedown": {"applied": is_odd(number), "ref": number.to_string()}});
    client.post("com.atproto.admin.updateSubjectStatus", Some(&admin()), &input).await
}
