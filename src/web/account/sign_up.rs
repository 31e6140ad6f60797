//! A new account, for a person.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::{Shown, paths};
use crate::actor::Kind;
use crate::app::{App, NewAccount};
use crate::directory::Proof;
use crate::seam::Hidden;
use crate::syntax::Handle;
use crate::web::problem::{Problem, Stop};
use crate::web::sheet::{Choice, Input, Link, Section, Told};
use crate::web::visit::{Entry, Guest};

const FORM: &str = "sign-up";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    Ok(sheet(&Guest::of(app, request).await?, &Told::default()))
}

#[derive(Deserialize)]
pub(super) struct SignUp {
    handle: String,
    /// Which of the service's domains, where there are several.
    domain: Option<String>,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Hidden<String>,
    #[serde(default)]
    invite: String,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (guest, asked) = Guest::submitted::<SignUp>(app, request).await?;
    guest.visit.count("com.atproto.server.createAccount")?;
    let (email, invite) = (asked.email.trim().to_owned(), asked.invite.trim().to_owned());
    let (name, domain) = (asked.handle.trim().to_owned(), asked.domain.clone().unwrap_or_default());
    let again = |problem| {
        let told = Told::wrong(FORM, problem).with("handle", name.as_str()).with("domain", domain.as_str());
        sheet(&guest, &told.with("email", email.as_str()).with("invite", invite.as_str()))
    };
    let app = &guest.visit.app;
    if email.is_empty() && app.network.sends_mail {
        return Ok(again(Problem::at(
            "email",
            "An address is needed: a forgotten password is reset by mail.",
        )));
    }
    if asked.password.expose().is_empty() {
        return Ok(again(Problem::at("password", "A password is needed.")));
    }
    let Ok(handle) = whole_handle(app, &name, &domain) else {
        let why = "A handle has letters, digits and hyphens.";
        return Ok(again(Problem::at("handle", why)));
    };
    let new = NewAccount {
        handle,
        kind: Kind::Person,
        existing_did: None,
        recovery_key: None,
        email: Some(email.clone()).filter(|email| !email.is_empty()),
        password: Some(asked.password),
        invite_code: Some(invite.clone()).filter(|code| !code.is_empty()),
        invite_exempt: false,
        display_name: None,
        model: None,
        config: None,
    };
    let account = match app.sign_up(new).await {
        Ok(account) => account,
        Err(error) => {
            let problem = Problem::of(error)?;
            // The only password there is here.
            let field = if problem.field == "new" { "password" } else { problem.field };
            return Ok(again(Problem { field, ..problem }));
        }
    };
    match guest.visit.sign_in(&account.did, Proof::Generation(account.generation)).await? {
        Entry::In(_) => Ok(guest.enter()),
        Entry::Half => Err(Stop::to(paths::SIGN_IN)),
        Entry::Refused(problem) => Ok(again(problem)),
    }
}

/// A name under the domain that was chosen, which is one of ours; or a handle that somebody typed whole.
fn whole_handle(app: &App, name: &str, domain: &str) -> Result<Handle, ()> {
    let domains = &app.network.handle_domains;
    let domain = domains.iter().find(|ours| *ours == domain).or_else(|| domains.first());
    let whole = match domain {
        Some(domain) if !name.contains('.') => format!("{name}{domain}"),
        _ => name.to_owned(),
    };
    Handle::try_from(whole.as_str()).map_err(drop)
}

fn sheet(guest: &Guest, told: &Told) -> Response {
    let network = &guest.visit.app.network;
    let domains = &network.handle_domains;
    let choice = |domain: &String| Choice { value: domain.clone(), label: domain.clone() };
    let domain = (domains.len() > 1)
        .then(|| Input::choice("domain", "Under which domain", domains.iter().map(choice).collect()));
    let hint = match domains.as_slice() {
        [only] => format!("Your handle will be this name and {only}."),
        _ => "Your handle will be this name and the domain.".to_owned(),
    };
    let email = Input::email("email", "E-mail address");
    let email = if network.sends_mail { email } else { email.optional() };
    let invite = network.invite_required.then(|| Input::text("invite", "Invite code"));
    let form = guest
        .form(FORM, paths::SIGN_UP, told)
        .maybe(told, invite)
        .input(told, Input::text("handle", "Name").autocomplete("username").hint(hint))
        .maybe(told, domain)
        .input(told, email)
        .input(told, Input::password("password", "Password", "new-password"))
        .first("sign-up", "Make the account");
    let links = vec![Link::to(paths::SIGN_IN, "I have an account")];
    let section = Section { form: Some(form), links, ..Section::default() };
    guest.page(format!("Join {}", crate::web::host(&network.public_url)), told, vec![section])
}
