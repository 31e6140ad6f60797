//! `cargo run -p codegen` writes what is generated from the lexicons; with `--check` it fails when that is not current.

use std::path::Path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("find the workspace")?;
    match std::env::args().nth(1).as_deref() {
        None => codegen::write(root),
        Some("--check") => {
            let stale = codegen::stale(root)?;
            if !stale.is_empty() {
                let names: Vec<_> = stale.iter().map(|path| path.display().to_string()).collect();
                bail!("not current, run `cargo run -p codegen`: {}", names.join(", "));
            }
            Ok(())
        }
        Some(other) => bail!("unknown argument {other}; there is only --check"),
    }
}
