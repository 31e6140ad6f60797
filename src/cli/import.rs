//! `zap import`: an agent from its file, proven here before anything of it is sent.

use std::collections::HashSet;
use std::path::PathBuf;

use bytes::Bytes;
use repo_mst::MemoryBlocks;
use serde::Deserialize;
use serde_json::{Value, json};

use super::archive::{ArchiveError, Blocks, Progress};
use super::error::CliError;
use super::out::Out;
use super::passphrase::PassphraseArgs;
use super::session::{As, Connection, Session, SessionError, text_field};
use super::verify::{Contents, Repo, VerifyError};
use zap::archive::Manifest;
use zap::crypto::SigningKey;
use zap::data_model::CODEC_RAW;
use zap::lexicon;
use zap::limits::{IMPORT_RECORDS_MAX, VERIFY_REPO_BYTES_MAX};
use zap::moving::ImportedRecord;

/// Bytes of records sent at once: with one more record still under what a server takes.
const BATCH_BYTES: usize = 2 << 20;

/// `zap import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  zap import alice.car                                into the server on --data
  zap import alice.car --url https://new.example.com  into another one, with its admin token in --token

The file is proven first: every block, the tree, the signature. When the command is interrupted, run it again.
A deactivated account of the same DID is replaced; an active one is left alone.")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// The file that `zap export` wrote
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// An archive that holds together.
struct Archive {
    block: Bytes,
    manifest: Manifest,
    repo: Repo,
    contents: Contents,
}

#[derive(Deserialize)]
struct Finished {
    token: String,
}

