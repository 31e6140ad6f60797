//! The account's handle: what has to be set up for one, whether it is, and the change.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{Shown, paths, when};
use crate::app::{App, Error};
use crate::directory::{CheckHandle, Placement};
use crate::seam::Hidden;
use crate::syntax::Handle;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Input, Section, Told};
use crate::web::visit::Signed;

const FORM: &str = "handle";
const CHECK: &str = "check";
const CHANGE: &str = "change";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    Ok(sheet(&signed, &Told::default(), None))
}

#[derive(Deserialize)]
pub(super) struct Asked {
    action: String,
    handle: String,
    #[serde(default)]
    password: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, Asked { action, handle: typed, password }) = Signed::submitted(app, request).await?;
    let typed = typed.trim().trim_start_matches('@').to_owned();
    let Ok(handle) = Handle::try_from(typed.as_str()).map(|handle| handle.normalized()) else {
        let problem = Problem::at("handle", "A handle is a domain name, such as alice.example.com.");
        return Ok(sheet(&signed, &Told::wrong(FORM, problem).with("handle", typed), None));
    };
    let outcome = match action.as_str() {
        CHECK => check(&signed, &handle).await,
        CHANGE => {
            if let Err(problem) = signed.require_fresh(password).await? {
                let told = Told::wrong(FORM, problem).with("handle", typed);
                return Ok(sheet(&signed, &told, Some(&handle)));
            }
            change(&signed, &handle).await?
        }
        _ => return Err(Stop::too_old()),
    };
    let told = match outcome {
        Ok(notice) => {
            signed.reload().await?;
            Told { form: FORM, ..Told::done(notice) }.with("handle", handle.as_str())
        }
        Err(error) => Told::wrong(FORM, Problem::of(error)?).with("handle", typed),
    };
    Ok(sheet(&signed, &told, Some(&handle)))
}

/// Looks, as everybody else would, and changes nothing.
async fn check(signed: &Signed, handle: &Handle) -> Result<&'static str, Error> {
    let app = signed.app();
    let ask = CheckHandle { handle: handle.clone(), did: Some(signed.did().clone()), allow_reserved: false };
    match app.directory(ask).await? {
        Placement::Service => Ok("It is free, and nothing has to be set up."),
        Placement::External => {
            let _turn = app.identities.turn(signed.visit.net())?;
            app.require_handle_of(handle, signed.did()).await?;
            Ok("The domain names your account. You can change to it now.")
        }
    }
}

async fn change(signed: &Signed, handle: &Handle) -> Result<Result<&'static str, Error>, Stop> {
    let app = signed.app();
    let counted = app.limits.call("com.atproto.identity.updateHandle", signed.did(), app.host.now_us());
    counted.map_err(|allowance| Stop::too_often(&allowance))?;
    let turn = match app.identities.turn(signed.visit.net()) {
        Ok(turn) => turn,
        Err(error) => return Ok(Err(error)),
    };
    let changed = app.update_handle(signed.did(), handle).await;
    drop(turn);
    Ok(changed.map(|()| "The handle is changed."))
}

fn sheet(signed: &Signed, told: &Told, wanted: Option<&Handle>) -> Response {
    let (network, did) = (&signed.app().network, signed.did());
    let is_ours = |handle: &Handle| {
        network.handle_domains.iter().any(|domain| handle.as_str().ends_with(domain.as_str()))
    };
    let account = &signed.session.account;
    let lost = account.handle_failed_us.map(|since_us| {
        format!(
            "Since {} this domain does not lead to your account any more, so others see {} in its place. Set it up \
             again as below, and within an hour or two the handle is back; changing to it once more brings it back \
             at once.",
            when(since_us),
            Handle::invalid()
        )
    });
    let mut sections = vec![Section {
        text: lost.into_iter().collect(),
        facts: vec![("Handle now", account.handle.to_string())],
        ..Section::default()
    }];
    let form = signed
        .form(FORM, paths::HANDLE, told)
        .input(told, Input::text("handle", "Another handle").autocomplete("username"))
        .maybe(told, signed.password_again())
        .other(CHECK, "Check")
        .first(CHANGE, "Change");
    sections.push(Section { heading: Some("Change it"), form: Some(form), ..Section::default() });
    // A name under the service's own domains needs nothing.
    if wanted.is_none_or(|handle| !is_ours(handle)) {
        let lost = account.handle_failed_us.map(|_| &account.handle);
        let name = wanted.or(lost).map_or("your.domain", Handle::as_str);
        let ours = network.handle_domains.join(", ");
        sections.push(Section {
            heading: Some("A domain of your own"),
            text: vec![format!(
                "A name under {ours} is yours at once. A domain of your own has to name your account, in \
                         the DNS or by a file. One of them is enough:"
            )],
            facts: vec![
                ("TXT record at", format!("_atproto.{name}")),
                ("with the value", format!("did={did}")),
                ("Or a file at", format!("https://{name}/.well-known/atproto-did")),
                ("with the text", did.to_string()),
            ],
            ..Section::default()
        });
    }
    signed.page(paths::HANDLE, told, sections)
}
