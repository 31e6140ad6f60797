//! agent.admin.*: the operator's agents; the same as plain paths for people with curl; com.atproto.admin.*.

mod account;
mod invite;
mod subject;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Uri;

use super::dispatch::Dispatcher;
use super::endpoint::{Answer, Holds};
use super::error::Because as _;
use super::{App, Context, Endpoint, XrpcError};
use crate::actor::Kind;
use crate::app::{self, NewAccount, check_recovery_key};
use crate::auth::Access;
use crate::directory::{self, Account, ListAccounts};
use crate::lexicon::Method as _;
use crate::lexicon::agent::admin::defs::{AgentView, AgentViewCustody, AgentViewStatus};
use crate::lexicon::agent::admin::{CreateAgent, DeleteAgent, GetAgent, ListAgents};
use crate::lexicon::agent::admin::{create_agent, delete_agent, get_agent, list_agents};
use crate::repo::{Counts, RepoCounts};
use crate::syntax::{Datetime, Did, Handle, format_datetime_ms};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::of::<CreateAgent>(Access::Admin, create),
        Endpoint::of::<ListAgents>(Access::Admin, list),
        Endpoint::of::<GetAgent>(Access::Admin, show),
        Endpoint::of::<DeleteAgent>(Access::Admin, delete),
        Endpoint::procedure("com.atproto.admin.deleteAccount", Access::Admin, account::delete),
        Endpoint::query("com.atproto.admin.getAccountInfo", Access::Admin, account::info),
        Endpoint::query("com.atproto.admin.getAccountInfos", Access::Admin, account::infos),
        Endpoint::query("com.atproto.admin.searchAccounts", Access::Admin, account::search),
        Endpoint::procedure("com.atproto.admin.sendEmail", Access::Admin, account::send_email),
        Endpoint::procedure("com.atproto.admin.updateAccountEmail", Access::Admin, account::update_email),
        Endpoint::procedure("com.atproto.admin.updateAccountHandle", Access::Admin, account::update_handle),
        Endpoint::procedure(
            "com.atproto.admin.updateAccountPassword",
            Access::Admin,
            account::update_password,
        )
        .holding(Holds::Computation),
        Endpoint::procedure(
            "com.atproto.admin.updateAccountSigningKey",
            Access::Admin,
            account::update_signing_key,
        ),
        Endpoint::query("com.atproto.admin.getSubjectStatus", Access::Admin, subject::get),
        Endpoint::procedure("com.atproto.admin.updateSubjectStatus", Access::Admin, subject::update),
        Endpoint::query("com.atproto.admin.getInviteCodes", Access::Admin, invite::page),
        Endpoint::procedure("com.atproto.admin.enableAccountInvites", Access::Admin, invite::enable),
        Endpoint::procedure("com.atproto.admin.disableAccountInvites", Access::Admin, invite::disable),
        Endpoint::procedure("com.atproto.admin.disableInviteCodes", Access::Admin, invite::disable_codes),
    ]
}

/// `POST /agents/create`, `GET /agents`, `GET /agents/{name}`: aliases of the methods, with their bodies and answers.
pub fn aliases(dispatcher: Arc<Dispatcher>) -> Router {
    Router::new()
        .route("/agents/create", post(create_alias))
        .route("/agents", get(list_alias))
        .route("/agents/{name}", get(show_alias))
        .with_state(dispatcher)
}

async fn create_alias(State(dispatcher): State<Arc<Dispatcher>>, request: Request) -> Response {
    dispatcher.dispatch(CreateAgent::NSID, request).await
}

async fn list_alias(State(dispatcher): State<Arc<Dispatcher>>, request: Request) -> Response {
    dispatcher.dispatch(ListAgents::NSID, request).await
}

/// A name without a dot is one under the first of the service's domains.
async fn show_alias(
    State(dispatcher): State<Arc<Dispatcher>>,
    Path(name): Path<String>,
    mut request: Request,
) -> Response {
    let agent = if name.contains(['.', ':']) { name } else { dispatcher.full_handle(&name) };
    // DIDs and handles have no characters that a query would need escaped, but for the percent sign of a did:web.
    let Ok(uri) = format!("/xrpc/{}?agent={}", GetAgent::NSID, agent.replace('%', "%25")).parse::<Uri>()
    else {
        return XrpcError::from(app::Error::AgentNotFound).into_response();
    };
    *request.uri_mut() = uri;
    dispatcher.dispatch(GetAgent::NSID, request).await
}