pub(crate) async fn run(args: &ImportArgs, session: &Session, out: Out) -> Result<(), CliError> {
    let passphrase = args.passphrase.read(false)?;
    let archive = read(args, &passphrase)?;
    let did = archive.manifest.did.as_str();
    let input = json!({"manifest": json_bytes(&archive.block), "passphrase": *passphrase});
    let begun: Result<Value, _> = session.procedure(As::Admin, "agent.admin.importAgent", &input).await;
    match begun {
        Ok(_) => {
            send_records(session, &archive).await?;
            send_blobs(args, session, &archive).await?;
        }
        // The agent may be here already, and only the last answer was lost.
        Err(SessionError::Refused { status, name, message }) if name == "AccountExists" => {
            let latest: Value =
                session.query(As::Admin, "com.atproto.sync.getLatestCommit", &[("did", did)]).await?;
            if text_field(&latest, "cid") != Some(&archive.contents.commit) {
                return Err(SessionError::Refused { status, name, message }.into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    let commit = json_bytes(archive.repo.commit_block()?);
    let input = json!({"did": did, "commit": commit});
    let finished: Finished = session.procedure(As::Admin, "agent.admin.finishImport", &input).await?;
    let kept = session.keep_token(archive.manifest.handle.as_str(), did, &finished.token)?;
    report(session, &archive, &finished, &kept.display().to_string(), out)
}

/// Reads the file once and proves all of it; blobs are not kept.
fn read(args: &ImportArgs, passphrase: &str) -> Result<Archive, CliError> {
    let wrong =
        |what: String| CliError::from(ArchiveError::Broken(format!("{}: {what}", args.file.display())));
    let mut file = Blocks::open(&args.file)?;
    let first = file.next()?;
    let (cid, block) = first.ok_or_else(|| wrong("there is nothing in it".to_owned()))?;
    let [manifest_cid, commit_cid] = *file.roots() else {
        return Err(wrong("it is not an archive of an agent".to_owned()));
    };
    let manifest = Manifest::decode(&block)?;
    if cid != manifest_cid || manifest.root.0 != commit_cid {
        return Err(wrong("its roots are not the manifest and the commit".to_owned()));
    }
    let secrets = manifest.open(&manifest.kdf.derive(passphrase)?)?;
    let mut awaited: HashSet<_> = manifest.blobs.iter().map(|blob| blob.cid.0).collect();
    let (mut blocks, mut bytes) = (MemoryBlocks::new(), 0_u64);
    while let Some((cid, block)) = file.next()? {
        if cid.codec() == CODEC_RAW {
            awaited.remove(&cid);
            continue;
        }
        bytes = bytes.saturating_add(block.len() as u64);
        if bytes > VERIFY_REPO_BYTES_MAX {
            return Err(wrong(format!("its repo is over {VERIFY_REPO_BYTES_MAX} bytes")));
        }
        blocks.insert(cid, block);
    }
    file.finish()?;
    if let Some(missing) = awaited.iter().next() {
        return Err(wrong(format!("the blob {missing} is missing")));
    }
    let repo = Repo::new(commit_cid, blocks, bytes)?;
    let key = SigningKey::from_bytes(secrets.signing_key.expose()).map_err(|_| VerifyError::Signature)?;
    repo.verify_signature(manifest.did.as_str(), &key.verifying_key())?;
    let contents = repo.verify_contents()?;
    Ok(Archive { block, manifest, repo, contents })
}

async fn send_records(session: &Session, archive: &Archive) -> Result<(), CliError> {
    let mut progress = Progress::new();
    let (mut batch, mut bytes, mut sent) = (Vec::new(), 0, 0);
    for record in archive.repo.records()? {
        let (path, block) = record?;
        bytes += block.len();
        batch.push(ImportedRecord(path, block.to_vec().into()));
        if bytes >= BATCH_BYTES || batch.len() >= IMPORT_RECORDS_MAX {
            sent += send_batch(session, archive, &batch).await?;
            progress.tell("records", sent, archive.contents.records);
            batch.clear();
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        send_batch(session, archive, &batch).await?;
    }
    Ok(())
}

async fn send_batch(session: &Session, archive: &Archive, batch: &[ImportedRecord]) -> Result<u64, CliError> {
    let body = serde_ipld_dagcbor::to_vec(batch).map_err(|error| ArchiveError::Broken(error.to_string()))?;
    let params = [("did", archive.manifest.did.as_str())];
    let mime = "application/vnd.ipld.dag-cbor";
    let _: Value = session.upload("agent.admin.importRecords", &params, mime, body.into()).await?;
    Ok(batch.len() as u64)
}

/// Reads the file once more, for the blobs alone.
async fn send_blobs(args: &ImportArgs, session: &Session, archive: &Archive) -> Result<(), CliError> {
    let mut progress = Progress::new();
    let blobs = &archive.manifest.blobs;
    let mut file = Blocks::open(&args.file)?;
    let mut sent = HashSet::new();
    while sent.len() < blobs.len() {
        let Some((cid, block)) = file.next()? else {
            return Err(
                ArchiveError::Broken(format!("{} changed while it was read", args.file.display())).into()
            );
        };
        let Some(blob) = blobs.iter().find(|blob| blob.cid.0 == cid).filter(|_| cid.codec() == CODEC_RAW)
        else {
            continue;
        };
        let params = [("did", archive.manifest.did.as_str()), ("mime", blob.mime.as_str())];
        let mime = "application/octet-stream";
        let kept: Value = session.upload("agent.admin.importBlob", &params, mime, block).await?;
        if text_field(&kept, "cid") != Some(&cid.to_string()) {
            return Err(ArchiveError::Broken(format!("the server kept another blob than {cid}")).into());
        }
        sent.insert(cid);
        progress.tell("blobs", sent.len() as u64, blobs.len() as u64);
    }
    Ok(())
}

fn report(
    session: &Session,
    archive: &Archive,
    finished: &Finished,
    kept: &str,
    out: Out,
) -> Result<(), CliError> {
    let (manifest, contents) = (&archive.manifest, &archive.contents);
    if out.json {
        return out.json(&json!({
            "did": manifest.did, "handle": manifest.handle, "root": contents.commit, "rev": contents.rev,
            "records": contents.records, "blobs": manifest.blobs.len(), "token": finished.token,
        }));
    }
    out.pairs(&[
        ("agent", manifest.handle.to_string()),
        ("did", manifest.did.to_string()),
        ("server", session.url.clone()),
        ("rev", contents.rev.clone()),
        ("commit", contents.commit.clone()),
        ("records", contents.records.to_string()),
        ("blobs", manifest.blobs.len().to_string()),
        ("token", format!("{} (kept in {kept})", finished.token)),
    ])
}

fn json_bytes(bytes: &[u8]) -> lexicon::Bytes {
    lexicon::Bytes(bytes.to_vec())
}
