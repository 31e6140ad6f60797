//! From a client's request to its answer: sign in, then consent.
//!
//! Each request is signed in for by itself, and nobody stays signed in: what a browser is given at the sign-in is good for
//! that request and for minutes. Before, it has a random value in a cookie of the request, which the form's token fits; with
//! the sign-in it gets another one, so that whoever knew the first has nothing of what follows. Where more is needed than a
//! password, that is asked for in between (`second`), with another value as well.

mod second;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::form::COOKIE_CHARS;
use super::page::{Asking, ConsentPage, Fields, SignInPage};
use super::problem::Problem;
use super::sheet::{Form, Told};
use super::{EXPIRED, failed, form, host, page, passkey, second_step, sentence, words};
use crate::app::oauth::Consent;
use crate::app::{App, device};
use crate::crypto::sha256;
use crate::directory::{BeginConsent, BeginHalfSignIn, Consenting, GetHalfSignIn, Given, Proof, Who};
use crate::host::Net;
use crate::oauth::client::{Client, ClientAuth, RedirectUri};
use crate::oauth::metadata::paths;
use crate::oauth::request::{AuthorizationRequest, Prompt};
use crate::oauth::{
    CONFIDENTIAL_SESSION_SECONDS, Code, Error, PUBLIC_SESSION_SECONDS, REQUEST_SECONDS, Scope,
};
use crate::seam::Hidden;
use crate::syntax::{AtIdentifier, Did};
use crate::{app, directory};

const DAY_SECONDS: i64 = 24 * 60 * 60;

const WRONG: &str = "Handle or password is wrong.";
const APP_PASSWORD: &str = "This is an app password. Use the account’s own password: an application can’t be given more than \
    you have.";

/// A request that a browser shows, with all that is known of it.
struct Asked {
    request: AuthorizationRequest,
    id: String,
    request_uri: String,
    client: Arc<Client>,
    redirect_uri: RedirectUri,
}

/// Which request a page is about.
#[derive(Deserialize)]
struct Which {
    client_id: String,
    request_uri: String,
}

/// The page for a request: to sign in or, once that is done, to consent.
pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let Ok(which) = form::parameters::<Which>(query.as_bytes()) else {
        let message =
            "An application sends people here with what it has asked for (client_id and request_uri).";
        return page::error(StatusCode::BAD_REQUEST, "There is nothing to allow", message);
    };
    let asked = match Asked::find(&app, which, head.extensions.get().copied()).await {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    if asked.request.prompt == Prompt::None {
        return asked.refuse(&app, &Code::LoginRequired.because("nobody is signed in"));
    }
    let cookie = asked.cookie(&app, &head.headers);
    if let Some(cookie) = cookie {
        let browser = sha256(cookie.as_bytes());
        match app.consenting(asked.id.clone(), browser).await {
            Ok(Some(consenting)) => return asked.consent_page(&app, consenting, cookie).await,
            Ok(None) => {}
            Err(error) => return failed(error),
        }
        match app.directory(GetHalfSignIn { browser }).await {
            Ok(Some(half)) => return asked.second_step_page(&app, cookie, &half, &Told::default()),
            Ok(None) => {}
            Err(error) => return failed(error),
        }
    }
    let cookie = cookie.map_or_else(|| form::fresh_cookie(&app), str::to_owned);
    let hint = asked.request.login_hint.clone().unwrap_or_default();
    asked.sign_in_page(&app, &cookie, handle_of(&app, hint).await, None)
}

/// From where somebody signs in.
struct Visitor {
    net: Option<Net>,
    /// What the browser says it is.
    device: Option<String>,
}

impl Visitor {
    fn of(request: &Request) -> Self {
        let device = request.headers().get(header::USER_AGENT).and_then(device);
        Self { net: request.extensions().get().copied(), device }
    }

    /// The address, as text that goes through the seam.
    fn client(&self) -> Option<String> {
        self.net.map(|net| net.to_string())
    }
}

#[derive(Deserialize)]
struct SignInForm {
    #[serde(flatten)]
    which: Which,
    token: String,
    action: String,
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    password: Hidden<String>,
    #[serde(default)]
    code: Hidden<String>,
    #[serde(default)]
    credential: String,
}

