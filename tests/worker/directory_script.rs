//! Every command of the directory, in an order that makes sense, with refusals in between.

use serde_bytes::ByteBuf;
use zap::actor::Kind;
use zap::crypto::sha256;
use zap::directory::*;
use zap::mail::{Letter, MailPurpose};
use zap::oauth::request::{AuthorizationRequest, Prompt};
use zap::oauth::scope::Sets;
use zap::seam::Hidden;
use zap::syntax::{Did, Handle};

use crate::conformance::Both;

fn did(number: u32) -> Did {
    Did::try_from(format!("did:plc:test{number:020}")).unwrap()
}

fn handle(name: &str) -> Handle {
    Handle::try_from(format!("{name}.test")).unwrap()
}

fn signup(number: u32, name: &str, kind: Kind) -> ReserveAccount {
    ReserveAccount {
        did: did(number),
        plc_operation: None,
        signing_key: Hidden::new([1; 32]),
        handle: handle(name),
        handle_verified: false,
        allow_reserved: false,
        email: (kind == Kind::Person).then(|| format!("{name}@example.com")),
        password_hash: Some(Hidden::new("$argon2id$hash".to_owned())),
        invite_code: None,
        invite_exempt: true,
        kind,
        display_name: Some(format!("{name} \u{1f426}")),
        model: None,
        config: Some("{}".to_owned()),
    }
}

pub(crate) async fn run(both: &mut Both) {
    let alice = did(1);
    for (number, name, kind) in [
        (1, "alice", Kind::Person),
        (2, "bob", Kind::Agent),
        (3, "carol", Kind::Person),
        (4, "dora", Kind::Agent),
    ] {
        both.directory(signup(number, name, kind)).await.unwrap();
        if number != 4 {
            both.directory(CompleteAccount { did: did(number) }).await.unwrap();
        }
    }
    assert!(both.directory(signup(5, "alice", Kind::Person)).await.is_err(), "the handle is taken");
    both.directory(ListReservations { limit: 10 }).await.unwrap();
    both.directory(ReleaseReservation { did: did(4) }).await.unwrap();
    assert!(both.directory(CompleteAccount { did: did(4) }).await.is_err());

    for who in
        [Who::Did(alice.clone()), Who::Handle(handle("Bob")), Who::Email("CAROL@example.com".to_owned())]
    {
        both.directory(GetAccount { who: who.clone() }).await.unwrap();
        both.directory(GetCredentials { who, digest: [1; 32], client: None }).await.unwrap();
    }
    both.directory(GetStatus { did: alice.clone() }).await.unwrap();
    let first = both.directory(ListAccounts { kind: None, cursor: None, limit: 2 }).await.unwrap();
    both.directory(ListStandings { cursor: first.cursor.clone(), limit: 2 }).await.unwrap();
    both.directory(ListAccounts { kind: Some(Kind::Person), cursor: first.cursor, limit: 2 }).await.unwrap();
    for cursor in ["nonsense", "99999999999999999999~x", "9999999999999999~did:plc:x"] {
        let list = ListAccounts { kind: None, cursor: Some(cursor.to_owned()), limit: 2 };
        let _ = both.directory(list).await;
    }

    for name in ["free", "alice"] {
        let check = CheckHandle { handle: handle(name), did: None, allow_reserved: false };
        let _ = both.directory(check).await;
    }
    let rename =
        UpdateHandle { did: alice.clone(), handle: handle("alicia"), verified: false, allow_reserved: false };
    both.directory(rename).await.unwrap();
    for change in [
        StatusChange::Deactivate { delete_after_us: Some(both.now_us + 5) },
        StatusChange::Activate,
        StatusChange::Suspend { reference: Some("why".to_owned()) },
        StatusChange::Activate,
        StatusChange::TakeDown { reference: None },
        StatusChange::Restore,
    ] {
        let _ = both.directory(SetStatus { did: did(3), change }).await;
    }
    sessions(both, &alice).await;
    applications(both, &alice).await;
    browsers(both, &alice).await;
    handles(both).await;
    factors(both, &alice).await;
    let key = both.directory(GetRotationKey {}).await.unwrap();
    both.run("reopen", zap::testing::Step::Reopen).await;
    assert_eq!(both.directory(GetRotationKey {}).await.unwrap(), key);
    both.directory(SignPlcOperation { unsigned: ByteBuf::from(*b"operation") }).await.unwrap();
    let code = mails(both).await;
    assert!(
        both.directory(DeleteAccount { did: did(3), code: Some(Hidden::new("wrong".to_owned())) })
            .await
            .is_err()
    );
    both.directory(DeleteAccount { did: did(3), code: Some(code) }).await.unwrap();
    let notices = both.directory(ReadOutbox { after: 0, limit: 100 }).await.unwrap();
    assert!(notices.len() > 3, "{notices:?}");
    both.directory(ClearOutbox { id: notices[1].id }).await.unwrap();
}

