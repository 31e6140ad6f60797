//! Changes of several steps that lose their caller, their server or their PLC directory's answer on the way.

use std::time::{Duration, Instant};

use harness::zap::{create_account, create_agent};
use harness::{Client, Conduct, Peer, Zap};
use serde_json::{Value, json};
use tempfile::TempDir;
use zap::limits::FETCH_TIMEOUT_SECONDS;

/// What a change that goes on may take: an exchange that is given up, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(2 * FETCH_TIMEOUT_SECONDS + 20);
/// When callers hang up: the change is on its way to the PLC directory.
const HANG_UP: Duration = Duration::from_millis(700);

/// A server whose PLC directory, another server's, is slow when a test wants it.
struct Slow {
    _folders: [TempDir; 2],
    _first: Zap,
    zap: Zap,
    plc: Peer,
    real: Conduct,
    late: Conduct,
}

impl Slow {
    async fn start() -> Self {
        let (folder, first) = super::start("info").await;
        let (real, late) = (Conduct::Forward(first.plc_address), Conduct::Late(first.plc_address));
        let plc = Peer::start(real).await.unwrap();
        let other = tempfile::tempdir().unwrap();
        let zap = first.start_with_plc(other.path(), super::host("info"), plc.address).await.unwrap();
        Self { _folders: [folder, other], _first: first, zap, plc, real, late }
    }

    /// Calls while the directory is slow, and hangs up when it has been asked.
    async fn hang_up<T>(&self, call: impl Future<Output = T>) {
        self.plc.behave(self.late);
        let before = self.plc.unanswered();
        assert!(tokio::time::timeout(HANG_UP, call).await.is_err(), "the call had to wait for the directory");
        until("the directory asked", async || (self.plc.unanswered() > before).then_some(())).await;
    }

    /// One who hangs up. workerd takes a closed connection for one that is closed for writing, and hears of a reset only.
    fn leaving(&self) -> Client {
        let client = self.zap.client();
        if self.zap.is_worker() { client.resetting() } else { client }
    }

    async fn did_of(&self, handle: &str) -> Option<Value> {
        let path = format!("/xrpc/com.atproto.identity.resolveHandle?handle={handle}");
        let answer = self.zap.client().get(&path, None).await.ok()?;
        Some(answer.ok().ok()?["did"].clone())
    }

    async fn handle_in_document(&self, did: &str) -> Value {
        let mut directory = Client::new(self.plc.address);
        let document = directory.get(&format!("/{did}"), None).await.unwrap().json().unwrap();
        document["alsoKnownAs"][0].clone()
    }
}

impl Slow {
    /// An agent whose caller left is there, and its token waits for whoever asks for it again.
    async fn claim_dora(&self) {
        let did = until("dora", async || self.did_of("dora.test").await).await;
        let dora = until("the token", async || create_agent(&mut self.zap.client(), "dora").await.ok()).await;
        assert_eq!(did, dora.did.as_str());
        let session = "/xrpc/com.atproto.server.getSession";
        let session = self.zap.client().get(session, Some(&dora.authorization)).await.unwrap().ok().unwrap();
        assert_eq!(session["did"], dora.did.as_str());
        assert!(create_agent(&mut self.zap.client(), "dora").await.is_err(), "a token is given out once");
    }
}

/// Asks until there is an answer.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What breaks: the client left 0.7 s into a slow directory. A handle was neither usable nor free for ten minutes, an
/// agent became active and nobody ever got its token, a DID document said one handle and the server another.
#[tokio::test]
async fn changes_go_on_without_their_caller() {
    let slow = Slow::start().await;
    let bob = create_account(&mut slow.zap.client(), "bob.test").await.unwrap();

    slow.hang_up(create_account(&mut slow.leaving(), "carol.test")).await;
    slow.hang_up(create_agent(&mut slow.leaving(), "dora")).await;
    let input = json!({ "handle": "robert.test" });
    let mut client = slow.leaving();
    slow.hang_up(client.post("com.atproto.identity.updateHandle", Some(&bob.authorization), &input)).await;

    // Usable, with the password that was given.
    let login = json!({ "identifier": "carol.test", "password": "correct horse" });
    let carol = until("carol's session", async || {
        let answer = slow.zap.client().post("com.atproto.server.createSession", None, &login).await.ok()?;
        answer.ok().ok()
    })
    .await;
    assert_eq!(slow.did_of("carol.test").await, Some(carol["did"].clone()));
    slow.claim_dora().await;
    // Document and server say the same.
    until("robert", async || slow.did_of("robert.test").await).await;
    assert_eq!(slow.handle_in_document(&bob.did).await, "at://robert.test");
    assert_eq!(slow.did_of("bob.test").await, None);
}

/// What breaks: a change that was cut short stays so.
#[tokio::test]
async fn changes_go_on_after_a_crash() {
    let mut slow = Slow::start().await;
    let bob = create_account(&mut slow.zap.client(), "bob.test").await.unwrap();
    let erin = create_agent(&mut slow.zap.client(), "erin").await.unwrap();
    slow.hang_up(create_agent(&mut slow.leaving(), "dora")).await;
    let input = json!({ "handle": "robert.test" });
    let mut client = slow.leaving();
    slow.hang_up(client.post("com.atproto.identity.updateHandle", Some(&bob.authorization), &input)).await;
    let admin = format!("Bearer {}", harness::zap::ADMIN_TOKEN);
    let input = json!({ "agent": erin.did });
    slow.hang_up(client.post("agent.admin.deleteAgent", Some(&admin), &input)).await;
    slow.zap.kill().unwrap();
    slow.plc.behave(slow.real);
    slow.zap.restart().await.unwrap();

    until("robert", async || slow.did_of("robert.test").await).await;
    assert_eq!(slow.handle_in_document(&bob.did).await, "at://robert.test");
    slow.claim_dora().await;
    until("erin's end", async || slow.did_of("erin.test").await.is_none().then_some(())).await;
    let mut directory = Client::new(slow.plc.address);
    until("erin's tombstone", async || {
        let last = directory.get(&format!("/{}/log/last", erin.did), None).await.ok()?;
        (last.json().ok()?["type"] == "plc_tombstone").then_some(())
    })
    .await;
}
