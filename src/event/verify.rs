//! The strict verifier: everything the protocol says of an event stream, held against what a host really sends.
//!
//! Passing a relay proves little, since a relay only logs failed proofs. The verifier checks each frame's encoding,
//! each event's fields and limits, each commit's signature, blocks and inversion, and that each account's events follow
//! on one another. Only what was seen is known: an account met in the middle is taken as it is, and held to it from
//! there on.
//!
//! Sans-IO: the caller finds the signing key of an event's DID (see [`signer`] and [`is_signed_by`]) and passes it in
//! with the time.
//!
//! Tricky bit: after a finding the verifier goes on from the state the event claims, so one fault is reported once
//! and not with every event after it.

mod commit;
mod finding;
mod signature;

use std::collections::HashMap;

use cid::Cid;

use super::{AccountEvent, Event, IdentityEvent, SEQ_LIMIT};
use crate::crypto::VerifyingKey;
use crate::limits::{FIREHOSE_FRAME_BYTES_MAX, VERIFIER_ACCOUNTS_MAX};
use crate::syntax::{validate_datetime, validate_did, validate_handle};

pub use finding::{Finding, Severity};
pub use signature::{is_signed_by, signer};

/// The statuses an inactive account may have.
const STATUSES: [&str; 6] =
    ["takendown", "suspended", "deleted", "deactivated", "desynchronized", "throttled"];

/// Follows one stream.
#[derive(Debug, Default)]
pub struct Verifier {
    last_seq: Option<i64>,
    accounts: HashMap<String, Account>,
}

/// What was seen of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    /// Its newest rev and tree root.
    head: Option<(String, Cid)>,
    /// As its last `#account` said.
    active: Option<bool>,
    identity_seen: bool,
    /// The account's first event was the stream's first, so what came before may just not have been asked for.
    met_midway: bool,
    /// The account was created or came back, and its `#sync` has not come yet.
    sync_due: bool,
}

/// One event's check: what is known, and what was found.
struct Check<'a> {
    now_us: i64,
    key: Result<&'a VerifyingKey, &'a str>,
    account: Account,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn require(&mut self, holds: bool, finding: impl FnOnce() -> Finding) {
        if !holds {
            self.findings.push(finding());
        }
    }
}

impl Verifier {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks one message. `key` is the signing key of the event's [`signer`], or why there is none; it matters to
    /// `#commit` and `#sync` only.
    pub fn check(&mut self, message: &[u8], now_us: i64, key: Result<&VerifyingKey, &str>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if message.len() > FIREHOSE_FRAME_BYTES_MAX {
            findings.push(Finding::FrameTooLarge { bytes: message.len() });
        }
        let event = match Event::decode(message) {
            Ok(event) => event,
            Err(error) => {
                findings.push(Finding::Frame(error));
                return findings;
            }
        };
        let is_first = self.last_seq.is_none();
        if let Some(seq) = event.seq() {
            findings.extend(self.check_seq(seq));
        }
        if let Event::Unknown { kind } = event {
            findings.push(match kind {
                "#handle" | "#tombstone" | "#migrate" => Finding::RemovedKind(kind.to_owned()),
                kind => Finding::UnknownKind(kind.to_owned()),
            });
        }
        if let Some(did) = did(&event) {
            if validate_did(did).is_err() {
                findings.push(Finding::Field { field: "did", value: did.to_owned() });
            }
            let unseen = || Account { met_midway: is_first, ..Account::default() };
            let account = self.accounts.get(did).cloned().unwrap_or_else(unseen);
            let mut check = Check { now_us, key, account, findings };
            check.event(&event);
            if self.accounts.contains_key(did) || self.accounts.len() < VERIFIER_ACCOUNTS_MAX {
                self.accounts.insert(did.to_owned(), check.account);
            }
            findings = check.findings;
        }
        findings
    }

    fn check_seq(&mut self, seq: i64) -> Option<Finding> {
        let last = self.last_seq.replace(seq);
        if !(1..SEQ_LIMIT).contains(&seq) {
            return Some(Finding::SeqRange { seq });
        }
        last.filter(|last| *last >= seq).map(|last| Finding::SeqOrder { last, seq })
    }
}

/// Whose event it is.
pub fn did<'a>(event: &Event<'a>) -> Option<&'a str> {
    match event {
        Event::Commit { body, .. } => Some(body.repo),
        Event::Sync { body, .. } => Some(body.did),
        Event::Identity { body, .. } => Some(body.did),
        Event::Account { body, .. } => Some(body.did),
        _ => None,
    }
}

impl Check<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Commit { body, rebase, too_big, blobs, .. } => {
                self.time(body.time);
                self.require(!*rebase, || Finding::DeadField("rebase"));
                self.require(!*too_big, || Finding::DeadField("tooBig"));
                self.require(*blobs == 0, || Finding::DeadField("blobs"));
                self.order_of_commit(body.since.is_none());
                self.commit(body);
            }
            Event::Sync { body, .. } => {
                self.time(body.time);
                self.account.sync_due = false;
                self.require(self.account.active != Some(false), || Finding::WhileInactive("#sync"));
                self.sync(body);
            }
            Event::Identity { body, .. } => self.identity(body),
            Event::Account { body, .. } => self.account(body),
            Event::Info { .. } | Event::Error { .. } | Event::Unknown { .. } => {}
        }
    }

    fn time(&mut self, time: &str) {
        let is_valid = validate_datetime(time).is_ok();
        self.require(is_valid, || Finding::Field { field: "time", value: time.to_owned() });
    }

    /// Creation is identity, account, commit, sync; activation is account, identity, sync.
    fn order_of_commit(&mut self, is_first: bool) {
        let account = &self.account;
        let (active, due) = (account.active, account.sync_due);
        let announced = account.met_midway || (account.identity_seen && active == Some(true));
        self.require(active != Some(false), || Finding::WhileInactive("#commit"));
        if is_first {
            self.require(announced, || Finding::CreationOrder);
        } else {
            self.require(!due, || Finding::SyncDue);
        }
        self.account.sync_due = is_first;
    }

    fn identity(&mut self, event: &IdentityEvent<'_>) {
        self.time(event.time);
        if let Some(handle) = event.handle {
            let is_valid = validate_handle(handle).is_ok();
            self.require(is_valid, || Finding::Field { field: "handle", value: handle.to_owned() });
        }
        self.account.identity_seen = true;
    }

    fn account(&mut self, event: &AccountEvent<'_>) {
        self.time(event.time);
        match event.status {
            Some(status) if !STATUSES.contains(&status) => {
                self.found(Finding::Field { field: "status", value: status.to_owned() });
            }
            // Throttled or out of sync, an account may still be active.
            Some(status) if event.active && !matches!(status, "desynchronized" | "throttled") => {
                self.found(Finding::ActiveWithStatus(status.to_owned()));
            }
            _ => {}
        }
        if event.active && self.account.active == Some(false) {
            self.account.sync_due = true;
        }
        self.account.active = Some(event.active);
        if event.status == Some("deleted") {
            self.account.head = None;
        }
    }
}

#[cfg(any(test, feature = "testing"))]
#[allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::new_without_default,
    reason = "for tests"
)]
pub mod testing;
#[cfg(test)]
mod tests;
