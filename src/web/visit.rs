//! A browser at the account's own pages: its cookies, and who is signed in there.
//!
//! A browser has one of two cookies. A [`Guest`]'s has a random value that nothing rests on but the tokens of the forms it
//! was given. One that is signed in ([`Signed`]) has another, made at the sign-in and never before, whose digest the
//! directory has; so whoever put a value into somebody's browser has nothing of what that browser does later.
//!
//! What can't be undone asks for the password again ([`Signed::require_fresh`]), unless it was given a few minutes ago; that
//! too makes another value.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::account::{self, paths};
use super::form::{self, COOKIE_CHARS};
use super::problem::{Problem, Stop};
use super::sheet::{Form, Input, Section, Sheet, Told};
use crate::actor::Kind;
use crate::app::{App, device};
use crate::crypto::sha256;
use crate::directory::limits::BROWSER_SESSION_SECONDS;
use crate::directory::{
    BeginHalfSignIn, BrowserSession, GetBrowserSession, GetHalfSignIn, HalfSignIn, OpenBrowserSession, Proof,
    Who,
};
use crate::host::Net;
use crate::seam::Hidden;
use crate::syntax::Did;
use crate::{app, directory};

/// Who is signed in.
const SESSION_COOKIE: &str = "zap-account";
/// Who is not.
const GUEST_COOKIE: &str = "zap-guest";
/// Seconds in which a guest's form has to be sent.
const GUEST_SECONDS: i64 = 60 * 60;

/// One request of a browser.
pub(super) struct Visit {
    pub(super) app: Arc<App>,
    headers: HeaderMap,
    net: Option<Net>,
    new_session: NewSession,
}

/// The session's cookie that the browser is to be given with whatever is answered: the old one is over.
#[derive(Clone, Default)]
struct NewSession(Arc<Mutex<Option<String>>>);

impl NewSession {
    fn set(&self, cookie: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cookie);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Gives the browser the cookie of the sign-in that was made, or ended, on the way to an answer.
pub(super) async fn give_session(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let new = NewSession::default();
    request.extensions_mut().insert(new.clone());
    let mut response = next.run(request).await;
    if let Some(cookie) = new.take() {
        form::give_cookie(&app, &mut response, SESSION_COOKIE, &cookie, BROWSER_SESSION_SECONDS);
    }
    response
}

/// What came of a sign-in.
pub(super) enum Entry {
    /// The browser is signed in, and is given this cookie.
    In(String),
    /// More is needed than the password.
    Half,
    /// This is wrong.
    Refused(Problem),
}

/// A form of ours: its token, and what is filled in.
#[derive(Deserialize)]
struct Posted<F> {
    token: String,
    #[serde(flatten)]
    form: F,
}

impl Visit {
    fn of(app: Arc<App>, request: &Request) -> Self {
        let (extensions, headers) = (request.extensions(), request.headers().clone());
        let new_session = extensions.get().cloned().unwrap_or_default();
        Self { app, headers, net: extensions.get().copied(), new_session }
    }

    /// From where, as the directory knows it.
    pub(super) fn client(&self) -> Option<String> {
        self.net.map(|net| net.to_string())
    }

    /// The same, as lookups are bounded by it.
    pub(super) fn net(&self) -> Option<Net> {
        self.net
    }

    /// Counts what a method does too, with the calls of that method.
    pub(super) fn count(&self, nsid: &str) -> Result<(), Stop> {
        let counted = self.app.limits.request(nsid, self.net, self.app.host.now_us());
        counted.map(drop).map_err(|allowance| Stop::too_often(&allowance))
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let value = form::cookie(&self.headers, &form::cookie_name(&self.app, name))?;
        (value.len() == COOKIE_CHARS).then_some(value)
    }

    async fn session(&self) -> Result<Option<BrowserSession>, Stop> {
        let Some(cookie) = self.cookie(SESSION_COOKIE) else { return Ok(None) };
        Ok(self.app.directory(GetBrowserSession { cookie: sha256(cookie.as_bytes()) }).await?)
    }

    /// Signs the browser in, in place of what it was signed in with. The one place where that happens.
    pub(super) async fn sign_in(&self, did: &Did, proof: Proof) -> Result<Entry, Stop> {
        let cookie = form::fresh_cookie(&self.app);
        let open = OpenBrowserSession {
            did: did.clone(),
            proof,
            client: self.client(),
            device: self.headers.get(header::USER_AGENT).and_then(device),
            cookie: sha256(cookie.as_bytes()),
            replaces: self.cookie(SESSION_COOKIE).map(|old| sha256(old.as_bytes())),
        };
        match self.app.directory(open).await {
            Ok(()) => {
                self.new_session.set(cookie.clone());
                Ok(Entry::In(cookie))
            }
            Err(app::Error::Directory(directory::Error::FactorRequired { .. })) => Ok(Entry::Half),
            Err(error) => Problem::of(error).map(Entry::Refused),
        }
    }

