//! The server `zap serve`, with a PLC directory of its own in the same process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::process::{Process, free_address};
use crate::{Answer, Client, Usage};

/// The admin token of every server started here.
pub const ADMIN_TOKEN: &str = "admin-token-of-a-test";

/// A server over a data folder. It can be killed and started again at the same addresses.
#[derive(Debug)]
pub struct Zap {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Where the PLC directory listens.
    pub plc_address: SocketAddr,
    /// The server's data.
    pub data: PathBuf,
    /// What the server wrote to its standard output and error, all starts together.
    pub log: PathBuf,
    binary: PathBuf,
    log_filter: String,
    server: Process,
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
    /// Starts it under the folder `root`, which lives longer than this, and waits until it answers. `log_filter` is its
    /// `--log`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(binary: &Path, root: &Path, log_filter: &str) -> Result<Self> {
        let (address, plc_address) = (free_address()?, free_address()?);
        let (data, log) = (root.join("data"), root.join("server.log"));
        let server = Process::start(&mut serve(binary, &data, address, plc_address, log_filter), &log)?;
        let log_filter = log_filter.to_owned();
        let mut zap = Self { address, plc_address, data, log, binary: binary.into(), log_filter, server };
        zap.ready().await?;
        Ok(zap)
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
        self.server.stop().await
    }

    /// Starts the server again after [`Zap::kill`] or [`Zap::stop`], on the same data and address.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        let mut command = serve(&self.binary, &self.data, self.address, self.plc_address, &self.log_filter);
        self.server = Process::start(&mut command, &self.log)?;
        self.ready().await
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.server.id()
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
            .env("ZAP_URL", format!("http://{}", self.host()))
            .env("ZAP_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("ZAP_PLC_URL", format!("http://{}", self.plc_address))
            .env("ZAP_DATA", &self.data);
        command
    }

    /// `localhost:PORT`, as the accounts' DID documents name it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    async fn ready(&mut self) -> Result<()> {
        self.server.ready(self.address, "/xrpc/_health").await
    }
}

fn serve(binary: &Path, data: &Path, address: SocketAddr, plc: SocketAddr, log_filter: &str) -> Command {
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", &address.to_string()]);
    command.args(["--public-url", &format!("http://localhost:{}", address.port())]);
    command.args(["--plc-listen", &plc.to_string(), "--plc-url", &format!("http://{plc}")]);
    command.args(["--handle-domain", ".test", "--admin-token", ADMIN_TOKEN, "--rate-limits", "off"]);
    command.args(["--allow-loopback", "--log", log_filter, "--data"]).arg(data);
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
