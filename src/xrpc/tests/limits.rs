//! What a caller is told of its limits.

use axum::body::Body;
use axum::response::Response;
use http::{StatusCode, header};
use serde_json::json;

use super::world::{World, bearer};
use crate::rate_limit::{Rate, Rates};

/// A network with small limits.
fn world() -> World {
    World::with(|network| {
        network.write_rates = Rates::one(Rate::new(10, 3_600));
        network.sign_in_rates = Rates::one(Rate::new(3, 300));
    })
}

async fn post(world: &World, nsid: &str, authorization: &str, input: serde_json::Value) -> Response {
    let request =
        http::Request::post(format!("/xrpc/{nsid}")).header(header::CONTENT_TYPE, "application/json");
    let request = request.header(header::AUTHORIZATION, authorization).body(Body::from(input.to_string()));
    world.dispatcher.dispatch(nsid, request.unwrap()).await
}

fn said(response: &Response) -> (u16, Vec<&str>) {
    let names = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-policy", "retry-after"];
    let said = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
    (response.status().as_u16(), names.map(said).to_vec())
}

#[tokio::test]
async fn who_writes_is_told_what_is_left_and_when_there_is_more() {
    let world = world();
    let alice = world.person("alice").await;
    let token = bearer(&alice["accessJwt"]);
    let record = json!({"$type": "app.bsky.feed.post", "text": "x", "createdAt": "2026-01-01T00:00:00.000Z"});
    let input = json!({"repo": alice["did"], "collection": "app.bsky.feed.post", "record": record});
    for left in ["7", "4", "1"] {
        let answer = post(&world, "com.atproto.repo.createRecord", &token, input.clone()).await;
        assert_eq!(said(&answer), (200, vec!["10", left, "10;w=3600", ""]));
        let reset: i64 = answer.headers()["ratelimit-reset"].to_str().unwrap().parse().unwrap();
        assert!(reset > world.app.host.now_us() / 1_000_000);
    }
    let refused = post(&world, "com.atproto.repo.createRecord", &token, input.clone()).await;
    assert_eq!(said(&refused), (429, vec!["10", "1", "10;w=3600", "720"]));
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "tea"}});
    let refused = post(&world, "agent.memory.remember", &token, memory).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let uncounted = world.get("com.atproto.server.getSession", &token).await;
    assert_eq!(uncounted.status, 200, "reading goes on");
}

#[tokio::test]
async fn a_password_is_tried_so_often_and_its_owner_is_told_as_much() {
    let world = world();
    world.person("alice").await;
    let sign_in = |identifier: &'static str, password: &'static str| {
        let input = json!({"identifier": identifier, "password": password});
        world.post("com.atproto.server.createSession", "", input)
    };
    for _ in 0..3 {
        for name in ["alice.test", "nobody.test"] {
            assert_eq!(sign_in(name, "wrong").await.error(), (401, "AuthenticationRequired"));
        }
    }
    for name in ["alice.test", "ALICE@example.com", "nobody.test"] {
        assert_eq!(sign_in(name, "correct horse").await.error(), (429, "RateLimitExceeded"), "{name}");
    }
    let delete = json!({"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "password": "x", "token": "y"});
    assert_eq!(world.post("com.atproto.server.deleteAccount", "", delete).await.error().0, 401);
    world.host.now_us.fetch_add(100_000_000, std::sync::atomic::Ordering::Relaxed);
    sign_in("alice.test", "correct horse").await.ok();
}
