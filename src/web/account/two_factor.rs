//! Codes by time, asked for after the password: turned on with one of them, and off with another. The secret is shown while it
//! is set up, codes on paper on the page that answers their making, and on no other.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::Deserialize;

use super::{Shown, paths};
use crate::app::App;
use crate::crypto::totp;
use crate::directory::{BeginTotp, ConfirmTotp, Factors, GetFactors, RenewRecoveryCodes, StopTotp};
use crate::seam::Hidden;
use crate::web::problem::{Problem, Stop};
use crate::web::qr;
use crate::web::sheet::{Input, Item, Section, Told};
use crate::web::visit::Signed;

const BEGIN: &str = "begin";
const CONFIRM: &str = "confirm";
const RENEW: &str = "renew";
const STOP: &str = "stop";

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    sheet(&signed, &Told::default(), None).await
}

#[derive(Deserialize)]
pub(super) struct Change {
    action: String,
    #[serde(default)]
    code: Hidden<String>,
    #[serde(default)]
    password: Hidden<String>,
}

pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Shown {
    let (mut signed, Change { action, code, password }) = Signed::submitted(app, request).await?;
    let did = signed.did().clone();
    match action.as_str() {
        BEGIN => match signed.require_fresh(password).await? {
            Ok(()) => setup(&signed, &Told::default()).await,
            Err(problem) => sheet(&signed, &Told::wrong(BEGIN, problem), None).await,
        },
        CONFIRM => {
            let confirm = ConfirmTotp { did, proof: signed.proof(), code };
            match signed.app().directory(confirm).await.map_err(Problem::of) {
                Ok(codes) => {
                    signed.app().post_soon();
                    let told = Told::done("Two-factor sign-in is on. Other browsers are signed out.");
                    sheet(&signed, &told, codes).await
                }
                Err(problem) => {
                    let problem = problem?;
                    let is_code = problem.field == "code";
                    let told = Told::wrong(CONFIRM, problem);
                    if is_code { setup(&signed, &told).await } else { sheet(&signed, &told, None).await }
                }
            }
        }
        RENEW => {
            if let Err(problem) = signed.require_fresh(password).await? {
                return sheet(&signed, &Told::wrong(RENEW, problem), None).await;
            }
            match signed.app().directory(RenewRecoveryCodes { did, proof: signed.proof() }).await {
                Ok(codes) => {
                    signed.app().post_soon();
                    sheet(&signed, &Told::done("The old codes are over."), Some(codes)).await
                }
                Err(error) => sheet(&signed, &Told::wrong(RENEW, Problem::of(error)?), None).await,
            }
        }
        STOP => {
            let wrong = |problem| Told::wrong(STOP, problem);
            // Asked for however short ago the sign-in was: what is turned off here is for whoever stole that.
            let proof = match signed.check_password(password, "password").await? {
                Ok(proof) => proof,
                Err(problem) => return sheet(&signed, &wrong(problem), None).await,
            };
            match signed.app().directory(StopTotp { did, proof, code }).await {
                Ok(()) => {
                    signed.app().post_soon();
                    sheet(&signed, &Told::done("Two-factor sign-in is off."), None).await
                }
                Err(error) => {
                    let problem = Problem { field: "code", ..Problem::of(error)? };
                    sheet(&signed, &wrong(problem), None).await
                }
            }
        }
        _ => Err(Stop::too_old()),
    }
}

/// The secret, and the field for a code of it.
async fn setup(signed: &Signed, told: &Told) -> Shown {
    let begin = BeginTotp { did: signed.did().clone(), proof: signed.proof() };
    let secret = match signed.app().directory(begin).await {
        Ok(secret) => secret,
        Err(error) => return sheet(signed, &Told::wrong(BEGIN, Problem::of(error)?), None).await,
    };
    let server = crate::web::host(&signed.app().network.public_url);
    let uri = totp::uri(secret.expose(), server, signed.session.account.handle.as_str());
    let facts = vec![
        ("Secret", totp::text(secret.expose()).to_string()),
        ("Kind", "By time (TOTP), six digits, every 30 seconds".to_owned()),
        ("Address, for an app on this device", uri.to_string()),
    ];
    let text = "Let your authenticator app read the picture, or type the secret into it. Then give the code that it shows.";
    let form = signed
        .form(CONFIRM, paths::TWO_FACTOR, told)
        .input(told, Input::code("Code from the app"))
        .first(CONFIRM, "Turn it on");
    let section = Section {
        text: vec![text.to_owned()],
        picture: qr::svg(&uri, "The secret, for the camera of an authenticator app"),
        facts,
        form: Some(form),
        ..Section::default()
    };
    Ok(signed.page(paths::TWO_FACTOR, told, vec![section]))
}

async fn sheet(signed: &Signed, told: &Told, codes: Option<Hidden<Vec<String>>>) -> Shown {
    if signed.is_agent() {
        return Err(Stop::to(paths::ACCOUNT));
    }
    let factors = signed.app().directory(GetFactors { did: signed.did().clone() }).await?;
    let mut sections: Vec<Section> = codes.iter().map(|codes| on_paper(codes.expose())).collect();
    if factors.totp || !factors.passkeys.is_empty() {
        sections.push(recovery(signed, told, &factors));
    }
    if factors.totp {
        sections.push(stop(signed, told));
    } else {
        let text = "After the password, a code is asked for that an app on your phone makes. App passwords and connected \
            apps go on without. Setting a forgotten password anew by mail does not turn it off.";
        let form = signed
            .form(BEGIN, paths::TWO_FACTOR, told)
            .maybe(told, signed.password_again())
            .first(BEGIN, "Set it up");
        sections.push(Section { text: vec![text.to_owned()], form: Some(form), ..Section::default() });
    }
    Ok(signed.page(paths::TWO_FACTOR, told, sections))
}

/// Codes that were just made.
pub(super) fn on_paper(codes: &[String]) -> Section {
    let text = "Each of these signs you in once in place of a code, should you lose your device. Keep them where it is not. \
        They are not shown again.";
    let item = |code: &String| Item { title: code.clone(), details: Vec::new(), form: None };
    Section {
        heading: Some("Your recovery codes"),
        text: vec![text.to_owned()],
        items: codes.iter().map(item).collect(),
        ..Section::default()
    }
}

fn recovery(signed: &Signed, told: &Told, factors: &Factors) -> Section {
    let left = match factors.recovery_codes {
        0 => "None is left: make new ones.".to_owned(),
        1 => "One is left.".to_owned(),
        left => format!("{left} are left."),
    };
    let form = signed
        .form(RENEW, paths::TWO_FACTOR, told)
        .maybe(told, signed.password_again())
        .other(RENEW, "Make new ones");
    Section { heading: Some("Recovery codes"), text: vec![left], form: Some(form), ..Section::default() }
}

fn stop(signed: &Signed, told: &Told) -> Section {
    let form = signed
        .form(STOP, paths::TWO_FACTOR, told)
        .input(told, Input::password("password", "Your password", "current-password"))
        .input(told, Input::code("Code from the app, or a recovery code"))
        .danger(STOP, "Turn it off", None);
    let text = "It is on: after the password, a code is asked for.";
    Section {
        heading: Some("Turn it off"),
        text: vec![text.to_owned()],
        form: Some(form),
        ..Section::default()
    }
}
