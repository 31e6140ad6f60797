//! What an account needs beside its password, changed until the server is killed, and where the disk is full: all of a change
//! is there after that, or nothing, and its owner gets in.

mod full;

use std::time::Duration;

use anyhow::Result;
use harness::zap::create_account;
use harness::{Answer, Zap};
use serde_json::json;
use zap::crypto::totp::{SECRET_LEN, code_at};
use zap::testing::Authenticator;

use crate::pages::{Browser, PASSKEYS, PASSWORD, Page, SIGN_IN, TWO_FACTOR, bytes};
use crate::random::{Random, number, seed};

/// Codes on paper that are made at a time.
const CODES: usize = 10;

/// What an owner changes over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Codes by time, on and off.
    Totp,
    /// Codes on paper, made anew; codes by time stay on.
    Paper,
    /// A passkey, there and gone.
    Passkey,
}

/// An owner in one browser.
struct Owner {
    what: What,
    handle: String,
    browser: Browser,
    secret: [u8; SECRET_LEN],
    /// Codes on paper that were shown last.
    paper: Vec<String>,
    /// The code by time that signed in last, and does so once.
    used: String,
    it: Authenticator,
    user: Vec<u8>,
    /// Whether there was something beside the password when the last answer came, and what was asked for after that.
    answered: bool,
    asked: bool,
    times: usize,
}

fn now_seconds() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// Asks for a session as an app does, with a code if there is one.
async fn session(zap: &Zap, handle: &str, code: Option<&str>) -> Answer {
    let input = json!({ "identifier": handle, "password": PASSWORD, "authFactorToken": code });
    zap.client().post("com.atproto.server.createSession", None, &input).await.unwrap()
}

impl Owner {
    async fn new(zap: &Zap, what: What, name: &str) -> Self {
        let handle = format!("{name}.test");
        create_account(&mut zap.client(), &handle).await.unwrap();
        let browser = Browser::signed_in(zap, &handle).await;
        let mut it = Authenticator::new(1);
        it.origin.clone_from(&browser.origin);
        it.id = name.as_bytes().to_vec();
        let mut owner = Self {
            what,
            handle,
            browser,
            secret: [0; SECRET_LEN],
            paper: Vec::new(),
            used: String::new(),
            it,
            user: Vec::new(),
            answered: false,
            asked: false,
            times: 0,
        };
        if what == What::Paper {
            owner.turn_on().await.unwrap().says("Two-factor sign-in is on");
        }
        owner
    }

    /// A code by time that was not used: that of the step after this one is taken too.
    fn code(&self, steps_on: i64) -> String {
        code_at(&self.secret, now_seconds() + 30 * steps_on).to_string()
    }

    async fn begin(&mut self) -> Result<Page> {
        let page = self.browser.send(TWO_FACTOR, "begin", &[]).await?;
        let secret = page.between("<dt>Secret</dt>\n<dd>", "</dd>").unwrap_or_default();
        let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
        self.secret =
            secret.try_into().unwrap_or_else(|_| panic!("no secret: {} {}", page.status, page.text));
        Ok(page)
    }

    async fn confirm(&mut self, begun: &Page) -> Result<Page> {
        let code = self.code(0);
        self.asked = true;
        let page = self.browser.fill(begun, TWO_FACTOR, "confirm", &[("code", &code)]).await?;
        self.answered = page.status == 200;
        self.keep_paper(&page);
        Ok(page)
    }

    async fn turn_on(&mut self) -> Result<Page> {
        let begun = self.begin().await?;
        self.confirm(&begun).await
    }

    async fn turn_off(&mut self) -> Result<Page> {
        let code = self.paper[0].clone();
        let page = self.browser.open(TWO_FACTOR).await?;
        self.asked = false;
        let filled = [("password", PASSWORD), ("code", &*code)];
        let page = self.browser.fill(&page, TWO_FACTOR, "stop", &filled).await?;
        self.answered = page.status != 200;
        Ok(page)
    }

    async fn renew(&mut self) -> Result<Page> {
        let page = self.browser.send(TWO_FACTOR, "renew", &[]).await?;
        self.keep_paper(&page);
        Ok(page)
    }

    async fn add(&mut self) -> Result<Page> {
        let page = self.browser.open(PASSKEYS).await?;
        self.add_on(&page).await
    }

    async fn add_on(&mut self, page: &Page) -> Result<Page> {
        self.user = bytes(&page.options()["user"]["id"]);
        let credential = self.it.made(&page.challenge()).to_string();
        self.asked = true;
        let filled = [("name", "phone"), ("credential", &*credential)];
        let page = self.browser.fill(page, PASSKEYS, "passkey", &filled).await?;
        self.answered = page.status == 200;
        self.keep_paper(&page);
        Ok(page)
    }

    async fn remove(&mut self) -> Result<Page> {
        let id = data_encoding::BASE64URL_NOPAD.encode(&self.it.id);
        let page = self.browser.open(PASSKEYS).await?;
        self.asked = false;
        let page = self.browser.fill(&page, PASSKEYS, "remove", &[("id", &id)]).await?;
        self.answered = page.status != 200;
        Ok(page)
    }

    /// With the first factor, and when they are made anew, codes are shown: all of them.
    fn keep_paper(&mut self, page: &Page) {
        let codes: Vec<String> = page.bold().into_iter().filter(|code| code.len() == 19).collect();
        if page.status == 200 {
            assert_eq!(codes.len(), CODES, "{}", page.text);
            self.paper = codes;
        }
    }

