//! Passkeys, over the router: what a page's script is told, and what comes of what it sends.

use http::StatusCode;
use serde_json::{Value, json};

use super::account::{done, enter};
use super::{PASSWORD, SCOPE, World};
use crate::testing::{Answered, Authenticator, Program, between, parameter};
use crate::web::account::paths;

/// What the script is told on a page.
fn options(page: &Answered) -> Value {
    let text = between(&page.text, "data-options=\"", "\"").expect("a form for a passkey");
    serde_json::from_str(&text.replace("&#34;", "\"")).unwrap()
}

fn bytes(text: &Value) -> Vec<u8> {
    data_encoding::BASE64URL_NOPAD.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

/// A passkey of an account: whose the authenticator says it is.
struct Passkey {
    it: Authenticator,
    user: Vec<u8>,
}

impl Passkey {
    fn signed(&self, page: &Answered) -> String {
        self.it.signed(&bytes(&options(page)["challenge"]), &self.user).to_string()
    }
}

async fn add(browser: &mut Program, name: &str) -> (Passkey, Answered) {
    add_of(browser, name, Authenticator::new(1)).await
}

async fn add_of(browser: &mut Program, name: &str, it: Authenticator) -> (Passkey, Answered) {
    let page = browser.open(paths::PASSKEYS).await;
    let options = options(&page);
    let credential = it.made(&bytes(&options["challenge"])).to_string();
    let filled = [("name", name), ("credential", &credential)];
    let added = browser.fill(&page, paths::PASSKEYS, "passkey", &filled).await;
    done(&added, "The passkey is added");
    (Passkey { it, user: bytes(&options["user"]["id"]) }, added)
}

async fn use_it(browser: &mut Program, page: &Answered, path: &str, credential: &str) -> Answered {
    browser.fill(page, path, "passkey", &[("credential", credential)]).await
}

fn refused(answer: &Answered, why: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let said = between(&answer.text, "role=\"alert\">", "<");
    assert!(answer.text.contains(why), "{said:?}");
}

#[tokio::test]
async fn a_passkey_is_added_signs_in_alone_and_is_removed() {
    for it in [Authenticator::new(1), Authenticator::eddsa(1)] {
        added_and_removed(it).await;
    }
}

async fn added_and_removed(it: Authenticator) {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let page = browser.open(paths::PASSKEYS).await;
    assert_eq!(options(&page)["rp"]["id"], "localhost");
    assert_eq!(options(&page)["user"]["name"], "alice.test");
    let (passkey, added) = add_of(&mut browser, "<phone>", it).await;
    assert!(added.text.contains("Your recovery codes") && added.text.contains("&#60;phone&#62;"));
    assert_eq!(options(&added)["known"].as_array().unwrap().len(), 1);

    let mut other = world.program(SCOPE);
    let page = other.open(paths::SIGN_IN).await;
    assert_eq!(options(&page)["rpId"], "localhost");
    assert_eq!(options(&page)["known"], json!([]));
    let credential = passkey.signed(&page);
    let entered = use_it(&mut other, &page, paths::SIGN_IN, &credential).await;
    assert_eq!(entered.header("location"), paths::ACCOUNT, "{}", entered.text);
    assert_eq!(other.open(paths::ACCOUNT).await.status, StatusCode::OK);
    assert!(other.open(paths::PASSKEYS).await.text.contains("Last used"));

    let listed = browser.open(paths::PASSKEYS).await;
    let id = between(&listed.text, "type=\"radio\" name=\"id\" value=\"", "\"").unwrap().to_owned();
    world.pass(11 * 60);
    let page = browser.open(paths::PASSKEYS).await;
    refused(
        &browser.fill(&page, paths::PASSKEYS, "remove", &[("id", &id)]).await,
        "you signed in a while ago",
    );
    let filled = [("id", id.as_str()), ("password", PASSWORD)];
    done(&browser.fill(&page, paths::PASSKEYS, "remove", &filled).await, "There is none.");
    assert_eq!(world.subjects().await, ["A passkey was added", "A passkey was removed"]);
    world.session("alice.test", PASSWORD).await.ok();
}

/// What breaks: an answer that somebody saw, or had made for them elsewhere, signs them in.
#[tokio::test]
async fn an_answer_is_good_in_its_browser_once_and_for_five_minutes() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let (passkey, _) = add(&mut owner, "phone").await;
    let mut browser = world.program(SCOPE);
    let page = browser.open(paths::SIGN_IN).await;
    let credential = passkey.signed(&page);
    let mut thief = world.program(SCOPE);
    let own = thief.open(paths::SIGN_IN).await;
    refused(&use_it(&mut thief, &own, paths::SIGN_IN, &credential).await, "took too long");
    for nonsense in ["", "{}", "[1]", "{\"id\":1}"] {
        refused(&use_it(&mut browser, &page, paths::SIGN_IN, nonsense).await, "took too long");
    }
    let made_up = passkey.it.signed(&[7; 67], &passkey.user).to_string();
    refused(&use_it(&mut browser, &page, paths::SIGN_IN, &made_up).await, "took too long");
    let cookies = browser.cookies.clone();
    let entered = use_it(&mut browser, &page, paths::SIGN_IN, &credential).await;
    assert_eq!(entered.header("location"), paths::ACCOUNT, "{}", entered.text);
    browser.cookies = cookies.clone();
    refused(&use_it(&mut browser, &page, paths::SIGN_IN, &credential).await, "answered before");
    browser.cookies = cookies;
    let page = browser.open(paths::SIGN_IN).await;
    let credential = passkey.signed(&page);
    world.pass(5 * 60);
    refused(&use_it(&mut browser, &page, paths::SIGN_IN, &credential).await, "took too long");
    let evil = Passkey {
        it: Authenticator { origin: "https://evil.test".to_owned(), ..passkey.it.clone() },
        user: passkey.user.clone(),
    };
    let page = browser.open(paths::SIGN_IN).await;
    let phished = evil.signed(&page);
    refused(&use_it(&mut browser, &page, paths::SIGN_IN, &phished).await, "another site");
}

