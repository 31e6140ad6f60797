//! `zap agent`: make agents, look at them, delete them, as the administrator; change an agent's token, as the agent.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::CliError;
use super::explain::{Code, Explain};
use super::invocation::command_line;
use super::out::{Out, short_time};
use super::session::{As, Connection, Session, SessionError, text_field};
use zap::crypto::VerifyingKey;

/// `zap agent`.
#[derive(Debug, clap::Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: AgentCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AgentCommand {
    /// Create an agent: an account with a DID, a handle, a repo, keys and a token of its own
    #[command(
        after_help = "Example:\n  zap agent create carol --display-name \"Carol\" --model some-model\n\n\
        The token is kept in DATA/tokens/NAME, so that `zap remember carol ...` works at once."
    )]
    Create {
        /// The first label of its handle: carol becomes carol.test
        name: String,
        /// The name to show
        #[arg(long)]
        display_name: Option<String>,
        /// The model it runs on
        #[arg(long)]
        model: Option<String>,
        /// A did:key that may later take over the DID
        #[arg(long, value_name = "DID_KEY", value_parser = did_key)]
        recovery_key: Option<String>,
    },
    /// List all agents
    List,
    /// Show one agent
    Show {
        /// Its name, handle or DID
        agent: String,
    },
    /// Show where an agent's token is kept; with --rotate, change it
    #[command(
        after_help = "A new token is asked for with the old one, and ends it and all sessions: whatever else runs on the old \
        one needs the new. What makes tokens opens memories, so only the agent can, not the administrator."
    )]
    Token {
        /// Its name, handle or DID
        agent: String,
        /// Make a new token, which ends the old one and all sessions
        #[arg(long)]
        rotate: bool,
    },
    /// Delete an agent for good: its keys are destroyed, its repo is removed, its DID is tombstoned
    Delete {
        /// Its name, handle or DID
        agent: String,
        /// Needed: there is no way back
        #[arg(long)]
        yes: bool,
    },
}

/// Why agents are left as they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AgentError {
    /// Deleting can't be undone, and nobody said that it is meant.
    #[error("deleting {0} destroys its keys and memories for good")]
    Unconfirmed(String),
}

impl Explain for AgentError {
    fn code(&self) -> Code {
        match self {
            Self::Unconfirmed(_) => Code::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unconfirmed(_) => Some("repeat it with --yes if that is meant".to_owned()),
        }
    }
}

fn did_key(text: &str) -> Result<String, String> {
    match VerifyingKey::from_did_key(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; a key is written as did:key:zQ3sh...")),
    }
}

/// An agent as it was created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    pub(crate) did: String,
    pub(crate) handle: String,
    pub(crate) token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_key: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    did: String,
    handle: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl View {
    /// A field as text; a dash where it is not there.
    fn text(&self, name: &str) -> String {
        match self.rest.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    agents: Vec<View>,
    cursor: Option<String>,
}

pub(crate) async fn run(args: &AgentArgs, session: &Session, out: Out) -> Result<(), CliError> {
    match &args.command {
        AgentCommand::Create { name, display_name, model, recovery_key } => {
            let mut input = json!({"name": name});
            let given = [("displayName", display_name), ("model", model), ("recoveryKey", recovery_key)];
            if let Some(fields) = input.as_object_mut() {
                fields.extend(
                    given
                        .into_iter()
                        .filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))),
                );
            }
            let (created, kept) = create(session, &input).await?;
            if out.json {
                return out.json(&created);
            }
            out.pairs(&[
                ("handle", created.handle.clone()),
                ("did", created.did),
                ("token", format!("{} (kept in {kept})", created.token)),
            ])?;
            out.line("")?;
            let zap = command_line(&session.data);
            out.line(&format!("try: {zap} remember {name} \"the first thing I know\" --tag start"))
        }
        AgentCommand::List => list(session, out).await,
        AgentCommand::Show { agent } => show(session, agent, out).await,
        AgentCommand::Token { agent, rotate } => token(session, agent, *rotate, out).await,
        AgentCommand::Delete { agent, yes } => delete(session, agent, *yes, out).await,
    }
}

