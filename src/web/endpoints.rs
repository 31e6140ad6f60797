//! What programs ask: documents, pushed requests, tokens.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::form;
use crate::app::App;
use crate::app::oauth::{ClientCredentials, OauthTokens, Shown};
use crate::host::Net;
use crate::oauth::metadata::{self, paths};
use crate::oauth::request::Parameters;
use crate::oauth::{Code, Error, REQUEST_SECONDS};
use crate::seam::Hidden;

const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Of what says the same for as long as the server is the same.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) async fn server(State(app): State<Arc<App>>) -> Response {
    document(metadata::server(&app.network.public_url))
}

pub(super) async fn resource(State(app): State<Arc<App>>) -> Response {
    document(metadata::resource(&app.network.public_url))
}

pub(super) async fn keys() -> Response {
    document(metadata::keys())
}

fn document(document: Value) -> Response {
    ([(header::CACHE_CONTROL, KEPT)], axum::Json(document)).into_response()
}

/// What a client says of itself, beside what it asks for.
#[derive(Default, Deserialize)]
struct Client {
    client_id: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

impl From<Client> for ClientCredentials {
    fn from(client: Client) -> Self {
        Self {
            client_id: client.client_id,
            assertion_type: client.client_assertion_type,
            assertion: client.client_assertion,
        }
    }
}

#[derive(Deserialize)]
struct Pushed {
    #[serde(flatten)]
    client: Client,
    #[serde(flatten)]
    parameters: Parameters,
}

/// Takes what a client asks for (RFC 9126).
pub(super) async fn push(State(app): State<Arc<App>>, request: Request) -> Response {
    let pushed = async {
        let key = proof(&app, request.headers(), paths::PUSH)?;
        let net = request.extensions().get().copied();
        let Pushed { client, parameters } = form::read(request).await?;
        let shown = app.oauth_client(client.into(), net).await?;
        app.push_request(shown, parameters, key, net).await
    };
    let answer = pushed.await.map(|request_uri| {
        let body = json!({ "request_uri": request_uri, "expires_in": REQUEST_SECONDS });
        (StatusCode::CREATED, axum::Json(body)).into_response()
    });
    answered(&app, answer)
}

#[derive(Deserialize)]
struct TokenRequest {
    #[serde(flatten)]
    client: Client,
    grant_type: Option<String>,
    code: Option<Hidden<String>>,
    redirect_uri: Option<String>,
    code_verifier: Option<Hidden<String>>,
    refresh_token: Option<Hidden<String>>,
}

/// Gives tokens for a code, or for a refresh token.
pub(super) async fn token(State(app): State<Arc<App>>, request: Request) -> Response {
    let given = async {
        let key = proof(&app, request.headers(), paths::TOKEN)?;
        let net = request.extensions().get().copied();
        let TokenRequest { client, grant_type, code, redirect_uri, code_verifier, refresh_token } =
            form::read(request).await?;
        let missing = |name: &str| Code::InvalidRequest.because(format!("{name} is missing"));
        match grant_type.as_deref() {
            Some("authorization_code") => {
                let code = code.ok_or_else(|| missing("code"))?;
                let redirect_uri = redirect_uri.ok_or_else(|| missing("redirect_uri"))?;
                let verifier = code_verifier.ok_or_else(|| missing("code_verifier"))?;
                let shown = client_of(&app, client, net).await?;
                app.redeem_code(shown, key, code.expose(), redirect_uri, verifier).await
            }
            Some("refresh_token") => {
                let token = refresh_token.ok_or_else(|| missing("refresh_token"))?;
                let shown = client_of(&app, client, net).await?;
                app.refresh_session(shown, key, token.expose(), net).await
            }
            Some(_) => {
                Err(Code::UnsupportedGrantType.because("grant_type is authorization_code or refresh_token"))
            }
            None => Err(missing("grant_type")),
        }
    };
    let answer = given.await.map(|tokens| axum::Json(tokens_view(&tokens)).into_response());
    answered(&app, answer)
}

fn tokens_view(tokens: &OauthTokens) -> Value {
    let mut view = json!({
        "access_token": tokens.access,
        "token_type": "DPoP",
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
        "sub": tokens.did,
    });
    if let (Some(view), Some(refresh)) = (view.as_object_mut(), &tokens.refresh) {
        view.insert("refresh_token".to_owned(), refresh.as_str().into());
    }
    view
}

#[derive(Deserialize)]
struct Revocation {
    #[serde(flatten)]
    client: Client,
    token: Option<Hidden<String>>,
}

/// Ends the session of a token (RFC 7009). Whoever has no such token hears nothing else than who has.
pub(super) async fn revoke(State(app): State<Arc<App>>, request: Request) -> Response {
    let revoked = async {
        let net = request.extensions().get().copied();
        let Revocation { client, token } = form::read(request).await?;
        let token = token.ok_or_else(|| Code::InvalidRequest.because("token is missing"))?;
        let shown = client_of(&app, client, net).await?;
        app.revoke_oauth_token(&shown.client.id, token.expose()).await
    };
    let answer = revoked.await.map(|()| axum::Json(json!({})).into_response());
    answered(&app, answer)
}

async fn client_of(app: &App, client: Client, net: Option<Net>) -> Result<Shown, Error> {
    app.oauth_client(client.into(), net).await
}

/// The key that a request is signed with.
fn proof(app: &App, headers: &HeaderMap, path: &str) -> Result<String, Error> {
    let mut proofs = headers.get_all("dpop").iter();
    let (Some(proof), None) = (proofs.next(), proofs.next()) else {
        return Err(Code::InvalidProof.because("the request has to have one DPoP header with a proof"));
    };
    let proof = proof.to_str().map_err(|_| Code::InvalidProof.because("the DPoP proof is malformed"))?;
    app.check_oauth_proof(proof, path)
}

/// An answer with the nonce that the client's next proof has to have.
fn answered(app: &App, answer: Result<Response, Error>) -> Response {
    let mut response = answer.unwrap_or_else(|error| refusal(&error));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(nonce) = HeaderValue::from_str(&app.oauth_nonce()) {
        headers.insert(NONCE, nonce);
    }
    response
}

/// In the form that OAuth's clients read.
fn refusal(error: &Error) -> Response {
    let status = match error.code {
        Code::InvalidClient => StatusCode::UNAUTHORIZED,
        Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({ "error": error.code.as_str(), "error_description": error.description });
    let mut response = (status, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("DPoP algs=\"ES256\""));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}
