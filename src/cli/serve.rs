//! `zap serve`: the host, its routes, its sockets, from the first to the last.
//!
//! The socket is bound before anything is opened, so that a second start finds out at once; the data folder is locked
//! before it is read. On the way down it is the other way round: no new connections, what is being answered is
//! finished, then the host drains its outboxes and closes its databases, then the folder is free.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::error::{CliError, LocalError};
use super::explain::Explain;
use super::session::ServerFile;
use super::settings::{SettingFlags, config};
use zap::config::{Config, FolderLock, NetworkAge, Texts};
use zap::native::descriptors::Descriptors;
use zap::native::files::{self, Files};
use zap::native::serve::client::Hops;
use zap::native::serve::shares::{Shares, Totals};
use zap::native::serve::{Serving, listen};
use zap::native::telemetry::{self, Known, Metrics, TelemetryError};
use zap::native::{NativeHost, plc};
use zap::xrpc;

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
        let descriptors = Descriptors::raised();
        let hops = config.proxy_hops.map_or(Hops::OnThisMachine, Hops::Fixed);
        let shares = Shares::new(Totals::of(descriptors), hops);
        let listener = bind(config.listen, "--listen")?;
        let lock = config.lock_folder()?;
        let files = Files::open(&config.data).map_err(|error| LocalError::System(error.to_string()))?;
        // The PLC directory first: the host may have operations to send from the very start.
        let plc = match config.plc_listen {
            Some(address) => Some(start_plc(&config, &files, address, &shares)?),
            None => None,
        };
        let (url, plc_url, file) =
            (config.public_url.clone(), config.plc_url.clone(), ServerFile::path(&config.data));
        let metrics = Metrics::start()?;
        let host = NativeHost::start(config, files, descriptors).await?;
        let known: Known =
            Arc::new(xrpc::endpoints().iter().map(|endpoint| endpoint.nsid).collect::<HashSet<_>>());
        let router = xrpc::router(host.app())
            .route("/metrics", get(render_metrics).with_state(metrics.clone()))
            .layer(axum::middleware::from_fn_with_state(known, telemetry::observe));
        let serving = Serving::start(listener, router, &shares);
        let listen = Some(format!("http://{}", reachable(serving.address())));
        let written = ServerFile { url: url.clone(), listen, plc_url: plc_url.clone() }.write(&file);
        if let Err(error) = written {
            tracing::warn!(%error, file = %file.display(), "client commands will need --url");
        }
        tracing::info!(%url, listen = %serving.address(), "serving");
        tell_supervisor(sd_notify::NotifyState::Ready);
        let upkeep = tokio::spawn(metrics.upkeep());
        Ok(Self { url, plc_url, file, host, serving, plc, upkeep, _lock: lock })
    }

    /// Where it listens. An address that means all of them is reached through loopback.
    pub(crate) fn address(&self) -> SocketAddr {
        reachable(self.serving.address())
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
        tell_supervisor(sd_notify::NotifyState::Stopping);
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

fn start_plc(
    config: &Config,
    files: &Files,
    address: SocketAddr,
    shares: &Arc<Shares>,
) -> Result<Serving, CliError> {
    let listener = bind(address, "--plc-listen")?;
    let path = config.data.join("plc.sqlite");
    if files.age() == NetworkAge::Grown && !files::is_there(&path) {
        let reason =
            "is missing, and the DIDs of this network may be in it: put it back, or leave out --plc-listen";
        return Err(LocalError::System(format!("{} {reason}", path.display())).into());
    }
    let database = plc::open(&path, files.network())
        .map_err(|error| LocalError::System(format!("the PLC directory in {}: {error}", path.display())))?;
    Ok(Serving::start(listener, plc::router(database), shares))
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    listen(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::PortInUse { address: address.to_string(), flag },
        _ => ServeError::Listen { address: address.to_string(), flag, source },
    })
}

/// Tells who started the server and asked to hear of it (systemd, by `NOTIFY_SOCKET`).
fn tell_supervisor(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "NOTIFY_SOCKET takes nothing: who started this server does not hear of it");
    }
}

/// SIGINT, SIGTERM, or SIGHUP, which comes when a terminal goes. Made before the server starts, so that none is missed.
pub(crate) struct StopSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl StopSignal {
    pub(crate) fn new() -> Result<Self, LocalError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| LocalError::System(format!("signals can't be caught: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
        })
    }

    /// Returns at the next one.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
