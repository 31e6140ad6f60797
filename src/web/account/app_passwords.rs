//! App passwords: listed, made, revoked. One is shown on the page that answers its making, and on no other.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Deserialize;

use super::{Shown, paths, when};
use crate::app::App;
use crate::directory::{
    AppPassword, AppPasswordKind, CreateAppPassword, CreatedAppPassword, ListAppPasswords, RevokeAppPassword,
};
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Choice, Input, Item, Section, Told};
use crate::web::visit::Signed;

const MAKE: &str = "make";
const REVOKE: &str = "revoke";

/// What each kind opens, in plain words; the one that opens least first.
const KINDS: [(AppPasswordKind, &str, &str); 3] = [
    (AppPasswordKind::Plain, "plain", "Public records: posts, likes, files"),
    (AppPasswordKind::Privileged, "privileged", "Public records and direct messages"),
    (AppPasswordKind::Vault, "vault", "Public records and private memories"),
];

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default(), None).await
}

#[derive(Deserialize)]
pub(super) struct Change {
    action: String,
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    password: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, asked) = Signed::submitted::<Change>(app, request).await?;
    let did = signed.did().clone();
    match asked.action.as_str() {
        MAKE => {
            let name = asked.name.trim().to_owned();
            let wrong = |problem| {
                Told::wrong(MAKE, problem).with("name", name.as_str()).with("kind", asked.kind.as_str())
            };
            let Some((kind, ..)) = KINDS.iter().find(|(_, word, _)| *word == asked.kind) else {
                let problem = Problem::at("kind", "Choose what it opens.");
                return sheet(&signed, &Told::wrong(MAKE, problem).with("name", name), None).await;
            };
            if let Err(problem) = signed.require_fresh(asked.password).await? {
                return sheet(&signed, &wrong(problem), None).await;
            }
            let make = CreateAppPassword { did, proof: signed.proof(), name: name.clone(), kind: *kind };
            match signed.app().directory(make).await {
                Ok(made) => sheet(&signed, &Told::done("The app password is made."), Some(made)).await,
                Err(error) => sheet(&signed, &wrong(Problem::of(error)?), None).await,
            }
        }
        REVOKE => {
            signed.app().change(&did, RevokeAppPassword { did: did.clone(), name: asked.name }).await?;
            sheet(&signed, &Told::done("It opens nothing any more, and what it opened has ended."), None)
                .await
        }
        _ => Err(Stop::too_old()),
    }
}

async fn sheet(signed: &Signed, told: &Told, made: Option<CreatedAppPassword>) -> Shown {
    let all = signed.app().directory(ListAppPasswords { did: signed.did().clone() }).await?;
    let items: Vec<_> = all.into_iter().map(|password| item(signed, told, password)).collect();
    let choice = |(_, value, label): &(_, &str, &str)| Choice {
        value: (*value).to_owned(),
        label: (*label).to_owned(),
    };
    let make = signed
        .form(MAKE, paths::APP_PASSWORDS, told)
        .input(told, Input::text("name", "What it is for").hint("Such as the app, and the device it is on."))
        .input(told, Input::choice("kind", "What it opens", KINDS.iter().map(choice).collect()))
        .maybe(told, signed.password_again())
        .first(MAKE, "Make one");
    let text = if items.is_empty() { vec!["There is none.".to_owned()] } else { Vec::new() };
    let mut sections = Vec::new();
    if let Some(CreatedAppPassword { app_password, password }) = made {
        let text = "Copy it into the app now. It is not shown again.".to_owned();
        let facts = vec![("Name", app_password.name), ("App password", password.expose().clone())];
        sections.push(Section { heading: Some("New"), text: vec![text], facts, ..Section::default() });
    }
    sections.push(Section { heading: Some("Yours"), text, items, ..Section::default() });
    let text = "An app password lets an app in that does not know OAuth. It opens less than your own, and ends alone.";
    sections.push(Section {
        heading: Some("Another one"),
        text: vec![text.to_owned()],
        form: Some(make),
        ..Section::default()
    });
    Ok(signed.page(paths::APP_PASSWORDS, told, sections))
}

fn item(signed: &Signed, told: &Told, password: AppPassword) -> Item {
    let opens = KINDS.iter().find(|(kind, ..)| *kind == password.kind).map_or("", |(.., label)| label);
    let form = signed.form(REVOKE, paths::APP_PASSWORDS, told).hidden("name", password.name.as_str());
    Item {
        details: vec![format!("{opens}."), format!("Made {}.", when(password.created_us))],
        form: Some(form.danger(REVOKE, "Revoke", Some(password.name.clone()))),
        title: password.name,
    }
}
