//! The account's own pages, over the router, in a browser without scripts.

use axum::body::Body;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{PASSWORD, SCOPE, World};
use crate::mail::Mail;
use crate::testing::{Answered, Program, between};
use crate::web::account::paths;

const ALL: [&str; 10] = [
    paths::ACCOUNT,
    paths::SESSIONS,
    paths::APP_PASSWORDS,
    paths::EMAIL,
    paths::PASSWORD,
    paths::TWO_FACTOR,
    paths::PASSKEYS,
    paths::HANDLE,
    paths::RECOVERY_KEY,
    paths::STATUS,
];
const GUESTS: [&str; 3] = [paths::SIGN_IN, paths::SIGN_UP, paths::RESET];

impl World {
    /// A browser that is signed in.
    pub(super) async fn browser(&self, name: &str, password: &str) -> Program {
        let mut browser = self.program(SCOPE);
        let entered = enter(&mut browser, name, password).await;
        assert_eq!(entered.header("location"), "/account", "{}", entered.text);
        browser
    }

    pub(super) async fn session(&self, name: &str, password: &str) -> Answered {
        let body = json!({"identifier": name, "password": password});
        self.post("com.atproto.server.createSession", "", &body).await
    }

    /// What comes of a session's refresh token.
    async fn refresh(&self, session: &Value) -> Answered {
        let refresh = format!("Bearer {}", session["refreshJwt"].as_str().unwrap());
        let request = http::Request::post("/xrpc/com.atproto.server.refreshSession");
        self.program(SCOPE).send(request.header(header::AUTHORIZATION, refresh), Body::empty()).await
    }

    /// What was mailed since, by its subjects.
    pub(super) async fn subjects(&self) -> Vec<String> {
        self.app.post().await.unwrap();
        let mails = std::mem::take(&mut *self.host.internet.mailbox.lock().unwrap());
        mails.into_iter().map(|mail| mail.subject).collect()
    }

    /// The code in the newest mail.
    pub(super) async fn mailed_code(&self) -> String {
        self.app.post().await.unwrap();
        let mails = self.host.internet.mailbox.lock().unwrap();
        let text = mails.last().map(|mail: &Mail| mail.text.expose().clone()).unwrap();
        let is_code = |word: &&str| word.len() == 11 && word.as_bytes()[5] == b'-';
        text.split_whitespace().find(is_code).unwrap().to_owned()
    }
}

pub(super) async fn enter(browser: &mut Program, name: &str, password: &str) -> Answered {
    let page = browser.open(paths::SIGN_IN).await;
    browser.fill(&page, paths::SIGN_IN, "sign-in", &[("identifier", name), ("password", password)]).await
}