/// Mail that is asked for, waits, and goes; answers the code that deletes the account.
async fn mails(both: &mut Both) -> Hidden<String> {
    let who = Who::Did(did(3));
    for purpose in MailPurpose::ALL {
        let _ = both.directory(SendCode { who: who.clone(), purpose }).await;
    }
    let letter = SendLetter { did: did(3), subject: "News".to_owned(), content: "<p>None</p>".to_owned() };
    both.directory(letter).await.unwrap();
    for wanted in [None, Some(did(9)), Some(did(9))] {
        both.directory(ReserveSigningKey { did: wanted }).await.unwrap();
    }
    both.directory(GetReservedKey { did: did(9) }).await.unwrap();
    both.directory(RevokeCredentials { did: did(2) }).await.unwrap();
    both.directory(SetInvitesDisabled { did: did(2), disabled: true }).await.unwrap();
    both.directory(ListAccountInfos { dids: vec![did(1), did(7)] }).await.unwrap();
    for email in [None, Some("EXAMPLE".to_owned())] {
        both.directory(SearchAccounts { email, cursor: None, limit: 1 }).await.unwrap();
    }
    for sort in [InviteSort::Recent, InviteSort::Usage] {
        both.directory(PageInviteCodes { sort, cursor: None, limit: 1 }).await.unwrap();
    }
    both.directory(DisableInviteCodes { codes: vec!["none".to_owned()], accounts: vec![did(2)] })
        .await
        .unwrap();
    let (email, code) = ("carol@example.com".to_owned(), Hidden::new("AAAAA-AAAAA".to_owned()));
    assert!(both.directory(ConfirmEmail { did: did(3), email, code: code.clone() }).await.is_err());
    assert!(
        both.directory(FindMailCode { purpose: MailPurpose::ResetPassword, code: code.clone() })
            .await
            .is_err()
    );
    let password_hash = Hidden::new("$argon2id$other".to_owned());
    let reset = ResetPassword { code, password_hash: password_hash.clone() };
    assert!(both.directory(reset).await.is_err());
    both.directory(SetPassword { did: did(1), password_hash }).await.unwrap();
    for email in ["alice@example.net", "carol@example.com", "nonsense"] {
        let by = EmailChangedBy::Owner(None);
        let _ = both.directory(UpdateEmail { did: did(1), email: email.to_owned(), by }).await;
    }
    let mut outcomes = [MailOutcome::Later, MailOutcome::Refused, MailOutcome::Delivered].into_iter().cycle();
    let mut found = None;
    while found.is_none() {
        let due = both.directory(ListDueMail {}).await.unwrap();
        assert!(!due.mails.is_empty(), "no mail has the code");
        for mail in due.mails {
            let mut outcome = outcomes.next().unwrap();
            if let Letter::Code { purpose: MailPurpose::DeleteAccount, code, .. } =
                mail.addressed.unwrap().letter
            {
                (found, outcome) = (Some(code), MailOutcome::Delivered);
            }
            both.directory(SettleMail { id: mail.id, outcome }).await.unwrap();
        }
    }
    found.unwrap()
}

async fn sessions(both: &mut Both, alice: &Did) {
    let open = OpenSession {
        did: alice.clone(),
        proof: Proof::Generation(i64::MAX),
        client: None,
        device: None,
        allow_takendown: false,
    };
    let session = both.directory(open).await.unwrap();
    let rotated = both.directory(RotateSession { id: session.id.clone() }).await.unwrap();
    both.now_us += 3 * 3_600 * 1_000_000;
    assert!(both.directory(RotateSession { id: session.id }).await.is_err(), "used long ago");
    both.directory(CloseSession { id: rotated.id }).await.unwrap();
    for kind in [AppPasswordKind::Plain, AppPasswordKind::Vault, AppPasswordKind::Vault] {
        let proof = Proof::Generation(i64::MAX);
        let make = CreateAppPassword { did: alice.clone(), proof, name: format!("{kind:?}"), kind };
        let _ = both.directory(make).await;
    }
    both.directory(ListAppPasswords { did: alice.clone() }).await.unwrap();
    both.directory(RevokeAppPassword { did: alice.clone(), name: "Plain".to_owned() }).await.unwrap();
    both.directory(IssueAgentToken { did: did(2) }).await.unwrap();
    both.directory(FindAgentToken { digest: [9; 32] }).await.unwrap();
    let rotate = RotateAgentToken { did: did(2), proof: Proof::Generation(i64::MAX) };
    both.directory(rotate.clone()).await.unwrap();
    let new = both.directory(rotate).await.unwrap();
    let digest = zap::crypto::sha256(new.expose().as_bytes());
    assert!(both.directory(FindAgentToken { digest }).await.unwrap().is_some_and(|new| new.ends_others));
    both.directory(SettleAgentToken { digest }).await.unwrap();
    both.directory(RevokeAgentTokens { did: did(2) }).await.unwrap();
    for uses in [2, 0, i64::MAX] {
        let make = CreateInviteCodes { count: 2, uses, for_accounts: vec![alice.clone()] };
        let _ = both.directory(make).await;
    }
    both.directory(ListInviteCodes { did: alice.clone(), include_used: true }).await.unwrap();
}

