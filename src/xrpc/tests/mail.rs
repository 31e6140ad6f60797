//! What is mailed to an account's owner, and what its codes open.

use serde_json::{Value, json};

use super::world::{ADMIN, World, bearer};
use crate::host::MailFailure;

const REQUEST_CONFIRMATION: &str = "com.atproto.server.requestEmailConfirmation";
const CONFIRM: &str = "com.atproto.server.confirmEmail";
const REQUEST_UPDATE: &str = "com.atproto.server.requestEmailUpdate";
const UPDATE: &str = "com.atproto.server.updateEmail";
const REQUEST_RESET: &str = "com.atproto.server.requestPasswordReset";
const RESET: &str = "com.atproto.server.resetPassword";
const SIGN_IN: &str = "com.atproto.server.createSession";

#[tokio::test]
async fn an_address_is_confirmed_and_then_changed_with_a_code_only() {
    let world = World::new();
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    let session = async || world.get("com.atproto.server.getSession", &own).await.ok();
    assert_eq!(session().await["emailConfirmed"], json!(false));
    world.post(REQUEST_CONFIRMATION, &own, Value::Null).await.ok();
    let mails = world.mails().await;
    let (to, subject, text) = mails.last().unwrap();
    assert_eq!((to.as_str(), subject.as_str()), ("alice@example.com", "Confirm your e-mail address"));
    assert!(text.contains("alice.test"), "{text}");
    let token = world.mailed_code().await;

    let confirm = async |email: &str, token: &str| {
        world.post(CONFIRM, &own, json!({"email": email, "token": token})).await
    };
    assert_eq!(confirm("bob@example.com", &token).await.error(), (400, "InvalidEmail"));
    assert_eq!(confirm("alice@example.com", "AAAAA-AAAAA").await.error(), (400, "InvalidToken"));
    confirm("Alice@example.com", &token.to_lowercase()).await.ok();
    assert_eq!(session().await["emailConfirmed"], json!(true));
    assert_eq!(confirm("alice@example.com", &token).await.error(), (400, "InvalidToken"));

    let update = async |input: Value| world.post(UPDATE, &own, input).await;
    let refused = update(json!({"email": "alice@example.net"})).await;
    assert_eq!(refused.error(), (400, "TokenRequired"));
    let asked = world.post(REQUEST_UPDATE, own.as_str(), Value::Null).await.ok();
    assert_eq!(asked, json!({"tokenRequired": true}));
    let token = world.mailed_code().await;
    let refused = update(json!({"email": "a@b.c\r\nBcc: eve@example.com", "token": token})).await;
    assert_eq!(refused.error(), (400, "InvalidRequest"));
    update(json!({"email": "alice@example.net", "token": token})).await.ok();
    let now = session().await;
    assert_eq!((&now["email"], &now["emailConfirmed"]), (&json!("alice@example.net"), &json!(false)));
    let (to, subject, _) = world.mails().await.pop().unwrap();
    assert_eq!((to.as_str(), subject.as_str()), ("alice@example.com", "Your e-mail address was changed"));
    // Of an address that was not confirmed nothing has to be shown.
    let asked = world.post(REQUEST_UPDATE, own.as_str(), Value::Null).await.ok();
    assert_eq!(asked, json!({"tokenRequired": false}));
    update(json!({"email": "alice@example.org"})).await.ok();
}

#[tokio::test]
async fn a_mailed_code_is_too_old_after_a_quarter_of_an_hour() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    world.post(REQUEST_CONFIRMATION, &own, Value::Null).await.ok();
    let token = world.mailed_code().await;
    world.host.now_us.fetch_add(15 * 60 * 1_000_000, std::sync::atomic::Ordering::Relaxed);
    let refused = world.post(CONFIRM, &own, json!({"email": "alice@example.com", "token": token})).await;
    assert_eq!(refused.error(), (400, "ExpiredToken"));
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_and_all_sessions_end() {
    let world = World::new();
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    let unknown = world.post(REQUEST_RESET, "", json!({"email": "nobody@example.com"})).await;
    assert_eq!(unknown.error(), (400, "InvalidRequest"));
    world.post(REQUEST_RESET, "", json!({"email": "ALICE@example.com"})).await.ok();
    let token = world.mailed_code().await;
    let reset = async |token: &str, password: &str| {
        world.post(RESET, "", json!({"token": token, "password": password})).await
    };
    assert_eq!(reset("AAAAA-AAAAA", "battery staple").await.error(), (400, "InvalidToken"));
    assert_eq!(reset(&token, "").await.error(), (400, "InvalidPassword"));
    assert_eq!(reset(&token, &"a".repeat(600)).await.error(), (400, "InvalidPassword"));
    reset(&token, "battery staple").await.ok();
    assert_eq!(reset(&token, "another one").await.error(), (400, "InvalidToken"));
    assert_eq!(world.get("com.atproto.server.getSession", &own).await.error(), (400, "ExpiredToken"));
    let refresh = bearer(&made["refreshJwt"]);
    let refused = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
    assert_eq!(refused.error(), (400, "ExpiredToken"));
    let sign_in = async |password: &str| {
        world.post(SIGN_IN, "", json!({"identifier": "alice.test", "password": password})).await
    };
    assert_eq!(sign_in("correct horse").await.error(), (401, "AuthenticationRequired"));
    sign_in("battery staple").await.ok();
    let (_, subject, _) = world.mails().await.pop().unwrap();
    assert_eq!(subject, "Your password was changed");
}

