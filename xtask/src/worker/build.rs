//! From Rust to the two files that workerd loads: `cargo build`, the bindings of wasm-bindgen, `wasm-opt`, and esbuild, which
//! puts bindings and `worker/src/module.mjs` together.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

use super::{Places, step, succeed};

const TARGET: &str = "wasm32-unknown-unknown";
/// The name of both files.
const NAME: &str = "index";
/// Compressed bytes that the Worker may have: two thirds of what a free account takes.
const COMPRESSED_BYTES_MAX: u64 = 2_000_000;
/// What rustc writes for this target. Not all that wasm-opt knows: the runtime might not know it yet.
const WASM_FEATURES: [&str; 7] = [
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-reference-types",
    "--enable-exception-handling",
];

/// What is built.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// What is deployed, checked for its size.
    Deployed,
    /// With what tests need.
    Testing,
    /// The one that is deployed, hardly optimised.
    Dev,
}

impl Form {
    /// Where it goes, the module it is made of, and how cargo builds it.
    fn parts(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Deployed => ("build", "module.mjs", "worker", &[]),
            Self::Testing => ("build-testing", "testing.mjs", "worker", &["--features", "testing"]),
            Self::Dev => ("build-dev", "module.mjs", "worker-quick", &[]),
        }
    }
}

impl Places {
    pub(super) fn build(&self, form: Form) -> Result<()> {
        self.install()?;
        let (out, module, profile, flags) = form.parts();
        step(&format!("building worker/{out}"));
        // Another compiler target must not disturb the fingerprints of the first.
        let target = self.target.join("wasm");
        let mut compile = Command::new("cargo");
        compile.current_dir(&self.worker).args(["build", "--lib", "--target", TARGET, "--profile", profile]);
        compile
            .args(flags)
            .env("CARGO_TARGET_DIR", &target)
            // WebAssembly has no 64 by 64 bit product: k256 with 32-bit limbs signs faster there.
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "--cfg cpubits=\"32\"")
            // Futures of js-sys, as the crate worker has them.
            .env("WASM_BINDGEN_USE_JS_SYS", "1");
        succeed(&mut compile)?;
        let bindings = target.join(out);
        bind(&target.join(TARGET).join(profile).join("zap_worker.wasm"), &bindings)?;
        let out = self.worker.join(out);
        fs::create_dir_all(&out)?;
        let wasm = format!("{NAME}_bg.wasm");
        match form {
            Form::Dev => drop(fs::copy(bindings.join(&wasm), out.join(&wasm))?),
            Form::Deployed | Form::Testing => {
                let mut optimise = Command::new(self.tool("wasm-opt"));
                optimise.arg("-O").args(WASM_FEATURES);
                succeed(optimise.arg(bindings.join(&wasm)).arg("-o").arg(out.join(&wasm)))?;
            }
        }
        self.bundle(module, &bindings, &out)?;
        match form {
            Form::Deployed => check_size(&out),
            Form::Testing | Form::Dev => Ok(()),
        }
    }

    /// One file of the module and its bindings.
    fn bundle(&self, module: &str, bindings: &Path, out: &Path) -> Result<()> {
        let script = out.join(format!("{NAME}.js"));
        let mut bundle = Command::new(self.tool("esbuild"));
        bundle.current_dir(&self.worker).arg(format!("src/{module}"));
        bundle.args(["--bundle", "--format=esm", "--minify", "--log-level=warning"]);
        bundle.arg("--external:*.wasm");
        bundle.arg(format!("--alias:bindings={}", bindings.join(format!("{NAME}.js")).display()));
        succeed(bundle.arg(format!("--outfile={}", script.display())))?;
        // The runtime gives the module by an ordinary import.
        let text = fs::read_to_string(&script)?;
        Ok(fs::write(&script, text.replace("import source ", "import "))?)
    }

    fn tool(&self, name: &str) -> std::path::PathBuf {
        self.worker.join("node_modules/.bin").join(name)
    }

    fn install(&self) -> Result<()> {
        let targets = Command::new("rustup").args(["target", "list", "--installed"]).output();
        let there = targets.is_ok_and(|list| String::from_utf8_lossy(&list.stdout).contains(TARGET));
        if !there {
            succeed(Command::new("rustup").args(["target", "add", TARGET]))?;
        }
        if !self.worker.join("node_modules/.package-lock.json").exists() {
            step("installing the tools of worker/package.json, once");
            succeed(Command::new("npm").current_dir(&self.worker).args(["ci", "--no-audit", "--no-fund"]))?;
        }
        Ok(())
    }
}

/// What JavaScript and the module know of each other. After a trap the module can be started anew.
fn bind(wasm: &Path, out: &Path) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.module(true)?.input_path(wasm).out_name(NAME).typescript(false).remove_name_section(true);
    bindgen.reset_state_function(true).force_enable_abort_handler(true);
    bindgen.generate(out).with_context(|| format!("binding {}", wasm.display()))
}

/// As Cloudflare counts: all modules, compressed together.
fn check_size(build: &Path) -> Result<()> {
    let (module, script) = (build.join(format!("{NAME}_bg.wasm")), build.join(format!("{NAME}.js")));
    let packed = Command::new("gzip").arg("-9c").args([&module, &script]).output()?;
    ensure!(packed.status.success(), "gzip failed");
    let (bytes, packed) = (fs::metadata(&module)?.len(), packed.stdout.len() as u64);
    println!("the Worker has {bytes} bytes, {packed} compressed; {COMPRESSED_BYTES_MAX} are allowed");
    ensure!(packed <= COMPRESSED_BYTES_MAX, "the Worker is too large");
    Ok(())
}