async fn create(context: Context, input: create_agent::Input) -> Answer<CreateAgent> {
    use create_agent::ErrorName;
    let is_named = input.handle.is_none();
    let handle = match input.handle {
        Some(handle) => handle,
        None => Handle::try_from(full_handle(&context, &input.name.to_ascii_lowercase()))
            .map_err(|error| ErrorName::InvalidName.because(error.to_string()))?,
    };
    let recovery_key = input.recovery_key.map(Did::into_string).map(check_recovery_key).transpose()?;
    let config = match input.config {
        Some(config) => Some(serde_json::to_string(&config).map_err(XrpcError::internal)?),
        None => None,
    };
    let new = NewAccount {
        handle,
        kind: Kind::Agent,
        existing_did: None,
        recovery_key: recovery_key.clone(),
        email: None,
        password: None,
        invite_code: None,
        invite_exempt: true,
        display_name: Some(input.display_name.unwrap_or(input.name)),
        model: input.model,
        config,
    };
    let (account, token) = context.app.create_agent(new).await.map_err(|error| match error {
        app::Error::Directory(directory::Error::InvalidHandle(why)) if is_named => {
            ErrorName::InvalidName.because(why)
        }
        error => error.into(),
    })?;
    Ok(create_agent::Output {
        did: account.did,
        handle: account.handle,
        token,
        recovery_key: recovery_key.and_then(|key| Did::try_from(key).ok()),
    })
}

async fn list(context: Context, params: list_agents::Params) -> Answer<ListAgents> {
    const CELLS_AT_ONCE: usize = 8;
    let limit = usize::try_from(params.limit).map_err(XrpcError::internal)?;
    let page =
        context.directory(ListAccounts { kind: Some(Kind::Agent), cursor: params.cursor, limit }).await?;
    let app: &App = &context;
    let agents: Vec<AgentView> = stream::iter(page.accounts)
        .map(|account| view(app, account))
        .buffered(CELLS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(list_agents::Output { agents, cursor: page.cursor })
}

async fn show(context: Context, params: get_agent::Params) -> Answer<GetAgent> {
    let account = context.agent(params.agent).await?;
    Ok(view(&context, account).await?)
}

async fn delete(context: Context, input: delete_agent::Input) -> Answer<DeleteAgent> {
    let did = context.app.delete_agent(input.agent).await?;
    Ok(delete_agent::Output { did })
}

async fn view(network: &App, account: Account) -> Result<AgentView, XrpcError> {
    let counts = match network.account(&account.did, Counts {}).await {
        // The account is about to be taken in from an archive.
        Err(app::Error::Account(crate::account::Error::NoRepo)) => RepoCounts::default(),
        counts => counts?,
    };
    let time = |us| Datetime::try_from(format_datetime_ms(us)).map_err(XrpcError::internal);
    let name = account.handle.as_str().split('.').next().map(str::to_owned);
    let handle = account.shown_handle();
    Ok(AgentView {
        created_at: time(account.created_us)?,
        last_active_at: counts.last_write_us.map(time).transpose()?,
        did: account.did,
        name,
        handle,
        display_name: account.display_name,
        model: account.model,
        status: AgentViewStatus::from(account.status.as_str().to_owned()),
        custody: Some(AgentViewCustody::Hosted),
        record_count: i64::try_from(counts.records).ok(),
        memory_count: i64::try_from(counts.memories).ok(),
    })
}

impl Dispatcher {
    fn full_handle(&self, name: &str) -> String {
        full_handle(self.app(), name)
    }
}

/// A name under the first of the service's domains.
fn full_handle(app: &App, name: &str) -> String {
    let domain = app.network.handle_domains.first().map_or("", String::as_str);
    format!("{name}{domain}")
}
