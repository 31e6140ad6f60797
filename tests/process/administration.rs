//! What the operator does to accounts from the terminal: against a real server, as it works and as it is refused.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use harness::zap::{create_account, create_agent};
use harness::{Account, Client, Settings, Zap};
use http::StatusCode;
use hyper::Method;
use serde_json::{Value, json};

const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\nnot much of a picture";

/// Runs `zap` with `--json` on standard input `input`.
pub(crate) fn run(zap: &Zap, args: &[&str], input: &str) -> Output {
    let mut command = zap.command();
    command.args(args).arg("--json");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn done_with(zap: &Zap, args: &[&str], input: &str) -> Value {
    let output = run(zap, args, input);
    assert!(output.status.success(), "zap {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn done(zap: &Zap, args: &[&str]) -> Value {
    done_with(zap, args, "")
}

/// Runs what has to fail: its exit code, the error's name, and the next step, which it has to tell.
fn refused(zap: &Zap, args: &[&str]) -> (i32, String, String) {
    let output = run(zap, args, "some text");
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("{args:?}: {told}")).to_owned();
    (output.status.code().unwrap(), text("error"), text("hint"))
}

async fn signs_in(client: &mut Client, identifier: &str, password: &str) -> bool {
    let input = json!({"identifier": identifier, "password": password});
    client.post("com.atproto.server.createSession", None, &input).await.unwrap().status == 200
}

/// What breaks: an account that the terminal made is nobody's; a command says that it did what it did not do.
#[tokio::test]
async fn accounts_are_made_shown_changed_and_deleted() {
    let (_folder, zap) = super::start("info").await;
    let mut client = zap.client();
    let dana = done(&zap, &["account", "create", "dana", "--email", "dana@example.com"]);
    let (did, password) = (dana["did"].as_str().unwrap(), dana["password"].as_str().unwrap());
    assert_eq!((&dana["handle"], &dana["email"]), (&json!("dana.test"), &json!("dana@example.com")));
    assert!(signs_in(&mut client, "dana.test", password).await);
    let args = ["account", "create", "evan.test", "--email", "evan@example.net", "--password-file", "-"];
    let evan = done_with(&zap, &args, "correct horse\n");
    assert_eq!(evan.get("password"), None, "who gave it knows it");
    assert!(signs_in(&mut client, "evan.test", "correct horse").await);

    let listed = done(&zap, &["account", "list"]);
    let handles: Vec<_> = listed["accounts"].as_array().unwrap().iter().map(|one| &one["handle"]).collect();
    assert_eq!(handles, ["dana.test", "evan.test"]);
    let first = done(&zap, &["account", "list", "--limit", "1"]);
    let rest = done(&zap, &["account", "list", "--cursor", first["cursor"].as_str().unwrap(), "--all"]);
    assert_eq!(rest["accounts"][0]["handle"], "evan.test");
    let found = done(&zap, &["account", "search", "EXAMPLE.net"]);
    assert_eq!(found["accounts"].as_array().unwrap().len(), 1);
    let shown = done(&zap, &["account", "show", did]);
    assert_eq!((&shown["status"], &shown["kind"]), (&json!("active"), &json!("person")));
    assert_eq!(shown["takedown"], json!({"applied": false}));

    done(&zap, &["account", "handle", "dana", "daria"]);
    assert_eq!(done(&zap, &["account", "show", "daria"])["did"], did);
    done(&zap, &["account", "email", "daria", "daria@example.com"]);
    assert_eq!(done(&zap, &["account", "show", "daria"])["email"], "daria@example.com");
    let reset = done(&zap, &["account", "password-reset", "daria"]);
    assert!(!signs_in(&mut client, did, password).await);
    assert!(signs_in(&mut client, did, reset["password"].as_str().unwrap()).await);
    done(&zap, &["account", "revoke", "daria", "--yes"]);
    assert!(!signs_in(&mut client, did, reset["password"].as_str().unwrap()).await);

    assert_eq!(refused(&zap, &["account", "delete", "daria"]).0, 2);
    assert_eq!(refused(&zap, &["account", "revoke", "daria"]).0, 2);
    done(&zap, &["account", "delete", "daria", "--yes"]);
    let (code, name, hint) = refused(&zap, &["account", "show", "daria"]);
    assert_eq!((code, name.as_str()), (3, "NotFound"));
    assert!(hint.contains("zap account list"), "{hint}");
    for args in [
        &["account", "delete", "daria"][..],
        &["account", "email", did, "a@example.com"],
        &["account", "takedown", "nobody"],
        &["account", "invites", "nobody", "off"],
        &["takedown", "at://evan.test/com.example.post/none"],
        &["takedown", "evan", "--blob", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"],
    ] {
        let refused = refused(&zap, args);
        assert_eq!((refused.0, refused.1.as_str()), (3, "NotFound"), "{args:?}");
    }
    // Two have no one address or handle.
    assert_eq!(refused(&zap, &["account", "create", "evan"]).1, "HandleNotAvailable");
    assert_eq!(refused(&zap, &["account", "list", "--token", "wrong"]).0, 4);
}

/// What breaks: the operator reads memories by setting a password, or is not told why that is refused and what to do.
#[tokio::test]
async fn the_credentials_of_who_has_memories_stay_their_own() {
    let (_folder, zap) = super::start("info").await;
    let mut client = zap.client();
    create_agent(&mut client, "alice").await.unwrap();
    let bob = create_account(&mut client, "bob.test").await.unwrap();
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "the kettle is red"}});
    let own = Some(bob.authorization.as_str());
    client.post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
    for (account, instead) in [("alice", "zap agent token alice.test --rotate"), ("bob", "--mail")] {
        for args in
            [&["account", "password-reset", account][..], &["account", "email", account, "e@example.com"]]
        {
            let (code, name, hint) = refused(&zap, args);
            assert_eq!((code, name.as_str()), (4, "Forbidden"), "{args:?}");
            assert!(hint.contains(instead), "{args:?}: {hint}");
        }
    }
    assert!(signs_in(&mut client, "bob.test", "correct horse").await, "nothing was changed");
    // This server sends no mail, and an agent has no address.
    let (code, name, hint) = refused(&zap, &["account", "password-reset", "bob", "--mail"]);
    assert_eq!((code, name.as_str()), (1, "MethodNotImplemented"));
    assert!(hint.contains("--smtp-url"), "{hint}");
    assert_eq!(
        refused(&zap, &["account", "send-mail", "bob", "--subject", "News"]).1,
        "MethodNotImplemented"
    );
    let (code, _, hint) = refused(&zap, &["account", "password-reset", "alice", "--mail"]);
    assert!(code == 1 && hint.contains("zap agent token"), "{hint}");
}