/// Opens a page and sends a form of it.
pub(super) async fn send(
    browser: &mut Program,
    path: &str,
    action: &str,
    filled: &[(&str, &str)],
) -> Answered {
    let page = browser.open(path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
    browser.fill(&page, path, action, filled).await
}

pub(super) fn done(answer: &Answered, notice: &str) {
    let is_done = answer.status == StatusCode::OK && answer.text.contains(notice);
    assert!(is_done, "{} {}", answer.status, answer.text);
}

/// Says what is wrong, at the field that has it.
pub(super) fn wrong(answer: &Answered, form_and_field: &str, text: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let said = between(&answer.text, &format!("id=\"{form_and_field}-error\">"), "<");
    assert!(said.is_some_and(|said| said.contains(text)), "{said:?} {}", answer.text);
}

pub(super) fn is_sent_to_sign_in(answer: &Answered) -> bool {
    (answer.status, answer.header("location")) == (StatusCode::SEE_OTHER, paths::SIGN_IN)
}

/// What breaks: the sign-in that a password made is lost with the page that was not shown.
#[tokio::test]
async fn who_gives_the_password_again_stays_signed_in_whatever_comes_of_the_rest() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    world.pass(11 * 60);
    let page = browser.open(paths::HANDLE).await;
    let mut busy = Vec::new();
    while let Ok(turn) = world.app.identities.turn(None) {
        busy.push(turn);
    }
    let filled = [("handle", "alicia.test"), ("password", PASSWORD)];
    let stopped = browser.fill(&page, paths::HANDLE, "change", &filled).await;
    assert_eq!(stopped.status, StatusCode::SERVICE_UNAVAILABLE, "{}", stopped.text);
    assert_eq!(browser.open(paths::ACCOUNT).await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_are_in_no_frame_and_no_cache_and_every_field_has_a_label() {
    let world = World::with(|network| network.public_url = "https://zap.test".to_owned()).await;
    let mut browser = world.program(SCOPE);
    for path in GUESTS {
        check_page(&browser.open(path).await, path);
    }
    let page = browser.open(paths::SIGN_IN).await;
    let filled = [("identifier", "alice.test"), ("password", PASSWORD)];
    let entered = browser.fill(&page, paths::SIGN_IN, "sign-in", &filled).await;
    let mut cookies =
        entered.headers.get_all(header::SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
    let session = cookies.find(|cookie| cookie.starts_with("__Host-zap-account=")).unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=604800"] {
        assert!(session.contains(part), "{session}");
    }
    // Old enough that passwords are asked for as well.
    world.pass(10 * 60);
    for path in ALL {
        let page = browser.open(path).await;
        check_page(&page, path);
        assert!(page.text.contains("aria-current=\"page\""), "{path}");
    }
}

/// Nothing inline, nothing from elsewhere, and nowhere else.
pub(super) fn check_loads(page: &Answered) {
    let policy = page.header("content-security-policy");
    // The one script is a file of ours.
    let rest = page.text.replacen("<script src=\"/assets/passkeys.js\" defer></script>", "", 1);
    assert!(!policy.contains("unsafe") && !rest.contains("<script") && !page.text.contains(" style="));
    assert_eq!((page.header("x-frame-options"), page.header("cache-control")), ("DENY", "no-store"));
    assert_eq!(page.header("access-control-allow-origin"), "", "{}", page.text);
}

fn check_page(page: &Answered, path: &str) {
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    check_loads(page);
    for input in page.text.split("<input ").skip(1).map(|rest| &rest[..rest.find('>').unwrap()]) {
        if input.contains("type=\"hidden\"") || input.contains("type=\"radio\"") {
            continue;
        }
        let id = between(input, "id=\"", "\"").unwrap_or_else(|| panic!("{path}: {input}"));
        assert_eq!(page.text.matches(&format!("for=\"{id}\"")).count(), 1, "{path}: {id}");
        assert_eq!(page.text.matches(&format!(" id=\"{id}\"")).count(), 1, "{path}: {id}");
    }
}

/// What breaks: what one app was given takes the whole account.
#[tokio::test]
async fn an_app_password_is_shown_once_opens_what_it_says_and_never_these_pages() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let page = browser.open(paths::APP_PASSWORDS).await;
    let filled = [("name", "<phone>"), ("kind", "vault")];
    let made = browser.fill(&page, paths::APP_PASSWORDS, "make", &filled).await;
    done(&made, "not shown again");
    let password = between(&made.text, "<dt>App password</dt>\n<dd>", "</dd>").unwrap().to_owned();
    assert!(made.text.contains("&#60;phone&#62;") && made.text.contains("private memories"));
    let again = browser.open(paths::APP_PASSWORDS).await;
    assert!(!again.text.contains(&password) && again.text.contains("&#60;phone&#62;"));
    // The same form once more.
    wrong(&browser.fill(&page, paths::APP_PASSWORDS, "make", &filled).await, "make-name", "exists");
    let nameless =
        browser.fill(&page, paths::APP_PASSWORDS, "make", &[("name", " "), ("kind", "plain")]).await;
    wrong(&nameless, "make-name", "name");
    let kindless = browser.fill(&page, paths::APP_PASSWORDS, "make", &[("name", "x"), ("kind", "all")]).await;
    assert!(kindless.status == StatusCode::BAD_REQUEST && kindless.text.contains("Choose"));

    let session = world.session("alice.test", &password).await.ok();
    let mut other = world.program(SCOPE);
    wrong(&enter(&mut other, "alice.test", &password).await, "sign-in-password", "app password");
    assert!(is_sent_to_sign_in(&other.open(paths::ACCOUNT).await));
    let listed = browser.open(paths::SESSIONS).await;
    assert!(listed.text.contains("with the app password “&#60;phone&#62;”"), "{}", listed.text);

    let revoked = browser.fill(&page, paths::APP_PASSWORDS, "revoke", &[("name", "<phone>")]).await;
    done(&revoked, "There is none.");
    assert_eq!(world.session("alice.test", &password).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.refresh(&session).await.error().1, "ExpiredToken");
}

/// What breaks: whoever finds a browser open takes the account over.
#[tokio::test]
async fn what_can_t_be_undone_asks_for_the_password_again() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    world.pass(10 * 60);
    let cases = [
        (paths::APP_PASSWORDS, "make", vec![("name", "phone"), ("kind", "plain")], "make-password"),
        (paths::EMAIL, "change", vec![("email", "eve@example.com")], "change-password"),
        (paths::HANDLE, "change", vec![("handle", "eve.test")], "handle-password"),
        (paths::STATUS, "deactivate", vec![], "deactivate-password"),
        (paths::STATUS, "delete", vec![("code", "AAAAA-AAAAA")], "delete-password"),
    ];
    for (path, action, filled, field) in cases {
        let page = browser.open(path).await;
        assert!(page.text.contains(&format!("id=\"{field}\"")), "{path}");
        for (password, why) in [("", "again"), ("wrong", "wrong")] {
            let filled = [filled.clone(), vec![("password", password)]].concat();
            wrong(&browser.fill(&page, path, action, &filled).await, field, why);
        }
    }
    let old = browser.cookies["zap-account"].clone();
    let filled = [("name", "phone"), ("kind", "plain"), ("password", PASSWORD)];
    done(&send(&mut browser, paths::APP_PASSWORDS, "make", &filled).await, "not shown again");
    let new = browser.cookies.insert("zap-account".to_owned(), old.clone()).unwrap();
    assert_ne!(new, old);
    assert!(is_sent_to_sign_in(&browser.open(paths::ACCOUNT).await), "the old value is over");
    browser.cookies.insert("zap-account".to_owned(), new);
    // For ten minutes it counts.
    done(&send(&mut browser, paths::HANDLE, "change", &[("handle", "alicia.test")]).await, "is changed");
    world.pass(7 * 24 * 3_600);
    assert!(is_sent_to_sign_in(&browser.open(paths::ACCOUNT).await), "a week is over");
}

