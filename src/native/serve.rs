//! Sockets: how many may be open, for how long, and how much is held for whoever does not read.
//!
//! | module | |
//! |---|---|
//! | `connection` | one connection: its requests, and when it has to end |
//! | [`client`] | whose request it is, also behind a proxy |
//! | [`shares`] | what one address may have of all that there is |
//! | `gate` | the layer in front of the router where large answers and long ones take their share, and are compressed |
//! | `unread` | a request's body: how slowly it may come, and what happens to the rest of one that was answered |
//!
//! Invariants
//! - A connection that makes no progress ends, whichever side is to move: see `connection` and `unread`.
//! - Connections never take the descriptors that databases need: see [`super::descriptors`].

pub mod client;
mod connection;
mod gate;
pub mod shares;
mod unread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::shares::Shares;

/// How long requests may take to finish once the server is told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that the kernel takes for a client that does not read; it would be up to 4 MiB else. Enough for 5 MB/s at 100 ms.
const SEND_BUFFER_BYTES: u32 = 256 * 1024;
/// Connections that wait to be accepted: a burst, while the server does something else.
const BACKLOG: u32 = 1024;
/// Between two tries to accept after one that failed: descriptors come back as connections end.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Between two lines of the log on the same trouble.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// What a connection hears that there is no room for.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\n\
    content-type: application/json\r\ncontent-length: 87\r\n\r\n\
    {\"error\":\"NotEnoughResources\",\"message\":\"too many connections: try again in ten seconds\"}";

/// One listening socket and what answers on it.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Serves until it is told to stop.
    pub fn start(listener: TcpListener, router: Router, shares: &Arc<Shares>) -> Self {
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let gate = axum::middleware::from_fn_with_state(Arc::clone(shares), gate::pass);
        let router = router.layer(gate);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, router, Arc::clone(shares), stopped));
        Self { address, stop, task }
    }

    /// What it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, finishes what is being answered, within limits.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(FINISH_WITHIN, &mut self.task).await.is_err() {
            tracing::warn!("requests were cut off that took too long to finish");
            self.task.abort();
        }
    }
}

/// Listens on `address`.
///
/// # Errors
/// When it is taken, or not this machine's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    listener: TcpListener,
    router: Router,
    shares: Arc<Shares>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let (mut full, mut failing) = (Trouble::default(), Trouble::default());
    loop {
        let accepted = tokio::select! {
            // An error means that the sender is gone, which ends it as well.
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => match shares.connect(peer.ip()) {
                Ok(share) => {
                    let (router, stopped) = (router.clone(), stopped.clone());
                    connections.spawn(connection::serve(socket, peer.ip(), share, router, stopped));
                }
                Err(refused) => {
                    if full.is_due() {
                        tracing::warn!(%peer, times = full.count(), ?refused, "too many connections are open");
                    }
                    metrics::counter!("zap_connections_refused_total").increment(1);
                    refuse(&socket);
                }
            },
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if failing.is_due() {
                    tracing::error!(%error, times = failing.count(), "connections can't be accepted");
                }
                metrics::counter!("zap_accept_failures_total").increment(1);
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Says no, without waiting for anybody.
fn refuse(socket: &TcpStream) {
    // Whoever does not hear it sees a connection that is closed, which says the same.
    let _ = socket.try_write(FULL);
}

/// Whether only the connection is lost that was to be accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// Something that may happen a thousand times a second, and is said every ten.
#[derive(Debug, Default)]
struct Trouble {
    said: Option<Instant>,
    since: u64,
}

impl Trouble {
    /// Counts one more, and whether it is time to say so.
    fn is_due(&mut self) -> bool {
        self.since += 1;
        self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN)
    }

    /// How many there were since the last time, said now.
    fn count(&mut self) -> u64 {
        self.said = Some(Instant::now());
        std::mem::take(&mut self.since)
    }
}