/// What breaks: who asks while the mail server is down waits for a mail that never comes, or gets it twice.
#[tokio::test]
async fn a_mail_whose_server_is_down_goes_later_once_also_after_a_crash() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let down = MailFailure::Later("connection refused".to_owned());
    *world.host.internet.mail_fails.lock().unwrap() = Some(down);
    world.post(REQUEST_CONFIRMATION, &own, Value::Null).await.ok();
    assert_eq!(world.mails().await.len(), 0);
    let world = world.restarted();
    *world.host.internet.mail_fails.lock().unwrap() = None;
    assert_eq!(world.mails().await.len(), 0, "not yet");
    world.host.now_us.fetch_add(20_000_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.mails().await.len(), 1);
    assert_eq!(world.mails().await.len(), 1);
    let token = world.mailed_code().await;
    world.post(CONFIRM, &own, json!({"email": "alice@example.com", "token": token})).await.ok();
}

#[tokio::test]
async fn a_mail_that_is_refused_is_not_tried_again() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let refused = MailFailure::Refused("550 no such user".to_owned());
    *world.host.internet.mail_fails.lock().unwrap() = Some(refused);
    world.post(REQUEST_CONFIRMATION, &own, Value::Null).await.ok();
    world.mails().await;
    *world.host.internet.mail_fails.lock().unwrap() = None;
    world.host.now_us.fetch_add(3_600_000_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.mails().await.len(), 0);
}

#[tokio::test]
async fn a_server_without_mail_refuses_what_needs_it_by_name() {
    let world = World::with(|network| network.sends_mail = false);
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    let alice = json!({"email": "alice@example.com"});
    for (nsid, authorization, input) in [
        (REQUEST_CONFIRMATION, own.as_str(), Value::Null),
        (REQUEST_UPDATE, own.as_str(), Value::Null),
        (REQUEST_RESET, "", alice),
        ("com.atproto.server.requestAccountDelete", own.as_str(), Value::Null),
    ] {
        let answer = world.post(nsid, authorization, input).await;
        assert_eq!(answer.error(), (501, "MethodNotImplemented"), "{nsid}");
        assert!(answer.body["message"].as_str().unwrap().contains("operator"), "{}", answer.body);
    }
    // What needs none goes on, and nothing waits.
    world.post(UPDATE, &own, json!({"email": "alice@example.net"})).await.ok();
    assert_eq!(world.mails().await.len(), 0);
}

#[tokio::test]
async fn nobody_fills_a_mailbox() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    for _ in 0..5 {
        world.post(REQUEST_CONFIRMATION, &own, Value::Null).await.ok();
    }
    let refused = world.post(REQUEST_CONFIRMATION, &own, Value::Null).await;
    assert_eq!(refused.error(), (429, "RateLimitExceeded"));
}

#[tokio::test]
async fn an_agent_without_an_address_is_told_so() {
    let world = World::new();
    let made = world.post("agent.admin.createAgent", ADMIN, json!({"name": "bob"})).await.ok();
    let own = bearer(&made["token"]);
    for nsid in [REQUEST_CONFIRMATION, REQUEST_UPDATE, "com.atproto.server.requestAccountDelete"] {
        let refused = world.post(nsid, &own, Value::Null).await;
        assert_eq!(refused.error(), (400, "InvalidRequest"), "{nsid}");
        assert_eq!(refused.body["message"], json!("account does not have an email address"), "{nsid}");
    }
    // It may be given one.
    world.post(UPDATE, &own, json!({"email": "bob@example.com"})).await.ok();
    world.post(REQUEST_CONFIRMATION, &own, Value::Null).await.ok();
    assert_eq!(world.mails().await.len(), 1);
}
