//! `zap remember`, `memories`, `recall` and `forget`: an agent's memory, as the agent. `zap memory show` is in [`show`].

mod show;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation;

use super::error::{CliError, LocalError};
use super::explain::{Code, Explain};
use super::input;
use super::out::{Out, clean, short_time, shortened};
use super::session::{As, Connection, Session, SessionError, text_field};
use zap::syntax::format_datetime_ms;

/// Characters of a note's summary, its first line; what is more is kept whole beside it.
const SUMMARY_GRAPHEMES_MAX: usize = 300;
/// Characters of what can be looked for.
const QUERY_GRAPHEMES_MAX: usize = 500;
/// Most that is listed at once.
const LIMIT_MAX: u32 = 100;

/// `zap remember`.
#[derive(Debug, clap::Args)]
pub(crate) struct RememberArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Name, handle or DID of the agent
    agent: String,
    /// What to remember; for a fact: "subject | predicate | object". `-` takes standard input
    text: String,
    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// What kind of memory it is
    #[arg(long = "type", value_enum, default_value = "note", value_name = "TYPE")]
    kind: Kind,
    /// For a decision or learning: the situation
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// For a decision: why
    #[arg(long, value_name = "TEXT")]
    rationale: Option<String>,
}

/// What `zap memories` and `zap recall` have in common.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only those with this tag; may be repeated, then all must be there
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only of this kind; may be repeated
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kinds: Vec<Kind>,
}

/// `zap memories`.
#[derive(Debug, clap::Args)]
pub(crate) struct MemoriesArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Name, handle or DID of the agent
    agent: String,
    #[command(flatten)]
    which: Which,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// `zap recall`.
#[derive(Debug, clap::Args)]
pub(crate) struct RecallArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Name, handle or DID of the agent
    agent: String,
    /// What to look for
    query: String,
    #[command(flatten)]
    which: Which,
    /// How many at most
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
}

/// `zap forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Name, handle or DID of the agent
    agent: String,
    /// Keys, as `zap memories` shows them, or at:// URIs
    #[arg(required = true, value_name = "KEY")]
    uris: Vec<String>,
}

pub(crate) use show::{MemoryArgs, memory};

/// Why memories are left as they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MemoryError {
    /// The agent has no such memory, any more.
    #[error("{agent} has none of these memories")]
    NoMemory {
        /// The agent, as it was named.
        agent: String,
    },
}

impl Explain for MemoryError {
    fn code(&self) -> Code {
        match self {
            Self::NoMemory { .. } => Code::NotFound,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoMemory { agent } => Some(format!("`zap memories {agent}` shows those there are")),
        }
    }
}

/// The kinds of memory that a line of text can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Note,
    Fact,
    Decision,
    Learning,
    Episode,
}

