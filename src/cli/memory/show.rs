//! `zap memory show`: one memory, whole.

use serde_json::Value;

use super::{MemoryError, View, uris_of};
use crate::cli::error::CliError;
use crate::cli::out::{Out, clean};
use crate::cli::session::{As, Connection, Session, SessionError, text_field};

/// `zap memory`.
#[derive(Debug, clap::Args)]
pub(crate) struct MemoryArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print all of one memory
    Show {
        /// Name, handle or DID of the agent
        agent: String,
        /// Its key, as `zap memories` shows it, or its at:// URI
        #[arg(value_name = "KEY")]
        uri: String,
    },
}

pub(crate) async fn memory(args: &MemoryArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let Command::Show { agent, uri } = &args.command;
    let token = session.token_of(agent).await?;
    let uris = uris_of(session, agent, std::slice::from_ref(uri)).await?;
    let params: Vec<_> = uris.iter().map(|uri| ("uri", uri.as_str())).collect();
    let view: View =
        session.query(As::Token(&token), "agent.memory.get", &params).await.map_err(|error| match error {
            SessionError::Refused { name, .. } if name == "MemoryNotFound" => {
                CliError::from(MemoryError::NoMemory { agent: agent.clone() })
            }
            other => other.into(),
        })?;
    if out.json {
        return out.json(&view);
    }
    let mut pairs = vec![("uri".to_owned(), view.uri.clone())];
    // What a memory says at length comes after all else, line by line as it was written.
    let mut words = None;
    for (name, value) in view.memory.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("text", Value::String(text)) => words = Some(text.as_str()),
            ("$type", Value::String(kind)) => pairs.push(("type".to_owned(), kind.clone())),
            (_, Value::String(text)) => pairs.push((name.clone(), text.clone())),
            (_, Value::Array(items)) if items.iter().all(Value::is_string) => {
                let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                pairs.push((name.clone(), items.join(", ")));
            }
            (_, value) => pairs.push((name.clone(), value.to_string())),
        }
    }
    // A summary that is the beginning of the text says nothing more.
    let is_beginning = |summary: &str| {
        words.is_some_and(|words| words.starts_with(summary.strip_suffix('…').unwrap_or(summary)))
    };
    if text_field(&view.memory, "summary").is_some_and(is_beginning) {
        pairs.retain(|(name, _)| name != "summary");
    }
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    out.pairs(&pairs)?;
    if let Some(words) = words {
        out.line("")?;
        for line in words.lines() {
            out.line(&clean(line))?;
        }
    }
    Ok(())
}
