//! Every command of the directory, in an order that makes sense, with refusals in between.

use serde_bytes::ByteBuf;
use zap::actor::Kind;
use zap::directory::*;
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
        both.directory(GetCredentials { who, digest: [1; 32] }).await.unwrap();
    }
    both.directory(GetStatus { did: alice.clone() }).await.unwrap();
    let first = both.directory(ListAccounts { kind: None, cursor: None, limit: 2 }).await.unwrap();
    both.directory(ListAccounts { kind: Some(Kind::Person), cursor: first.cursor, limit: 2 }).await.unwrap();
    for cursor in ["nonsense", "99999999999999999999~x", "9999999999999999~did:plc:x"] {
        let list = ListAccounts { kind: None, cursor: Some(cursor.to_owned()), limit: 2 };
        let _ = both.directory(list).await;
    }
    both.directory(GetCounts {}).await.unwrap();

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
    let key = both.directory(GetRotationKey {}).await.unwrap();
    both.run("reopen", zap::testing::Step::Reopen).await;
    assert_eq!(both.directory(GetRotationKey {}).await.unwrap(), key);
    both.directory(SignPlcOperation { unsigned: ByteBuf::from(*b"operation") }).await.unwrap();
    let code = IssueMailCode { did: did(3), purpose: MailPurpose::DeleteAccount };
    let code = both.directory(code).await.unwrap();
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

async fn sessions(both: &mut Both, alice: &Did) {
    let open = OpenSession { did: alice.clone(), app_password: None };
    let session = both.directory(open).await.unwrap();
    let rotated = both.directory(RotateSession { id: session.id.clone() }).await.unwrap();
    both.now_us += 3 * 3_600 * 1_000_000;
    assert!(both.directory(RotateSession { id: session.id }).await.is_err(), "used long ago");
    both.directory(CloseSession { id: rotated.id }).await.unwrap();
    for kind in [AppPasswordKind::Plain, AppPasswordKind::Vault, AppPasswordKind::Vault] {
        let make = CreateAppPassword { did: alice.clone(), name: format!("{kind:?}"), kind };
        let _ = both.directory(make).await;
    }
    both.directory(ListAppPasswords { did: alice.clone() }).await.unwrap();
    both.directory(RevokeAppPassword { did: alice.clone(), name: "Plain".to_owned() }).await.unwrap();
    both.directory(IssueAgentToken { did: did(2) }).await.unwrap();
    both.directory(FindAgentToken { digest: [9; 32] }).await.unwrap();
    both.directory(RevokeAgentTokens { did: did(2) }).await.unwrap();
    for uses in [2, 0, i64::MAX] {
        let make = CreateInviteCodes { count: 2, uses, for_accounts: vec![alice.clone()] };
        let _ = both.directory(make).await;
    }
    both.directory(ListInviteCodes { did: alice.clone(), include_used: true }).await.unwrap();
}
