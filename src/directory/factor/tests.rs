mod cuts;

use super::super::testing::Cell;
use super::super::{
    BeginConsent, ChangePassword, DeleteAccount, GetBrowserSession, OpenBrowserSession, OpenSession,
    RevokeCredentials, SetPassword,
};
use super::*;
use crate::crypto::sha256;
use crate::crypto::totp::{SECRET_LEN, code_at};
use crate::oauth::request::{AuthorizationRequest, Prompt};
use crate::oauth::scope::Sets;

const SECOND_US: i64 = 1_000_000;
const HASH: &str = "the hash of a password";

/// An account with codes by time, turned on a minute ago: so that a code of now was not used yet.
struct Owner {
    cell: Cell,
    did: Did,
    secret: [u8; SECRET_LEN],
    on_paper: Vec<String>,
}

fn password() -> Proof {
    Proof::Password(sha256(HASH.as_bytes()))
}

impl Owner {
    fn new() -> Self {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        let (secret, on_paper) = turn_on(&mut cell, &did);
        Self { cell, did, secret, on_paper }
    }

    fn code(&self) -> String {
        code_at(&self.secret, self.cell.now_us / SECOND_US).to_string()
    }

    fn pass(&mut self, code: &str) -> Result<Proof, Error> {
        let half = Half::Now { did: self.did.clone(), proof: password() };
        let given = Given::Code(Hidden::new(code.to_owned()));
        self.cell.ask(PassFactor { half, given }).map(|passed| passed.unwrap().proof)
    }

    fn open(&mut self, proof: Proof) -> Result<(), Error> {
        let (did, client) = (self.did.clone(), None);
        self.cell.ask(OpenSession { did, proof, client, device: None, allow_takendown: false }).map(drop)
    }
}

fn turn_on(cell: &mut Cell, did: &Did) -> ([u8; SECRET_LEN], Vec<String>) {
    cell.ask(SetPassword { did: did.clone(), password_hash: Hidden::new(HASH.to_owned()) }).unwrap();
    let proof = password();
    let secret = *cell.ask(BeginTotp { did: did.clone(), proof: proof.clone() }).unwrap().expose();
    let code = Hidden::new(code_at(&secret, cell.now_us / SECOND_US).to_string());
    let on_paper = cell.ask(ConfirmTotp { did: did.clone(), proof, code }).unwrap().unwrap();
    cell.now_us += 60 * SECOND_US;
    (secret, on_paper.expose().clone())
}

fn browser(did: &Did, proof: Proof, cookie: u8) -> OpenBrowserSession {
    let (did, cookie) = (did.clone(), [cookie; 32]);
    OpenBrowserSession { did, proof, client: None, device: None, cookie, replaces: None }
}

/// What breaks: one of the doors asks for a password alone.
#[test]
fn a_password_alone_signs_in_nowhere_and_with_a_code_everywhere() {
    let mut owner = Owner::new();
    let consent = |did: &Did, proof| BeginConsent {
        id: "request".to_owned(),
        request: AuthorizationRequest {
            client_id: "https://app.example.com/client.json".to_owned(),
            redirect_uri: "https://app.example.com/cb".to_owned(),
            in_fragment: false,
            scope: "atproto".to_owned(),
            state: "state".to_owned(),
            code_challenge: "challenge".to_owned(),
            login_hint: None,
            prompt: Prompt::Pages,
            dpop_jkt: "key".to_owned(),
            client_key: None,
            sets: Sets::default(),
        },
        client_name: None,
        did: did.clone(),
        proof,
        client: None,
        device: None,
        browser: [1; 32],
    };
    let needed = Err(Error::FactorRequired { by_code: true });
    let did = owner.did.clone();
    assert_eq!(owner.open(password()), needed);
    assert_eq!(owner.cell.ask(browser(&did, password(), 1)), needed);
    assert_eq!(owner.cell.ask(consent(&did, password())), needed);
    let code = owner.code();
    let proof = owner.pass(&code).unwrap();
    assert_eq!(proof, Proof::TwoFactors(sha256(HASH.as_bytes())));
    owner.open(proof.clone()).unwrap();
    owner.cell.ask(browser(&did, proof.clone(), 1)).unwrap();
    owner.cell.ask(consent(&did, proof.clone())).unwrap();
    // It is the password's proof still.
    let password_hash = Hidden::new("another hash".to_owned());
    let change = ChangePassword { did, proof: proof.clone(), password_hash };
    owner.cell.ask(change).unwrap();
    assert_eq!(owner.open(proof), Err(Error::TokenRevoked));
}

