//! `zap repo check` and `zap repo rebuild`: the databases of a stopped server, on the machine that has them.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::{CliError, LocalError};
use super::explain::{Code, Explain};
use super::out::{Out, clean, counted};
use super::progress::Progress;
use super::settings::{self, SettingFlags};
use zap::config::{Config, FolderLock, NetworkAge, Texts};
use zap::native::files::Files;
use zap::native::repair::{self, Hosted, RepairError};
use zap::repo::check::Checked;

/// Lost records that are named.
const LOST_SHOWN_MAX: usize = 100;

/// `zap repo check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Names, handles or DIDs of agents [default: all]
    agents: Vec<String>,
}

/// `zap repo rebuild`.
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    /// Name, handle or DID of the agent
    #[arg(required_unless_present = "log")]
    agent: Option<String>,
    /// Rebuild the event log, or begin a new one where it is lost
    #[arg(long, conflicts_with = "agent")]
    log: bool,
    /// Give up the records that can't be read, and sign a commit over the others
    #[arg(long, conflicts_with = "log")]
    drop_lost: bool,
    /// File of the master key, for the signature [default: master.key in the data folder]
    #[arg(long, value_name = "FILE", env = "ZAP_MASTER_KEY_FILE", hide_env_values = true)]
    master_key_file: Option<PathBuf>,
}

/// What was found, or why a repair was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepairFailure {
    /// Something is damaged.
    #[error("{} found", counted(*.0, "fault"))]
    Damaged(u64),
    /// The directory has no such account.
    #[error("there is no account {} in this network", clean(.0))]
    NoAccount(String),
    /// It has several.
    #[error("{} may be {}", clean(.0), clean(&.1.join(" or ")))]
    Ambiguous(String, Vec<String>),
    /// Of the repair.
    #[error(transparent)]
    Repair(#[from] RepairError),
}

impl Explain for RepairFailure {
    fn code(&self) -> Code {
        match self {
            Self::NoAccount(_) => Code::NotFound,
            Self::Ambiguous(..) => Code::Usage,
            Self::Damaged(_) | Self::Repair(_) => Code::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Damaged(_) => {
                "put the files back from a backup; where there is none, `zap repo rebuild NAME` or `--log` makes what can \
                 be made of them"
            }
            Self::Repair(RepairError::Lost { .. }) => {
                "put the file back from a backup, or go on without them: `zap repo rebuild NAME --drop-lost`"
            }
            Self::Ambiguous(..) => "say the whole handle, or the DID",
            Self::NoAccount(_) | Self::Repair(_) => return None,
        }
        .to_owned())
    }
}

/// The folder of a stopped server, held for as long as it is looked into.
fn open(data: &Path, key: Option<&Path>) -> Result<(Files, Config, FolderLock), CliError> {
    let one = |path: &Path| vec![path.display().to_string()];
    let mut texts = Texts::from([("data", one(data))]);
    texts.extend(key.map(|key| ("master-key-file", one(key))));
    let config = settings::config(&SettingFlags::of(texts).effective(Texts::new())?)?;
    if !config.data.is_dir() {
        return Err(LocalError::Usage(format!(
            "there is no folder {}: name it with --data",
            config.data.display()
        ))
        .into());
    }
    let lock = config.lock_folder()?;
    let files =
        Files::of_stopped(&config.data).map_err(|error| RepairFailure::from(RepairError::from(error)))?;
    Ok((files, config, lock))
}

/// The account of a DID, a handle, or the first part of one that no other has.
fn find(all: &[Hosted], name: &str) -> Result<Hosted, RepairFailure> {
    let whole = |hosted: &&Hosted| hosted.did.as_str() == name || hosted.handle.as_str() == name;
    if let Some(hosted) = all.iter().find(whole) {
        return Ok(hosted.clone());
    }
    let first = |hosted: &&Hosted| hosted.handle.as_str().split('.').next() == Some(name);
    let found: Vec<_> = all.iter().filter(first).collect();
    match found.as_slice() {
        [] => Err(RepairFailure::NoAccount(name.to_owned())),
        [hosted] => Ok((*hosted).clone()),
        several => {
            let handles = several.iter().map(|hosted| hosted.handle.to_string()).collect();
            Err(RepairFailure::Ambiguous(name.to_owned(), handles))
        }
    }
}

