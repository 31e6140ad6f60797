use super::super::super::testing::Cell;
use super::super::super::{
    BeginHalfSignIn, CreateAppPassword, GetFactors, Given, Half, OpenBrowserSession, OpenSession, PassFactor,
    RevokeCredentials, SetPassword,
};
use super::*;
use crate::testing::Authenticator;

const HASH: &str = "the hash of a password";

fn password() -> Proof {
    Proof::Password(sha256(HASH.as_bytes()))
}

/// An account with a passkey.
struct Owner {
    cell: Cell,
    did: Did,
    it: Authenticator,
    on_paper: Vec<String>,
    challenges: u8,
}

impl Owner {
    fn new() -> Self {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        cell.ask(SetPassword { did: did.clone(), password_hash: Hidden::new(HASH.to_owned()) }).unwrap();
        let it = Authenticator::new(1);
        let mut owner = Self { cell, did, it, on_paper: Vec::new(), challenges: 0 };
        let it = owner.it.clone();
        owner.on_paper = owner.add(&it, "Phone").unwrap().unwrap().expose().clone();
        owner
    }

    fn challenge(&mut self) -> Challenge {
        self.challenges += 1;
        Challenge { bytes: ByteBuf::from([self.challenges; 67]), ends_us: self.cell.now_us + 300_000_000 }
    }

    fn add(&mut self, it: &Authenticator, name: &str) -> Result<Option<Hidden<Vec<String>>>, Error> {
        let challenge = self.challenge();
        let ask = AddPasskey {
            did: self.did.clone(),
            proof: password(),
            name: name.to_owned(),
            client_data: ByteBuf::from(it.client_data("webauthn.create", &challenge.bytes)),
            attestation: ByteBuf::from(it.attestation(&it.cose(0x26))),
            challenge,
        };
        self.cell.ask(ask)
    }

    fn shown(&mut self) -> Assertion {
        let challenge = self.challenge();
        let client_data = self.it.client_data("webauthn.get", &challenge.bytes);
        let user = self.cell.ask(GetFactors { did: self.did.clone() }).unwrap().passkey_user;
        Assertion {
            id: ByteBuf::from(self.it.id.clone()),
            challenge,
            authenticator_data: ByteBuf::from(self.it.data()),
            signature: ByteBuf::from(self.it.sign(&client_data)),
            client_data: ByteBuf::from(client_data),
            user: Some(ByteBuf::from(user)),
        }
    }

    fn use_it(&mut self, assertion: Assertion) -> Result<Option<Passed>, Error> {
        self.cell.ask(UsePasskey { assertion })
    }

    fn listed(&mut self) -> Vec<Passkey> {
        self.cell.ask(GetFactors { did: self.did.clone() }).unwrap().passkeys
    }
}

fn refused<T>(why: &str) -> Result<T, Error> {
    Err(Error::InvalidPasskey(why.to_owned().into()))
}

#[test]
fn a_passkey_signs_in_by_itself_and_says_whose_it_is() {
    let mut owner = Owner::new();
    let shown = owner.shown();
    let passed = owner.use_it(shown).unwrap().unwrap();
    assert_eq!(passed, Passed { did: owner.did.clone(), proof: Proof::Passkey(sha256(&owner.it.id)) });
    let (did, proof, client) = (passed.did, passed.proof, Some("192.0.2.1".to_owned()));
    let open = OpenBrowserSession {
        did: did.clone(),
        proof: proof.clone(),
        client,
        device: None,
        cookie: [1; 32],
        replaces: None,
    };
    owner.cell.ask(open.clone()).unwrap();
    let [listed] = &owner.listed()[..] else { panic!("one passkey") };
    assert_eq!((listed.used_us, listed.refused_us, &*listed.name), (Some(owner.cell.now_us), None, "Phone"));
    // Removed, it proves nothing any more.
    let id = ByteBuf::from(owner.it.id.clone());
    owner.cell.ask(RemovePasskey { did: did.clone(), proof: password(), id }).unwrap();
    assert_eq!(owner.cell.ask(open), Err(Error::TokenRevoked));
    let shown = owner.shown();
    assert_eq!(owner.use_it(shown), refused("it is not known here"));
    owner
        .cell
        .ask(OpenSession { did, proof: password(), client: None, device: None, allow_takendown: false })
        .unwrap();
}

/// What breaks: whoever saw one answer gives it again.
#[test]
fn a_challenge_is_answered_once_and_in_time() {
    let mut owner = Owner::new();
    let shown = owner.shown();
    owner.use_it(shown.clone()).unwrap().unwrap();
    assert_eq!(owner.use_it(shown), refused("the challenge was answered before"));
    let mut late = owner.shown();
    late.challenge.ends_us = owner.cell.now_us;
    assert_eq!(owner.use_it(late), refused("it took too long"));
    let (mut other, challenge) = (owner.shown(), owner.challenge());
    other.challenge = challenge;
    assert_eq!(owner.use_it(other), refused("the challenge is another one"));
    // What is over is forgotten.
    owner.cell.now_us += 600_000_000;
    let shown = owner.shown();
    owner.use_it(shown).unwrap().unwrap();
    let count = "SELECT count(*) FROM passkey_challenge";
    assert_eq!(query_first(&owner.cell.disk, count, &[], |row| row.integer(0)).unwrap(), Some(1));
}

