//! One connection: its requests one after the other, and when it has to end.
//!
//! A connection is always in one of three phases, and each has a time: nothing is asked, a head is coming, a request is
//! answered. A client that does not read what is written has to take some of it in each window of time. What a request's
//! body may take is the business of `unread`; of a connection that became a subscription, the subscriber's.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service as _;

use super::shares::Share;

/// How long nothing may be asked: longer than most clients keep a connection to use it again.
const IDLE_WITHIN: Duration = Duration::from_secs(90);
/// How long the head of a request may take, the first one from the start of the connection.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long one request may take in all, with its answer: above what an export may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20 * 60);
/// What a client that lets us wait has to read in a window.
const WRITE_WINDOW: Duration = Duration::from_secs(60);
const WRITE_BYTES_MIN: usize = 64 * 1024;
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of a head, and of what is written at once and waits for the kernel.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// From which address a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves a connection to its end.
pub(super) async fn serve(
    socket: TcpStream,
    peer: IpAddr,
    share: Share,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting for more to put in a packet would only delay them.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let pace = Arc::new(Pace::new());
    let service = hyper::service::service_fn(|request: http::Request<Incoming>| {
        pace.enter(Phase::Answering);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().call(request);
        let pace = Arc::clone(&pace);
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| Answering { body, pace }))
        }
    });
    let io = TokioIo::new(Watched { socket, pace: Arc::clone(&pace), _share: share });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
    let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
    let mut stopping = false;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            why = pace.overdue() => {
                tracing::debug!(%peer, why, "a connection is ended");
                metrics::counter!("zap_connections_ended_total", "why" => why).increment(1);
                return;
            }
            _ = stopped.wait_for(|stop| *stop), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Answering,
}

/// How a connection goes on.
#[derive(Debug)]
struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Whether all of the answer is there, and only has to be written.
    answered: bool,
    /// Whether the last bytes that were written had to wait.
    blocked: bool,
    /// Since when the client is measured, and what it has read since.
    window: Option<(Instant, usize)>,
}

impl Pace {
    fn new() -> Self {
        let state = State {
            phase: Phase::Head,
            since: Instant::now(),
            answered: false,
            blocked: false,
            window: None,
        };
        Self(Mutex::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.since = Instant::now();
        state.answered = false;
    }

    /// The kernel has all that was written. An answer that is in memory is handed over at once and goes on until then.
    fn flushed(&self) {
        let is_over = self.state().answered;
        if is_over {
            self.enter(Phase::Idle);
        }
    }

    fn read(&self, bytes: usize) {
        let mut state = self.state();
        if bytes > 0 && state.phase == Phase::Idle {
            state.phase = Phase::Head;
            state.since = Instant::now();
        }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        match written {
            Poll::Pending => {
                state.blocked = true;
                state.window.get_or_insert_with(|| (Instant::now(), 0));
            }
            Poll::Ready(written) => {
                state.blocked = false;
                if let (Some((_, bytes)), Ok(written)) = (&mut state.window, written) {
                    *bytes += written;
                }
            }
        }
    }

    /// Returns when the connection has to end, and why.
    async fn overdue(&self) -> &'static str {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(why) = self.state().look(Instant::now()) {
                return why;
            }
        }
    }
}

impl State {
    fn look(&mut self, now: Instant) -> Option<&'static str> {
        if let Some((since, bytes)) = self.window
            && now.duration_since(since) >= WRITE_WINDOW
        {
            if self.blocked && bytes < WRITE_BYTES_MIN {
                return Some("not read");
            }
            self.window = self.blocked.then_some((now, 0));
        }
        let (within, why) = match self.phase {
            Phase::Idle => (IDLE_WITHIN, "idle"),
            Phase::Head => (HEAD_WITHIN, "head"),
            Phase::Answering => (ANSWER_WITHIN, "answer"),
        };
        (now.duration_since(self.since) >= within).then_some(why)
    }
}

/// The body of an answer; when it is dropped, all of it is in the connection's hands, or it was given up.
struct Answering {
    body: Body,
    pace: Arc<Pace>,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.pace.state().answered = true;
    }
}

/// The socket, which says what moves; and what the connection has of all connections, for as long as it is open, also
/// as a subscription.
struct Watched {
    socket: TcpStream,
    pace: Arc<Pace>,
    _share: Share,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.pace.read(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.pace.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.pace.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        if flushed.is_ready() {
            self.pace.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: a client that reads a page at the least speed holds it for an hour.
    #[test]
    fn an_answer_in_memory_may_take_as_long_as_any_other() {
        let pace = Arc::new(Pace::new());
        pace.enter(Phase::Answering);
        let start = Instant::now();
        drop(Answering { body: Body::empty(), pace: Arc::clone(&pace) });
        let mut minutes = 1..=60;
        let ended = minutes.find_map(|minute| {
            for written in [Poll::Pending, Poll::Ready(Ok(WRITE_BYTES_MIN)), Poll::Pending] {
                pace.wrote(&written);
            }
            let why = pace.state().look(start + WRITE_WINDOW * minute);
            why.map(|why| (minute, why))
        });
        assert_eq!(ended, Some((20, "answer")));
    }
}
