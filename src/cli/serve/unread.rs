//! Reads what is left of a request that was answered before it had all come.
//!
//! Who is refused while still sending, because a token expired or a blob is too large, would else find the connection
//! closed under it: clients report that, and never see the answer that says what to do.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// Somewhat above the usual limit of blobs, so that one above the limit is told so.
const BYTES_MAX: usize = 128 << 20;
/// For senders that are too slow to be worth a connection.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The layer around all methods.
pub(super) async fn read(request: Request, next: Next) -> Response {
    // A client that waits for our consent to send sees the answer first.
    let waits = request.headers().contains_key(header::EXPECT);
    if waits || request.body().is_end_stream() {
        return next.run(request).await;
    }
    next.run(request.map(|body| Body::new(Lent { body, ended: false }))).await
}

/// A request's body while a method has it.
struct Lent {
    body: Body,
    ended: bool,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.ended |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.ended || self.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(read_rest(std::mem::take(&mut self.body)));
        }
    }
}

async fn read_rest(mut body: Body) {
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > BYTES_MAX {
                break;
            }
        }
    };
    // Whether it took too long or came to its end, the body is dropped now and the connection with it.
    let _ = tokio::time::timeout(TIME_MAX, read).await;
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn who_is_refused_while_sending_sees_the_answer() {
        let router = Router::new()
            .route("/", post(async || StatusCode::IM_A_TEAPOT))
            .layer(axum::middleware::from_fn(super::read));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let mut client = TcpStream::connect(address).await.unwrap();
        let body = vec![0; 16 << 20];
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        for _ in 0..3 {
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(&body).await.unwrap();
            let mut answer = [0; 1024];
            let read = client.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]);
            assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");
        }
    }
}
