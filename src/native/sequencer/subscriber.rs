//! One subscriber: a task with a place in the stream, which writes all that is ready in one go.
//!
//! A subscriber begins in the database when its cursor lies behind the ring, and goes over to the ring at the first
//! event the ring holds. From then on it is live: when the ring moves past it, it is told `ConsumerTooSlow` and closed.
//! Nobody waits for it; a write that does not end, or a ping without any answer, ends the subscription too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt as _;
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::super::serve::shares::Share;
use super::backfill::Chunk;
use super::ring::Position;
use super::websocket::{self, ClientFrame};
use super::{SequencerHandle, Shared};
use crate::event;
use crate::host::SubscribeError;
use crate::limits::FIREHOSE_SUBSCRIBERS_MAX;
use crate::sequencer::Start;

/// Between two pings; a client that has sent nothing in between is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// The longest a write may stall.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last words may take to arrive.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

impl SequencerHandle {
    /// Answers a `subscribeRepos` request with the switch to a WebSocket, over which the stream then runs in a task
    /// of its own. The server has to set TCP_NODELAY: with small events, Nagle's algorithm costs 40 ms each.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe(
        &self,
        cursor: Option<i64>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, SubscribeError> {
        let response = websocket::handshake(request.headers()).ok_or(SubscribeError::NotWebSocket)?;
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(SubscribeError::NotWebSocket)?;
        let guard = Guard::enter(&self.shared).ok_or(SubscribeError::TooMany)?;
        let share = request.extensions_mut().remove::<Arc<Share>>();
        // The head is taken before the ring, so the place it leads to can only be late, never ahead.
        let head = self.head();
        let changed = self.shared.ring.watch();
        self.shared.fanout.spawn(async move {
            let _share = share;
            let Ok(upgraded) = upgrade.await else { return };
            let socket = Socket { io: TokioIo::new(upgraded), received: Vec::new(), heard: true };
            Subscriber { shared: Arc::clone(&guard.0), socket, changed }.run(head.start(cursor)).await;
        });
        Ok(response)
    }
}

/// Counts the subscriber for as long as it is there.
struct Guard(Arc<Shared>);

impl Guard {
    fn enter(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.subscribers.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("zap_firehose_subscribers").increment(1);
        let guard = Self(Arc::clone(shared));
        (before < FIREHOSE_SUBSCRIBERS_MAX).then_some(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("zap_firehose_subscribers").decrement(1);
    }
}

/// Why a subscription ended.
enum End {
    /// The client left, is gone, or does not take what is written.
    Gone,
    /// With this close code and reason.
    Close(u16, &'static str),
    /// With an error frame.
    Error(&'static str, &'static str),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        End::Gone
    }
}

struct Subscriber<S> {
    shared: Arc<Shared>,
    socket: Socket<S>,
    changed: watch::Receiver<bool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscriber<S> {
    async fn run(mut self, start: Start) {
        let end = match self.stream(start).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // Nobody listens to how the goodbye went.
        let _ = timeout(GOODBYE_TIMEOUT, self.socket.end(end)).await;
    }

    async fn stream(&mut self, start: Start) -> Result<std::convert::Infallible, End> {
        let cursor = match start {
            Start::After(cursor) => cursor,
            Start::Future => return Err(End::Error("FutureCursor", "Cursor in the future.")),
            Start::Outdated => {
                self.tell_outdated("Requested cursor exceeded limit. Possibly missing events").await?;
                0
            }
        };
        let position = self.backfill(cursor).await?;
        self.live(position).await
    }

    async fn tell_outdated(&mut self, message: &str) -> Result<(), End> {
        let mut info = Vec::new();
        websocket::write_binary(&mut info, &event::info("OutdatedCursor", message));
        self.socket.write(&[info.into()]).await
    }

    /// Writes from the database until the ring has the next event.
    async fn backfill(&mut self, mut cursor: i64) -> Result<Position, End> {
        let shared = Arc::clone(&self.shared);
        let _behind = shared.backfill.fall_behind();
        loop {
            // Taken before reading: what the database does not have then up to here was removed from it.
            let floor = self.shared.ring.floor();
            if let Some(position) = self.shared.ring.position_after(cursor) {
                return Ok(position);
            }
            let chunk = self.shared.backfill.read(cursor, floor).await.map_err(|error| {
                tracing::error!(%error, "backfill failed");
                End::Close(websocket::CLOSE_INTERNAL, "backfill failed")
            })?;
            cursor = match chunk {
                Chunk::Events { bytes, last_seq } => {
                    self.socket.write(&[bytes]).await?;
                    last_seq
                }
                Chunk::Damaged { resume } => {
                    self.tell_outdated("Some events are damaged. Missing events").await?;
                    resume
                }
                Chunk::End => floor,
            };
            self.socket.read_ready().await?;
            if *self.changed.borrow() {
                return Err(End::Close(websocket::CLOSE_AWAY, "the server is stopping"));
            }
        }
    }

    async fn live(&mut self, mut position: Position) -> Result<std::convert::Infallible, End> {
        let mut buffers = Vec::new();
        let mut ping_at = Instant::now() + PING_INTERVAL;
        loop {
            // Seen before reading the ring: what comes later wakes us.
            let stopping = *self.changed.borrow_and_update();
            if self.shared.ring.read(&mut position, &mut buffers).is_err() {
                metrics::counter!("zap_firehose_too_slow_total").increment(1);
                return Err(End::Error("ConsumerTooSlow", "Stream consumer too slow"));
            }
            if !buffers.is_empty() {
                self.socket.write(&buffers).await?;
                self.socket.read_ready().await?;
            } else if stopping {
                return Err(End::Close(websocket::CLOSE_AWAY, "the server is stopping"));
            } else {
                tokio::select! {
                    changed = self.changed.changed() => changed.map_err(|_| End::Gone)?,
                    read = self.socket.read() => read?,
                    () = tokio::time::sleep_until(ping_at) => {}
                }
            }
            if Instant::now() >= ping_at {
                self.socket.ping().await?;
                ping_at = Instant::now() + PING_INTERVAL;
            }
        }
    }
}

struct Socket<S> {
    io: S,
    /// What the client sent and is not yet a whole frame.
    received: Vec<u8>,
    /// Whether the client sent anything since the last ping.
    heard: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    async fn write(&mut self, buffers: &[Bytes]) -> Result<(), End> {
        timeout(WRITE_TIMEOUT, write_all(&mut self.io, buffers))
            .await
            .map_err(|_| End::Gone)?
            .map_err(End::from)
    }

