//! A stopped server's databases: looked through, and put together again from what damage left of them.

mod log;
mod place;
mod rebuild;

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::Connection;

pub use self::log::{RebuiltLog, rebuild_log};
pub use self::rebuild::{Rebuilt, rebuild_account};
use super::blobs::fault;
use super::clock::now_us;
use super::files::Files;
use super::label::{self, Part};
use super::sql::{Database, Durability};
use crate::account::{self, MIGRATIONS};
use crate::blobs::for_each_kept;
use crate::directory::{self, ListAccounts};
use crate::event::verify::{Finding, Severity, Verifier};
use crate::event::{Event, SEQ_MIN};
use crate::outbox::{PendingOutbox, pending};
use crate::repo::Head;
use crate::repo::check::{Checked, check};
use crate::sequencer::{self, after_damage, for_each_event, head};
use crate::store::SqlError;
use crate::store::migrate::{is_current, migrate};
use crate::syntax::{Did, Handle};

/// Accounts listed at a time.
const PAGE: usize = 500;
/// Events read at a time.
const EVENTS_PAGE: u32 = 1000;
/// Findings kept of the log.
const LOG_FINDINGS_MAX: usize = 100;

/// Why a repair was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// A database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The directory failed.
    #[error("the directory: {0}")]
    Directory(#[from] directory::Error),
    /// The event log failed.
    #[error(transparent)]
    Sequencer(#[from] sequencer::Error),
    /// The account's repo could not be built.
    #[error(transparent)]
    Account(#[from] account::Error),
    /// What nothing can be rebuilt without is gone.
    #[error("{} has lost {what}, without which there is no account: put it back from a backup, or import an archive", file.display())]
    Hopeless {
        /// The database.
        file: PathBuf,
        /// What of it.
        what: &'static str,
    },
    /// Records are lost.
    #[error("{} records are lost for good, and without them the repo is another one", lost.len())]
    Lost {
        /// Those whose names are known.
        lost: Vec<String>,
    },
    /// A file could not be put in its place.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// An account that is looked at.
#[derive(Clone, Debug)]
pub struct Hosted {
    /// Who it is.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Whether it is to be on the stream.
    pub is_active: bool,
}

/// All accounts that the directory knows.
///
/// # Errors
/// [`RepairError`].
pub fn accounts(files: &Files) -> Result<Vec<Hosted>, RepairError> {
    let database = Database::open(&files.directory(), Durability::Full)?;
    migrate(&database, directory::MIGRATIONS)?;
    let (mut hosted, mut cursor) = (Vec::new(), None);
    loop {
        let page = directory::list(&database, &ListAccounts { kind: None, cursor, limit: PAGE })?;
        hosted.extend(page.accounts.into_iter().map(|account| Hosted {
            did: account.did,
            handle: account.handle,
            is_active: account.status.is_active(),
        }));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(hosted);
        }
    }
}

/// What the event log says.
#[derive(Debug, Default)]
pub struct Log {
    /// Events that were read.
    pub events: u64,
    /// What is wrong, for people.
    pub findings: Vec<String>,
    /// The newest rev of each repo.
    revs: HashMap<String, String>,
    /// Up to where events have expired.
    expired_seq: i64,
}

/// Holds every event of the log against the protocol, signatures apart.
///
/// # Errors
/// [`RepairError`] when it can't be opened.
pub fn check_log(files: &Files, progress: &mut dyn FnMut(u64)) -> Result<Log, RepairError> {
    let database = Database::open_read_only(&files.sequencer())?;
    let ends = head(&database)?;
    let mut log = Log { expired_seq: ends.expired_seq, ..Log::default() };
    let mut cursor = 0;
    while cursor < ends.last_seq {
        let begun = cursor;
        let read = for_each_event(&database, cursor, EVENTS_PAGE, u64::MAX, &mut |seq, _, frame| {
            cursor = seq;
            log.read(seq, frame);
        });
        progress(log.events);
        match read {
            Ok(()) if cursor == begun => break,
            Ok(()) => {}
            Err(error) => {
                let resume = after_damage(&database, cursor, ends.last_seq);
                if resume > cursor {
                    log.found(format!("events after {cursor} up to {resume} can't be read: {error}"));
                }
                cursor = resume;
            }
        }
    }
    Ok(log)
}

impl Log {
    fn read(&mut self, seq: i64, frame: &[u8]) {
        self.events += 1;
        // Each by itself: a log has gaps where events were lost, and consumers are told of those.
        for finding in Verifier::new().check(frame, now_us(), Err("signatures are not checked here")) {
            if finding.severity() == Severity::Violation && !matches!(finding, Finding::NoKey(_)) {
                self.found(format!("event {seq}: {finding}"));
            }
        }
        match Event::decode(frame) {
            Ok(event) if event.seq() != Some(seq) => {
                self.found(format!("event {seq} says it is {:?}", event.seq()))
            }
            Ok(event) => self.revs.extend(rev_of(&event)),
            Err(_) => {}
        }
    }

    fn found(&mut self, what: String) {
        if self.findings.len() < LOG_FINDINGS_MAX {
            self.findings.push(what);
        }
    }
}

/// The repo and the rev that an event brings it to.
fn rev_of(event: &Event<'_>) -> Option<(String, String)> {
    match event {
        Event::Commit { body, .. } => Some((body.repo.to_owned(), body.rev.to_owned())),
        Event::Sync { body, .. } => Some((body.did.to_owned(), body.rev.to_owned())),
        _ => None,
    }
}

/// Checks an account: its database's file as SQLite sees it, the repo, that the log has come to where the repo is, and each
/// blob against its CID.
pub fn check_account(files: &Files, hosted: &Hosted, log: Option<&Log>) -> Checked {
    let file = files.account(&hosted.did);
    let opened = open(files, &hosted.did);
    let database = match opened {
        Ok(database) => database,
        Err(error) => {
            return Checked { findings: vec![format!("{}: {error}", file.display())], ..Checked::default() };
        }
    };
    let mut checked = check(&database, &hosted.did);
    match pragma_check(database.connection()) {
        Ok(lines) => checked.findings.extend(lines),
        Err(error) => checked.findings.push(format!("the file: {error}")),
    }
    if let (Some(log), Some(head)) = (log, &checked.head) {
        let finding = behind(&database, hosted, head, log);
        checked.findings.extend(finding);
    }
    let mut blobs = 0;
    let read = for_each_kept(&database, |cid, bytes| {
        blobs += 1;
        if let Some(fault) = fault(files.root(), &hosted.did, &cid, bytes) {
            checked.found(fault);
        }
    });
    if let Err(error) = read {
        checked.found(format!("the list of blobs: {error}"));
    }
    checked.blobs = blobs;
    checked
}

/// The database of an account, of today's schema.
fn open(files: &Files, did: &Did) -> Result<Database, SqlError> {
    let file = files.account(did);
    if !file.exists() {
        let reason = "is missing: put it back from a backup, or import an archive of the agent".to_owned();
        return Err(SqlError::Misplaced { place: file.display().to_string(), reason });
    }
    let database = Database::open_read_only(&file)?;
    label::has(&database, files.network(), Part::Account(Some(did)))?;
    if is_current(&database, MIGRATIONS)? {
        return Ok(database);
    }
    migrate(&Database::open(&file, Durability::Full)?, MIGRATIONS)?;
    Database::open_read_only(&file)
}

/// What SQLite finds wrong with the file itself.
fn pragma_check(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check(10)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<_> = lines.collect::<rusqlite::Result<_>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|line| format!("the file: {line}")).collect())
}