/// Creates an agent and keeps its token; says where.
pub(crate) async fn create(session: &Session, input: &Value) -> Result<(Created, String), SessionError> {
    let created: Created = session.procedure(As::Admin, "agent.admin.createAgent", input).await?;
    let kept = session.keep_token(&created.handle, &created.did, &created.token)?;
    Ok((created, kept.display().to_string()))
}

async fn list(session: &Session, out: Out) -> Result<(), CliError> {
    let mut agents: Vec<View> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut params = vec![("limit", "100")];
        params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = session.query(As::Admin, "agent.admin.listAgents", &params).await?;
        let ended = page.agents.is_empty();
        agents.extend(page.agents);
        cursor = page.cursor;
        if cursor.is_none() || ended {
            break;
        }
    }
    if out.json {
        return out.json(&json!({"agents": agents}));
    }
    if agents.is_empty() {
        return out.line("There are no agents yet. Make one: zap agent create alice");
    }
    let rows: Vec<_> = agents
        .into_iter()
        .map(|agent| {
            [
                agent.handle.clone(),
                agent.text("status"),
                agent.text("memoryCount"),
                agent.text("recordCount"),
                short_time(&agent.text("lastActiveAt")),
                agent.text("model"),
                agent.did,
            ]
        })
        .collect();
    out.table(["HANDLE", "STATUS", "MEMORIES", "RECORDS", "LAST ACTIVE", "MODEL", "DID"], &rows)
}

async fn show(session: &Session, agent: &str, out: Out) -> Result<(), CliError> {
    let handle = session.handle(agent).await?;
    let agent: View = session.query(As::Admin, "agent.admin.getAgent", &[("agent", &handle)]).await?;
    if out.json {
        return out.json(&agent);
    }
    let mut pairs = vec![("handle", agent.handle.clone()), ("did", agent.did.clone())];
    for (label, field) in [
        ("name", "displayName"),
        ("model", "model"),
        ("status", "status"),
        ("custody", "custody"),
        ("memories", "memoryCount"),
        ("records", "recordCount"),
        ("created", "createdAt"),
        ("last active", "lastActiveAt"),
    ] {
        if agent.rest.contains_key(field) {
            pairs.push((label, agent.text(field)));
        }
    }
    out.pairs(&pairs)
}

/// What is known of a token.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    did: String,
    handle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Where it is kept; nowhere when it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
}

async fn token(session: &Session, agent: &str, rotate: bool, out: Out) -> Result<(), CliError> {
    let old = session.token_of(agent).await?;
    let owner = session.owner(&old).await?;
    let mut shown = Token { did: owner.did, handle: owner.handle, token: None, kept: None };
    if rotate {
        let made: Value = session.procedure(As::Token(&old), "agent.vault.rotateToken", &json!({})).await?;
        let new = text_field(&made, "token").unwrap_or_default().to_owned();
        // Before its first use, which ends the old one: if it can't be kept, that one still works.
        shown.kept = Some(session.keep_token(&shown.handle, &shown.did, &new)?.display().to_string());
        session.owner(&new).await?;
        shown.token = Some(new);
    } else {
        shown.kept = session.kept_token(agent)?.map(|path| path.display().to_string());
    }
    if out.json {
        return out.json(&shown);
    }
    let mut pairs = vec![("handle", shown.handle), ("did", shown.did)];
    pairs.extend(shown.token.map(|token| ("token", token)));
    pairs.push(("kept in", shown.kept.unwrap_or_else(|| "nowhere: it was given".to_owned())));
    out.pairs(&pairs)
}

async fn delete(session: &Session, agent: &str, yes: bool, out: Out) -> Result<(), CliError> {
    let handle = session.handle(agent).await?;
    if !yes {
        // A wrong name is to be seen now, not after it was confirmed.
        let found: View = session.query(As::Admin, "agent.admin.getAgent", &[("agent", &handle)]).await?;
        return Err(AgentError::Unconfirmed(found.handle).into());
    }
    let deleted: Value =
        session.procedure(As::Admin, "agent.admin.deleteAgent", &json!({"agent": handle})).await?;
    let did = text_field(&deleted, "did").unwrap_or_default();
    session.drop_tokens(&[&handle, did]);
    if out.json { out.json(&deleted) } else { out.line(&format!("{handle} is gone")) }
}
