//! Mail as it leaves: by SMTP to a real mail server, and through an HTTP service, which is the one way that both hosts have.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use harness::process::free_address;
use harness::zap::create_account;
use harness::{Account, Client, Conduct, Peer, Process, Settings, Zap};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::python::python;

const FROM: &str = "Our Agents <mail@agents.example.com>";
/// A mail that waits is tried again after ten seconds, and then thirty.
const ARRIVES_WITHIN: Duration = Duration::from_secs(90);

/// A mail server, which is gone when dropped.
struct MailServer {
    _process: Process,
    file: PathBuf,
}

impl MailServer {
    async fn start(python: &Path, address: SocketAddr, folder: &Path, more: &[&str]) -> Self {
        let file = folder.join("mails.jsonl");
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/mail_server.py"));
        command.arg(address.port().to_string()).arg(&file).args(more);
        let process = Process::start(&mut command, &folder.join("smtp.log")).unwrap();
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the mail server does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { _process: process, file }
    }

    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < ARRIVES_WITHIN, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask_for_code(client: &mut Client, alice: &Account) {
    let nsid = "com.atproto.server.requestEmailConfirmation";
    client.post(nsid, Some(alice.authorization.as_str()), &json!({})).await.unwrap().success().unwrap();
}

async fn confirm(client: &mut Client, alice: &Account, text: &str) {
    let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
    let token = text.split_whitespace().find(is_code).unwrap();
    let input = json!({"email": "alice@example.com", "token": token});
    let nsid = "com.atproto.server.confirmEmail";
    client.post(nsid, Some(alice.authorization.as_str()), &input).await.unwrap().success().unwrap();
}

fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = mail["headers"].as_array().unwrap().iter();
    headers.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap()).collect()
}

/// What breaks: what somebody was told to look for in their mailbox is lost with the mail server, or with ours, or comes
/// twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_outlives_a_mail_server_that_is_down_and_kill_9_and_goes_once() {
    if super::on_worker() {
        return; // It speaks no SMTP.
    }
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let address = free_address().unwrap();
    let settings =
        Settings::from([("smtp-url", format!("smtp://{address}")), ("mail-from", FROM.to_owned())]);
    let mut zap: Zap = super::start_in(folder.path(), "info", settings).await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let asked = Instant::now();
    ask_for_code(&mut client, &alice).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "nobody waits for the mail server");
    zap.kill().unwrap();
    let server = MailServer::start(&python, address, folder.path(), &[]).await;
    zap.restart().await.unwrap();
    until("the mail does not come", || !server.mails().is_empty()).await;
    let mut client = zap.client();
    // One that is asked for now comes at once, and behind the first no second of it.
    let request = "com.atproto.server.requestAccountDelete";
    client.post(request, Some(alice.authorization.as_str()), &json!({})).await.unwrap().success().unwrap();
    until("the second mail does not come", || server.mails().len() >= 2).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mails = server.mails();
    assert_eq!(mails.len(), 2, "{mails:#?}");
    let first = &mails[0];
    assert_eq!(first["sender"], json!("mail@agents.example.com"));
    assert_eq!(first["recipients"], json!(["alice@example.com"]));
    assert_eq!(header(first, "From")[0].replace('"', ""), FROM);
    assert_eq!(header(first, "To"), ["alice@example.com"]);
    assert_eq!(header(first, "Subject"), ["Confirm your e-mail address"]);
    assert_eq!(header(first, "Message-ID").len(), 1);
    assert!(first["html"].as_str().unwrap().contains("alice.test"));
    confirm(&mut client, &alice, first["text"].as_str().unwrap()).await;
    let log = std::fs::read_to_string(&zap.log).unwrap();
    assert!(!log.contains("alice@example.com"), "{log}");
}

/// What breaks: a mail server that is silent, or a byte a second, holds up requests; one that knows nobody is asked for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_stalls_or_refuses_harms_nobody() {
    if super::on_worker() {
        return; // It speaks no SMTP.
    }
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(Conduct::Silent).await.unwrap();
    let url = format!("smtp://{}", peer.address);
    let settings = Settings::from([("smtp-url", url), ("mail-from", FROM.to_owned())]);
    let zap = super::start_in(folder.path(), "info", settings).await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    ask_for_code(&mut client, &alice).await;
    until("the mail server is not asked", || peer.open() > 0).await;
    let asked = Instant::now();
    ask_for_code(&mut client, &alice).await;
    assert!(asked.elapsed() < Duration::from_secs(5));
    let refusing = free_address().unwrap();
    let _server = MailServer::start(&python, refusing, folder.path(), &["refuse"]).await;
    peer.behave(Conduct::Forward(refusing));
    let log = || std::fs::read_to_string(&zap.log).unwrap();
    until("the refusal is not heard", || log().contains("is refused, and is not tried again")).await;
    assert!(!log().contains("alice@example.com"), "{}", log());
}

/// An HTTP service for mail that refuses the first one it is given.
#[derive(Clone, Default)]
struct Service {
    asked: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

async fn take(State(service): State<Service>, headers: HeaderMap, Json(mail): Json<Value>) -> StatusCode {
    let mut asked = service.asked.lock().unwrap();
    asked.push((headers, mail));
    if asked.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_through_an_http_service_later_once() {
    let service = Service::default();
    let router = axum::Router::new().route("/emails", post(take)).with_state(service.clone());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::from([
        ("mail-url", format!("http://localhost:{port}/emails")),
        ("mail-token", "token-of-a-test".to_owned()),
        ("mail-from", FROM.to_owned()),
    ]);
    let zap = super::start_in(folder.path(), "info", settings).await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    ask_for_code(&mut client, &alice).await;
    let asked = || service.asked.lock().unwrap().clone();
    until("the service is not asked again", || asked().len() >= 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let keys: Vec<_> = asked.iter().map(|(headers, _)| headers["idempotency-key"].clone()).collect();
    assert_eq!(keys[0], keys[1], "the service can tell that it is the same");
    let (headers, mail) = &asked[1];
    assert_eq!(headers["authorization"], "Bearer token-of-a-test");
    assert_eq!((&mail["from"], &mail["to"]), (&json!(FROM), &json!(["alice@example.com"])));
    assert_eq!(mail["subject"], json!("Confirm your e-mail address"));
    assert!(mail["html"].as_str().unwrap().contains("alice.test"));
    confirm(&mut client, &alice, mail["text"].as_str().unwrap()).await;
}