#[test]
fn a_code_is_good_once_and_no_earlier_one_after_it() {
    let mut owner = Owner::new();
    let earlier = owner.code();
    owner.cell.now_us += 30 * SECOND_US;
    let code = owner.code();
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    owner.pass(&spaced).unwrap();
    for used in [&code, &earlier] {
        assert_eq!(owner.pass(used), Err(Error::InvalidFactor));
    }
    owner.cell.now_us += 30 * SECOND_US;
    let next = owner.code();
    owner.pass(&next).unwrap();
}

/// What breaks: the code that turned it on, read over a shoulder, signs in.
#[test]
fn the_code_that_turned_it_on_is_used_up() {
    let mut owner = Owner::new();
    owner.cell.now_us -= 60 * SECOND_US;
    let code = owner.code();
    assert_eq!(owner.pass(&code), Err(Error::InvalidFactor));
}

#[test]
fn codes_are_their_accounts_alone() {
    let mut owner = Owner::new();
    let bob = owner.cell.person("bob.test", "bob@example.com");
    let (secret, on_paper) = turn_on(&mut owner.cell, &bob);
    let code = code_at(&secret, owner.cell.now_us / SECOND_US).to_string();
    for code in [&code, &on_paper[0]] {
        assert_eq!(owner.pass(code), Err(Error::InvalidFactor));
    }
    let (half, given) =
        (Half::Now { did: bob, proof: password() }, Given::Code(Hidden::new(on_paper[0].clone())));
    owner.cell.ask(PassFactor { half, given }).unwrap();
}

#[test]
fn a_recovery_code_is_good_once_as_people_type_it_and_rests_as_a_digest() {
    let mut owner = Owner::new();
    let codes = owner.on_paper.clone();
    assert_eq!(codes.len(), 10);
    let typed = codes[0].to_uppercase().replace('-', " ");
    owner.pass(&typed).unwrap();
    assert_eq!(owner.pass(&codes[0]), Err(Error::InvalidFactor));
    owner.pass(&codes[1]).unwrap();
    let left = owner.cell.ask(GetFactors { did: owner.did.clone() }).unwrap();
    assert_eq!((left.totp, left.recovery_codes), (true, 8));
    let digests = "SELECT digest FROM recovery_code";
    let digests = crate::store::query_all(&owner.cell.disk, digests, &[], |row| Ok(row.blob(0)?.to_vec()));
    let letters = codes[2].replace('-', "");
    assert!(digests.unwrap().contains(&sha256(letters.as_bytes()).to_vec()));
    let renew = RenewRecoveryCodes { did: owner.did.clone(), proof: password() };
    let new = owner.cell.ask(renew).unwrap();
    assert_eq!(owner.pass(&codes[2]), Err(Error::InvalidFactor), "the old ones are over");
    owner.pass(&new.expose()[2]).unwrap();
}