#[tokio::test]
async fn an_owner_sees_and_ends_devices_and_apps() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let mut other = world.browser("alice@example.com", PASSWORD).await;
    let session = world.session("alice.test", PASSWORD).await.ok();
    let mut app = world.program(SCOPE);
    let tokens = app.tokens(SCOPE, "alice.test", PASSWORD).await;
    let page = browser.open(paths::SESSIONS).await;
    for text in ["This browser.", "Firefox on Linux", "with the account’s password", "A program on a device"]
    {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    assert!(page.text.contains("public records of these kinds: app.bsky.feed.post"), "{}", page.text);

    // Another account's browser ends none of these.
    let body = json!({"handle": "bob.test", "email": "bob@example.com", "password": PASSWORD});
    world.post("com.atproto.server.createAccount", "", &body).await.ok();
    let mut bob = world.browser("bob.test", PASSWORD).await;
    let connected = between(&page.text, "Connected apps</h2>", "</section>").unwrap();
    let id = between(connected, "name=\"id\" value=\"", "\"").unwrap();
    done(&send(&mut bob, paths::SESSIONS, "disconnect", &[("id", id)]).await, "No app is connected");
    let next = app.refresh(&tokens).await.ok();
    let answer = browser.fill(&page, paths::SESSIONS, "disconnect", &[("id", id)]).await;
    done(&answer, "No app is connected");
    assert_eq!(app.refresh(&next).await.error(), (400, "invalid_grant".to_owned()));

    done(&browser.fill(&page, paths::SESSIONS, "end-others", &[]).await, "All others have ended");
    assert!(is_sent_to_sign_in(&other.open(paths::ACCOUNT).await));
    assert_eq!(world.refresh(&session).await.error().1, "ExpiredToken");
    let left = browser.open(paths::SESSIONS).await;
    assert!(!left.text.contains("End all others") && left.text.contains("This browser."), "{}", left.text);
    assert_eq!(bob.open(paths::ACCOUNT).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_is_confirmed_and_changed_by_the_codes_that_were_mailed() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    done(&send(&mut browser, paths::EMAIL, "ask-confirm", &[]).await, "on its way");
    let code = world.mailed_code().await;
    let guessed = send(&mut browser, paths::EMAIL, "confirm", &[("code", "AAAAA-AAAAA")]).await;
    wrong(&guessed, "confirm-code", "wrong");
    let page = browser.open(paths::EMAIL).await;
    let confirmed = browser.fill(&page, paths::EMAIL, "confirm", &[("code", &code)]).await;
    done(&confirmed, "alice@example.com, confirmed");
    // The form is not there any more, and still it is told.
    let late = browser.fill(&page, paths::EMAIL, "confirm", &[("code", &code)]).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.text.contains("was used"), "{}", late.text);
    let new = ("email", "alice@example.net");
    wrong(&send(&mut browser, paths::EMAIL, "change", &[new]).await, "change-code", "needed");
    done(&send(&mut browser, paths::EMAIL, "ask-change", &[]).await, "on its way");
    let code = world.mailed_code().await;
    let bad = [("email", "nonsense"), ("code", &code)];
    wrong(&send(&mut browser, paths::EMAIL, "change", &bad).await, "change-email", "can’t be sent");
    let changed = send(&mut browser, paths::EMAIL, "change", &[new, ("code", &code)]).await;
    done(&changed, "alice@example.net, not confirmed");
}

