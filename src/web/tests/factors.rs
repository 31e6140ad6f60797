//! Sign-ins that need more than a password, over the router.

use http::StatusCode;
use serde_json::json;

use super::account::{done, enter, is_sent_to_sign_in, send, wrong};
use super::{PASSWORD, SCOPE, World};
use crate::crypto::totp::{SECRET_LEN, code_at};
use crate::testing::{Answered, Program, between, parameter};
use crate::web::account::paths;

/// Alice's codes.
struct Codes {
    secret: [u8; SECRET_LEN],
    on_paper: Vec<String>,
}

impl Codes {
    fn now(&self, world: &World) -> String {
        code_at(&self.secret, world.app.host.now_us() / 1_000_000).to_string()
    }
}

fn secret_of(page: &Answered) -> [u8; SECRET_LEN] {
    let text = between(&page.text, "<dt>Secret</dt>\n<dd>", "</dd>").unwrap();
    data_encoding::BASE32_NOPAD.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

/// Turns codes on, a minute ago.
async fn turn_on(world: &World, browser: &mut Program) -> Codes {
    let page = send(browser, paths::TWO_FACTOR, "begin", &[]).await;
    let secret = secret_of(&page);
    let code = code_at(&secret, world.app.host.now_us() / 1_000_000).to_string();
    let on = browser.fill(&page, paths::TWO_FACTOR, "confirm", &[("code", &code)]).await;
    done(&on, "Two-factor sign-in is on");
    let rows = on.text.split("<strong>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
    world.pass(60);
    Codes { secret, on_paper: rows.collect() }
}

async fn session(world: &World, password: &str, code: &str) -> Answered {
    let body = json!({"identifier": "alice.test", "password": password, "authFactorToken": code});
    world.post("com.atproto.server.createSession", "", &body).await
}

#[tokio::test]
async fn codes_are_turned_on_with_one_and_off_with_another_and_recovery_codes_are_shown_once() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let page = send(&mut browser, paths::TWO_FACTOR, "begin", &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(
        page.text.contains("<svg") && page.text.contains("otpauth://totp/localhost%3A2583:alice%2Etest?")
    );
    let guessed = browser.fill(&page, paths::TWO_FACTOR, "confirm", &[("code", "000000")]).await;
    wrong(&guessed, "confirm-code", "wrong");
    assert_eq!(secret_of(&guessed), secret_of(&page), "the app has it already");
    session(&world, PASSWORD, "").await.ok();
    let codes = turn_on(&world, &mut browser).await;
    assert_eq!(codes.on_paper.len(), 10);
    let later = browser.open(paths::TWO_FACTOR).await;
    assert!(later.text.contains("10 are left") && !later.text.contains(&codes.on_paper[0]), "{}", later.text);
    assert!(!later.text.contains("Secret</dt>"));
    let renewed = send(&mut browser, paths::TWO_FACTOR, "renew", &[]).await;
    done(&renewed, "The old codes are over");
    let no = [("password", "wrong"), ("code", &codes.now(&world))];
    wrong(&send(&mut browser, paths::TWO_FACTOR, "stop", &no).await, "stop-password", "wrong");
    let no = [("password", PASSWORD), ("code", &codes.on_paper[0])];
    wrong(&send(&mut browser, paths::TWO_FACTOR, "stop", &no).await, "stop-code", "wrong");
    let yes = [("password", PASSWORD), ("code", &codes.now(&world))];
    done(&send(&mut browser, paths::TWO_FACTOR, "stop", &yes).await, "is off");
    session(&world, PASSWORD, "").await.ok();
    let told =
        ["Sign-in codes were turned on", "You have new recovery codes", "Sign-in codes were turned off"];
    assert_eq!(world.subjects().await, told);
}

/// What breaks: whoever signs up with a stranger's address has the server write there without end.
#[tokio::test]
async fn codes_are_made_anew_a_few_times_a_day() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    turn_on(&world, &mut browser).await;
    world.subjects().await;
    for _ in 0..19 {
        done(&send(&mut browser, paths::TWO_FACTOR, "renew", &[]).await, "The old codes are over");
    }
    let refused = send(&mut browser, paths::TWO_FACTOR, "renew", &[]).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    assert_eq!(world.subjects().await.len(), 19);
}

/// What breaks: a stolen password opens the account's pages.
#[tokio::test]
async fn the_pages_ask_for_a_code_after_the_password_in_the_same_browser() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let codes = turn_on(&world, &mut owner).await;
    let mut browser = world.program(SCOPE);
    let before = browser.open(paths::SIGN_IN).await;
    let guest = browser.cookies["zap-guest"].clone();
    wrong(&enter(&mut browser, "alice.test", "wrong").await, "sign-in-password", "wrong");
    let half = enter(&mut browser, "alice.test", PASSWORD).await;
    assert_eq!(half.header("location"), paths::SECOND_STEP, "{}", half.text);
    assert!(is_sent_to_sign_in(&browser.open(paths::ACCOUNT).await), "half is not in");
    let page = browser.open(paths::SECOND_STEP).await;
    assert!(page.text.contains("Code from your app"), "{}", page.text);
    // Who knew what the browser had before is nowhere.
    let mut thief = world.program(SCOPE);
    thief.cookies.insert("zap-guest".to_owned(), guest);
    let code = codes.now(&world);
    let stolen = thief.fill(&before, paths::SECOND_STEP, "code", &[("code", &code)]).await;
    assert!(is_sent_to_sign_in(&stolen), "{}", stolen.text);
    let foreign =
        browser.fill_from("https://evil.test", &page, paths::SECOND_STEP, "code", &[("code", &code)]).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    let guessed = browser.fill(&page, paths::SECOND_STEP, "code", &[("code", "000000")]).await;
    wrong(&guessed, "code-code", "wrong");
    let entered = browser.fill(&page, paths::SECOND_STEP, "code", &[("code", &code)]).await;
    assert_eq!(entered.header("location"), paths::ACCOUNT, "{}", entered.text);
    assert_eq!(browser.open(paths::ACCOUNT).await.status, StatusCode::OK);
    // What asks for the password again needs no code: this browser has shown one.
    world.pass(11 * 60);
    let filled = [("name", "phone"), ("kind", "plain"), ("password", PASSWORD)];
    done(&send(&mut browser, paths::APP_PASSWORDS, "make", &filled).await, "not shown again");
    let filled = [("current", PASSWORD), ("new", "staple")];
    done(&send(&mut browser, paths::PASSWORD, "change", &filled).await, "is changed");
    let half = enter(&mut world.program(SCOPE), "alice.test", "staple").await;
    assert_eq!(half.header("location"), paths::SECOND_STEP, "another password turns nothing off");

    let mut late = world.program(SCOPE);
    enter(&mut late, "alice.test", "staple").await;
    let page = late.open(paths::SECOND_STEP).await;
    world.pass(5 * 60);
    let code = codes.now(&world);
    assert!(is_sent_to_sign_in(&late.fill(&page, paths::SECOND_STEP, "code", &[("code", &code)]).await));
}