pub(crate) fn check(args: &CheckArgs, data: &Path, out: Out) -> Result<(), CliError> {
    let (files, _config, _lock) = open(data, None)?;
    let all = repair::accounts(&files).map_err(RepairFailure::from)?;
    let chosen = match args.agents.as_slice() {
        [] => all,
        names => names.iter().map(|name| find(&all, name)).collect::<Result<_, _>>()?,
    };
    let mut progress = Progress::new();
    let checked = repair::check_log(&files, &mut |events| progress.at(|| counted(events, "event")));
    let (log, log_findings) = match checked {
        Ok(mut log) => {
            let findings = std::mem::take(&mut log.findings);
            (Some(log), findings)
        }
        Err(error) => (None, vec![error.to_string()]),
    };
    let (mut records, mut nodes, mut blobs, mut damaged) = (0, 0, 0, Vec::new());
    for (number, hosted) in chosen.iter().enumerate() {
        progress.at(|| format!("{} of {}", number + 1, counted(chosen.len() as u64, "account")));
        let checked = repair::check_account(&files, hosted, log.as_ref());
        (records, nodes, blobs) = (records + checked.records, nodes + checked.nodes, blobs + checked.blobs);
        if !checked.findings.is_empty() {
            damaged.push((hosted, checked));
        }
    }
    drop(progress);
    let events = log.map_or(0, |log| log.events);
    let findings =
        damaged.iter().map(|(_, checked)| checked.findings.len()).sum::<usize>() + log_findings.len();
    if out.json {
        let damaged: Vec<_> =
            damaged.iter().map(|(hosted, checked)| finding_json(&files, hosted, checked)).collect();
        out.json(&json!({
            "accounts": chosen.len(), "records": records, "nodes": nodes, "blobs": blobs, "events": events,
            "log": { "file": files.sequencer(), "findings": log_findings }, "damaged": damaged,
        }))?;
    } else {
        for finding in &log_findings {
            out.line(&format!("{}  the event log: {}", out.bold("bad"), clean(finding)))?;
        }
        for (hosted, checked) in &damaged {
            out.line(&format!(
                "{}  {} in {}",
                out.bold("bad"),
                hosted.handle,
                files.account(&hosted.did).display()
            ))?;
            for finding in &checked.findings {
                out.line(&format!("     {}", clean(finding)))?;
            }
        }
        out.line(&format!(
            "{} with {}, {} and {}, {}: {}",
            counted(chosen.len() as u64, "account"),
            counted(records, "record"),
            counted(nodes, "node"),
            counted(blobs, "blob"),
            counted(events, "event"),
            if findings == 0 { out.good("whole") } else { out.bold(&counted(findings as u64, "fault")) }
        ))?;
    }
    if findings == 0 { Ok(()) } else { Err(RepairFailure::Damaged(findings as u64).into()) }
}

fn finding_json(files: &Files, hosted: &Hosted, checked: &Checked) -> serde_json::Value {
    json!({
        "did": hosted.did.as_str(), "handle": hosted.handle.as_str(), "file": files.account(&hosted.did),
        "findings": checked.findings,
    })
}

