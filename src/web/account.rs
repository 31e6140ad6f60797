//! The account's own pages: what its owner sees, makes and ends, without any app.
//!
//! | module | path | |
//! |---|---|---|
//! | `sign_in` | `/account/sign-in`, `/account/sign-out` | in and out |
//! | `second_step` | `/account/sign-in/second-step` | what is needed beside the password |
//! | `sign_up` | `/account/sign-up` | a new account |
//! | `reset` | `/account/reset` | another password, by a mailed code |
//! | here | `/account` | what there is |
//! | `sessions` | `/account/sessions` | devices and connected apps |
//! | `app_passwords` `email` `password` `two_factor` `passkeys` `handle` `recovery_key` `status` | `/account/…` | each its own |
//!
//! Each page is a function of the account and of what became of the form that was sent to it ([`Told`]), so that the answer
//! to a form is the page as it is after that. A page changes nothing but by a form, and leads nowhere that a request names.
//! What a method of `xrpc/` counts is counted with it here.

mod app_passwords;
mod email;
mod handle;
mod passkeys;
mod password;
mod recovery_key;
mod reset;
mod second_step;
mod sessions;
mod sign_in;
mod sign_up;
mod status;
mod two_factor;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};

use super::problem::Stop;
use super::sheet::{Link, Section, Told};
use super::visit::{self, Signed};
use crate::app::App;
use crate::syntax::format_minute as when;

/// Where the pages are.
pub(super) mod paths {
    pub(in crate::web) const ACCOUNT: &str = "/account";
    pub(in crate::web) const SIGN_IN: &str = "/account/sign-in";
    pub(in crate::web) const SECOND_STEP: &str = "/account/sign-in/second-step";
    pub(in crate::web) const SIGN_OUT: &str = "/account/sign-out";
    pub(in crate::web) const SIGN_UP: &str = "/account/sign-up";
    pub(in crate::web) const RESET: &str = "/account/reset";
    pub(in crate::web) const SESSIONS: &str = "/account/sessions";
    pub(in crate::web) const APP_PASSWORDS: &str = "/account/app-passwords";
    pub(in crate::web) const EMAIL: &str = "/account/email";
    pub(in crate::web) const PASSWORD: &str = "/account/password";
    pub(in crate::web) const TWO_FACTOR: &str = "/account/two-factor";
    pub(in crate::web) const PASSKEYS: &str = "/account/passkeys";
    pub(in crate::web) const HANDLE: &str = "/account/handle";
    pub(in crate::web) const RECOVERY_KEY: &str = "/account/recovery-key";
    pub(in crate::web) const STATUS: &str = "/account/status";

    /// Whose forms never have a password in them.
    pub(in crate::web) const WITHOUT_PASSWORD: [&str; 2] = [SIGN_OUT, SESSIONS];
}

/// What is said to whoever signs in with an app password.
pub(super) const APP_PASSWORD: &str =
    "This is an app password. Use the account’s own password: these pages can do more than an app may.";

/// A page, or what is answered in its place.
type Shown = Result<Response, Stop>;

/// All pages of an account.
pub(super) fn routes(app: Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(paths::ACCOUNT, get(show))
        .route(paths::SIGN_IN, get(sign_in::show).post(sign_in::submit))
        .route(paths::SECOND_STEP, get(second_step::show).post(second_step::submit))
        .route(paths::SIGN_OUT, post(sign_in::sign_out))
        .route(paths::SIGN_UP, get(sign_up::show).post(sign_up::submit))
        .route(paths::RESET, get(reset::show).post(reset::submit))
        .route(paths::SESSIONS, get(sessions::show).post(sessions::submit))
        .route(paths::APP_PASSWORDS, get(app_passwords::show).post(app_passwords::submit))
        .route(paths::EMAIL, get(email::show).post(email::submit))
        .route(paths::PASSWORD, get(password::show).post(password::submit))
        .route(paths::TWO_FACTOR, get(two_factor::show).post(two_factor::submit))
        .route(paths::PASSKEYS, get(passkeys::show).post(passkeys::submit))
        .route(paths::HANDLE, get(handle::show).post(handle::submit))
        .route(paths::RECOVERY_KEY, get(recovery_key::show).post(recovery_key::submit))
        .route(paths::STATUS, get(status::show).post(status::submit))
        .route_layer(from_fn_with_state(app, visit::give_session))
}

/// The pages that this account has. An agent has neither password nor address: its token is its operator's affair.
pub(super) fn links(signed: &Signed) -> Vec<Link> {
    let all = [
        (paths::ACCOUNT, "Account", true),
        (paths::SESSIONS, "Devices and apps", true),
        (paths::APP_PASSWORDS, "App passwords", true),
        (paths::EMAIL, "E-mail", !signed.is_agent()),
        (paths::PASSWORD, "Password", !signed.is_agent()),
        (paths::TWO_FACTOR, "Two-factor sign-in", !signed.is_agent()),
        (paths::PASSKEYS, "Passkeys", !signed.is_agent()),
        (paths::HANDLE, "Handle", true),
        (paths::RECOVERY_KEY, "Recovery key", !signed.is_agent()),
        (paths::STATUS, if signed.is_agent() { "Pause" } else { "Pause or delete" }, true),
    ];
    all.into_iter().filter(|(.., is_had)| *is_had).map(|(path, text, _)| Link::to(path, text)).collect()
}

/// What the account is.
async fn show(State(app): State<Arc<App>>, request: Request) -> Shown {
    let signed = Signed::of(app, request).await?;
    let (told, account) = (Told::default(), &signed.session.account);
    let email = match (&account.email, account.email_confirmed) {
        (Some(email), true) => email.clone(),
        (Some(email), false) => format!("{email} (not confirmed)"),
        (None, _) => "none".to_owned(),
    };
    let mut facts = vec![("Handle", account.handle.to_string()), ("DID", account.did.to_string())];
    if !signed.is_agent() {
        facts.push(("E-mail", email));
    }
    facts.push(("State", account.status.as_str().to_owned()));
    facts.push(("Since", when(account.created_us)));
    let sections = vec![
        Section { facts, ..Section::default() },
        export(&signed),
        Section {
            form: Some(signed.form("sign-out", paths::SIGN_OUT, &told).other("sign-out", "Sign out")),
            ..Section::default()
        },
    ];
    Ok(signed.page(paths::ACCOUNT, &told, sections))
}

/// What the owner can take along.
fn export(signed: &Signed) -> Section {
    let account = &signed.session.account;
    let mut section = Section { heading: Some("Your data"), ..Section::default() };
    if account.status.is_active() {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("did", account.did.as_str())
            .finish();
        section.text.push("All records of the account as one file (CAR), signed by its key.".to_owned());
        let path = format!("/xrpc/com.atproto.sync.getRepo?{query}");
        section.links.push(Link::to(path, "Download the repository"));
    } else {
        section.text.push("The repository can be downloaded while the account is active.".to_owned());
    }
    if signed.is_agent() {
        let text = "Its memories are sealed there. “zap export” makes an archive of all of it, for moving and for \
            keeping.";
        section.text.push(text.to_owned());
    }
    section
}
