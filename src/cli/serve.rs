//! `zap serve`: the host, its routes, its sockets, from the first to the last.
//!
//! The socket is bound before anything is opened, so that a second start finds out at once; the data folder is locked
//! before it is read. On the way down it is the other way round: no new connections, what is being answered is
//! finished, then the host drains its outboxes and closes its databases, then the folder is free.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod unread;

use super::error::{CliError, LocalError};
use super::explain::Explain;
use super::session::ServerFile;
use super::settings::{SettingFlags, config};
use zap::config::{Config, FolderLock, Texts};
use zap::native::telemetry::{self, Known, Metrics, TelemetryError};
use zap::native::{NativeHost, plc};
use zap::xrpc;

/// How long requests may take to finish once the server is told to stop.
const FINISH_SECONDS: u64 = 10;

/// `zap serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

/// Why an address is not served on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServeError {
    /// The address is taken.
    #[error("{address} is in use by another process")]
    PortInUse {
        /// What was to be served on.
        address: String,
        /// The setting that says so.
        flag: &'static str,
    },
    /// The address can't be served on.
    #[error("{address} can't be listened on: {source}")]
    Listen {
        /// What was to be served on.
        address: String,
        /// The setting that says so.
        flag: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

impl Explain for ServeError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::PortInUse { flag, .. } => format!("stop that one, or choose another port with {flag}"),
            Self::Listen { flag, .. } => {
                format!("choose an address of this machine, and a port that you may use, with {flag}")
            }
        })
    }
}

/// Logs or metrics can't start.
impl Explain for TelemetryError {}

pub(crate) async fn run(args: &ServeArgs) -> Result<(), CliError> {
    let config = config(&args.settings.effective(Texts::new())?)?;
    telemetry::start_log(&config.log, config.log_format)?;
    let mut stop = StopSignal::new()?;
    let server = Server::start(config).await?;
    stop.wait().await;
    server.stop_unless(&mut stop).await
}

/// A running server.
pub(crate) struct Server {
    /// Where clients reach it.
    pub(crate) url: String,
    /// The PLC directory it uses.
    pub(crate) plc_url: String,
    file: std::path::PathBuf,
    host: Arc<NativeHost>,
    serving: Serving,
    plc: Option<Serving>,
    upkeep: JoinHandle<()>,
    _lock: FolderLock,
}

impl Server {
    /// Starts everything; returns when requests are answered.
    pub(crate) async fn start(config: Config) -> Result<Self, CliError> {
        raise_file_limit();
        let listener = bind(config.listen, "--listen").await?;
        let lock = config.lock_folder()?;
        for name in &config.not_yet {
            tracing::warn!("--{name} is accepted but not active yet: its part is still to come");
        }
        // The PLC directory first: the host may have operations to send from the very start.
        let plc = match config.plc_listen {
            Some(address) => Some(start_plc(&config, address).await?),
            None => None,
        };
        let (url, plc_url, file) =
            (config.public_url.clone(), config.plc_url.clone(), ServerFile::path(&config.data));
        let metrics = Metrics::start()?;
        let host = NativeHost::start(config).await?;
        let known: Known =
            Arc::new(xrpc::endpoints().iter().map(|endpoint| endpoint.nsid).collect::<HashSet<_>>());
        let router = xrpc::router(host.app())
            .route("/metrics", get(render_metrics).with_state(metrics.clone()))
            .layer(axum::middleware::from_fn(unread::read))
            .layer(axum::middleware::from_fn_with_state(known, telemetry::observe));
        let serving = Serving::start(listener, router);
        let listen = Some(format!("http://{}", reachable(serving.address)));
        let written = ServerFile { url: url.clone(), listen, plc_url: plc_url.clone() }.write(&file);
        if let Err(error) = written {
            tracing::warn!(%error, file = %file.display(), "client commands will need --url");
        }
        tracing::info!(%url, listen = %serving.address, "serving");
        let upkeep = tokio::spawn(metrics.upkeep());
        Ok(Self { url, plc_url, file, host, serving, plc, upkeep, _lock: lock })
    }

    /// Where it listens. An address that means all of them is reached through loopback.
    pub(crate) fn address(&self) -> SocketAddr {
        reachable(self.serving.address)
    }

    /// Stops in order; a second signal ends the process at once.
    pub(crate) async fn stop_unless(self, signal: &mut StopSignal) -> Result<(), CliError> {
        tokio::select! {
            () = self.stop() => Ok(()),
            () = signal.wait() => Err(CliError::from(LocalError::System(
                "stopped at once; what was acknowledged is safe, the rest of the events go out at the next start"
                    .to_owned(),
            ))),
        }
    }

    async fn stop(self) {
        tracing::info!("stopping");
        self.serving.stop().await;
        self.host.stop().await;
        if let Some(plc) = self.plc {
            plc.stop().await;
        }
        self.upkeep.abort();
        // A stale one does no harm: it says where nothing answers.
        let _ = std::fs::remove_file(&self.file);
        tracing::info!("stopped");
    }
}

/// Where this machine reaches what listens there.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

async fn render_metrics(
    axum::extract::State(metrics): axum::extract::State<Metrics>,
) -> impl axum::response::IntoResponse {
    ([(http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

async fn start_plc(config: &Config, address: SocketAddr) -> Result<Serving, CliError> {
    let listener = bind(address, "--plc-listen").await?;
    let path = config.data.join("plc.sqlite");
    let database = plc::open(&path)
        .map_err(|error| LocalError::System(format!("the PLC directory in {}: {error}", path.display())))?;
    Ok(Serving::start(listener, plc::router(database)))
}

/// One listening socket and what answers on it.
struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(listener: TcpListener, router: Router) -> Self {
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        // Answers are written whole; waiting for more to put in a packet would only delay them.
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        });
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let shutdown = async move {
                // An error means that the sender is gone, which ends it as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
                tracing::error!(%error, "serving ended");
            }
        });
        Self { address, stop, task }
    }

    /// Takes no more connections, finishes what is being answered, within limits.
    async fn stop(self) {
        self.stop.send_replace(true);
        let aborter = self.task.abort_handle();
        if tokio::time::timeout(Duration::from_secs(FINISH_SECONDS), self.task).await.is_err() {
            tracing::warn!("requests were cut off that took too long to finish");
            aborter.abort();
        }
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::PortInUse { address: address.to_string(), flag },
        _ => ServeError::Listen { address: address.to_string(), flag, source },
    })
}

/// SIGINT or SIGTERM. Made before the server starts, so that none is missed.
pub(crate) struct StopSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    pub(crate) fn new() -> Result<Self, LocalError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| LocalError::System(format!("signals can't be caught: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Returns at the next one.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// An open agent takes three files, a subscriber one; the usual soft limit of 1,024 is a desktop's.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays low: with many agents, raise it (ulimit -n)");
    }
}
