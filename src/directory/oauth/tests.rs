use data_encoding::BASE64URL_NOPAD;

use super::super::testing::{Cell, HOUR_US};
use super::super::{
    Error, GetAccount, Proof, RevokeAgentTokens, RotateAgentToken, SetStatus, SettleAgentToken, StatusChange,
    Who,
};
use super::*;
use crate::crypto::sha256;
use crate::oauth::request::{AuthorizationRequest, Prompt};
use crate::oauth::scope::{Permission, Set, Sets};
use crate::seam::Hidden;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 24 * HOUR_US;

fn request(client_key: Option<&str>) -> AuthorizationRequest {
    AuthorizationRequest {
        client_id: "https://app.example.com/client.json".to_owned(),
        redirect_uri: "https://app.example.com/cb".to_owned(),
        in_fragment: false,
        scope: "atproto repo:*".to_owned(),
        state: "xyz".to_owned(),
        code_challenge: BASE64URL_NOPAD.encode(&sha256(VERIFIER.as_bytes())),
        login_hint: None,
        prompt: Prompt::Pages,
        dpop_jkt: "key".to_owned(),
        client_key: client_key.map(str::to_owned),
        sets: Sets::default(),
    }
}

fn begin_as(cell: &mut Cell, did: &Did, id: &str, request: AuthorizationRequest) -> Result<(), Error> {
    let proof = Proof::Generation(i64::MAX);
    cell.ask(BeginConsent {
        id: id.to_owned(),
        request,
        client_name: Some("An app".to_owned()),
        did: did.clone(),
        proof,
        client: None,
        device: None,
        browser: [1; 32],
    })
}

fn grant(cell: &mut Cell, id: &str) -> Option<String> {
    let code = cell.ask(GrantConsent { id: id.to_owned(), browser: [1; 32] }).unwrap();
    code.map(|code| code.expose().clone())
}

fn redeem(code: &str) -> RedeemCode {
    let holder = Holder {
        client_id: "https://app.example.com/client.json".to_owned(),
        client_key: None,
        dpop_jkt: "key".to_owned(),
    };
    let redirect_uri = "https://app.example.com/cb".to_owned();
    RedeemCode {
        code: sha256(code.as_bytes()),
        holder,
        redirect_uri,
        verifier: Hidden::new(VERIFIER.to_owned()),
    }
}

fn granted(exchange: Exchange) -> OauthSession {
    match exchange {
        Exchange::Granted(session) => session,
        Exchange::Refused { why, .. } => panic!("{why}"),
    }
}

/// Whether it was refused, and ended a session with that.
fn ended(exchange: Exchange) -> bool {
    match exchange {
        Exchange::Granted(_) => panic!("it was granted"),
        Exchange::Refused { ended, .. } => ended.is_some(),
    }
}

/// A session, and the code that began it.
fn session(cell: &mut Cell, did: &Did, id: &str) -> (OauthSession, String) {
    begin_as(cell, did, id, request(None)).unwrap();
    let code = grant(cell, id).unwrap();
    (granted(cell.ask(redeem(&code)).unwrap()), code)
}

fn refresh(session: &OauthSession) -> RefreshOauthSession {
    let RedeemCode { holder, .. } = redeem("");
    RefreshOauthSession { id: session.id.clone(), number: session.number, holder, client_keys: Vec::new() }
}

fn generation(cell: &mut Cell, did: &Did) -> i64 {
    cell.ask(GetAccount { who: Who::Did(did.clone()) }).unwrap().unwrap().generation
}

/// What breaks: one verifier that leaked is worth two sessions.
#[test]
fn of_two_requests_with_one_challenge_the_first_has_a_session() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let codes = ["one", "two"].map(|id| {
        begin_as(&mut cell, &did, id, request(None)).unwrap();
        grant(&mut cell, id).unwrap()
    });
    let first = granted(cell.ask(redeem(&codes[0])).unwrap());
    let client_id = "https://app.example.com/client.json".to_owned();
    assert!(cell.ask(CloseOauthSession { id: first.id, client_id }).unwrap().is_some());
    assert!(!ended(cell.ask(redeem(&codes[1])).unwrap()), "it was none that ended");
}

