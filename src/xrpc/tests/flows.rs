//! Changes of several steps whose caller hangs up, whose server stops, or whose PLC directory keeps silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::{ADMIN, Answer, World, bearer};
use crate::directory::{BeginFlow, Flow, GetFlow, ListReservations};
use crate::syntax::Did;

const CREATE_ACCOUNT: &str = "com.atproto.server.createAccount";
const CREATE_AGENT: &str = "agent.admin.createAgent";
const DELETE_AGENT: &str = "agent.admin.deleteAgent";
const ACTIVATE: &str = "com.atproto.server.activateAccount";
const DEACTIVATE: &str = "com.atproto.server.deactivateAccount";
const UPDATE_HANDLE: &str = "com.atproto.identity.updateHandle";

fn bob() -> Value {
    json!({"handle": "bob.test", "email": "bob@example.com", "password": "correct horse"})
}

/// Asks while the did:plc directory takes no operation, hangs up, and then lets the directory go on.
async fn hang_up_during(world: &World, nsid: &str, authorization: &str, body: Value) {
    let gate = Arc::clone(&world.host.internet.plc_gate).lock_owned().await;
    let call = world.post(nsid, authorization, body);
    let waited = tokio::time::timeout(Duration::from_millis(500), call).await;
    assert!(waited.is_err(), "the call had to wait for the directory");
    drop(gate);
}

/// Asks until the answer is as wanted: what goes on without a caller ends when it ends.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within five seconds");
}

/// Whether the did:plc directory is heard: it does what it is asked either way.
fn mute(world: &World, is_mute: bool) {
    world.host.internet.plc_is_mute.store(is_mute, Ordering::Relaxed);
}

/// Whether what is posted to the did:plc directory is lost, so that a change stays recorded.
fn lose_posts(world: &World, are_lost: bool) {
    world.host.internet.plc_loses_posts.store(are_lost, Ordering::Relaxed);
}

/// A change that is recorded: nobody knows whether the did:plc directory has taken its operation.
async fn leave_recorded(world: &World, nsid: &str, authorization: &str, body: Value) {
    lose_posts(world, true);
    let answer = world.post(nsid, authorization, body).await;
    assert_eq!(answer.error(), (502, "UpstreamFailure"));
    assert!(
        answer.body["message"].as_str().unwrap().contains("is finished when it answers"),
        "{}",
        answer.body
    );
    lose_posts(world, false);
}

async fn agent(world: &World, name: &str) -> (String, String) {
    let made = world.post(CREATE_AGENT, ADMIN, json!({"name": name})).await.ok();
    (made["did"].as_str().unwrap().to_owned(), bearer(&made["token"]))
}

async fn recorded(world: &World, did: &str) -> Option<Flow> {
    world.app.directory(GetFlow { did: Did::try_from(did).unwrap() }).await.unwrap()
}

async fn begin(world: &World, did: &str, flow: Flow) {
    world.app.directory(BeginFlow { did: Did::try_from(did).unwrap(), flow }).await.unwrap();
}

async fn status(world: &World, did: &str) -> Value {
    world.get(&format!("com.atproto.sync.getRepoStatus?did={did}"), "").await.ok()["status"].clone()
}

async fn resolve(world: &World, handle: &str) -> Answer {
    world.get(&format!("com.atproto.identity.resolveHandle?handle={handle}"), "").await
}

/// The document and the server name the same handle.
async fn assert_handle(world: &World, did: &str, handle: &str) {
    assert_eq!(world.host.document(did)["alsoKnownAs"], json!([format!("at://{handle}")]));
    assert_eq!(resolve(world, handle).await.ok()["did"], did);
    let described = world.get(&format!("com.atproto.repo.describeRepo?repo={did}"), "").await.ok();
    assert_eq!((&described["handle"], &described["handleIsCorrect"]), (&json!(handle), &json!(true)));
}