/// What breaks: whoever knows the password tries a million codes.
#[test]
fn ten_codes_may_be_tried_in_five_minutes_and_those_that_fit_cost_nothing() {
    let mut owner = Owner::new();
    for _ in 0..12 {
        let code = owner.code();
        owner.pass(&code).unwrap();
        owner.cell.now_us += 30 * SECOND_US;
    }
    for tried in 0..10 {
        assert_eq!(owner.pass("000000"), Err(Error::InvalidFactor), "{tried}");
    }
    let code = owner.code();
    assert!(matches!(owner.pass(&code), Err(Error::TooOften(_))), "also for the right one");
    let paper = owner.on_paper[0].clone();
    assert!(matches!(owner.pass(&paper), Err(Error::TooOften(_))));
    let stop = StopTotp { did: owner.did.clone(), proof: password(), code: Hidden::new("000000".to_owned()) };
    assert!(matches!(owner.cell.ask(stop), Err(Error::TooOften(_))), "nor elsewhere");
    owner.cell.now_us += 31 * SECOND_US;
    let code = owner.code();
    owner.pass(&code).unwrap();
    let mut tries = 0;
    for _ in 0..24 * 120 {
        owner.cell.now_us += 30 * SECOND_US;
        while owner.pass("000000") == Err(Error::InvalidFactor) {
            tries += 1;
        }
    }
    assert!((90..=210).contains(&tries), "{tries} in a day");
}

/// What breaks: what was begun in one browser is ended in another, or tomorrow.
#[test]
fn half_a_sign_in_is_its_browsers_for_five_minutes_and_once() {
    let mut owner = Owner::new();
    let did = owner.did.clone();
    let begin = |browser: u8| BeginHalfSignIn { did: did.clone(), proof: password(), browser: [browser; 32] };
    let pass = |owner: &mut Owner, browser: u8| {
        let given = Given::Code(Hidden::new(owner.code()));
        owner.cell.ask(PassFactor { half: Half::Before { browser: [browser; 32] }, given })
    };
    owner.cell.ask(begin(1)).unwrap();
    let half = owner.cell.ask(GetHalfSignIn { browser: [1; 32] }).unwrap();
    assert_eq!(half, Some(HalfSignIn { did: did.clone(), totp: true, passkeys: Vec::new() }));
    assert_eq!(pass(&mut owner, 2).err(), Some(Error::TokenRevoked));
    let passed = pass(&mut owner, 1).unwrap().unwrap();
    assert_eq!(passed, Passed { did: did.clone(), proof: Proof::TwoFactors(sha256(HASH.as_bytes())) });
    owner.cell.now_us += 30 * SECOND_US;
    assert_eq!(pass(&mut owner, 1).err(), Some(Error::TokenRevoked), "once");

    owner.cell.ask(begin(3)).unwrap();
    owner.cell.now_us += 299 * SECOND_US;
    assert!(owner.cell.ask(GetHalfSignIn { browser: [3; 32] }).unwrap().is_some());
    owner.cell.now_us += SECOND_US;
    assert_eq!(pass(&mut owner, 3).err(), Some(Error::TokenRevoked), "too late");

    owner.cell.ask(begin(4)).unwrap();
    let password_hash = Hidden::new("another hash".to_owned());
    owner.cell.ask(SetPassword { did: did.clone(), password_hash }).unwrap();
    assert_eq!(pass(&mut owner, 4).err(), Some(Error::TokenRevoked), "another password");
    assert_eq!(owner.cell.ask(begin(5)).err(), Some(Error::TokenRevoked), "without the password");
}

