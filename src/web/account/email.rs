//! The account's e-mail address: confirmed and changed by mailed codes.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::App;
use crate::directory::{ConfirmEmail, EmailChangedBy, UpdateEmail, Who};
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Input, Section, Told};
use crate::web::visit::Signed;

const ASK_CONFIRM: &str = "ask-confirm";
const CONFIRM: &str = "confirm";
const ASK_CHANGE: &str = "ask-change";
const CHANGE: &str = "change";

const SENT: &str = "A code is on its way to your address. It is good for a quarter of an hour.";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default())
}

#[derive(Deserialize)]
pub(super) struct Asked {
    action: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    code: Hidden<String>,
    #[serde(default)]
    password: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, asked) = Signed::submitted::<Asked>(app, request).await?;
    let told = match asked.action.as_str() {
        ASK_CONFIRM => send(&signed, ASK_CONFIRM, MailPurpose::ConfirmEmail).await?,
        ASK_CHANGE => send(&signed, ASK_CHANGE, MailPurpose::UpdateEmail).await?,
        CONFIRM => confirm(&mut signed, asked.code).await?,
        CHANGE => change(&mut signed, asked).await?,
        _ => return Err(Stop::too_old()),
    };
    sheet(&signed, &told)
}

async fn send(signed: &Signed, form: &'static str, purpose: MailPurpose) -> Result<Told, Stop> {
    match signed.app().send_code(Who::Did(signed.did().clone()), purpose).await {
        Ok(_) => Ok(Told::done(SENT)),
        Err(error) => Ok(Told::wrong(form, Problem::of(error)?)),
    }
}

async fn confirm(signed: &mut Signed, code: Hidden<String>) -> Result<Told, Stop> {
    let (did, email) = (signed.did().clone(), signed.session.account.email.clone().unwrap_or_default());
    match signed.app().directory(ConfirmEmail { did, email, code }).await {
        Ok(()) => {
            signed.reload().await?;
            Ok(Told::done("The address is confirmed."))
        }
        Err(error) => Ok(Told::wrong(CONFIRM, Problem::of(error)?)),
    }
}

async fn change(signed: &mut Signed, asked: Asked) -> Result<Told, Stop> {
    let email = asked.email.trim().to_owned();
    if let Err(problem) = signed.require_fresh(asked.password).await? {
        return Ok(Told::wrong(CHANGE, problem).with("email", email));
    }
    let by = EmailChangedBy::Owner(Some(asked.code).filter(|code| !code.expose().trim().is_empty()));
    let update = UpdateEmail { did: signed.did().clone(), email: email.clone(), by };
    match signed.app().directory(update).await {
        Ok(_) => {
            signed.app().post_soon();
            signed.reload().await?;
            Ok(Told::done("The address is changed."))
        }
        Err(error) => Ok(Told::wrong(CHANGE, Problem::of(error)?).with("email", email)),
    }
}

fn sheet(signed: &Signed, told: &Told) -> Shown {
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    let (account, sends_mail) = (&signed.session.account, signed.app().network.sends_mail);
    let is_confirmed = account.email_confirmed;
    let state = match (&account.email, is_confirmed) {
        (Some(email), true) => format!("{email}, confirmed"),
        (Some(email), false) => format!("{email}, not confirmed"),
        (None, _) => "none".to_owned(),
    };
    let mut sections = vec![Section { facts: vec![("Address", state)], ..Section::default() }];
    let form = |id| signed.form(id, paths::EMAIL, told);
    if account.email.is_some() && !is_confirmed && sends_mail {
        sections.push(Section {
            heading: Some("Confirm it"),
            form: Some(form(ASK_CONFIRM).first(ASK_CONFIRM, "Mail me a code")),
            ..Section::default()
        });
        let code = form(CONFIRM).input(told, Input::code("Code from the mail"));
        sections.push(Section { form: Some(code.first(CONFIRM, "Confirm")), ..Section::default() });
    }
    if is_confirmed && !sends_mail {
        let text = "A confirmed address is changed with a mailed code, and this server sends no mail. Ask its operator.";
        sections.push(Section {
            heading: Some("Change it"),
            text: vec![text.to_owned()],
            ..Section::default()
        });
        return Ok(signed.page(paths::EMAIL, told, sections));
    }
    if is_confirmed {
        sections.push(Section {
            heading: Some("First, a code to the old address"),
            form: Some(form(ASK_CHANGE).first(ASK_CHANGE, "Mail me a code")),
            ..Section::default()
        });
    }
    let change = form(CHANGE)
        .input(told, Input::email("email", "New address"))
        .maybe(told, is_confirmed.then(|| Input::code("Code from the mail")))
        .maybe(told, signed.password_again());
    sections.push(Section {
        heading: Some("Change it"),
        form: Some(change.first(CHANGE, "Change the address")),
        ..Section::default()
    });
    Ok(signed.page(paths::EMAIL, told, sections))
}
