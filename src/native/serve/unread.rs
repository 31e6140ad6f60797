//! A request's body: how slowly it may come, and what happens to the rest of one that was answered before it had all come.
//!
//! Who is refused while still sending, because a token expired or a blob is too large, would else find the connection
//! closed under it: clients report that, and never see the answer that says what to do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use http::header;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// Somewhat above the usual limit of blobs, so that one above the limit is told so.
const REST_BYTES_MAX: usize = 128 << 20;
/// For senders that are too slow to be worth a connection.
const REST_WITHIN: Duration = Duration::from_secs(30);
/// What has to come of a body that is waited for: a kilobyte a second, looked at twice a minute.
const WINDOW: Duration = Duration::from_secs(30);
const WINDOW_BYTES_MIN: usize = 30 * 1024;
/// How long a body may take in all: 100 MiB at 2 Mbit/s take seven minutes.
const WITHIN: Duration = Duration::from_secs(15 * 60);

/// The request, whose body is read to its end whatever a method does with it, and not for ever.
pub(super) fn lend(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    // A client that waits for our consent to send sees the answer first.
    let reads_rest = !request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(Lent { body, ended: !reads_rest, slow: None }))
}

/// A request's body while a method has it.
struct Lent {
    body: Body,
    /// Whether there is nothing left to read for nobody.
    ended: bool,
    /// How it comes, once it has been waited for.
    slow: Option<Slow>,
}

/// A body that is waited for.
struct Slow {
    look: Pin<Box<Sleep>>,
    until: Instant,
    bytes: usize,
}

impl Slow {
    fn new() -> Self {
        Self { look: Box::pin(sleep(WINDOW)), until: Instant::now() + WITHIN, bytes: 0 }
    }

    /// Ready when the body comes too slowly.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if now >= self.until || std::mem::take(&mut self.bytes) < WINDOW_BYTES_MIN {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(now + WINDOW);
        }
        Poll::Pending
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None | Some(Err(_))) => self.ended = true,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(slow), Some(data)) = (&mut self.slow, frame.data_ref()) {
                    slow.bytes += data.len();
                }
            }
            Poll::Pending => {
                if self.slow.get_or_insert_with(Slow::new).poll_overdue(context).is_ready() {
                    self.ended = true;
                    let why = "the body comes too slowly";
                    return Poll::Ready(Some(Err(axum::Error::new(io::Error::new(
                        io::ErrorKind::TimedOut,
                        why,
                    )))));
                }
            }
        }
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
            if bytes > REST_BYTES_MAX {
                break;
            }
        }
    };
    // Whether it took too long or came to its end, the body is dropped now and the connection with it.
    let _ = tokio::time::timeout(REST_WITHIN, read).await;
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
            .layer(axum::middleware::map_request(async |request| super::lend(request)));
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
