//! Handles, as others find them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::body::Body;
use serde_json::json;
use tower::ServiceExt as _;

use super::world::{ADMIN, World, bearer};
use crate::host::Net;
use crate::limits::{LOOKUPS_MAX, LOOKUPS_OF_ONE_MAX};

#[tokio::test]
async fn both_doors_say_the_same_of_a_handle() {
    let world = World::new();
    let alice = world.person("alice").await;
    let own = bearer(&alice["accessJwt"]);
    let doors = async || {
        let resolved = world.get("com.atproto.identity.resolveHandle?handle=alice.test", "").await;
        let request = http::Request::get("http://alice.test/.well-known/atproto-did");
        let router = crate::xrpc::router(Arc::clone(&world.app));
        let served = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (resolved.status.is_success(), served.status().is_success())
    };
    assert_eq!(doors().await, (true, true));
    world.post("com.atproto.server.deactivateAccount", &own, json!({})).await.ok();
    assert_eq!(doors().await, (false, false));
    world.post("com.atproto.server.activateAccount", &own, json!({})).await.ok();
    assert_eq!(doors().await, (true, true));
}

/// What breaks: one address with names that nobody answers for keeps all others from looking names up, and from threads and
/// sockets.
#[tokio::test]
async fn one_address_looks_up_few_handles_at_once() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let from = |last: u8| Net::of([192, 0, 2, last].into());
    let ask = |net: Net, number: usize| {
        let nsid = "com.atproto.identity.resolveHandle";
        let request = http::Request::get(format!("/xrpc/{nsid}?handle=n{number}.example.com")).extension(net);
        Box::pin(world.send(nsid, request, "", Body::empty()))
    };
    let held = world.host.internet.others_gate.lock().await;
    let mut waiting: Vec<_> = (0..LOOKUPS_OF_ONE_MAX).map(|number| ask(from(1), number)).collect();
    for lookup in &mut waiting {
        assert!(futures::poll!(lookup).is_pending());
    }
    let Poll::Ready(refused) = futures::poll!(ask(from(1), 100)) else { panic!("it is looked up as well") };
    assert_eq!(refused.status, 503);
    let nsid = "com.atproto.identity.updateHandle";
    let change = http::Request::post(format!("/xrpc/{nsid}")).extension(from(1));
    let change = change.header("content-type", "application/json");
    let change = world.send(nsid, change, &own, Body::from(r#"{"handle":"alice.example.com"}"#));
    let Poll::Ready(refused) = futures::poll!(Box::pin(change)) else { panic!("it is looked up as well") };
    assert_eq!(refused.status, 503);
    // What is here is found all the same.
    let known = http::Request::get("/xrpc/com.atproto.identity.resolveHandle?handle=alice.test");
    let known = world.send("com.atproto.identity.resolveHandle", known.extension(from(1)), "", Body::empty());
    known.await.ok();
    for last in 2..=u8::MAX {
        let mut lookup = ask(from(last), usize::from(last));
        if futures::poll!(&mut lookup).is_ready() {
            break;
        }
        waiting.push(lookup);
    }
    assert_eq!(waiting.len(), LOOKUPS_MAX, "all together");
    drop(held);
    for lookup in waiting {
        assert_eq!(lookup.await.error(), (400, "HandleNotFound"));
    }
    assert_eq!(ask(from(1), 0).await.error(), (400, "HandleNotFound"), "given back");
}

/// What breaks: who lost a domain is known by its name for ever; or an hour of silence takes a name from everybody.
#[tokio::test]
async fn a_handle_of_an_own_domain_is_shown_for_as_long_as_both_lead_to_each_other() {
    let world = World::new();
    let alice = world.person("alice").await;
    let (did, own) = (alice["did"].as_str().unwrap(), bearer(&alice["accessJwt"]));
    let internet = &world.host.internet;
    let lead = |to: Option<&str>| {
        let records = to.map(|to| vec![format!("did={to}")]).unwrap_or_default();
        internet.txt.lock().unwrap().insert("_atproto.alice.example.com".to_owned(), records);
    };
    let look = async || {
        world.host.now_us.fetch_add(28 * 3_600 * 1_000_000, Ordering::Relaxed);
        let next_us = world.app.check_handles().await.unwrap().unwrap();
        assert!(next_us > world.host.now_us.load(Ordering::Relaxed));
        let described = world.get(&format!("com.atproto.repo.describeRepo?repo={did}"), "").await.ok();
        let seen = world.get(&format!("com.atproto.admin.getAccountInfo?did={did}"), ADMIN).await.ok();
        assert_eq!(described["handle"], seen["handle"]);
        assert_eq!(described["handleIsCorrect"], seen["handle"] != "handle.invalid");
        let resolved = world.get("com.atproto.identity.resolveHandle?handle=alice.example.com", "").await;
        let heard = world.host.heard(did).pop().unwrap();
        (seen["handle"].as_str().unwrap().to_owned(), resolved.body["did"] == did, heard)
    };
    let is = |handle: &str, is_resolved: bool, heard: &str| {
        (handle.to_owned(), is_resolved, format!("identity {heard}"))
    };
    let (name, invalid) = ("alice.example.com", "handle.invalid");
    let good = is(name, true, name);
    lead(Some(did));
    world.post("com.atproto.identity.updateHandle", &own, json!({"handle": name})).await.ok();
    let heard = world.host.heard(did).len();
    assert_eq!(look().await, good);

    // Silence, of whomever.
    internet.dns_is_down.store(true, Ordering::Relaxed);
    assert_eq!(look().await.0, name);
    internet.dns_is_down.store(false, Ordering::Relaxed);
    internet.plc_is_down.store(true, Ordering::Relaxed);
    world.host.now_us.fetch_add(28 * 3_600 * 1_000_000, Ordering::Relaxed);
    world.app.check_handles().await.unwrap();
    internet.plc_is_down.store(false, Ordering::Relaxed);
    lead(None);
    internet.servers_down.lock().unwrap().insert(name.to_owned());
    assert_eq!(look().await.0, name);
    assert_eq!(world.host.heard(did).len(), heard, "nobody was told anything");

    // Nobody's, somebody else's, and back each time.
    internet.servers_down.lock().unwrap().clear();
    assert_eq!(look().await, is(invalid, false, invalid));
    assert_eq!(look().await, is(invalid, false, invalid));
    lead(Some(did));
    assert_eq!(look().await, good);
    lead(Some("did:plc:ewvi7nxzyoun6zhxrhs64oiz"));
    assert_eq!(look().await, is(invalid, false, invalid));
    lead(Some(did));
    assert_eq!(look().await, good);
    assert_eq!(world.host.heard(did).len(), heard + 4, "said when it changed, and then only");

    // The other way: the account's document names another.
    let (as_did, other) = (did.parse().unwrap(), "other.example.com".parse().unwrap());
    crate::app::plc::set_handle(&world.app, &as_did, &other).await.unwrap();
    assert_eq!(look().await.0, invalid);

    // Given once more, it is shown at once.
    let login = json!({"identifier": "alice@example.com", "password": "correct horse"});
    let session = world.post("com.atproto.server.createSession", "", login).await.ok();
    assert_eq!(session["handle"], invalid);
    let own = bearer(&session["accessJwt"]);
    world.post("com.atproto.identity.updateHandle", &own, json!({"handle": name})).await.ok();
    let described = world.get(&format!("com.atproto.repo.describeRepo?repo={did}"), "").await.ok();
    assert_eq!((&described["handle"], &described["handleIsCorrect"]), (&json!(name), &json!(true)));
}

/// What breaks: a question that the DNS did not answer, beside a file that somebody forgot, costs a name that the DNS gives.
#[tokio::test]
async fn what_the_dns_says_at_the_second_look_goes_before_a_file_too() {
    let world = World::new();
    let alice = world.person("alice").await;
    let (did, own) = (alice["did"].as_str().unwrap(), bearer(&alice["accessJwt"]));
    let (internet, name) = (&world.host.internet, "alice.example.com");
    let records = |text: String| BTreeMap::from([(format!("_atproto.{name}"), vec![text])]);
    *internet.txt.lock().unwrap() = records(format!("did={did}"));
    world.post("com.atproto.identity.updateHandle", &own, json!({"handle": name})).await.ok();
    let other = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    let file = (format!("https://{name}/.well-known/atproto-did"), other.into());
    internet.documents.lock().unwrap().extend([file]);
    let look = async |misses: usize| {
        world.host.now_us.fetch_add(28 * 3_600 * 1_000_000, Ordering::Relaxed);
        internet.dns_misses.store(misses, Ordering::Relaxed);
        world.app.check_handles().await.unwrap();
        internet.dns_misses.store(0, Ordering::Relaxed);
        let seen = world.get(&format!("com.atproto.admin.getAccountInfo?did={did}"), ADMIN).await.ok();
        seen["handle"].as_str().unwrap().to_owned()
    };
    for misses in 0..3 {
        assert_eq!(look(misses).await, name, "{misses} questions were not answered");
    }
    for said in [format!("did={other}"), "v=spf1".to_owned()] {
        *internet.txt.lock().unwrap() = records(said.clone());
        for misses in 0..3 {
            *internet.txt.lock().unwrap() = records(format!("did={did}"));
            assert_eq!(look(0).await, name);
            *internet.txt.lock().unwrap() = records(said.clone());
            let expected = if misses < 2 { "handle.invalid" } else { name };
            assert_eq!(look(misses).await, expected, "{said}: {misses} questions were not answered");
        }
    }
}
