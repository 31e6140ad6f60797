//! Changes of factors on a disk that fails at any of their writes.

use serde_bytes::ByteBuf;

use super::super::super::testing::Cell;
use super::super::super::{GetBrowserSession, ListDueMail, OpenBrowserSession, OpenSession, SetPassword};
use super::super::*;
use crate::crypto::sha256;
use crate::crypto::totp::{SECRET_LEN, code_at};
use crate::testing::{Authenticator, DiskFault, dump};

const SECOND_US: i64 = 1_000_000;
const HASH: &str = "the hash of a password";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    TotpOn,
    TotpOff,
    Renew,
    FirstPasskey,
    PasskeyBesideTotp,
    LastPasskeyGone,
    PasskeyGoneBesideTotp,
}

use Change::{
    FirstPasskey, LastPasskeyGone, PasskeyBesideTotp, PasskeyGoneBesideTotp, Renew, TotpOff, TotpOn,
};

const ALL: [Change; 7] =
    [TotpOn, TotpOff, Renew, FirstPasskey, PasskeyBesideTotp, LastPasskeyGone, PasskeyGoneBesideTotp];

/// An owner before a change, in one browser and signed in to another.
struct Owner {
    cell: Cell,
    did: Did,
    secret: [u8; SECRET_LEN],
    on_paper: Vec<String>,
    it: Authenticator,
    challenges: u8,
}

fn password() -> Proof {
    Proof::Password(sha256(HASH.as_bytes()))
}

/// All that an owner has, and was told.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    factors: Factors,
    has_other_browser: bool,
    mails: usize,
}

impl Owner {
    fn before(change: Change) -> Self {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.ask(SetPassword { did: did.clone(), password_hash: Hidden::new(HASH.to_owned()) }).unwrap();
        let (secret, on_paper, it) = ([0; SECRET_LEN], Vec::new(), Authenticator::new(1));
        let mut owner = Self { cell, did, secret, on_paper, it, challenges: 0 };
        owner.open_browser(1, password());
        if change == TotpOn {
            owner.begin();
        }
        if matches!(change, TotpOff | Renew | PasskeyBesideTotp | PasskeyGoneBesideTotp) {
            owner.begin();
            owner.confirm().unwrap();
            owner.cell.now_us += 60 * SECOND_US;
        }
        if matches!(change, LastPasskeyGone | PasskeyGoneBesideTotp) {
            owner.add().unwrap();
        }
        // So that it shows whether the other browser is left alone.
        owner.open_browser(2, Proof::TwoFactors(sha256(HASH.as_bytes())));
        owner
    }

    fn open_browser(&mut self, cookie: u8, proof: Proof) {
        let open = OpenBrowserSession {
            did: self.did.clone(),
            proof,
            client: None,
            device: None,
            cookie: [cookie; 32],
            replaces: None,
        };
        self.cell.ask(open).unwrap();
    }

    fn proof(&self) -> Proof {
        Proof::Browser([1; 32])
    }

    fn begin(&mut self) {
        self.secret =
            *self.cell.ask(BeginTotp { did: self.did.clone(), proof: self.proof() }).unwrap().expose();
    }

    fn code(&self) -> Hidden<String> {
        Hidden::new(code_at(&self.secret, self.cell.now_us / SECOND_US).to_string())
    }

    fn confirm(&mut self) -> Result<(), Error> {
        let confirm = ConfirmTotp { did: self.did.clone(), proof: self.proof(), code: self.code() };
        let codes = self.cell.ask(confirm)?;
        self.on_paper = codes.map(|codes| codes.expose().clone()).unwrap_or_default();
        Ok(())
    }

    fn challenge(&mut self) -> Challenge {
        self.challenges += 1;
        Challenge { bytes: ByteBuf::from([self.challenges; 67]), ends_us: self.cell.now_us + 300 * SECOND_US }
    }

    fn add(&mut self) -> Result<(), Error> {
        let challenge = self.challenge();
        let add = AddPasskey {
            did: self.did.clone(),
            proof: self.proof(),
            name: "Phone".to_owned(),
            client_data: ByteBuf::from(self.it.client_data("webauthn.create", &challenge.bytes)),
            attestation: ByteBuf::from(self.it.attestation(&self.it.cose(0x26))),
            challenge,
        };
        if let Some(codes) = self.cell.ask(add)? {
            self.on_paper = codes.expose().clone();
        }
        Ok(())
    }

