//! A browser without scripts at the account's own pages of a real server: its cookies, and forms as their pages have them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use data_encoding::BASE64URL_NOPAD;
use harness::{Answer, Client, Zap};
use hyper::Method;
use serde_json::Value;

pub(crate) const SIGN_IN: &str = "/account/sign-in";
pub(crate) const SECOND_STEP: &str = "/account/sign-in/second-step";
pub(crate) const TWO_FACTOR: &str = "/account/two-factor";
pub(crate) const PASSKEYS: &str = "/account/passkeys";
pub(crate) const RECOVERY_KEY: &str = "/account/recovery-key";

/// What `create_account` gives everybody.
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Browser {
    client: Client,
    /// As the server calls itself.
    pub(crate) origin: String,
    cookies: BTreeMap<String, String>,
}

/// What a browser was shown.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// Where it was sent instead.
    pub(crate) location: String,
}

impl Page {
    /// What stands between the first `before` and the next `after`.
    pub(crate) fn between(&self, before: &str, after: &str) -> Option<&str> {
        let rest = &self.text[self.text.find(before)? + before.len()..];
        rest.get(..rest.find(after)?)
    }

    /// A page of success that says so.
    pub(crate) fn says(&self, text: &str) {
        assert!(self.status == 200 && self.text.contains(text), "{text}: {} {}", self.status, self.text);
    }

    /// What is in bold: codes that were just made, say.
    pub(crate) fn bold(&self) -> Vec<String> {
        let bold = self.text.split("<strong>").skip(1);
        bold.map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect()
    }

    /// What the script is told of a passkey.
    pub(crate) fn options(&self) -> Value {
        let text = self.between("data-options=\"", "\"").unwrap_or_default();
        serde_json::from_str(&text.replace("&#34;", "\"")).unwrap_or_default()
    }

    /// The challenge that a passkey is to answer.
    pub(crate) fn challenge(&self) -> Vec<u8> {
        bytes(&self.options()["challenge"])
    }
}

pub(crate) fn bytes(text: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_str().unwrap_or_default().as_bytes()).unwrap()
}

impl Browser {
    pub(crate) fn new(zap: &Zap) -> Self {
        let origin = format!("http://{}", zap.authority());
        Self { client: zap.client(), origin, cookies: BTreeMap::new() }
    }

    /// One where this account is signed in, which has nothing but a password.
    pub(crate) async fn signed_in(zap: &Zap, handle: &str) -> Self {
        let mut browser = Self::new(zap);
        let entered = browser.enter(handle).await.unwrap();
        assert_eq!(entered.location, "/account", "{}", entered.text);
        browser
    }

    /// Gives the password.
    pub(crate) async fn enter(&mut self, handle: &str) -> Result<Page> {
        let page = self.open(SIGN_IN).await?;
        self.fill(&page, SIGN_IN, "sign-in", &[("identifier", handle), ("password", PASSWORD)]).await
    }

    pub(crate) async fn open(&mut self, path: &str) -> Result<Page> {
        let cookies = self.cookie_header();
        let answer = self.client.send_with(Method::GET, path, &[("cookie", &cookies)], "").await?;
        Ok(self.shown(&answer))
    }

    /// Sends a form of a page to `path`, as its button `action` would.
    pub(crate) async fn fill(
        &mut self,
        page: &Page,
        path: &str,
        action: &str,
        filled: &[(&str, &str)],
    ) -> Result<Page> {
        let token = page.between("name=\"token\" value=\"", "\"");
        let token = token.with_context(|| format!("{path}: no form: {} {}", page.status, page.text))?;
        let body = {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.append_pair("token", token).append_pair("action", action).extend_pairs(filled).finish()
        };
        let (cookies, origin) = (self.cookie_header(), self.origin.clone());
        let kind = "application/x-www-form-urlencoded";
        let headers = [("cookie", &*cookies), ("origin", &*origin), ("content-type", kind)];
        let answer = self.client.send_with(Method::POST, path, &headers, body).await?;
        Ok(self.shown(&answer))
    }

    /// Opens a page and sends a form of it.
    pub(crate) async fn send(&mut self, path: &str, action: &str, filled: &[(&str, &str)]) -> Result<Page> {
        let page = self.open(path).await?;
        self.fill(&page, path, action, filled).await
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn shown(&mut self, answer: &Answer) -> Page {
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            match rest.split(';').next().unwrap_or_default() {
                "" => drop(self.cookies.remove(name)),
                value => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        let location = answer.headers.get("location").map_or("", |value| value.to_str().unwrap());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Page { status: answer.status, text, location: location.to_owned() }
    }
}
