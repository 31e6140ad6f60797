//! An OAuth client and the browser of its user, over the server's router: what a program does, step by step, so that a test
//! can do each step wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode, header};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::app::App;
use crate::crypto::sha256;
use crate::host::Net;
use crate::oauth::metadata::paths;
use crate::xrpc::router;

const REDIRECT_URI: &str = "http://127.0.0.1:4000/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// What makes each proof another one.
static NEXT_JTI: AtomicU64 = AtomicU64::new(0);

/// A client with a key, and a browser with cookies.
pub struct Program {
    app: Arc<App>,
    router: Router,
    key: SigningKey,
    /// Its name.
    pub client_id: String,
    /// Where it is answered.
    pub redirect_uri: String,
    /// What its code challenge is the SHA-256 of; one for each request.
    pub verifier: String,
    /// The browser's.
    pub cookies: BTreeMap<String, String>,
    /// A confidential client's key, and its name.
    pub client_key: Option<(SigningKey, String)>,
    /// From where it comes, if that is known.
    pub net: Option<Net>,
}

/// What came back.
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answered {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The body of a success.
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }

    /// Status and error name.
    pub fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Program {
    /// A loopback client that may ask for `scope`.
    pub fn new(app: &Arc<App>, scope: &str) -> Self {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("redirect_uri", "http://127.0.0.1/cb").append_pair("scope", scope);
        let client_id = format!("http://localhost?{}", query.finish());
        Self {
            app: Arc::clone(app),
            router: router(Arc::clone(app)),
            key: SigningKey::from_slice(&[11; 32]).unwrap(),
            client_id,
            redirect_uri: REDIRECT_URI.to_owned(),
            verifier: VERIFIER.to_owned(),
            cookies: BTreeMap::new(),
            client_key: None,
            net: None,
        }
    }

    /// Sends a request just so.
    pub async fn send(&self, request: http::request::Builder, body: Body) -> Answered {
        let mut request = request.body(body).unwrap();
        if let Some(net) = self.net {
            request.extensions_mut().insert(net);
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        Answered { status: head.status, headers: head.headers, text }
    }

    /// The same, for bytes that are no text: status and body.
    pub async fn send_raw(&self, request: http::request::Builder) -> (StatusCode, bytes::Bytes) {
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap())
    }

    /// Another client of the same server.
    pub fn beside(&self) -> Self {
        Self::new(&self.app, "atproto")
    }

    /// A proof of possession, with whatever a test changes.
    pub fn proof(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        change: impl FnOnce(&mut Value),
    ) -> String {
        let jti = NEXT_JTI.fetch_add(1, Ordering::Relaxed);
        let now_seconds = self.app.host.now_us() / 1_000_000;
        let mut claims = json!({
            "jti": jti.to_string(), "htm": method, "htu": format!("{}{path}", self.app.network.public_url),
            "iat": now_seconds, "nonce": self.app.oauth_nonce(),
        });
        if let Some(token) = token {
            claims["ath"] = BASE64URL_NOPAD.encode(&sha256(token.as_bytes())).into();
        }
        change(&mut claims);
        sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(&self.key)}), &claims, &self.key)
    }

    /// Has another key from now on.
    pub fn change_key(&mut self, seed: u8) {
        self.key = SigningKey::from_slice(&[seed; 32]).unwrap();
    }

    /// Posts a form to an endpoint of the authorization server, with a fresh proof.
    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answered {
        let proof = self.proof("POST", path, None, |_| {});
        let assertion = self.client_key.clone().map(|(key, kid)| self.assertion(&key, &kid));
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        if !form.iter().any(|(name, _)| *name == "client_id") {
            body.append_pair("client_id", &self.client_id);
        }
        if let Some(assertion) = &assertion {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            body.append_pair("client_assertion_type", kind).append_pair("client_assertion", assertion);
        }
        let request = http::Request::post(path).header("dpop", proof);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(body.finish())).await
    }

    /// An assertion of who the client is.
    pub fn assertion(&mut self, key: &SigningKey, kid: &str) -> String {
        let jti = NEXT_JTI.fetch_add(1, Ordering::Relaxed);
        let now_seconds = self.app.host.now_us() / 1_000_000;
        let claims = json!({"iss": self.client_id, "sub": self.client_id, "aud": self.app.network.public_url,
            "jti": jti.to_string(), "iat": now_seconds, "exp": now_seconds + 60});
        sign(&json!({"alg": "ES256", "kid": kid}), &claims, key)
    }

    /// Pushes a request for `scope`: the answer.
    pub async fn push(&mut self, scope: &str, more: &[(&str, &str)]) -> Answered {
        let challenge = BASE64URL_NOPAD.encode(&sha256(self.verifier.as_bytes()));
        let redirect_uri = self.redirect_uri.clone();
        let mut form = vec![
            ("response_type", "code"),
            ("redirect_uri", &redirect_uri),
            ("scope", scope),
            ("state", "xyz"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        form.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        form.extend(more);
        self.post(paths::PUSH, &form).await
    }

    /// The path of the page for a pushed request.
    pub fn page_of(&self, request_uri: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &self.client_id).append_pair("request_uri", request_uri);
        format!("{}?{}", paths::AUTHORIZE, query.finish())
    }

    /// The browser opens a page.
    pub async fn open(&mut self, path: &str) -> Answered {
        let request = http::Request::get(path).header(header::COOKIE, self.cookie_header());
        let answer = self.send(request, Body::empty()).await;
        self.keep_cookies(&answer);
        answer
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&mut self, answer: &Answered) {
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The browser sends the form of a page, as its button `action` would.
    pub async fn submit(&mut self, page: &Answered, action: &str, filled: &[(&str, &str)]) -> Answered {
        let origin = self.app.network.public_url.clone();
        self.submit_from(&origin, page, action, filled).await
    }

    /// The same, from a page of another origin.
    pub async fn submit_from(
        &mut self,
        origin: &str,
        page: &Answered,
        action: &str,
        filled: &[(&str, &str)],
    ) -> Answered {
        let path = between(&page.text, "action=\"", "\"").expect("a form").to_owned();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        for name in ["client_id", "request_uri", "token"] {
            let value =
                between(&page.text, &format!("name=\"{name}\" value=\""), "\"").expect("a hidden field");
            // What askama escapes in these.
            body.append_pair(name, &value.replace("&#38;", "&"));
        }
        body.append_pair("action", action).extend_pairs(filled);
        self.post_form(origin, &path, body.finish()).await
    }

    async fn post_form(&mut self, origin: &str, path: &str, body: String) -> Answered {
        let request = http::Request::post(path)
            .header(header::COOKIE, self.cookie_header())
            .header(header::ORIGIN, origin)
            .header(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request, Body::from(body)).await;
        self.keep_cookies(&answer);
        answer
    }

    /// The browser sends a form of one of the account's pages to `path`, as its button `action` would.
    pub async fn fill(
        &mut self,
        page: &Answered,
        path: &str,
        action: &str,
        filled: &[(&str, &str)],
    ) -> Answered {
        let origin = self.app.network.public_url.clone();
        self.fill_from(&origin, page, path, action, filled).await
    }

    /// The same, from a page of another origin.
    pub async fn fill_from(
        &mut self,
        origin: &str,
        page: &Answered,
        path: &str,
        action: &str,
        filled: &[(&str, &str)],
    ) -> Answered {
        let token = between(&page.text, "name=\"token\" value=\"", "\"").expect("a form").to_owned();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("token", &token).append_pair("action", action).extend_pairs(filled);
        self.post_form(origin, path, body.finish()).await
    }

    /// All up to the code: pushes, signs in, says yes.
    pub async fn code(&mut self, scope: &str, handle: &str, password: &str) -> String {
        let pushed = self.push(scope, &[]).await.ok();
        let path = self.page_of(pushed["request_uri"].as_str().unwrap());
        let page = self.open(&path).await;
        let signed_in =
            self.submit(&page, "sign-in", &[("identifier", handle), ("password", password)]).await;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text);
        let page = self.open(&path).await;
        let answer = self.submit(&page, "allow", &[]).await;
        parameter(answer.header("location"), "code").expect("a code")
    }

    /// Exchanges a code: the answer.
    pub async fn redeem(&mut self, code: &str) -> Answered {
        let (redirect_uri, verifier) = (self.redirect_uri.clone(), self.verifier.clone());
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", &verifier),
        ];
        self.post(paths::TOKEN, &form).await
    }

    /// All up to the tokens.
    pub async fn tokens(&mut self, scope: &str, handle: &str, password: &str) -> Value {
        let code = self.code(scope, handle, password).await;
        self.redeem(&code).await.ok()
    }

    /// Asks for the next tokens: the answer.
    pub async fn refresh(&mut self, tokens: &Value) -> Answered {
        let token = tokens["refresh_token"].as_str().unwrap();
        self.post(paths::TOKEN, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Calls a method with an access token.
    pub async fn call(&mut self, method: Method, path: &str, tokens: &Value, body: Value) -> Answered {
        let token = tokens["access_token"].as_str().unwrap();
        let bare = path.split('?').next().unwrap();
        let proof = self.proof(method.as_str(), bare, Some(token), |_| {});
        let request = http::Request::builder().method(method).uri(path).header("dpop", proof);
        let request = request.header(header::AUTHORIZATION, format!("DPoP {token}"));
        if body.is_null() {
            return self.send(request, Body::empty()).await;
        }
        self.send(request.header(header::CONTENT_TYPE, "application/json"), Body::from(body.to_string()))
            .await
    }
}

/// The public half, as a JWK.
pub fn jwk(key: &SigningKey) -> Value {
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |range| BASE64URL_NOPAD.encode(&point.as_bytes()[range]);
    json!({"kty": "EC", "crv": "P-256", "x": coordinate(1..33), "y": coordinate(33..65)})
}

/// A compact JWS.
fn sign(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let signature: p256::ecdsa::Signature = key.sign(text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

/// A parameter of a URL's query.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
}

/// What a text has between the first `before` and the next `after`.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.get(..rest.find(after)?)
}