    fn make(&mut self, change: Change) -> Result<(), Error> {
        let (did, proof) = (self.did.clone(), self.proof());
        match change {
            TotpOn => self.confirm(),
            TotpOff => {
                let code = self.code();
                self.cell.ask(StopTotp { did, proof: password(), code })
            }
            Renew => {
                self.on_paper = self.cell.ask(RenewRecoveryCodes { did, proof })?.expose().clone();
                Ok(())
            }
            FirstPasskey | PasskeyBesideTotp => self.add(),
            LastPasskeyGone | PasskeyGoneBesideTotp => {
                let id = ByteBuf::from(self.it.id.clone());
                self.cell.ask(RemovePasskey { did, proof, id })
            }
        }
    }

    fn seen(&mut self) -> Seen {
        let factors = self.cell.ask(GetFactors { did: self.did.clone() }).unwrap();
        Seen {
            // Each network has a key of its own, from which this is made.
            factors: Factors { passkey_user: [0; 32], ..factors },
            has_other_browser: self.cell.ask(GetBrowserSession { cookie: [2; 32] }).unwrap().is_some(),
            mails: self.cell.ask(ListDueMail {}).unwrap().mails.len(),
        }
    }

    /// Goes in by every way that there is, and by none that there is not.
    fn enters(&mut self) {
        let Factors { totp, recovery_codes, passkeys, passkey_user } =
            self.cell.ask(GetFactors { did: self.did.clone() }).unwrap();
        let is_alone = !totp && passkeys.is_empty();
        assert_eq!(recovery_codes, if is_alone { 0 } else { 10 });
        let (did, client) = (self.did.clone(), None);
        let open = OpenSession { did, proof: password(), client, device: None, allow_takendown: false };
        assert_eq!(self.cell.ask(open).is_ok(), is_alone, "by the password alone");
        self.cell.now_us += 60 * SECOND_US;
        let pass = |code: Hidden<String>, owner: &mut Self| {
            let half = Half::Now { did: owner.did.clone(), proof: password() };
            owner.cell.ask(PassFactor { half, given: Given::Code(code) })
        };
        if !is_alone {
            pass(Hidden::new(self.on_paper[3].clone()), self).unwrap();
        }
        if totp {
            pass(self.code(), self).unwrap();
        }
        if !passkeys.is_empty() {
            let challenge = self.challenge();
            let client_data = self.it.client_data("webauthn.get", &challenge.bytes);
            let assertion = Assertion {
                id: ByteBuf::from(self.it.id.clone()),
                challenge,
                authenticator_data: ByteBuf::from(self.it.data()),
                signature: ByteBuf::from(self.it.sign(&client_data)),
                client_data: ByteBuf::from(client_data),
                user: Some(ByteBuf::from(passkey_user)),
            };
            assert!(self.cell.ask(UsePasskey { assertion }).unwrap().is_some());
        }
    }
}

/// What breaks: power that fails, or a full disk, between two writes of a change leaves an owner with a factor and no codes on
/// paper, with those of neither set, or without a way in.
#[test]
fn a_change_of_factors_is_kept_whole_or_not_at_all_whichever_write_fails() {
    for change in ALL {
        let mut well = Owner::before(change);
        let (before, start) = (well.seen(), well.cell.disk.writes());
        well.make(change).unwrap();
        let writes = well.cell.disk.writes() - start;
        assert!(writes > 2, "{change:?}: only {writes} writes");
        let after = well.seen();
        assert_eq!(after.mails, before.mails + 1, "{change:?}: the owner is told");
        well.enters();
        for fault in [DiskFault::Full, DiskFault::Io, DiskFault::CrashBefore, DiskFault::CrashAfter] {
            for nth in 0..writes {
                let mut owner = Owner::before(change);
                let rests = dump(&owner.cell.disk).unwrap();
                owner.cell.disk.fail_after(nth, fault);
                let error = owner.make(change).unwrap_err();
                assert!(matches!(error, Error::Sql(_)), "{change:?}, {fault:?} at {nth}: {error}");
                owner.cell.restart().unwrap();
                let is_done = fault == DiskFault::CrashAfter && nth == writes - 1;
                assert_eq!(
                    dump(&owner.cell.disk).unwrap() != rests,
                    is_done,
                    "{change:?}, {fault:?} at {nth}"
                );
                assert_eq!(
                    &owner.seen(),
                    if is_done { &after } else { &before },
                    "{change:?}, {fault:?} at {nth}"
                );
                if !is_done {
                    owner.enters();
                    continue;
                }
                // The codes that were made are seen by nobody; others are had.
                let renew = RenewRecoveryCodes { did: owner.did.clone(), proof: owner.proof() };
                let is_alone = !after.factors.totp && after.factors.passkeys.is_empty();
                match owner.cell.ask(renew) {
                    Ok(codes) => owner.on_paper = codes.expose().clone(),
                    Err(error) => assert!(is_alone && error == Error::TotpSetup, "{change:?}: {error}"),
                }
                owner.enters();
            }
        }
    }
}
