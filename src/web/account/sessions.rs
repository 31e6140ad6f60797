//! Where the account is signed in: devices, and apps that were allowed something. Each is ended here.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Deserialize;

use super::{Shown, paths, when};
use crate::actor::Scope;
use crate::app::App;
use crate::directory::{
    ConnectedClient, EndSignedIn, ListSignedIn, SignedIn, SignedInApp, SignedInBrowser, Which,
};
use crate::oauth;
use crate::web::problem::Stop;
use crate::web::sheet::{Item, Section, Told};
use crate::web::visit::Signed;
use crate::web::words::{self, Words};

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default()).await
}

#[derive(Deserialize)]
pub(super) struct End {
    action: String,
    #[serde(default)]
    id: String,
}

/// Ends one, or all others. One that has ended meanwhile is no error: that is what was wanted.
pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (signed, End { action, id }) = Signed::submitted(app, request).await?;
    let (which, notice) = match action.as_str() {
        "end-app" => (Which::App(id), "The session has ended."),
        "end-browser" => (Which::Browser(id), "The browser is signed out."),
        "disconnect" => (Which::Client(id), "The app is disconnected."),
        "end-others" => (Which::AllBut(signed.session.id.clone()), "All others have ended."),
        _ => return Err(Stop::too_old()),
    };
    let did = signed.did().clone();
    signed.app().change(&did, EndSignedIn { did: did.clone(), which }).await?;
    sheet(&signed, &Told::done(notice)).await
}

async fn sheet(signed: &Signed, told: &Told) -> Shown {
    let SignedIn { apps, browsers, clients } =
        signed.app().directory(ListSignedIn { did: signed.did().clone() }).await?;
    let is_alone = apps.is_empty() && browsers.len() < 2;
    let mut devices: Vec<Item> =
        browsers.into_iter().map(|browser| of_browser(signed, told, browser)).collect();
    devices.extend(apps.into_iter().map(|app| of_app(signed, told, app)));
    let end_others =
        signed.form("end-others", paths::SESSIONS, told).danger("end-others", "End all others", None);
    let clients: Vec<Item> = clients.into_iter().map(|client| of_client(signed, told, client)).collect();
    let text = if clients.is_empty() { vec!["No app is connected.".to_owned()] } else { Vec::new() };
    let sections = vec![
        Section {
            heading: Some("Devices"),
            items: devices,
            form: (!is_alone).then_some(end_others),
            ..Section::default()
        },
        Section { heading: Some("Connected apps"), text, items: clients, ..Section::default() },
    ];
    Ok(signed.page(paths::SESSIONS, told, sections))
}

fn of_browser(signed: &Signed, told: &Told, browser: SignedInBrowser) -> Item {
    let SignedInBrowser { id, device, opened_us, client } = browser;
    let title = device.unwrap_or_else(|| "A browser".to_owned());
    let mut details = vec![began(&format!("These pages. Signed in {}", when(opened_us)), client)];
    let form = if id == signed.session.id {
        details.insert(0, "This browser.".to_owned());
        None
    } else {
        let form = signed.form("end-browser", paths::SESSIONS, told).hidden("id", id);
        Some(form.danger("end-browser", "Sign out", Some(title.clone())))
    };
    Item { title, details, form }
}

fn of_app(signed: &Signed, told: &Told, app: SignedInApp) -> Item {
    let SignedInApp { id, scope, app_password, opened_us, used_us, client } = app;
    let title = match &app_password {
        Some(name) => format!("An app, with the app password “{name}”"),
        None => "An app, with the account’s password".to_owned(),
    };
    let opens = match scope {
        Scope::Access => "Opens everything.",
        Scope::AppPassVault => "Opens public records and private memories.",
        Scope::AppPassPrivileged => "Opens public records and direct messages.",
        Scope::Takendown => "Opens what is left to an account that was taken down.",
        Scope::AppPass | Scope::Refresh => "Opens public records.",
    };
    let mut details = vec![opens.to_owned()];
    if let Some(opened_us) = opened_us {
        details.push(began(&format!("Signed in {}", when(opened_us)), client));
    }
    if let Some(used_us) = used_us {
        details.push(format!("Last renewed {}.", when(used_us)));
    }
    let form = signed.form("end-app", paths::SESSIONS, told).hidden("id", id);
    Item { form: Some(form.danger("end-app", "End", Some(title.clone()))), title, details }
}

/// What serves the client's document is sure, and its name is its own word: as on the consent page.
fn of_client(signed: &Signed, told: &Told, client: ConnectedClient) -> Item {
    let ConnectedClient { id, client_id, name, scope, created_us, refreshed_us } = client;
    let origin = url::Url::parse(&client_id).ok().filter(|url| url.scheme() == "https");
    let origin = origin.and_then(|url| url.host_str().map(str::to_owned));
    let origin = origin.unwrap_or_else(|| "A program on a device".to_owned());
    let title = match name {
        Some(name) => format!("{origin}, calls itself “{name}”"),
        None => origin,
    };
    let dates = format!("Allowed {}. Last renewed {}.", when(created_us), when(refreshed_us));
    let permissions = words::words(&oauth::Scope::parse(&scope), &signed.app().known_sets(&scope));
    let details = std::iter::once(dates).chain(permissions.into_iter().map(line)).collect();
    let form = signed.form("disconnect", paths::SESSIONS, told).hidden("id", id);
    Item { form: Some(form.danger("disconnect", "Disconnect", Some(title.clone()))), title, details }
}

/// A permission in a line: of a bundle what it says of itself, and what it opens.
fn line(words: Words) -> String {
    let Words { title, details, says, opens, .. } = words;
    let mut text = title;
    if !details.is_empty() {
        text = format!("{text}: {}", details.join(", "));
    }
    if !says.is_empty() {
        text = format!("{text}. {says}");
    }
    if opens.is_empty() {
        return text;
    }
    let opens: Vec<String> = opens.into_iter().map(line).collect();
    format!("{text} ({})", opens.join("; "))
}

fn began(what: &str, client: Option<String>) -> String {
    match client {
        Some(client) => format!("{what}, from {client}."),
        None => format!("{what}."),
    }
}