pub(crate) fn rebuild(args: &RebuildArgs, data: &Path, out: Out) -> Result<(), CliError> {
    let (files, config, _lock) = open(data, args.master_key_file.as_deref())?;
    let Some(agent) = &args.agent else { return rebuild_log(&files, out) };
    let hosted = find(&repair::accounts(&files).map_err(RepairFailure::from)?, agent)?;
    let network =
        if args.drop_lost { Some(config.network(&config.open_secrets(NetworkAge::Grown)?)) } else { None };
    let rebuilt = match repair::rebuild_account(&files, &hosted.did, network.as_ref()) {
        Ok(rebuilt) => rebuilt,
        Err(error) => {
            if let RepairError::Lost { lost } = &error {
                show_lost(lost, out);
            }
            return Err(RepairFailure::from(error).into());
        }
    };
    // What is in its outbox goes out with the next start, which looks through all after this note.
    files.mark_running().map_err(|error| RepairFailure::from(RepairError::from(error)))?;
    if out.json {
        return out.json(&json!({
            "did": hosted.did.as_str(), "records": rebuilt.records, "lost": rebuilt.lost, "keyless": rebuilt.keyless,
            "damaged": rebuilt.damaged,
        }));
    }
    show_lost(&rebuilt.lost, out);
    if rebuilt.keyless > 0 {
        out.line(&format!(
            "   note   {} have lost their keys and open no more",
            counted(rebuilt.keyless, "memory")
        ))?;
    }
    out.line(&format!("{}: {}, {}", hosted.handle, counted(rebuilt.records, "record"), out.good("rebuilt")))?;
    tell_damaged(&rebuilt.damaged, out)
}

fn rebuild_log(files: &Files, out: Out) -> Result<(), CliError> {
    let mut progress = Progress::new();
    let rebuilt = repair::rebuild_log(files, &mut |events| progress.at(|| counted(events, "event")));
    drop(progress);
    let rebuilt = rebuilt.map_err(RepairFailure::from)?;
    let noted = files.mark_running().and_then(|_| files.mark_restored());
    noted.map_err(|error| RepairFailure::from(RepairError::from(error)))?;
    if out.json {
        return out
            .json(&json!({"events": rebuilt.events, "lost": rebuilt.lost, "damaged": rebuilt.damaged}));
    }
    for (after, through) in &rebuilt.lost {
        out.line(&format!("   lost   what there was after {after} up to {through}"))?;
    }
    out.line(&format!("the event log: {}, {}", counted(rebuilt.events, "event"), out.good("rebuilt")))?;
    match &rebuilt.damaged {
        Some(damaged) => out.line(&format!("the damaged one is {}", damaged.display())),
        None => Ok(()),
    }
}

fn show_lost(lost: &[String], out: Out) {
    for path in lost.iter().take(LOST_SHOWN_MAX) {
        out.aside(&format!("   lost   {path}"));
    }
    if lost.len() > LOST_SHOWN_MAX {
        out.aside(&format!("   lost   and {} more", lost.len() - LOST_SHOWN_MAX));
    }
}

fn tell_damaged(damaged: &Path, out: Out) -> Result<(), CliError> {
    let damaged = damaged.display();
    out.line(&format!(
        "the damaged one is {damaged}; it holds keys: remove it when all is well, with its -wal"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: the repo of another agent is rebuilt without the records that can't be read, which is final.
    #[test]
    fn a_name_that_two_accounts_have_is_neither() {
        let hosted = |did: &str, handle: &str| Hosted {
            did: did.parse().unwrap(),
            handle: handle.parse().unwrap(),
            is_active: true,
        };
        let all = [
            hosted("did:web:a.test", "alice.test"),
            hosted("did:web:b.test", "alice.example.com"),
            hosted("did:web:c.test", "bob.test"),
        ];
        let found =
            |name| find(&all, name).map(|hosted| hosted.did.to_string()).map_err(|error| error.to_string());
        assert_eq!(found("alice"), Err("alice may be alice.test or alice.example.com".to_owned()));
        assert_eq!(found("alice.example.com"), Ok("did:web:b.test".to_owned()));
        assert_eq!(found("did:web:a.test"), Ok("did:web:a.test".to_owned()));
        assert_eq!(found("bob"), Ok("did:web:c.test".to_owned()));
        assert_eq!(found("carol"), Err("there is no account carol in this network".to_owned()));
    }
}