#[tokio::test]
async fn an_account_is_there_though_its_caller_hung_up() {
    let world = World::new();
    hang_up_during(&world, CREATE_ACCOUNT, "", bob()).await;
    let login = json!({"identifier": "bob.test", "password": "correct horse"});
    let session = until("a session", async || {
        let answer = world.post("com.atproto.server.createSession", "", login.clone()).await;
        answer.status.is_success().then_some(answer.body)
    })
    .await;
    let did = session["did"].as_str().unwrap();
    assert_handle(&world, did, "bob.test").await;
    let record = json!({"repo": did, "collection": "test.zap.note", "record": {"text": "here"}});
    world.post("com.atproto.repo.createRecord", &bearer(&session["accessJwt"]), record).await.ok();
}

#[tokio::test]
async fn a_name_is_free_again_when_the_directory_failed_behind_a_caller_that_hung_up() {
    let world = World::new();
    let gate = Arc::clone(&world.host.internet.plc_gate).lock_owned().await;
    let call = world.post(CREATE_ACCOUNT, "", bob());
    assert!(tokio::time::timeout(Duration::from_millis(500), call).await.is_err());
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let reservations = async || world.app.directory(ListReservations { limit: 10 }).await.unwrap();
    assert_eq!(reservations().await.len(), 1);
    drop(gate);
    until("the name given back", async || reservations().await.is_empty().then_some(())).await;
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    let again = world.post(CREATE_ACCOUNT, "", bob()).await.ok();
    assert_handle(&world, again["did"].as_str().unwrap(), "bob.test").await;
}

#[tokio::test]
async fn an_agent_s_token_waits_for_the_caller_that_hung_up() {
    let world = World::new();
    let alice = json!({"name": "alice"});
    hang_up_during(&world, CREATE_AGENT, ADMIN, alice.clone()).await;
    until("alice", async || resolve(&world, "alice.test").await.status.is_success().then_some(())).await;
    let made = world.post(CREATE_AGENT, ADMIN, alice.clone()).await.ok();
    let session = world.get("com.atproto.server.getSession", &bearer(&made["token"])).await.ok();
    assert_eq!(session["did"], made["did"]);
    // It is given out once.
    assert_eq!(world.post(CREATE_AGENT, ADMIN, alice).await.error(), (400, "HandleNotAvailable"));
}

#[tokio::test]
async fn one_of_many_who_ask_for_the_same_agent_at_once_gets_its_token() {
    let world = World::new();
    let calls = (0..20).map(|_| world.post(CREATE_AGENT, ADMIN, json!({"name": "alice"})));
    let answers = futures::future::join_all(calls).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status.is_success());
    assert_eq!(made.len(), 1);
    for answer in &refused {
        assert_eq!(answer.error(), (400, "HandleNotAvailable"), "{}", answer.body);
    }
    let session = world.get("com.atproto.server.getSession", &bearer(&made[0].body["token"])).await.ok();
    assert_eq!(session["did"], made[0].body["did"]);
}

#[tokio::test]
async fn a_handle_is_changed_though_its_caller_hung_up() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    hang_up_during(&world, UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
    until("robert", async || resolve(&world, "robert.test").await.status.is_success().then_some(())).await;
    until("the word to the network", async || {
        world.host.heard(did).contains(&"identity robert.test".to_owned()).then_some(())
    })
    .await;
    assert_handle(&world, did, "robert.test").await;
    assert_eq!(resolve(&world, "bob.test").await.error(), (400, "HandleNotFound"));
}

#[tokio::test]
async fn document_and_server_agree_after_an_answer_that_was_lost() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap().to_owned(), bearer(&person["accessJwt"]));
    // The operation is taken, and nobody hears so: it is the directory's gate that makes it silent in between.
    let gate = Arc::clone(&world.host.internet.plc_gate).lock_owned().await;
    let call = world.post(UPDATE_HANDLE, &own, json!({"handle": "robert.test"}));
    let silence = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        mute(&world, true);
        drop(gate);
    };
    let (answer, ()) = futures::join!(call, silence);
    assert_eq!(answer.error(), (502, "UpstreamFailure"));
    assert!(
        answer.body["message"].as_str().unwrap().contains("is finished when it answers"),
        "{}",
        answer.body
    );
    assert_eq!(world.host.document(&did)["alsoKnownAs"], json!(["at://robert.test"]));

    // It stays silent: the change waits.
    world.app.resume_flows().await.unwrap();
    assert_eq!(resolve(&world, "bob.test").await.ok()["did"], did.as_str());
    // Also through a restart. Then all say the same.
    let world = world.restarted();
    mute(&world, false);
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, &did, "robert.test").await;
    assert!(world.host.heard(&did).contains(&"identity robert.test".to_owned()));
}