/// Browsers at an account's own pages, and what their owner ends there.
async fn browsers(both: &mut Both, alice: &Did) {
    let open = |cookie: u8, replaces: Option<u8>| OpenBrowserSession {
        did: alice.clone(),
        proof: Proof::Generation(i64::MAX),
        client: Some("192.0.2.1".to_owned()),
        device: Some("Firefox on Linux".to_owned()),
        cookie: [cookie; 32],
        replaces: replaces.map(|old| [old; 32]),
    };
    for (cookie, replaces) in [(1, None), (2, Some(1)), (3, None), (4, None)] {
        both.directory(open(cookie, replaces)).await.unwrap();
        both.now_us += 1;
    }
    assert!(both.directory(GetBrowserSession { cookie: [1; 32] }).await.unwrap().is_none(), "replaced");
    let kept = both.directory(GetBrowserSession { cookie: [2; 32] }).await.unwrap().unwrap();
    both.directory(CloseBrowserSession { cookie: [3; 32] }).await.unwrap();
    let opened = OpenSession {
        did: alice.clone(),
        proof: Proof::Browser([2; 32]),
        client: None,
        device: None,
        allow_takendown: false,
    };
    both.directory(opened.clone()).await.unwrap();
    let listed = both.directory(ListSignedIn { did: alice.clone() }).await.unwrap();
    assert!(!listed.apps.is_empty() && listed.browsers.len() == 2, "{listed:?}");
    let app = listed.apps[0].id.clone();
    for which in [Which::App(app), Which::Client("none".to_owned()), Which::AllBut(kept.id)] {
        both.directory(EndSignedIn { did: alice.clone(), which }).await.unwrap();
    }
    let password_hash = Hidden::new("$argon2id$third".to_owned());
    let change = ChangePassword { did: alice.clone(), proof: Proof::Browser([2; 32]), password_hash };
    both.directory(change.clone()).await.unwrap();
    assert!(both.directory(change).await.is_err(), "all sessions ended");
    assert!(both.directory(opened).await.is_err());
    let proof = Proof::Password(sha256(b"$argon2id$third"));
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        let (client, device) = (Some(client.to_owned()), Some("curl".to_owned()));
        let open =
            OpenSession { did: alice.clone(), proof: proof.clone(), client, device, allow_takendown: false };
        both.directory(open).await.unwrap();
        both.now_us += 1;
    }
    let told = both.directory(ListDueMail {}).await.unwrap().mails;
    assert_eq!(told.len(), 2, "of the password, and of the second device");
    for mail in told {
        both.directory(SettleMail { id: mail.id, outcome: MailOutcome::Delivered }).await.unwrap();
    }
}

/// A handle on its owner's domain, lost and found.
async fn handles(both: &mut Both) {
    let (did, handle) = (did(3), Handle::try_from("carol.example.com").unwrap());
    let update =
        UpdateHandle { did: did.clone(), handle: handle.clone(), verified: true, allow_reserved: false };
    both.directory(update).await.unwrap();
    both.directory(ListDueHandles {}).await.unwrap();
    both.now_us += 30 * 3_600 * 1_000_000;
    let due = both.directory(ListDueHandles {}).await.unwrap();
    assert_eq!(due.handles, [(did.clone(), handle.clone())]);
    for seen in [HandleSeen::Unknown, HandleSeen::Fails, HandleSeen::Fails, HandleSeen::Leads] {
        both.directory(SettleHandle { did: did.clone(), handle: handle.clone(), seen }).await.unwrap();
    }
}