/// A post with a picture: its URI, and the picture's CID.
async fn post_with_picture(client: &mut Client, alice: &Account) -> (String, String) {
    let own = Some(alice.authorization.as_str());
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let uploaded =
        client.send(Method::POST, path, own, Some("image/png"), Bytes::from_static(PICTURE)).await.unwrap();
    let blob = uploaded.ok().unwrap()["blob"].clone();
    let record = json!({"$type": "com.example.post", "text": "hello", "picture": blob});
    let input = json!({"repo": alice.did, "collection": "com.example.post", "record": record});
    let made = client.post("com.atproto.repo.createRecord", own, &input).await.unwrap().ok().unwrap();
    (made["uri"].as_str().unwrap().to_owned(), blob["ref"]["$link"].as_str().unwrap().to_owned())
}

/// What breaks: what was taken down is shown, or what was restored is not; one that was taken down is not found any more.
#[tokio::test]
async fn accounts_records_and_blobs_are_taken_down_and_restored() {
    let (_folder, zap) = super::start("info").await;
    let mut client = zap.client();
    let alice = create_account(&mut client, "alice.test").await.unwrap();
    let (uri, cid) = post_with_picture(&mut client, &alice).await;
    let rkey = uri.rsplit_once('/').unwrap().1;
    let did = &alice.did;
    let record =
        format!("/xrpc/com.atproto.repo.getRecord?repo={did}&collection=com.example.post&rkey={rkey}");
    let blob = format!("/xrpc/com.atproto.sync.getBlob?did={did}&cid={cid}");
    let by_handle = format!("at://alice.test/com.example.post/{rkey}");
    let repo = format!("/xrpc/com.atproto.repo.describeRepo?repo={did}");
    for (path, subject) in [
        (&record, &[by_handle.as_str()][..]),
        (&record, &[uri.as_str()]),
        (&blob, &["alice", "--blob", cid.as_str()]),
        (&repo, &["alice"]),
        (&repo, &["at://alice.test"]),
    ] {
        let mut seen = async || client.get(path, None).await.unwrap().status == 200;
        assert!(seen().await, "{subject:?}");
        let down = done(&zap, &[&["takedown"], subject, &["--ref", "case 7"]].concat());
        assert_eq!(down["takedown"], json!({"applied": true, "ref": "case 7"}));
        assert!(!seen().await, "{subject:?}");
        let standing = done(&zap, &[&["takedown"], subject, &["--status"]].concat());
        assert_eq!(standing["takedown"], down["takedown"], "{subject:?}");
        let restored = done(&zap, &[&["restore"], subject].concat());
        assert_eq!(restored["takedown"], json!({"applied": false}));
        assert!(seen().await, "{subject:?}");
    }
    let mut rests = async || client.get(&repo, None).await.unwrap().status != 200;
    done(&zap, &["account", "takedown", "alice"]);
    assert!(rests().await);
    assert_eq!(done(&zap, &["account", "show", "alice"])["status"], "takendown");
    done(&zap, &["account", "untakedown", "alice"]);
    assert!(!rests().await);
    done(&zap, &["account", "deactivate", "alice"]);
    assert!(rests().await);
    assert_eq!(done(&zap, &["account", "show", "alice"])["status"], "deactivated");
    done(&zap, &["account", "activate", "alice"]);
    assert!(!rests().await);
    assert_eq!(refused(&zap, &["takedown", &uri, "--blob", &cid]).0, 2);
}