/// Whether log and outbox together have come to where the repo is.
fn behind(database: &Database, hosted: &Hosted, head: &Head, log: &Log) -> Option<String> {
    let mut newest = log.revs.get(hosted.did.as_str()).cloned();
    if newest.as_deref().is_some_and(|newest| newest > head.rev.as_str()) {
        let newest = newest.unwrap_or_default();
        return Some(format!(
            "the log has come to rev {newest}, and the repo only to {}: it is an older copy",
            head.rev.as_str()
        ));
    }
    newest = newest.max(waiting_rev(database));
    let is_missing = newest.as_deref() != Some(head.rev.as_str());
    let may_have_expired = head.rev.micros() <= log.expired_seq;
    (hosted.is_active && is_missing && !may_have_expired)
        .then(|| format!("rev {} is neither in the log nor on its way there", head.rev.as_str()))
}

/// The newest rev that waits in an account's outbox.
fn waiting_rev(database: &Database) -> Option<String> {
    let (mut newest, mut after) = (None, 0);
    loop {
        let rows = pending(database, &PendingOutbox { after, limit: EVENTS_PAGE }).unwrap_or_default();
        let Some(last) = rows.last() else { return newest };
        after = last.id;
        for mut row in rows {
            // One that no log has numbered yet is no event.
            row.frame.set_seq(SEQ_MIN);
            let rev = Event::decode(row.frame.bytes()).ok().and_then(|event| rev_of(&event));
            newest = newest.max(rev.map(|(_, rev)| rev));
        }
    }
}
