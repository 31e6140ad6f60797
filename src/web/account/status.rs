//! Putting an account to rest, waking it, and its end.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::App;
use crate::directory::Who;
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Input, Section, Sheet, Told};
use crate::web::visit::Signed;

const DEACTIVATE: &str = "deactivate";
const ACTIVATE: &str = "activate";
const ASK_DELETE: &str = "ask-delete";
const DELETE: &str = "delete";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    Ok(sheet(&signed, &Told::default()))
}

#[derive(Deserialize)]
pub(super) struct Asked {
    action: String,
    #[serde(default)]
    code: Hidden<String>,
    #[serde(default)]
    password: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, Asked { action, code, password }) = Signed::submitted(app, request).await?;
    let did = signed.did().clone();
    let told = match action.as_str() {
        DEACTIVATE => match signed.require_fresh(password).await? {
            Err(problem) => Told::wrong(DEACTIVATE, problem),
            Ok(()) => match signed.app().deactivate(&did, None).await {
                Ok(()) => Told::done("The account is put to rest."),
                Err(error) => Told::wrong(DEACTIVATE, Problem::of(error)?),
            },
        },
        ACTIVATE => {
            let turn = signed.app().identities.turn(signed.visit.net())?;
            let woken = signed.app().activate(&did).await;
            drop(turn);
            match woken {
                Ok(()) => Told::done("The account is active."),
                Err(error) => Told::wrong(ACTIVATE, Problem::of(error)?),
            }
        }
        ASK_DELETE if may_delete(&signed) => {
            match signed.app().send_code(Who::Did(did), MailPurpose::DeleteAccount).await {
                Ok(_) => {
                    Told::done("A code is on its way to your address. It is good for a quarter of an hour.")
                }
                Err(error) => Told::wrong(ASK_DELETE, Problem::of(error)?),
            }
        }
        DELETE if may_delete(&signed) => match delete(&mut signed, code, password).await? {
            Ok(()) => return Ok(gone(&signed)),
            Err(problem) => Told::wrong(DELETE, problem),
        },
        _ => return Err(Stop::too_old()),
    };
    signed.reload().await?;
    Ok(sheet(&signed, &told))
}

async fn delete(
    signed: &mut Signed,
    code: Hidden<String>,
    password: Hidden<String>,
) -> Result<Result<(), Problem>, Stop> {
    signed.visit.count("com.atproto.server.deleteAccount")?;
    if let Err(problem) = signed.require_fresh(password).await? {
        return Ok(Err(problem));
    }
    let code = needs_code(signed).then_some(code);
    match signed.app().delete_account(signed.did(), code).await {
        Ok(()) => Ok(Ok(())),
        Err(error) => Problem::of(error).map(Err),
    }
}

/// An agent's end is its operator's to decide.
fn may_delete(signed: &Signed) -> bool {
    !signed.is_agent()
}

/// Where mail goes to the owner, the owner's mail has to agree.
fn needs_code(signed: &Signed) -> bool {
    signed.app().network.sends_mail && signed.session.account.email.is_some()
}

fn gone(signed: &Signed) -> Response {
    let text = "The account is deleted, and everything of it here. Its DID is still yours.".to_owned();
    let sections = vec![Section { text: vec![text], ..Section::default() }];
    let sheet = Sheet { title: "Deleted".to_owned(), sections, ..Sheet::default() };
    signed.visit.end_session();
    Told::default().show(sheet)
}

fn sheet(signed: &Signed, told: &Told) -> Response {
    let form = |id| signed.form(id, paths::STATUS, told);
    let mut sections = Vec::new();
    if signed.session.account.status.is_active() {
        let text =
            "Nobody sees the account or what it published until you activate it again. Nothing is deleted.";
        sections.push(Section {
            heading: Some("Put it to rest"),
            text: vec![text.to_owned()],
            form: Some(form(DEACTIVATE).maybe(told, signed.password_again()).danger(
                DEACTIVATE,
                "Deactivate",
                None,
            )),
            ..Section::default()
        });
    } else {
        sections.push(Section {
            heading: Some("Wake it"),
            text: vec!["The account is at rest, and nobody sees it.".to_owned()],
            form: Some(form(ACTIVATE).first(ACTIVATE, "Activate")),
            ..Section::default()
        });
    }
    if may_delete(signed) {
        sections.extend(deletion(signed, told));
    }
    signed.page(paths::STATUS, told, sections)
}

fn deletion(signed: &Signed, told: &Told) -> Vec<Section> {
    let form = |id| signed.form(id, paths::STATUS, told);
    let needs_code = needs_code(signed);
    let mut sections = Vec::new();
    let text =
        "Everything of the account here is destroyed: records, files, memories. It does not come back.";
    let mut last = Section::default();
    if needs_code {
        sections.push(Section {
            heading: Some("Delete it"),
            text: vec![text.to_owned(), "A code is mailed to your address first.".to_owned()],
            form: Some(form(ASK_DELETE).other(ASK_DELETE, "Mail me a code")),
            ..Section::default()
        });
    } else {
        last.heading = Some("Delete it");
        last.text.push(text.to_owned());
    }
    let delete = form(DELETE)
        .maybe(told, needs_code.then(|| Input::code("Code from the mail")))
        .maybe(told, signed.password_again())
        .danger(DELETE, "Delete the account for ever", None);
    sections.push(Section { form: Some(delete), ..last });
    sections
}
