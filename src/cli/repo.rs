//! `zap repo`: what is in a repo, and whether it holds together. Anyone may ask, of any server; what is on this machine's
//! disk can be checked and rebuilt besides.

use std::path::Path;

use serde_json::{Value, json};

use super::error::CliError;
use super::out::{Out, counted};
use super::repair;
use super::session::{As, Connection, Session, SessionError, text_field};
use super::verify::{Import, Repo, signing_key};

/// `zap repo`.
#[derive(Debug, clap::Args)]
pub(crate) struct RepoArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RepoCommand {
    /// Show a repo's revision, root and counts
    Show {
        /// Name, handle or DID of the agent
        agent: String,
    },
    /// Fetch a whole repo and prove its signature, its tree and every record
    #[command(after_help = "Examples:\n  zap repo verify alice\n  \
        zap repo verify did:plc:ewvi7nxzyoun6zhxrhs64oiz --url https://pds.example.com\n\n\
        The key comes from the PLC directory (or the did:web host), not from the server that sent the repo.")]
    Verify {
        /// Name, handle or DID of the agent
        agent: String,
        /// The PLC directory [default: that of the server on --data, else https://plc.directory]
        #[arg(long, env = "ZAP_PLC_URL", hide_env_values = true, value_name = "URL")]
        plc_url: Option<String>,
    },
    /// Check the databases of a stopped server: every block, every tree, and the event log
    #[command(after_help = "Reads the data folder on this machine (--data), which no server may be using.\n\
        Faults make the exit code 1.")]
    Check(repair::CheckArgs),
    /// Make what can be made of a damaged repo, or of the event log; the server is stopped
    #[command(
        after_help = "Examples:\n  zap repo rebuild alice               as it was, if all records can be read\n  \
        zap repo rebuild alice --drop-lost   a new commit over those that can\n  \
        zap repo rebuild --log               the event log, without what can't be read\n\n\
        Tree and commit are made anew from the records. Records and keys that can't be read are lost: a backup is \
        always better. The damaged file stays beside the new one."
    )]
    Rebuild(repair::RebuildArgs),
}

pub(crate) async fn run(args: &RepoArgs, data: &Path, out: Out) -> Result<(), CliError> {
    let session = || Session::new(&args.connection, data);
    match &args.command {
        RepoCommand::Show { agent } => show(&session()?, agent, out).await,
        RepoCommand::Verify { agent, plc_url } => verify(&session()?, agent, plc_url.as_deref(), out).await,
        RepoCommand::Check(check) => repair::check(check, data, out),
        RepoCommand::Rebuild(rebuild) => repair::rebuild(rebuild, data, out),
    }
}

async fn show(session: &Session, agent: &str, out: Out) -> Result<(), CliError> {
    let did = session.did(agent).await?;
    let contents = fetch(session, &did).await?.verify_contents()?;
    if out.json {
        return out.json(&contents);
    }
    out.pairs(&[
        ("did", contents.did),
        ("rev", contents.rev),
        ("commit", contents.commit),
        ("root", contents.root),
        ("records", contents.records.to_string()),
        ("tree", format!("{}, height {}", counted(contents.nodes, "node"), contents.height)),
        ("size", format!("{} bytes", contents.bytes)),
    ])?;
    if contents.collections.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let rows: Vec<_> =
        contents.collections.into_iter().map(|(name, count)| [count.to_string(), name]).collect();
    out.table(["RECORDS", "COLLECTION"], &rows)
}

async fn verify(session: &Session, agent: &str, plc_url: Option<&str>, out: Out) -> Result<(), CliError> {
    let did = session.did(agent).await?;
    let (document, place) = did_document(session, &did, plc_url).await?;
    let key = signing_key(&document)?;
    let repo = fetch(session, &did).await?;
    let latest: Value =
        session.query(As::Anyone, "com.atproto.sync.getLatestCommit", &[("did", &did)]).await?;
    let mut checks = Checks { out, passed: Vec::new() };
    checks.passed("blocks", "every block has the hash of its CID")?;
    repo.verify_signature(&did, &key)?;
    checks.passed("signature", &format!("by {} from {place}", key.did_key()))?;
    let contents = repo.verify_contents()?;
    checks.passed(
        "tree",
        &format!("{}, height {}, canonical", counted(contents.nodes, "node"), contents.height),
    )?;
    checks.passed(
        "records",
        &format!("{}, each there, decoded and of its collection's type", contents.records),
    )?;
    let fresh = text_field(&latest, "rev") == Some(&contents.rev);
    let extra = contents.extra_blocks;
    if out.json {
        return out.json(&json!({
            "verified": true, "checks": checks.passed, "key": key.did_key(), "keyFrom": place,
            "latest": fresh, "repo": contents,
        }));
    }
    if extra > 0 {
        out.line(&format!("   note   {extra} blocks that nothing in the repo names"))?;
    }
    if !fresh {
        out.line("   note   the repo was written to in between; this is not its newest revision")?;
    }
    out.line(&format!("{did} at rev {}: {}", contents.rev, out.good("verified")))
}

/// What held, told as it is found.
struct Checks {
    out: Out,
    passed: Vec<&'static str>,
}

impl Checks {
    fn passed(&mut self, name: &'static str, detail: &str) -> Result<(), CliError> {
        self.passed.push(name);
        if self.out.json {
            return Ok(());
        }
        self.out.line(&format!("{}     {name:9}  {detail}", self.out.good("ok")))
    }
}

/// The repo as the server sends it, block by block.
async fn fetch(session: &Session, did: &str) -> Result<Repo, CliError> {
    let mut answer = session.download(As::Anyone, "com.atproto.sync.getRepo", &[("did", did)]).await?;
    let mut import = Import::new();
    let broken = |error: reqwest::Error| SessionError::Answer {
        nsid: "com.atproto.sync.getRepo".to_owned(),
        reason: error.to_string(),
    };
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        import.push(&chunk)?;
    }
    Ok(import.finish()?)
}

/// The DID document, from where the DID's method keeps it, and that place's name.
async fn did_document(
    session: &Session,
    did: &str,
    plc_url: Option<&str>,
) -> Result<(Value, String), SessionError> {
    let url = if let Some(host) = did.strip_prefix("did:web:") {
        let host = host.replace("%3A", ":");
        let scheme = if host.starts_with("localhost") { "http" } else { "https" };
        format!("{scheme}://{host}/.well-known/did.json")
    } else {
        let plc = plc_url.or(session.plc_url.as_deref()).unwrap_or("https://plc.directory");
        format!("{}/{did}", plc.trim_end_matches('/'))
    };
    let place = url.strip_suffix(did).unwrap_or(&url).trim_end_matches('/').to_owned();
    let document = session.did_document(&url).await?;
    if text_field(&document, "id") != Some(did) {
        return Err(SessionError::Answer { nsid: url, reason: "it is not that DID's document".to_owned() });
    }
    Ok((document, place))
}
