//! A simulated network, asked over HTTP.

use std::sync::Arc;

use axum::body::Body;
use http::{StatusCode, header};
use serde_json::Value;

use super::lexicons;
use crate::app::App;
use crate::env::Network;
use crate::mail::Mail;
use crate::testing::{Internet, Randomness, Simulated, network};
use crate::xrpc::dispatch::Dispatcher;

pub(in crate::xrpc) use crate::testing::PLC;

pub(in crate::xrpc) const ADMIN: &str = "Bearer letmein";

pub(in crate::xrpc) struct World {
    pub(in crate::xrpc) host: Arc<Simulated>,
    pub(in crate::xrpc) app: Arc<App>,
    pub(in crate::xrpc) dispatcher: Arc<Dispatcher>,
}

pub(in crate::xrpc) struct Answer {
    pub(in crate::xrpc) status: StatusCode,
    pub(in crate::xrpc) body: Value,
}

impl Answer {
    pub(in crate::xrpc) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Status and error name.
    pub(in crate::xrpc) fn error(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["error"].as_str().unwrap_or_default())
    }
}

impl World {
    pub(in crate::xrpc) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(in crate::xrpc) fn with(change: impl FnOnce(&mut Network)) -> Self {
        Self::over(change, Internet::default())
    }

    /// Another network, with the same did:plc directory.
    pub(in crate::xrpc) fn beside(&self, change: impl FnOnce(&mut Network)) -> Self {
        Self::over(change, self.host.internet.beside())
    }

    fn over(change: impl FnOnce(&mut Network), internet: Internet) -> Self {
        let mut network = network();
        change(&mut network);
        Self::serving(Simulated::new(network, internet, Randomness::default()))
    }

    /// The server, stopped and started: what was on no disk is gone.
    pub(in crate::xrpc) fn restarted(self) -> Self {
        Self::serving(self.host)
    }

    fn serving(host: Arc<Simulated>) -> Self {
        let app = host.start();
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&app), crate::xrpc::endpoints()));
        Self { host, app, dispatcher }
    }

    pub(in crate::xrpc) async fn get(&self, path: &str, authorization: &str) -> Answer {
        let (nsid, _) = path.split_once('?').unwrap_or((path, ""));
        let request = http::Request::get(format!("/xrpc/{path}"));
        self.send(nsid, request, authorization, Body::empty()).await
    }

    pub(in crate::xrpc) async fn post(&self, nsid: &str, authorization: &str, body: Value) -> Answer {
        let request = http::Request::post(format!("/xrpc/{nsid}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(nsid, request, authorization, body).await
    }

    /// Uploads a blob and gives the answer.
    pub(in crate::xrpc) async fn upload(&self, authorization: &str, mime: &str, blob: &[u8]) -> Answer {
        let nsid = "com.atproto.repo.uploadBlob";
        let request = http::Request::post(format!("/xrpc/{nsid}")).header(header::CONTENT_TYPE, mime);
        let request = request.header(header::CONTENT_LENGTH, blob.len());
        self.send(nsid, request, authorization, Body::from(blob.to_vec())).await
    }

    /// Posts bytes to a method, its parameters behind its name.
    pub(in crate::xrpc) async fn bytes(&self, path: &str, authorization: &str, body: Vec<u8>) -> Answer {
        let (nsid, _) = path.split_once('?').unwrap_or((path, ""));
        let request = http::Request::post(format!("/xrpc/{path}"));
        let request = request.header(header::CONTENT_TYPE, "application/vnd.ipld.dag-cbor");
        self.send(nsid, request, authorization, Body::from(body)).await
    }

    /// Sends a request; what a method of ours answers is held against its lexicon.
    pub(in crate::xrpc) async fn send(
        &self,
        nsid: &str,
        mut request: http::request::Builder,
        authorization: &str,
        body: Body,
    ) -> Answer {
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = self.dispatcher.dispatch(nsid, request.body(body).unwrap()).await;
        let answer = answer(response).await;
        if nsid.starts_with("agent.") {
            lexicons::check_answer(nsid, &answer);
        }
        answer
    }

    /// The mails that went so far, and now: to whom, the subject, the text.
    pub(in crate::xrpc) async fn mails(&self) -> Vec<(String, String, String)> {
        self.app.post().await.unwrap();
        let mails = self.host.internet.mailbox.lock().unwrap();
        let parts = |mail: &Mail| (mail.to.clone(), mail.subject.clone(), mail.text.expose().clone());
        mails.iter().map(parts).collect()
    }

    /// The code in the newest mail.
    pub(in crate::xrpc) async fn mailed_code(&self) -> String {
        let mails = self.mails().await;
        let (_, _, text) = mails.last().unwrap();
        text.split_whitespace()
            .find(|word| word.len() == 11 && word.as_bytes()[5] == b'-')
            .unwrap()
            .to_owned()
    }

    /// Signs a person up and gives the answer.
    pub(in crate::xrpc) async fn person(&self, name: &str) -> Value {
        let body = serde_json::json!({
            "handle": format!("{name}.test"), "email": format!("{name}@example.com"), "password": "correct horse",
        });
        self.post("com.atproto.server.createAccount", "", body).await.ok()
    }
}

pub(in crate::xrpc) async fn answer(response: axum::response::Response) -> Answer {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "a 401 says how");
    }
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

pub(in crate::xrpc) fn bearer(token: &Value) -> String {
    format!("Bearer {}", token.as_str().unwrap())
}