/// Takes a password, or what is needed beside it, or a passkey in their place.
pub(super) async fn sign_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let (headers, from) = (request.headers().clone(), Visitor::of(&request));
    let Ok(SignInForm { which, token, action, identifier, password, code, credential }) =
        form::read(request).await
    else {
        return page::error(StatusCode::BAD_REQUEST, "This form is not complete", EXPIRED);
    };
    let asked = match Asked::find(&app, which, from.net).await {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    let Some(cookie) = asked.check_form(&app, &headers, &token) else {
        return page::error(StatusCode::BAD_REQUEST, "This form is too old", EXPIRED);
    };
    if action == "cancel" {
        return asked.refuse(&app, &Code::AccessDenied.because("the user did not sign in"));
    }
    if action == second_step::CODE {
        return asked.second_step(&app, cookie, Given::Code(code), &from).await;
    }
    if action == passkey::ACTION {
        return asked.with_passkey(&app, cookie, &credential, &from).await;
    }
    let again =
        |why: &str| asked.sign_in_page(&app, cookie, identifier.clone(), Some(Problem::at("password", why)));
    let signed_in = match app.check_password(Who::parse(identifier.trim()), from.client(), password).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return again(WRONG),
        Err(error) => {
            return match Problem::of(error) {
                Ok(problem) => asked.sign_in_page(&app, cookie, identifier, Some(problem)),
                Err(stop) => stop.into_response(),
            };
        }
    };
    if matches!(signed_in.proof, Proof::AppPassword(_)) {
        return again(APP_PASSWORD);
    }
    match asked.enter(&app, signed_in.account.did, signed_in.proof, &from).await {
        Ok(response) => response,
        Err(why) => again(why),
    }
}

#[derive(Deserialize)]
struct ConsentForm {
    #[serde(flatten)]
    which: Which,
    token: String,
    action: String,
}

