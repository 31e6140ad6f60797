//! `zap takedown` and `zap restore`: an account, a record or a blob that nobody is to see, and to see again.
//!
//! Where the subject stands is asked first: that says whether it is there, and names it as the server wants it named.

use serde_json::{Value, json};

use super::error::{CliError, LocalError};
use super::find::{AccountError, find};
use super::out::{Out, clean};
use super::session::{As, Connection, Session, text_field};

/// `zap takedown`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  zap takedown dana --ref \"case 7\"                           an account, with all it has
  zap takedown at://dana.example.com/app.bsky.feed.post/3k...  a record; the repo stays whole
  zap takedown dana --blob bafkrei...                         a blob
  zap takedown dana --status                                  nothing: show where it stands")]
pub(crate) struct TakedownArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    reference: ReferenceArgs,
    /// Change nothing: show whether it is taken down
    #[arg(long, conflicts_with = "reference")]
    status: bool,
}

/// `zap restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    subject: SubjectArgs,
}

#[derive(Debug, clap::Args)]
struct SubjectArgs {
    #[command(flatten)]
    connection: Connection,
    /// An account's name, handle or DID; or a record's at:// URI
    subject: String,
    /// A blob of the account, by its CID
    #[arg(long, value_name = "CID")]
    blob: Option<String>,
}

/// Why something is taken down.
#[derive(Debug, clap::Args)]
pub(crate) struct ReferenceArgs {
    /// What it is kept under, as a case's number [default: the time]
    #[arg(long = "ref", value_name = "TEXT")]
    reference: Option<String>,
}

impl ReferenceArgs {
    /// The takedown under this reference.
    pub(crate) fn change(&self) -> Change {
        Change::TakeDown { reference: self.reference.clone() }
    }
}

/// What happens to a subject.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Nobody sees it.
    TakeDown {
        /// What moderators keep it under.
        reference: Option<String>,
    },
    /// All see it.
    Restore,
    /// It stays as it is.
    Nothing,
}

impl TakedownArgs {
    /// Where the server is.
    pub(crate) fn connection(&self) -> &Connection {
        &self.subject.connection
    }
}

impl RestoreArgs {
    /// Where the server is.
    pub(crate) fn connection(&self) -> &Connection {
        &self.subject.connection
    }
}

pub(crate) async fn run(args: &TakedownArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let change = if args.status { Change::Nothing } else { args.reference.change() };
    of(&args.subject, session, &change, out).await
}

pub(crate) async fn restore(args: &RestoreArgs, session: &Session, out: Out) -> Result<(), CliError> {
    of(&args.subject, session, &Change::Restore, out).await
}

async fn of(args: &SubjectArgs, session: &Session, change: &Change, out: Out) -> Result<(), CliError> {
    let (subject, blob) = (args.subject.as_str(), args.blob.as_deref());
    let path = subject.strip_prefix("at://");
    if path.is_some_and(|path| path.contains('/')) {
        if blob.is_some() {
            let why = format!("{subject} is a record: --blob goes with the account that has the blob");
            return Err(LocalError::Usage(why).into());
        }
        return apply(session, subject, None, change, out).await;
    }
    let account = find(session, path.unwrap_or(subject)).await?;
    apply(session, &account.did, blob, change, out).await
}

/// Changes where a subject stands: an account by its DID, a record by its URI, a blob by both. Prints how it stands then.
pub(crate) async fn apply(
    session: &Session,
    subject: &str,
    blob: Option<&str>,
    change: &Change,
    out: Out,
) -> Result<(), CliError> {
    let name = if subject.starts_with("at://") { "uri" } else { "did" };
    let params: Vec<_> = std::iter::once((name, subject)).chain(blob.map(|cid| ("blob", cid))).collect();
    let called = blob.unwrap_or(subject);
    let mut standing: Value = session
        .query(As::Admin, "com.atproto.admin.getSubjectStatus", &params)
        .await
        .map_err(|error| AccountError::of_missing(error, called))?;
    let takedown = match change {
        Change::Nothing => None,
        Change::TakeDown { reference: None } => Some(json!({"applied": true})),
        Change::TakeDown { reference: Some(reference) } => Some(json!({"applied": true, "ref": reference})),
        Change::Restore => Some(json!({"applied": false})),
    };
    if let Some(takedown) = takedown {
        let input = json!({"subject": standing.get("subject"), "takedown": takedown});
        standing = session.procedure(As::Admin, "com.atproto.admin.updateSubjectStatus", &input).await?;
    }
    if out.json {
        return out.json(&standing);
    }
    let told = standing.get("takedown");
    let is_down = told.and_then(|told| told.get("applied")).and_then(Value::as_bool) == Some(true);
    let reference = told.and_then(|told| text_field(told, "ref")).map(|told| format!(" ({told})"));
    let state = if is_down { "is taken down" } else { "is no longer taken down" };
    out.line(&clean(&format!("{called} {state}{}", reference.unwrap_or_default())))
}
