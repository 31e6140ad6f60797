//! Passkeys: listed, added, removed. A browser makes one by the page's script.

use std::sync::Arc;

use axum::extract::{Request, State};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::two_factor::on_paper;
use super::{Shown, paths, when};
use crate::app::App;
use crate::directory::{AddPasskey, Factors, GetFactors, Passkey, RemovePasskey};
use crate::seam::Hidden;
use crate::web::passkey;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Choice, Input, Item, Section, Told};
use crate::web::visit::Signed;

const REMOVE: &str = "remove";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default(), None).await
}

#[derive(Deserialize)]
pub(super) struct Change {
    action: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    credential: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    password: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, asked) = Signed::submitted::<Change>(app, request).await?;
    let did = signed.did().clone();
    match asked.action.as_str() {
        passkey::ACTION => {
            let wrong = |problem| Told::wrong(passkey::ACTION, problem).with("name", asked.name.as_str());
            let account = &signed.session.account;
            // The challenge is of the value that the browser has now; a password makes another.
            let made =
                passkey::read_made(signed.app(), signed.cookie(), &asked.credential, account, &asked.name);
            let Some(made) = made else { return sheet(&signed, &wrong(passkey::too_old()), None).await };
            if let Err(problem) = signed.require_fresh(asked.password).await? {
                return sheet(&signed, &wrong(problem), None).await;
            }
            match signed.app().directory(AddPasskey { proof: signed.proof(), ..made }).await {
                Ok(codes) => {
                    signed.app().post_soon();
                    sheet(&signed, &Told::done("The passkey is added."), codes).await
                }
                Err(error) => sheet(&signed, &wrong(Problem::of(error)?), None).await,
            }
        }
        REMOVE => {
            let wrong = |problem| Told::wrong(REMOVE, problem);
            if let Err(problem) = signed.require_fresh(asked.password).await? {
                return sheet(&signed, &wrong(problem), None).await;
            }
            let id = BASE64URL_NOPAD.decode(asked.id.as_bytes()).map_err(|_| Stop::too_old())?;
            let remove = RemovePasskey { did, proof: signed.proof(), id: ByteBuf::from(id) };
            match signed.app().directory(remove).await {
                Ok(()) => {
                    signed.app().post_soon();
                    sheet(&signed, &Told::done("The passkey signs in no more."), None).await
                }
                Err(error) => sheet(&signed, &wrong(Problem::of(error)?), None).await,
            }
        }
        _ => Err(Stop::too_old()),
    }
}

async fn sheet(signed: &Signed, told: &Told, codes: Option<Hidden<Vec<String>>>) -> Shown {
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    let Factors { passkeys, passkey_user, .. } =
        signed.app().directory(GetFactors { did: signed.did().clone() }).await?;
    let form = signed
        .form(passkey::ACTION, paths::PASSKEYS, told)
        .input(told, Input::text("name", "Name").hint("Such as the device or the key that it is on."))
        .maybe(told, signed.password_again());
    let (app, account) = (signed.app(), &signed.session.account);
    let form = passkey::create(app, signed.cookie(), form, account, &passkey_user, &passkeys);
    let form = form.first(passkey::ACTION, "Add a passkey");
    let mut sections: Vec<Section> = codes.iter().map(|codes| on_paper(codes.expose())).collect();
    let text = if passkeys.is_empty() { vec!["There is none.".to_owned()] } else { Vec::new() };
    let items = passkeys.iter().map(item).collect();
    sections.push(Section { heading: Some("Yours"), text, items, ..Section::default() });
    let text = "A passkey signs you in without the password: with a finger, a face or a PIN, on a device that you have. As long \
        as there is one, the password alone signs nobody in. A browser needs scripts for it.";
    sections.push(Section {
        heading: Some("Another one"),
        text: vec![text.to_owned()],
        form: Some(form),
        ..Section::default()
    });
    if !passkeys.is_empty() {
        sections.push(remove(signed, told, &passkeys));
    }
    Ok(signed.page(paths::PASSKEYS, told, sections))
}

/// One form for all, so that one field asks for the password.
fn remove(signed: &Signed, told: &Told, passkeys: &[Passkey]) -> Section {
    let choice = |passkey: &Passkey| Choice {
        value: BASE64URL_NOPAD.encode(&passkey.id),
        label: passkey.name.clone(),
    };
    let form = signed
        .form(REMOVE, paths::PASSKEYS, told)
        .input(told, Input::choice("id", "Which", passkeys.iter().map(choice).collect()))
        .maybe(told, signed.password_again())
        .danger(REMOVE, "Remove it", None);
    Section { heading: Some("Remove one"), form: Some(form), ..Section::default() }
}

fn item(passkey: &Passkey) -> Item {
    let mut details = vec![format!("Added {}.", when(passkey.created_us))];
    details.push(match passkey.used_us {
        Some(used_us) => format!("Last used {}.", when(used_us)),
        None => "Never used.".to_owned(),
    });
    if let Some(refused_us) = passkey.refused_us {
        let text = format!(
            "Refused {}: its counter had gone back, as that of a copy does. If that was not you, remove it.",
            when(refused_us)
        );
        details.push(text);
    }
    Item { title: passkey.name.clone(), details, form: None }
}
