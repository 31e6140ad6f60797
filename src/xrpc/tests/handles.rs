//! Handles, as others find them.

use std::sync::Arc;

use axum::body::Body;
use serde_json::json;
use tower::ServiceExt as _;

use super::world::{World, bearer};

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