#[tokio::test]
async fn a_change_that_had_not_begun_leaves_nothing_behind() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let answer = world.post(UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
    assert_eq!(answer.error(), (502, "UpstreamFailure"));
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, did, "bob.test").await;
}

#[tokio::test]
async fn the_later_of_two_changes_holds() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    hang_up_during(&world, UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
    world.post(UPDATE_HANDLE, &own, json!({"handle": "bobby.test"})).await.ok();
    assert_handle(&world, did, "bobby.test").await;
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, did, "bobby.test").await;
}

#[tokio::test]
async fn a_deletion_goes_on_though_its_caller_hung_up() {
    let world = World::new();
    let made = world.post(CREATE_AGENT, ADMIN, json!({"name": "alice"})).await.ok();
    let did = made["did"].as_str().unwrap();
    hang_up_during(&world, DELETE_AGENT, ADMIN, json!({"agent": did})).await;
    until("the cell's end", async || (!world.host.has_cell(did)).then_some(())).await;
    assert_eq!(resolve(&world, "alice.test").await.error(), (400, "HandleNotFound"));
    assert_eq!(world.host.ask_plc(&format!("/{did}/log/last"))["type"], "plc_tombstone");
}

#[tokio::test]
async fn a_deletion_goes_on_though_the_directory_was_down_in_its_middle() {
    let world = World::new();
    let (did, own) = agent(&world, "alice").await;
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let answer = world.post(DELETE_AGENT, ADMIN, json!({"agent": did})).await;
    assert_eq!(answer.error(), (502, "UpstreamFailure"));
    let session = world.get("com.atproto.server.getSession", &own).await;
    assert_eq!(session.error(), (400, "InvalidToken"), "its token is gone");
    let world = world.restarted();
    assert_eq!(status(&world, &did).await, "deactivated");
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    world.app.resume_flows().await.unwrap();
    assert!(!world.host.has_cell(&did));
    assert_eq!(world.host.ask_plc(&format!("/{did}/log/last"))["type"], "plc_tombstone");
    assert_eq!(recorded(&world, &did).await, None);
}

#[tokio::test]
async fn who_asks_again_while_the_directory_keeps_silent_ends_nothing() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    let wish = json!({"handle": "robert.test"});
    leave_recorded(&world, UPDATE_HANDLE, &own, wish.clone()).await;
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    let again = world.post(UPDATE_HANDLE, &own, wish).await;
    assert!(
        again.body["message"].as_str().unwrap().contains("is finished when it answers"),
        "{}",
        again.body
    );
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, did, "robert.test").await;
}

