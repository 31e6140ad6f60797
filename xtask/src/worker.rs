//! The Worker: built, run and tested without an account and without network.
//!
//! What is missing is installed: the wasm target by rustup, the tools of `worker/package.json` by npm. `worker-build` would
//! do what [`build`] does, but compiling it and the command of wasm-bindgen takes longer than compiling the Worker.

mod build;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;

use self::build::Form;

/// What `wrangler` asks for.
const NODE_MAJOR_MIN: u32 = 22;

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Builds worker/build, which `wrangler deploy` uploads, and checks its size.
    Build {
        /// Builds worker/build-testing, with what the conformance tests need.
        #[arg(long)]
        testing: bool,
    },
    /// Builds it, serves it on loopback with a PLC directory beside it, and says what to try.
    Dev {
        /// Port to serve on.
        #[arg(long, default_value_t = 8787)]
        port: u16,
    },
    /// Builds both forms and runs the suites: the one of the native server, and the Worker's own.
    Test {
        /// Takes the builds that are there.
        #[arg(long)]
        no_build: bool,
    },
}

pub(crate) fn run(task: &Task) -> Result<()> {
    let places = Places::find()?;
    match task {
        Task::Build { testing: false } => places.build(Form::Deployed),
        Task::Build { testing: true } => places.build(Form::Testing),
        Task::Dev { port } => places.dev(*port),
        Task::Test { no_build } => {
            if !no_build {
                places.build(Form::Deployed)?;
                places.build(Form::Testing)?;
            }
            places.test()
        }
    }
}

struct Places {
    root: PathBuf,
    worker: PathBuf,
    target: PathBuf,
}

impl Places {
    fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?.to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = std::path::absolute(target)?;
        Ok(Self { worker: root.join("worker"), root, target })
    }

    fn dev(&self, port: u16) -> Result<()> {
        self.need_node()?;
        // The PLC directory beside the Worker, and the command to try it with.
        let mut zap = Command::new("cargo");
        zap.current_dir(&self.root).args(["build", "--quiet", "--profile", "quick", "--bin", "zap"]);
        let mut zap = Building::start(&mut zap)?;
        self.build(Form::Dev)?;
        step("waiting for the PLC directory: cargo build --profile quick --bin zap");
        zap.finish()?;
        let data = self.target.join("worker-dev");
        fs::create_dir_all(&data)?;
        let programs = self.target.join("quick");
        let binary = programs.join("zap");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let host = harness::Host::Worker(self.worker.clone(), harness::Build::Dev);
        let address = ([127, 0, 0, 1], port).into();
        let server = runtime.block_on(harness::Zap::start_at(&binary, &data, host, address))?;
        step("it serves");
        println!(
            "The Worker serves http://localhost:{port}; what it keeps is in {data}.\n\
             The admin token is {token}; agents' tokens will be in {client}.\n\
             Try, in another terminal:\n\n  \
             export PATH=\"{programs}:$PATH\" ZAP_DATA={client}\n  \
             export ZAP_URL=http://localhost:{port} ZAP_PLC_URL=http://{plc} ZAP_ADMIN_TOKEN={token}\n  \
             zap agent create alice\n  zap remember alice \"Tea is at four\"\n  zap recall alice \"when is tea\"\n  \
             zap repo verify alice\n  zap firehose --cursor 0\n\nPress Enter to stop.",
            data = data.display(),
            client = data.join("client").display(),
            programs = programs.display(),
            plc = server.plc_address,
            token = harness::zap::ADMIN_TOKEN,
        );
        std::io::stdin().read_line(&mut String::new())?;
        drop(server);
        Ok(())
    }

    /// npm brings a Node of its own for Linux on x64; elsewhere there has to be one.
    fn need_node(&self) -> Result<()> {
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Ok(());
        }
        let said = Command::new("node").arg("--version").output().context("Node is not there")?;
        let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        ensure!(
            major.is_some_and(|major: u32| major >= NODE_MAJOR_MIN),
            "Node {NODE_MAJOR_MIN} or newer is needed to serve the Worker; `node --version` says {version:?}"
        );
        Ok(())
    }

    fn test(&self) -> Result<()> {
        for built in ["build/index_bg.wasm", "build-testing/index_bg.wasm"] {
            if !self.worker.join(built).exists() {
                bail!("worker/{built} is not there: run `cargo xtask worker test` without --no-build");
            }
        }
        let mut suites = Command::new("cargo");
        suites.current_dir(&self.root).args([
            "test",
            "--package",
            "zap",
            "--test",
            "process",
            "--test",
            "worker",
        ]);
        // Each test starts a runtime of its own: one after another, so that none waits for the machine too long.
        suites.args(["--", "--test-threads=1", "--nocapture"]);
        succeed(suites.env("ZAP_TEST_WORKER", &self.worker).env("CRASH_ROUNDS", "5"))
    }
}

/// Says what comes, and how long all before it took.
fn step(what: &str) {
    static START: OnceLock<Instant> = OnceLock::new();
    eprintln!("[{:>4} s] {what}", START.get_or_init(Instant::now).elapsed().as_secs());
}

/// A program that runs beside the others; ended when dropped.
struct Building {
    child: Child,
    name: String,
}

impl Building {
    fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name })
    }

    fn finish(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "{} failed: {status}", self.name);
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // One that has ended needs no end.
        drop(self.child.kill());
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {name}"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}
