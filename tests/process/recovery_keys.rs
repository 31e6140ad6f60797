//! A key of an owner's own, while the did:plc directory stalls or never ends an answer.

use std::time::{Duration, Instant};

use harness::zap::{create_account, create_agent};
use harness::{Client, Conduct, Peer};
use serde_json::{Value, json};
use zap::crypto::SigningKey;
use zap::limits::FETCH_TIMEOUT_SECONDS;

use crate::pages::{Browser, PASSWORD, RECOVERY_KEY};

/// The page itself asks once more, for the keys that it shows.
const TOLD_WITHIN: Duration = Duration::from_secs(2 * FETCH_TIMEOUT_SECONDS + 10);
/// Others write within a moment.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(5);

/// What breaks: an owner waits for ever, or is told nothing, or that a key is in the log which is not; or all others wait too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_told_when_the_directory_stalls_and_the_key_is_put_in_when_it_does_not() {
    let (_folder, first) = super::start("info").await;
    let peer = Peer::start(Conduct::Forward(first.plc_address)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let zap = first.start_with_plc(folder.path(), super::host("info"), peer.address).await.unwrap();
    let mut client = zap.client();
    let agent = create_agent(&mut client, "robin").await.unwrap();
    let key = SigningKey::from_bytes(&[5; 32]).unwrap().did_key();
    let mut all = Vec::new();
    for (name, conduct) in [("dripping", Conduct::Dripping), ("flooding", Conduct::Flooding)] {
        let account = create_account(&mut client, &format!("{name}.test")).await.unwrap();
        let browser = Browser::signed_in(&zap, &account.handle).await;
        all.push((account, browser, conduct));
    }
    let before = zap.usage().unwrap().resident_bytes;
    for (account, browser, conduct) in &mut all {
        let filled = [("key", &*key), ("password", PASSWORD)];
        let page = browser.open(RECOVERY_KEY).await.unwrap();
        page.says("This server’s.");
        peer.behave(*conduct);
        let start = Instant::now();
        let told = browser.fill(&page, RECOVERY_KEY, "add", &filled);
        let others = async {
            let input = json!({ "repo": agent.did, "collection": "com.example.note", "record":
                { "$type": "com.example.note", "text": "still here" } });
            let written = client.post("com.atproto.repo.createRecord", Some(&agent.authorization), &input);
            tokio::time::timeout(OTHERS_WAIT_MAX, written).await.unwrap().unwrap().success().unwrap();
        };
        let (told, ()) = tokio::join!(told, others);
        let (told, took) = (told.unwrap(), start.elapsed());
        assert!(took < TOLD_WITHIN, "{conduct:?}: told after {took:?}");
        let why = "The PLC directory could not be reached";
        assert!(told.status == 400 && told.text.contains(why), "{conduct:?}: {} {}", told.status, told.text);
        peer.behave(Conduct::Forward(first.plc_address));
        assert_eq!(log(first.plc_address, &account.did).await.len(), 1, "{conduct:?}: nothing was signed");
        let done = browser.send(RECOVERY_KEY, "add", &filled).await.unwrap();
        done.says("above this server’s");
        let log = log(first.plc_address, &account.did).await;
        assert_eq!((log.len(), &log[1]["rotationKeys"][0]), (2, &json!(key)), "{conduct:?}");
    }
    let grown = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    assert!(grown < 64 << 20 || super::on_worker(), "{grown} bytes");
}

async fn log(directory: std::net::SocketAddr, did: &str) -> Vec<Value> {
    let log = Client::new(directory).get(&format!("/{did}/log"), None).await.unwrap().ok().unwrap();
    log.as_array().unwrap().clone()
}