#[test]
fn a_request_is_granted_in_the_browser_that_signed_in_and_once() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    assert_eq!(grant(&mut cell, "r"), None, "nobody signed in");
    begin_as(&mut cell, &did, "r", request(None)).unwrap();
    let ask = |browser| GetConsent { id: "r".to_owned(), browser };
    let asked = Consenting { did: did.clone(), sets: Sets::default() };
    assert_eq!(cell.ask(ask([1; 32])).unwrap(), Some(asked));
    assert_eq!(cell.ask(ask([2; 32])).unwrap(), None, "another browser");
    let other = GrantConsent { id: "r".to_owned(), browser: [2; 32] };
    assert!(cell.ask(other).unwrap().is_none());
    let code = grant(&mut cell, "r").unwrap();
    assert_eq!(grant(&mut cell, "r"), None, "it has its code");
    assert_eq!(begin_as(&mut cell, &did, "r", request(None)), Err(Error::RequestUsed));
    let session = granted(cell.ask(redeem(&code)).unwrap());
    assert_eq!((&session.did, &*session.scope, session.number), (&did, "atproto repo:*", 1));
    assert_eq!(begin_as(&mut cell, &did, "r", request(None)), Err(Error::RequestUsed));
    // The same challenge in another request, within a day, though its session ends.
    assert_eq!(begin_as(&mut cell, &did, "s", request(None)), Err(Error::RequestUsed));
    let client_id = "https://app.example.com/client.json".to_owned();
    assert!(cell.ask(CloseOauthSession { id: session.id, client_id }).unwrap().is_some());
    assert_eq!(begin_as(&mut cell, &did, "s", request(None)), Err(Error::RequestUsed));
    cell.now_us += DAY_US + SECOND_US;
    begin_as(&mut cell, &did, "s", request(None)).unwrap();
}

/// What breaks: the first tokens open something else than what the page of consent showed.
#[test]
fn what_sets_open_is_kept_from_the_page_to_the_first_tokens() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let mut sets = Sets::default();
    let opened = Set { title: "T".to_owned(), scope: "repo:com.example.post".to_owned(), ..Set::default() };
    sets.insert(&Permission::parse("include:com.example.auth").unwrap(), opened);
    begin_as(&mut cell, &did, "r", AuthorizationRequest { sets: sets.clone(), ..request(None) }).unwrap();
    let asked = cell.ask(GetConsent { id: "r".to_owned(), browser: [1; 32] }).unwrap();
    assert_eq!(asked, Some(Consenting { did: did.clone(), sets: sets.clone() }));
    let code = grant(&mut cell, "r").unwrap();
    let session = granted(cell.ask(redeem(&code)).unwrap());
    assert_eq!(session.sets, sets);
    assert_eq!(granted(cell.ask(refresh(&session)).unwrap()).sets, Sets::default(), "its token has them");
}

#[test]
fn a_refused_request_is_over() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    begin_as(&mut cell, &did, "r", request(None)).unwrap();
    let drop = |browser| DropConsent { id: "r".to_owned(), browser };
    assert!(!cell.ask(drop([2; 32])).unwrap());
    assert!(cell.ask(drop([1; 32])).unwrap());
    assert_eq!(grant(&mut cell, "r"), None);
    assert_eq!(begin_as(&mut cell, &did, "r", request(None)), Err(Error::RequestUsed));
}

#[test]
fn consent_and_code_wait_for_minutes_only() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    begin_as(&mut cell, &did, "r", request(None)).unwrap();
    cell.now_us += 5 * 60 * SECOND_US;
    assert_eq!(grant(&mut cell, "r"), None);
    begin_as(&mut cell, &did, "s", request(None)).unwrap();
    let code = grant(&mut cell, "s").unwrap();
    cell.now_us += 60 * SECOND_US;
    assert!(!ended(cell.ask(redeem(&code)).unwrap()));
}