#[test]
fn it_is_on_with_a_code_only_and_off_with_another_and_signs_other_browsers_out() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    cell.ask(SetPassword { did: did.clone(), password_hash: Hidden::new(HASH.to_owned()) }).unwrap();
    for cookie in [1, 2] {
        cell.ask(browser(&did, password(), cookie)).unwrap();
    }
    let asks = Proof::Browser([1; 32]);
    let begin = BeginTotp { did: did.clone(), proof: asks.clone() };
    let secret = *cell.ask(begin.clone()).unwrap().expose();
    assert_eq!(cell.ask(begin.clone()).unwrap().expose(), &secret, "the page that is shown again has it");
    cell.ask(OpenSession {
        did: did.clone(),
        proof: password(),
        client: None,
        device: None,
        allow_takendown: false,
    })
    .unwrap();
    let confirm =
        |code: String| ConfirmTotp { did: did.clone(), proof: asks.clone(), code: Hidden::new(code) };
    assert_eq!(cell.ask(confirm("000000".to_owned())).err(), Some(Error::InvalidFactor));
    cell.now_us += 600 * SECOND_US;
    let late = confirm(code_at(&secret, cell.now_us / SECOND_US).to_string());
    assert_eq!(cell.ask(late).err(), Some(Error::TotpSetup));
    let other = *cell.ask(begin.clone()).unwrap().expose();
    assert_ne!(other, secret);
    cell.ask(confirm(code_at(&other, cell.now_us / SECOND_US).to_string())).unwrap();
    assert_eq!(cell.ask(begin).err(), Some(Error::TotpSetup), "it is on");
    assert!(cell.ask(GetBrowserSession { cookie: [1; 32] }).unwrap().is_some());
    assert!(cell.ask(GetBrowserSession { cookie: [2; 32] }).unwrap().is_none());

    let mut owner = Owner { cell, did, secret: other, on_paper: Vec::new() };
    let stop = |owner: &mut Owner, code: String| {
        let (did, proof) = (owner.did.clone(), password());
        owner.cell.ask(StopTotp { did, proof, code: Hidden::new(code) })
    };
    owner.cell.now_us += 60 * SECOND_US;
    assert_eq!(stop(&mut owner, "000000".to_owned()), Err(Error::InvalidFactor));
    let code = owner.code();
    stop(&mut owner, code).unwrap();
    owner.open(password()).unwrap();
    let left = owner.cell.ask(GetFactors { did: owner.did.clone() }).unwrap();
    assert_eq!((left.totp, left.recovery_codes), (false, 0));
}

#[test]
fn the_secret_rests_sealed_to_its_account_and_goes_with_it() {
    let mut owner = Owner::new();
    let sealed = |owner: &Owner| {
        let all = "SELECT sealed FROM totp";
        crate::store::query_all(&owner.cell.disk, all, &[], |row| Ok(row.blob(0)?.to_vec())).unwrap()
    };
    let [rests] = &sealed(&owner)[..] else { panic!("one secret") };
    assert!(!rests.windows(SECRET_LEN).any(|part| part == owner.secret));
    let bob = owner.cell.person("bob.test", "bob@example.com");
    turn_on(&mut owner.cell, &bob);
    let moved = "UPDATE totp SET sealed = (SELECT sealed FROM totp WHERE did = ?) WHERE did = ?";
    owner.cell.disk.execute(moved, &[owner.did.as_str().into(), bob.as_str().into()]).unwrap();
    let code = owner.code();
    let (half, given) = (Half::Now { did: bob.clone(), proof: password() }, Given::Code(Hidden::new(code)));
    assert!(matches!(owner.cell.ask(PassFactor { half, given }), Err(Error::Unwrap(_))));
    owner.cell.ask(RevokeCredentials { did: bob }).unwrap();
    owner.cell.ask(DeleteAccount { did: owner.did.clone(), code: None }).unwrap();
    assert!(sealed(&owner).is_empty());
    let left = "SELECT count(*) FROM recovery_code";
    let left = crate::store::query_first(&owner.cell.disk, left, &[], |row| row.integer(0)).unwrap();
    assert_eq!(left, Some(0));
}

/// What breaks: an operator's runtime is locked out of its agent.
#[test]
fn an_agent_has_none() {
    let mut cell = Cell::new();
    let did = cell.agent("robot.test");
    let begin = BeginTotp { did, proof: Proof::Generation(i64::MAX) };
    assert_eq!(cell.ask(begin).err(), Some(Error::TotpSetup));
}
