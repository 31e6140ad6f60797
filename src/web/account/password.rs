//! Another password, by who knows the one that there is.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::App;
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Input, Section, Told};
use crate::web::visit::Signed;

const CHANGE: &str = "change";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default())
}

#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    current: Hidden<String>,
    #[serde(default)]
    new: Hidden<String>,
}

/// The old one is asked for however short ago the sign-in was: it is what somebody at an open browser does not know.
pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, Change { current, new }) = Signed::submitted(app, request).await?;
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    let proof = match signed.check_password(current, "current").await? {
        Ok(proof) => proof,
        Err(problem) => return sheet(&signed, &Told::wrong(CHANGE, problem)),
    };
    let proof = match signed.app().change_password(signed.did(), proof, new).await {
        Ok(proof) => proof,
        Err(error) => return sheet(&signed, &Told::wrong(CHANGE, Problem::of(error)?)),
    };
    // All sessions ended with it, this one too.
    if let Err(problem) = signed.renew(proof).await? {
        return sheet(&signed, &Told::wrong(CHANGE, problem));
    }
    sheet(&signed, &Told::done("The password is changed. All other devices and apps are signed out."))
}

fn sheet(signed: &Signed, told: &Told) -> Shown {
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    let form = signed
        .form(CHANGE, paths::PASSWORD, told)
        .input(told, Input::password("current", "Password now", "current-password"))
        .input(told, Input::password("new", "New password", "new-password"))
        .first(CHANGE, "Change the password");
    let text = "All other devices and connected apps are signed out. App passwords stay: revoke those you do not want.";
    let section = Section { text: vec![text.to_owned()], form: Some(form), ..Section::default() };
    Ok(signed.page(paths::PASSWORD, told, vec![section]))
}
