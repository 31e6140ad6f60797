//! What is needed beside a password, or in its place, for a client's request.

use axum::response::{IntoResponse, Response};

use super::{Asked, Visitor, with_cookie};
use crate::app::App;
use crate::crypto::sha256;
use crate::directory::{GetHalfSignIn, Given, Half, HalfSignIn, PassFactor, UsePasskey};
use crate::oauth::metadata::paths;
use crate::web::failed;
use crate::web::page::{self, SecondStepPage};
use crate::web::passkey;
use crate::web::problem::Problem;
use crate::web::second_step::{self, CODE};
use crate::web::sheet::{Form, Told};

impl Asked {
    /// Takes a passkey: after the password where that was shown, and else alone.
    pub(super) async fn with_passkey(
        &self,
        app: &App,
        cookie: &str,
        credential: &str,
        from: &Visitor,
    ) -> Response {
        let half = match app.directory(GetHalfSignIn { browser: sha256(cookie.as_bytes()) }).await {
            Ok(half) => half,
            Err(error) => return failed(error),
        };
        let again = |problem: Problem| match &half {
            Some(half) => self.second_step_page(app, cookie, half, &Told::wrong(passkey::ACTION, problem)),
            None => self.sign_in_page(app, cookie, String::new(), Some(problem)),
        };
        let Some(assertion) = passkey::read_signed(app, cookie, credential) else {
            return again(passkey::too_old());
        };
        if half.is_some() {
            return self.second_step(app, cookie, Given::Passkey(assertion), from).await;
        }
        match app.directory(UsePasskey { assertion }).await {
            Ok(Some(passed)) => match self.enter(app, passed.did, passed.proof, from).await {
                Ok(response) => response,
                Err(why) => again(Problem::at("credential", why)),
            },
            Ok(None) => again(passkey::copied()),
            Err(error) => Problem::of(error).map_or_else(IntoResponse::into_response, again),
        }
    }

    /// Takes what is needed beside a password.
    pub(super) async fn second_step(
        &self,
        app: &App,
        cookie: &str,
        given: Given,
        from: &Visitor,
    ) -> Response {
        let browser = sha256(cookie.as_bytes());
        let half = match app.directory(GetHalfSignIn { browser }).await {
            Ok(Some(half)) => half,
            // It took too long: from the beginning.
            Ok(None) => return self.sign_in_page(app, cookie, String::new(), None),
            Err(error) => return failed(error),
        };
        let (form, field) = match &given {
            Given::Code(_) => (CODE, "code"),
            Given::Passkey(_) => (passkey::ACTION, "credential"),
        };
        let again = |problem| {
            self.second_step_page(app, cookie, &half, &Told::wrong(form, Problem { field, ..problem }))
        };
        let passed = match app.directory(PassFactor { half: Half::Before { browser }, given }).await {
            Ok(Some(passed)) => passed,
            Ok(None) => return again(passkey::copied()),
            Err(error) => {
                return match Problem::of(error) {
                    Ok(problem) => again(problem),
                    // The password is over meanwhile.
                    Err(_) => self.sign_in_page(app, cookie, String::new(), None),
                };
            }
        };
        match self.enter(app, passed.did, passed.proof, from).await {
            Ok(response) => response,
            Err(why) => again(Problem::at(field, why)),
        }
    }

    pub(super) fn second_step_page(
        &self,
        app: &App,
        cookie: &str,
        half: &HalfSignIn,
        told: &Told,
    ) -> Response {
        let fields = self.fields(app, cookie);
        let form = |id| {
            Form::new(id, paths::SIGN_IN, fields.token.clone(), told)
                .hidden("client_id", fields.client_id.as_str())
                .hidden("request_uri", fields.request_uri.as_str())
        };
        let passkey = second_step::passkey(app, cookie, form(passkey::ACTION), half);
        let form = second_step::filled(form(CODE), told, half).cancel();
        let template = SecondStepPage { asking: self.asking(), title: second_step::TITLE, passkey, form };
        let mut response = told.page(&template, Some(&self.redirect_uri.form_action()));
        if template.passkey.is_some() {
            page::allow_script(&mut response);
        }
        with_cookie(app, self, cookie, response)
    }
}
