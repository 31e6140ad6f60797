//! `zap dev`: a whole network on this machine, to try things with.
//!
//! The server is the one of `zap serve` with a PLC directory of its own beside it. The two agents are made, and given
//! their memories, through the server's own HTTP API by the same client code as every other command; a second start
//! finds them and makes nothing.

use std::path::Path;

use serde_json::{Value, json};

use super::error::CliError;
use super::invocation::command_line;
use super::out::Out;
use super::serve::{Server, StopSignal};
use super::session::{As, Connection, Session, SessionError, text_field};
use super::settings::{self, SettingFlags};
use super::{agent, memory};
use zap::config::{Config, ConfigError, Mailing, Texts, admin_token_file};
use zap::native::telemetry;

/// An agent of a new network.
struct Newcomer {
    name: &'static str,
    display_name: &'static str,
    /// Summaries and tags of what it knows.
    memories: [(&'static str, &'static [&'static str]); 3],
}

const NEWCOMERS: [Newcomer; 2] = [
    Newcomer {
        name: "alice",
        display_name: "Alice",
        memories: [
            ("Releases go out on Tuesdays, after the nightly tests were green", &["release", "process"]),
            ("Bob keeps the deployment notes; ask him before touching production", &["people", "deploy"]),
            ("The staging database is rebuilt every night at two", &["database", "staging"]),
        ],
    },
    Newcomer {
        name: "bob",
        display_name: "Bob",
        memories: [
            (
                "A deployment takes eleven minutes, most of it waiting for health checks",
                &["deploy", "timing"],
            ),
            ("The load balancer drains for thirty seconds before a node stops", &["deploy", "network"]),
            ("Alice reviews every change of the billing code", &["people", "billing"]),
        ],
    },
];

/// `zap dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) async fn run(args: &DevArgs, out: Out) -> Result<(), CliError> {
    let config = config(&args.settings)?;
    telemetry::start_log(&config.log, config.log_format)?;
    let data = config.data.clone();
    let admin_token = config.given_admin_token().map(str::to_owned);
    let mut stop = StopSignal::new()?;
    let server = Server::start(config).await?;
    let welcome = tokio::select! {
        welcome = welcome(&server, &data, admin_token.as_deref(), out) => welcome,
        () = stop.wait() => return server.stop_unless(&mut stop).await,
    };
    if welcome.is_ok() {
        stop.wait().await;
    }
    let stopped = server.stop_unless(&mut stop).await;
    welcome.and(stopped)
}

/// The settings with those that make it a network of its own, each of which may still be overruled.
fn config(settings: &SettingFlags) -> Result<Config, ConfigError> {
    let one = |text: &str| vec![text.to_owned()];
    let mut dev = Texts::from([
        ("plc-listen", one("127.0.0.1:2582")),
        ("plc-url", one("http://localhost:2582")),
        ("allow-loopback", one("true")),
        ("handle-domain", one(".test")),
        ("rate-limits", one("off")),
        ("log", one("warn")),
    ]);
    let config = settings::config(&settings.effective(dev.clone())?)?;
    // The directory's URL follows its port, unless another directory was asked for.
    if let Some(address) = config.plc_listen {
        dev.insert("plc-url", vec![format!("http://localhost:{}", address.port())]);
    }
    let mut config = settings::config(&settings.effective(dev)?)?;
    if config.mail == Mailing::Off {
        config.mail = Mailing::Printed;
    }
    Ok(config)
}

/// What is known of one agent.
struct Known {
    handle: String,
    did: String,
    token: Option<String>,
}

async fn welcome(server: &Server, data: &Path, admin_token: Option<&str>, out: Out) -> Result<(), CliError> {
    let url = Some(format!("http://{}", server.address()));
    let connection = Connection { url, token: None, plain_http: false };
    let session = Session::new(&connection, data)?.administered_with(admin_token);
    let admin_token_file = admin_token.is_none().then(|| admin_token_file(data));
    let mut agents = Vec::new();
    for newcomer in &NEWCOMERS {
        agents.push(find_or_make(&session, newcomer).await?);
    }
    if out.json {
        let agents: Vec<Value> = agents
            .iter()
            .map(|agent| json!({"handle": agent.handle, "did": agent.did, "token": agent.token}))
            .collect();
        return out.json(&json!({
            "url": server.url, "plcUrl": server.plc_url, "data": data,
            "adminTokenFile": admin_token_file, "agents": agents,
        }));
    }
    print(server, data, admin_token_file.as_deref(), &agents, out)
}

async fn find_or_make(session: &Session, newcomer: &Newcomer) -> Result<Known, SessionError> {
    let name = newcomer.name;
    let handle = session.handle(name).await?;
    let found: Result<Value, _> =
        session.query(As::Admin, "agent.admin.getAgent", &[("agent", &handle)]).await;
    let known = match found {
        Ok(agent) => {
            let did = text_field(&agent, "did").unwrap_or_default().to_owned();
            let known = Known { handle, did, token: session.agent_token(name).ok() };
            if has_written(&agent) {
                return Ok(known);
            }
            // The agent was made by a start that was interrupted right then.
            known
        }
        Err(SessionError::Refused { name: error, .. }) if error.ends_with("NotFound") => {
            let input = json!({"name": name, "displayName": newcomer.display_name});
            let (created, _) = agent::create(session, &input).await?;
            Known { handle: created.handle, did: created.did, token: Some(created.token) }
        }
        Err(error) => return Err(error),
    };
    if let Some(token) = &known.token {
        for (summary, tags) in newcomer.memories {
            memory::keep(session, token, &memory::note(summary, tags)).await?;
        }
    }
    Ok(known)
}

/// Whether an agent has, or ever had, anything of its own.
fn has_written(agent: &Value) -> bool {
    let count = |name| agent.get(name).and_then(Value::as_u64).unwrap_or_default();
    count("recordCount") > 0 || text_field(agent, "lastActiveAt").is_some()
}

fn print(
    server: &Server,
    data: &Path,
    admin_token_file: Option<&Path>,
    agents: &[Known],
    out: Out,
) -> Result<(), CliError> {
    let url = &server.url;
    out.line("zap dev is running. Ctrl-C stops it; the next start finds everything again.")?;
    out.line("")?;
    out.pairs(&[
        ("server", url.clone()),
        ("firehose", format!("{}/xrpc/com.atproto.sync.subscribeRepos", url.replacen("http", "ws", 1))),
        ("PLC directory", server.plc_url.clone()),
        ("data", data.display().to_string()),
        (
            "admin token",
            admin_token_file.map_or("the one given".to_owned(), |file| format!("in {}", file.display())),
        ),
    ])?;
    out.line("")?;
    let rows: Vec<_> = agents
        .iter()
        .map(|agent| {
            let token = agent.token.clone().unwrap_or_else(|| "(not kept here)".to_owned());
            [agent.handle.clone(), agent.did.clone(), token]
        })
        .collect();
    out.table(["AGENT", "DID", "TOKEN"], &rows)?;
    let zap = command_line(data);
    let tokens = data.join("tokens").join("alice");
    out.line("")?;
    out.line(&out.bold("Try, in another terminal:"))?;
    out.line(&format!("  {zap} recall alice \"when is a release\""))?;
    out.line(&format!("  {zap} agent create carol"))?;
    out.line(&format!("  {zap} repo verify alice"))?;
    out.line(&format!(
        "  printf 'Authorization: Bearer %s' \"$(cat {})\" | curl -H @- '{url}/xrpc/agent.memory.list?limit=3'",
        tokens.display()
    ))
}
