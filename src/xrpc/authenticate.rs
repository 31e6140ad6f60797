//! Who calls: the `Authorization` header, with what must be asked to believe it.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, header};

use super::{App, XrpcError};
use crate::actor::Scope;
use crate::actor::Status;
use crate::app::oauth::Bound;
use crate::auth::{Access, AccountCaller, Apps, Caller, Error, Grant, Presented, ServiceToken};
use crate::directory::Proof;
use crate::host::Net;
use crate::syntax::{AtIdentifier, Did};

/// A method that is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) nsid: &'a str,
    pub(super) access: Access,
    pub(super) apps: Apps,
}

impl Asked<'_> {
    /// What an application is granted by a method's name is granted for who answers the method: where it would go were it
    /// not answered here.
    fn permit(self, app: &App, caller: Caller) -> Result<Caller, XrpcError> {
        let audience = || match app.services.usual(self.nsid) {
            Some(target) => target.audience(),
            None => format!("{}#atproto_pds", app.network.service_did),
        };
        self.access.permits(self.apps, self.nsid, &audience, &caller)?;
        Ok(caller)
    }
}

/// Finds the caller of a method and checks that it may call it.
///
/// # Errors
/// What the caller is to be told: see [`crate::auth::Error`]; `AccountTakedown` for a stopped account.
pub(super) async fn authenticate(
    app: &Arc<App>,
    asked: Asked<'_>,
    head: &Parts,
) -> Result<Caller, XrpcError> {
    if asked.access == Access::Public {
        return Ok(Caller::Anonymous);
    }
    let header = match head.headers.get(header::AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| Error::Invalid("Malformed token"))?),
        None => None,
    };
    if let Some(token) = header.and_then(bound_token) {
        return asked.permit(app, bound(app, token, head).await?);
    }
    let now_seconds = app.host.now_us().div_euclid(1_000_000);
    let caller = match app.auth.check(header, now_seconds)? {
        Presented::Nothing => Caller::Anonymous,
        Presented::Admin => Caller::Admin,
        Presented::Refresh { did, id } => Caller::Refresh { did, id },
        Presented::Session { did, scope, generation } => {
            account(app, did, Grant::Own(scope), Proof::Generation(generation)).await?
        }
        Presented::AgentToken { digest } => {
            let did = app.agent_of_token(digest).await?;
            let did = did.ok_or(Error::Invalid("the agent's token is unknown or was revoked"))?;
            account(app, did, Grant::Own(Scope::Access), Proof::AgentToken(digest)).await?
        }
        Presented::Service(token) => {
            asked.access.takes_service_tokens()?;
            service(app, &token, asked.nsid, head.extensions.get().copied(), now_seconds).await?
        }
    };
    asked.permit(app, caller)
}

/// Checks once more, when a request's body has come, that what its head showed has not ended meanwhile. A proof of possession
/// is good for one look, and what is bound to it was good when the request began: of an application, it is looked whether
/// its session ended.
///
/// # Errors
/// As [`authenticate`].
pub(super) async fn look_again(
    app: &Arc<App>,
    asked: Asked<'_>,
    head: &Parts,
    caller: &Caller,
) -> Result<Caller, XrpcError> {
    match caller {
        Caller::Account(AccountCaller { account: known, grant: grant @ Grant::App(_), proof }) => {
            let caller = account(app, known.did.clone(), grant.clone(), proof.clone()).await;
            asked.permit(app, caller.map_err(in_oauths_words)?)
        }
        _ => authenticate(app, asked, head).await,
    }
}

/// Whether a request has a token that is bound to a key.
pub(super) fn is_bound(headers: &HeaderMap) -> bool {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(bound_token).is_some()
}

fn bound_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    scheme.eq_ignore_ascii_case("dpop").then(|| token.trim())
}

/// Who calls with a token that is bound to a key.
async fn bound(app: &App, token: &str, head: &Parts) -> Result<Caller, XrpcError> {
    let mut proofs = head.headers.get_all("dpop").iter();
    let proof = match (proofs.next(), proofs.next()) {
        (Some(proof), None) => proof.to_str().ok(),
        _ => None,
    };
    let (method, path) = (head.method.as_str(), head.uri.path());
    let token = app.check_bound(Bound { token, proof, method, path })?;
    let scope = Arc::new(crate::oauth::Scope::parse(&token.scope));
    let caller = account(app, token.sub, Grant::App(scope), Proof::Generation(token.generation)).await;
    caller.map_err(in_oauths_words)
}

/// A token that has ended is said to be invalid, as a 401: an application refreshes its tokens on exactly that.
fn in_oauths_words(error: XrpcError) -> XrpcError {
    match &*error.name {
        "ExpiredToken" | "InvalidToken" => XrpcError::unauthorized("invalid_token", error.message),
        _ => error,
    }
}

/// The account, if it may still act, and with this: an access token outlives what happens to its account.
async fn account(app: &App, did: Did, grant: Grant, proof: Proof) -> Result<Caller, XrpcError> {
    let account = app.find_account(&AtIdentifier::Did(did)).await?;
    let account = account.ok_or(Error::Invalid("the token's account does not exist"))?;
    match account.status {
        Status::Takendown | Status::Suspended if grant != Grant::Own(Scope::Takendown) => {
            Err(XrpcError::unauthorized("AccountTakedown", "Account has been taken down"))
        }
        Status::Pending | Status::Deleted => Err(Error::Invalid("the token's account does not exist").into()),
        Status::Active | Status::Deactivated | Status::Takendown | Status::Suspended => match proof {
            Proof::Generation(generation) if account.generation > generation => Err(Error::Expired.into()),
            proof => Ok(Caller::Account(AccountCaller { account, grant, proof })),
        },
    }
}

/// Checks a service token: first what costs nothing, then with its issuer's key, and when that does not fit, once more
/// with the key as it is now.
async fn service(
    app: &App,
    token: &ServiceToken,
    nsid: &str,
    stranger: Option<Net>,
    now_seconds: i64,
) -> Result<Caller, XrpcError> {
    app.auth.check_service_claims(token, nsid, now_seconds)?;
    for refresh in [false, true] {
        let document =
            app.identities.document_for_stranger(&app.host, stranger, token.issuer(), refresh).await?;
        let Some(document) = document else { break };
        let key = document.signing_key().ok_or(Error::Invalid("the issuer has no signing key"))?;
        match app.auth.check_service_signature(token, &key, now_seconds) {
            Err(Error::Invalid(_)) => {}
            checked => return Ok(checked?),
        }
    }
    Err(Error::Invalid("Token could not be verified").into())
}
