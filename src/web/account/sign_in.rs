//! Signing in to the account's own pages, and out.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{APP_PASSWORD, Shown, paths};
use crate::app::App;
use crate::directory::{CloseBrowserSession, Proof, Who};
use crate::seam::Hidden;
use crate::web::page;
use crate::web::problem::Problem;
use crate::web::sheet::{Input, Link, Section, Told};
use crate::web::visit::{Entry, Guest, Signed};

const FORM: &str = "sign-in";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    Ok(sheet(&Guest::of(app, request).await?, &Told::default()))
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    identifier: String,
    #[serde(default)]
    password: Hidden<String>,
}

/// Takes a password; as often as the directory allows, which counts these with those of apps.
pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (guest, SignIn { identifier, password }) = Guest::submitted(app, request).await?;
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
        Entry::In(cookie) => Ok(guest.enter(&cookie)),
        Entry::Half => guest.begin_half(&did, checked.proof).await,
        Entry::Refused(problem) => Ok(again(problem)),
    }
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn sign_out(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (signed, Nothing {}) = Signed::submitted(app, request).await?;
    if let Proof::Browser(cookie) = signed.proof() {
        signed.app().directory(CloseBrowserSession { cookie }).await?;
    }
    let mut response = page::redirect(paths::SIGN_IN);
    signed.visit.give_session(&mut response, "");
    Ok(response)
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
    let section = Section { form: Some(form), links, ..Section::default() };
    guest.page(format!("Sign in to {}", crate::web::host(&network.public_url)), told, vec![section])
}
