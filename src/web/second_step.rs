//! What is asked for after a password, at both sign-ins.

use super::passkey;
use super::sheet::{Form, Input, Told};
use crate::app::App;
use crate::directory::HalfSignIn;

/// The form's id, and its button's action.
pub(super) const CODE: &str = "code";

pub(super) const TITLE: &str = "One more step";

/// The fields of the form.
pub(super) fn filled(form: Form, told: &Told, half: &HalfSignIn) -> Form {
    let label = if half.totp { "Code from your app, or a recovery code" } else { "Recovery code" };
    form.input(told, Input::code(label)).first(CODE, "Sign in")
}

/// The form that asks for one of the account's passkeys, where it has some.
pub(super) fn passkey(app: &App, cookie: &str, form: Form, half: &HalfSignIn) -> Option<Form> {
    if half.passkeys.is_empty() {
        return None;
    }
    Some(passkey::get(app, cookie, form, &half.passkeys).first(passkey::ACTION, "Use a passkey"))
}