    /// Takes the session's cookie away from the browser.
    pub(super) fn end_session(&self) {
        self.new_session.set(String::new());
    }

    fn fits(&self, cookie: &str, token: &str) -> bool {
        form::is_from_here(&self.headers, &self.app.network.public_url)
            && self.app.is_form_token(cookie, FORMS, token)
    }
}

/// What the tokens of these forms are made for, beside the cookie: one session's forms are all its own.
const FORMS: &str = "account";

/// A browser where nobody is signed in, or that is about to sign in anew.
pub(super) struct Guest {
    pub(super) visit: Visit,
    cookie: String,
}

impl Guest {
    /// Who opens a page for guests; who is signed in is sent to the account.
    pub(super) async fn of(app: Arc<App>, request: Request) -> Result<Self, Stop> {
        let visit = Visit::of(app, &request);
        if visit.session().await?.is_some() {
            return Err(Stop::to(paths::ACCOUNT));
        }
        let cookie = visit.cookie(GUEST_COOKIE).map_or_else(|| form::fresh_cookie(&visit.app), str::to_owned);
        Ok(Self { visit, cookie })
    }

    /// Who sends a form of such a page, and what is in it.
    pub(super) async fn submitted<F: DeserializeOwned>(
        app: Arc<App>,
        request: Request,
    ) -> Result<(Self, F), Stop> {
        let visit = Visit::of(app, &request);
        let Posted { token, form } = form::read::<Posted<F>>(request).await.map_err(|_| Stop::too_old())?;
        let cookie = visit.cookie(GUEST_COOKIE).map(str::to_owned);
        match cookie.filter(|cookie| visit.fits(cookie, &token)) {
            Some(cookie) => Ok((Self { visit, cookie }, form)),
            None => Err(Stop::too_old()),
        }
    }

    pub(super) fn form(&self, id: &'static str, path: &'static str, told: &Told) -> Form {
        Form::new(id, path, self.visit.app.form_token(&self.cookie, FORMS), told)
    }

    pub(super) fn page(&self, title: String, told: &Told, sections: Vec<Section>) -> Response {
        let sheet = Sheet { title, notice: told.notice.clone(), sections, ..Sheet::default() };
        let mut response = told.show(sheet);
        form::give_cookie(&self.visit.app, &mut response, GUEST_COOKIE, &self.cookie, GUEST_SECONDS);
        response
    }

    /// Who has shown a password in this browser a moment ago, and nothing beside it yet.
    pub(super) async fn half(&self) -> Result<HalfSignIn, Stop> {
        let half = self.visit.app.directory(GetHalfSignIn { browser: self.browser() }).await?;
        half.ok_or_else(|| Stop::to(paths::SIGN_IN))
    }

    /// Remembers that a password was shown, and sends the browser on to show the rest. Whoever knew what it had before has
    /// nothing of this.
    pub(super) async fn begin_half(mut self, did: &Did, proof: Proof) -> Result<Response, Stop> {
        self.cookie = form::fresh_cookie(&self.visit.app);
        let begin = BeginHalfSignIn { did: did.clone(), proof, browser: self.browser() };
        self.visit.app.directory(begin).await?;
        let mut response = super::page::redirect(paths::SECOND_STEP);
        form::give_cookie(&self.visit.app, &mut response, GUEST_COOKIE, &self.cookie, GUEST_SECONDS);
        Ok(response)
    }

    /// What a passkey's challenge fits.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// SHA-256 of what the browser shows.
    pub(super) fn browser(&self) -> [u8; 32] {
        sha256(self.cookie.as_bytes())
    }

    /// Sends a browser that was signed in to the account.
    pub(super) fn enter(&self) -> Response {
        let mut response = super::page::redirect(paths::ACCOUNT);
        form::give_cookie(&self.visit.app, &mut response, GUEST_COOKIE, "", 0);
        response
    }
}

/// A browser where somebody is signed in.
pub(super) struct Signed {
    pub(super) visit: Visit,
    pub(super) session: BrowserSession,
    cookie: String,
}

impl Signed {
    /// Who opens a page of the account; a guest is sent to sign in.
    pub(super) async fn of(app: Arc<App>, request: Request) -> Result<Self, Stop> {
        let visit = Visit::of(app, &request);
        Self::found(visit).await
    }

