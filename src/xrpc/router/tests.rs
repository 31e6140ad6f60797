//! Paths, as any client and any web page sees them.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use tower::ServiceExt as _;

use crate::xrpc::tests::world::World;

async fn send(world: &World, request: Request<Body>) -> (http::response::Parts, String) {
    let router = super::router(std::sync::Arc::clone(&world.app));
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(world: &World, path: &str) -> (http::response::Parts, String) {
    send(world, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_fixed_pages_say_who_this_is() {
    let world = World::new();
    let (parts, home) = get(&world, "/").await;
    assert_eq!(parts.status, StatusCode::OK);
    assert!(home.contains("http://localhost:2583"));
    assert!(get(&world, "/robots.txt").await.1.contains("User-agent: *"));
    let (parts, health) = get(&world, "/xrpc/_health").await;
    assert_eq!(parts.status, StatusCode::OK);
    assert_eq!(health, format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION")));
    let (_, document) = get(&world, "/.well-known/did.json").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["id"], "did:web:localhost%3A2583");
    assert_eq!(document["service"][0]["serviceEndpoint"], "http://localhost:2583");
}

#[tokio::test]
async fn a_handles_host_names_its_did() {
    let world = World::new();
    let made = world.person("alice").await;
    let ask = |host: &str| {
        Request::get("/.well-known/atproto-did").header(header::HOST, host).body(Body::empty()).unwrap()
    };
    let (parts, did) = send(&world, ask("alice.test:2583")).await;
    assert_eq!((parts.status, did.as_str()), (StatusCode::OK, made["did"].as_str().unwrap()));
    assert!(parts.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
    for other in ["bob.test", "localhost:2583"] {
        assert_eq!(send(&world, ask(other)).await.0.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn methods_may_be_called_by_any_page_and_pages_may_not() {
    let world = World::new();
    for path in
        ["/xrpc/_health", "/xrpc/com.example.unknown", "/agents", "/xrpc/no%ff", "/.well-known/did.json"]
    {
        let (parts, _) = get(&world, path).await;
        assert_eq!(parts.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
    }
    for path in ["/", "/nowhere", "/robots.txt"] {
        let (parts, _) = get(&world, path).await;
        assert!(!parts.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
    }
    let preflight = Request::options("/xrpc/com.atproto.repo.createRecord")
        .header(header::ORIGIN, "https://app.example.com")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")
        .body(Body::empty())
        .unwrap();
    let (parts, _) = send(&world, preflight).await;
    assert_eq!(parts.status, StatusCode::NO_CONTENT);
    assert_eq!(parts.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization,content-type");
    assert!(parts.headers[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains("POST"));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_flat_json() {
    let world = World::new();
    let table = [
        (Method::GET, "/nowhere", 404, "NotFound"),
        (Method::POST, "/robots.txt", 405, "InvalidRequest"),
        (Method::GET, "/xrpc/", 404, "NotFound"),
        (Method::GET, "/xrpc/not-an-nsid", 404, "InvalidRequest"),
        (Method::GET, "/xrpc/com.example.unknown", 501, "MethodNotImplemented"),
        (Method::GET, "/xrpc/com.atproto.server.createSession", 405, "InvalidRequest"),
        (Method::DELETE, "/xrpc/com.atproto.server.describeServer", 405, "InvalidRequest"),
    ];
    for (method, path, status, name) in table {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (parts, body) = send(&world, request).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((parts.status.as_u16(), body["error"].as_str()), (status, Some(name)), "{path}");
    }
}

#[tokio::test]
async fn head_is_a_get_without_its_body() {
    let world = World::new();
    for path in ["/xrpc/_health", "/xrpc/com.atproto.server.describeServer"] {
        let request = Request::head(path).body(Body::empty()).unwrap();
        assert_eq!(send(&world, request).await.0.status, StatusCode::OK, "{path}");
    }
}
