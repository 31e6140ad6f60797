//! com.atproto.server.*: accounts and sessions.

mod account;
mod app_password;
mod invite;
mod service;
mod session;

use serde::{Deserialize, Serialize};

use super::{App, Endpoint, XrpcError};
use crate::actor::Status;
use crate::auth::Access;
use crate::directory::{Account, Session};
use crate::identity::DidDocument;
use crate::syntax::{Did, Handle};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Access::{Account, AccountFull, Admin, OptionalService, Public, Refresh};
    vec![
        Endpoint::query("com.atproto.server.describeServer", Public, service::describe),
        Endpoint::query("com.atproto.server.getServiceAuth", Account, service::get_service_auth),
        Endpoint::procedure("com.atproto.server.createAccount", OptionalService, account::create),
        Endpoint::procedure("com.atproto.server.activateAccount", AccountFull, account::activate),
        Endpoint::procedure("com.atproto.server.deactivateAccount", AccountFull, account::deactivate),
        Endpoint::procedure("com.atproto.server.requestAccountDelete", AccountFull, account::request_delete),
        Endpoint::procedure("com.atproto.server.deleteAccount", Public, account::delete),
        Endpoint::query("com.atproto.server.checkAccountStatus", AccountFull, account::check_status),
        Endpoint::procedure("com.atproto.server.createSession", Public, session::create),
        Endpoint::query("com.atproto.server.getSession", Account, session::get),
        Endpoint::procedure("com.atproto.server.refreshSession", Refresh, session::refresh),
        Endpoint::procedure("com.atproto.server.deleteSession", Refresh, session::delete),
        Endpoint::procedure("com.atproto.server.createAppPassword", AccountFull, app_password::create),
        Endpoint::query("com.atproto.server.listAppPasswords", AccountFull, app_password::list),
        Endpoint::procedure("com.atproto.server.revokeAppPassword", AccountFull, app_password::revoke),
        Endpoint::procedure("com.atproto.server.createInviteCode", Admin, invite::create_one),
        Endpoint::procedure("com.atproto.server.createInviteCodes", Admin, invite::create),
        Endpoint::query("com.atproto.server.getAccountInviteCodes", AccountFull, invite::list),
    ]
}

/// A method without parameters or body.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

/// What a session's methods answer: the account, with tokens where there are new ones.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionView {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_jwt: Option<String>,
    handle: Handle,
    did: Did,
    #[serde(skip_serializing_if = "Option::is_none")]
    did_doc: Option<DidDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    email_confirmed: bool,
    email_auth_factor: bool,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl SessionView {
    async fn of_account(app: &App, account: Account) -> Self {
        // A document that can't be found now does not keep anyone out.
        let document = app.identities.did_document(&app.host, &account.did, false).await.ok();
        Self {
            access_jwt: None,
            refresh_jwt: None,
            handle: account.handle,
            did: account.did,
            did_doc: document.map(|document| DidDocument::clone(&document)),
            email: account.email,
            email_confirmed: account.email_confirmed,
            email_auth_factor: false,
            active: account.status.is_active(),
            status: (account.status != Status::Active).then_some(account.status.as_str()),
        }
    }

    async fn of_session(app: &App, session: Session) -> Result<Self, XrpcError> {
        let tokens = app.auth.mint(&session, app.host.now_us().div_euclid(1_000_000))?;
        Ok(Self {
            access_jwt: Some(tokens.access),
            refresh_jwt: Some(tokens.refresh),
            ..Self::of_account(app, session.account).await
        })
    }
}