/// What a sign-in needs beside the password.
async fn factors(both: &mut Both, alice: &Did) {
    let proof = Proof::Password(sha256(b"$argon2id$third"));
    let did = alice.clone();
    let begin = BeginTotp { did: did.clone(), proof: proof.clone() };
    let secret = both.directory(begin.clone()).await.unwrap();
    let code = |both: &Both| {
        Hidden::new(zap::crypto::totp::code_at(secret.expose(), both.now_us / 1_000_000).to_string())
    };
    let confirm = ConfirmTotp { did: did.clone(), proof: proof.clone(), code: code(both) };
    let on_paper = both.directory(confirm.clone()).await.unwrap().unwrap();
    assert!(both.directory(confirm).await.is_err(), "it is on");
    assert!(both.directory(begin).await.is_err());
    let open = OpenSession {
        did: did.clone(),
        proof: proof.clone(),
        client: None,
        device: None,
        allow_takendown: false,
    };
    assert!(both.directory(open.clone()).await.is_err(), "the password alone");
    both.directory(BeginHalfSignIn { did: did.clone(), proof: proof.clone(), browser: [7; 32] })
        .await
        .unwrap();
    both.directory(GetHalfSignIn { browser: [7; 32] }).await.unwrap().unwrap();
    both.now_us += 60_000_000;
    for given in [code(both), code(both), Hidden::new(on_paper.expose()[0].clone())] {
        let half = Half::Before { browser: [7; 32] };
        let _ = both.directory(PassFactor { half, given: Given::Code(given) }).await;
    }
    let half = Half::Now { did: did.clone(), proof: proof.clone() };
    let given = Given::Code(Hidden::new(on_paper.expose()[1].clone()));
    let passed = both.directory(PassFactor { half, given }).await.unwrap().unwrap();
    both.directory(OpenSession { proof: passed.proof, ..open }).await.unwrap();
    both.directory(RenewRecoveryCodes { did: did.clone(), proof: proof.clone() }).await.unwrap();
    let challenge = Challenge { bytes: ByteBuf::from(*b"challenge"), ends_us: both.now_us + 1 };
    let add = AddPasskey {
        did: did.clone(),
        proof: proof.clone(),
        name: "phone".to_owned(),
        challenge: challenge.clone(),
        client_data: ByteBuf::from(*b"{}"),
        attestation: ByteBuf::new(),
    };
    assert!(both.directory(add).await.is_err());
    let assertion = Assertion {
        id: ByteBuf::from(*b"id"),
        challenge,
        client_data: ByteBuf::from(*b"{}"),
        authenticator_data: ByteBuf::new(),
        signature: ByteBuf::new(),
        user: Some(ByteBuf::new()),
    };
    assert!(both.directory(UsePasskey { assertion }).await.is_err());
    let id = ByteBuf::from(*b"id");
    both.directory(RemovePasskey { did: did.clone(), proof: proof.clone(), id }).await.unwrap();
    both.directory(GetFactors { did: did.clone() }).await.unwrap();
    both.now_us += 60_000_000;
    both.directory(StopTotp { did, proof, code: code(both) }).await.unwrap();
}

/// What OAuth clients are granted, and how it ends.
async fn applications(both: &mut Both, alice: &Did) {
    let request = |verifier: &str| AuthorizationRequest {
        client_id: "https://app.example.com/client.json".to_owned(),
        redirect_uri: "https://app.example.com/cb".to_owned(),
        in_fragment: false,
        scope: "atproto repo:*".to_owned(),
        state: "state".to_owned(),
        code_challenge: data_encoding::BASE64URL_NOPAD.encode(&sha256(verifier.as_bytes())),
        login_hint: None,
        prompt: Prompt::Pages,
        dpop_jkt: "key".to_owned(),
        client_key: None,
        sets: Sets::default(),
    };
    let holder = Holder {
        client_id: "https://app.example.com/client.json".to_owned(),
        client_key: None,
        dpop_jkt: "key".to_owned(),
    };
    let browser = [1; 32];
    for id in ["granted", "denied", "open"] {
        let proof = Proof::Generation(i64::MAX);
        let begin = BeginConsent {
            id: id.to_owned(),
            request: request(id),
            client_name: Some("An app".to_owned()),
            did: alice.clone(),
            proof,
            client: None,
            device: None,
            browser,
        };
        both.directory(begin).await.unwrap();
        both.directory(GetConsent { id: id.to_owned(), browser }).await.unwrap();
    }
    assert!(both.directory(DropConsent { id: "denied".to_owned(), browser }).await.unwrap());
    let code = both.directory(GrantConsent { id: "granted".to_owned(), browser }).await.unwrap().unwrap();
    let redeem = RedeemCode {
        code: sha256(code.expose().as_bytes()),
        holder: holder.clone(),
        redirect_uri: "https://app.example.com/cb".to_owned(),
        verifier: Hidden::new("granted".to_owned()),
    };
    let Exchange::Granted(session) = both.directory(redeem.clone()).await.unwrap() else {
        panic!("the code is good");
    };
    let refresh = |number| RefreshOauthSession {
        id: session.id.clone(),
        number,
        holder: holder.clone(),
        client_keys: Vec::new(),
    };
    both.directory(refresh(1)).await.unwrap();
    let again = both.directory(refresh(1)).await.unwrap();
    assert!(matches!(again, Exchange::Refused { ended: Some(_), .. }), "{again:?}");
    both.directory(redeem).await.unwrap();
    let close = CloseOauthSession { id: session.id.clone(), client_id: holder.client_id.clone() };
    assert_eq!(both.directory(close).await.unwrap(), None);
}
