//! The keys that can change the account's did:plc, and one of the owner's own above them.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::App;
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Choice, Input, Item, Section, Told};
use crate::web::visit::Signed;

const ADD: &str = "add";
const REMOVE: &str = "remove";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default()).await
}

#[derive(Deserialize)]
pub(super) struct Asked {
    action: String,
    key: String,
    #[serde(default)]
    password: Hidden<String>,
}

/// The password is asked for however short ago the sign-in was: whoever has the highest key has the account for good.
pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (signed, Asked { action, key, password }) = Signed::submitted(app, request).await?;
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    let (form, done) = match action.as_str() {
        ADD => (ADD, "The key is in the DID’s log, above this server’s."),
        REMOVE => (
            REMOVE,
            "The key is taken out. If it stood above the server’s, whoever has it can undo that for 72 hours.",
        ),
        _ => return Err(Stop::too_old()),
    };
    let wrong = |problem| Told::wrong(form, problem).with("key", key.as_str());
    if let Err(problem) = signed.check_password(password, "password").await? {
        return sheet(&signed, &wrong(problem)).await;
    }
    let app = signed.app();
    // As a handle: each is an operation in the DID's log, which everybody keeps.
    let counted = app.limits.call("com.atproto.identity.updateHandle", signed.did(), app.host.now_us());
    counted.map_err(|allowance| Stop::too_often(&allowance))?;
    let turn = app.identities.turn(signed.visit.net())?;
    let changed = match form {
        ADD => app.add_recovery_key(signed.did(), &key).await,
        _ => app.remove_recovery_key(signed.did(), &key).await,
    };
    drop(turn);
    match changed {
        Ok(()) => sheet(&signed, &Told::done(done)).await,
        Err(error) => sheet(&signed, &wrong(Problem::of(error)?)).await,
    }
}

async fn sheet(signed: &Signed, told: &Told) -> Shown {
    // An agent's DID is its operator's affair, as its token is.
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    if signed.did().method() != "plc" {
        let text = "The document of a did:web is yours: whoever has its domain can change it.".to_owned();
        let section = Section { text: vec![text], ..Section::default() };
        return Ok(signed.page(paths::RECOVERY_KEY, told, vec![section]));
    }
    let mut yours = Section { heading: Some("Keys now, the highest first"), ..Section::default() };
    let mut others = Vec::new();
    match signed.app().rotation_keys(signed.did()).await {
        Ok(keys) => {
            let theirs = keys.iter().filter(|key| !key.is_ours);
            others = theirs.map(|key| Choice { value: key.key.clone(), label: key.key.clone() }).collect();
            yours.items = keys
                .into_iter()
                .map(|key| {
                    let whose = if key.is_ours { "This server’s." } else { "Not this server’s." };
                    Item { title: key.key, details: vec![whose.to_owned()], form: None }
                })
                .collect();
        }
        Err(error) => yours.text.push(Problem::of(error)?.text),
    }
    let password = || Input::password("password", "Your password", "current-password");
    let form = signed
        .form(ADD, paths::RECOVERY_KEY, told)
        .input(told, Input::text("key", "Your key, as did:key:z…"))
        .input(told, password())
        .first(ADD, "Put it above the others");
    let text = "With a key of your own (secp256k1 or P-256) above this server’s you can move the account, or take it back, \
        whatever becomes of this server. Keep its secret half where this server is not; it is never asked for. Who has it has \
        the account.";
    let add = Section {
        heading: Some("A key of your own"),
        text: vec![text.to_owned()],
        form: Some(form),
        ..Section::default()
    };
    let mut sections = vec![yours, add];
    if !others.is_empty() {
        let form = signed
            .form(REMOVE, paths::RECOVERY_KEY, told)
            .input(told, Input::choice("key", "Which", others))
            .input(told, password())
            .danger(REMOVE, "Take it out", None);
        let text = "A key that you have lost, or that somebody else may have. Whoever has a key above this server’s can put \
            it back for 72 hours.";
        sections.push(Section {
            heading: Some("Take a key out"),
            text: vec![text.to_owned()],
            form: Some(form),
            ..Section::default()
        });
    }
    Ok(signed.page(paths::RECOVERY_KEY, told, sections))
}
