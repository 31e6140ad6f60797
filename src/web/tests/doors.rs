//! The doors to an account's own pages: sign in, sign up, reset, and who tries to get through.

use http::StatusCode;
use serde_json::json;

use super::account::{done, enter, is_sent_to_sign_in, send, wrong};
use super::{PASSWORD, SCOPE, World};
use crate::host::Net;
use crate::rate_limit::{Rate, Rates};
use crate::web::account::paths;

const ADMIN: &str = "Bearer letmein";

/// What breaks: another page signs somebody in or acts in their place; whoever planted a cookie shares a session.
#[tokio::test]
async fn only_our_page_in_its_browser_signs_in_and_with_a_value_nobody_knew() {
    let world = World::new().await;
    let mut browser = world.program(SCOPE);
    assert!(is_sent_to_sign_in(&browser.open(paths::ACCOUNT).await));
    // Somebody planted both.
    let planted = "B".repeat(43);
    browser.cookies.insert("zap-account".to_owned(), planted.clone());
    browser.cookies.insert("zap-guest".to_owned(), planted.clone());
    let page = browser.open("/account/sign-in?next=https://evil.test&return_to=//evil.test").await;
    assert!(!page.text.contains("evil"), "{}", page.text);
    let filled = [("identifier", "alice.test"), ("password", PASSWORD)];
    for origin in ["https://evil.test", "null", "http://localhost:2584"] {
        let foreign = browser.fill_from(origin, &page, paths::SIGN_IN, "sign-in", &filled).await;
        assert_eq!(foreign.status, StatusCode::BAD_REQUEST, "{origin}");
    }
    let before = browser.cookies.clone();
    for cookies in [None, Some("A".repeat(43))] {
        browser.cookies = cookies.map(|value| ("zap-guest".to_owned(), value)).into_iter().collect();
        let refused = browser.fill(&page, paths::SIGN_IN, "sign-in", &filled).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    browser.cookies = before;
    let refused =
        browser.fill(&page, paths::SIGN_IN, "sign-in", &[("identifier", "<alice"), ("password", "x")]).await;
    wrong(&refused, "sign-in-password", "wrong");
    assert!(refused.text.contains("value=\"&#60;alice\""), "{}", refused.text);
    let entered = browser.fill(&page, paths::SIGN_IN, "sign-in", &filled).await;
    assert_eq!((entered.status, entered.header("location")), (StatusCode::SEE_OTHER, "/account"));
    let value = browser.cookies["zap-account"].clone();
    assert!(value != planted && !browser.cookies.contains_key("zap-guest"));
    let home = browser.open(paths::ACCOUNT).await;
    assert!(home.status == StatusCode::OK && home.text.contains("alice.test"), "{}", home.text);
    assert_eq!(browser.open(paths::SIGN_IN).await.header("location"), "/account");

    // A guest's token is none of the account's.
    let forged = browser.fill(&page, paths::SIGN_OUT, "sign-out", &[]).await;
    assert_eq!(forged.status, StatusCode::BAD_REQUEST);
    let foreign = browser.fill_from("https://evil.test", &home, paths::SIGN_OUT, "sign-out", &[]).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    assert!(is_sent_to_sign_in(&browser.fill(&home, paths::SIGN_OUT, "sign-out", &[]).await));
    assert!(!browser.cookies.contains_key("zap-account"));
    browser.cookies.insert("zap-account".to_owned(), value);
    assert!(is_sent_to_sign_in(&browser.open(paths::ACCOUNT).await), "signed out is signed out");
}

/// What breaks: anybody learns who has an account here, or guesses a code.
#[tokio::test]
async fn a_forgotten_password_is_reset_by_mail_and_the_page_tells_nobody_who_is_here() {
    let world = World::new().await;
    let mut signed_in = world.browser("alice.test", PASSWORD).await;
    let mut browser = world.program(SCOPE);
    let asked = send(&mut browser, paths::RESET, "request", &[("email", "nobody@example.com")]).await;
    done(&asked, "If an account has this address");
    let known = send(&mut browser, paths::RESET, "request", &[("email", "Alice@example.com")]).await;
    assert_eq!(asked.text, known.text);
    let code = world.mailed_code().await;
    let guess = [("code", "AAAAA-AAAAA"), ("new", "staple")];
    wrong(&send(&mut browser, paths::RESET, "set", &guess).await, "set-code", "wrong");
    wrong(
        &send(&mut browser, paths::RESET, "set", &[("code", &code), ("new", "")]).await,
        "set-new",
        "empty",
    );
    let set = [("code", code.as_str()), ("new", "staple")];
    done(&send(&mut browser, paths::RESET, "set", &set).await, "all devices are signed out");
    wrong(&send(&mut browser, paths::RESET, "set", &set).await, "set-code", "used");
    assert!(is_sent_to_sign_in(&signed_in.open(paths::ACCOUNT).await));
    world.browser("alice.test", "staple").await;
}

#[tokio::test]
async fn a_person_signs_up_and_is_signed_in() {
    let domains = vec![".test".to_owned(), ".example".to_owned()];
    let world = World::with(|network| network.handle_domains = domains).await;
    let mut browser = world.program(SCOPE);
    let up =
        |handle, email| [("handle", handle), ("domain", ".test"), ("email", email), ("password", PASSWORD)];
    let taken = send(&mut browser, paths::SIGN_UP, "sign-up", &up("alice", "\"new@example.com")).await;
    wrong(&taken, "sign-up-handle", "not available");
    assert!(taken.text.contains("value=\"&#34;new@example.com\""), "{}", taken.text);
    for (handle, email, field, why) in [
        ("carol", "", "sign-up-email", "needed"),
        ("carol", "alice@example.com", "sign-up-email", "Another account"),
        ("carol", "nonsense", "sign-up-email", "can’t be sent"),
        ("ca rol", "carol@example.com", "sign-up-handle", "letters"),
        ("carol.elsewhere.com", "carol@example.com", "sign-up-handle", "no handles under"),
    ] {
        wrong(&send(&mut browser, paths::SIGN_UP, "sign-up", &up(handle, email)).await, field, why);
    }
    let entered = send(&mut browser, paths::SIGN_UP, "sign-up", &up("carol", "carol@example.com")).await;
    assert_eq!(entered.header("location"), "/account", "{}", entered.text);
    assert!(browser.open(paths::ACCOUNT).await.text.contains("carol.test"));
    world.session("carol.test", PASSWORD).await.ok();
}

#[tokio::test]
async fn a_sign_up_needs_an_invite_code_where_the_server_says_so() {
    let world = World::with(|network| network.invite_required = true).await;
    let code = world.invite_code().await;
    let code = code.as_str().unwrap();
    let mut browser = world.program(SCOPE);
    let up =
        |name, email, code| [("handle", name), ("invite", code), ("email", email), ("password", PASSWORD)];
    for none in ["", "nonsense"] {
        let filled = up("carol", "carol@example.com", none);
        wrong(&send(&mut browser, paths::SIGN_UP, "sign-up", &filled).await, "sign-up-invite", "unknown");
    }
    let filled = up("carol", "carol@example.com", code);
    let entered = send(&mut browser, paths::SIGN_UP, "sign-up", &filled).await;
    assert_eq!(entered.header("location"), "/account", "{}", entered.text);
    let mut other = world.program(SCOPE);
    let filled = up("dora", "dora@example.com", code);
    wrong(&send(&mut other, paths::SIGN_UP, "sign-up", &filled).await, "sign-up-invite", "used up");
}

/// What breaks: these pages are a second door, with tries of its own.
#[tokio::test]
async fn passwords_tried_here_count_with_those_of_apps() {
    let world = World::with(|network| network.sign_in_rates = Rates::one(Rate::new(6, 300))).await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    for _ in 0..2 {
        assert_eq!(world.session("alice.test", "wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    let mut guesser = world.program(SCOPE);
    for _ in 0..2 {
        wrong(&enter(&mut guesser, "alice.test", "guess").await, "sign-in-password", "wrong");
    }
    // Also at the page that asks for it again.
    let page = browser.open(paths::PASSWORD).await;
    let filled = [("current", "guess"), ("new", "staple")];
    wrong(&browser.fill(&page, paths::PASSWORD, "change", &filled).await, "change-current", "wrong");
    for answer in [
        browser.fill(&page, paths::PASSWORD, "change", &[("current", PASSWORD), ("new", "staple")]).await,
        enter(&mut guesser, "alice.test", PASSWORD).await,
    ] {
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text);
        assert_eq!(answer.header("retry-after"), "50");
        assert!(answer.text.contains("Try again in 50 seconds"), "{}", answer.text);
    }
    assert_eq!(world.session("alice.test", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    // And at the page of an app.
    let pushed = guesser.push(SCOPE, &[]).await.ok();
    let page = guesser.open(&guesser.page_of(pushed["request_uri"].as_str().unwrap())).await;
    let filled = [("identifier", "alice.test"), ("password", PASSWORD)];
    let answer = guesser.submit(&page, "sign-in", &filled).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "50"));
}

#[tokio::test]
async fn an_agent_signs_in_with_its_token_and_sees_what_it_has() {
    let world = World::new().await;
    let made = world.post("agent.admin.createAgent", ADMIN, &json!({"name": "robot"})).await.ok();
    let mut browser = world.browser(made["did"].as_str().unwrap(), made["token"].as_str().unwrap()).await;
    let home = browser.open(paths::ACCOUNT).await;
    assert!(home.text.contains("zap export") && !home.text.contains(paths::EMAIL), "{}", home.text);
    for path in [paths::EMAIL, paths::PASSWORD] {
        assert_eq!(browser.open(path).await.header("location"), "/account", "{path}");
    }
    let status = browser.open(paths::STATUS).await;
    assert!(!status.text.contains("Delete"), "{}", status.text);
    let refused = browser.fill(&status, paths::STATUS, "delete", &[]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let filled = [("name", "phone"), ("kind", "vault")];
    done(&send(&mut browser, paths::APP_PASSWORDS, "make", &filled).await, "not shown again");
}

/// What breaks: a flood of forms hashes passwords beyond what the host has given to that; or a flood of passwords keeps
/// its address from so much as seeing the page.
#[test]
fn a_form_with_a_password_holds_a_computation_as_a_method_with_one_does_and_nothing_else() {
    use crate::xrpc::Holds;
    use http::Method;
    const SIGN_IN: &str = "/oauth/authorize/sign-in";
    const CREATE: &str = "/xrpc/com.atproto.server.createSession";
    let forms = [SIGN_IN, paths::SIGN_IN, paths::SIGN_UP, paths::PASSWORD, paths::RESET, paths::EMAIL];
    let others = [paths::HANDLE, paths::STATUS, paths::APP_PASSWORDS, CREATE];
    for path in forms.into_iter().chain(others) {
        assert_eq!(Holds::at(&Method::POST, path), Some(Holds::Computation), "{path}");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
            assert_eq!(Holds::at(&method, path), None, "{method} {path}");
        }
    }
    let never = [paths::ACCOUNT, paths::SIGN_OUT, paths::SESSIONS, "/oauth/token", "/", "/xrpc/_health"];
    for path in never {
        for method in [Method::GET, Method::POST] {
            assert_eq!(Holds::at(&method, path), None, "{method} {path}");
        }
    }
    let (repo, other) = ("/xrpc/com.atproto.sync.getRepo", "/xrpc/com.example.other");
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(Holds::at(&method, repo), Some(Holds::Repo), "{method}");
        assert_eq!(Holds::at(&method, other), Some(Holds::Exchange), "{method}");
    }
    assert_eq!(Holds::at(&Method::OPTIONS, other), None, "what a browser asks first goes nowhere");
}

/// What breaks: who has a stranger's password uses it unseen, at one of the doors.
#[tokio::test]
async fn a_sign_in_from_a_new_device_is_told_by_mail_at_each_door() {
    let world = World::new().await;
    let net = |last: u8| Some(Net::of([192, 0, 2, last].into()));
    let told = async || {
        world.app.post().await.unwrap();
        let mails = std::mem::take(&mut *world.host.internet.mailbox.lock().unwrap());
        let texts = mails.into_iter().map(|mail| (mail.to, mail.subject, mail.text.expose().clone()));
        texts.collect::<Vec<_>>()
    };
    let login = json!({"identifier": "alice.test", "password": PASSWORD}).to_string();
    let session = async |last: u8| {
        let mut program = world.program(SCOPE);
        program.net = net(last);
        let request = http::Request::post("/xrpc/com.atproto.server.createSession")
            .header("content-type", "application/json")
            .header("user-agent", "Evil/1.0 (Bcc: eve@example.com)");
        program.send(request, login.clone().into()).await.ok();
    };
    session(1).await;
    session(1).await;
    assert_eq!(told().await, [], "the first of all, and one that is known");
    session(2).await;
    let mut browser = world.program(SCOPE);
    browser.net = net(3);
    enter(&mut browser, "alice.test", PASSWORD).await;
    let mut client = world.program(SCOPE);
    client.net = net(4);
    client.tokens(SCOPE, "alice.test", PASSWORD).await;
    let mails = told().await;
    let expected =
        [("192.0.2.2", "Evil."), ("192.0.2.3", "Firefox on Linux."), ("192.0.2.4", "Firefox on Linux.")];
    assert_eq!(mails.len(), expected.len(), "{mails:?}");
    for ((to, subject, text), (address, program)) in mails.iter().zip(expected) {
        assert_eq!((to.as_str(), subject.as_str()), ("alice@example.com", "A new sign-in to your account"));
        for part in [address, program, "alice.test", "UTC", "http://localhost:2583/account/sessions"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("eve@"), "{text}");
    }
    session(2).await;
    let mut again = client.beside();
    (again.net, again.verifier) = (net(4), "v".repeat(43));
    again.tokens("atproto", "alice.test", PASSWORD).await;
    assert_eq!(told().await, []);
}
