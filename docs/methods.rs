//! `cargo run --example methods` writes `docs/methods.md`, the page of all methods, from what each declares.

use std::path::Path;

use zap::xrpc::page::{PATH, page};

fn main() -> std::io::Result<()> {
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH), page())
}
