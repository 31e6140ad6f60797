//! The did:plc directory over HTTP, for `zap dev` and tests.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::label::{self, NetworkId, Part};
use super::sql::{Database, Durability};
use crate::{plc, store::SqlError};

/// Opens or creates the directory's database, which belongs to a network: the DIDs of another are not this one's.
///
/// # Errors
/// [`SqlError`] when the file cannot be opened or migrated; [`SqlError::Misplaced`] when it belongs elsewhere.
pub fn open(path: &Path, network: NetworkId) -> Result<Database, SqlError> {
    let database = Database::open(path, Durability::Full)?;
    label::claim(&database, network, Part::Plc)?;
    plc::prepare(&database)?;
    Ok(database)
}

/// The directory's whole HTTP interface. One request at a time reaches the database, off the async threads.
pub fn router(database: Database) -> Router {
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(plc::BODY_BYTES_MAX))
        .with_state(Arc::new(Mutex::new(database)))
}

async fn serve(
    State(database): State<Arc<Mutex<Database>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let served = tokio::task::spawn_blocking(move || {
        // A panic while the lock was held has undone its transaction; the connection is sound.
        let database = database.lock().unwrap_or_else(PoisonError::into_inner);
        let request = plc::Request {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            body: &body,
        };
        plc::handle(&*database, now_us(), &request)
    });
    match served.await {
        Ok(response) => {
            let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers =
                [(header::CONTENT_TYPE, response.content_type), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
            (status, headers, Body::from(response.body)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the did:plc directory stopped in the middle of a request");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn now_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SigningKey;
    use crate::identity::{AtprotoData, PlcOperation, tests::CountingRng};
    use crate::native::files::Files;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// One exchange, by hand: status line to body.
    async fn exchange(address: std::net::SocketAddr, request: String) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_did_survives_a_restart_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(&mut CountingRng(1));
        let operation = PlcOperation::genesis(&AtprotoData {
            signing_key: &key.did_key(),
            rotation_keys: &[key.did_key()],
            handle: &"alice.test".parse().unwrap(),
            pds_endpoint: "http://localhost:2583",
        });
        let operation = operation.sign(&key).unwrap();
        let (did, body) = (operation.genesis_did().unwrap(), operation.to_json().unwrap());
        let post = format!(
            "POST /{did} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let get = format!("GET /{did} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        for request in [post, get] {
            let network = Files::open(folder.path()).unwrap().network();
            let router = router(open(&folder.path().join("plc.sqlite"), network).unwrap());
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move { axum::serve(listener, router).await });
            let answer = exchange(address, request.clone()).await;
            server.abort();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            if request.starts_with("GET") {
                assert!(
                    answer.contains("application/did+ld+json") && answer.contains("at://alice.test"),
                    "{answer}"
                );
            }
        }
    }
}
