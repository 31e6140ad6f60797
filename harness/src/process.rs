//! Child processes that don't outlive the test.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Client;

/// How long a server may take until it answers. A debug build on a busy machine takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long the rest of a killed group may take to go.
const GROUP_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A running program with all it started; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a program whose output goes, appended, to the file `log`.
    ///
    /// # Errors
    /// When the file can't be opened or the program not started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process of this name among those it started.
    pub fn member(&self, name: &str) -> Option<u32> {
        self.find_member(|head| head.ends_with(&format!("({name}")))
    }

    fn has_members(&self) -> bool {
        self.find_member(|_| true).is_some()
    }

    fn find_member(&self, wanted: impl Fn(&str) -> bool) -> Option<u32> {
        let processes = std::fs::read_dir("/proc").ok()?;
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.into_iter().find(|id: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // `id (name) state parent group`, and a name may hold anything.
            let Some((head, tail)) = stat.rsplit_once(')') else { return false };
            let mut fields = tail.split_whitespace();
            let is_dead = fields.next() == Some("Z");
            let group = fields.nth(1).and_then(|group| group.parse().ok());
            !is_dead && wanted(head) && group == Some(self.id())
        })
    }

    /// Waits until `path` at `address` answers with success.
    ///
    /// # Errors
    /// When the process ended instead, or took too long.
    pub async fn ready(&mut self, address: SocketAddr, path: &str) -> Result<()> {
        let start = Instant::now();
        let mut client = Client::new(address);
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it answered", self.name);
            }
            if client.get(path, None).await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} did not answer at http://{address}{path} within {READY_WITHIN:?}", self.name)
    }

    /// Ends the process as a crash would: SIGKILL, nothing flushed by it.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.signal("-KILL")?;
        self.child.wait()?;
        self.await_group();
        Ok(())
    }

    /// Waits until what it started has ended too: it may hold the port and the files a moment longer.
    fn await_group(&self) {
        let start = Instant::now();
        while start.elapsed() < GROUP_ENDS_WITHIN && self.has_members() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// To the program and to what it started: a server may be a program's child.
    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, "--", &format!("-{}", self.id())]).status()?;
        anyhow::ensure!(sent.success(), "kill {signal} of {} failed", self.name);
        Ok(())
    }

    /// Asks the process to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end with success in time.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("-TERM")?;
        let start = Instant::now();
        while start.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} ignored SIGTERM for {READY_WITHIN:?}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already, which is what is wanted.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.signal("-KILL"));
            drop(self.child.wait());
            self.await_group();
        }
    }
}

/// A loopback address that is free now. Another program could take it before it is used; in practice the kernel hands
/// out other ports first.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