#[tokio::test]
async fn another_password_signs_all_others_out_and_this_browser_stays() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let mut other = world.browser("alice.test", PASSWORD).await;
    let page = browser.open(paths::PASSWORD).await;
    for (current, new, field, why) in
        [("nonsense", "staple", "change-current", "wrong"), (PASSWORD, "", "change-new", "empty")]
    {
        let filled = [("current", current), ("new", new)];
        wrong(&browser.fill(&page, paths::PASSWORD, "change", &filled).await, field, why);
    }
    let filled = [("current", PASSWORD), ("new", "staple")];
    done(&browser.fill(&page, paths::PASSWORD, "change", &filled).await, "is changed");
    assert_eq!(browser.open(paths::ACCOUNT).await.status, StatusCode::OK);
    assert!(is_sent_to_sign_in(&other.open(paths::ACCOUNT).await));
    assert_eq!(world.session("alice.test", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    world.session("alice.test", "staple").await.ok();
}

#[tokio::test]
async fn a_domain_is_checked_live_and_then_taken() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let home = browser.open(paths::ACCOUNT).await;
    let did = format!("did:{}", between(&home.text, "<dd>did:", "<").unwrap());
    let own = [("handle", "@Alice.example.com")];
    let unset = send(&mut browser, paths::HANDLE, "check", &own).await;
    wrong(&unset, "handle-handle", "does not name your account yet");
    let file = "https://alice.example.com/.well-known/atproto-did";
    for text in ["_atproto.alice.example.com", &format!("did={did}"), file] {
        assert!(unset.text.contains(text), "{text}");
    }
    wrong(&send(&mut browser, paths::HANDLE, "change", &own).await, "handle-handle", "does not name");
    let record = ("_atproto.alice.example.com".to_owned(), vec![format!("did={did}")]);
    world.host.internet.txt.lock().unwrap().extend([record]);
    done(&send(&mut browser, paths::HANDLE, "check", &own).await, "names your account");
    done(&send(&mut browser, paths::HANDLE, "check", &[("handle", "free.test")]).await, "It is free");
    for (handle, why) in [("admin.test", "reserved"), ("no handle", "domain name"), ("a.b.test", "")] {
        let refused = send(&mut browser, paths::HANDLE, "change", &[("handle", handle)]).await;
        wrong(&refused, "handle-handle", why);
    }
    done(&send(&mut browser, paths::HANDLE, "change", &own).await, "<dd>alice.example.com</dd>");
    assert!(!browser.open(paths::HANDLE).await.text.contains("handle.invalid"));
    // It is lost, and its owner is told so and how to set it right.
    world.host.internet.txt.lock().unwrap().clear();
    world.pass(28 * 3_600);
    world.app.check_handles().await.unwrap();
    let lost = browser.open(paths::HANDLE).await.text;
    for text in ["<dd>alice.example.com</dd>", "others see handle.invalid", "_atproto.alice.example.com"] {
        assert!(lost.contains(text), "{text}: {lost}");
    }
}

