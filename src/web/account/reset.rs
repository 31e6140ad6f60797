//! A forgotten password, and another in its place.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::{self, App};
use crate::directory::{self, Who};
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::web::problem::Problem;
use crate::web::sheet::{Input, Link, Section, Told};
use crate::web::visit::Guest;

const REQUEST: &str = "request";
const SET: &str = "set";

/// The same for every address: who has an account here is nobody's business. Nor is it told by a page that somebody asked
/// too often.
const SENT: &str =
    "If an account has this address, a code is on its way there. It is good for a quarter of an hour.";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    Ok(sheet(&Guest::of(app, request).await?, &Told::default()))
}

#[derive(Deserialize)]
pub(super) struct Reset {
    action: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    code: Hidden<String>,
    #[serde(default)]
    new: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (guest, Reset { action, email, code, new }) = Guest::submitted(app, request).await?;
    let app = &guest.visit.app;
    if action == REQUEST {
        guest.visit.count("com.atproto.server.requestPasswordReset")?;
        let told = match app.send_code(Who::Email(email.trim().to_owned()), MailPurpose::ResetPassword).await
        {
            Ok(_)
            | Err(app::Error::Directory(directory::Error::NoEmail | directory::Error::TooManyMails)) => {
                Told::done(SENT)
            }
            Err(error) => Told::wrong(REQUEST, Problem::of(error)?).with("email", email),
        };
        return Ok(sheet(&guest, &told));
    }
    guest.visit.count("com.atproto.server.resetPassword")?;
    let typed = code.expose().clone();
    Ok(match app.reset_password(code, new).await {
        Ok(()) => {
            let links = vec![Link::to(paths::SIGN_IN, "Sign in")];
            let text = vec!["The password is set, and all devices are signed out.".to_owned()];
            guest.page(
                "Done".to_owned(),
                &Told::default(),
                vec![Section { text, links, ..Section::default() }],
            )
        }
        Err(error) => sheet(&guest, &Told::wrong(SET, Problem::of(error)?).with("code", typed)),
    })
}

fn sheet(guest: &Guest, told: &Told) -> Response {
    let title = "Reset your password".to_owned();
    if !guest.visit.app.network.sends_mail {
        let text = vec!["This server sends no mail. Ask its operator for another password.".to_owned()];
        return guest.page(title, told, vec![Section { text, ..Section::default() }]);
    }
    let request = guest
        .form(REQUEST, paths::RESET, told)
        .input(told, Input::email("email", "E-mail address of the account"))
        .first(REQUEST, "Mail me a code");
    let set = guest
        .form(SET, paths::RESET, told)
        .input(told, Input::code("Code from the mail"))
        .input(told, Input::password("new", "New password", "new-password"))
        .first(SET, "Set the password");
    let links = vec![Link::to(paths::SIGN_IN, "Back to the sign-in")];
    let sections = vec![
        Section { heading: Some("First, a code"), form: Some(request), ..Section::default() },
        Section { heading: Some("Then the password"), form: Some(set), links, ..Section::default() },
    ];
    guest.page(title, told, sections)
}