/// What breaks: a code that was withdrawn is good, or a failed signup leaves one that is.
#[tokio::test]
async fn invite_codes_are_made_counted_and_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::from([("invite-required", "true".to_owned())]);
    let zap = super::start_in(folder.path(), "info", settings).await;
    let mut client = zap.client();
    let mut sign_up = async |name: &str, code: &str| {
        let input = json!({"handle": format!("{name}.test"), "email": format!("{name}@example.com"),
            "password": "correct horse", "inviteCode": code});
        client.post("com.atproto.server.createAccount", None, &input).await.unwrap().error_name()
    };
    let made = done(&zap, &["invite", "create", "--count", "2", "--uses", "2"]);
    let codes: Vec<_> =
        made["codes"][0]["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes.len(), 2);
    sign_up("alice", codes[0]).await;
    let of = |code: &str| {
        let listed = done(&zap, &["invite", "list"]);
        let found = listed["codes"].as_array().unwrap().iter().find(|one| one["code"] == code).cloned();
        found.unwrap()
    };
    assert_eq!((of(codes[0])["uses"].as_array().unwrap().len(), &of(codes[0])["available"]), (1, &json!(2)));

    let (code, name, _) = refused(&zap, &["invite", "disable", codes[0], "no-such-code"]);
    assert_eq!((code, name.as_str()), (3, "NotFound"));
    assert_eq!(of(codes[0])["disabled"], false, "all or none");
    done(&zap, &["invite", "disable", codes[0]]);
    assert_eq!(of(codes[0])["disabled"], true);
    assert_eq!(sign_up("bob", codes[0]).await, "InvalidInviteCode");

    // One is made for who is created from here, and is no use to anybody where that fails.
    done(&zap, &["account", "create", "carol", "--email", "carol@example.com"]);
    assert_eq!(refused(&zap, &["account", "create", "carol"]).1, "HandleNotAvailable");
    let listed = done(&zap, &["invite", "list", "--all"]);
    let is_good = |one: &&Value| one["disabled"] == false && one["uses"] == json!([]);
    let good: Vec<_> =
        listed["codes"].as_array().unwrap().iter().filter(is_good).map(|one| &one["code"]).collect();
    assert_eq!(good, [codes[1]]);

    let carols = done(&zap, &["invite", "create", "--for", "carol"]);
    let carols = carols["codes"][0]["codes"][0].as_str().unwrap();
    done(&zap, &["account", "invites", "carol", "off"]);
    assert_eq!(done(&zap, &["account", "show", "carol"])["invitesDisabled"], true);
    let late = done(&zap, &["invite", "create", "--for", "carol"]);
    assert_eq!(sign_up("dan", late["codes"][0]["codes"][0].as_str().unwrap()).await, "InvalidInviteCode");
    assert_eq!(sign_up("dan", carols).await, "", "what was given stays good");
    done(&zap, &["account", "invites", "carol", "on"]);
    done(&zap, &["invite", "disable", "--account", "carol"]);
    assert_eq!(of(carols)["disabled"], true);
}

#[derive(Clone, Default)]
struct Mails(Arc<Mutex<Vec<Value>>>);

async fn take(State(mails): State<Mails>, Json(mail): Json<Value>) -> StatusCode {
    mails.0.lock().unwrap().push(mail);
    StatusCode::OK
}

/// What breaks: who lost a password, and has memories, stays outside; the operator's letter does not come.
#[tokio::test(flavor = "multi_thread")]
async fn owners_are_written_to_and_set_their_passwords_themselves() {
    let mails = Mails::default();
    let router = axum::Router::new().route("/emails", post(take)).with_state(mails.clone());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://localhost:{}/emails", listener.local_addr().unwrap().port());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let from = "Our Agents <mail@agents.example.com>".to_owned();
    let settings =
        Settings::from([("mail-url", url), ("mail-token", "token".to_owned()), ("mail-from", from)]);
    let zap = super::start_in(folder.path(), "info", settings).await;
    let mut client = zap.client();
    create_account(&mut client, "alice.test").await.unwrap();
    let arrived = async |subject: &str| {
        let begun = Instant::now();
        loop {
            let found = mails.0.lock().unwrap().iter().find(|mail| mail["subject"] == subject).cloned();
            if let Some(mail) = found {
                return mail;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no mail about {subject}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let sent =
        done_with(&zap, &["account", "send-mail", "alice", "--subject", "Your repo"], "It is large.\n");
    assert_eq!((&sent["handle"], &sent["sent"]), (&json!("alice.test"), &json!(true)));
    let mail = arrived("Your repo").await;
    assert!(
        mail["to"] == json!(["alice@example.com"]) && mail["text"].as_str().unwrap().contains("It is large.")
    );

    let mailed = done(&zap, &["account", "password-reset", "alice", "--mail"]);
    assert_eq!(mailed["mailed"], "alice@example.com");
    let mail = arrived("Reset your password").await;
    let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
    let code = mail["text"].as_str().unwrap().split_whitespace().find(is_code).unwrap();
    let input = json!({"token": code, "password": "battery staple"});
    client.post("com.atproto.server.resetPassword", None, &input).await.unwrap().success().unwrap();
    assert!(signs_in(&mut client, "alice.test", "battery staple").await);
}