#[tokio::test]
async fn a_page_in_the_directory_s_place_is_no_word_of_it() {
    for page in [
        (200, "<html>maintenance</html>"),
        (200, "[]"),
        (403, "<html>prove that you are human</html>"),
        (404, "<html>no such page</html>"),
        (429, r#"{"message": "later"}"#),
        (503, "busy"),
        (504, ""),
    ] {
        let world = World::new();
        let person = world.person("bob").await;
        let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
        leave_recorded(&world, UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
        *world.host.internet.plc_gateway.lock().unwrap() = Some(page);
        let signup =
            json!({"handle": "carol.test", "email": "carol@example.com", "password": "correct horse"});
        assert_eq!(world.post(CREATE_ACCOUNT, "", signup).await.error(), (502, "UpstreamFailure"));
        world.app.resume_flows().await.unwrap();
        *world.host.internet.plc_gateway.lock().unwrap() = None;
        world.app.resume_flows().await.unwrap();
        assert_handle(&world, did, "robert.test").await;
        assert_eq!(resolve(&world, "carol.test").await.error(), (400, "HandleNotFound"));
    }
}

/// What breaks: a directory that gives another's log is signed an operation for that other, whose name it then has, or
/// whose end.
#[tokio::test]
async fn a_directory_that_gives_the_log_of_another_is_signed_nothing() {
    let world = World::new();
    let person = world.person("bob").await;
    let (own, (alice, _), (carol, _)) =
        (bearer(&person["accessJwt"]), agent(&world, "alice").await, agent(&world, "carol").await);
    let posts =
        || world.host.internet.asked.lock().unwrap().iter().filter(|asked| asked.starts_with("POST")).count();
    let before = (world.host.ask_plc(&format!("/{carol}/log")), posts());
    for (asked, wish) in [
        (person["did"].as_str().unwrap(), world.post(UPDATE_HANDLE, &own, json!({"handle": "robert.test"}))),
        (alice.as_str(), world.post(DELETE_AGENT, ADMIN, json!({"agent": alice}))),
    ] {
        *world.host.internet.plc_confuses.lock().unwrap() = Some((asked.to_owned(), carol.clone()));
        assert_eq!(wish.await.error(), (502, "UpstreamFailure"));
    }
    assert_eq!((world.host.ask_plc(&format!("/{carol}/log")), posts()), before);
    *world.host.internet.plc_confuses.lock().unwrap() = None;
    world.app.resume_flows().await.unwrap();
    assert!(!world.host.has_cell(&alice), "it goes on when the directory is right");
}

#[tokio::test]
async fn of_two_who_want_one_handle_the_other_keeps_its_own() {
    let world = World::new();
    let people = [world.person("bob").await, world.person("carol").await];
    let wish = json!({"handle": "robert.test"});
    let owners = people.each_ref().map(|person| bearer(&person["accessJwt"]));
    let [first, second] = owners.each_ref().map(|own| world.post(UPDATE_HANDLE, own, wish.clone()));
    let (first, second) = futures::join!(first, second);
    assert_ne!(first.status.is_success(), second.status.is_success());
    for (person, (answer, own)) in people.iter().zip([(first, "bob.test"), (second, "carol.test")]) {
        let handle = if answer.status.is_success() { "robert.test" } else { own };
        assert_handle(&world, person["did"].as_str().unwrap(), handle).await;
    }
}

#[tokio::test]
async fn changes_are_made_in_the_order_in_which_they_were_asked_for() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    let gate = Arc::clone(&world.host.internet.plc_gate);
    let mut closed = Arc::clone(&gate).lock_owned().await;
    let names: Vec<String> = (0..6).map(|number| format!("robert{number}.test")).collect();
    // One asks after the other, while the directory takes one operation at a time.
    const APART: Duration = Duration::from_millis(20);
    let calls = (0..6).zip(&names).map(async |(number, name)| {
        tokio::time::sleep(APART * number).await;
        world.post(UPDATE_HANDLE, &own, json!({"handle": name})).await
    });
    let opens = async {
        for _ in 0..8 {
            tokio::time::sleep(APART * 3 / 2).await;
            drop(closed);
            closed = Arc::clone(&gate).lock_owned().await;
        }
        drop(closed);
    };
    let (answers, ()) = futures::join!(futures::future::join_all(calls), opens);
    assert!(answers.iter().all(|answer| answer.status.is_success()));
    assert_handle(&world, did, "robert5.test").await;
    let mut heard = world.host.heard(did);
    heard.retain(|heard| heard.starts_with("identity robert"));
    assert_eq!(heard, names.iter().map(|name| format!("identity {name}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_handle_on_its_way_is_nobody_elses() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    leave_recorded(&world, UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
    let refused = world.post(CREATE_AGENT, ADMIN, json!({"name": "robert"})).await;
    assert_eq!(refused.error(), (400, "HandleNotAvailable"));
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, did, "robert.test").await;
}

#[tokio::test]
async fn a_later_wish_takes_the_place_of_one_that_waits() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    leave_recorded(&world, UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
    world.post(UPDATE_HANDLE, &own, json!({"handle": "bobby.test"})).await.ok();
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, did, "bobby.test").await;

    // Nor is an account woken that was put to rest since, though the directory can't be reached.
    world.post(DEACTIVATE, &own, json!({})).await.ok();
    begin(&world, did, Flow::Activate).await;
    world.host.internet.plc_is_down.store(true, Ordering::Relaxed);
    world.post(DEACTIVATE, &own, json!({})).await.ok();
    world.host.internet.plc_is_down.store(false, Ordering::Relaxed);
    world.app.resume_flows().await.unwrap();
    assert_eq!(status(&world, did).await, "deactivated");
    world.post(ACTIVATE, &own, json!({})).await.ok();
}

/// What breaks: what was read before the account's turn came is done over what was wished since.
#[tokio::test]
async fn only_what_is_still_recorded_is_gone_on_with() {
    let world = World::new();
    // In the order of DIDs, the first keeps those who go on waiting.
    let mut people = [world.person("bob").await, world.person("carol").await];
    people.sort_by_key(|person| person["did"].as_str().unwrap().to_owned());
    for (person, name) in people.iter().zip(["robert.test", "caroline.test"]) {
        leave_recorded(&world, UPDATE_HANDLE, &bearer(&person["accessJwt"]), json!({"handle": name})).await;
    }
    let [_, second] = &people;
    let (did, own) = (second["did"].as_str().unwrap(), bearer(&second["accessJwt"]));
    let gate = Arc::clone(&world.host.internet.plc_gate).lock_owned().await;
    let resume = world.app.resume_flows();
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(gate);
        world.post(UPDATE_HANDLE, &own, json!({"handle": "later.test"})).await.ok();
    };
    let (resumed, ()) = futures::join!(resume, meanwhile);
    resumed.unwrap();
    world.app.resume_flows().await.unwrap();
    assert_handle(&world, did, "later.test").await;
}

#[tokio::test]
async fn a_deleted_owner_s_document_is_not_changed_any_more() {
    let world = World::new();
    let person = world.person("bob").await;
    let (did, own) = (person["did"].as_str().unwrap(), bearer(&person["accessJwt"]));
    leave_recorded(&world, UPDATE_HANDLE, &own, json!({"handle": "robert.test"})).await;
    world.post("com.atproto.admin.deleteAccount", ADMIN, json!({"did": did})).await.ok();
    world.app.resume_flows().await.unwrap();
    assert_eq!(world.host.document(did)["alsoKnownAs"], json!(["at://bob.test"]));
    assert_eq!(recorded(&world, did).await, None);
}

#[tokio::test]
async fn an_agent_that_the_directory_does_not_know_can_be_deleted() {
    let world = World::new();
    let (did, _) = agent(&world, "alice").await;
    world.host.internet.forget_did(&did);
    world.post(DELETE_AGENT, ADMIN, json!({"agent": did})).await.ok();
    assert!(!world.host.has_cell(&did));
}

#[tokio::test]
async fn a_waiting_token_is_for_who_asks_for_the_same_agent() {
    let world = World::new();
    let alice = json!({"name": "alice", "model": "small"});
    hang_up_during(&world, CREATE_AGENT, ADMIN, alice.clone()).await;
    until("alice", async || resolve(&world, "alice.test").await.status.is_success().then_some(())).await;
    let key = crate::crypto::SigningKey::from_bytes(&[7; 32]).unwrap().did_key();
    for other in [json!({"name": "alice"}), json!({"name": "alice", "model": "small", "recoveryKey": key})] {
        assert_eq!(world.post(CREATE_AGENT, ADMIN, other).await.error(), (400, "HandleNotAvailable"));
    }
    world.post(CREATE_AGENT, ADMIN, alice).await.ok();
}
