//! The dispatch over all methods.
//!
//! The dispatcher finds the endpoint by its NSID, checks verb and credentials, bounds and reads the body, checks the
//! credentials once more, and only then calls the handler; a body that the handler reads ends with that check, or fails.
//!
//! What is no method of ours goes on to another service, as [`super::proxy`] has it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::authenticate::{Asked, authenticate, is_bound, look_again};
use super::body::{checked_at_end, read_body};
use super::endpoint::as_get;
use super::{App, Context, Endpoint, Notes, XrpcError, limits, proxy};
use crate::app::tighter;
use crate::auth::{Access, Apps, Caller};
use crate::host::BodyRoom;
use crate::rate_limit::Allowance;

/// Where a client finds what its next proof of possession has to have.
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// All endpoints, by NSID.
pub struct Dispatcher {
    app: Arc<App>,
    endpoints: HashMap<&'static str, Endpoint>,
}

impl Dispatcher {
    /// Over these endpoints.
    pub fn new(app: Arc<App>, endpoints: Vec<Endpoint>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| (endpoint.nsid, endpoint)).collect();
        Self { app, endpoints }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Answers one request to `/xrpc/{nsid}`.
    pub async fn dispatch(&self, nsid: &str, request: Request) -> Response {
        let client = request.extensions().get().copied();
        let counted = match self.app.limits.request(nsid, client, self.app.host.now_us()) {
            Ok(counted) => counted,
            Err(allowance) => return too_many(allowance).into_response(),
        };
        let notes = Notes::default();
        let is_bound = is_bound(request.headers());
        let answer = self.answer(nsid, request, notes.clone()).await;
        let refused = if is_bound { XrpcError::into_bound_response } else { XrpcError::into_response };
        let mut response = answer.unwrap_or_else(refused);
        // Each answer brings the nonce of now: a client that uses the last one never has to ask twice.
        if is_bound && let Ok(nonce) = HeaderValue::from_str(&self.app.oauth_nonce()) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
        if let Some(allowance) = tighter(counted, notes.taken()) {
            limits::tell(&allowance, response.headers_mut());
        }
        response
    }

    /// Has a method answered that is not ours.
    async fn pass_on(&self, nsid: &str, request: Request) -> Result<Response, XrpcError> {
        let (head, body) = request.into_parts();
        let way = proxy::way(&self.app, nsid, &head)?;
        // What an application needs for it depends on who answers.
        let (access, apps) = (Access::Account, Apps::ByInput);
        let caller = authenticate(&self.app, Asked { nsid, access, apps }, &head).await?;
        let client = head.extensions.get().copied();
        let body = if body.is_end_stream() {
            body
        } else {
            let (app, nsid, head, caller) =
                (Arc::clone(&self.app), nsid.to_owned(), head.clone(), caller.clone());
            let checked = async move {
                look_again(&app, Asked { nsid: &nsid, access, apps }, &head, &caller).await.map(drop)
            };
            checked_at_end(body, checked)
        };
        proxy::pass_on(&self.app, caller.account()?, client, nsid, way, &head, body).await
    }

    async fn answer(&self, nsid: &str, request: Request, notes: Notes) -> Result<Response, XrpcError> {
        let Some(endpoint) = self.endpoints.get(nsid) else { return self.pass_on(nsid, request).await };
        let method = as_get(request.method());
        if method != endpoint.method {
            return Err(XrpcError::invalid(format!("{nsid} is called with {}", endpoint.method))
                .with_status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let (head, body) = request.into_parts();
        let asked = Asked { nsid: endpoint.nsid, access: endpoint.access, apps: endpoint.apps };
        let mut caller = authenticate(&self.app, asked, &head).await?;
        if let Caller::Account(caller) = &caller {
            let counted = self.app.limits.call(nsid, &caller.account.did, self.app.host.now_us());
            notes.note(counted.map_err(too_many)?);
        }
        // What a body takes is held until it is answered: what is made of it takes as much.
        let room = head.extensions.get::<Arc<dyn BodyRoom>>().cloned();
        // A client may take its time, and what its head showed may have ended meanwhile.
        let may_end = matches!(caller, Caller::Account(_));
        let body = match endpoint.body_max {
            None if may_end && !body.is_end_stream() => {
                let (app, head, caller) = (Arc::clone(&self.app), head.clone(), caller.clone());
                let checked = async move { look_again(&app, asked, &head, &caller).await.map(drop) };
                checked_at_end(body, checked)
            }
            None => body,
            Some(bytes_max) => {
                let body = read_body(body, bytes_max, room.as_deref()).await?;
                if may_end {
                    caller = look_again(&self.app, asked, &head, &caller).await?;
                }
                Body::from(body)
            }
        };
        let client = head.extensions.get().copied();
        let user_agent = head.headers.get(header::USER_AGENT).cloned();
        let context = Context { app: Arc::clone(&self.app), caller, client, user_agent, notes };
        (endpoint.handler)(context, Request::from_parts(head, body)).await
    }
}

pub(super) fn too_many(allowance: Allowance) -> XrpcError {
    let seconds = allowance.retry_seconds();
    XrpcError::too_often(allowance, format!("Rate Limit Exceeded: try again in {seconds} s"))
}