#[test]
fn what_does_not_fit_signs_nobody_in() {
    let mut owner = Owner::new();
    owner.it.origin = "http://evil.test".to_owned();
    let shown = owner.shown();
    assert_eq!(owner.use_it(shown), refused("it was made for another site"));
    owner.it.origin = "http://localhost:2583".to_owned();
    owner.it.rp_id = "evil.test".to_owned();
    let shown = owner.shown();
    assert_eq!(owner.use_it(shown), refused("it is another site's"));
    owner.it.rp_id = "localhost".to_owned();
    owner.it.flags |= 0b1000;
    let shown = owner.shown();
    assert_eq!(owner.use_it(shown), refused("the authenticator contradicts itself"));
    owner.it.flags = 0b101;
    let mut shown = owner.shown();
    shown.user = None;
    assert_eq!(owner.use_it(shown), refused("it does not say whose it is"));
    let mut shown = owner.shown();
    shown.user = Some(ByteBuf::from([0; 32]));
    assert_eq!(owner.use_it(shown), refused("it is another account's"));
    let mut shown = owner.shown();
    shown.signature = owner.shown().signature;
    assert_eq!(owner.use_it(shown), refused("the signature does not match"));
    let shown = owner.shown();
    owner.use_it(shown).unwrap().unwrap();
}

/// What breaks: a copy of a passkey goes unseen.
#[test]
fn a_counter_that_does_not_grow_is_refused_and_that_is_kept() {
    let mut owner = Owner::new();
    owner.it.count = 5;
    let shown = owner.shown();
    owner.use_it(shown).unwrap().unwrap();
    for count in [5, 4, 0] {
        owner.cell.now_us += 1;
        owner.it.count = count;
        let shown = owner.shown();
        assert_eq!(owner.use_it(shown), Ok(None), "{count}");
        assert_eq!(owner.listed()[0].refused_us, Some(owner.cell.now_us));
    }
    owner.it.count = 6;
    let shown = owner.shown();
    owner.use_it(shown).unwrap().unwrap();
    // The restarted server knows it still.
    owner.cell.restart().unwrap();
    let shown = owner.shown();
    assert_eq!(owner.use_it(shown), Ok(None));
}

#[test]
fn after_a_password_it_stands_in_for_a_code_and_an_app_needs_a_recovery_code() {
    let mut owner = Owner::new();
    let did = owner.did.clone();
    let open = OpenSession {
        did: did.clone(),
        proof: password(),
        client: None,
        device: None,
        allow_takendown: false,
    };
    let needed = owner.cell.ask(open.clone()).unwrap_err();
    assert_eq!(needed, Error::FactorRequired { by_code: false });
    assert!(needed.to_string().contains("recovery code") && needed.to_string().contains("app password"));
    owner.cell.ask(BeginHalfSignIn { did: did.clone(), proof: password(), browser: [1; 32] }).unwrap();
    let pass = |owner: &mut Owner, given| {
        owner.cell.ask(PassFactor { half: Half::Before { browser: [1; 32] }, given })
    };
    // Without a word on whose it is: that was said.
    let mut shown = owner.shown();
    shown.user = None;
    let passed = pass(&mut owner, Given::Passkey(shown)).unwrap().unwrap();
    assert_eq!(passed.proof, Proof::TwoFactors(sha256(HASH.as_bytes())));
    owner.cell.ask(OpenSession { proof: passed.proof, ..open.clone() }).unwrap();
    let given = Given::Code(Hidden::new(owner.on_paper[0].clone()));
    let half = Half::Now { did: did.clone(), proof: password() };
    owner.cell.ask(PassFactor { half, given }).unwrap().unwrap();

    // Another account's passkey does not.
    let bob = owner.cell.person("bob.test", "bob@example.com");
    owner.cell.ask(SetPassword { did: bob.clone(), password_hash: Hidden::new(HASH.to_owned()) }).unwrap();
    let alice = std::mem::replace(&mut owner.did, bob.clone());
    owner.add(&Authenticator::new(2), "Bob's").unwrap();
    owner.did = alice;
    let half = Half::Now { did: bob, proof: password() };
    let given = Given::Passkey(owner.shown());
    assert_eq!(owner.cell.ask(PassFactor { half, given }), refused("it is not known here"));
}

#[test]
fn a_passkey_is_added_once_by_its_owner_under_a_name_and_not_without_end() {
    let mut owner = Owner::new();
    let it = owner.it.clone();
    assert_eq!(owner.add(&it, "Again").err(), refused::<()>("it was added before").err());
    for name in ["", &"x".repeat(129)] {
        assert!(matches!(owner.add(&Authenticator::new(2), name), Err(Error::OverLimit(_))));
    }
    for seed in 2..=20 {
        assert!(owner.add(&Authenticator::new(seed), "Another").unwrap().is_none(), "codes are made once");
    }
    assert!(matches!(owner.add(&Authenticator::new(21), "One more"), Err(Error::OverLimit(_))));
    let did = owner.cell.agent("robot.test");
    owner.did = did.clone();
    let ask = CreateAppPassword {
        did,
        proof: Proof::Passkey(sha256(&owner.it.id)),
        name: "phone".to_owned(),
        kind: super::super::super::AppPasswordKind::Plain,
    };
    assert_eq!(owner.cell.ask(ask).err(), Some(Error::TokenRevoked), "nor of another account");
}

#[test]
fn what_ends_all_credentials_ends_passkeys() {
    let mut owner = Owner::new();
    owner.cell.ask(RevokeCredentials { did: owner.did.clone() }).unwrap();
    assert!(owner.listed().is_empty());
    let shown = owner.shown();
    assert_eq!(owner.use_it(shown), refused("it is not known here"));
}