/// What breaks: whoever has a code, and not what it was asked for with, gets tokens, or may try again.
#[test]
fn a_code_is_for_who_asked_for_it_and_is_over_with_a_wrong_try() {
    let change: [fn(&mut RedeemCode); 5] = [
        |ask| ask.holder.client_id = "https://evil.test/client.json".to_owned(),
        |ask| ask.holder.client_key = Some("a key".to_owned()),
        |ask| ask.holder.dpop_jkt = "another key".to_owned(),
        |ask| ask.redirect_uri = "https://app.example.com/other".to_owned(),
        |ask| ask.verifier = Hidden::new("x".repeat(43)),
    ];
    for (number, change) in change.into_iter().enumerate() {
        let mut cell = Cell::new();
        let did = cell.person("alice.test", "alice@example.com");
        begin_as(&mut cell, &did, "r", request(None)).unwrap();
        let code = grant(&mut cell, "r").unwrap();
        let mut wrong = redeem(&code);
        change(&mut wrong);
        assert!(!ended(cell.ask(wrong).unwrap()), "{number}");
        assert!(!ended(cell.ask(redeem(&code)).unwrap()), "{number}: it is over");
    }
}

#[test]
fn a_code_that_is_shown_again_ends_its_session() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let (session, code) = session(&mut cell, &did, "r");
    let next = granted(cell.ask(refresh(&session)).unwrap());
    assert!(ended(cell.ask(redeem(&code)).unwrap()));
    assert!(generation(&mut cell, &did) > next.generation, "its access tokens ended");
    assert!(!ended(cell.ask(refresh(&next)).unwrap()), "there is no session any more");
    assert!(!ended(cell.ask(redeem(&code)).unwrap()));
}

#[test]
fn a_refresh_token_is_used_once_and_ends_its_session_the_second_time() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let (first, _) = session(&mut cell, &did, "r");
    let second = granted(cell.ask(refresh(&first)).unwrap());
    assert_eq!((second.number, &second.id), (2, &first.id));
    // From before a backup was put back: refused, and nothing ends.
    let ahead = RefreshOauthSession { number: 9, ..refresh(&second) };
    assert!(!ended(cell.ask(ahead).unwrap()));
    let third = granted(cell.ask(refresh(&second)).unwrap());
    assert!(ended(cell.ask(refresh(&first)).unwrap()));
    assert!(generation(&mut cell, &did) > third.generation, "its access tokens ended");
    assert!(!ended(cell.ask(refresh(&third)).unwrap()));
}

#[test]
fn a_refresh_token_is_for_its_client_and_key() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let (session, _) = session(&mut cell, &did, "r");
    let change: [fn(&mut RefreshOauthSession); 3] = [
        |ask| ask.holder.client_id = "https://evil.test/client.json".to_owned(),
        |ask| ask.holder.dpop_jkt = "another key".to_owned(),
        |ask| ask.id = "nobody".to_owned(),
    ];
    for change in change {
        let mut wrong = refresh(&session);
        change(&mut wrong);
        assert!(!ended(cell.ask(wrong).unwrap()));
    }
    granted(cell.ask(refresh(&session)).unwrap());
}

#[test]
fn a_session_lives_as_long_as_its_kind_of_client_is_trusted() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let (mut public, _) = session(&mut cell, &did, "r");
    for _ in 0..13 {
        cell.now_us += DAY_US;
        public = granted(cell.ask(refresh(&public)).unwrap());
    }
    assert!(public.expires_seconds * SECOND_US - cell.now_us <= DAY_US, "use makes it no longer");
    cell.now_us += DAY_US;
    assert!(!ended(cell.ask(refresh(&public)).unwrap()));

    let confidential = request(Some("k"));
    begin_as(&mut cell, &did, "c", confidential).unwrap();
    let code = grant(&mut cell, "c").unwrap();
    let holder = Holder { client_key: Some("k".to_owned()), ..redeem("").holder };
    let mut session = granted(cell.ask(RedeemCode { holder: holder.clone(), ..redeem(&code) }).unwrap());
    let ask = |session: &OauthSession, keys: &[&str]| RefreshOauthSession {
        holder: holder.clone(),
        client_keys: keys.iter().map(|&key| key.to_owned()).collect(),
        ..refresh(session)
    };
    for _ in 0..4 {
        cell.now_us += 80 * DAY_US;
        session = granted(cell.ask(ask(&session, &["other", "k"])).unwrap());
    }
    let by_another_key = RefreshOauthSession {
        holder: Holder { client_key: Some("other".to_owned()), ..holder.clone() },
        ..ask(&session, &["other", "k"])
    };
    assert!(!ended(cell.ask(by_another_key).unwrap()));
    assert!(ended(cell.ask(ask(&session, &["other"])).unwrap()), "its key is gone");
}

