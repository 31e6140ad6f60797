//! `zap export`: an agent as one file, to keep or to bring to another server.

use std::path::PathBuf;

use repo_mst::car;
use serde::Deserialize;
use serde_json::json;

use super::archive::{ArchiveError, Partial, Progress};
use super::error::CliError;
use super::out::Out;
use super::passphrase::PassphraseArgs;
use super::session::{As, Connection, Session, SessionError};
use super::verify::{Contents, Import, VerifyError};
use zap::archive::Manifest;
use zap::crypto::SigningKey;
use zap::data_model::{CODEC_RAW, cid_of_block};
use zap::lexicon::Bytes;

/// How often a copy is begun anew because the agent wrote in between.
const ATTEMPTS: u32 = 5;

/// `zap export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  zap export alice --out alice.car                    a copy; nothing changes
  zap export alice --out alice.car --move             alice leaves this server ...
  zap import alice.car --url https://new.example.com  ... and goes on there, with the same DID

The file is a CAR: the repo and the blobs as anybody may read them, and all keys, sealed under the passphrase.
A copy that is restored brings back what was forgotten since.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Name, handle or DID of the agent
    agent: String,
    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Deactivate the agent here, and let who imports the file change its server
    #[arg(long = "move")]
    moving: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Deserialize)]
struct Exported {
    manifest: Bytes,
}

pub(crate) async fn run(args: &ExportArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let passphrase = args.passphrase.read(true)?;
    // Before the agent is put to rest for it.
    let mut file = Partial::create(&args.out)?;
    let token = session.token_of(&args.agent).await?;
    let input = json!({"passphrase": *passphrase, "move": args.moving});
    for _ in 0..ATTEMPTS {
        let exported: Exported = session.procedure(As::Token(&token), "agent.vault.export", &input).await?;
        let manifest = Manifest::decode(&exported.manifest.0)?;
        file.restart()?;
        file.write(&car::header(&[Manifest::cid(&exported.manifest.0), manifest.root.0]))?;
        file.block(&Manifest::cid(&exported.manifest.0), &exported.manifest.0)?;
        let Some(contents) = write_repo(&mut file, session, &token, &manifest, &passphrase).await? else {
            continue;
        };
        write_blobs(&mut file, session, &token, &manifest).await?;
        let bytes = file.finish()?;
        return report(args, &manifest, &contents, bytes, out);
    }
    Err(ArchiveError::Broken("the agent wrote each time while it was copied; try again later".to_owned())
        .into())
}

/// Writes the repo, proven; `None` when it is not the manifest's any more.
async fn write_repo(
    file: &mut Partial,
    session: &Session,
    token: &str,
    manifest: &Manifest,
    passphrase: &str,
) -> Result<Option<Contents>, CliError> {
    const NSID: &str = "com.atproto.sync.getRepo";
    let did = manifest.did.as_str();
    let mut answer = session.download(As::Token(token), NSID, &[("did", did)]).await?;
    let mut import = Import::new();
    let broken =
        |error: reqwest::Error| SessionError::Answer { nsid: NSID.to_owned(), reason: error.to_string() };
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        for (cid, block) in import.push(&chunk)? {
            file.block(&cid, &block)?;
        }
    }
    let repo = import.finish()?;
    if repo.cid != manifest.root.0 {
        return Ok(None);
    }
    // Opened once, as whoever imports it will.
    let secrets = manifest.open(&manifest.kdf.derive(passphrase)?)?;
    let key = SigningKey::from_bytes(secrets.signing_key.expose()).map_err(|_| VerifyError::Signature)?;
    repo.verify_signature(did, &key.verifying_key())?;
    Ok(Some(repo.verify_contents()?))
}

async fn write_blobs(
    file: &mut Partial,
    session: &Session,
    token: &str,
    manifest: &Manifest,
) -> Result<(), CliError> {
    const NSID: &str = "com.atproto.sync.getBlob";
    let mut progress = Progress::new();
    for (done, blob) in manifest.blobs.iter().enumerate() {
        let cid = blob.cid.0.to_string();
        let params = [("did", manifest.did.as_str()), ("cid", cid.as_str())];
        let answer = session.download(As::Token(token), NSID, &params).await?;
        let bytes = answer.bytes().await;
        let bytes = bytes
            .map_err(|error| SessionError::Answer { nsid: NSID.to_owned(), reason: error.to_string() })?;
        if cid_of_block(CODEC_RAW, &bytes) != blob.cid.0 {
            return Err(ArchiveError::Broken(format!("the blob {cid} is not what its CID says")).into());
        }
        file.block(&blob.cid.0, &bytes)?;
        progress.tell("blobs", done as u64 + 1, manifest.blobs.len() as u64);
    }
    Ok(())
}

fn report(
    args: &ExportArgs,
    manifest: &Manifest,
    contents: &Contents,
    bytes: u64,
    out: Out,
) -> Result<(), CliError> {
    let path = args.out.display().to_string();
    if out.json {
        return out.json(&json!({
            "did": manifest.did, "handle": manifest.handle, "root": manifest.root.0.to_string(),
            "rev": manifest.rev, "records": contents.records, "blobs": manifest.blobs.len(), "bytes": bytes,
            "file": path, "move": args.moving,
        }));
    }
    out.pairs(&[
        ("agent", manifest.handle.to_string()),
        ("did", manifest.did.to_string()),
        ("rev", manifest.rev.as_str().to_owned()),
        ("commit", manifest.root.0.to_string()),
        ("records", contents.records.to_string()),
        ("blobs", manifest.blobs.len().to_string()),
        ("file", format!("{path}, {bytes} bytes")),
    ])?;
    if args.moving {
        out.line("")?;
        out.line("The agent is deactivated here. Next, on its new server:")?;
        out.line(&format!("  zap import {path} --url URL"))?;
    }
    Ok(())
}