impl Kind {
    fn nsid(self) -> &'static str {
        match self {
            Self::Note => "agent.memory.note",
            Self::Fact => "agent.memory.fact",
            Self::Decision => "agent.memory.decision",
            Self::Learning => "agent.memory.learning",
            Self::Episode => "agent.memory.episode",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct View {
    uri: String,
    memory: Value,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl View {
    fn row(&self) -> [String; 5] {
        let kind = text_field(&self.memory, "$type").unwrap_or("-");
        let tags = self.memory.get("tags").and_then(Value::as_array);
        let tags = tags.map(|tags| tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
        [
            short_key(&self.uri).to_owned(),
            kind.strip_prefix("agent.memory.").unwrap_or(kind).to_owned(),
            short_time(text_field(&self.memory, "createdAt").unwrap_or("-")),
            tags.unwrap_or_default(),
            text_of(&self.memory),
        ]
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    memories: Vec<View>,
    cursor: Option<String>,
}

pub(crate) async fn remember(args: &RememberArgs, session: &Session, out: Out) -> Result<(), CliError> {
    // Nobody types a text for an agent that is not there.
    let token = session.token_of(&args.agent).await?;
    let memory = memory_of(args, &input::words(&args.text)?, &now())?;
    let answer = keep(session, &token, &memory).await?;
    if out.json {
        return out.json(&answer);
    }
    let uri = text_field(&answer, "uri").unwrap_or_default();
    match text_field(&answer, "status") {
        Some("duplicate") => out.line(&format!("known already: {}", clean(uri))),
        _ => out.line(&format!("remembered: {}", clean(uri))),
    }
}

/// Seals one memory.
pub(crate) async fn keep(session: &Session, token: &str, memory: &Value) -> Result<Value, SessionError> {
    session.procedure(As::Token(token), "agent.memory.remember", &json!({"memory": memory})).await
}

/// A note of our own making.
pub(crate) fn note(summary: &str, tags: &[&str]) -> Value {
    json!({"$type": Kind::Note.nsid(), "summary": summary, "tags": tags, "createdAt": now()})
}

pub(crate) async fn memories(args: &MemoriesArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let token = session.token_of(&args.agent).await?;
    let mut memories: Vec<View> = Vec::new();
    let mut cursor: Option<String> = None;
    while let Some(wanted) = remaining(args.limit, memories.len()) {
        let limit = wanted.min(LIMIT_MAX).to_string();
        let mut params = args.which.params();
        params.push(("limit", &limit));
        params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = session.query(As::Token(&token), "agent.memory.list", &params).await?;
        let ended = page.memories.is_empty();
        memories.extend(page.memories);
        cursor = page.cursor;
        if cursor.is_none() || ended {
            break;
        }
    }
    if out.json {
        return out.json(&json!({"memories": memories, "cursor": cursor}));
    }
    if memories.is_empty() {
        return out.line("No memories match.");
    }
    let rows: Vec<_> = memories.iter().map(View::row).collect();
    out.table(["KEY", "TYPE", "WHEN", "TAGS", "TEXT"], &rows)?;
    if cursor.is_some() {
        out.line(&format!("... and more; see them with --limit {}", args.limit.saturating_mul(10)))?;
    }
    Ok(())
}

pub(crate) async fn recall(args: &RecallArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let query = query_of(&args.query)?;
    let token = session.token_of(&args.agent).await?;
    let limit = args.limit.to_string();
    let mut params = args.which.params();
    params.extend([("q", query), ("limit", &limit)]);
    let answer: Value = session.query(As::Token(&token), "agent.memory.recall", &params).await?;
    if out.json {
        return out.json(&answer);
    }
    let results = answer.get("results").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if results.is_empty() {
        return out.line("Nothing comes to mind.");
    }
    let rows: Vec<_> = results
        .iter()
        .map(|result| {
            [
                result.get("score").map(Value::to_string).unwrap_or_default(),
                short_key(text_field(result, "uri").unwrap_or_default()).to_owned(),
                text_field(result, "why").unwrap_or_default().to_owned(),
                result.get("memory").map(text_of).unwrap_or_default(),
            ]
        })
        .collect();
    out.table(["SCORE", "KEY", "WHY", "TEXT"], &rows)
}

pub(crate) async fn forget(args: &ForgetArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let token = session.token_of(&args.agent).await?;
    let uris = uris_of(session, &args.agent, &args.uris).await?;
    let (mut forgotten, mut shredded) = (0, 0);
    for portion in uris.chunks(100) {
        let answer: Value =
            session.procedure(As::Token(&token), "agent.memory.forget", &json!({"uris": portion})).await?;
        let count = |name| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        forgotten += count("forgotten");
        shredded += count("shredded");
    }
    if out.json {
        out.json(&json!({"forgotten": forgotten, "shredded": shredded}))?;
    } else if forgotten > 0 {
        let missing = (uris.len() as u64).saturating_sub(forgotten);
        let missing = if missing > 0 { format!(", not there: {missing}") } else { String::new() };
        out.line(&format!("forgotten: {forgotten}, keys destroyed: {shredded}{missing}"))?;
    }
    if forgotten == 0 {
        return Err(MemoryError::NoMemory { agent: args.agent.clone() }.into());
    }
    Ok(())
}

/// The addresses of memories, of which some may be given by their keys.
async fn uris_of(session: &Session, agent: &str, given: &[String]) -> Result<Vec<String>, SessionError> {
    let mut uris = given.to_vec();
    if uris.iter().any(|uri| !uri.starts_with("at://")) {
        let did = session.did(agent).await?;
        for uri in uris.iter_mut().filter(|uri| !uri.starts_with("at://")) {
            *uri = format!("at://{did}/agent.vault.sealed/{uri}");
        }
    }
    Ok(uris)
}

impl Which {
    fn params(&self) -> Vec<(&str, &str)> {
        let tags = self.tags.iter().map(|tag| ("tags", tag.as_str()));
        tags.chain(self.kinds.iter().map(|kind| ("types", kind.nsid()))).collect()
    }
}

fn remaining(limit: u32, have: usize) -> Option<u32> {
    limit.checked_sub(u32::try_from(have).ok()?).filter(|remaining| *remaining > 0)
}

/// A line of text as a memory of its kind.
fn memory_of(args: &RememberArgs, text: &str, now: &str) -> Result<Value, LocalError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(LocalError::Usage("there is nothing to remember: the text is empty".to_owned()));
    }
    let takes_context = matches!(args.kind, Kind::Decision | Kind::Learning);
    if args.context.is_some() && !takes_context {
        return Err(LocalError::Usage("--context is for --type decision and learning".to_owned()));
    }
    if args.rationale.is_some() && args.kind != Kind::Decision {
        return Err(LocalError::Usage("--rationale is for --type decision".to_owned()));
    }
    let mut memory = match args.kind {
        Kind::Note if text.contains('\n') || text.graphemes(true).count() > SUMMARY_GRAPHEMES_MAX => {
            let first = text.lines().next().unwrap_or(text);
            json!({"summary": shortened(first, SUMMARY_GRAPHEMES_MAX), "text": text})
        }
        Kind::Note => json!({"summary": text}),
        Kind::Fact => match text.split('|').map(str::trim).collect::<Vec<_>>().as_slice() {
            [subject, predicate, object] if !subject.is_empty() && !predicate.is_empty() => {
                json!({"subject": subject, "predicate": predicate, "object": object})
            }
            _ => {
                let text = "a fact has three parts, as in \"the build | takes | four minutes\"";
                return Err(LocalError::Usage(text.to_owned()));
            }
        },
        Kind::Decision => json!({
            "decision": text,
            "context": args.context.as_deref().unwrap_or_default(),
            "rationale": args.rationale.as_deref().unwrap_or_default(),
            "status": "accepted",
        }),
        Kind::Learning => match &args.context {
            Some(context) => json!({"statement": text, "context": context}),
            None => json!({"statement": text}),
        },
        Kind::Episode => json!({"text": text, "happenedAt": now}),
    };
    if let Some(fields) = memory.as_object_mut() {
        fields.insert("$type".to_owned(), json!(args.kind.nsid()));
        fields.insert("createdAt".to_owned(), json!(now));
        if !args.tags.is_empty() {
            fields.insert("tags".to_owned(), json!(args.tags));
        }
    }
    Ok(memory)
}

/// What to look for, as the server takes it.
fn query_of(text: &str) -> Result<&str, LocalError> {
    let text = text.trim();
    match text.graphemes(true).count() {
        0 => Err(LocalError::Usage("there is nothing to look for: the query is empty".to_owned())),
        1..=QUERY_GRAPHEMES_MAX => Ok(text),
        count => Err(LocalError::Usage(format!(
            "the query has {count} characters; it may have {QUERY_GRAPHEMES_MAX}"
        ))),
    }
}

/// What a memory says, on one line.
fn text_of(memory: &Value) -> String {
    let field = |name| text_field(memory, name);
    if let (Some(subject), Some(predicate), Some(object)) =
        (field("subject"), field("predicate"), field("object"))
    {
        return format!("{subject} | {predicate} | {object}");
    }
    let said = ["summary", "decision", "statement", "text"].into_iter().find_map(field);
    said.map_or_else(|| memory.to_string(), str::to_owned)
}

/// The record key of an at:// URI.
fn short_key(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or(uri)
}

fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format_datetime_ms(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RememberArgs,
    }

    fn memory(line: &[&str]) -> Result<Value, LocalError> {
        let line = ["remember", "alice"].iter().chain(line);
        let args = Line::try_parse_from(line).unwrap().args;
        memory_of(&args, &args.text, "2026-01-01T00:00:00.000Z")
    }

    #[test]
    fn a_line_becomes_a_memory_of_its_kind() {
        let note = memory(&["tea is green", "--tag", "tea", "--tag", "colour"]).unwrap();
        assert_eq!(note["$type"], "agent.memory.note");
        assert_eq!(note["tags"], json!(["tea", "colour"]));
        assert_eq!(text_of(&note), "tea is green");
        let long = memory(&["tea is green\nand hot"]).unwrap();
        assert_eq!(
            (&long["summary"], &long["text"]),
            (&json!("tea is green"), &json!("tea is green\nand hot"))
        );
        let fact = memory(&["tea | is | green", "--type", "fact"]).unwrap();
        assert_eq!(fact["object"], "green");
        assert_eq!(text_of(&fact), "tea | is | green");
        for kind in ["decision", "learning", "episode"] {
            assert_eq!(text_of(&memory(&["tea is green", "--type", kind]).unwrap()), "tea is green");
        }
        assert!(memory(&["tea is green", "--type", "fact"]).is_err());
        assert!(memory(&["  "]).is_err());
    }

    #[test]
    fn what_a_kind_has_no_place_for_is_refused() {
        let decision =
            memory(&["tea", "--type", "decision", "--context", "four", "--rationale", "thirst"]).unwrap();
        assert_eq!((&decision["context"], &decision["rationale"]), (&json!("four"), &json!("thirst")));
        assert!(memory(&["tea", "--context", "four"]).is_err());
        assert!(memory(&["tea", "--type", "learning", "--rationale", "thirst"]).is_err());
    }

    #[test]
    fn a_query_is_measured_before_it_is_sent() {
        assert_eq!(query_of(" tea ").unwrap(), "tea");
        assert!(query_of("").is_err() && query_of("  ").is_err());
        assert!(query_of(&"é".repeat(QUERY_GRAPHEMES_MAX)).is_ok());
        assert!(query_of(&"é".repeat(QUERY_GRAPHEMES_MAX + 1)).is_err());
    }

    #[test]
    fn a_long_note_keeps_its_whole_text() {
        let long = "x".repeat(1000);
        let note = memory(&[&long]).unwrap();
        assert_eq!(note["summary"].as_str().unwrap().graphemes(true).count(), SUMMARY_GRAPHEMES_MAX);
        assert_eq!(note["text"], long);
    }

    #[test]
    fn keys_are_the_end_of_uris() {
        assert_eq!(short_key("at://did:plc:abc/agent.vault.sealed/abcd"), "abcd");
    }
}