    async fn ping(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.heard) {
            return Err(End::Gone);
        }
        self.write(&[websocket::ping().into()]).await
    }

    /// Handles what the client has sent already, without waiting.
    async fn read_ready(&mut self) -> Result<(), End> {
        match self.io.read_buf(&mut self.received).now_or_never() {
            Some(read) => self.handle(read?).await,
            None => Ok(()),
        }
    }

    /// Waits for the client to send something, and handles it. Dropped while waiting, it loses nothing.
    async fn read(&mut self) -> Result<(), End> {
        let read = self.io.read_buf(&mut self.received).await?;
        self.handle(read).await
    }

    async fn handle(&mut self, read: usize) -> Result<(), End> {
        if read == 0 {
            return Err(End::Gone);
        }
        self.heard = true;
        loop {
            match websocket::take_client_frame(&mut self.received) {
                Ok(Some(ClientFrame::Ping(payload))) => {
                    self.write(&[websocket::pong(&payload).into()]).await?;
                }
                Ok(Some(ClientFrame::Close)) => return Err(End::Close(1000, "")),
                Ok(Some(ClientFrame::Pong | ClientFrame::Data)) => {}
                Ok(None) => return Ok(()),
                Err(code) => return Err(End::Close(code, "")),
            }
        }
    }

    /// The last words. The socket is then read to its end: closing it with bytes unread would reset the connection,
    /// and the client might never see them.
    async fn end(&mut self, end: End) -> std::io::Result<()> {
        let (code, reason) = match end {
            End::Gone => return Ok(()),
            End::Close(code, reason) => (code, reason),
            End::Error(name, message) => {
                let mut error = Vec::new();
                websocket::write_binary(&mut error, &event::error(name, message));
                write_all(&mut self.io, &[error.into()]).await?;
                (websocket::CLOSE_POLICY, name)
            }
        };
        write_all(&mut self.io, &[websocket::close(code, reason).into()]).await?;
        self.io.shutdown().await?;
        let mut scrap = [0; 1024];
        while self.io.read(&mut scrap).await? > 0 {}
        Ok(())
    }
}

/// Writes the buffers in order, as many as possible with each system call.
async fn write_all<S: AsyncWrite + Unpin>(io: &mut S, buffers: &[Bytes]) -> std::io::Result<()> {
    let mut slices: Vec<_> = buffers.iter().map(|buffer| std::io::IoSlice::new(buffer)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = io.write_vectored(rest).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        std::io::IoSlice::advance_slices(&mut rest, written);
    }
    io.flush().await
}
