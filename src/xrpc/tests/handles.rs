//! Handles, as others find them.

use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use serde_json::json;
use tower::ServiceExt as _;

use super::world::{World, bearer};
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
