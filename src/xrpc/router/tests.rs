//! Paths, as any client and any web page sees them.

use std::convert::Infallible;

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

#[tokio::test]
async fn options_are_answered_without_a_preflight_too() {
    let world = World::new();
    for path in
        ["/xrpc/com.atproto.repo.createRecord", "/xrpc/_health", "/.well-known/did.json", "/", "/robots.txt"]
    {
        let (parts, body) = send(&world, Request::options(path).body(Body::empty()).unwrap()).await;
        assert_eq!((parts.status, body.as_str()), (StatusCode::NO_CONTENT, ""), "{path}");
        assert!(parts.headers[header::ALLOW].to_str().unwrap().contains("GET"), "{path}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut coder, bytes).unwrap();
    coder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut coder, bytes).unwrap();
    coder.finish().unwrap()
}

/// What breaks: what comes after a body's first part is lost, and the sender is told that all was taken.
#[tokio::test]
async fn a_compressed_body_decodes_to_its_end_or_is_refused() {
    let world = World::new();
    let alice = world.person("alice").await;
    let two = [gzip(b"first half, "), gzip(b"second half")].concat();
    let many = gzip(b"x").repeat(10_000);
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 3].to_vec();
    let table = [
        (&["gzip"][..], gzip(b"hello"), Ok(5)),
        (&["GZIP"], gzip(b"hello"), Ok(5)),
        (&["x-gzip"], gzip(b"hello"), Ok(5)),
        (&[" Deflate "], deflate(b"hello"), Ok(5)),
        (&["Identity"], b"hello".to_vec(), Ok(5)),
        (&["gzip"], two.clone(), Ok(23)),
        (&["gzip"], many, Ok(10_000)),
        (&["gzip"], cut(two.clone()), Err(400)),
        (&["gzip"], cut(gzip(b"hello")), Err(400)),
        (&["deflate"], cut(deflate(b"hello")), Err(400)),
        (&["gzip"], [two, b"GARBAGE".to_vec()].concat(), Err(400)),
        (&["gzip"], [gzip(b"hello"), vec![0]].concat(), Err(400)),
        (&["deflate"], [deflate(b"hello"), b"GARBAGE".to_vec()].concat(), Err(400)),
        (&["deflate"], [deflate(b"hello"), deflate(b"hello")].concat(), Ok(10)),
        (&["gzip"], gzip(&vec![0; (1 << 20) + 1]), Err(413)),
        (&["gzip, gzip"], gzip(&gzip(b"hello")), Err(415)),
        (&["gzip", "gzip"], gzip(&gzip(b"hello")), Err(415)),
        (&["BR"], b"hello".to_vec(), Err(415)),
        (&[""], b"hello".to_vec(), Err(415)),
    ];
    for (codings, body, expected) in table {
        // Whole, byte by byte, and in two parts.
        let splits = if body.len() < 100 { body.len() } else { 1 };
        for first in 0..=splits {
            let mut request = Request::post("/xrpc/com.atproto.repo.uploadBlob")
                .header(header::AUTHORIZATION, format!("Bearer {}", alice["accessJwt"].as_str().unwrap()))
                .header(header::CONTENT_TYPE, "application/octet-stream");
            for coding in codings {
                request = request.header(header::CONTENT_ENCODING, *coding);
            }
            let (start, end) = body.split_at(first);
            let chunks =
                start.chunks(1.max(first)).chain(end.chunks(if first == 0 { 1 } else { body.len() }));
            let chunks: Vec<_> = chunks.map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();
            let body = Body::from_stream(futures::stream::iter(chunks));
            let (parts, answer) = send(&world, request.body(body).unwrap()).await;
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
            let found = match parts.status {
                StatusCode::OK => Ok(answer["blob"]["size"].as_u64().unwrap()),
                status => Err(status.as_u16()),
            };
            assert_eq!(found, expected, "{codings:?} {answer}");
            if found.is_err() {
                assert!(answer["error"].is_string(), "{codings:?} {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_may_come_compressed_and_is_bounded_as_what_it_was() {
    let world = World::new();
    let alice = world.person("alice").await;
    let call = |nsid: &str, kind: &str, coding: &str, body: Vec<u8>| {
        let request = Request::post(format!("/xrpc/{nsid}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", alice["accessJwt"].as_str().unwrap()))
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_ENCODING, coding);
        send(&world, request.body(Body::from(body)).unwrap())
    };
    let create = "com.atproto.repo.createRecord";
    let record = |text: &str| {
        let record = serde_json::json!({ "text": text });
        serde_json::json!({ "repo": alice["did"], "collection": "com.example.z", "record": record })
            .to_string()
    };
    let taken = call(create, "application/json", "gzip", gzip(record("small").as_bytes())).await;
    assert_eq!(taken.0.status, StatusCode::OK, "{}", taken.1);
    // A few kilobytes that are two megabytes.
    let bomb = gzip(record(&" ".repeat(2 << 20)).as_bytes());
    assert!(bomb.len() < 10_000);
    let (parts, answer) = call(create, "application/json", "gzip", bomb).await;
    assert_eq!(parts.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    let (parts, answer) = call(create, "application/json", "gzip", b"not gzip".to_vec()).await;
    assert_eq!(parts.status, StatusCode::BAD_REQUEST, "{answer}");
    let (parts, answer) = call(create, "application/json", "br, gzip", gzip(b"{}")).await;
    assert_eq!(parts.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{answer}");
    assert_eq!(parts.headers[header::ACCEPT_ENCODING], "gzip, deflate");

    let blob = call("com.atproto.repo.uploadBlob", "text/plain", "gzip", gzip(b"hello")).await.1;
    let blob: serde_json::Value = serde_json::from_str(&blob).unwrap();
    assert_eq!(blob["blob"]["size"], 5, "{blob}");
}
