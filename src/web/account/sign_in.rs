//! Signing in to the account's own pages, and out.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{APP_PASSWORD, Shown, paths};
use crate::app::App;
use crate::directory::{CloseBrowserSession, Proof, UsePasskey, Who};
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Input, Link, Section, Told};
use crate::web::visit::{Entry, Guest, Signed};
use crate::web::{page, passkey};

const FORM: &str = "sign-in";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    Ok(sheet(&Guest::of(app, request).await?, &Told::default()))
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(default)]
    action: String,
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    credential: String,
    #[serde(default)]
    password: Hidden<String>,
}

/// Takes a password; as often as the directory allows, which counts these with those of apps.
pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (guest, SignIn { action, identifier, credential, password }) = Guest::submitted(app, request).await?;
    if action == passkey::ACTION {
        return with_passkey(&guest, &credential).await;
    }
    let who = Who::parse(identifier.trim());
    let again = |problem| sheet(&guest, &Told::wrong(FORM, problem).with("identifier", identifier.as_str()));
    let checked = match guest.visit.app.check_password(who, guest.visit.client(), password).await {
        Ok(Some(checked)) => checked,
        Ok(None) => return Ok(again(Problem::at("password", "Name or password is wrong."))),
        Err(error) => return Ok(again(Problem::of(error)?)),
    };
    if matches!(checked.proof, Proof::AppPassword(_)) {
        return Ok(again(Problem::at("password", APP_PASSWORD)));
    }
    let did = checked.account.did;
    match guest.visit.sign_in(&did, checked.proof.clone()).await? {
        Entry::In(_) => Ok(guest.enter()),
        Entry::Half => guest.begin_half(&did, checked.proof).await,
        Entry::Refused(problem) => Ok(again(problem)),
    }
}

/// Takes a passkey alone.
async fn with_passkey(guest: &Guest, credential: &str) -> Shown {
    let again = |problem| Ok(sheet(guest, &Told::wrong(passkey::ACTION, problem)));
    let app = &guest.visit.app;
    let Some(assertion) = passkey::read_signed(app, guest.cookie(), credential) else {
        return again(passkey::too_old());
    };
    let passed = match app.directory(UsePasskey { assertion }).await {
        Ok(Some(passed)) => passed,
        Ok(None) => return again(passkey::copied()),
        Err(error) => return again(Problem::of(error)?),
    };
    match guest.visit.sign_in(&passed.did, passed.proof).await? {
        Entry::In(_) => Ok(guest.enter()),
        Entry::Half => Err(Stop::to(paths::SIGN_IN)),
        Entry::Refused(problem) => again(problem),
    }
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn sign_out(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (signed, Nothing {}) = Signed::submitted(app, request).await?;
    if let Proof::Browser(cookie) = signed.proof() {
        signed.app().directory(CloseBrowserSession { cookie }).await?;
    }
    signed.visit.end_session();
    Ok(page::redirect(paths::SIGN_IN))
}

fn sheet(guest: &Guest, told: &Told) -> Response {
    let network = &guest.visit.app.network;
    let identifier = Input::text("identifier", "Handle, e-mail address or DID").autocomplete("username");
    let form = guest
        .form(FORM, paths::SIGN_IN, told)
        .input(told, identifier)
        .input(told, Input::password("password", "Password, or an agent’s token", "current-password"))
        .first("sign-in", "Sign in");
    let mut links = vec![Link::to(paths::SIGN_UP, "Make an account")];
    if network.sends_mail {
        links.push(Link::to(paths::RESET, "I forgot my password"));
    }
    let by_passkey = guest.form(passkey::ACTION, paths::SIGN_IN, told);
    let by_passkey = passkey::get(&guest.visit.app, guest.cookie(), by_passkey, &[])
        .other(passkey::ACTION, "Sign in with a passkey");
    let sections = vec![
        Section { form: Some(form), ..Section::default() },
        Section { form: Some(by_passkey), links, ..Section::default() },
    ];
    guest.page(format!("Sign in to {}", crate::web::host(&network.public_url)), told, sections)
}
