//! `zap lexicon publish`: the contract of this network as records of an agent's repo, where others find it.
//!
//! Lexicons are records like all others, of an account that the namespace's domain names in the DNS. Which account that is,
//! only whoever has the domain can say; so an agent is told to publish, and what the DNS has to say is printed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::CliError;
use super::out::{Out, clean};
use super::session::{As, Connection, Session, text_field};

const COLLECTION: &str = "com.atproto.lexicon.schema";

/// Records asked for at once.
const PAGE: &str = "100";

/// `zap lexicon`.
#[derive(Debug, clap::Args)]
pub(crate) struct LexiconArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: LexiconCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LexiconCommand {
    /// Write the agent.* lexicons into an agent's repo, permission sets among them, and say what the DNS needs
    #[command(after_help = "Example:\n  zap agent create lexicons\n  zap lexicon publish lexicons\n\n\
        Run it again after an upgrade: what has not changed is left alone.")]
    Publish {
        /// Name, handle or DID of the agent
        agent: String,
    },
}

#[derive(Deserialize)]
struct Page {
    records: Vec<Published>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Published {
    uri: String,
    value: Value,
}

pub(crate) async fn run(args: &LexiconArgs, session: &Session, out: Out) -> Result<(), CliError> {
    match &args.command {
        LexiconCommand::Publish { agent } => publish(session, agent, out).await,
    }
}

async fn publish(session: &Session, agent: &str, out: Out) -> Result<(), CliError> {
    let token = session.token_of(agent).await?;
    let did = session.owner(&token).await?.did;
    let there = published(session, &did).await?;
    let changes = Changes::between(&there);
    if !changes.writes.is_empty() {
        // All in one commit: a contract is not published by halves.
        let input = json!({"repo": did, "writes": changes.writes});
        session.procedure::<Value>(As::Token(&token), "com.atproto.repo.applyWrites", &input).await?;
    }
    let Changes { created, updated, unchanged, domains, .. } = changes;
    if out.json {
        let dns: Vec<Value> = domains
            .iter()
            .map(|domain| json!({"name": format!("_lexicon.{domain}"), "type": "TXT", "value": format!("did={did}")}))
            .collect();
        let counts =
            json!({"did": did, "created": created, "updated": updated, "unchanged": unchanged, "dns": dns});
        return out.json(&counts);
    }
    out.line(&format!("published: {created} new, {updated} changed, {unchanged} as they were"))?;
    out.line("others find them once the DNS says:")?;
    for domain in domains {
        out.line(&format!("  _lexicon.{domain}. TXT \"did={}\"", clean(&did)))?;
    }
    Ok(())
}

/// What the agent publishes, by name.
async fn published(session: &Session, did: &str) -> Result<BTreeMap<String, Value>, CliError> {
    let mut found = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut params = vec![("repo", did), ("collection", COLLECTION), ("limit", PAGE)];
        params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = session.query(As::Anyone, "com.atproto.repo.listRecords", &params).await?;
        let count = page.records.len();
        found.extend(page.records.into_iter().map(|record| {
            let name = record.uri.rsplit('/').next().unwrap_or_default().to_owned();
            (name, record.value)
        }));
        // A server that goes on for ever with nothing is not followed.
        match page.cursor {
            Some(next) if count > 0 && cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(found),
        }
    }
}

/// What has to be written, so that all is published as it is.
#[derive(Debug, Default)]
struct Changes {
    writes: Vec<Value>,
    created: usize,
    updated: usize,
    unchanged: usize,
    domains: BTreeSet<String>,
}

impl Changes {
    fn between(there: &BTreeMap<String, Value>) -> Self {
        let mut changes = Self::default();
        for mut document in zap::lexicon::own_documents() {
            let name = text_field(&document, "id").unwrap_or_default().to_owned();
            let group = name.rsplit_once('.').map_or(&*name, |(group, _)| group);
            changes.domains.insert(group.split('.').rev().collect::<Vec<_>>().join("."));
            if let Some(fields) = document.as_object_mut() {
                fields.insert("$type".to_owned(), COLLECTION.into());
            }
            let kind = match there.get(&name) {
                Some(old) if *old == document => {
                    changes.unchanged += 1;
                    continue;
                }
                Some(_) => {
                    changes.updated += 1;
                    "com.atproto.repo.applyWrites#update"
                }
                None => {
                    changes.created += 1;
                    "com.atproto.repo.applyWrites#create"
                }
            };
            changes
                .writes
                .push(json!({"$type": kind, "collection": COLLECTION, "rkey": name, "value": document}));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: a contract is published again and again, or never changed.
    #[test]
    fn only_what_differs_is_written() {
        let all = Changes::between(&BTreeMap::new());
        assert!(all.created > 20 && all.updated == 0 && all.writes.len() == all.created);
        assert!(all.domains.contains("memory.agent"), "{:?}", all.domains);
        let field = |write: &Value, name: &str| write[name].clone();
        let mut there: BTreeMap<String, Value> = all
            .writes
            .iter()
            .map(|write| (field(write, "rkey").as_str().unwrap().to_owned(), field(write, "value")))
            .collect();
        let same = Changes::between(&there);
        assert_eq!((same.writes.len(), same.unchanged), (0, all.created));
        there.get_mut("agent.memory.full").unwrap()["description"] = "older".into();
        let one = Changes::between(&there);
        assert_eq!((one.writes.len(), one.updated, one.unchanged), (1, 1, all.created - 1));
        assert_eq!(one.writes[0]["$type"], "com.atproto.repo.applyWrites#update");
    }
}
