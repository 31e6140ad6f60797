//! What is needed beside a password, for a client's request.

use axum::response::Response;

use super::{Asked, with_cookie};
use crate::app::App;
use crate::crypto::sha256;
use crate::directory::{GetHalfSignIn, Given, Half, HalfSignIn, PassFactor};
use crate::host::Net;
use crate::oauth::metadata::paths;
use crate::web::failed;
use crate::web::page::{self, SecondStepPage};
use crate::web::problem::Problem;
use crate::web::second_step::{self, CODE};
use crate::web::sheet::{Form, Told};

impl Asked {
    /// Takes it.
    pub(super) async fn second_step(
        &self,
        app: &App,
        cookie: &str,
        given: Given,
        net: Option<Net>,
    ) -> Response {
        let browser = sha256(cookie.as_bytes());
        let half = match app.directory(GetHalfSignIn { browser }).await {
            Ok(Some(half)) => half,
            // It took too long: from the beginning.
            Ok(None) => return self.sign_in_page(app, cookie, String::new(), None),
            Err(error) => return failed(error),
        };
        let again = |problem| self.second_step_page(app, cookie, &half, &Told::wrong(CODE, problem));
        let passed = match app.directory(PassFactor { half: Half::Before { browser }, given }).await {
            Ok(passed) => passed,
            Err(error) => {
                return match Problem::of(error) {
                    Ok(problem) => again(Problem { field: "code", ..problem }),
                    // The password is over meanwhile.
                    Err(_) => self.sign_in_page(app, cookie, String::new(), None),
                };
            }
        };
        match self.enter(app, passed.did, passed.proof, net).await {
            Ok(response) => response,
            Err(why) => again(Problem::at("code", why)),
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
        let form = Form::new(CODE, paths::SIGN_IN, fields.token, told)
            .hidden("client_id", fields.client_id)
            .hidden("request_uri", fields.request_uri);
        let form = second_step::filled(form, told, half).cancel();
        let template = SecondStepPage { asking: self.asking(), title: second_step::TITLE, form };
        let response = page::page(told.status(), &template, Some(&self.redirect_uri.form_action()));
        with_cookie(app, self, cookie, response)
    }
}
