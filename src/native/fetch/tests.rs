//! Against a server on loopback: what is refused, and what comes back.

use axum::Router;
use axum::routing::get;

use super::*;
use crate::limits::FETCH_BODY_BYTES_MAX;

/// Serves a few pages on a free port until the test ends.
async fn serve() -> u16 {
    let app = Router::new()
        .route("/small", get(|| async { ([("x-kind", "small")], "hello") }))
        .route("/large", get(|| async { vec![b'x'; FETCH_BODY_BYTES_MAX + 1] }))
        .route("/away", get(|| async { axum::response::Redirect::temporary("http://127.0.0.1:1/") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

fn fetcher(allow_loopback: bool, trusted_origins: Vec<String>) -> Fetcher {
    Fetcher::new(FetchPolicy { allow_loopback, trusted_origins }).unwrap()
}

async fn get_url(fetcher: &Fetcher, url: &str) -> Result<http::Response<Bytes>, String> {
    let request = http::Request::get(url).body(Bytes::new()).map_err(|error| error.to_string())?;
    fetcher.fetch(request).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn loopback_is_reached_only_where_allowed_or_trusted() {
    let port = serve().await;
    let open = fetcher(true, Vec::new());
    for host in ["127.0.0.1", "localhost", "pds.localhost"] {
        let answer = get_url(&open, &format!("http://{host}:{port}/small")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, &b"hello"[..]));
        assert_eq!(answer.headers()["x-kind"], "small");
    }
    let closed = fetcher(false, Vec::new());
    for url in [
        format!("http://127.0.0.1:{port}/small"),
        format!("http://localhost:{port}/small"),
        format!("https://localhost:{port}/small"),
        format!("https://127.0.0.1:{port}/small"),
        format!("https://2130706433:{port}/small"), // 127.0.0.1 as one number
        format!("https://0x7f.1:{port}/small"),
        format!("https://[::1]:{port}/small"),
        format!("https://[::ffff:127.0.0.1]:{port}/small"),
        "https://169.254.169.254/latest".to_owned(),
        "https://0.0.0.0/".to_owned(),
    ] {
        let error = get_url(&closed, &url).await.unwrap_err();
        assert!(error.contains("not a public one") || error.contains("plain http"), "{url}: {error}");
    }
    let trusting = fetcher(false, vec![format!("http://127.0.0.1:{port}")]);
    let operators =
        |url: String| http::Request::get(url).extension(ToOperatorsOrigin).body(Bytes::new()).unwrap();
    let small = format!("http://127.0.0.1:{port}/small");
    assert!(trusting.fetch(operators(small.clone())).await.is_ok());
    assert!(trusting.fetch(operators(format!("http://localhost:{port}/small"))).await.is_err());
    assert!(get_url(&trusting, &small).await.is_err(), "a stranger named it");
}

#[test]
fn a_name_of_this_network_is_refused_as_an_unknown_one() {
    let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
    let unknown = allowed(std::iter::empty(), false);
    assert!(unknown.is_err());
    assert_eq!(allowed([address("10.0.0.7"), address("::1")].into_iter(), false), unknown);
    let public = address("203.0.114.1");
    assert_eq!(allowed([address("10.0.0.7"), public].into_iter(), false), Ok(vec![public]));
}

#[tokio::test]
async fn allowing_loopback_allows_no_other_private_address() {
    let open = fetcher(true, Vec::new());
    for url in ["https://10.0.0.1/", "https://[fd00::1]/", "http://8.8.8.8/", "ftp://localhost/", "/relative"]
    {
        assert!(get_url(&open, url).await.is_err(), "{url}");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_not_followed() {
    let port = serve().await;
    let open = fetcher(true, Vec::new());
    let error = get_url(&open, &format!("http://127.0.0.1:{port}/large")).await.unwrap_err();
    assert!(error.contains("the answer is over"), "{error}");
    let answer = get_url(&open, &format!("http://127.0.0.1:{port}/away")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 307);
    let missing = get_url(&open, &format!("http://127.0.0.1:{port}/none")).await.unwrap();
    assert_eq!(missing.status().as_u16(), 404);
}

#[tokio::test]
async fn a_dead_port_is_an_error_that_names_the_host() {
    let error = get_url(&fetcher(true, Vec::new()), "http://127.0.0.1:1/").await.unwrap_err();
    assert!(error.starts_with("127.0.0.1: "), "{error}");
}