/// Takes the owner's answer.
pub(super) async fn consent(State(app): State<Arc<App>>, request: Request) -> Response {
    let (headers, net) = (request.headers().clone(), request.extensions().get().copied());
    let Ok(ConsentForm { which, token, action }) = form::read(request).await else {
        return page::error(StatusCode::BAD_REQUEST, "This form is not complete", EXPIRED);
    };
    let asked = match Asked::find(&app, which, net).await {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    let Some(cookie) = asked.check_form(&app, &headers, &token) else {
        return page::error(StatusCode::BAD_REQUEST, "This form is too old", EXPIRED);
    };
    let browser = sha256(cookie.as_bytes());
    let answer = app.settle_consent(asked.id.clone(), browser, action == "allow").await;
    let response = match answer {
        Ok(Some(Consent::Granted(code))) => asked.answer(&app, &[("code", code.expose())]),
        Ok(Some(Consent::Denied)) => asked.refuse(&app, &Code::AccessDenied.because("the user said no")),
        Ok(None) | Err(app::Error::Directory(directory::Error::TokenRevoked)) => {
            return page::error(
                StatusCode::BAD_REQUEST,
                "This was answered already, or took too long",
                EXPIRED,
            );
        }
        Err(error) => return failed(error),
    };
    with_cookie(&app, &asked, "", response)
}

impl Asked {
    /// Finds a request, and its client as it is now.
    async fn find(app: &App, which: Which, net: Option<Net>) -> Result<Self, Error> {
        let (request, id) = app.read_request(&which.request_uri, &which.client_id)?;
        let (client, redirect_uri) = app.client_of_request(&request, net).await?;
        Ok(Self { request, id, request_uri: which.request_uri, client, redirect_uri })
    }

    /// A cookie for each request, so that two of them in one browser do not meet.
    fn cookie_name(&self) -> String {
        format!("zap-authorize-{}", self.id.get(..16).unwrap_or(&self.id))
    }

    fn cookie<'a>(&self, app: &App, headers: &'a HeaderMap) -> Option<&'a str> {
        form::cookie(headers, &form::cookie_name(app, &self.cookie_name()))
            .filter(|value| value.len() == COOKIE_CHARS)
    }

    /// What the browser was given for this request, if the form is from a page of ours in that browser.
    fn check_form<'a>(&self, app: &App, headers: &'a HeaderMap, token: &str) -> Option<&'a str> {
        let cookie = self.cookie(app, headers)?;
        let is_ours = form::is_from_here(headers, &app.network.public_url)
            && app.is_form_token(cookie, &self.id, token);
        is_ours.then_some(cookie)
    }

    fn fields(&self, app: &App, cookie: &str) -> Fields {
        Fields {
            client_id: self.client.id.clone(),
            request_uri: self.request_uri.clone(),
            token: app.form_token(cookie, &self.id),
        }
    }

    fn asking(&self) -> Asking {
        Asking { origin: self.client.origin(), name: self.client.name.clone() }
    }

    /// The path of this request's page.
    fn own_path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &self.client.id).append_pair("request_uri", &self.request_uri);
        format!("{}?{}", paths::AUTHORIZE, query.finish())
    }

    /// Signs the browser in for this request, or half in where more is needed than a password.
    ///
    /// # Errors
    /// What is to be told on the page.
    async fn enter(
        &self,
        app: &App,
        did: Did,
        proof: Proof,
        from: &Visitor,
    ) -> Result<Response, &'static str> {
        let sets = match app.find_sets(&self.request.scope, from.net).await {
            Ok(sets) => sets,
            Err(error) => return Ok(self.refuse(app, &error)),
        };
        // Whoever knew what the browser had before has nothing of this.
        let cookie = form::fresh_cookie(app);
        let browser = sha256(cookie.as_bytes());
        let begin = BeginConsent {
            id: self.id.clone(),
            request: AuthorizationRequest { sets, ..self.request.clone() },
            client_name: self.client.name.clone(),
            did: did.clone(),
            proof: proof.clone(),
            client: from.client(),
            device: from.device.clone(),
            browser,
        };
        let begun = match app.directory(begin).await {
            Err(app::Error::Directory(directory::Error::FactorRequired { .. })) => {
                app.directory(BeginHalfSignIn { did, proof, browser }).await
            }
            begun => begun,
        };
        Ok(match begun {
            Ok(()) => with_cookie(app, self, &cookie, page::redirect(&self.own_path())),
            Err(app::Error::Directory(directory::Error::RequestUsed)) => page::error(
                StatusCode::BAD_REQUEST,
                "This was answered already",
                "A request can be answered once.",
            ),
            Err(app::Error::Directory(directory::Error::AccountTakedown)) => {
                return Err("This account has been taken down by the moderators.");
            }
            Err(error) => failed(error),
        })
    }

    fn sign_in_page(
        &self,
        app: &App,
        cookie: &str,
        identifier: String,
        problem: Option<Problem>,
    ) -> Response {
        let told = Told { problem, ..Told::default() };
        let fields = self.fields(app, cookie);
        let form = Form::new(passkey::ACTION, paths::SIGN_IN, fields.token, &Told::default())
            .hidden("client_id", fields.client_id)
            .hidden("request_uri", fields.request_uri);
        let passkey = passkey::get(app, cookie, form, &[]).other(passkey::ACTION, "Sign in with a passkey");
        let template = SignInPage {
            asking: self.asking(),
            server: host(&app.network.public_url).to_owned(),
            fields: self.fields(app, cookie),
            identifier,
            error: told.problem.as_ref().map(|problem| problem.text.clone()),
            passkey,
        };
        let mut shown = told.page(&template, Some(&self.redirect_uri.form_action()));
        page::allow_script(&mut shown);
        with_cookie(app, self, cookie, shown)
    }

    async fn consent_page(&self, app: &App, consenting: Consenting, cookie: &str) -> Response {
        let Consenting { did, sets } = consenting;
        let handle = handle_of(app, did.to_string()).await;
        let lives = match self.client.auth {
            ClientAuth::Public => PUBLIC_SESSION_SECONDS,
            ClientAuth::Keys(_) | ClientAuth::KeysAt(_) => CONFIDENTIAL_SESSION_SECONDS,
        };
        let template = ConsentPage {
            asking: self.asking(),
            handle,
            did: did.into_string(),
            words: words::words(&Scope::parse(&self.request.scope), &sets),
            days: lives / DAY_SECONDS,
            is_local: self.client.is_native,
            fields: self.fields(app, cookie),
        };
        page::page(StatusCode::OK, &template, Some(&self.redirect_uri.form_action()))
    }

    /// Answers the client.
    fn answer(&self, app: &App, parameters: &[(&str, &str)]) -> Response {
        let own = [("iss", app.network.public_url.as_str()), ("state", &self.request.state)];
        let all = [&own[..], parameters].concat();
        page::redirect(&self.redirect_uri.answer(self.request.in_fragment, &all))
    }

    fn refuse(&self, app: &App, error: &Error) -> Response {
        self.answer(app, &[("error", error.code.as_str()), ("error_description", &error.description)])
    }
}

/// The handle of an account here that is named by its DID; else the name as it is.
async fn handle_of(app: &App, name: String) -> String {
    let Ok(did) = Did::try_from(name.as_str()) else { return name };
    match app.find_account(&AtIdentifier::Did(did)).await {
        Ok(Some(account)) => account.handle.into_string(),
        _ => name,
    }
}

/// Gives the browser the request's cookie; an empty one takes it away.
fn with_cookie(app: &App, asked: &Asked, value: &str, mut response: Response) -> Response {
    form::give_cookie(app, &mut response, &asked.cookie_name(), value, REQUEST_SECONDS);
    response
}

/// What is wrong with a request, where it is not known who could be told.
fn refused(error: &Error) -> Response {
    page::error(StatusCode::BAD_REQUEST, "This request can’t be answered", sentence(&error.description))
}
