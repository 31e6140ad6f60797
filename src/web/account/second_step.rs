//! The second step of a sign-in: the password was right, and is not all that is needed. For minutes, in the same browser.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::App;
use crate::directory::{Given, Half, HalfSignIn, PassFactor};
use crate::seam::Hidden;
use crate::web::passkey;
use crate::web::problem::{Problem, Stop};
use crate::web::second_step::{self, CODE};
use crate::web::sheet::{Link, Section, Told};
use crate::web::visit::{Entry, Guest};

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let guest = Guest::of(app, request).await?;
    let half = guest.half().await?;
    Ok(sheet(&guest, &half, &Told::default()))
}

#[derive(Deserialize)]
pub(super) struct Second {
    action: String,
    #[serde(default)]
    code: Hidden<String>,
    #[serde(default)]
    credential: String,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (guest, Second { action, code, credential }) = Guest::submitted(app, request).await?;
    let half = guest.half().await?;
    let is_code = action != passkey::ACTION;
    let (form, field) = if is_code { (CODE, "code") } else { (passkey::ACTION, "credential") };
    let again = |problem| Ok(sheet(&guest, &half, &Told::wrong(form, Problem { field, ..problem })));
    let given = if is_code {
        Given::Code(code)
    } else {
        match passkey::read_signed(&guest.visit.app, guest.cookie(), &credential) {
            Some(assertion) => Given::Passkey(assertion),
            None => return again(passkey::too_old()),
        }
    };
    let pass = PassFactor { half: Half::Before { browser: guest.browser() }, given };
    let passed = match guest.visit.app.directory(pass).await {
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

fn sheet(guest: &Guest, half: &HalfSignIn, told: &Told) -> Response {
    let form = second_step::filled(guest.form(CODE, paths::SECOND_STEP, told), told, half);
    let links = vec![Link::to(paths::SIGN_IN, "Begin again")];
    let app = &guest.visit.app;
    let passkey = guest.form(passkey::ACTION, paths::SECOND_STEP, told);
    let passkey = second_step::passkey(app, guest.cookie(), passkey, half);
    let sections = vec![
        Section { form: passkey, ..Section::default() },
        Section { form: Some(form), links, ..Section::default() },
    ];
    guest.page(second_step::TITLE.to_owned(), told, sections)
}
