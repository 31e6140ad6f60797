//! Signing in, staying in, signing out.

use serde::Deserialize;

use super::{Nothing, SessionView};
use crate::auth::Caller;
use crate::crypto::{password, sha256};
use crate::directory::{
    Account, CloseSession, Credentials, GetAccount, GetCredentials, OpenSession, RotateSession, Who,
};
use crate::limits::PASSWORD_BYTES_MAX;
use crate::seam::Hidden;
use crate::xrpc::endpoint::{Empty, Json};
use crate::xrpc::{App, Context, XrpcError};

#[derive(Deserialize)]
pub(super) struct CreateSession {
    identifier: String,
    password: Hidden<String>,
}

/// What a password turned out to be.
pub(super) struct SignIn {
    pub(super) account: Account,
    /// The app password's name; absent for the account's own password and an agent's token.
    pub(super) app_password: Option<String>,
}

pub(super) async fn create(context: Context, input: CreateSession) -> Result<Json<SessionView>, XrpcError> {
    let wrong = || XrpcError::unauthorized("AuthenticationRequired", "Invalid identifier or password");
    let who = Who::parse(input.identifier.trim());
    let sign_in = check_password(&context, who, input.password).await?.ok_or_else(wrong)?;
    let open = OpenSession { did: sign_in.account.did, app_password: sign_in.app_password };
    let session = context.directory(open).await?;
    Ok(Json(SessionView::of_session(&context, session).await?))
}

pub(super) async fn get(context: Context, _: Nothing) -> Result<Json<SessionView>, XrpcError> {
    let who = Who::Did(context.caller.did()?.clone());
    let account = context.directory(GetAccount { who }).await?;
    let account = account.ok_or_else(|| XrpcError::named("AccountNotFound", "account not found"))?;
    Ok(Json(SessionView::of_account(&context, account).await))
}

pub(super) async fn refresh(context: Context, _: Nothing) -> Result<Json<SessionView>, XrpcError> {
    let id = refresh_token_id(&context)?;
    let session = context.directory(RotateSession { id }).await?;
    Ok(Json(SessionView::of_session(&context, session).await?))
}

pub(super) async fn delete(context: Context, _: Nothing) -> Result<Empty, XrpcError> {
    let id = refresh_token_id(&context)?;
    if let Some(did) = context.directory(CloseSession { id }).await? {
        context.accounts.forget(&did, None);
    }
    Ok(Empty)
}

fn refresh_token_id(context: &Context) -> Result<String, XrpcError> {
    match &context.caller {
        Caller::Refresh { id, .. } => Ok(id.clone()),
        _ => Err(crate::auth::Error::Missing.into()),
    }
}

/// Checks a password against all that the account has: its own, its app passwords, its agent's tokens. `None` for
/// a wrong one, and for an account that does not exist, after the same time.
pub(super) async fn check_password(
    app: &App,
    who: Option<Who>,
    given: Hidden<String>,
) -> Result<Option<SignIn>, XrpcError> {
    if given.expose().len() > PASSWORD_BYTES_MAX {
        return Ok(None);
    }
    let credentials = match who {
        Some(who) => app.directory(GetCredentials { who, digest: sha256(given.expose().as_bytes()) }).await?,
        None => None,
    };
    match credentials {
        Some(Credentials { account, app_password: Some(app_password), .. }) => {
            Ok(Some(SignIn { account, app_password: Some(app_password.name) }))
        }
        Some(Credentials { account, is_agent_token: true, .. }) => {
            Ok(Some(SignIn { account, app_password: None }))
        }
        Some(Credentials { account, password_hash: Some(stored), .. }) => {
            let verified =
                app.compute(move || password::verify_password(given.expose(), stored.expose())).await?;
            Ok(verified.is_ok().then_some(SignIn { account, app_password: None }))
        }
        _ => {
            let salt = app.random();
            let _ = app.compute(move || password::hash_password(given.expose(), salt)).await?;
            Ok(None)
        }
    }
}
