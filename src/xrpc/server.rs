//! com.atproto.server.*: accounts and sessions.

mod account;
mod app_password;
mod email;
pub(super) mod invite;
mod password;
mod service;
mod session;

use serde::{Deserialize, Serialize};

use super::endpoint::Holds;
use super::{Context, Endpoint, XrpcError};
use crate::actor::Status;
use crate::auth::{Access, Apps};
use crate::directory::{Account, Session};
use crate::identity::DidDocument;
use crate::oauth::Need;
use crate::oauth::scope::{AccountAction, AccountAttr};
use crate::syntax::{Did, Handle};

/// What an application needs to change or confirm an account's address.
const EMAIL: Apps = Apps::With(Need::Account { attr: AccountAttr::Email, action: AccountAction::Manage });

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    use Access::{Account, AccountFull, Admin, OptionalService, Public, Refresh};
    vec![
        Endpoint::query("com.atproto.server.describeServer", Public, service::describe),
        Endpoint::query("com.atproto.server.getServiceAuth", Account, service::get_service_auth)
            .open_to(Apps::ByInput),
        Endpoint::procedure("com.atproto.server.reserveSigningKey", Public, service::reserve_signing_key),
        Endpoint::procedure("com.atproto.server.createAccount", OptionalService, account::create)
            .holding(Holds::Computation),
        Endpoint::procedure("com.atproto.server.activateAccount", AccountFull, account::activate),
        Endpoint::procedure("com.atproto.server.deactivateAccount", AccountFull, account::deactivate)
            .open_to(Apps::With(Need::Account { attr: AccountAttr::Status, action: AccountAction::Manage })),
        Endpoint::procedure("com.atproto.server.requestAccountDelete", AccountFull, account::request_delete),
        Endpoint::procedure("com.atproto.server.deleteAccount", Public, account::delete)
            .holding(Holds::Computation),
        Endpoint::query("com.atproto.server.checkAccountStatus", Account, account::check_status)
            .open_to(Apps::Any),
        Endpoint::procedure(
            "com.atproto.server.requestEmailConfirmation",
            Account,
            email::request_confirmation,
        )
        .open_to(EMAIL),
        Endpoint::procedure("com.atproto.server.confirmEmail", Account, email::confirm).open_to(EMAIL),
        Endpoint::procedure("com.atproto.server.requestEmailUpdate", AccountFull, email::request_update)
            .open_to(EMAIL),
        Endpoint::procedure("com.atproto.server.updateEmail", AccountFull, email::update).open_to(EMAIL),
        Endpoint::procedure("com.atproto.server.requestPasswordReset", Public, password::request_reset),
        Endpoint::procedure("com.atproto.server.resetPassword", Public, password::reset)
            .holding(Holds::Computation),
        Endpoint::procedure("com.atproto.server.createSession", Public, session::create)
            .holding(Holds::Computation),
        Endpoint::query("com.atproto.server.getSession", Account, session::get).open_to(Apps::Any),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    email_confirmed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_auth_factor: Option<bool>,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl SessionView {
    async fn of_account(context: &Context, account: Account) -> Self {
        // A document that can't be found now does not keep anyone out.
        let document = context.identities.document_for(&context.host, context.client, &account.did, false);
        let document = document.await.ok();
        Self {
            access_jwt: None,
            refresh_jwt: None,
            handle: account.shown_handle(),
            did: account.did,
            did_doc: document.map(|document| DidDocument::clone(&document)),
            email: account.email,
            email_confirmed: Some(account.email_confirmed),
            email_auth_factor: Some(false),
            active: account.status.is_active(),
            status: (account.status != Status::Active).then_some(account.status.as_str()),
        }
    }

    /// The same, for who may not know the address.
    fn without_email(self) -> Self {
        Self { email: None, email_confirmed: None, email_auth_factor: None, ..self }
    }

    async fn of_session(context: &Context, session: Session) -> Result<Self, XrpcError> {
        let tokens = context.auth.mint(&session, context.host.now_us().div_euclid(1_000_000))?;
        Ok(Self {
            access_jwt: Some(tokens.access),
            refresh_jwt: Some(tokens.refresh),
            ..Self::of_account(context, session.account).await
        })
    }
}