    async fn found(visit: Visit) -> Result<Self, Stop> {
        let session = visit.session().await?;
        match (session, visit.cookie(SESSION_COOKIE).map(str::to_owned)) {
            (Some(session), Some(cookie)) => Ok(Self { visit, session, cookie }),
            _ => Err(Stop::to(paths::SIGN_IN)),
        }
    }

    /// Who sends a form of the account, and what is in it.
    pub(super) async fn submitted<F: DeserializeOwned>(
        app: Arc<App>,
        request: Request,
    ) -> Result<(Self, F), Stop> {
        let visit = Visit::of(app, &request);
        let Posted { token, form } = form::read::<Posted<F>>(request).await.map_err(|_| Stop::too_old())?;
        let signed = Self::found(visit).await?;
        if signed.visit.fits(&signed.cookie, &token) { Ok((signed, form)) } else { Err(Stop::too_old()) }
    }

    /// What a passkey's challenge fits.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(super) fn app(&self) -> &Arc<App> {
        &self.visit.app
    }

    pub(super) fn did(&self) -> &Did {
        &self.session.account.did
    }

    pub(super) fn is_agent(&self) -> bool {
        self.session.account.kind == Kind::Agent
    }

    /// What is made with it rests on the session.
    pub(super) fn proof(&self) -> Proof {
        Proof::Browser(sha256(self.cookie.as_bytes()))
    }

    pub(super) fn form(&self, id: &'static str, path: &'static str, told: &Told) -> Form {
        Form::new(id, path, self.visit.app.form_token(&self.cookie, FORMS), told)
    }

    /// The field for the password, unless it was given a few minutes ago.
    pub(super) fn password_again(&self) -> Option<Input> {
        let label = if self.is_agent() { "The agent’s token" } else { "Your password" };
        let hint = "You signed in a while ago. What you are about to do needs it again.";
        let input = || Input::password("password", label, "current-password").hint(hint);
        (!self.session.is_fresh).then(input)
    }

    /// Sees that the password was given a few minutes ago, or is now.
    pub(super) async fn require_fresh(
        &mut self,
        password: Hidden<String>,
    ) -> Result<Result<(), Problem>, Stop> {
        if self.session.is_fresh {
            return Ok(Ok(()));
        }
        if password.expose().is_empty() {
            return Ok(Err(Problem::at("password", "Give it again: you signed in a while ago.")));
        }
        match self.check_password(password, "password").await? {
            Ok(proof) => self.renew(proof).await,
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// What the account's own password, or its agent's token, proves.
    pub(super) async fn check_password(
        &self,
        password: Hidden<String>,
        field: &'static str,
    ) -> Result<Result<Proof, Problem>, Stop> {
        let who = Some(Who::Did(self.did().clone()));
        Ok(match self.app().check_password(who, self.visit.client(), password).await {
            Ok(Some(checked)) if matches!(checked.proof, Proof::AppPassword(_)) => {
                Err(Problem::at(field, account::APP_PASSWORD))
            }
            Ok(Some(checked)) => Ok(checked.proof),
            Ok(None) => Err(Problem::at(field, "This is wrong.")),
            Err(error) => Err(Problem { field, ..Problem::of(error)? }),
        })
    }

    /// Signs the same browser in anew. What is needed beside the password was shown when it was signed in first.
    pub(super) async fn renew(&mut self, proof: Proof) -> Result<Result<(), Problem>, Stop> {
        let proof = match proof {
            Proof::Password(digest) => Proof::TwoFactors(digest),
            proof => proof,
        };
        match self.visit.sign_in(self.did(), proof).await? {
            Entry::In(cookie) => {
                self.cookie = cookie;
                self.reload().await?;
                Ok(Ok(()))
            }
            Entry::Half => Err(Stop::to(paths::SIGN_IN)),
            Entry::Refused(problem) => Ok(Err(problem)),
        }
    }

    /// Looks at the account again, which has changed.
    pub(super) async fn reload(&mut self) -> Result<(), Stop> {
        let cookie = sha256(self.cookie.as_bytes());
        let found = self.app().directory(GetBrowserSession { cookie }).await?;
        self.session = found.ok_or_else(|| Stop::to(paths::SIGN_IN))?;
        Ok(())
    }

    /// The page at `path`.
    pub(super) fn page(&self, path: &'static str, told: &Told, sections: Vec<Section>) -> Response {
        let mut links = account::links(self);
        links.iter_mut().for_each(|link| link.is_here = link.path == path);
        let title = links.iter().find(|link| link.is_here).map_or("Account", |link| link.text).to_owned();
        let sheet = Sheet { title, links, notice: told.notice.clone(), sections, ..Sheet::default() };
        told.show(sheet)
    }
}