#[tokio::test]
async fn a_copy_is_refused_and_its_owner_is_told() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let (mut passkey, _) = add(&mut owner, "key").await;
    for (count, is_taken) in [(3, true), (3, false), (2, false)] {
        passkey.it.count = count;
        let mut browser = world.program(SCOPE);
        let page = browser.open(paths::SIGN_IN).await;
        let credential = passkey.signed(&page);
        let answer = use_it(&mut browser, &page, paths::SIGN_IN, &credential).await;
        if is_taken {
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        } else {
            refused(&answer, "used elsewhere");
        }
    }
    assert!(owner.open(paths::PASSKEYS).await.text.contains("its counter had gone back"));
}

#[tokio::test]
async fn after_the_password_a_passkey_is_asked_for_and_an_app_is_told_what_helps() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let (passkey, _) = add(&mut owner, "phone").await;
    let asked = world.session("alice.test", PASSWORD).await;
    assert_eq!(asked.error(), (401, "AuthFactorTokenRequired".to_owned()));
    assert!(asked.text.contains("recovery code") && asked.text.contains("app password"), "{}", asked.text);
    let mut browser = world.program(SCOPE);
    let half = enter(&mut browser, "alice.test", PASSWORD).await;
    assert_eq!(half.header("location"), paths::SECOND_STEP);
    let page = browser.open(paths::SECOND_STEP).await;
    assert!(page.text.contains(">Recovery code<"), "{}", page.text);
    assert_eq!(options(&page)["known"].as_array().unwrap().len(), 1);
    let stranger = Passkey { it: Authenticator::new(2), user: passkey.user.clone() };
    let credential = stranger.signed(&page);
    refused(&use_it(&mut browser, &page, paths::SECOND_STEP, &credential).await, "not known here");
    let credential = passkey.signed(&page);
    let entered = use_it(&mut browser, &page, paths::SECOND_STEP, &credential).await;
    assert_eq!(entered.header("location"), paths::ACCOUNT, "{}", entered.text);
    assert_eq!(browser.open(paths::ACCOUNT).await.status, StatusCode::OK);
}

/// At an application's sign-in: alone, and after the password.
#[tokio::test]
async fn an_application_is_allowed_something_with_a_passkey() {
    let world = World::new().await;
    let mut owner = world.browser("alice.test", PASSWORD).await;
    let (passkey, _) = add(&mut owner, "phone").await;
    for (after_password, verifier) in [(false, "x"), (true, "y")] {
        let mut program = world.program(SCOPE);
        program.verifier = verifier.repeat(43);
        let pushed = program.push(SCOPE, &[]).await.ok();
        let path = program.page_of(pushed["request_uri"].as_str().unwrap());
        let mut page = program.open(&path).await;
        if after_password {
            let filled = [("identifier", "alice.test"), ("password", PASSWORD)];
            let half = program.submit(&page, "sign-in", &filled).await;
            assert_eq!(half.status, StatusCode::SEE_OTHER, "{}", half.text);
            page = program.open(&path).await;
        }
        let policy = page.header("content-security-policy");
        assert!(policy.contains("form-action 'self' http://127.0.0.1:4000; script-src 'self'"), "{policy}");
        let phished = Passkey {
            it: Authenticator { rp_id: "evil.test".to_owned(), ..passkey.it.clone() },
            user: passkey.user.clone(),
        };
        refused(
            &program.submit(&page, "passkey", &[("credential", &phished.signed(&page))]).await,
            "it is another site&#39;s",
        );
        let credential = passkey.signed(&page);
        let entered = program.submit(&page, "passkey", &[("credential", &credential)]).await;
        assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text);
        let page = program.open(&path).await;
        let answer = program.submit(&page, "allow", &[]).await;
        let code = parameter(answer.header("location"), "code").expect("a code");
        program.redeem(&code).await.ok();
    }
}

#[tokio::test]
async fn the_script_is_ours_and_on_the_pages_that_need_it_alone() {
    let world = World::new().await;
    let mut guest = world.program(SCOPE);
    let script = guest.open("/assets/passkeys.js").await;
    assert_eq!(
        (script.status, script.header("content-type")),
        (StatusCode::OK, "text/javascript; charset=utf-8")
    );
    assert!(
        ["alg: -8", "alg: -7"].iter().all(|algorithm| script.text.contains(algorithm)),
        "{}",
        script.text
    );
    let mut owner = world.browser("alice.test", PASSWORD).await;
    for (browser, path) in [(&mut guest, paths::SIGN_IN), (&mut owner, paths::PASSKEYS)] {
        let page = browser.open(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.ends_with("; script-src 'self'"), "{policy}");
        assert_eq!(page.text.matches("<script").count(), 1, "{path}");
        assert!(page.text.contains("<script src=\"/assets/passkeys.js\" defer></script>"), "{path}");
        // Not shown where no script runs.
        assert!(page.text.contains("\" hidden>"), "{path}");
    }
    for path in [paths::ACCOUNT, paths::TWO_FACTOR, paths::PASSWORD] {
        let page = owner.open(path).await;
        assert!(!page.text.contains("<script") && !page.header("content-security-policy").contains("script"));
    }
}
