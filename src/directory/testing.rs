//! A directory cell in memory, for the tests of this module.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{ClearOutbox, CompleteAccount, Directory, ListDueMail, Notice, ReadOutbox, ReserveAccount};
use crate::actor::Kind;
use crate::identity::{AtprotoData, Operation, PlcOperation};
use crate::mail::{Letter, MailPurpose};
use crate::seam::Hidden;
use crate::syntax::{Did, Handle};
use crate::testing::Alone;

pub(super) const HOUR_US: i64 = 3_600_000_000;

/// A directory and all that comes into it.
pub(super) type Cell = Alone<Directory>;

impl Cell {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn person(&mut self, handle: &str, email: &str) -> Did {
        let did = self.ask(signup(handle, Some(email))).unwrap().did;
        self.ask(CompleteAccount { did: did.clone() }).unwrap();
        did
    }

    pub(super) fn agent(&mut self, handle: &str) -> Did {
        let did = self.ask(ReserveAccount { kind: Kind::Agent, ..signup(handle, None) }).unwrap().did;
        self.ask(CompleteAccount { did: did.clone() }).unwrap();
        did
    }

    /// The code in the mail that waits for this purpose.
    pub(super) fn mailed_code(&mut self, wanted: MailPurpose) -> String {
        let due = self.ask(ListDueMail {}).unwrap();
        let mut codes = due.mails.into_iter().rev().filter_map(|mail| match mail.addressed?.letter {
            Letter::Code { purpose, code, .. } if purpose == wanted => Some(code.expose().clone()),
            _ => None,
        });
        codes.next().unwrap()
    }

    /// Reads and clears the outbox.
    pub(super) fn drain(&mut self) -> Vec<(Did, Notice)> {
        let entries = self.ask(ReadOutbox { after: 0, limit: 100 }).unwrap();
        for entry in &entries {
            self.ask(ClearOutbox { id: entry.id }).unwrap();
        }
        entries.into_iter().map(|entry| (entry.did, entry.notice)).collect()
    }
}

/// A signup with a DID nobody has.
pub(super) fn signup(handle: &str, email: Option<&str>) -> ReserveAccount {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ReserveAccount {
        did: Did::try_from(format!("did:plc:test{number:08}")).unwrap(),
        plc_operation: Some(genesis(handle)),
        signing_key: Hidden::new([1; 32]),
        handle: Handle::try_from(handle).unwrap(),
        handle_verified: false,
        allow_reserved: false,
        email: email.map(str::to_owned),
        password_hash: None,
        invite_code: None,
        invite_exempt: false,
        kind: Kind::Person,
        display_name: None,
        model: None,
        config: None,
    }
}

/// A first operation, for looks.
fn genesis(handle: &str) -> Operation {
    let operation = PlcOperation::genesis(&AtprotoData {
        signing_key: "did:key:zSigning",
        rotation_keys: &["did:key:zRotation".to_owned()],
        handle: &Handle::try_from(handle).unwrap(),
        pds_endpoint: "http://localhost:2583",
    });
    Operation::Plc(PlcOperation { sig: "signature".to_owned(), ..operation })
}