#[tokio::test]
async fn a_password_that_is_reset_by_mail_turns_no_code_off_and_signs_nobody_in() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    turn_on(&world, &mut owner).await;
    let mut browser = world.program(SCOPE);
    send(&mut browser, paths::RESET, "request", &[("email", "alice@example.com")]).await;
    let code = world.mailed_code().await;
    done(&send(&mut browser, paths::RESET, "set", &[("code", &code), ("new", "staple")]).await, "is set");
    assert!(is_sent_to_sign_in(&browser.open(paths::ACCOUNT).await));
    assert_eq!(enter(&mut browser, "alice.test", "staple").await.header("location"), paths::SECOND_STEP);
}

/// What breaks: an application gets at the account with a stolen password.
#[tokio::test]
async fn an_application_gets_nothing_before_the_code() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let codes = turn_on(&world, &mut owner).await;
    let mut program = world.program(SCOPE);
    let pushed = program.push(SCOPE, &[]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let page = program.open(&path).await;
    let filled = [("identifier", "alice.test"), ("password", PASSWORD)];
    let early = program.submit(&page, "code", &[("code", &codes.now(&world))]).await;
    assert!(early.status == StatusCode::OK && early.text.contains("id=\"identifier\""), "{}", early.text);
    let before = program.cookies.clone();
    assert_eq!(program.submit(&page, "sign-in", &filled).await.status, StatusCode::SEE_OTHER);
    assert_ne!(program.cookies, before);
    let page = program.open(&path).await;
    assert!(page.text.contains("Code from your app") && !page.text.contains("password"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("form-action 'self' http://127.0.0.1:4000"));
    let refused = program.submit(&page, "allow", &[]).await;
    assert!(!refused.header("location").contains("code="), "{}", refused.header("location"));
    let guessed = program.submit(&page, "code", &[("code", "000000")]).await;
    wrong(&guessed, "code-code", "wrong");
    let entered = program.submit(&page, "code", &[("code", &codes.on_paper[3])]).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text);
    let page = program.open(&path).await;
    let answer = program.submit(&page, "allow", &[]).await;
    let code = parameter(answer.header("location"), "code").expect("a code");
    program.redeem(&code).await.ok();
}

#[tokio::test]
async fn a_session_of_an_app_needs_the_code_and_an_app_password_does_not() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let made = send(&mut owner, paths::APP_PASSWORDS, "make", &[("name", "phone"), ("kind", "plain")]).await;
    let app_password = between(&made.text, "<dt>App password</dt>\n<dd>", "</dd>").unwrap().to_owned();
    session(&world, PASSWORD, "123456").await.ok();
    let codes = turn_on(&world, &mut owner).await;
    let asked = session(&world, PASSWORD, "").await;
    assert_eq!(asked.error(), (401, "AuthFactorTokenRequired".to_owned()));
    let unknown = session(&world, "wrong", "").await;
    assert_eq!(unknown.error(), (401, "AuthenticationRequired".to_owned()), "the password first");
    assert_eq!(session(&world, PASSWORD, "000000").await.error(), (400, "InvalidToken".to_owned()));
    let code = codes.now(&world);
    let opened = session(&world, PASSWORD, &code).await.ok();
    assert_eq!(opened["emailAuthFactor"], false);
    assert_eq!(session(&world, PASSWORD, &code).await.error(), (400, "InvalidToken".to_owned()), "once");
    session(&world, PASSWORD, &codes.on_paper[0]).await.ok();
    session(&world, &app_password, "").await.ok();
    for _ in 0..8 {
        assert_eq!(session(&world, PASSWORD, "000000").await.error().0, 400);
    }
    world.pass(30);
    for _ in 0..2 {
        session(&world, PASSWORD, "000000").await;
    }
    let held = session(&world, PASSWORD, &codes.now(&world)).await;
    assert_eq!(held.error(), (429, "RateLimitExceeded".to_owned()));
}