    /// Changes it until the server is gone.
    async fn run(mut self, mut random: Random) -> Self {
        loop {
            let page = match (self.what, self.answered) {
                (What::Totp, false) => self.turn_on().await,
                (What::Totp, true) => self.turn_off().await,
                (What::Paper, _) => self.renew().await,
                (What::Passkey, false) => self.add().await,
                (What::Passkey, true) => self.remove().await,
            };
            let Ok(page) = page else { return self };
            assert_eq!(page.status, 200, "{:?}: {}", self.what, page.text);
            self.times += 1;
            // A day has room for twenty of these, which a server forgets when it dies.
            tokio::time::sleep(Duration::from_millis(random.between(20, 80))).await;
        }
    }

    /// Sees that there is all of one state, and a way in, and makes that state the one to go on from.
    async fn check(&mut self, zap: &Zap) {
        let sheet = self.browser.open(TWO_FACTOR).await.unwrap();
        sheet.says("Two-factor");
        let (is_on, left) = (sheet.text.contains("It is on"), paper_left(&sheet));
        let has_passkey = !self.browser.open(PASSKEYS).await.unwrap().text.contains("There is none.");
        let found = match self.what {
            What::Totp | What::Paper => is_on && !has_passkey,
            What::Passkey => has_passkey && !is_on,
        };
        assert!([self.answered, self.asked].contains(&found), "{:?}: {found}", self.what);
        assert_eq!(left, if found { Some(CODES) } else { None }, "{:?}: {}", self.what, sheet.text);
        let alone = session(zap, &self.handle, None).await;
        let expected = if found { (401, "AuthFactorTokenRequired") } else { (200, "") };
        assert_eq!((alone.status, &*alone.error_name()), expected, "{:?}: {alone:?}", self.what);
        if found {
            self.enters(zap).await;
        }
        (self.answered, self.asked) = (found, found);
    }

    /// Gets in by all that there is.
    async fn enters(&mut self, zap: &Zap) {
        match self.what {
            What::Totp => {
                let code = self.code(1);
                let entered = session(zap, &self.handle, Some(&code)).await;
                // Where codes are still on, it may be the one that was used at the last look.
                let expected = if code == self.used { 400 } else { 200 };
                assert_eq!(entered.status, expected, "by a code of now: {entered:?}");
                self.used = code;
            }
            What::Passkey => self.enters_by_passkey(zap).await,
            What::Paper => {}
        }
        // Those on paper are the ones that were shown, all of them, or others that were made after those.
        let [first, last] = [0, CODES - 1].map(|number| self.paper.get(number).cloned());
        let Some((first, last)) = first.zip(last) else { return self.renew_and_enter(zap).await };
        let first = session(zap, &self.handle, Some(&first)).await.status;
        let last = session(zap, &self.handle, Some(&last)).await.status;
        let is_known = self.what != What::Paper && self.answered;
        let expected: &[u16] = if is_known { &[200] } else { &[200, 400] };
        assert!(first == last && expected.contains(&first), "{:?}: {first} and {last}", self.what);
        self.renew_and_enter(zap).await;
    }

    async fn enters_by_passkey(&self, zap: &Zap) {
        let mut browser = Browser::new(zap);
        let page = browser.open(SIGN_IN).await.unwrap();
        let credential = self.it.signed(&page.challenge(), &self.user).to_string();
        let entered = browser.fill(&page, SIGN_IN, "passkey", &[("credential", &credential)]).await.unwrap();
        assert_eq!(entered.location, "/account", "{} {}", entered.status, entered.text);
    }

    /// An owner who saw none of the codes makes others.
    async fn renew_and_enter(&mut self, zap: &Zap) {
        self.renew().await.unwrap().says("The old codes are over");
        let entered = session(zap, &self.handle, Some(&self.paper[CODES - 1])).await;
        assert_eq!(entered.status, 200, "{entered:?}");
        self.renew().await.unwrap().says("The old codes are over");
    }
}

/// How many codes on paper there are, where there are to be any.
fn paper_left(sheet: &Page) -> Option<usize> {
    if sheet.text.contains("None is left") {
        return Some(0);
    }
    let (before, _) = sheet.text.split_once(" are left.")?;
    before.rsplit(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

/// What breaks: kill -9 in the middle of a change leaves an owner with a factor and no codes on paper, with codes of two sets,
/// with a factor that nothing passes, or without one that was answered for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_factor_that_is_changed_while_the_server_is_killed_is_whole_and_lets_its_owner_in() {
    let rounds = number("CRASH_ROUNDS").unwrap_or(6);
    let seed = seed("CRASH_SEED");
    eprintln!("{rounds} kills, CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let (_folder, mut zap) = super::start("warn").await;
    let mut owners = vec![
        Owner::new(&zap, What::Totp, "totp").await,
        Owner::new(&zap, What::Paper, "paper").await,
        Owner::new(&zap, What::Passkey, "passkey").await,
    ];
    for _ in 0..rounds {
        let changing: Vec<_> = owners.drain(..).map(|owner| tokio::spawn(owner.run(random.fork()))).collect();
        tokio::time::sleep(Duration::from_millis(random.between(50, 700))).await;
        zap.kill().unwrap();
        for owner in changing {
            owners.push(owner.await.unwrap());
        }
        zap.restart().await.unwrap();
        for owner in &mut owners {
            owner.check(&zap).await;
        }
    }
    let times: Vec<usize> = owners.iter().map(|owner| owner.times).collect();
    eprintln!("{times:?} changes answered");
    assert!(times.iter().sum::<usize>() as u64 > rounds, "hardly anything was changed: {times:?}");
}