#[tokio::test]
async fn an_account_is_put_to_rest_woken_and_deleted() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    done(&send(&mut browser, paths::STATUS, "deactivate", &[]).await, "at rest");
    assert!(browser.open(paths::ACCOUNT).await.text.contains("deactivated"));
    // One that rests can be signed in to.
    let mut browser = world.browser("alice.test", PASSWORD).await;
    done(&send(&mut browser, paths::STATUS, "activate", &[]).await, "is active");
    wrong(&send(&mut browser, paths::STATUS, "delete", &[]).await, "delete-code", "wrong");
    done(&send(&mut browser, paths::STATUS, "ask-delete", &[]).await, "on its way");
    let code = world.mailed_code().await;
    let deleted = send(&mut browser, paths::STATUS, "delete", &[("code", &code)]).await;
    done(&deleted, "The account is deleted");
    assert!(!browser.cookies.contains_key("zap-account"));
    wrong(&enter(&mut browser, "alice.test", PASSWORD).await, "sign-in-password", "wrong");
}

/// What breaks: of two who send the same at once, one is half-done.
#[tokio::test]
async fn the_same_form_twice_at_once_is_done_once() {
    let world = World::new().await;
    let mut one = world.browser("alice.test", PASSWORD).await;
    let page = one.open(paths::APP_PASSWORDS).await;
    let mut two = world.program(SCOPE);
    two.cookies = one.cookies.clone();
    let filled = [("name", "phone"), ("kind", "plain")];
    let (first, second) = tokio::join!(
        one.fill(&page, paths::APP_PASSWORDS, "make", &filled),
        two.fill(&page, paths::APP_PASSWORDS, "make", &filled)
    );
    let mut statuses = [first.status, second.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::BAD_REQUEST]);
    let listed = one.open(paths::APP_PASSWORDS).await;
    assert_eq!(listed.text.matches("<strong>phone</strong>").count(), 1);
}

/// What breaks: a form that is cut short, too long or of another kind does something, or says nothing.
#[tokio::test]
async fn what_is_no_form_of_ours_changes_nothing_and_is_told_so() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let page = browser.open(paths::STATUS).await;
    let token = between(&page.text, "name=\"token\" value=\"", "\"").unwrap();
    let cookies = format!("zap-account={}", browser.cookies["zap-account"]);
    let good = format!("token={token}&action=deactivate");
    let form = "application/x-www-form-urlencoded";
    for (kind, site, body) in [
        (form, "same-origin", "action=deactivate".to_owned()),
        (form, "same-origin", format!("{good}&action=deactivate")),
        (form, "same-origin", format!("{good}&x={}", "x".repeat(30_000))),
        ("text/plain", "same-origin", good.clone()),
        (form, "cross-site", good.clone()),
    ] {
        let request = http::Request::post(paths::STATUS)
            .header(header::ORIGIN, "http://localhost:2583")
            .header("sec-fetch-site", site)
            .header(header::COOKIE, &cookies)
            .header(header::CONTENT_TYPE, kind);
        let answer = browser.send(request, body.into()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind} {site}");
        assert_eq!(answer.header("x-frame-options"), "DENY");
    }
    assert!(browser.open(paths::ACCOUNT).await.text.contains("<dd>active</dd>"));
}