#[test]
fn all_that_ends_sessions_ends_those_of_clients() {
    let end: [fn(&mut Cell, &Did); 2] = [
        |cell, did| {
            let change = StatusChange::TakeDown { reference: None };
            cell.ask(SetStatus { did: did.clone(), change }).unwrap();
        },
        |cell, did| {
            let ask = RotateAgentToken { did: did.clone(), proof: Proof::Generation(i64::MAX) };
            let token = cell.ask(ask).unwrap();
            cell.ask(SettleAgentToken { digest: sha256(token.expose().as_bytes()) }).unwrap();
        },
    ];
    for end in end {
        let mut cell = Cell::new();
        let did = cell.agent("alice.test");
        let (session, _) = session(&mut cell, &did, "r");
        begin_as(
            &mut cell,
            &did,
            "s",
            AuthorizationRequest { code_challenge: "x".repeat(43), ..request(None) },
        )
        .unwrap();
        end(&mut cell, &did);
        assert!(!ended(cell.ask(refresh(&session)).unwrap()));
        assert_eq!(grant(&mut cell, "s"), None, "also what is being asked");
    }
}

/// What breaks: consent rests on a password or a token that ended since.
#[test]
fn what_was_signed_in_with_still_holds_at_consent() {
    let mut cell = Cell::new();
    let did = cell.agent("alice.test");
    let token = cell.ask(super::super::IssueAgentToken { did: did.clone() }).unwrap();
    let proof = Proof::AgentToken(sha256(token.expose().as_bytes()));
    let ask = BeginConsent {
        id: "r".to_owned(),
        request: request(None),
        client_name: Some("An app".to_owned()),
        did: did.clone(),
        proof,
        client: None,
        device: None,
        browser: [1; 32],
    };
    cell.ask(ask).unwrap();
    cell.ask(RevokeAgentTokens { did }).unwrap();
    let late = GrantConsent { id: "r".to_owned(), browser: [1; 32] };
    assert_eq!(cell.ask(late).err(), Some(Error::TokenRevoked));
}

#[test]
fn a_client_ends_its_own_sessions_and_no_others() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let (session, _) = session(&mut cell, &did, "r");
    let close = |client: &str| CloseOauthSession { id: session.id.clone(), client_id: client.to_owned() };
    assert_eq!(cell.ask(close("https://evil.test/client.json")).unwrap(), None);
    assert_eq!(cell.ask(close("https://app.example.com/client.json")).unwrap(), Some(did.clone()));
    assert_eq!(cell.ask(close("https://app.example.com/client.json")).unwrap(), None);
    assert!(generation(&mut cell, &did) > session.generation);
}

#[test]
fn an_account_has_so_many_sessions_and_requests_and_no_more() {
    let mut cell = Cell::new();
    let did = cell.person("alice.test", "alice@example.com");
    let mut first = None;
    for number in 0..super::super::limits::OAUTH_SESSIONS_MAX + 1 {
        let verifier = format!("{number:0>43}");
        let code_challenge = BASE64URL_NOPAD.encode(&sha256(verifier.as_bytes()));
        let id = number.to_string();
        begin_as(&mut cell, &did, &id, AuthorizationRequest { code_challenge, ..request(None) }).unwrap();
        let code = grant(&mut cell, &id).unwrap();
        let session =
            granted(cell.ask(RedeemCode { verifier: Hidden::new(verifier), ..redeem(&code) }).unwrap());
        first.get_or_insert(session);
        cell.now_us += SECOND_US;
    }
    assert!(!ended(cell.ask(refresh(&first.unwrap())).unwrap()), "the one unused longest has ended");
}
